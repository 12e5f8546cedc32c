"""The Pygments lexer and the TextMate grammar: nothing unread, nothing lost, the same kinds of things."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, String
from strategies import spec_texts

from cnnc.dsl.tokens import RESERVED, STATEMENTS
from cnnc.highlight import CnncLexer

ROOT = Path(__file__).parent.parent
SPECS = [
    *sorted((ROOT / "cnnc" / "specs").rglob("*.cnn")),
    *sorted((ROOT / "tests" / "cases").rglob("*.cnn")),
]
GRAMMAR = json.loads((ROOT / "editors" / "cnnc.tmLanguage.json").read_text(encoding="utf8"))


def lexed(text: str) -> list[tuple[Any, str]]:
    return list(CnncLexer(ensurenl=False, stripnl=False).get_tokens(text))


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.name)
def test_lexer_reads_every_spec(path: Path) -> None:
    text = path.read_text(encoding="utf8")
    tokens = lexed(text)
    assert "".join(part for _, part in tokens) == text
    assert Error not in {kind for kind, _ in tokens}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec_texts())
def test_lexer_reads_every_text(text: str) -> None:
    text = text.replace("\r\n", "\n")  # Pygments does so itself
    tokens = lexed(text)
    assert "".join(part for _, part in tokens) == text
    assert Error not in {kind for kind, _ in tokens}


# What stands in the text, and what both tools must take it for.
KINDS = {
    "keyword": (Keyword.Declaration, "keyword.declaration"),
    "reserved": (Keyword.Reserved, "keyword.control"),
    "import": (Keyword.Namespace, "keyword.control.import"),
    "declared": (Name.Class, "entity.name.type"),
    "label": (Name.Label, "entity.name.tag"),
    "layer": (Name.Function, "entity.name.function"),
    "argument": (Name.Attribute, "variable.parameter"),
    "variable": (Name.Variable, "variable.other"),
    "number": (Number, "constant.numeric"),
    "operator": (Operator, "keyword.operator"),
    "string": (String.Double, "string.quoted.double"),
    "comment": (Comment.Single, "comment.line"),
}
EXAMPLES = [
    ("model net", {"model": "keyword", "net": "declared"}),
    ("block f(w, s=1) = conv3-w", {"block": "keyword", "f": "declared", "s": "argument", "1": "number"}),
    ("input 3x224x224  # size", {"input": "keyword", "3x224x224": "number", "# size": "comment"}),
    ("input: conv3-64", {"input": "label", "conv3": "layer", "64": "number"}),
    ("stem: conv3-64 -> pool", {"stem": "label", "->": "operator", "pool": "layer"}),
    ('"block1-0": relu', {'"block1-0"': "label", "relu": "layer"}),
    ('use a as b from "my.cnn"', {"use": "keyword", "as": "import", "from": "import", '"my.cnn"': "string"}),
    (
        "[conv{2*w}-64 for k in 1..3]",
        {"w": "variable", "for": "reserved", "in": "reserved", "..": "operator"},
    ),
    ("[id + a -> shortcut]", {"id": "layer", "+": "operator", "shortcut": "layer"}),
    ("expect params ~= 138M", {"expect": "keyword", "params": "layer", "~=": "operator", "138M": "number"}),
    ("conv{max(w, 8)}(norm=gn(32))", {"max": "layer", "norm": "argument", "gn": "layer", "32": "number"}),
    ("[a @ b](axis=W)", {"@": "operator", "axis": "argument", "W": "layer"}),
    ("param width = 1.0 within 0.25..2", {"width": "declared", "within": "import", "0.25": "number"}),
    (
        "expect memory(train) <= 4 GiB with n=2",
        {"memory": "layer", "4 GiB": "number", "with": "import", "n": "argument"},
    ),
    ("expect s{i}.a == 3", {"s": "layer", "i": "variable", ".a": "layer"}),
    ("block f(*stages) = conv3", {"*": "operator", "stages": "layer"}),
    ("[a if k not in 1..4]", {"if": "reserved", "not": "reserved", "in": "reserved"}),
    ("# conv3-64 -> pool", {"# conv3-64 -> pool": "comment"}),
]


@pytest.mark.parametrize(("text", "wanted"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_both_tell_the_same_things_apart(text: str, wanted: dict[str, str]) -> None:
    by_pygments = {part: kind for kind, part in lexed(text)}
    by_textmate = {part: scope for scope, part in textmate(text)}
    for part, kind in wanted.items():
        token, scope = KINDS[kind]
        assert by_pygments[part] in token, part
        assert by_textmate[part].startswith(scope + "."), part


def test_both_know_every_keyword() -> None:
    for word in STATEMENTS:
        assert (Keyword.Declaration, word) in lexed(f"{word} x")
        assert ("keyword.declaration.cnnc", word) in list(textmate(f"{word} x"))
    for word in RESERVED:
        assert (Keyword.Reserved, word) in lexed(f"a {word} b")
        assert ("keyword.control.cnnc", word) in list(textmate(f"a {word} b"))


def test_lexer_is_found_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    (target,) = project["entry-points"]["pygments.lexers"].values()
    assert EntryPoint("cnnc", target, "pygments.lexers").load() is CnncLexer


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.name)
def test_textmate_grammar_reads_every_spec(path: Path) -> None:
    for line in path.read_text(encoding="utf8").splitlines():
        read = {part for _, part in textmate(line)}
        left = line
        for part in sorted(read, key=len, reverse=True):
            left = left.replace(part, " ")
        assert not left.strip(), line


def test_textmate_rules_are_all_used_and_compile() -> None:
    used = set(re.findall(r'"include": "#([\w-]+)"', json.dumps(GRAMMAR)))
    assert used == set(GRAMMAR["repository"])
    for rule in GRAMMAR["repository"].values():
        for key in ("match", "begin", "end"):
            if key in rule:
                assert not re.compile(rule[key]).match("")


def textmate(line: str) -> Iterator[tuple[str, str]]:
    """The scope and text of what a TextMate engine would find on a line: leftmost match, first rule wins."""
    stack: list[dict[str, Any]] = [GRAMMAR]
    at = 0
    while at < len(line):
        ends = [
            {"match": r["end"], "captures": r["endCaptures"], "pop": True} for r in stack[-1:] if "end" in r
        ]
        best = _first_match([*ends, *_rules(stack[-1]["patterns"])], line, at)
        if best is None:
            return
        match, rule = best
        names = rule.get("captures") or rule.get("beginCaptures") or {"0": {"name": rule["name"]}}
        for group, style in names.items():
            yield style["name"], match[int(group)]
        if rule.get("pop"):
            stack.pop()
        elif "begin" in rule:
            stack.append(rule)
        at = match.end()


def _rules(patterns: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for pattern in patterns:
        rule = GRAMMAR["repository"][pattern["include"].removeprefix("#")]
        if "patterns" in rule and "begin" not in rule:
            yield from _rules(rule["patterns"])
        else:
            yield rule


def _first_match(
    rules: list[dict[str, Any]], line: str, at: int
) -> tuple[re.Match[str], dict[str, Any]] | None:
    found = [(re.compile(r.get("match") or r["begin"]).search(line, at), r) for r in rules]
    hits = [(match, rule) for match, rule in found if match]
    return min(hits, key=lambda hit: hit[0].start(), default=None)
