"""The figures of a spec at one point of the space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import cnnc.claimed  # noqa: F401  (answers `memory(…)`)
from cnnc.compiler.bounds import Number
from cnnc.compiler.build import build
from cnnc.compiler.expect import judge
from cnnc.compiler.graph import Graph
from cnnc.compiler.queries import Figures
from cnnc.compiler.walk.values import Value
from cnnc.dsl import syntax as s
from cnnc.dsl.commas import at_commas
from cnnc.dsl.diagnostics import CnncError, Diagnostic, fail
from cnnc.dsl.parse import parse
from cnnc.dsl.record import record
from cnnc.dsl.source import Source
from cnnc.solving.space import Point, Space

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!=", "~=": "~="}


@record
class Wish:
    """One comparison of `--where`: a figure, how it is compared, and with what. `text` is how it was typed."""

    text: str
    figure: s.Expr
    op: str
    limit: s.Expr
    claim: s.Expr


@record
class Found:
    """What one point gives: its figures and which wishes hold, or why it cannot be built."""

    figures: tuple[Number, ...] = ()
    holds: tuple[bool, ...] = ()
    problem: Diagnostic | None = None

    @property
    def is_built(self) -> bool:
        return self.problem is None


def parse_where(texts: Sequence[str]) -> tuple[Wish, ...]:
    """Wishes, several in a text separated by commas. Raises CnncError where one is no comparison of a figure."""
    wishes = []
    for text in (part for given in texts for part in split_commas(given)):
        claim = _expression(f"expect {text}", text)
        if not isinstance(claim, s.Compare) or len(claim.rest) != 1:
            raise fail(
                "E602", f"`{text}` is no comparison", hint="for instance: params <= 5M, rf(layer4) >= 400"
            )
        op, right = claim.rest[0]
        left = claim.first
        if isinstance(left, s.Number | s.Dims):
            left, right, op = right, left, _TURNED[op]
        wishes.append(Wish(text=text, figure=left, op=op, limit=right, claim=claim))
    return tuple(wishes)


def parse_figure(text: str) -> s.Expr:
    """One figure, such as `params` or `rf(layer4)`. Raises CnncError where it is none."""
    claim = _expression(f"expect {text} >= 0", text)
    assert isinstance(claim, s.Compare)
    return claim.first


def _expression(statement: str, text: str) -> s.Expr:
    spec = parse(Source(text, statement + "\n"))
    found = [st.claim for st in spec.statements if isinstance(st, s.Expect)]
    if len(found) != 1 or len(spec.statements) != 1:
        raise fail("E602", f"`{text}` is no claim", hint="for instance: params <= 5M")
    return found[0]


def split_commas(text: str) -> list[str]:
    """The parts between commas outside brackets, without blanks.

    >>> split_commas("params <= 5M, memory(train, batch=8) <= 1 GiB")
    ['params <= 5M', 'memory(train, batch=8) <= 1 GiB']
    """
    return [part.strip() for part in at_commas(text) if part.strip()]


class Evaluator:
    """Builds a spec at points of a space, each once, and looks its figures up."""

    def __init__(
        self,
        spec: s.Spec,
        space: Space,
        figures: Sequence[s.Expr],
        wishes: Sequence[Wish],
        *,
        options: Mapping[str, object],
        progress: Callable[[int], None] = lambda count: None,
    ) -> None:
        """`options` are further ones of `build`: `stem`, `sizes`, `params`, `max_layers`."""
        self.spec, self.space, self.options, self.progress = spec, space, dict(options), progress
        self.figures = [*figures, *(wish.figure for wish in wishes)]
        self.wishes = tuple(wishes)
        self.known: dict[Point, Found] = {}

    def graph(self, point: Point) -> Graph:
        """The graph at a point. Raises CnncError where it cannot be built."""
        options: dict[str, object] = dict(self.options)
        given = options.pop("params", {})
        assert isinstance(given, Mapping)
        return build(self.spec, params={**given, **self.space.params(point)}, **options)  # type: ignore[arg-type]

    def at(self, point: Point) -> Found:
        """The figures at a point: first those asked for, then those of the wishes."""
        found = self.known.get(point)
        if found is None:
            self.progress(len(self.known))
            found = self.known[point] = self._evaluate(point)
        return found

    def _evaluate(self, point: Point) -> Found:
        try:
            graph = self.graph(point)
        except CnncError as error:
            return Found(problem=error.diagnostics[0])
        asked = Figures(graph)
        values = [asked.value(figure) for figure in self.figures]
        numbers = tuple(_number(value, figure) for value, figure in zip(values, self.figures, strict=True))
        return Found(numbers, tuple(judge(wish.claim, asked).holds for wish in self.wishes))


def _number(value: Value, figure: s.Expr) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        raise fail(
            "E602", f"`{figure.span.text}` is not one number", hint="compare one figure, such as params"
        )
    return value
