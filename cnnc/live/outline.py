"""The outline of a text: what it declares, and what can be folded."""

from __future__ import annotations

from collections.abc import Iterator

from cnnc.dsl import syntax as s
from cnnc.dsl.record import record
from cnnc.dsl.source import Span
from cnnc.live.names import Names, Symbol

OUTLINED = ("model", "input", "param", "block", "shared", "extern", "used", "label")


@record
class Entry:
    """A symbol, and those within it."""

    symbol: Symbol
    children: tuple[Entry, ...]


def outline(names: Names) -> tuple[Entry, ...]:
    """The symbols of a text, each within the one whose text is around it."""
    shown = [symbol for symbol in names.symbols if symbol.kind in OUTLINED]
    shown.sort(key=lambda symbol: (symbol.whole.start, -symbol.whole.end))
    return tuple(_nested(shown, 0, len(shown)))


def _nested(symbols: list[Symbol], start: int, end: int) -> Iterator[Entry]:
    while start < end:
        head = symbols[start]
        after = start + 1
        while after < end and symbols[after].whole.end <= head.whole.end:
            after += 1
        yield Entry(head, tuple(_nested(symbols, start + 1, after)))
        start = after


def folds(tree: s.Spec) -> list[tuple[int, int, str]]:
    """The lines (from 1) that can be folded, the first and the last, by brackets and by comments.

    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> folds(parse(Source("net.cnn", "# a\\n# b\\n[\\n  conv3-8\\n  pool\\n]*2")))
    [(1, 2, 'comment'), (3, 5, 'region')]
    """
    found: dict[int, tuple[int, int, str]] = {}
    for node in s.nodes_in(tree.statements):
        span = _folded(node)
        if span is None or span.source is not tree.source:
            continue
        first, last = span.line, span.source.position(max(span.start, span.end - 1))[0] - 1
        if last > first and last > found.get(first, (0, 0, ""))[1]:
            found[first] = (first, last, "region")
    return sorted([*found.values(), *_comments(tree)])


def _folded(node: object) -> Span | None:
    if isinstance(node, s.Bracket | s.Word | s.Extern):
        return node.span
    return None


def _comments(tree: s.Spec) -> Iterator[tuple[int, int, str]]:
    """Runs of comment lines."""
    lines = [comment.span.line for comment in tree.comments if comment.own_line]
    first = 0
    for i, line in enumerate(lines):
        if i + 1 == len(lines) or lines[i + 1] != line + 1:
            if i > first:
                yield lines[first], line, "comment"
            first = i + 1
