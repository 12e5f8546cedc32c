"""Text to tokens and tokens to a tree, by the tables that lark made of grammar.lark.

Both are a few lines once the tables are there, and importing lark to run them
would take longer than everything else that a small spec needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from cnnc.dsl.source import Source, Span
from cnnc.dsl.tables import ACCEPTING, BLANK, RULES, STATES, TOKENS

END = "$END"
"""The kind of the token after the last."""

_SCAN = re.compile(TOKENS)


class Tok(str):
    """A token: its text, its kind and its span."""

    __slots__ = ("span", "type")

    span: Span
    type: str

    @classmethod
    def make(cls, kind: str, text: str, span: Span) -> Tok:
        token = cls(text)
        token.type = kind
        token.span = span
        return token


def tokens_of(source: Source, start: int = 0, end: int | None = None) -> Iterator[Tok]:
    """Every token of a source, or of a stretch of it, comments and line breaks included, blanks left out."""
    for match in _SCAN.finditer(source.text, start, len(source.text) if end is None else end):
        kind = match.lastgroup
        if kind != BLANK:
            assert kind is not None
            yield Tok.make(kind, match.group(), Span(source, match.start(), match.end()))


def has_more_tokens(source: Source, most: int) -> bool:
    """Whether a source has more than so many tokens, blanks counted; nothing is made of them."""
    return next(islice(_SCAN.finditer(source.text), most, None), None) is not None


class Refused(Exception):
    """A token that cannot stand where it stands, and the kinds of those that could."""

    def __init__(self, token: Tok, expected: frozenset[str]) -> None:
        super().__init__(token)
        self.token = token
        self.expected = expected


Callback = Callable[[list[Any]], Any]


class Parser:
    """Builds a tree from the bottom: `callbacks` has a method for each rule, given the list of what it takes."""

    def __init__(self, callbacks: object) -> None:
        self._callbacks: tuple[Callback | None, ...] = tuple(
            None if name is None else getattr(callbacks, name) for _, _, name, _, _ in RULES
        )

    def parse(self, tokens: Sequence[Tok]) -> Any:
        """The tree of all the tokens. Raises Refused at the first that cannot stand where it stands."""
        states, values = [0], []
        for token in (*tokens, Tok.make(END, "", tokens[-1].span)):
            while True:
                step = STATES[states[-1]].get(token.type)
                if step is None:
                    raise Refused(token, frozenset(kind for kind in STATES[states[-1]] if kind.isupper()))
                if step >= 0:
                    states.append(step)
                    values.append(token)
                    break
                self._reduce(~step, states, values)
                if token.type == END and states[-1] == ACCEPTING:
                    break
        return values[-1]

    def _reduce(self, rule: int, states: list[int], values: list[Any]) -> None:
        """Put what the rule makes in place of what it takes."""
        made, size, _, transparent, lists = RULES[rule]
        taken: list[Any] = []
        if size:
            taken = values[-size:]
            del values[-size:], states[-size:]
        if lists:
            taken = _joined(taken, lists)
        callback = self._callbacks[rule]
        if transparent and len(taken) == 1:
            values.append(taken[0])
        elif callback is None:
            values.append(taken)
        else:
            values.append(callback(taken))
        states.append(STATES[states[-1]][made])


def _joined(taken: list[Any], lists: tuple[int, ...]) -> list[Any]:
    """The children with those that are lists opened up; a first one is extended, so that long lists cost no copies."""
    children: list[Any] = []
    for i, child in enumerate(taken):
        if i not in lists:
            children.append(child)
        elif i == 0:
            children = child
        else:
            children += child
    return children
