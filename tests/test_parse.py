"""The parser: trees of known texts, every mistake told once and in its place, and never a traceback."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import broken_texts, network_texts, spec_texts

from cnnc.compiler.build import build
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source

thorough = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SYNTAX_CHARACTERS = '[](){}|+&->*,:="#\n\r\t abxconv3-64.~ife/×→'


def tree(text: str) -> s.Spec:
    return parse(Source("test.cnn", text))


def mistakes(text: str) -> list[tuple[str, int, str]]:
    """Code, line and marked text of every mistake."""
    with pytest.raises(CnncError) as caught:
        tree(text)
    out = []
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.span is not None
        out.append((diagnostic.code, diagnostic.span.line, diagnostic.span.text))
    return out


def check_told_well(text: str, diagnostics: tuple[Diagnostic, ...]) -> None:
    assert diagnostics
    starts = []
    for diagnostic in diagnostics:
        assert diagnostic.span is not None
        starts.append(diagnostic.span.start)
        line, column = diagnostic.span.source.position(diagnostic.span.start)
        source_line = text.split("\n")[line - 1]
        assert 1 <= column <= len(source_line) + 1
        head, *rest = diagnostic.render().split("\n")
        assert head.startswith(f"test.cnn:{line}:{column}: error {diagnostic.code}: ")
        if len(rest) > 1 and set(rest[1].strip()) == {"^"}:
            shown, carets = rest[0], rest[1]
            assert len(carets) <= len(shown) or column == len(source_line) + 1
    assert starts == sorted(starts)
    assert len(set(starts)) == len(starts), "one place is told twice"


@thorough
@given(st.one_of(broken_texts(), st.text(max_size=60), st.text(SYNTAX_CHARACTERS, max_size=60)))
def test_broken_texts_get_diagnostics_and_nothing_else(text: str) -> None:
    try:
        tree(text)
    except CnncError as error:
        check_told_well(text, error.diagnostics)


@thorough
@given(spec_texts())
def test_drawn_specs_parse(text: str) -> None:
    assert tree(text).statements


@settings(thorough, max_examples=100)
@given(network_texts())
def test_drawn_networks_build(text: str) -> None:
    graph = build(tree(text))
    graph.lint()  # `[…]*0` alone is legal: a graph may be its input and no more
    assert graph.outputs


@settings(thorough, max_examples=100)
@given(spec_texts())
def test_spans_lie_in_their_statement_and_in_order(text: str) -> None:
    end = 0
    for statement in tree(text).statements:
        assert end <= statement.span.start < statement.span.end <= len(text)
        end = statement.span.end


# --- trees --------------------------------------------------------------------------


def only(text: str) -> s.Statement:
    (statement,) = tree(text).statements
    return statement


def claim(text: str) -> s.Expr:
    statement = only(f"expect {text}")
    assert isinstance(statement, s.Expect)
    return statement.claim


def test_a_line_break_between_layers_is_an_arrow_and_is_remembered() -> None:
    statement = only("[a\nb -> c\n -> d |\ne]")
    assert isinstance(statement, s.Flow)
    (item,) = statement.pipeline.items
    assert isinstance(item.core, s.Bracket)
    assert isinstance(item.core.body, s.Sides)
    first, second = item.core.body.branches
    assert first.breaks == (False, True, False, False)
    assert second.breaks == (False,)


def test_a_word_keeps_its_literal_pieces_and_its_arithmetic_apart() -> None:
    statement = only("conv{k}-{2*w}/2(groups=4)")
    assert isinstance(statement, s.Flow)
    word = statement.pipeline.items[0].core
    assert isinstance(word, s.Word)
    assert [p if isinstance(p, str) else type(p) for p in word.parts] == [
        "conv",
        s.Name,
        "-",
        s.Arithmetic,
        "/2",
    ]
    assert word.args is not None
    assert [a.key for a in word.args] == ["groups"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("138M", 138_000_000), ("2.5K", 2500), ("1_000", 1000), ("0.50", Fraction(1, 2)), ("1e-3", Fraction(1, 1000))],
)  # fmt: skip
def test_numbers_are_exact_and_keep_their_spelling(text: str, value: int | Fraction) -> None:
    number = claim(text)
    assert isinstance(number, s.Number)
    assert (number.value, number.digits) == (value, text)


def test_arithmetic_binds_as_in_python() -> None:
    assert claim("a + b*c - d") == claim("(a + (b*c) - d)")
    assert claim("-a**2") == claim("-(a**2)")
    assert claim("not a == b and c or d") == claim("((not (a == b)) and c) or d")
    assert claim("a - b - c") != claim("a - (b - c)")
    assert claim("a if b else c if d else e") != claim("(a if b else c) if d else e")


def test_a_statement_word_is_a_keyword_only_where_it_stands_as_one() -> None:
    spec = tree("input 784\noutput: fc-10 -> input\n[input -> model]\noutput output")
    assert [type(statement) for statement in spec.statements] == [s.Input, s.Flow, s.Flow, s.Output]


def test_comments_know_whether_they_have_their_line_to_themselves() -> None:
    spec = tree("# a\npool # b\n  # c\n[pool # d\n# e\n]")
    assert [(c.text, c.own_line) for c in spec.comments] == [
        ("# a", True), ("# b", False), ("# c", True), ("# d", False), ("# e", True),
    ]  # fmt: skip


# --- recovery -----------------------------------------------------------------------


def test_every_mistake_in_one_bracket_is_told() -> None:
    text = """stage: [
  conv3 64
  pool -> -> relu
  [a | ]
  a-b: conv3-64
  conv3-64*2
  bn(3 4)
  fine
]*2 -> pool $
"""
    assert mistakes(text) == [
        ("E104", 2, "64"),
        ("E107", 3, "-> ->"),
        ("E107", 4, "| ]"),
        ("E101", 5, "a-b"),
        ("E106", 6, "conv3-64*2"),
        ("E101", 7, "4"),
        ("E101", 9, "$"),
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[a | b + c d | e]", [("E105", 1, "+"), ("E104", 1, "d")]),
        ("[a b if s else c -> ]", [("E104", 1, "b"), ("E107", 1, "-> ]")]),
        ("[x y\n for n in 1,,2]\nz z", [("E104", 1, "y"), ("E101", 2, ","), ("E104", 3, "z")]),
        ("[| a]\n[a if]", [("E101", 1, "]"), ("E101", 2, "]")]),
        ("conv3-64 → pool", [("E101", 1, "→")]),
        ("[a 'x' b -> c d]", [("E101", 1, "'x'"), ("E104", 1, "d")]),
        ("f: [\n conv3-64(groups=2]\n pool\n]\nx y", [("E102", 2, "]"), ("E104", 5, "y")]),
        ("f: [\n conv3-64(groups=2\n pool\n]*2\nx y", [("E102", 4, "]"), ("E104", 5, "y")]),
        ("[a\n]*{(b}\nx y", [("E102", 2, "}"), ("E104", 3, "y")]),
        ("]\n)", [("E102", 1, "]"), ("E102", 2, ")")]),
        ("f: [a\n  b\ninput 3x3\nx y", [("E102", 1, "["), ("E104", 4, "y")]),
        ("( a\nexpect (#b)", [("E102", 1, "("), ("E102", 2, "(")]),
        ("a + b\nx y", [("E109", 1, "+"), ("E104", 2, "y")]),
    ],
)
def test_mistakes_are_told_once_and_nothing_follows_from_them(
    text: str, wanted: list[tuple[str, int, str]]
) -> None:
    assert mistakes(text) == wanted


@pytest.mark.parametrize(
    "text", ["]\n" * 3000, "[\n" * 3000, "a b\n" * 3000, "[a b\n" + "a b\n" * 3000 + "]", "-" * 5000]
)
def test_masses_of_mistakes_end_in_time(text: str) -> None:
    assert 1 <= len(mistakes(text)) <= 52


def test_only_the_closer_that_fits_is_named() -> None:
    with pytest.raises(CnncError, match=r"unexpected `4` after `3`; expected `\)` or `,` or `else`"):
        tree("bn(3 4)")
    with pytest.raises(CnncError, match=r"hint: join two layers with `->` or a line break"):
        tree("[conv3-64 [pool]]")
