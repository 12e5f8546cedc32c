"""What each word of a text is, as editors colour it: by the text's form, and by what its names mean where it is understood."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cnnc.compiler.ops import op_words
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.kinds import kinds
from cnnc.live.engine import Analysis
from cnnc.live.names import Occurrence

Piece = tuple[int, int, str, bool]
"""Where a word begins and ends, what it is, and whether it is declared there."""

_MEANINGS = {
    "model": "model", "input": "label", "param": "param", "block": "block", "shared": "block", "extern": "block",
    "used": "block", "parameter": "parameter", "label": "label", "variable": "parameter",
}  # fmt: skip
_HEAD = re.compile(r"[A-Za-z_]+")


def colours(analysis: Analysis) -> list[Piece]:
    """Words in their order, none over another. A text that is broken is coloured by its form alone.

    >>> from cnnc.dsl.source import Source
    >>> from cnnc.live.engine import analyse
    >>> text = "block b(w) = conv3-w\\nx: b(8)"
    >>> [(text[start:end], kind) for start, end, kind, _ in colours(analyse(Source("net.cnn", text)))]
    [('block', 'keyword'), ('b', 'block'), ('w', 'parameter'), ('conv', 'layer'), ('3', 'number'), ('w', 'parameter'), ('x', 'label'), ('b', 'block'), ('8', 'number')]
    """
    names = [] if analysis.tree is None else [_named(place) for place in analysis.names.places]
    taken = {at for start, end, _, _ in names for at in range(start, end)}
    found: list[Piece] = []
    for piece in sorted([*names, *_formed(analysis, taken)]):
        if piece[0] < piece[1] and (not found or found[-1][1] <= piece[0]):
            found.append(piece)
    return found


def _named(place: Occurrence) -> Piece:
    kind = "key" if place.is_key else _MEANINGS[place.symbol.kind]
    return place.span.start, place.span.end, kind, place.declares


def _formed(analysis: Analysis, taken: set[int]) -> Iterator[Piece]:
    try:
        pieces = kinds(analysis.source)
    except CnncError:
        return  # too long a text; the analysis tells it
    words = op_words()
    text = analysis.source.text
    for start, end, kind in pieces:
        if taken and not taken.isdisjoint(range(start, end)):
            continue
        head = _HEAD.match(text, start, end) if kind == "word" else None
        if kind != "word":
            yield start, end, kind, kind == "label"
        elif head is not None and (text[start:end].lower() in words or head[0].lower() in words):
            whole = text[start:end].lower() in words  # relu6
            middle = end if whole else head.end()
            yield start, middle, "layer", False
            if middle < end:
                yield middle, end, "number", False
