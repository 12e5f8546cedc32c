"""Which of a file's params the model's constructor can take: those on which only numbers depend.

`VGG16(width=0.5)` must be what `cnnc -D width=0.5` compiles. Whether it is, is tried: the spec is
elaborated with other values of the param, and the classes must come out with the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from cnnc.backends.pytorch.names import literal
from cnnc.compiler.build import build
from cnnc.compiler.graph import Graph
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError

Kept = Mapping[str, bool]
"""The params that the constructor takes, and whether each may be other than whole."""
Render = Callable[[Graph, Kept, Mapping[str, str]], str]
"""The text of the classes with these params, and these defaults, in the constructor."""


def kept_params(graph: Graph, render: Render) -> Kept:
    """The params of a file that its model's constructor can take."""
    kept = dict(_numbers(graph))
    if not kept:
        return kept
    defaults = default_texts(graph, kept)
    while True:
        text = render(graph, kept, defaults)
        lost = next((name for name in kept if not _is_free(name, graph, kept, text, render)), None)
        if lost is None:
            return kept
        del kept[lost]


def default_texts(graph: Graph, kept: Kept) -> dict[str, str]:
    """The value that each param has in this graph, as Python."""
    values = graph.env.file.params
    return {name: literal(float(values[name]) if real else values[name]) for name, real in kept.items()}


def _numbers(graph: Graph) -> Iterator[tuple[str, bool]]:
    """The params that are numbers, and whether they are written as whole ones."""
    for statement in graph.spec.statements:
        if not isinstance(statement, s.Param):
            continue
        value = graph.env.file.params[statement.name]
        if isinstance(value, bool) or not isinstance(value, int | Fraction):
            continue
        written = statement.value.digits if isinstance(statement.value, s.Number) else ""
        yield statement.name, isinstance(value, Fraction) or "." in written


def _is_free(name: str, graph: Graph, kept: Kept, text: str, render: Render) -> bool:
    """Whether the classes are the same for other values of a param; False where no other value is legal."""
    tried = 0
    for value in _others(graph.env.file.params[name], real=kept[name]):
        other = _with(graph, name, value)
        if other is None:
            continue
        tried += 1
        if render(other, kept, default_texts(graph, kept)) != text:
            return False
    return tried > 0


def _others(value: int | Fraction, *, real: bool) -> Iterator[int | Fraction]:
    """Other values to try: near by and far away, above and below."""
    if real:
        for factor in (Fraction(1, 2), Fraction(3, 4), Fraction(2), Fraction(1, 4), Fraction(3, 2)):
            product = value * factor
            yield product.numerator if isinstance(product, Fraction) and product.denominator == 1 else product
    else:
        yield from dict.fromkeys((value + 1, 2 * value, max(value - 1, 0), value // 2, 3 * value))


def _with(graph: Graph, name: str, value: int | Fraction) -> Graph | None:
    """The same spec with another value of a param; None where that is a mistake."""
    values = {**graph.env.file.params, name: value}
    sizes: dict[str | None, tuple[int, ...]] = {}
    if not graph.free:
        shapes = {key: tuple(map(int, graph.nodes[i].out)) for key, i in graph.inputs.items()}
        sizes = {key if len(shapes) > 1 else None: shape for key, shape in shapes.items()}
    try:
        return build(graph.spec, stem=graph.name, sizes=sizes, params=values)
    except CnncError:
        return None
