"""Specs from somebody else: which files are read, what bytes may stand in them, and that nothing is imported or run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.cli.commands import cnnc as cnnc_command
from cnnc.dsl.format import format_source
from cnnc.dsl.source import Source

OUTSIDE = "E705.*lies outside the folder of the spec"


def spec(folder: Path, used: str, name: str = "spec.cnn") -> Path:
    """A spec that uses a file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'use cell from "{used}"\ninput 3x8x8\ncell\n', encoding="utf8")
    return path


def cells(path: Path) -> Path:
    """A file to be used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("block cell = conv3-4\n", encoding="utf8")
    return path


# --- which files -----------------------------------------------------------------------------


def test_files_beside_and_below_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells(tmp_path / "cells.cnn")
    cells(tmp_path / "parts" / "cells.cnn")
    for used in ("cells.cnn", "parts/cells.cnn", "./parts/../cells.cnn", str(tmp_path / "cells.cnn")):
        assert cnnc.load(spec(tmp_path, used)).params == 112
    monkeypatch.chdir(tmp_path)  # a name without a folder
    assert cnnc.load("spec.cnn").params == 112


def test_files_outside_need_the_flag(tmp_path: Path) -> None:
    secret = cells(tmp_path / "cells.cnn")
    (tmp_path / "main" / "parts").mkdir(parents=True)
    for used in ("../cells.cnn", "parts/../../cells.cnn", str(secret)):
        path = spec(tmp_path / "main", used)
        with pytest.raises(cnnc.CnncError, match=OUTSIDE):
            cnnc.load(path)
        with pytest.raises(cnnc.CnncError, match=OUTSIDE):
            cnnc.parse(path.read_text(encoding="utf8"), name=str(path))
        assert cnnc.load(path, allow_outside=True).params == 112


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        (".git/HEAD", ""),
        ("pyproject.toml", "[tool.cnnc]\n"),
        ("sub/pyproject.toml", '[tool.cnnc]\nroot = ".."\n'),
    ],
)
def test_a_project_is_one_folder(tmp_path: Path, mark: str, text: str) -> None:
    """From the command line and from Python alike, whatever folder is named."""
    project = tmp_path / "project"
    (project / mark).parent.mkdir(parents=True)
    (project / mark).write_text(text, encoding="utf8")
    cells(project / "lib" / "cells.cnn")
    path = spec(project / "sub" / "nets", "../../lib/cells.cnn")
    assert cnnc.load(path).params == 112
    assert cnnc.parse(path.read_text(encoding="utf8"), name=str(path)).params == 112
    cells(tmp_path / "cells.cnn")
    with pytest.raises(cnnc.CnncError, match=r"E705.*lies outside the project of the spec"):
        cnnc.load(spec(project / "sub" / "nets", "../../../cells.cnn"))


def test_what_lies_outside_is_not_told(tmp_path: Path) -> None:
    """The message is the same whether the file is there or not, and has nothing of its text."""
    (tmp_path / "password").write_text("hunter2\n", encoding="utf8")
    told = []
    for used in ("../password", "../nothing_"):
        with pytest.raises(cnnc.CnncError, match=OUTSIDE) as caught:
            cnnc.load(spec(tmp_path / "main", used))
        told.append(str(caught.value).replace(used, ""))
    assert told[0] == told[1]
    assert "hunter2" not in told[0]


def test_a_used_file_stays_in_the_folder_of_the_first(tmp_path: Path) -> None:
    """Not in its own: `parts/` may use what lies beside the spec, and nothing above that."""
    cells(tmp_path / "cells.cnn")
    cells(tmp_path / "main" / "cells.cnn")
    middle = tmp_path / "main" / "parts" / "middle.cnn"
    path = spec(tmp_path / "main", "parts/middle.cnn")
    middle.parent.mkdir()
    middle.write_text('use cell as inner from "../cells.cnn"\nblock cell = inner\n', encoding="utf8")
    assert cnnc.load(path).params == 112
    middle.write_text('use cell as inner from "../../cells.cnn"\nblock cell = inner\n', encoding="utf8")
    with pytest.raises(cnnc.CnncError, match=OUTSIDE):
        cnnc.load(path)


def test_links_are_followed_before_they_are_judged(tmp_path: Path) -> None:
    cells(tmp_path / "cells.cnn")
    cells(tmp_path / "main" / "inside.cnn")
    path = spec(tmp_path / "main", "link.cnn")
    link = tmp_path / "main" / "link.cnn"
    link.symlink_to("inside.cnn")
    assert cnnc.load(path).params == 112
    link.unlink()
    link.symlink_to("../cells.cnn")
    with pytest.raises(cnnc.CnncError, match=OUTSIDE):
        cnnc.load(path)
    link.unlink()
    link.symlink_to("link.cnn")  # round in a circle
    with pytest.raises(cnnc.CnncError, match="E701"):
        cnnc.load(path)


def test_a_spec_behind_a_link_is_at_home_where_the_link_is(tmp_path: Path) -> None:
    cells(tmp_path / "here" / "cells.cnn")
    there = spec(tmp_path / "there", "cells.cnn")
    (tmp_path / "here" / "link.cnn").symlink_to(there)
    assert cnnc.load(tmp_path / "here" / "link.cnn").params == 112


def test_a_folder_of_a_similar_name_is_outside(tmp_path: Path) -> None:
    cells(tmp_path / "main2" / "cells.cnn")
    with pytest.raises(cnnc.CnncError, match=OUTSIDE):
        cnnc.load(spec(tmp_path / "main", "../main2/cells.cnn"))


def test_what_ships_is_used_from_everywhere() -> None:
    assert cnnc.parse("use se from std\ninput 16x8x8\nse\n", name="/no/such/folder/x.cnn").params
    assert cnnc.load("zoo:resnet50").params == 25_557_032


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    """Nobody writes to the pipe, and a device has no end: reading would never come back."""
    os.mkfifo(tmp_path / "pipe")
    specs = [
        tmp_path / "pipe",
        spec(tmp_path, "pipe"),
        spec(tmp_path, "/dev/zero", "zero.cnn"),
        Path("/dev/zero"),
    ]
    command = [sys.executable, "-m", "cnnc", "check", "--allow-outside", *map(str, specs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.count("is not a regular file") == 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the file and its opening, somebody may exchange it."""
    regular = cells(tmp_path / "cells.cnn").stat()
    os.mkfifo(tmp_path / "pipe")
    real = os.stat
    monkeypatch.setattr(
        os, "stat", lambda path, **more: regular if str(path).endswith("pipe") else real(path, **more)
    )
    with pytest.raises(cnnc.CnncError, match="is not a regular file"):
        cnnc.load(tmp_path / "pipe")


