"""The parser against lark itself, which made its tables: the same trees, the same refusals."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from lark import Lark, Transformer
from lark.exceptions import UnexpectedToken

from cnnc.dsl import make_tables, tables
from cnnc.dsl.builder import Builder
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.lalr import Parser, Refused, Tok, tokens_of
from cnnc.dsl.source import Source, Span
from cnnc.dsl.tokens import lay_out

PACKAGE = Path(tables.__file__).parent.parent
SPECS = sorted((PACKAGE / "specs").rglob("*.cnn"))
OURS = Parser(Builder())


class _Callbacks(Builder, Transformer[Any, Any]):
    """Our callbacks, called by lark."""


@pytest.fixture(scope="module")
def lark() -> Lark:
    return Lark(
        (PACKAGE / "dsl" / "grammar.lark").read_text(encoding="utf8"),
        parser="lalr", lexer="basic", keep_all_tokens=True, maybe_placeholders=False,
        transformer=_Callbacks(),
    )  # fmt: skip


def statements(path: Path) -> list[tuple[Tok, ...]]:
    return list(lay_out(Source(path.name, path.read_text(encoding="utf8"))).statements)


def by_lark(lark: Lark, tokens: Sequence[Tok]) -> object:
    """The tree, or what stands where it cannot and what could."""
    parser = lark.parse_interactive()
    try:
        for token in tokens:
            parser.feed_token(token)
        return parser.feed_eof()
    except UnexpectedToken as error:
        return error.token.type, frozenset(error.expected)
    except CnncError as error:
        return str(error)


def by_us(tokens: Sequence[Tok]) -> object:
    try:
        return OURS.parse(tokens)
    except Refused as error:
        return error.token.type, error.expected
    except CnncError as error:
        return str(error)


def told(tree: Any) -> Any:
    """A tree with its spans, which equality of trees passes over."""
    if isinstance(tree, Source):
        return tree.name
    if is_dataclass(tree):
        return type(tree), [told(getattr(tree, f.name)) for f in fields(tree)]
    return [told(part) for part in tree] if isinstance(tree, tuple) else tree


def test_the_tables_are_those_of_the_grammar() -> None:
    text = Path(tables.__file__).read_text(encoding="utf8")
    assert text == make_tables.source(), "grammar.lark has changed: make tables"


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_the_same_trees(lark: Lark, path: Path) -> None:
    for tokens in statements(path):
        tree = by_us(tokens)
        assert not isinstance(tree, tuple | str)
        assert told(tree) == told(by_lark(lark, tokens))


def test_the_same_refusals(lark: Lark) -> None:
    """Tokens left out, doubled and swapped at random: both refuse the same token and expect the same."""
    draw = random.Random(7)
    short = [tokens for path in SPECS for tokens in statements(path) if len(tokens) < 60]
    kinds = sorted({kind for row in tables.STATES for kind in row if kind.isupper() and kind.isalpha()})
    refused = 0
    for _ in range(1500):
        tokens = list(draw.choice(short))
        i = draw.randrange(len(tokens))
        change = draw.randrange(4)
        if change == 0 and len(tokens) > 1:
            del tokens[i]
        elif change == 1:
            tokens.insert(i, tokens[draw.randrange(len(tokens))])
        elif change == 2:
            tokens[i] = tokens[draw.randrange(len(tokens))]
        else:
            tokens[i] = Tok.make(draw.choice(kinds), "x", tokens[i].span)
        try:
            found = by_us(tokens)
        except (AssertionError, ValueError):  # a swapped kind's text is not that of its kind
            continue
        assert found == by_lark(lark, tokens)
        refused += isinstance(found, tuple)
    assert refused > 500


def test_the_same_tokens(lark: Lark) -> None:
    for path in SPECS:
        text = path.read_text(encoding="utf8") + '\n\t$ " é\f->~= a.b.1 3x4xN 1.5e3 2K 7Kx'
        source = Source(path.name, text)
        expected = [(t.type, str(t), t.start_pos, t.end_pos) for t in lark.lex(text)]
        assert [(t.type, str(t), t.span.start, t.span.end) for t in tokens_of(source)] == expected


def test_a_token_after_the_last() -> None:
    source = Source("spec", "conv3-8")
    with pytest.raises(Refused) as refusal:
        OURS.parse([Tok.make("INPUT", "input", Span(source, 0, 4))])
    assert refusal.value.token.type == "$END"
    assert {"NUMBER", "NAME"} <= refusal.value.expected
