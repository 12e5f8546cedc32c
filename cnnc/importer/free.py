"""A spec of free sizes, from traces at two sizes: what differs between them must be something that the language can leave open."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from cnnc.compiler.build import build
from cnnc.compiler.expand import label_text
from cnnc.compiler.graph import Graph, Node
from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.importer.against import difference
from cnnc.importer.importing import Imported
from cnnc.importer.traced import Shape, Traced

Size = tuple[int | str, ...]
"""Of an input without the batch; a letter is free."""

_FIRST = 224
_SECOND = ((257, -32), (320, 96))
"""Sizes of the second trace, and how much larger each further letter's is: odd when they are halved again and again, so that no
factor is a coincidence, or multiples of 32 where the module takes no others."""


def free_spec(
    trace: Callable[[Sequence[Shape]], Traced], imported: Callable[[Traced], Imported], sizes: Sequence[Size]
) -> Imported:
    """The flat spec of a module whose inputs have free sizes; `trace` traces it at given ones, which are imported.

    Raises CnncError (E805) where a layer depends on the size in a way that the language cannot leave open, and what
    `trace` raises at the first sizes.
    """
    from cnnc.importer.torch_trace import limits

    letters = list(dict.fromkeys(n for size in sizes for n in size if isinstance(n, str)))
    first = _shapes(sizes, {letter: _FIRST + 32 * i for i, letter in enumerate(letters)})
    traced = trace(first)
    least = limits(traced.live, sizes, first)
    one = imported(traced)
    second, two = _second(lambda shapes: imported(trace(shapes)), sizes, letters)
    text = _joined(one, two, sizes)
    try:
        made = build(parse(Source(f"{one.graph.name}.cnn", text)), stem=one.graph.name)
        found = [
            difference(_at(text, one.graph, shapes), other.graph)
            for shapes, other in ((first, one), (second, two))
        ]
    except CnncError as error:
        raise fail("E805", f"the sizes cannot be free: {error.diagnostics[0].message}", hint=_HINT) from None
    wrong = next((told for told in found if told is not None), None)
    if wrong is not None:
        raise fail("E805", f"the sizes cannot be free: {wrong}", hint=_HINT)
    for letter, size in least.items():
        if size > 2 and _legal(
            text, one.graph, _shapes(sizes, {**dict.fromkeys(letters, _FIRST), letter: size - 1})
        ):
            raise fail(
                "E805",
                f"the sizes cannot be free: below {size} for {letter} the module is another",
                hint=_HINT,
            )
    return replace(one, body=text, graph=made)


def _legal(text: str, graph: Graph, shapes: Sequence[Shape]) -> bool:
    """Whether a spec may have these sizes."""
    try:
        _at(text, graph, shapes)
    except CnncError:
        return False
    return True


_HINT = "give sizes in numbers, as in --input 3x224x224"


def _shapes(sizes: Sequence[Size], values: dict[str, int]) -> list[Shape]:
    return [tuple(values[n] if isinstance(n, str) else n for n in size) for size in sizes]


def _second(
    imported: Callable[[Sequence[Shape]], Imported], sizes: Sequence[Size], letters: list[str]
) -> tuple[list[Shape], Imported]:
    for start, step in _SECOND:
        shapes = _shapes(sizes, {letter: start + step * i for i, letter in enumerate(letters)})
        try:
            return shapes, imported(shapes)
        except Exception as error:  # of the module's own code, or of its weights at another size
            last = error
    told = str(getattr(last, "error", last)).strip().partition("\n")[0]
    raise fail(
        "E805", f"the sizes cannot be free: at another size the module fails: {told}"[:300], hint=_HINT
    ) from None


def _at(text: str, graph: Graph, shapes: Sequence[Shape]) -> Graph:
    names = [None] if len(shapes) == 1 else list(graph.inputs)
    given = dict(zip(names, shapes, strict=True))
    return build(parse(Source(f"{graph.name}.cnn", text)), stem=graph.name, sizes=given)


def _joined(one: Imported, two: Imported, sizes: Sequence[Size]) -> str:
    """The lines that both have, the input's with its letters, and those that differ left open."""
    lines, others = one.body.splitlines(), two.body.splitlines()
    if len(lines) != len(others):
        raise fail(
            "E805", "the sizes cannot be free: at another size the module has other layers", hint=_HINT
        )
    start = lines.index("") + 1
    head = _head(lines[:start], sizes)
    made = []
    nodes = {label_text(node.name): node for node in one.graph.layers}
    for a, b in zip(lines[start:], others[start:], strict=True):
        node = nodes.get(a.rpartition(" -> ")[2].partition(": ")[0])
        line = a if a == b else None if node is None else _left_open(a, b, node, one.graph, two.graph)
        if line is None:
            raise fail(
                "E805",
                f"the sizes cannot be free: `{a.strip()}` is `{b.strip()}` at another size",
                hint=_HINT,
            )
        made.append(line)
    return "\n".join([*head, *made]) + "\n"


def _head(lines: list[str], sizes: Sequence[Size]) -> list[str]:
    given = iter("x".join(map(str, size)) for size in sizes)
    return [
        re.sub(r"\d+(x\d+)*$", lambda _: next(given), line) if line.startswith("input ") else line
        for line in lines
    ]


def _left_open(a: str, b: str, node: Node, one: Graph, two: Graph) -> str | None:
    """A line for both sizes: an interpolation to the size of a tensor, a reshape with one size left open."""
    if node.op.kind == "upsample":
        like = _alike(node, one, two)
        rest = re.search(r"upsample\((?:size=)?\d+(?:x\d+)*(.*)\)$", a)
        if like is not None and rest is not None:
            return a[: rest.start()] + f"upsample(like={like}{rest[1]})"
    if node.op.kind == "reshape":
        mine, other = (re.findall(r"\d+", line.rpartition("reshape(")[2]) for line in (a, b))
        apart = [i for i, (x, y) in enumerate(zip(mine, other, strict=False)) if x != y]
        if len(mine) == len(other) and len(apart) == 1:
            left = ", ".join("_" if i == apart[0] else n for i, n in enumerate(mine))
            return a.rpartition("reshape(")[0] + f"reshape({left})"
    return None


def _alike(node: Node, one: Graph, two: Graph) -> str | None:
    """The last tensor before a layer that has its positions at both sizes."""
    for other in reversed(one.nodes[: node.index]):
        there = two.nodes[other.index].out
        if other.out[1:] == node.out[1:] and there[1:] == two.nodes[node.index].out[1:]:
            return '"input"' if other.name == "input" else label_text(other.name)
    return None
