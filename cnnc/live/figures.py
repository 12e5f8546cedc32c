"""Figures in the words that stand in a text's margin: short counts, fields, what a line costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnnc.compiler.cost import Cost, lacking, total
from cnnc.compiler.receptive_field import ReceptiveField
from cnnc.compiler.sizes import is_free
from cnnc.live.engine import Analysis
from cnnc.live.lines import Line

SHOWN = ("shape", "params", "macs", "field")
"""What can stand at the end of a line, in this order."""


def short(number: int) -> str:
    """A count in three digits: 25.6M. One over a free size is an expression and stays whole.

    >>> short(25_557_032), short(999), short(1_000), short(999_999)
    ('25.6M', '999', '1.00K', '1.00M')
    """
    if is_free(number):
        return str(number)
    if abs(number) < 1000:
        return str(number)
    for power, unit in enumerate("KMGTPE", 1):
        scaled = number / 1000**power
        if abs(scaled) < 999.5 or unit == "E":
            return f"{scaled:.{2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0}f}{unit}"
    raise AssertionError("a unit was found")


def cost_of(analysis: Analysis, nodes: Iterable[int]) -> Cost:
    """What some layers cost together."""
    assert analysis.costs is not None
    return total([Cost(), *(analysis.costs.nodes[i] for i in nodes)])


def field_text(field: ReceptiveField | None) -> str | None:
    """The size of a field in the input: `427`, or `7x1` where its axes differ; None where there is none.

    Where a gate sees all of the input, it is the field without the gate.
    """
    if field is None or field.undefined is not None or not field.axes:
        return None
    axes = field.axes if field.ungated is None else field.ungated
    sizes = [axis.size for axis in axes]
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))


def inlay(analysis: Analysis, line: Line, shown: Sequence[str] = ("shape",)) -> str:
    """What stands at the end of a line: ` -> 256x56x56 x3  216K params`."""
    parts = []
    if "shape" in shown:
        times = f"  ({line.times} times)" if line.times > 1 else ""
        parts.append(f"-> {' … '.join(line.shapes)}{times}")
    if {"params", "macs"} & {*shown} and analysis.costs is not None:
        cost = cost_of(analysis, line.nodes)
        names = {analysis.net.graph.nodes[i].name for i in line.nodes} if analysis.net else set()
        for key, title in (("params", "params"), ("macs", "MACs")):
            if key in shown:
                least = "at least " if names & {*lacking(analysis.costs.unknown, key)} else ""
                parts.append(f"{least}{short(getattr(cost, key))} {title}")
    if "field" in shown:
        fields = [field_text(analysis.fields[i]) for i in (line.first, line.last)]
        texts = list(dict.fromkeys(text for text in fields if text is not None))
        if texts:
            parts.append(f"field {' … '.join(texts)}")
    return "  ".join(parts)
