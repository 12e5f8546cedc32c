"""docs/ci.md followed literally: the commands of its workflows and hooks are run in a repository like the page's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnnc.cli.commands import cnnc

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf8")
HOOKS = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf8")
WORKFLOWS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [
    command for text in WORKFLOWS for command in re.findall(r"^ *- (?:run: )?(cnnc .*)$", text, re.MULTILINE)
]


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's specs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    for name, text in re.findall(r"^```cnn file=(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf8")
    assert len(list(tmp_path.glob("*.cnn"))) == 2
    return tmp_path


def run(command: str) -> tuple[int, str]:
    done = CliRunner().invoke(cnnc, shlex.split(command)[1:], prog_name="cnnc", catch_exceptions=False)
    return done.exit_code, done.output


def test_the_page_has_workflows() -> None:
    assert COMMANDS == [
        "cnnc fmt --check .",
        "cnnc check . --format github",
        "cnnc check . --format sarif -o cnnc.sarif",
        "cnnc check . --format junit -o cnnc.xml",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_repository_that_is_well_passes(command: str) -> None:
    assert run(command)[0] == 0


@pytest.mark.parametrize("command", [command for command in COMMANDS if "check" in command.split()])
def test_a_claim_that_is_broken_fails(command: str, repository: Path) -> None:
    spec = repository / "small.cnn"
    spec.write_text(spec.read_text().replace("conv3-32", "conv3-64"))
    code, told = run(command)
    assert code == 1
    assert "1 error" in told


def test_a_file_of_the_workflow_is_written(repository: Path) -> None:
    for command in COMMANDS:
        words = shlex.split(command)
        if "-o" in words:
            run(command)
            assert (repository / words[words.index("-o") + 1]).stat().st_size > 200


def hooks() -> dict[str, dict[str, str]]:
    """The hooks by id: the flat YAML of .pre-commit-hooks.yaml, `key: value` to a line."""
    found = {}
    for text in re.split(r"^- ", HOOKS, flags=re.MULTILINE)[1:]:
        fields = dict(re.findall(r"^ *(\w+): (.*)$", text, re.MULTILINE))
        found[fields["id"]] = fields
    return found


def test_the_hooks_are_those_of_the_page() -> None:
    [config] = [text for text in WORKFLOWS if "repos:" in text]
    assert set(re.findall(r"- id: (\S+)", config)) == set(hooks())


@pytest.mark.parametrize("name", hooks())
def test_hooks_run(name: str, repository: Path) -> None:
    """As pre-commit runs them: the entry, its arguments, and the changed files that match where they are passed."""
    hook = hooks()[name]
    assert hook["language"] == "python"
    arguments = hook.get("args", "[]").strip("[]")
    files = (
        [] if hook.get("pass_filenames") == "false" else [str(p) for p in sorted(repository.glob("*.cnn"))]
    )
    assert all(re.search(hook["files"], file) for file in files)
    assert run(" ".join([hook["entry"], arguments, *map(shlex.quote, files)]))[0] == 0


def test_which_changes_start_a_check() -> None:
    files = hooks()["cnnc-check"]["files"]
    assert [
        bool(re.search(files, name)) for name in ("a.cnn", "nets/b.cnn", "cnnc.lock", "nets/cnnc.lock")
    ] == [True] * 4
    assert [bool(re.search(files, name)) for name in ("a.py", "poetry.lock", "mycnnc.lock")] == [False] * 3


def test_the_hook_of_the_page_takes_the_place_of_the_arguments(repository: Path) -> None:
    assert run("cnnc lock .")[0] == 0
    [arguments] = re.findall(r"^ *args: \[(.*)\]$", PAGE, re.MULTILINE)
    assert run(f"cnnc check {arguments.replace(',', '')}")[0] == 0
