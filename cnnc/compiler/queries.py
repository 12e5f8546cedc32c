"""What `expect` can ask of a model: its totals, shapes and fields by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

from cnnc.compiler.cost import FIGURES, Costs, costs, lacking, total
from cnnc.compiler.depth import depth
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import Sizes
from cnnc.compiler.receptive_field import ReceptiveField, receptive_field
from cnnc.compiler.symbolic import Exact, normal
from cnnc.compiler.walk.evaluate import evaluate
from cnnc.compiler.walk.values import FileScope, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.source import Span

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

    def lacking(self, expr: s.Expr) -> tuple[str, ...]:
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

    def known(self, expr: s.Expr, *, may_lack: bool = False) -> s.Expr:
        """The expression with every name and query of the model replaced by its value.

        Raises E602 for a figure of which a part is unknown, but where `may_lack` says that it is a bound.
        """
        if not may_lack and self.lacking(expr):
            names = ", ".join(f"`{name}`" for name in self.lacking(expr))
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
            raise self.unknown(name.id, name.span)
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
            raise self.unknown(label, span)
        return self.graph.labels[label]

    def unknown(self, name: str, span: Span) -> CnncError:
        """E203 for a name that means nothing here."""
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
                raise self.unknown(label, span)
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