# --- which bytes -----------------------------------------------------------------------------

GOOD = b"input 3x8x8\nconv3-4  # one\n"


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"\xef\xbb\xbf" + GOOD, None),
        (GOOD.replace(b"\n", b"\r\n"), None),
        (GOOD.replace(b" ", b"\t"), None),
        (GOOD.rstrip(b"\n"), None),
        (GOOD.replace(b"one", "größer, 中文, עברית, عربى".encode()), None),
        (GOOD.replace(b"one", b"\xe9"), "E702.*not UTF-8 text .byte 23."),
        (GOOD.decode().encode("utf-16"), "E702"),
        (GOOD.replace(b"one", b"\0"), "E702.*a binary file"),
        (GOOD.replace(b"one", b"\xed\xa0\x80"), "E702.*not UTF-8"),
        (GOOD.replace(b"\n", b"\r"), "E101.*U.000D looks like a line break"),
        (GOOD.replace(b"one", b"one\rconv3-9"), "E101.*U.000D looks like a line break"),
        (GOOD.replace(b"one", "one\u2028conv3-9".encode()), "E101.*U.2028 looks like a line break"),
        (GOOD.replace(b"one", "one\x85conv3-9".encode()), "E101.*U.0085 looks like a line break"),
        (GOOD.replace(b"4", "4\u202e".encode()), "E101.*U.202E"),
        (GOOD.replace(b"one", "\u202eeno".encode()), "E101.*U.202E changes the order"),
        (GOOD.replace(b"conv3-4", '"a\u2066": conv3-4'.encode()), "E101.*U.2066 changes the order"),
        (GOOD.replace(b"conv3-4", '"a\u200b": conv3-4'.encode()), "E101.*cannot be a label"),
        (GOOD.replace(b"conv3-4", "ｃonv3-4".encode()), "E101"),
        (b"\xef\xbb\xbf" * 2 + GOOD, "E101.*U.FEFF"),
    ],
)  # fmt: skip
def test_bytes(raw: bytes, wanted: str | None, tmp_path: Path) -> None:
    path = tmp_path / "spec.cnn"
    path.write_bytes(raw)
    if wanted is None:
        net = cnnc.load(path)
        assert net.params == 112
        return
    with pytest.raises(cnnc.CnncError, match=wanted) as caught:
        cnnc.load(path)
    assert all(line.isprintable() for line in str(caught.value).splitlines())


