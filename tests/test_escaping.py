"""Names from a spec are text in every output: they add no element, no command, no formula and no line.

Each output is read by a parser of its format and held against the output for a harmless name: the same
kinds of elements, attributes and commands, and the name in it as it was written.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

import cnnc
from cnnc.backends import configuration, rf_picture, volumes
from cnnc.cli.formats import render
from cnnc.cli.verdict import Verdict
from cnnc.compiler.baseline import baseline
from cnnc.compiler.graph import Graph

HARMLESS = "name"
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)",
    "</title></style><img src=x onerror=a(1)>",
    "<!--", "-->", "]]>", "<![CDATA[x", "&amp;lt;", "&#60;b&#62;", "'><b a='",
    "a\\", "a\\\\", "\\n", "\\u003c", "{{x}}", "${x}", "%s%n", "%0A::error::x", "::set-output name=x::y",
    "=1+1", "+1", "-1+1", "@SUM(1)", "=HYPERLINK(1)", "|calc", "',x", ";a;b", "`x`", "``` x", "[x](javascript:a)",
    "\\input{x}", "\\write18{x}", "$x$", "a}b", "a{b", "a%b", "a#b", "a_b^c~d", "a&b", "]x[", ">x<", "a;b->c", "a:::input", "#quot;", "#34;",
    "a b", "né", "中文", "‎a",
    "'''", "#{x}", "/*x*/", "//x", "javascript:x", "data:text/html,x",
)  # fmt: skip


def spec_of(name: str) -> str:
    return f'input 3x8x8\n"{name}": conv3-4\n"s": ["{name}": conv3-4 | conv1-4]\nfc-2\noutput "{name}", fc1\n'.replace(
        "fc-2", "fc1: fc-2"
    )


def net_of(name: str) -> cnnc.Net | None:
    """A network with the name in every place a name can have; None where it is refused."""
    try:
        return cnnc.parse(spec_of(name))
    except cnnc.CnncError:
        return None


ACCEPTED = [name for name in HOSTILE if net_of(name) is not None]


def test_most_names_are_accepted() -> None:
    """Else nothing is tested here. Braces hold arithmetic, in quotes too; a label has characters that print."""
    refused = [name for name in HOSTILE if set(name) & set("{}") or not name.isprintable()]
    assert [name for name in HOSTILE if name not in ACCEPTED] == refused
    assert len(ACCEPTED) > len(HOSTILE) * 4 // 5


def written(make: Callable[[cnnc.Net], str], name: str) -> tuple[str, str]:
    """The output for a name, and for the harmless one."""
    hostile, harmless = net_of(name), net_of(HARMLESS)
    assert hostile is not None
    assert harmless is not None
    return make(hostile), make(harmless)


# --- XML and HTML ----------------------------------------------------------------------------


def elements(text: str) -> set[tuple[str, str]]:
    """Every tag with every attribute; what a document can do depends on these alone."""
    found = set()
    for element in ElementTree.fromstring(text).iter():
        found |= {(str(element.tag), ""), *((str(element.tag), key) for key in element.attrib)}
    return found


SVGS: dict[str, Callable[[Graph], str]] = {
    "volumes": volumes.svg,
    "table": lambda graph: configuration.svg([graph]),
    "receptive field": lambda graph: rf_picture.svg(graph, "s"),
}


@pytest.mark.parametrize("picture", SVGS)
@pytest.mark.parametrize("name", ACCEPTED)
def test_svg(name: str, picture: str) -> None:
    text, plain = written(lambda net: SVGS[picture](net.graph), name)
    assert elements(text) <= elements(plain) | {
        ("{http://www.w3.org/2000/svg}tspan", ""), ("{http://www.w3.org/2000/svg}title", ""),
    }  # fmt: skip
    assert not re.search(r"<script|\son\w+=|javascript:", re.sub(r">[^<]*<", "><", text))


class Tags(HTMLParser):
    """The tags with their attributes, and the texts of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self.count = 0
        self.code: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += tag in ("script", "style", "iframe", "img", "a", "object")
        self.found |= {(tag, ""), *((tag, key) for key, _ in attrs)}
        for key, value in attrs:
            if key in ("href", "src", "action", "xlink:href"):
                assert not (value or "").strip().lower().startswith(("javascript:", "data:text/html"))

    def handle_comment(self, data: str) -> None:
        self.code.append("comment")


