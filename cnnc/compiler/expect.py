"""Claims: what `expect` lines say of the model, and whether it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import floor

from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import show
from cnnc.compiler.queries import QUERIES, TOTALS, Figures, measured
from cnnc.compiler.setting import network_of, note, settings, span_of
from cnnc.compiler.sizes import is_free, poly_of
from cnnc.compiler.walk.evaluate import evaluate, truth
from cnnc.compiler.walk.values import Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span
from cnnc.dsl.units import parted


@record
class Claim:
    """One `expect` line: its text, whether it holds, and both sides where it is one comparison."""

    text: str
    holds: bool
    left: Value
    right: Value
    span: Span
    unit: str = ""
    """`bytes` where both sides are amounts of memory."""
    at_least: bool = False
    """Whether the figure is a bound, since a part of it is unknown."""

    @property
    def difference(self) -> int | Fraction | None:
        """Left minus right, where both are numbers; None where one depends on a free size."""
        numbers = [v for v in (self.left, self.right) if isinstance(v, int | Fraction) and not is_free(v)]
        return numbers[0] - numbers[1] if len(numbers) == 2 else None

    def failure(self) -> Diagnostic:
        """The finding for a claim that does not hold."""
        message = f"`{self.text}` does not hold"
        if self.left is not None:
            least = "at least " if self.at_least else ""
            message += f": it is {least}{plain(self.left)}{f' {self.unit}' if self.unit else ''}"
        if self.difference:
            way = "more" if self.difference > 0 else "less"
            message += f", {plain(abs(self.difference))} {way} than the {plain(self.right)} claimed"
        elif self.right is not None and self.right != self.left:
            message += f", and {plain(self.right)} is claimed"
        return Diagnostic("E601", message, self.span)


def plain(value: Value, *, sign: bool = False) -> str:
    """A value with separators: 138,357,544 or 64x56x56."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:+,}" if sign else f"{value:,}"
    return ("+" if sign and isinstance(value, Fraction) and value > 0 else "") + show(value)


def check_claims(graph: Graph, known: Figures | None = None) -> tuple[list[Claim], list[Diagnostic]]:
    """Every claim of a spec with its verdict, and what could not be evaluated.

    `known` are the graph's figures, where the caller has some of them already.

    A claim speaks of the params' defaults, and one with settings (`with width=0.5`) of these. Where the graph has other
    values, or a head of another width, claims without settings are left out, with one note (N103).
    """
    changed: Mapping[str, Value] = {**graph.changed, **_heads(graph)}
    figures: dict[tuple[tuple[str, Value], ...], Figures] = {} if changed else {(): known or Figures(graph)}
    claims: list[Claim] = []
    problems: list[Diagnostic] = []
    left_out: list[s.Expect] = []
    for statement in graph.claims:
        if changed and not statement.settings:
            left_out.append(statement)
            continue
        try:
            params = settings(statement, graph)
            key = tuple(params.items())
            if key not in figures:
                figures[key] = Figures(network_of(statement, params, graph))
            claim = judge(statement.claim, figures[key])
            span = span_of(statement)
            claims.append(replace(claim, text=span.text, span=span))
        except CnncError as error:
            problems += error.diagnostics
    if left_out:
        problems.append(note(left_out, changed, has_heads=bool(graph.heads)))
    return claims, problems


def _heads(graph: Graph) -> dict[str, Value]:
    """The heads that were given another width, as they are printed."""
    return {"head" if label is None else f"head {label}": width for label, width in graph.heads.items()}


def judge(claim: s.Expr, figures: Figures) -> Claim:
    """One claim's verdict. Raises CnncError (E602, E203) where it cannot be evaluated."""
    text = claim.span.text
    if not isinstance(claim, s.Compare):
        return Claim(text, truth(figures.known(claim), figures.env).value, None, None, claim.span)
    sides = [claim.first, *(operand for _, operand in claim.rest)]
    unit = _unit_of(sides)
    lacks = [figures.lacking(side) for side in sides]
    values = [
        evaluate(figures.known(side, may_lack=bool(names)), figures.env).value
        for side, names in zip(sides, lacks, strict=True)
    ]
    for side, value in zip(sides, values, strict=True):
        if isinstance(value, str):
            raise figures.unknown(value, side.span)
    verdicts = []
    for i, (op, operand) in enumerate(claim.rest):
        left, right = values[i], values[i + 1]
        holds = _compare(op, left, right, operand, claim.span)
        if lacks[i] or lacks[i + 1]:
            _refuse_guess(op, holds, left, right, lacks[i], lacks[i + 1], claim.span)
        verdicts.append(holds)
    # Where the figure stands on the right (100K <= params < 1M), it is still told first.
    figure, claimed = values[0], values[1] if len(values) == 2 else None
    if isinstance(claim.first, s.Number | s.Dims):
        figure, claimed = values[1], values[0] if len(values) == 2 else None
    return Claim(text, all(verdicts), figure, claimed, claim.span, unit, any(lacks))


