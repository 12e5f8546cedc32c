"""Claims: what `expect` lines say of the model, and whether it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from math import floor

from cnnc.compiler.cost import FIGURES, Costs, costs, lacking, total
from cnnc.compiler.depth import depth
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import Sizes, show
from cnnc.compiler.receptive_field import ReceptiveField, receptive_field
from cnnc.compiler.setting import network_of, note, settings, span_of
from cnnc.compiler.sizes import is_free, poly_of
from cnnc.compiler.symbolic import Exact, normal
from cnnc.compiler.walk.evaluate import evaluate, truth
from cnnc.compiler.walk.values import FileScope, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic, did_you_mean, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span
from cnnc.dsl.units import parted

TOTALS = (*FIGURES, "depth", "output")
MEMORY = "memory"
QUERIES = ("rf", "stride", MEMORY, *FIGURES)

MemoryOf = Callable[[Graph, Mapping[str, Value]], int]
"""The peak of memory in bytes, by the arguments of `memory(…)`. It is a backend's to say: see `provide_memory`."""
_PROVIDED: list[MemoryOf] = []


def provide_memory(of: MemoryOf) -> None:
    """Say who answers `memory(…)`; the face does, whose imports may go to the backends."""
    _PROVIDED[:] = [of]


def measured(name: str) -> str:
    """What a total or query gives an amount of: `bytes`; empty for a count or a size."""
    return "bytes" if name == MEMORY else FIGURES[name].unit if name in FIGURES else ""


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
            claim = figures[key].judge(statement.claim)
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