def test_a_text_from_python_is_read_as_one_from_a_file() -> None:
    """What no file can hold is refused too, or harmless."""
    texts = ("conv3-4\0", "conv3-4 # \ud800", '"\ud800": conv3-4', "\udcff")
    for text in (*texts, 'use f from "a\0.cnn"\nf', 'use f from "\ud800.cnn"\nf'):
        try:
            net = cnnc.parse(f"input 3x8x8\n{text}\n")
        except cnnc.CnncError as error:
            str(error).encode()
        else:
            net.pytorch().encode()
            net.expand().encode()


def test_formatting_gives_plain_line_ends() -> None:
    assert format_source(Source("a.cnn", "\tconv3-4\r\n\tconv3-8 # x\r\n")) == "conv3-4\nconv3-8  # x\n"


# --- nothing is run --------------------------------------------------------------------------

MODULE = """
import pathlib
pathlib.Path(__file__).with_name("TRACE").write_text("imported")
raise SystemExit("imported")
"""
EXTERN = """input 3x8x8
extern own(k=7) = "hostile:Layer" (shape=same, params=k*k, macs=0)
extern deep = "hostile.inner:Other" (shape=(C, H, W))
conv3-4 -> own(3) -> deep
expect output == 4x8x8
"""


@pytest.mark.parametrize(
    "command",
    [
        ("check", "-v"), ("summary",), ("summary", "--json"), ("expand",), ("draw", "-o", "out.dot"),
        ("draw", "-o", "out.mmd"), ("draw", "--style", "volumes", "-o", "out.svg"), ("compile", "-o", "out.py"),
        ("compile", "--to", "json", "-o", "out.json"), ("report", "-o", "out.html"), ("fmt", "--check"), ("lock",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_externs_are_not_imported(command: tuple[str, ...], tmp_path: Path) -> None:
    """A module that leaves a trace, where Python would find it first."""
    package = tmp_path / "hostile"
    package.mkdir()
    for name in ("__init__.py", "inner.py"):
        (package / name).write_text(MODULE, encoding="utf8")
    for name in ("torch.py", "graphviz.py"):  # nor what lies beside the spec by chance
        (tmp_path / name).write_text(MODULE, encoding="utf8")
    (tmp_path / "spec.cnn").write_text(EXTERN, encoding="utf8")
    words, options = command[:1], command[1:]
    script = "import sys; sys.path.append('.'); from cnnc.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, *words, "spec.cnn", *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("TRACE"))


def test_arithmetic_is_not_python() -> None:
    for text in (
        "__import__('os')",
        "().__class__",
        "open(1)",
        "eval(1)",
        "lambda: 1",
        "[i for i in C]",
        "C.real",
        "'a'",
    ):
        with pytest.raises(cnnc.CnncError):
            cnnc.parse(f"input 3x8x8\nconv3-{{{text}}}\n")


# --- folders that are named -----------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Specs in one folder that use a file of another beside it."""
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("nets/a.cnn", 'use twice from "../parts/blocks.cnn"\ninput 3x8x8\ntwice(8)\nexpect depth == 2\n'),
        ("parts/blocks.cnn", "block twice(w) = [conv3-w]*2\n"),
        ("nets/outside.cnn", 'use twice from "../../elsewhere.cnn"\ninput 3x8x8\ntwice(8)\n'),
    ):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "elsewhere.cnn").write_text("block twice(w) = [conv3-w]*2\n")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def told(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cnnc_command, list(words))
    return done.exit_code, done.output


def test_specs_of_a_folder_that_is_named_may_use_what_lies_in_it(repository: Path) -> None:
    code, output = told("check", "nets/a.cnn")
    assert code == 1 and "E705" in output
    for folder in (".", str(repository)):
        code, output = told("check", folder)
        assert code == 1
        assert output.count("E705") == 1 and "../../elsewhere.cnn" in output  # it lies outside that too
    code, output = told("check", "nets")  # the other folder is not named
    assert output.count("E705") == 2
    assert told("check", "nets/a.cnn", "parts")[0] == 0


def test_a_lock_stands_for_its_folder(repository: Path) -> None:
    (repository / "nets/outside.cnn").unlink()
    assert told("lock", ".")[0] == 0
    assert told("check", "--locked")[0] == 0
    assert told("lock")[0] == 0
    assert told("check", ".", "-j", "2")[0] == 0
