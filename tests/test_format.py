"""The formatter: it keeps meaning and comments, settles in one pass, and has one layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from strategies import network_texts, spec_texts

from cnnc.dsl import format as formatter
from cnnc.dsl import syntax as s
from cnnc.dsl.format import (
    MAX_COLUMNS,
    FormatterError,
    format_expr,
    format_source,
    format_spec,
    format_statement,
)
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source

CASES = sorted((Path(__file__).parent / "cases" / "format").glob("*.cnn"))
SPECS = sorted((Path(__file__).parent.parent / "cnnc" / "specs").rglob("*.cnn"))
DIVIDER = "# ---- output\n"

thorough = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def tree(text: str) -> s.Spec:
    return parse(Source("test.cnn", text))


@thorough
@given(spec_texts())
def test_formatting_keeps_meaning_and_comments_and_settles(text: str) -> None:
    spec = tree(text)
    once = format_spec(spec)
    again = tree(once)
    assert again == spec
    assert [c.text for c in again.comments] == [c.text for c in spec.comments]
    assert format_spec(again) == once
    assert format_source(Source("test.cnn", text)) == once


@thorough
@given(spec_texts())
def test_layout_is_clean(text: str) -> None:
    out = format_spec(tree(text))
    assert out.endswith("\n")
    assert "\n\n\n" not in out
    assert not out.startswith("\n")
    assert all(line == line.rstrip() for line in out.splitlines())


@settings(thorough, max_examples=100)
@given(network_texts())
def test_formatting_keeps_networks(text: str) -> None:
    once = format_source(Source("test.cnn", text))
    assert tree(once) == tree(text)


@settings(thorough, max_examples=150)
@given(spec_texts())
def test_statements_print_without_their_spans(text: str) -> None:
    spec = tree(text)
    for statement in spec.statements:
        printed = format_statement(statement)
        assert tree(printed).statements == (statement,)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.name)
def test_specs_that_ship_are_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf8")
    assert format_source(Source(path.name, text)) == text


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_golden(path: Path) -> None:
    given_text, wanted = path.read_text(encoding="utf8").split(DIVIDER)
    assert format_source(Source(path.name, given_text)) == wanted
    assert format_source(Source(path.name, wanted)) == wanted


def test_there_are_golden_cases() -> None:
    assert len(CASES) >= 5


@pytest.mark.parametrize(
    "text",
    [
        "a + b - c", "a + (b - c)", "(a + b) + c", "-a**2", "(-a)**2", "2**-1", "2**(-(a**2))", "-(-a)",
        "not (not a)", "not a == b", "(not a) == b", "(a < b) < c", "a < b < c", "(a or b) and c", "(a and b) and c",
        "a if b else c if d else e", "(a if b else c) if d else e", "a if (b if c else d) else e", "(a,)", "((a, b), c)",
        "max(a, gn(32), k=1)", "a*(b//c)", "a//b % c", "+a", "2*-x", "f(k=a + 1)", "1_000", "0.50", "138M", "3xHxW", '"x y"',
    ],
)  # fmt: skip
def test_parentheses_are_those_the_tree_needs(text: str) -> None:
    (statement,) = tree(f"expect {text}").statements
    assert isinstance(statement, s.Expect)
    printed = format_expr(statement.claim)
    assert tree(f"expect {printed}").statements == (statement,)
    (redundant,) = tree(f"expect (({text}))").statements
    assert isinstance(redundant, s.Expect)
    assert format_expr(redundant.claim) == printed
    assert len(printed) <= len(text)


def test_a_line_that_fits_stays_and_one_more_column_breaks_it() -> None:
    chain = "conv3-64 -> " * 7 + "conv1-64"
    fits = chain + "7" * (MAX_COLUMNS - len(chain))
    assert format_source(Source("t", fits)) == fits + "\n"
    head, _, tail = fits.rpartition(" -> ")
    assert format_source(Source("t", fits + "7")) == f"{head}\n  -> {tail}7\n"


def test_deep_nesting_is_printed() -> None:
    brackets = "[" * 99 + "a" + "]" * 99
    opened = format_source(Source("t", brackets)).splitlines()
    assert opened[50] == " " * 100 + "["
    assert opened[-1] == "]"
    signs = "expect " + "-(" * 98 + "-a" + ")" * 98
    assert format_source(Source("t", signs)) == signs + "\n"


def test_a_changed_meaning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formatter, "format_spec", lambda spec: "pool\n")
    with pytest.raises(FormatterError, match="change its meaning"):
        format_source(Source("t", "conv3-64"))


def test_a_lost_comment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formatter, "format_spec", lambda spec: "pool\n")
    with pytest.raises(FormatterError, match="lose or reorder"):
        format_source(Source("t", "pool # why"))


def test_the_line_ends_of_a_file_stay(tmp_path: Path) -> None:
    """Windows' line ends are kept, and are no reason to format."""
    from click.testing import CliRunner

    from cnnc.cli.commands import cnnc as command

    path = tmp_path / "a.cnn"
    path.write_bytes(b"conv3-8 -> pool\r\nfc-10\r\n")
    assert CliRunner().invoke(command, ["fmt", "--check", str(path)]).exit_code == 0
    path.write_bytes(b"conv3-8  ->  pool\r\nfc-10\r\n")
    assert CliRunner().invoke(command, ["fmt", str(path)]).exit_code == 0
    assert path.read_bytes() == b"conv3-8 -> pool\r\nfc-10\r\n"
    path.write_bytes(b"conv3-8 -> pool\nfc-10\r\n")
    done = CliRunner().invoke(command, ["fmt", "--check", str(path)])
    assert (done.exit_code, "(line ends only)" in done.output) == (1, True)