@pytest.mark.parametrize("name", ACCEPTED)
def test_html(name: str) -> None:
    text, plain = written(lambda net: net.report(), name)
    ours, theirs = Tags(text), Tags(plain)
    assert ours.found == theirs.found
    assert ours.count == theirs.count
    assert ours.code == theirs.code


# --- graphs ----------------------------------------------------------------------------------

_DOT = re.compile(r'"(?:[^"\\]|\\.)*"|<(?:[^<>]|<[^<>]*>)*>|[\w.#]+|->|--|[\[\]{}=;,/]|\s+')


def dot_tokens(text: str) -> list[str]:
    """The tokens of a DOT file, strings and labels as one word each. Raises AssertionError for anything else."""
    found, at = [], 0
    while at < len(text):
        match = _DOT.match(text, at)
        assert match is not None, text[at : at + 40]
        token = match.group()
        at = match.end()
        if token.startswith("<"):
            assert set(re.findall(r"</?(\w+)", token[1:-1])) <= {
                "b",
                "br",
                "font",
                "i",
                "table",
                "tr",
                "td",
            }, token
            assert not re.search(r"&(?!#?\w+;)", token)
        if token.strip():
            found.append("TEXT" if token[0] in '"<' else token)
    return found


@pytest.mark.parametrize("level", ["blocks", "layers"])
@pytest.mark.parametrize("name", ACCEPTED)
def test_dot(name: str, level: str) -> None:
    text, plain = written(lambda net: net.draw("dot", level=level).decode(), name)
    ours = [token for token in dot_tokens(text) if not re.fullmatch(r"[\w.]+", token)]
    theirs = [token for token in dot_tokens(plain) if not re.fullmatch(r"[\w.]+", token)]
    assert ours.count("->") == theirs.count("->")
    assert ours.count("{") == theirs.count("{")
    assert ours.count("TEXT") + 2 >= theirs.count("TEXT")


@pytest.mark.parametrize("name", ACCEPTED)
def test_mermaid(name: str) -> None:
    """What stands outside quotes is the same, and in them nothing that Mermaid or a browser would read."""
    text, plain = written(lambda net: net.draw("mmd", level="layers").decode(), name)
    assert re.sub(r'"[^"\n]*"', '""', text) == re.sub(r'"[^"\n]*"', '""', plain)
    for inside in re.findall(r'"([^"\n]*)"', text):
        rest = re.sub(r"<br/>|#\w+;", "", inside)
        assert not set(rest) & set('<>"`#'), inside


# --- tables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACCEPTED)
def test_csv(name: str) -> None:
    text, plain = written(lambda net: net.summary(format="csv"), name)
    ours, theirs = list(csv.reader(io.StringIO(text))), list(csv.reader(io.StringIO(plain)))
    assert [len(row) for row in ours] == [len(row) for row in theirs]
    for row in ours:
        for cell in row:
            assert re.fullmatch(r"-?\d+", cell) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell
    assert ours[1][0] in (name, f"'{name}")


_ESCAPED = re.compile(r"\\(?:text\w+|dots)\{\}|\\[&%$#_{}]")


def commands(text: str) -> set[str]:
    """LaTeX's commands and special characters, those of escaped characters left out."""
    return set(re.findall(r"\\[A-Za-z]+|\\.|[$%^~]", _ESCAPED.sub("", without_comments(text))))


def without_comments(text: str) -> str:
    """The lines that are no comment; a comment takes its whole line, and TeX reads nothing in it."""
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("%"))


