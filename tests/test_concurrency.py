"""Many threads and processes at once give the answers that one gives; nothing is kept between two calls."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import MutableMapping, MutableSequence, MutableSet
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

import cnnc

SPECS = ("zoo:lenet5", "zoo:resnet18", "zoo:unet", "zoo:vgg11", "zoo:squeezenet1_1")

IMPORTED = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
sys.path[:0] = sys.argv[1:2]
from test_concurrency import SPECS, answers
with ThreadPoolExecutor(8) as pool:  # nothing was compiled before these begin
    gate = threading.Barrier(8)
    def one(i):
        gate.wait()
        return answers(SPECS[i % len(SPECS)])
    for i, answer in enumerate(pool.map(one, range(8))):
        print(SPECS[i % len(SPECS)], answer)
"""


def answers(spec: str) -> str:
    """All ways out of a spec, in one number; what is wrong with it, where it is."""
    digest = hashlib.sha256()
    try:
        net = cnnc.load(spec) if spec.startswith("zoo:") else cnnc.parse(spec)
        digest.update(json.dumps(net.to_dict()).encode())
        for text in (net.expand(), net.pytorch(), net.summary()):
            digest.update(text.encode())
        digest.update(net.draw("dot"))
    except cnnc.CnncError as error:
        digest.update(str(error).encode())
    return digest.hexdigest()


def test_threads() -> None:
    """Right and wrong specs, deep and flat ones, all at once."""
    deep = "".join(f"block b{i}(x) = [[b{i + 1}([x])]*1]*1\n" for i in range(60))
    texts = [
        *SPECS,
        f"input 3x8x8\n{deep}block b60(x) = x\nb0([conv3-8])\n",
        "conv9 -> blorp\n",
        "[conv3-8]*10**9\n",
    ]
    alone = {text: answers(text) for text in texts}
    with ThreadPoolExecutor(8) as pool:
        for text, answer in zip(texts * 4, pool.map(answers, texts * 4), strict=True):
            assert answer == alone[text]


def test_threads_that_come_first() -> None:
    """What is built at first use (parser tables, records, layers) may be asked for by many threads at once."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        spec, answer = line.split()
        assert answer == answers(spec)


def test_processes() -> None:
    """`check` in one process and in three says the same, in the same order."""
    folder = Path(cnnc.__file__).parent / "specs" / "blocks"
    runs = [
        subprocess.run(
            [sys.executable, "-m", "cnnc", "check", "-v", "-j", jobs, str(folder)], capture_output=True, timeout=120
        )
        for jobs in ("1", "3")
    ]  # fmt: skip
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stderr == runs[1].stderr


def test_a_limit_of_python_is_never_lowered() -> None:
    """Another thread may be deep in a walk when this one leaves its own."""
    before = sys.getrecursionlimit()
    cnnc.parse("input 3x8x8\nconv3-8\n")
    assert sys.getrecursionlimit() >= max(before, 20_000)


# --- no state ------------------------------------------------------------------------------

STATE: dict[str, str] = {
    "cnnc.dsl.record._KEYS": "a cache: what a class is compared by follows from the class",
    "cnnc.compiler.walk.made._MADE": "a cache: what a layer is follows from its class, its arguments and its inputs",
    "cnnc.compiler.receptive_field._STATES": "a cache: a state follows from the layer, its maps and the states before",
    "cnnc.compiler.receptive_field._FIELDS": "a cache: a field follows from the state and the map",
    "cnnc.cli.signals.unfinished": "of the command line only: the temporary files that a signal must take along",
    "cnnc.cli.files.unfinished": "the same set",
}
"""Mutable objects of modules that change while the program runs, and why that harms nobody."""
CACHES: dict[str, str] = {
    "cnnc.dsl.builder.parser": "tables",
    "cnnc.reference.layers": "the page of a layer follows from its class",
    "cnnc.reference.blocks": "what ships",
    "cnnc.backends.pytorch.helpers._places": "the text of files that ship",
    "cnnc.backends.pytorch.helpers.imported_names": "what files that ship import",
    "cnnc.backends.pytorch.helpers._file": "what a text holds",
    "cnnc.compiler.reading._watched": "a subclass of an op follows from the op's class",
    "cnnc.backends.pytorch.helpers.fused.sides": "arithmetic on sizes",
    "cnnc.compiler.allow._of_used": "what a text allows",
    "cnnc.compiler.walk.arguments.argument_names": "the arguments of a class",
    "cnnc.compiler.walk.library._tree": "the tree of a text",
    "cnnc.dsl.data.specs": "where the package lies",
    "cnnc.importer.layout._turns": "permutes of so many axes",
    "cnnc.importer.structure.terms._compared": "the fields of a class",
    "cnnc.live.complete._layer_words": "the words that ship",
    "cnnc.live.complete._of_family": "what ships",
    "cnnc.live.complete._zoo": "what ships",
    "cnnc.page.answers._networks": "what ships",
    "cnnc.page.assets.asset": "the text of files that ship",
}
"""Functions that keep their answers; each answer follows from the arguments and the program alone."""


NEEDS = {
    f"cnnc.backends.pytorch.helpers.{name}": "triton" for name in ("captured", "fused", "gpu", "inference")
}
"""Modules that are imported only where an optional package is; `test_optional_modules_are_imported` says which."""


def modules() -> list[str]:
    names = [
        found.name for found in pkgutil.walk_packages(cnnc.__path__, "cnnc.") if "__main__" not in found.name
    ]
    return ["cnnc", *names]


def test_no_module_has_state() -> None:
    """Mutable objects of modules are constants: the same before and after every way through the program."""
    before, caches = {}, []
    absent = {name for name, package in NEEDS.items() if find_spec(package) is None}
    for name in modules():
        if name in absent:
            continue
        module = importlib.import_module(name)
        for key, value in vars(module).items():
            full = f"{name}.{key}"
            if key.startswith("__") or full in STATE:
                continue
            if isinstance(value, MutableMapping | MutableSequence | MutableSet):
                before[full] = (value, frozen(value))
            if hasattr(value, "cache_info") and value.__module__ == name:
                caches.append(full)
    assert sorted(caches) == sorted(key for key in CACHES if key.rpartition(".")[0] not in absent)
    for spec in SPECS:
        answers(spec)
    answers("conv9\n")
    changed = [full for full, (value, then) in before.items() if frozen(value) != then]
    assert changed == []


@pytest.mark.parametrize("name", NEEDS)
def test_optional_modules_are_imported(name: str) -> None:
    """Skipped where the package is missing, so that what the test above leaves out is seen."""
    pytest.importorskip(NEEDS[name])
    importlib.import_module(name)


def frozen(value: object) -> str:
    return repr(value)


def test_no_module_rebinds_a_global() -> None:
    for path in sorted(Path(cnnc.__file__).parent.rglob("*.py")):
        lines = path.read_text(encoding="utf8").splitlines()
        assert not [line for line in lines if line.strip().startswith("global ")], path.name


def test_nothing_of_the_process_changes(tmp_path: Path) -> None:
    """Working folder, environment and standard streams are as before."""
    before = (os.getcwd(), dict(os.environ), sys.stdout, sys.stderr, list(sys.path))
    answers("zoo:lenet5")
    assert (os.getcwd(), dict(os.environ), sys.stdout, sys.stderr, list(sys.path)) == before
