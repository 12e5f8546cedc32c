"""What can be moved on the page: the numbers among a spec's params, and its free input sizes."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from cnnc.compiler.bounds import Bounds
from cnnc.compiler.walk.values import InputShape, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError
from cnnc.given import parse_value
from cnnc.live.engine import Analysis, Setting

STEPS = 40
"""Of a slider over fractions."""


def sliders(analysis: Analysis) -> list[dict[str, Any]]:
    """Each number that can be moved: its name, value, least and largest, and the step.

    A param's range is what `within` says, else a quarter to four times its value. A free size goes up from the
    smallest that the layers take.

    >>> from cnnc.dsl.source import Source
    >>> from cnnc.live.engine import analyse
    >>> found = sliders(analyse(Source("net.cnn", "input 3xHxH\\nparam w = 8\\nconv5-w(pad=valid)")))
    >>> [(one["name"], one["kind"], one["value"], one["low"]) for one in found]
    [('w', 'param', 8, 2), ('H', 'size', 224, 5)]
    """
    if analysis.graph is None or analysis.tree is None:
        return []
    graph = analysis.graph
    found = []
    for statement in analysis.tree.statements:
        if isinstance(statement, s.Param):
            value = graph.params[statement.name].value
            if isinstance(value, int | Fraction) and not isinstance(value, bool):
                real = isinstance(statement.value, s.Number) and "." in statement.value.digits
                found.append(_param(statement.name, value, graph.bounds.get(statement.name), real))
    smallest = {limit.symbol: limit.smallest for limit in graph.limits}
    for letter in letters(analysis.tree):
        value = graph.free.get(letter)
        low = smallest.get(letter) or 1
        if value is not None:
            one = {
                "name": letter,
                "kind": "size",
                "value": int(value),
                "low": int(low),
                "high": max(4 * int(value), int(low)),
                "step": 1,
            }
            found.append(one)
    return found


def _param(name: str, value: int | Fraction, bounds: Bounds | None, real: bool) -> dict[str, Any]:
    low, high = _ends(value, bounds)
    whole = not real and all(Fraction(n).denominator == 1 for n in (value, low, high))
    one: dict[str, Any] = {"name": name, "kind": "param", "value": _number(value)}
    one |= {"low": _number(low), "high": _number(high), "step": 1 if whole else float(high - low) / STEPS}
    return one


def _ends(value: int | Fraction, bounds: Bounds | None) -> tuple[int | Fraction, int | Fraction]:
    if bounds is not None:
        return bounds.low, bounds.high
    if isinstance(value, int):
        return (min(value, 1) if value <= 4 else value // 4), max(4 * value, 4)
    return value / 4, value * 4


def _number(value: int | Fraction) -> int | float:
    return int(value) if Fraction(value).denominator == 1 else float(value)


def letters(tree: s.Spec) -> tuple[str, ...]:
    """The free sizes that a text declares, in its order."""
    inputs = [st for st in tree.statements if isinstance(st, s.Input)]
    return tuple(dict.fromkeys(part for st in inputs for part in st.dims.parts if isinstance(part, str)))


def setting_of(
    tree: s.Spec | None, params: Mapping[str, Any], sizes: Mapping[str, Any], *, outside: bool
) -> Setting:
    """What the page's sliders set, as the analysis takes it; what the text no longer declares is left out."""
    statements = () if tree is None else tree.statements
    known = {st.name for st in statements if isinstance(st, s.Param)}
    values: dict[str, Value] = {}
    for name, value in params.items():
        if name in known:
            try:
                values[name] = parse_value(name, value)
            except CnncError:
                continue
    shapes: dict[str | None, InputShape] = {}
    numbers = {k: v for k, v in sizes.items() if isinstance(v, int) and 0 < v < 2**31}
    for statement in statements:
        if isinstance(statement, s.Input) and not statement.channels_last:
            parts = statement.dims.parts
            if any(part in numbers for part in parts) and all(isinstance(part, int | str) for part in parts):
                shape = tuple(numbers.get(part, part) if isinstance(part, str) else part for part in parts)
                shapes[statement.name] = shape  # type: ignore[assignment]
    return Setting(values, shapes, outside)
