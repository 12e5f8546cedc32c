"""The roofline of a network in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnc.backends.planning.calibrate import Calibration
from cnnc.compiler.roofline import Roofline, by_kind
from cnnc.compiler.units import shown_bytes


def roofline_text(found: Roofline, *, rows: int | None = 20) -> str:
    """What `cnnc plan --card` prints: the `rows` layers with the highest floors (None: all), sums by kind, the total."""
    card = found.card
    shown = sorted(found.rows, key=lambda row: -row.seconds)[:rows] if rows is not None else found.rows
    names = [row.name for row in shown]
    width = max([len("layer"), *map(len, names)])
    how = "each convolution with its norm, activation and sum" if found.fused else "each layer by itself"
    lines = [
        f"{card.name} ({card.rates} rates: {card.bandwidth / 1e12:.3g} TB/s, "
        f"{card.peak[found.dtype] / 1e12:.4g} TFLOP/s in {found.dtype}), batch {found.batch}, inference, {how}",
        "",
        f"{'layer':<{width}}  {'bytes':>10}  {'MACs':>8}  {'bound by':<8}  {'floor':>10}  {'share':>6}",
    ]
    for row in shown:
        share = row.seconds / found.seconds if found.seconds else 0.0
        lines.append(
            f"{row.name:<{width}}  {shown_bytes(row.bytes):>10}  {_short(row.macs):>8}  {row.bound:<8}  "
            f"{shown_seconds(row.seconds):>10}  {share:>6.1%}"
        )
    if len(shown) < len(found.rows):
        rest = found.seconds - sum(row.seconds for row in shown)
        label = f"{len(found.rows) - len(shown)} more layers"
        lines.append(
            f"{label:<{width}}  {'':>10}  {'':>8}  {'':<8}  {shown_seconds(rest):>10}  {rest / found.seconds:>6.1%}"
        )
    lines.append("")
    for kind, seconds in sorted(by_kind(found.rows).items(), key=lambda item: -item[1]):
        lines.append(f"  {kind:<16} {shown_seconds(seconds):>10}  {seconds / found.seconds:>6.1%}")
    lines += [
        "",
        f"Floor: {shown_seconds(found.seconds)} for {shown_bytes(found.bytes)} and {_short(found.macs)} MACs, "
        f"{found.images_per_second:,.0f} images a second, {found.peak_share:.1%} of the matrix peak.",
        "A floor, not a prediction: no layer can be faster on this card, and most are slower.",
    ]
    if found.serial_seconds > found.seconds:
        how = ", a sum's other operand after the products" if found.fused else ""
        lines.append(
            f"With every input read whole{how}: {shown_seconds(found.serial_seconds)}, "
            f"{found.serial_images_per_second:,.0f} images a second."
        )
    return "\n".join(lines)


def shown_seconds(seconds: float) -> str:
    """Seconds with three digits and a unit.

    >>> shown_seconds(0.0000614), shown_seconds(0.00487), shown_seconds(1.5)
    ('61.4 us', '4.87 ms', '1.5 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _short(count: int) -> str:
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def calibration_text(found: Calibration, roof: Roofline) -> str:
    """What `--calibrate` adds: an efficiency for each kind of layer, the error on held-out networks, the time."""
    lines = [f"Calibrated on {', '.join(found.networks)}, each timed on {found.device}:"]
    lines += [
        f"  {kind:<16} {efficiency:>7.1%} of the floor's speed"
        for kind, efficiency in found.efficiency.items()
    ]
    lines.append(
        f"Each network predicted from the others is off by {found.error:.0%} on average, {found.worst:.0%} at worst."
    )
    missing = found.unmeasured(roof)
    if missing:
        lines.append(f"No efficiency is known of {', '.join(missing)}; their floor is counted as it is.")
    seconds = found.seconds(roof)
    lines.append(f"Estimate: {shown_seconds(seconds)}, {roof.batch / seconds:,.0f} images a second.")
    return "\n".join(lines)


def roofline_json(found: Roofline) -> Mapping[str, Any]:
    """The record under `roofline` of `cnnc plan --json` (`cnnc schema plan`)."""
    card = found.card
    return {
        "card": {
            "name": card.name, "rates": card.rates, "source": card.source, "bandwidth": card.bandwidth,
            "last_level_cache": card.last_level_cache, "peak": dict(card.peak),
        },
        "batch": found.batch, "dtype": found.dtype, "fused": found.fused, "bytes": found.bytes, "macs": found.macs,
        "seconds": found.seconds, "images_per_second": found.images_per_second, "peak_share": found.peak_share,
        "serial_seconds": found.serial_seconds, "serial_images_per_second": found.serial_images_per_second,
        "layers": [
            {
                "name": row.name, "kinds": list(row.kinds), "bytes": row.bytes, "skipped": row.skipped,
                "macs": row.macs, "seconds": row.seconds, "serial": row.serial, "bound": row.bound,
            }
            for row in found.rows
        ],
    }  # fmt: skip
