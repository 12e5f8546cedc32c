"""The command line: what it writes where, exit codes, and trouble with files and programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cnnc.cli.commands import cnnc

SPEC = "input 3x8x8\nconv3-8 -> pool -> fc-2\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.cnn").write_text(SPEC)
    return tmp_path


def run(*words: str, stdin: str = "", **variables: str) -> Result:
    return CliRunner(env=variables).invoke(cnnc, words, input=stdin, prog_name="cnnc", catch_exceptions=False)


def process(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnc", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def test_compile_names_the_file_after_the_spec(folder: Path) -> None:
    done = run("compile", "tiny.cnn")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert done.stderr.startswith("wrote tiny.py (482 parameters, 14,080 MACs, ")
    assert "class Tiny(nn.Module):" in (folder / "tiny.py").read_text()
    assert sorted(os.listdir(folder)) == ["tiny.cnn", "tiny.py"]


def test_compile_to_standard_output_writes_no_file(folder: Path) -> None:
    done = run("compile", "tiny.cnn", "-o", "-")
    assert "class Tiny(nn.Module):" in done.stdout
    assert os.listdir(folder) == ["tiny.cnn"]


def test_a_spec_that_is_wrong_writes_nothing(folder: Path) -> None:
    (folder / "wrong.cnn").write_text("conv3-8 -> blorp\n")
    (folder / "wrong.py").write_text("precious")
    for command in ("compile", "draw", "summary", "expand", "check"):
        assert run(command, "wrong.cnn").exit_code == 1, command
    assert (folder / "wrong.py").read_text() == "precious"
    assert sorted(os.listdir(folder)) == ["tiny.cnn", "wrong.cnn", "wrong.py"]


def test_an_overwritten_file_keeps_its_mode(folder: Path) -> None:
    (folder / "tiny.py").write_text("old")
    (folder / "tiny.py").chmod(0o640)
    run("compile", "tiny.cnn")
    assert (folder / "tiny.py").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "words", [("check", "-"), ("summary", "-"), ("expand", "-"), ("compile", "-", "-o", "-")]
)
def test_standard_input_is_a_spec(words: tuple[str, ...]) -> None:
    assert run(*words, stdin=SPEC).exit_code == 0


def test_what_is_written_comes_back_through_standard_input() -> None:
    core = run("expand", "tiny.cnn").stdout
    assert run("expand", "-", stdin=core).stdout == core


def test_check_takes_folders_in_a_fixed_order(folder: Path) -> None:
    (folder / "b").mkdir()
    for name in ("b/z.cnn", "b/a.cnn", "a.cnn"):
        (folder / name).write_text("conv3-8 -> blorp\n")
    done = run("check", ".")
    places = [line.partition(":")[0] for line in done.stderr.splitlines() if "error E" in line]
    assert places == ["a.cnn", "b/a.cnn", "b/z.cnn"]
    assert done.stderr.splitlines()[-1] == "4 specs, 3 errors"
    assert done.exit_code == 1


@pytest.mark.parametrize(
    "words", [(), ("nonsense",), ("check",), ("summary", "tiny.cnn", "--depth", "0"), ("summary", "a", "b"),
              ("summary", "tiny.cnn", "--input", "3x"), ("summary", "tiny.cnn", "--columns", "nonsense"),
              ("compile", "tiny.cnn", "--to", "tensorflow"), ("draw", "tiny.cnn", "-o", "tiny.gif")],
)  # fmt: skip
def test_a_wrong_command_line_is_exit_code_2(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert done.stderr.startswith("Usage: cnnc")


def test_no_graphviz_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    done = run("draw", "tiny.cnn", "-o", "tiny.svg", PATH="")
    assert done.exit_code == 1
    assert done.stderr == (
        "error E802: writing svg requires Graphviz, and neither its `dot` program nor pygraphviz is installed\n"
        "    hint: pip install pygraphviz, or install Graphviz, such as Debian's: apt install graphviz\n"
    )
    assert run("draw", "tiny.cnn", "-o", "tiny.dot", PATH="").exit_code == 0


def test_colour_is_for_terminals_only() -> None:
    for variables in ({}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}):
        assert "\x1b" not in run("check", "nothing.cnn", **variables).output


def test_a_process_prints_no_traceback_and_exits_1() -> None:
    done = process("check", "-", stdin="conv3-8 -> blorp\n")
    assert done.returncode == 1
    assert done.stderr.startswith("<stdin>:1:12: error E201: no layer, block or label is called `blorp`\n")
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m cnnc expand zoo:resnet50 | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "model resnet50\n"
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_file_among_folders_that_cannot_be_made(folder: Path) -> None:
    (folder / "file").write_text("")
    done = run("compile", "tiny.cnn", "-o", "file/net.py")
    assert done.exit_code == 1
    assert done.stderr.startswith("error E703: `file/net.py` cannot be written: ")


def test_a_caller_sees_the_message_and_not_the_way_to_it() -> None:
    """From Python two frames, the caller's and one of ours; in a notebook the message alone."""
    import traceback

    import cnnc

    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.parse("conf3-64")
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert [frame.name for frame in frames][1:] == ["parse", "from_source"]
    assert caught.value.__suppress_context__
    assert caught.value._render_traceback_()[0].startswith("<text>:1:1: error E201")


@pytest.mark.parametrize("words", [("plan", "--fits", "1GiB", "--reserve"), ("bench", "--seconds")])
@pytest.mark.parametrize("number", ["nan", "inf", "-0.1", "x"])
def test_an_option_that_is_a_number_is_one(words: tuple[str, ...], number: str) -> None:
    found = run(*words, number, "zoo:lenet5")
    assert found.exit_code == 2
    assert f"Invalid value for '{words[-1]}'" in found.output