def _compare(op: str, left: Value, right: Value, written: s.Expr, span: Span) -> bool:
    if op == "~=":
        if not isinstance(written, s.Number):
            raise fail(
                "E602", "`~=` compares with a number as it is written", written.span,
                hint="for instance: expect params ~= 138M",
            )  # fmt: skip
        unit = _last_digit(written)
        return isinstance(left, int | Fraction) and _rounded(left, unit) == written.value
    if op in ("==", "!="):
        return _equal(_flat(left), _flat(right)) == (op == "==")
    numbers = [v for v in (left, right) if isinstance(v, int | Fraction)]
    if len(numbers) < 2:
        raise fail("E602", f"`{op}` compares numbers, and these are {show(left)} and {show(right)}", span)
    return _ORDER[op](numbers[0], numbers[1])


def _refuse_guess(
    op: str, holds: bool, left: Value, right: Value, left_lacks: tuple[str, ...],
    right_lacks: tuple[str, ...], span: Span,
) -> None:  # fmt: skip
    """Raises E602 where a comparison depends on what is unknown of a figure that is at least so much."""
    more, less = (left, right) if left_lacks else (right, left)
    up = {">": "<", ">=": "<=", "<": ">", "<=": ">="}.get(op, op) if not left_lacks else op
    known = (
        not (left_lacks and right_lacks)
        and isinstance(more, int | Fraction)
        and isinstance(less, int | Fraction)
        and (holds if up in (">", ">=") else not holds if up in ("<", "<=") else more > less)
    )
    if not known:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys((*left_lacks, *right_lacks)))
        message = f"it is at least {plain(more)}, and what {names} adds is unknown"
        hint = "claim `>=`, or let the extern declare it: (shape=same, params=98, macs=0)"
        raise fail("E602", message, span, hint=hint)


def _flat(value: Value) -> Value:
    """A vector's shape and its one number are the same claim."""
    return (
        value[0]
        if isinstance(value, tuple) and len(value) == 1
        else tuple(value)
        if isinstance(value, tuple)
        else value
    )


def _equal(left: Value, right: Value) -> bool:
    """Equality; free sizes are equal where their expressions are, not where they happen to be."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(_equal, left, right))
    if is_free(left) or is_free(right):
        return isinstance(left, int) and isinstance(right, int) and poly_of(left) == poly_of(right)
    return bool(left == right)


def _unit_of(sides: Sequence[s.Expr]) -> str:
    """What a comparison's figures are amounts of. Raises CnncError (E602) where a number has another unit."""
    names = [name for side in sides for name in _figures_in(side)]
    for side in sides:
        if isinstance(side, s.Number) and (unit := parted(side.digits)[2]):
            for name in names:
                if measured(name) != unit:
                    raise fail(
                        "E602",
                        f"`{side.digits}` is in {unit}, and `{name}` is not",
                        side.span,
                        hint=_in_units(),
                    )
    return next((measured(name) for name in names), "")


def _figures_in(expr: s.Expr) -> list[str]:
    """The totals and queries that an expression adds up or scales."""
    match expr:
        case s.Name():
            return [expr.id]
        case s.Call():
            return [expr.name] if expr.name in QUERIES else []
        case s.Arithmetic():
            return [
                name
                for part in (expr.first, *(operand for _, operand in expr.rest))
                for name in _figures_in(part)
            ]
        case _:
            return []


def _in_units() -> str:
    """Which figures are amounts of memory."""
    return f"in bytes: {', '.join(dict.fromkeys(name for name in (*TOTALS, *QUERIES) if measured(name)))}"


def _last_digit(number: s.Number) -> Fraction:
    """The worth of the last digit written: 100,000 for 1.2M.

    >>> from cnnc.dsl.source import Source
    >>> span = Span(Source("", ""), 0, 0)
    >>> _last_digit(s.Number(1_200_000, "1.2M", span))
    Fraction(100000, 1)
    """
    text, unit, _ = parted(number.digits)
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return Fraction(unit) * Fraction(10) ** (int(exponent or 0) - decimals)


def _rounded(value: int | Fraction, unit: Fraction) -> Fraction:
    return floor(Fraction(value) / unit + Fraction(1, 2)) * unit


_ORDER: dict[str, Callable[[int | Fraction, int | Fraction], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
