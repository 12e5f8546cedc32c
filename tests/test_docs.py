"""The documentation says what is so: every snippet of README.md and docs/ is compiled or run.

What a fenced block must do stands behind its opening fence:

    ```cnn                      checks without an error or a warning
    ```cnn error E405           is refused with that code, and with no other
    ```cnn warns W202           draws that warning, and no other finding
    ```cnn library              is read, and used by other blocks
    ```console                  `$ cnnc …` prints just what follows it; `...` stands for any text
    ```python                   runs, as a doctest where it has `>>>`
    ```python from=SPEC         is a part of the module that SPEC compiles to, letter for letter

`file=NAME` in an opening fence names the file that a block is, for the other
blocks of the page; so does a comment that is not shown, `<!-- file=NAME`, the
text, `-->`. Blocks of other kinds (sh, text, ebnf) are not run; those of ci.md (yaml) in test_ci_page.py.
"""

from __future__ import annotations

import doctest
import json
import re
import runpy
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnnc.cli.commands import cnnc
from cnnc.cli.verdict import check_one
from cnnc.dsl.diagnostics import CODES
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.net import load
from cnnc.reference import to_markdown

ROOT = Path(__file__).parent.parent
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.exists()]
KINDS = {"cnn", "console", "python", "sh", "text", "yaml", "ebnf", "mermaid", "json", "toml", "lua"}
_HIDDEN = re.compile(r"^<!-- file=(\S+)\n(.*?)^-->$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Snippet:
    """One fenced block of a page."""

    page: Path
    line: int
    kind: str
    options: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        """The file it is."""
        return next((o.removeprefix("file=") for o in self.options if o.startswith("file=")), None)

    @property
    def wanted(self) -> tuple[str, ...]:
        """What it must do, `file=` aside."""
        return tuple(o for o in self.options if not o.startswith("file="))

    def __str__(self) -> str:
        return f"{self.page.stem}:{self.line}:{self.kind}"


def snippets(page: Path) -> list[Snippet]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf8")
    found = []
    for match in _BLOCK.finditer(text):
        kind, *options = match["info"].split()
        line = text.count("\n", 0, match.start()) + 1
        found.append(Snippet(page, line, kind, tuple(options), match["text"]))
    return found


SNIPPETS = [snippet for page in PAGES for snippet in snippets(page)]


def of_kind(kind: str) -> list[Snippet]:
    return [snippet for snippet in SNIPPETS if snippet.kind == kind]


def put_files(page: Path, folder: Path) -> None:
    """Write the blocks and comments of a page that are files."""
    for name, text in _HIDDEN.findall(page.read_text(encoding="utf8")):
        (folder / name).write_text(text, encoding="utf8")
    for snippet in snippets(page):
        if snippet.file is not None:
            (folder / snippet.file).write_text(snippet.text, encoding="utf8")


# --- specs ----------------------------------------------------------------------------


@pytest.mark.parametrize("snippet", of_kind("cnn"), ids=str)
def test_spec(snippet: Snippet, folder: Path) -> None:
    put_files(snippet.page, folder)
    path = Path(snippet.file or "spec.cnn")
    path.write_text(snippet.text, encoding="utf8")
    if snippet.wanted == ("library",):
        assert parse(Source(str(path), snippet.text)).statements
        return
    findings = [f for f in check_one(str(path)).findings if f.severity != "note"]
    told = "\n".join(f.render() for f in findings)
    assert {f.code for f in findings} == wanted_codes(snippet), told or "nothing was found"


def wanted_codes(snippet: Snippet) -> set[str]:
    """The codes that a block must draw: `error E405`, `warns W202`, or nothing."""
    match snippet.wanted:
        case ():
            return set()
        case ("error", code) if code in CODES and code.startswith("E"):
            return {code}
        case ("warns", code) if code in CODES and code.startswith("W"):
            return {code}
    raise ValueError(f"{snippet}: `{' '.join(snippet.wanted)}` is nothing that a block can be asked for")


# --- command lines --------------------------------------------------------------------


@pytest.mark.parametrize("snippet", of_kind("console"), ids=str)
def test_console(snippet: Snippet, folder: Path) -> None:
    put_files(snippet.page, folder)
    if re.search(r"^\$ cnnc (verify|bench|import) ", snippet.text, re.MULTILINE):
        pytest.importorskip("torch", reason="the command runs a module")
    printed, code = "", 0
    assert snippet.text.startswith("$ ")
    for line in snippet.text.splitlines():
        if line.startswith("$ "):
            output, code = run(line.removeprefix("$ "), code)
            printed += f"{line}\n{output}"
    pattern = ".*?".join(re.escape(part) for part in snippet.text.split("..."))
    assert re.fullmatch(pattern, printed, re.DOTALL), printed


def run(command: str, before: int) -> tuple[str, int]:
    """What `cnnc …` or `echo $?` prints, and its exit code."""
    if command == "echo $?":
        return f"{before}\n", 0
    words = shlex.split(command)
    if words[0] != "cnnc":
        raise ValueError(f"`{command}`: a console block runs cnnc")
    runner = CliRunner(env={"COLUMNS": "100"})
    done = runner.invoke(cnnc, words[1:], prog_name="cnnc", catch_exceptions=False)
    return done.output, done.exit_code


# --- programs -------------------------------------------------------------------------


@pytest.mark.parametrize("snippet", of_kind("python"), ids=str)
def test_python(snippet: Snippet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_files(snippet.page, folder)
    monkeypatch.syspath_prepend(str(folder))
    spec = next((o.removeprefix("from=") for o in snippet.options if o.startswith("from=")), None)
    if spec is not None:
        assert snippet.text in load(spec).pytorch()
        return
    if re.search(r"import torch|\.module\(", snippet.text):
        pytest.importorskip("torch", reason="the snippet runs a module")
    if ">>>" not in snippet.text:
        exec(compile(snippet.text, str(snippet), "exec"), {"__name__": "__main__"})
        return
    example = doctest.DocTestParser().get_doctest(
        snippet.text, {}, str(snippet), str(snippet.page), snippet.line
    )
    told: list[str] = []
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert doctest.DocTestRunner(optionflags=flags).run(example, out=told.append).failed == 0, "".join(told)


# --- the pages ------------------------------------------------------------------------


def test_blocks_are_of_a_known_kind() -> None:
    """A misspelt fence would go unread; so would one that is not closed."""
    for page in PAGES:
        fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf8"), re.MULTILINE)
        assert all(end == "" for end in fences[1::2]), page.name
        assert {fence.split()[0] for fence in fences[::2]} <= KINDS, page.name
        assert len(snippets(page)) == len(fences) / 2, page.name


def test_settings_can_be_read() -> None:
    """Of the languages that nothing here runs; Neovim's lines are tried in test_editors."""
    readers = {"json": json.loads, "toml": tomllib.loads}
    for page in PAGES:
        for found in _BLOCK.finditer(page.read_text(encoding="utf8")):
            readers.get(found["info"].split()[0], str)(found["text"])


def test_layers_page_is_fresh() -> None:
    """Rewrite it with `make docs`."""
    assert (ROOT / "docs" / "layers.md").read_text(encoding="utf8") == to_markdown()


def test_every_code_is_explained() -> None:
    """docs/errors.md has each code under a heading with its meaning, and an example of what draws it."""
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf8")
    headings = dict(re.findall(r"^### ([EWN]\d{3}): (.*)$", text, re.MULTILINE))
    assert headings == CODES
    sources = [p for p in (ROOT / "cnnc").rglob("*.py") if p.name != "diagnostics.py"]
    drawn = set(re.findall(r'"([EWN]\d{3})"', "".join(p.read_text(encoding="utf8") for p in sources)))
    assert drawn <= set(CODES)
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        code = section[:4]
        assert code not in drawn or re.search(
            rf"^```cnn (error|warns) {code}\b|(error|warning|note) {code}", section, re.MULTILINE
        ), code


def test_every_command_is_explained() -> None:
    """The language's page has a line for each command."""
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf8")
    assert [name for name in cnnc.commands if f"| `cnnc {name}" not in text] == []


def test_links_lead_somewhere() -> None:
    """Links between pages, to files and to headings; what stands in code is no link."""
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf8"), flags=re.MULTILINE | re.DOTALL)
        prose = re.sub(r"`[^`\n]+`", "", prose)
        for target in re.findall(r"\]\(([^)#\s]*)(#[^)\s]+)?\)", prose):
            path, anchor = target
            if "://" in path:
                continue
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), f"{page.name} links to {path}"
            if anchor:
                assert anchor[1:] in anchors(there), f"{page.name} links to {path}{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf8"))
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# --- examples -------------------------------------------------------------------------


def test_train_digits(capsys: pytest.CaptureFixture[str]) -> None:
    """The compiled LeNet-5 learns: the loss falls, and one digit in ten would be chance."""
    pytest.importorskip("torch", reason="the example trains a module")
    pytest.importorskip("sklearn", reason="the example takes scikit-learn's digits")
    example = runpy.run_path(str(ROOT / "examples" / "train_digits.py"))
    result = example["train"]("zoo:lenet5", epochs=2, limit=600)
    assert result.losses[1] < 0.6 * result.losses[0]
    assert result.accuracy > 0.5
    assert capsys.readouterr().out.count("epoch") == 2
