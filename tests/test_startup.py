"""What a run of `cnnc check` may import, how much memory it takes, and that the tables behind it are whole.

Times are for `make bench`: they vary with the machine, and what is imported does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

import cnnc
from cnnc.cli.commands import COMMANDS
from cnnc.compiler.ops import all_ops, op_words
from cnnc.compiler.ops.registry import FILES

SPEC = Path(cnnc.__file__).parent / "specs" / "vgg16.cnn"
MAX_MIB = 60

OTHERS = {"click"}
# Beside these everything in `cnnc.dsl` and `cnnc.compiler` that is not in REST.
OURS = {
    "cnnc", "cnnc.claimed", "cnnc.given", "cnnc.net", "cnnc.cli", "cnnc.cli.check_run", "cnnc.cli.checking", "cnnc.cli.commands", "cnnc.cli.common",
    "cnnc.cli.files", "cnnc.cli.group", "cnnc.cli.out", "cnnc.cli.project", "cnnc.cli.settings", "cnnc.cli.signals",
    "cnnc.cli.verdict",
}  # fmt: skip
REST = {
    "cnnc.compiler.baseline", "cnnc.compiler.diff", "cnnc.compiler.expand",
    "cnnc.compiler.summary", "cnnc.dsl.format", "cnnc.dsl.make_tables", "cnnc.dsl.spell",
}  # fmt: skip
OP_FILES = {
    "activation", "axes", "base", "connection", "convolution", "extern", "fields", "geometry", "initial", "linear", "merge",
    "model", "pooling", "registry", "regularisation", "reparam", "reshape", "resize",
    "sized",
}  # fmt: skip
# Of Python's own, what takes long and nothing here needs.
HEAVY = {
    "argparse", "asyncio", "concurrent", "ctypes", "difflib", "email", "html", "http", "importlib.metadata", "json", "logging",
    "multiprocessing", "pickle", "pydoc", "socket", "sqlite3", "ssl", "statistics", "subprocess", "unittest", "xml", "zipfile",
}  # fmt: skip


def process(code: str, *words: str) -> str:
    """What a program prints in a Python of its own."""
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


RUN = """
import sys
before = set(sys.modules)
from cnnc.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
print("imported", *sorted(set(sys.modules) - before))
"""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    lines = process(RUN, "check", str(SPEC)).splitlines()
    assert lines[0].startswith(f"{SPEC}: ok: 138,357,544 parameters")
    head, *modules = lines[1].split()
    assert head == "imported"
    return set(modules)


def test_no_package_but_these(imported: set[str]) -> None:
    packages = {name.partition(".")[0] for name in imported if not name.startswith("_sysconfigdata")}
    assert packages - sys.stdlib_module_names - {"cnnc"} <= OTHERS


def test_nothing_heavy_of_pythons_own(imported: set[str]) -> None:
    assert not imported & HEAVY


def test_no_module_of_ours_that_it_does_not_need(imported: set[str]) -> None:
    ours = {name for name in imported if name == "cnnc" or name.startswith("cnnc.")}
    layers = {name for name in ours if name.startswith("cnnc.compiler.ops.")}
    front = {name for name in ours if name.startswith(("cnnc.dsl", "cnnc.compiler"))} - layers
    assert ours - front - layers == OURS
    assert not front & REST
    assert {name.rpartition(".")[2] for name in layers} == OP_FILES


def test_importing_cnnc_imports_nothing() -> None:
    code = "import sys; b = set(sys.modules); import cnnc; print(*(set(sys.modules) - b - {'cnnc', '__future__', 'typing'}))"
    assert not {name for name in process(code).split() if name.partition(".")[0] in ("cnnc", *OTHERS)}


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="peak memory is told by POSIX systems only")
def test_the_memory_of_a_small_run() -> None:
    code = (
        "import resource, subprocess, sys;"
        "subprocess.run([sys.executable, '-m', 'cnnc', *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    unit = 2**20 if sys.platform == "darwin" else 2**10
    assert int(process(code, "check", str(SPEC))) / unit < MAX_MIB


def test_every_layer_word_is_known_before_its_file_is_imported() -> None:
    found = {
        file: {word for op in all_ops() if op.__module__.endswith(f".ops.{file}") and not op.internal
               for word in (op.kind, *op.aliases)}
        for file in FILES
    }  # fmt: skip
    assert found == {file: set(words) for file, words in FILES.items()}
    assert sum(map(len, FILES.values())) == len(op_words()) == len(set(op_words()))


def test_every_file_of_layers_is_in_the_registry() -> None:
    folder = Path(import_module("cnnc.compiler.ops").__path__[0])
    registering = {
        path.stem for path in folder.glob("*.py") if "\n@base.op\n" in path.read_text(encoding="utf8")
    }
    assert registering == set(FILES)


@pytest.mark.parametrize("name", sorted(COMMANDS.data))
def test_every_command_is_where_the_table_says(name: str) -> None:
    command = COMMANDS[name]
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.get_short_help_str()
