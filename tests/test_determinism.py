"""The same spec gives the same bytes: on every hash seed, in every folder and locale, with any number of threads."""

from __future__ import annotations

import locale
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sampling import sampled

SPECS = Path(__file__).parent.parent / "cnnc" / "specs"
WRONG = """input 3x32x32
default conv(norm=bm)
use se, gate, bottlenek from std
a: conv3-8 -> b: conv9 -> [conv3-8 + conv3-16]
a: conv3-c(groups=3, colour=1)
expect parms == 1
"""
WIDE = """param width = 16 within 4..64
input 3x32x32
conv3-{width} -> bn -> relu -> conv3-{width} -> gap -> fc-10
"""
GIVEN = "out.bin"
"""Where a command writes a file."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "summary": ("summary", "net.cnn"),
    "summary, JSON": ("summary", "net.cnn", "--json"),
    "summary, CSV": ("summary", "net.cnn", "--csv"),
    "expand": ("expand", "net.cnn"),
    "fold": ("fold", "net.cnn"),
    "fold, without names": ("fold", "--names", "none", "net.cnn"),
    "compile": ("compile", "net.cnn", "-o", GIVEN),
    "compile, JSON": ("compile", "net.cnn", "--to", "json", "-o", GIVEN),
    "dot": ("draw", "net.cnn", "-o", "out.dot"),
    "dot, layers": ("draw", "net.cnn", "--level", "layers", "-o", "out.dot"),
    "Mermaid": ("draw", "net.cnn", "-o", "out.mmd"),
    "volumes": ("draw", "--style", "volumes", "net.cnn", "-o", "out.svg"),
    "table": ("draw", "--style", "table", "net.cnn", "-o", "out.tex"),
    "check": ("check", "-v", "net.cnn", "wrong.cnn"),
    "check, JSON": ("check", "net.cnn", "wrong.cnn", "--format", "json"),
    "check, SARIF": ("check", "net.cnn", "wrong.cnn", "--format", "sarif"),
    "check, JUnit": ("check", "net.cnn", "wrong.cnn", "--format", "junit"),
    "check, GitHub": ("check", "net.cnn", "wrong.cnn", "--format", "github"),
    "fmt": ("fmt", "--diff", "net.cnn"),
    "diff": ("diff", "net.cnn", "other.cnn"),
    "lock": ("lock", "net.cnn", "other.cnn"),
    "report": ("report", "net.cnn", "-o", GIVEN),
    "ops": ("ops",),
    "ops of a layer": ("ops", "conv"),
    "zoo": ("zoo",),
    "zoo, JSON": ("zoo", "--json"),
    "solve": ("solve", "wide.cnn", "--where", "params <= 2k"),
    "solve, JSON": ("solve", "wide.cnn", "--where", "params <= 2k", "--json"),
    "solve, sweep": ("solve", "wide.cnn", "--sweep", "width=4..64:5", "--csv"),
    "split": ("split", "net.cnn", "--stages", "3"),
    "split, JSON": ("split", "net.cnn", "--stages", "3", "--json"),
    "plan": ("plan", "net.cnn", "--batch", "4", "--train", "adamw"),
    "plan, JSON": ("plan", "net.cnn", "--json"),
    "schemas": ("schema",),
    "schema": ("schema", "summary"),
}
"""Every command whose output does not depend on the machine: not bench, verify and weights, which run torch."""
ELSEWHERE = {"bench", "import", "live", "lsp", "verify", "weights"}

SURROUNDINGS = {
    "plain": {"PYTHONHASHSEED": "0", "LC_ALL": "C"},
    "seed, UTF-8, one thread": {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"},
    "seed, commas, threads, columns": {
        "PYTHONHASHSEED": "4242", "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "OMP_NUM_THREADS": "7", "TZ": "Asia/Tokyo",
    },
}  # fmt: skip


def outputs(command: tuple[str, ...], folder: Path, surroundings: dict[str, str]) -> list[bytes]:
    """What a command prints and writes, and its exit code, in a folder of its own."""
    folder.mkdir(parents=True)
    shutil.copy(SPECS / "resnet18.cnn", folder / "net.cnn")
    shutil.copy(SPECS / "unet.cnn", folder / "other.cnn")
    (folder / "wrong.cnn").write_text(WRONG, encoding="utf8")
    (folder / "wide.cnn").write_text(WIDE, encoding="utf8")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONHASHSEED"))}
    done = subprocess.run(
        [sys.executable, "-m", "cnnc", *command],
        capture_output=True,
        cwd=folder,
        env={**env, **surroundings},
        timeout=120,
    )
    assert b"Traceback" not in done.stderr
    assert b"cnnc itself failed" not in done.stderr, done.stderr
    given = {"net.cnn", "other.cnn", "wrong.cnn", "wide.cnn"}
    written = [path.read_bytes() for path in sorted(folder.iterdir()) if path.name not in given]
    return [str(done.returncode).encode(), done.stdout, done.stderr, *written]


@pytest.mark.parametrize("name", sampled(tuple(COMMANDS), 1, ("zoo, JSON",)))
def test_bytes_are_the_same(name: str, tmp_path: Path) -> None:
    """Folders of different names and depths, so that no path of the machine is in an output."""
    found = [
        outputs(COMMANDS[name], tmp_path / f"folder{i}" / ("deep" * i or "x"), surroundings)
        for i, surroundings in enumerate(SURROUNDINGS.values())
    ]
    assert any(len(part) > 10 for part in found[0])
    assert found[0] == found[1] == found[2]


def test_every_command_is_tried() -> None:
    from cnnc.cli.commands import COMMANDS as ALL

    assert {words[0] for words in COMMANDS.values()} | ELSEWHERE == set(ALL)


def test_a_decimal_comma_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the locale of the program that uses the library, where the system has one with commas."""
    import cnnc

    before, usual = cnnc.load("zoo:lenet5").summary(), locale.setlocale(locale.LC_ALL)
    for name in ("de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"):
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        try:
            assert cnnc.load("zoo:lenet5").summary() == before
        finally:
            locale.setlocale(locale.LC_ALL, usual)


def test_no_code_asks_for_the_locale() -> None:
    """Numbers are never formatted by the locale (`:n`), nor files read in its encoding."""
    for path in sorted((SPECS.parent).rglob("*.py")):
        text = path.read_text(encoding="utf8")
        assert "import locale" not in text, path.name
        assert ":n}" not in text, path.name
