"""Texts in colours: the kinds of their words as classes, whose colours are in `style.css`.

A spec's words are those that the compiler reads, Python's those of its own tokenizer.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterable, Iterator
from html import escape

from cnnc.dsl.kinds import kinds
from cnnc.dsl.source import Source


def spec_html(source: Source) -> str:
    """A spec as HTML, each word in an element of its kind.

    >>> spec_html(Source("net.cnn", "a: conv(pad=2)  # so"))
    '<i class="label">a</i>: conv(<i class="key">pad</i>=<i class="number">2</i>)  <i class="comment"># so</i>'
    """
    return _coloured(source.text, [piece for piece in kinds(source) if piece[2] != "word"])


def python_html(text: str) -> str:
    """Python as HTML, each word in an element of its kind.

    >>> python_html("def f(): return 'a'  # so")
    '<i class="keyword">def</i> <i class="name">f</i>(): <i class="keyword">return</i> <i class="string">&#x27;a&#x27;</i>  <i class="comment"># so</i>'
    """
    return _coloured(text, _python(text))


def _python(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each word begins and ends, and its class."""
    begins = [0]
    for line in io.StringIO(text):
        begins.append(begins[-1] + len(line))
    # Python 3.12 takes strings with holes apart, 3.11 does not: they are one word here.
    openers = {getattr(tokenize, "FSTRING_START", -1)}
    closers = {getattr(tokenize, "FSTRING_END", -1)}
    inside: list[int] = []
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        start, end = (begins[row - 1] + column for row, column in (token.start, token.end))
        if token.type in openers:
            inside.append(start)
        elif token.type in closers:
            start = inside.pop()
            if not inside:
                yield start, end, "string"
        elif inside:
            continue
        elif token.type == tokenize.COMMENT:
            yield start, end, "comment"
        elif token.type == tokenize.STRING:
            yield start, end, "string"
        elif token.type == tokenize.NUMBER:
            yield start, end, "number"
        elif token.type == tokenize.NAME:
            if keyword.iskeyword(token.string):
                yield start, end, "keyword"
            elif before in ("def", "class"):
                yield start, end, "name"
        before = token.string


def _coloured(text: str, pieces: Iterable[tuple[int, int, str]]) -> str:
    parts = []
    at = 0
    for start, end, kind in pieces:
        parts += [escape(text[at:start]), f'<i class="{kind}">{escape(text[start:end])}</i>']
        at = end
    return "".join([*parts, escape(text[at:])])