class Figures:
    """The figures of one graph, each computed when it is first asked for.

    `fields` are the receptive fields of all nodes on the first input, where they are known already.
    """

    def __init__(self, graph: Graph, fields: Sequence[ReceptiveField | None] = ()) -> None:
        self.graph = graph
        self.fields = fields
        self.env = FileScope(params={name: given.value for name, given in graph.params.items()}).env()

    @cached_property
    def costs(self) -> Costs:
        return costs(self.graph)

    @cached_property
    def modules(self) -> dict[str, tuple[int, ...]]:
        """The nodes of every module by its name."""
        found: dict[str, tuple[int, ...]] = {node.name: (node.index,) for node in self.graph.nodes}
        found |= {scope.name: tuple(scope.nodes()) for scope in self.graph.scopes() if scope.name}
        return found

    def value(self, expr: s.Expr) -> Value:
        """The value of an expression of figures. Raises CnncError (E602, E203) where it has none."""
        return evaluate(self.known(expr), self.env).value

    def judge(self, claim: s.Expr) -> Claim:
        """One claim's verdict. Raises CnncError (E602, E203) where it cannot be evaluated."""
        text = claim.span.text
        if not isinstance(claim, s.Compare):
            return Claim(text, truth(self.known(claim), self.env).value, None, None, claim.span)
        sides = [claim.first, *(operand for _, operand in claim.rest)]
        unit = _unit_of(sides)
        lacking = [self._lacking(side) for side in sides]
        values = [
            evaluate(self.known(side, may_lack=bool(names)), self.env).value
            for side, names in zip(sides, lacking, strict=True)
        ]
        for side, value in zip(sides, values, strict=True):
            if isinstance(value, str):
                raise self._unknown(value, side.span)
        verdicts = []
        for i, (op, operand) in enumerate(claim.rest):
            left, right = values[i], values[i + 1]
            holds = self._compare(op, left, right, operand, claim.span)
            if lacking[i] or lacking[i + 1]:
                self._refuse_guess(op, holds, left, right, lacking[i], lacking[i + 1], claim.span)
            verdicts.append(holds)
        # Where the figure stands on the right (100K <= params < 1M), it is still told first.
        figure, claimed = values[0], values[1] if len(values) == 2 else None
        if isinstance(claim.first, s.Number | s.Dims):
            figure, claimed = values[1], values[0] if len(values) == 2 else None
        return Claim(text, all(verdicts), figure, claimed, claim.span, unit, any(lacking))

    def _compare(self, op: str, left: Value, right: Value, written: s.Expr, span: Span) -> bool:
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

    # --- what nobody declares ------------------------------------------------------------

    def _lacking(self, expr: s.Expr) -> tuple[str, ...]:
        """The externs that leave a figure open, so that it is at least what is known of it."""
        if isinstance(expr, s.Name) and expr.id in FIGURES:
            return lacking(self.costs.unknown, expr.id)
        if isinstance(expr, s.Call) and expr.name in FIGURES and len(expr.args) == 1:
            label = expr.args[0].value
            nodes = self.modules.get(self._text(label) or "", ())
            names = lacking(self.costs.unknown, expr.name)
            return tuple(name for name in names if any(self.graph.nodes[i].name == name for i in nodes))
        return ()

    def _text(self, label: s.Expr | s.Bracket) -> str | None:
        if isinstance(label, s.Name):
            return label.id
        return str(evaluate(label, self.env).value) if isinstance(label, s.String | s.Interpolated) else None

    def _refuse_guess(
        self, op: str, holds: bool, left: Value, right: Value, left_lacks: tuple[str, ...],
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

    # --- names and queries to values -----------------------------------------------------

    def known(self, expr: s.Expr, *, may_lack: bool = False) -> s.Expr:
        """The expression with every name and query of the model replaced by its value.

        Raises E602 for a figure of which a part is unknown, but where `may_lack` says that it is a bound.
        """
        if not may_lack and self._lacking(expr):
            names = ", ".join(f"`{name}`" for name in self._lacking(expr))
            hint = "compare the figure alone, by `>=`, or let the extern declare it: (shape=same, params=98, macs=0)"
            raise fail("E602", f"{names} leaves `{expr.span.text}` unknown", expr.span, hint=hint)
        if isinstance(expr, s.Name):
            return self._name(expr)
        if isinstance(expr, s.Dims):
            parts = tuple(self.graph.free.get(p, p) if isinstance(p, str) else p for p in expr.parts)
            return replace(expr, parts=parts)
        if isinstance(expr, s.String | s.Interpolated):
            text = expr.value if isinstance(expr, s.String) else str(evaluate(expr, self.env).value)
            return _literal(self._shape(text, expr.span), expr.span)
        if isinstance(expr, s.Call):
            if expr.name in QUERIES:
                return _literal(self._query(expr), expr.span)
            args = tuple(
                a if isinstance(a.value, s.Bracket) else replace(a, value=self.known(a.value))
                for a in expr.args
            )
            return replace(expr, args=args)
        if isinstance(expr, s.Tuple):
            return replace(
                expr, items=tuple(x if isinstance(x, s.Bracket) else self.known(x) for x in expr.items)
            )
        if isinstance(expr, s.Membership):
            return replace(expr, item=self.known(expr.item), members=self.known(expr.members))
        if isinstance(expr, s.Subscript):
            return replace(expr, values=self.known(expr.values), index=self.known(expr.index))
        if isinstance(expr, s.Range):
            low, high = (None if end is None else self.known(end) for end in (expr.low, expr.high))
            return replace(expr, low=low, high=high)
        if isinstance(expr, s.Arithmetic | s.Compare):
            rest = tuple((op, self.known(operand)) for op, operand in expr.rest)
            return replace(expr, first=self.known(expr.first), rest=rest)
        if isinstance(expr, s.Unary):
            return replace(expr, operand=self.known(expr.operand))
        if isinstance(expr, s.Logic):
            return replace(expr, operands=tuple(self.known(o) for o in expr.operands))
        return expr

    def _name(self, name: s.Name) -> s.Expr:
        totals: dict[str, Callable[[], int | Sizes]] = {
            **{key: partial(getattr, self.costs.total, key) for key in FIGURES},
            "depth": lambda: depth(self.graph),
            "output": lambda: self._output(name.span),
        }
        if name.id in self.graph.free:
            return _literal(self.graph.free[name.id], name.span)
        if name.id in totals:
            return _literal(totals[name.id](), name.span)
        if name.id in self.graph.labels:
            return _literal(self._shape(name.id, name.span), name.span)
        if self.env.value(name.id) is None:
            raise self._unknown(name.id, name.span)
        return name

    def _output(self, span: Span) -> Sizes:
        outputs = list(self.graph.outputs.values())
        if len(outputs) > 1:
            names = ", ".join(self.graph.outputs)
            raise fail("E602", f"the model has several outputs: {names}", span, hint="name the one you mean")
        return Sizes(self.graph.nodes[outputs[0]].out)

    def _shape(self, label: str, span: Span) -> Sizes:
        return Sizes(self.graph.nodes[self._place(label, span)].out)

    def _place(self, label: str, span: Span) -> int:
        if label == "output" and label not in self.graph.labels and len(self.graph.outputs) == 1:
            return next(iter(self.graph.outputs.values()))
        if label not in self.graph.labels:
            raise self._unknown(label, span)
        return self.graph.labels[label]

    def _unknown(self, name: str, span: Span) -> CnncError:
        hint = did_you_mean(name, [*TOTALS, *self.graph.labels]) or f"figures are {', '.join(TOTALS)}"
        return fail("E203", f"`{name}` is not a figure, label or module of the model", span, hint=hint)

    def _memory(self, call: s.Call) -> int:
        """`memory(train, batch=32)`: whether in training, or `inference`, and how."""
        asked: dict[str, Value] = {}
        for argument in call.args:
            word = argument.value
            key = argument.key or "train"
            if argument.key is None and not (isinstance(word, s.Name) and word.id in ("train", "inference")):
                hint = "for instance: memory(train, batch=32), or memory(inference)"
                raise fail("E602", "`memory` is asked in `train` or `inference`", argument.span, hint=hint)
            if argument.key is None:
                assert isinstance(word, s.Name)
                value: Value = "sgd" if word.id == "train" else None
            elif isinstance(word, s.Bracket):
                raise fail("E303", f"`{key}` takes no pipeline", argument.span)
            else:
                value = _as_word(word) or evaluate(word, self.env).value
            if key in asked:
                raise fail("E304", f"`{key}` is given twice", argument.span)
            asked[key] = value
        try:
            return _PROVIDED[0](self.graph, asked)
        except ValueError as error:
            raise fail("E602", str(error), call.span) from None

    def _query(self, call: s.Call) -> Exact | tuple[Exact, ...]:
        if call.name == MEMORY:
            return self._memory(call)
        labels = []
        for argument in call.args:
            value = argument.value
            if isinstance(value, s.Name):
                labels.append((value.id, argument.span))
            elif isinstance(value, s.String | s.Interpolated):
                labels.append((str(evaluate(value, self.env).value), argument.span))
            else:
                hint = f"for instance: {call.name}(layer4)"
                raise fail("E602", f"`{call.name}` asks about a label", argument.span, hint=hint)
        most = 2 if call.name in ("rf", "stride") else 1
        if not 1 <= len(labels) <= most:
            asked = "a label, or one label seen from another" if most == 2 else "one label"
            hint = f"for instance: {call.name}(layer4)"
            raise fail("E602", f"`{call.name}` asks about {asked}", call.span, hint=hint)
        label, span = labels[0]
        if call.name in FIGURES:
            nodes = self.modules.get(label)
            if nodes is None and label in self.graph.labels:
                hint = did_you_mean(label, self.modules) or "name a layer, a block or a labelled bracket"
                raise fail("E602", f"`{label}` names a tensor and no module", span, hint=hint)
            if nodes is None:
                raise self._unknown(label, span)
            number: int = getattr(total(self.costs.nodes[i] for i in nodes), call.name)
            return number
        wrt = self._place(*labels[1]) if len(labels) == 2 else None
        of = self._place(label, span)
        field = self.fields[of] if self.fields and wrt is None else receptive_field(self.graph, of, wrt)
        if field is None:
            source = labels[1][0] if len(labels) == 2 else "the input"
            raise fail("E602", f"`{label}` does not depend on `{source}`", call.span)
        return self._field(call, field)

    def _field(self, call: s.Call, field: ReceptiveField) -> Exact | tuple[Exact, ...]:
        if field.undefined is not None:
            raise fail("E602", f"it has no receptive field: {field.undefined}", call.span)
        values = field.size if call.name == "rf" else field.stride
        numbers = tuple(normal(v) for v in values if v is not None)
        if len(numbers) < len(values):
            raise fail("E602", "branches of unequal stride meet in it", call.span)
        return numbers[0] if len({*numbers}) == 1 else numbers


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


def _as_word(expr: s.Expr) -> str | None:
    """A name as a word: `adamw`, or `sgd-momentum`, which reads as a difference."""
    if isinstance(expr, s.Name):
        return expr.id
    return expr.span.text if isinstance(expr, s.Arithmetic) and expr.span.text == "sgd-momentum" else None


def _literal(value: Exact | tuple[Exact, ...], span: Span) -> s.Expr:
    if not isinstance(value, tuple):
        return s.Number(value, str(value), span)
    whole = tuple(n for n in value if isinstance(n, int))
    if len(value) > 1 and len(whole) == len(value):
        return s.Dims(whole, span)
    numbers = tuple(s.Number(n, str(n), span) for n in value)
    return numbers[0] if len(numbers) == 1 else s.Tuple(numbers, span)


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
