"""The kinds of a text's words, for whoever shows it in colours."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from cnnc.dsl.source import Source
from cnnc.dsl.tokens import RESERVED, STATEMENTS, lay_out

Kind = Literal["comment", "keyword", "number", "string", "label", "key", "word"]
Piece = tuple[int, int, Kind]
"""Where a word begins and ends, and what it is: `key` that of an argument, `word` a layer or another name."""

_KEYWORDS = {word.upper() for word in (*STATEMENTS, *RESERVED, "from", "as", "within", "with")}
_KINDS: dict[str, Kind] = {
    "NUMBER": "number", "DIMS": "number", "UNIT": "number", "STRING": "string", "NAME": "word", "PATH": "word",
}  # fmt: skip


def kinds(source: Source) -> list[Piece]:
    """The words of a text in their order, signs left out; the text need not be right, but what an open bracket
    leaves in doubt is left out.

    >>> text = "a: conv(pad=2)  # so"
    >>> [(text[start:end], kind) for start, end, kind in kinds(Source("net.cnn", text))]
    [('a', 'label'), ('conv', 'word'), ('pad', 'key'), ('2', 'number'), ('# so', 'comment')]

    Raises CnncError (E901) for a text that is too long.
    """
    return sorted(_pieces(source))


def _pieces(source: Source) -> Iterator[Piece]:
    layout = lay_out(source)
    for comment in layout.comments:
        yield comment.span.start, comment.span.end, "comment"
    for statement in layout.statements:
        for token, after in pairwise((*statement, None)):
            assert token is not None
            kind: Kind | None = "keyword" if token.type in _KEYWORDS else _KINDS.get(token.type)
            follows = "" if after is None else after.type
            if token.type in ("NAME", "PATH", "STRING") and follows == "COLON":
                kind = "label"
            elif token.type == "NAME" and follows == "EQUAL":
                kind = "key"
            if kind is not None:
                yield token.span.start, token.span.end, kind
