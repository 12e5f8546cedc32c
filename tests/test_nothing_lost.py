"""What a command writes and prints, whoever runs beside it and whatever a file is called."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cnnc

MAIN = "from cnnc.cli import main; main()"


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *words], cwd=folder, capture_output=True, timeout=120, check=False,
        env={**os.environ, **more},
    )  # fmt: skip


def test_many_writers_of_one_lock_lose_nothing(tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / f"n{i}.cnn").write_text(f"input 3x8x8\nconv3-{i + 1}\n")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", MAIN, "lock", f"n{i}.cnn"], cwd=tmp_path, stderr=subprocess.PIPE
        )
        for i in range(8)
    ]
    assert [process.wait(timeout=120) for process in started] == [0] * 8
    for process in started:
        assert process.stderr is not None
        process.stderr.close()
    lock = tomllib.loads((tmp_path / "cnnc.lock").read_text())
    assert sorted(lock) == sorted([*(f"n{i}.cnn" for i in range(8)), "version"])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [*(f"n{i}.cnn" for i in range(8)), "cnnc.lock"]
    )


@pytest.mark.parametrize("command", ["compile", "expand", "report"])
def test_a_spec_is_not_written_over(command: str, tmp_path: Path) -> None:
    (tmp_path / "a.cnn").write_text("input 3x8x8\nconv3-4\n")
    (tmp_path / "link.cnn").symlink_to("a.cnn")
    for target in ("a.cnn", "./a.cnn", "link.cnn"):
        done = run(tmp_path, command, "a.cnn", "-o", target)
        assert done.returncode == 1
        assert b"error E703" in done.stderr
    assert (tmp_path / "a.cnn").read_text() == "input 3x8x8\nconv3-4\n"


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="the system has no /dev/stdout")
def test_dev_stdout_into_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.cnn").write_text("input 3x8x8\nconv3-4\n")
    assert run(tmp_path, "expand", "a.cnn", "-o", "/dev/stdout").stdout.startswith(b"model a\n")


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "ascii"])
@pytest.mark.parametrize("words", [["summary"], ["check", "-v"], ["expand"]])
def test_terminals_that_cannot_show_every_character(words: list[str], encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.cnn").write_text(
        "input 3xHxW\n# é\nдом: conv3-4 -> pool\nexpect params ~= 112\n", encoding="utf8"
    )
    done = run(tmp_path, *words, "a.cnn", PYTHONIOENCODING=encoding)
    assert b"itself failed" not in done.stderr, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["a\n::error::OK.cnn", "\x1b[31m\x07.cnn", "\u202ea.cnn"])
@pytest.mark.parametrize(
    "words", [["check", "-v"], ["summary"], ["check", "--format=github"], ["diff", "zoo:lenet5"]]
)
def test_names_that_are_no_names(words: list[str], name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("conv3-4\n")
    done = run(tmp_path, *words, name)
    shown = done.stdout + done.stderr
    assert b"\x1b" not in shown
    assert b"\x07" not in shown
    assert "\u202e".encode() not in shown
    assert not any(line.startswith(b"::error::OK") for line in shown.splitlines())


def test_a_byte_order_mark_and_numbers_from_python() -> None:
    assert cnnc.parse("\ufeffinput 3x8x8\nconv3-4").outputs == {"output": (4, 8, 8)}
    assert cnnc.parse("param p = 0.5\ninput 8\ndropout(p)", p=0.0).expand().count("p=0.0") == 1


def test_verify_without_parameters_and_with_an_extern(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "own.py").write_text(
        "from torch import nn\nclass Box(nn.Conv2d):\n    def __init__(self): super().__init__(3, 3, 1)\n"
    )
    (tmp_path / "a.cnn").write_text("input 3x8x8\npool -> gap\n")
    (tmp_path / "b.cnn").write_text(
        'input 3x8x8\nextern box = "own:Box" (shape=same, params=12, macs=576)\nbox -> conv1-2\n'
    )
    for name in ("a.cnn", "b.cnn"):
        done = run(tmp_path, "verify", name, PYTHONPATH=f"{tmp_path}{os.pathsep}{os.getcwd()}")
        assert b"itself failed" not in done.stderr, done.stderr
        assert b"FAILED  tensors" not in done.stdout, done.stdout
    assert b"nothing to differentiate" in run(tmp_path, "verify", "a.cnn").stdout
