"""The shell's side of the command line: completion, --version, --help, `python -m cnnc`."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cnnc import __version__
from cnnc.cli import completion
from cnnc.cli.commands import cnnc
from cnnc.compiler.baseline import baseline
from cnnc.net import load

SPECS = Path(__file__).parent.parent / "cnnc" / "specs"
MAIN = "from cnnc.cli import main; main()"
"""The entry point, as the installed script has it."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with specs, and with files and folders that are none."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "vgg16.cnn",
        "vgg 19.cnn",
        "other.py",
        "nets/a.cnn",
        "nets/b.cnn",
        "nets/notes.txt",
        ".git/x.cnn",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("conv3-8\n")
    return tmp_path


def completed(words: str, shell: str = "bash") -> list[str]:
    """What a shell is answered that has these words, the last of them begun."""
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(shlex.split(f"{words}.")) - 1)}
    if shell == "fish":
        variables = {"COMP_WORDS": words, "COMP_CWORD": shlex.split(f"{words}.")[-1].removesuffix(".")}
    environment = {**os.environ, **variables, "_CNNC_COMPLETE": f"{shell}_complete"}
    command = [sys.executable, "-c", MAIN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]


# --- completion -----------------------------------------------------------------------


def test_commands(folder: Path) -> None:
    assert completed("cnnc ") == sorted(cnnc.list_commands(click.Context(cnnc)))
    assert completed("cnnc che") == ["check"]


def test_specs(folder: Path) -> None:
    assert completed("cnnc check ") == ["nets/", "vgg 19.cnn", "vgg16.cnn"]
    assert completed("cnnc check vgg16.cnn vgg") == ["vgg 19.cnn", "vgg16.cnn"]
    assert completed("cnnc summary nets/") == ["nets/a.cnn", "nets/b.cnn"]


def test_a_lone_folder_is_looked_into(folder: Path) -> None:
    """A shell that is given one answer ends the word, and the folder's name is not the whole of it."""
    assert completed("cnnc lock n") == ["nets/a.cnn", "nets/b.cnn"]


def test_hidden_files_by_their_dot(folder: Path) -> None:
    assert completed("cnnc check .") == [".git/x.cnn"]


def test_the_zoo(folder: Path) -> None:
    assert completed("cnnc summary zoo:vgg16") == ["zoo:vgg16", "zoo:vgg16_bn", "zoo:vgg16_c"]
    assert completed("cnnc summary zo")[0].startswith("zoo:")
    assert completed("cnnc fmt zo") == []  # what ships is not for formatting


def test_the_zoo_is_offered_where_there_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(completed("cnnc summary ")) == len(list(SPECS.glob("*.cnn")))


def test_bash_breaks_words_at_colons(folder: Path) -> None:
    assert completed("cnnc summary zoo : vgg16") == ["vgg16", "vgg16_bn", "vgg16_c"]
    assert "vgg16" in completed("cnnc summary zoo :")
    assert completed("cnnc diff zoo : vgg16 zoo : vgg16_") == ["vgg16_bn", "vgg16_c"]


def test_options(folder: Path) -> None:
    assert completed("cnnc check --str") == ["--strict"]
    assert completed("cnnc check --format s") == ["sarif"]


def test_a_folder_that_cannot_be_read() -> None:
    assert completion.complete_spec("/nowhere/at/all") == []


def test_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert [item.value for item in completion.complete_spec("~/nets/a")] == ["~/nets/a.cnn"]


