"""From a graph to a picture: how much is shown, which boxes there are, what flows between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from cnnc.backends.diagram.figures import figures
from cnnc.backends.diagram.fold import Detail, Part, boxes_of, parts_of
from cnnc.backends.diagram.picture import Picture
from cnnc.backends.diagram.sketch import draw
from cnnc.compiler.graph import Graph, Scope
from cnnc.dsl.diagnostics import did_you_mean, fail

Level = Literal["blocks", "layers"]

COMFORTABLE = 20
"""Blocks are opened while the picture stays within so many boxes: a chain of these fits a page."""
FEW = 8
"""A picture of fewer boxes says too little: then blocks are opened up to OPENED boxes."""
OPENED = 48
CROWDED = 32
"""Above so many boxes, labelled brackets are closed, the innermost first."""
LOOSE_FROM = 150
"""Above so many boxes, layers that differ in their numbers alone are folded too."""
MOST_OPEN = 600
"""With more boxes than this, all blocks open, the usual picture is taken."""
MOST = 2_000
"""More boxes than this nobody can read, and Graphviz takes minutes for them."""


def picture(
    graph: Graph, *, level: Level = "blocks", block: str | None = None, show: Sequence[str] = ()
) -> Picture:
    """The picture of a graph.

    At level `blocks`, repeats and equal neighbours are one box, and blocks are
    closed unless there is room; at level `layers` every layer is a box. `block`
    names a block, or a scope by its name or label: its first instance is drawn
    alone, with all that is in it. `show` puts figures on the boxes.

    Raises CnncError E201 for an unknown block, E901 where the picture is too large.
    """
    scope = graph.root if block is None else _find(graph, block)
    parts = _parts(graph, scope, level, inside=block is not None)
    drawn = sum(1 for _ in boxes_of(parts))
    if drawn > MOST:
        hint = (
            "--level blocks folds repeats and closes blocks" if level == "layers"
            else "gather layers in blocks or labelled brackets, or draw one: --block NAME"
        )  # fmt: skip
        raise fail("E901", f"the picture would have {drawn:,} boxes; {MOST:,} is the limit", hint=hint)
    return draw(graph, scope, parts, figures(graph, show))


def open_picture(graph: Graph) -> Picture:
    """The picture with every block open and repeats folded, for a reader who closes what is too much.

    Raises CnncError E901 where even the folded picture is too large.
    """
    parts = parts_of(graph, graph.root, Detail(lambda _: True))
    if sum(1 for _ in boxes_of(parts)) > MOST_OPEN:
        return picture(graph)
    return draw(graph, graph.root, parts, ())


def _find(graph: Graph, name: str) -> Scope:
    """The first instance of a block, or the scope of that name or label."""
    scopes = list(_scopes(graph.root))
    for names in (
        [s.block.name if s.block else None for s in scopes],
        [s.name for s in scopes],
        [s.label for s in scopes],
    ):
        if name in names:
            return scopes[names.index(name)]
    known = {s.block.name for s in scopes if s.block} | {s.name for s in scopes}
    hint = did_you_mean(name, known) or _block_hint(scopes)
    raise fail(
        "E201", f"the model uses no block `{name}`, and has no labelled bracket of that name", hint=hint
    )


def _block_hint(scopes: Sequence[Scope]) -> str:
    names = dict.fromkeys(s.block.name for s in scopes if s.block)
    names.update(dict.fromkeys(s.label for s in scopes if s.label is not None))
    if not names:
        return "the spec has neither blocks nor labelled brackets"
    return "there is " + ", ".join(f"`{n}`" for n in list(names)[:8])


def _scopes(scope: Scope) -> Iterator[Scope]:
    """All scopes within a scope, in the order of the text."""
    stack = list(reversed(_inner(scope)))
    while stack:
        item = stack.pop()
        yield item
        stack.extend(reversed(_inner(item)))


def _inner(scope: Scope) -> list[Scope]:
    return [child for child in scope.children if isinstance(child, Scope)]


# --- how much is shown -------------------------------------------------------------------


def _parts(graph: Graph, scope: Scope, level: Level, *, inside: bool) -> tuple[Part, ...]:
    if level == "layers":
        return parts_of(graph, scope, Detail(lambda _: True, cells=False, folds=False))
    if inside:
        return parts_of(graph, scope, Detail(lambda _: True))
    return _fitting(graph, scope)


def _fitting(graph: Graph, scope: Scope) -> tuple[Part, ...]:
    """Blocks closed and brackets open, then opened or closed to fit the page.

    All calls of one block are opened together, if it has branches: a picture that shows one of two
    equal blocks with its inside and the other without says that they differ.
    """
    within = list(_scopes(scope))
    branched = dict.fromkeys(s.block.name for s in within if s.block is not None and _branches(s))
    chains = dict.fromkeys(s.block.name for s in within if s.block is not None and not _branches(s))
    opened: set[str] = set()
    closed: set[int] = set()

    def opens(s: Scope) -> bool:
        return id(s) not in closed and (s.block is None or s.block.name in opened)

    def attempt(*, loose: bool = False) -> tuple[tuple[Part, ...], int]:
        parts = parts_of(graph, scope, Detail(opens, loose=loose))
        return parts, sum(1 for _ in boxes_of(parts))

    parts, drawn = attempt()
    for name in (*branched, *chains):
        opened.add(name)
        more, number = attempt()
        if (number <= COMFORTABLE and name in branched) or (drawn < FEW and number <= OPENED):
            parts, drawn = more, number
        else:
            opened.discard(name)
    for level in reversed(_levels(scope)):
        if drawn <= CROWDED:
            break
        brackets = {id(s) for s in level if s.kind == "bracket" and s.has_sides}
        if brackets:
            closed |= brackets
            parts, drawn = attempt()
    if drawn > LOOSE_FROM:
        parts, drawn = attempt(loose=True)
    return parts


def _branches(scope: Scope) -> bool:
    """Whether a scope has branches in it; what has none is a chain, that a list of words tells as well."""
    return scope.has_sides or any(_branches(inner) for inner in _inner(scope) if inner.kind != "shortcut")


def _levels(scope: Scope) -> list[list[Scope]]:
    """The scopes by how deep they stand, the outermost first."""
    levels = [_inner(scope)]
    while levels[-1]:
        levels.append([inner for s in levels[-1] for inner in _inner(s)])
    return levels[:-1]