LATEX: dict[str, Callable[[cnnc.Net], str]] = {
    "summary": lambda net: net.summary(format="latex"),
    "volumes": lambda net: volumes.tikz(net.graph),
    "table": lambda net: configuration.latex([net.graph]),
    "receptive field": lambda net: rf_picture.tikz(net.graph, "s"),
}


@pytest.mark.parametrize("kind", LATEX)
@pytest.mark.parametrize("name", ACCEPTED)
def test_latex(name: str, kind: str) -> None:
    text, plain = written(LATEX[kind], name)
    assert commands(text) <= commands(plain) | {"\\textquotesingle", "\\textquotedbl", "\\ldots"}
    bare = _ESCAPED.sub("", without_comments(text))
    assert bare.count("{") == bare.count("}")


@pytest.mark.parametrize("name", ACCEPTED)
def test_markdown(name: str) -> None:
    text, plain = written(lambda net: net.summary(format="md"), name)

    def cells(table: str) -> list[int]:
        return [len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()]

    assert cells(text) == cells(plain)
    assert not re.search(r"(?<!\\)<(?!br)", text)


# --- records ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACCEPTED)
def test_json_and_lock(name: str) -> None:
    import tomllib

    from cnnc.cli.lock_file import render_lock

    net = net_of(name)
    assert net is not None
    read = json.loads(json.dumps(net.to_dict()))
    assert read["layers"][1]["name"] == name or any(layer["name"] == name for layer in read["layers"])
    assert set(read["outputs"]) == {name, "fc1"}
    locked = tomllib.loads(render_lock({f"{name}.cnn": baseline(net.graph)}))
    assert set(locked) == {"version", f"{name}.cnn"}


@pytest.mark.parametrize("name", ACCEPTED)
def test_core_and_python(name: str) -> None:
    net = net_of(name)
    assert net is not None
    assert set(cnnc.parse(net.expand()).outputs) == set(net.outputs)
    try:
        source = net.pytorch()
    except cnnc.CnncError:
        return
    tree = ast.parse(source)
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.If}
    assert sum(isinstance(node, ast.Expr) for node in tree.body) == 1


# --- findings --------------------------------------------------------------------------------

WRONG = (*HOSTILE, "a\x1b[31mb", "a\x07", "a\u200bb", "x" * 3000)


def verdict_of(name: str) -> Verdict:
    """A finding with the name in its message, its excerpt, its trace and its file."""
    text = f'block b(x) = [conv3-4 -> "{name}"]\ninput 3x8x8\nb("{name}")\n"{name}": conv3-4\n"{name}": conv3-4\n'
    try:
        cnnc.parse(text, name=f"{name}.cnn")
    except cnnc.CnncError as error:
        return Verdict(f"{name}.cnn", error.diagnostics)
    raise AssertionError("it is wrong")


@pytest.mark.parametrize("name", WRONG, ids=ascii)
def test_findings(name: str) -> None:
    verdicts = [verdict_of(name)]
    count = len(verdicts[0].findings)
    record: dict[str, Any] = json.loads(render(verdicts, "json"))
    assert len(record["specs"][0]["findings"]) == count
    sarif = json.loads(render(verdicts, "sarif"))
    results = sarif["runs"][0]["results"]
    assert len(results) == count
    for result in results:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"(file:)?[A-Za-z0-9._~/%-]+", uri)
    junit = ElementTree.fromstring(render(verdicts, "junit").encode())
    assert {element.tag for element in junit.iter()} == {"testsuites", "testsuite", "testcase", "error"}
    lines = render(verdicts, "github").splitlines()
    assert len(lines) == count
    for line in lines:
        match = re.fullmatch(r"::error (file=[^,:]*(?:,\w+=[^,:]*)*)::(.*)", line)
        assert match is not None, line
    for finding in verdicts[0].findings:
        assert all(line.isprintable() or "\t" in line for line in finding.render().split("\n"))
