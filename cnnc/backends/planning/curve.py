"""Memory over time as a picture: for a terminal, and as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from cnnc.backends.pytorch.memory import MemoryPlan
from cnnc.compiler.units import shown_bytes

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def columns(curve: Sequence[int], width: int) -> list[int]:
    """The most that is held in each of `width` equal spans of time (fewer where there are fewer moments)."""
    width = min(width, len(curve))
    edges = [i * len(curve) // width for i in range(width + 1)]
    return [max(curve[a:b]) for a, b in pairwise(edges)]


def text_curve(plan: MemoryPlan, width: int = 60, height: int = 8) -> list[str]:
    """Rows of blocks, the highest first, and the names of the phases below."""
    bars = columns(plan.curve, width)
    top = max(bars)
    lines = []
    for row in range(height - 1, -1, -1):
        filled = "".join(_EIGHTHS[min(8, max(0, round(8 * (bar * height / top - row))))] for bar in bars)
        label = (
            shown_bytes(top) if row == height - 1 else shown_bytes(top // 2) if row == height // 2 - 1 else ""
        )
        lines.append(f"{label:>10} |{filled}".rstrip())
    lines.append(f"{'0':>10} +{'-' * len(bars)}")
    lines.append(f"{'':>12}{_phases(plan, len(bars))}".rstrip())
    return lines


def _phases(plan: MemoryPlan, width: int) -> str:
    if plan.train is None:
        return "forward"
    cells = [" "] * width
    for name in ("forward", "backward", "step"):
        at = plan.phases[name] * width // max(1, len(plan.curve))
        if at + len(name) <= width:
            cells[at : at + len(name)] = name
    return "".join(cells)


def svg_curve(plan: MemoryPlan, width: int = 720, height: int = 260) -> str:
    """The curve as a standalone SVG: memory upward, time to the right, the peak named."""
    left, top, right, bottom = 70, 40, 20, 40
    bars = columns(plan.curve, width - left - right)
    most = max(bars)
    floor, span = height - bottom, height - top - bottom

    def x(moment: float) -> float:
        return round(left + moment * (width - left - right) / max(1, len(plan.curve)), 1)

    points = " ".join(f"{left + i},{floor - span * bar / most:.1f}" for i, bar in enumerate(bars))
    at = x(plan.curve.index(max(plan.curve)))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="20" font-size="14">{escape(plan.model)}: {shown_bytes(plan.peak)} at the peak</text>',
        f'<polygon points="{left},{floor} {points} {left + len(bars) - 1},{floor}" fill="#9ecae1"/>',
        f'<polyline points="{points}" fill="none" stroke="#3182bd"/>',
        f'<line x1="{left}" y1="{floor}" x2="{width - right}" y2="{floor}" stroke="#444"/>',
        f'<line x1="{at}" y1="{top - 6}" x2="{at}" y2="{floor}" stroke="#d94801" stroke-dasharray="3 3"/>',
        f'<text x="{left - 6}" y="{top + 4}" text-anchor="end">{shown_bytes(most)}</text>',
        f'<text x="{left - 6}" y="{floor}" text-anchor="end">0</text>',
    ]
    for name, moment in plan.phases.items():
        if plan.train is not None or name == "forward":
            lines.append(f'<text x="{x(moment)}" y="{floor + 18}">{name}</text>')
            lines.append(
                f'<line x1="{x(moment)}" y1="{floor}" x2="{x(moment)}" y2="{floor + 5}" stroke="#444"/>'
            )
    where = f"{plan.peak_phase} of {plan.peak_layer}" if plan.peak_layer else plan.peak_phase
    anchor = "end" if at > width / 2 else "start"
    lines.append(f'<text x="{at}" y="{top - 8}" text-anchor="{anchor}" fill="#d94801">{escape(where)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
