"""The memory of a network in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnc.backends.planning.curve import text_curve
from cnnc.backends.pytorch.memory import MemoryPlan
from cnnc.compiler.units import shown_bytes

FORMAT = 1
"""The version of the JSON record."""


def memory_text(plan: MemoryPlan, width: int = 60) -> str:
    """What `cnnc plan` prints of memory."""
    what = f"training with {plan.train}" if plan.train else "inference"
    ways = [f"batch {plan.batch}", what, _precision(plan)]
    ways += ["blocks checkpointed"] if plan.checkpointed else []
    where = f" of {plan.peak_layer}" if plan.peak_layer and plan.peak_phase != "step" else ""
    lines = [
        f"{plan.model}, {', '.join(ways)}",
        "",
        f"Peak: {shown_bytes(plan.peak)}, in the {plan.peak_phase}{where}.",
    ]
    lines += [f"  {name:<12}{shown_bytes(size):>12}" for name, size in plan.parts.items() if size]
    lines.append(f"  {'workspace':<12}{'unknown':>12}  what cuDNN and cuBLAS take while they run")
    if plan.train:
        lines.append(f"Kept from the forward for the backward: {shown_bytes(plan.kept)}.")
    lines.append("Most of it at the peak:")
    lines += [
        f"  {held.layer or 'the whole model':<32} {held.kind:<12}{shown_bytes(held.size):>12}"
        for held in plan.largest
    ]
    if plan.unknown:
        lines.append(f"At least: what {', '.join(plan.unknown)} takes inside is unknown.")
    lines += ["", *text_curve(plan, width)]
    lines += ["", *_fits(plan)] if plan.limit is not None else []
    return "\n".join(lines)


def _precision(plan: MemoryPlan) -> str:
    if not plan.amp:
        return plan.dtype
    return f"autocast in {plan.dtype if plan.dtype != 'float32' else 'bfloat16'}"


def _fits(plan: MemoryPlan) -> list[str]:
    assert plan.limit is not None
    limit, reserve = shown_bytes(plan.limit), f"{plan.reserve:.0%} kept for workspace"
    if not plan.biggest:
        assert plan.biggest_peak is not None
        return [f"Nothing fits in {limit} ({reserve}): one image takes {shown_bytes(plan.biggest_peak)}."]
    assert plan.biggest_peak is not None
    assert plan.biggest_reserved is not None
    cached = plan.biggest_reserved - plan.biggest_peak
    more = f" and {shown_bytes(cached)} that PyTorch caches" if cached else ""
    return [
        f"The largest batch that fits in {limit} ({reserve}): {plan.biggest:,}, {shown_bytes(plan.biggest_peak)}{more}."
    ]


def memory_json(plan: MemoryPlan) -> Mapping[str, Any]:
    """The record of `cnnc plan --json`, all amounts in bytes (`cnnc schema plan`)."""
    out: dict[str, Any] = {
        "model": plan.model, "batch": plan.batch, "train": plan.train, "dtype": plan.dtype, "amp": plan.amp,
        "checkpointed": plan.checkpointed, "device": plan.device,
        "peak": {"bytes": plan.peak, "phase": plan.peak_phase, "layer": plan.peak_layer, "parts": dict(plan.parts)},
        "kept": plan.kept,
        "largest": [{"layer": h.layer, "kind": h.kind, "bytes": h.size} for h in plan.largest],
        "curve": {"bytes": list(plan.curve), "phases": dict(plan.phases)},
        "unknown": ["workspace", *plan.unknown],
    }  # fmt: skip
    if plan.limit is not None:
        out["fits"] = {
            "limit": plan.limit, "reserve": plan.reserve, "batch": plan.biggest, "bytes": plan.biggest_peak,
            "reserved": plan.biggest_reserved,
        }  # fmt: skip
    return out