SHELLS = {
    "bash": (
        "eval \"$(_CNNC_COMPLETE=bash_source cnnc)\"; COMP_WORDS=(cnnc check zoo : vgg16_); COMP_CWORD=4; "
        '_cnnc_completion cnnc; printf "%s\\n" "${COMPREPLY[@]}"'
    ),
    # zsh completes in its line editor only: what its functions are handed is printed instead.
    "zsh": (
        'compdef() { }; compadd() { print -l -- ${(P)argv[-1]} }; words=(cnnc check zoo:vgg16_); CURRENT=3; '
        'eval "$(_CNNC_COMPLETE=zsh_source cnnc)"; _cnnc_completion'
    ),
    "fish": "_CNNC_COMPLETE=fish_source cnnc | source; complete -C 'cnnc check zoo:vgg16_'",
}  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_in_the_shell_itself(shell: str, folder: Path) -> None:
    """What `cnnc` prints for a shell is taken by that shell, and answers."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (folder / "bin").mkdir()
    script = folder / "bin" / "cnnc"
    script.write_text(f"#!{sys.executable}\n{MAIN}\n")
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)}
    flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [shell, *flags, "-c", SHELLS[shell]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    answers = [line.partition("\t")[0].removeprefix("zoo:") for line in done.stdout.split()]
    assert answers == ["vgg16_bn", "vgg16_c"], done.stderr


# --- versions and help ----------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["--version"], ["compile", "zoo:lenet5", "-o", "-"], ["check", "x.cnn", "--format=sarif"]]
)
def test_a_folder_that_was_never_installed(words: list[str], tmp_path: Path) -> None:
    """A source tree, a zip or a vendored folder has no metadata to look up."""
    package = Path(__file__).parents[1] / "cnnc"
    shutil.copytree(package, tmp_path / "cnnc", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "x.cnn").write_text("conv3-4")
    run = (
        "import importlib.metadata as m\ndef none(name): raise m.PackageNotFoundError(name)\n"
        "m.version = none\nimport sys, cnnc.cli\nsys.argv = ['cnnc', *sys.argv[1:]]\ncnnc.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", run, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout


def test_versions_of_what_matters() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cnnc", "--version"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0] == f"cnnc {version('cnnc')}" == f"cnnc {__version__}"
    assert lines[1].startswith(f"python {sys.version.split()[0]} on ")
    assert f"pydantic {version('pydantic')}" in lines
    assert re.fullmatch(r"torch (\d.*|not installed)", lines[-1])
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "networkx", "rich", "graphviz", "pydantic"}


def test_the_module_is_the_command() -> None:
    def printed(*words: str) -> str:
        command = [sys.executable, *words, "--help"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert printed("-m", "cnnc") == printed("-c", MAIN)


def commands() -> dict[str, click.Command]:
    context = click.Context(cnnc)
    found = {name: cnnc.get_command(context, name) for name in cnnc.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


EXAMPLES = [
    (name, example)
    for name, command in commands().items()
    for example in re.findall(r"(?:^|Example: )(cnnc [^\n]*)$", command.help or "", re.MULTILINE)
]


def test_every_command_has_an_example() -> None:
    assert {name for name, _ in EXAMPLES} == set(commands())


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_the_examples_of_help_run(
    name: str, example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each example of a --help is printed on one line, and runs where there are `vgg16.cnn` and `specs/`."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(example)
    assert words[:2] == ["cnnc", name]
    assert example in CliRunner().invoke(cnnc, [name, "--help"]).stdout
    if name == "import":
        importlib.import_module(
            "torchvision_oracle"
        ).torchvision_models()  # else skipped: it imports torchvision
    if name == "live":
        return  # it goes on until it is stopped: test_live runs it
    if name in ("verify", "bench"):
        torch = pytest.importorskip("torch", reason="the command runs a module")
        if "cuda" in words and not torch.cuda.is_available():
            pytest.skip("the example needs a CUDA device")
    (tmp_path / "vgg16.cnn").write_text("input 3x8x8\nconv3-8 -> pool -> fc-2\n")
    (tmp_path / "specs").mkdir()
    shutil.copy(tmp_path / "vgg16.cnn", tmp_path / "specs")
    if words[-1].endswith(".pth"):
        _save_weights(words[-2], Path(words[-1]))
    for folder in {Path(word).parent for word in words if "/" in word}:
        folder.mkdir(exist_ok=True, parents=True)
    done = CliRunner().invoke(cnnc, words[1:], prog_name="cnnc", catch_exceptions=False)
    assert done.exit_code == (1 if name == "diff" else 0), done.output


def _save_weights(spec: str, path: Path) -> None:
    """A state dict of the spec's names and shapes, of one element each spread over its tensor."""
    torch = pytest.importorskip("torch", reason="it writes the file of weights")
    tensors = baseline(load(spec).graph).tensors
    shapes = {
        name: [] if text == "scalar" else [int(n) for n in text.split("x")] for name, text in tensors.items()
    }
    torch.save({name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}, path)
