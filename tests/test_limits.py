"""Runaway specs are refused at once, in little memory, by a message that names the limit.

Each bomb goes through a process of its own, as from the command line, where the processor time and the
memory of what it made are measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stopwatch import slowness

import cnnc
from cnnc.compiler.walk.brackets import STEPS_PER_LAYER
from cnnc.compiler.walk.layers import MAX_LAYERS
from cnnc.dsl.read import MAX_BYTES
from cnnc.dsl.tokens import MAX_TOKENS

MAX_SECONDS = 3.0  # the slowest, 20,000 layers by doubling, takes 1.2 on a machine at rest
"""Of processor time, Python's start included: what a machine that does nothing else needs on the clock."""
MAX_MEMORY = 200 * 2**20

# Reads standard input, so that no file of megabytes is needed; prints what the process needed.
MEASURED = """
import json, re, resource, sys
sys.argv[0] = "cnnc"
from cnnc.cli import main
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if sys.platform == "linux":  # whose maxrss counts what the process was forked from
        peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
    print(json.dumps([used.ru_utime + used.ru_stime, peak]))
"""


def refused(text: str, folder: Path, command: str = "check") -> str:
    """What the command says of a spec that it must refuse within bounds."""
    path = folder / "bomb.cnn"
    path.write_text(text, encoding="utf8")
    for _ in range(3):  # a machine that is busy with something else counts more than was used
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, command, str(path)],
            capture_output=True, text=True, timeout=60, cwd=folder, encoding="utf8",
        )  # fmt: skip
        seconds, memory = json.loads(done.stdout.splitlines()[-1])
        if seconds < MAX_SECONDS * slowness():
            break
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 200_000
    assert memory < MAX_MEMORY, f"{memory / 2**20:.0f} MiB"
    assert seconds < MAX_SECONDS * slowness(), f"{seconds:.2f} s"
    return done.stderr


MANY = f"more than {STEPS_PER_LAYER * MAX_LAYERS:,} "
RAISED = "raise the limit: --max-layers"
NESTED = "deeper than 100"
WORDS = f"more than {MAX_TOKENS:,} words and signs"
LONG = "a word of more than 1,000 characters"
BOMBS: dict[str, tuple[str, tuple[str, ...]]] = {
    # layers, repeats and comprehensions
    "repeats": ("[[[[conv3-64]*1000]*1000]*1000]*1000\n", (MANY + "steps", RAISED)),
    "repeats of nothing": ("[[[[id]*1000]*1000]*1000]*1000\n", (MANY + "steps", RAISED)),
    "layers": ("[conv3-8(norm=bn)]*15000\n", (f"more than {MAX_LAYERS:,} layers", RAISED)),
    "comprehension of comprehensions": (
        "[[[conv3-8 for i in 1..1000] for j in 1..1000] for k in 1..1000]\n", (MANY + "steps", RAISED),
    ),
    "comprehension of branches": ("[| [| conv1-1 for i in 1..1000] for j in 1..1000]\n", (MANY + "steps", RAISED)),
    "one long range": ("[id for i in 1..10**12]\n", (MANY + "values", RAISED)),
    "many ranges": (f"[id for i in {', '.join(['1..90000'] * 500)}]\n", (MANY + "values", RAISED)),
    "a count without end": (f"[id]*{'9' * 40}\n", (MANY + "steps", RAISED)),
    # digits and sizes
    "width of 10^6 digits": (f"conv3-{'9' * 10**6}\n", (LONG,)),
    "width of 900 digits": (f"conv3-{'9' * 900}\n", ("a number of more than 40 digits",)),
    "number of 10^6 digits": (f"conv3-{{{'9' * 10**6}}}\n", (LONG,)),
    "power": ("conv3-{9**9**9}\n", ("two powers in a row",)),
    "towers of powers": ("conv3-{((9**99)**99)**99}\n", ("more than 512 bits",)),
    "product": (f"conv3-{{{'*'.join(['9**99'] * 1000)}}}\n", ("more than 512 bits",)),
    "input of many axes": (f"input 3{'x3' * 10**6}\nconv3-8\n", (LONG,)),
    "a map without end": ("input 3x9999999999x9999999999\nconv3-8\n", ("a size of more than 2,147,483,647",)),
    "a dilation without end": ("input 16x9\nconv2-8(dilation=9**30, pad=(9**30, 0))\n", ("`dilation` (=", "is more than 2,147,483,647")),
    "a kernel that reaches far": ("conv3-8(dilation=2_000_000_000)\n", ("reaches over more than 2,147,483,647 positions",)),
    "a padding of many terms": (
        "input 3xHxW\nmaxpool1000000000/2000000000(pad=same_tf)\n", ("no expression of its padding", "at most 1000"),
    ),
    # nesting
    "100,000 brackets": ("[" * 10**5 + "conv3-8" + "]" * 10**5, (NESTED, "name the inner part as a block")),
    "100,000 parentheses": (f"conv3-8(pad={'(' * 10**5}1{')' * 10**5})\n", (NESTED,)),
    "100,000 brackets that never close": ("[" * 10**5, (NESTED,)),
    "recursion": ("block f = [f]\ninput 3x8x8\nf\n", ("deeper than 64", "a choice that ends it")),
    "recursion in two": ("block f = [g -> g]\nblock g = [f -> f]\ninput 3x8x8\nf\n", ("deeper than 64",)),
    "recursion by a pipeline": ("block f(x) = [f([x -> x])]\ninput 3x8x8\nf([conv3-8])\n", ("deeper than 64",)),
    "doubling": (
        "".join(f"block b{i}(x) = b{i + 1}([x -> x])\n" for i in range(50)) + "block b50(x) = x\nb0([conv3-8])\n",
        (f"more than {MAX_LAYERS:,} layers", RAISED),
    ),
    # text
    "4 MiB of layers": ("conv3-8\n" * 450_000, (WORDS, "`use`")),
    "4 MiB of mistakes": ("é\n" * 1_300_000, (WORDS,)),
    "5 MiB": ("#" * (5 * 2**20), (f"more than {MAX_BYTES:,} bytes", "`use`")),
    "a word of 10^6 letters": ("q" * 10**6 + "\n", (LONG,)),
    "a label of 10^6 letters": (f"[{'q' * 10**6}{{i}}: relu for i in 1..20000]\n", (LONG,)),
    "a quoted label of 10^6 letters": (f'"{"q" * 10**6}": relu\n', (LONG,)),
    "labels in labels": (
        "".join(f"{'q' * 900}{i}: [" for i in range(90)) + "[x{i}: relu for i in 1..100]" + "]" * 90,
        ("more than 1,000 characters", "shorter labels"),
    ),
    "a number of labels in a label": (f"[a{'{i}' * 2000}: relu for i in 1..2]\n", ("a label of more than 1,000 characters",)),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name: str, tmp_path: Path) -> None:
    text, wanted = BOMBS[name]
    told = refused(text, tmp_path)
    assert "E901" in told or wanted == ("two powers in a row",)
    for words in wanted:
        assert words in told


def test_mistakes_are_counted(tmp_path: Path) -> None:
    """Not one message for each of 40,000 mistakes, and none for each turn of a repeat."""
    assert refused("é\n" * 40_000, tmp_path).count("error E101") <= 51
    assert refused("conv9\n" * 20_000, tmp_path).count("error E") <= 51
    assert refused("[conv3-8(groups=7)]*1000\n", tmp_path).count("error E402") == 1


def test_recursion_through_two_files(tmp_path: Path) -> None:
    (tmp_path / "other.cnn").write_text('use bomb from "bomb.cnn"\nblock other = [bomb]\n', encoding="utf8")
    told = refused('use other from "other.cnn"\ninput 3x8x8\nblock bomb = [other]\nbomb\n', tmp_path)
    assert "E704" in told
    assert "bomb.cnn -> other.cnn -> bomb.cnn" in told


def test_files_that_use_files(tmp_path: Path) -> None:
    for i in range(100):
        below = f'use b{i + 1} from "f{i + 1}.cnn"\nblock b{i} = b{i + 1}\n'
        (tmp_path / f"f{i}.cnn").write_text(below, encoding="utf8")
    (tmp_path / "f100.cnn").write_text("block b100 = conv3-8\n", encoding="utf8")
    told = refused('use b0 from "f0.cnn"\ninput 3x8x8\nb0\n', tmp_path)
    assert "E901" in told
    assert "more than 64 files are used" in told


@pytest.mark.parametrize("command", ["summary", "expand", "compile", "draw", "report"])
def test_every_command_refuses(command: str, tmp_path: Path) -> None:
    assert MANY in refused(BOMBS["repeats"][0], tmp_path, command)
    assert os.listdir(tmp_path) == ["bomb.cnn"]


def test_the_option_raises_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "long.cnn"
    path.write_text("input 3x2x2\n[relu]*400\n", encoding="utf8")
    with pytest.raises(cnnc.CnncError, match=r"more than 300 layers(.|\n)*--max-layers 3000"):
        cnnc.load(path, max_layers=300)
    assert len(cnnc.load(path, max_layers=500).graph.nodes) == 401
    command = [sys.executable, "-m", "cnnc", "check", str(path), "--max-layers"]
    assert subprocess.run([*command, "300"], capture_output=True).returncode == 1
    assert subprocess.run([*command, "500"], capture_output=True).returncode == 0


def test_what_the_limits_allow_works() -> None:
    """The deepest nesting that is read goes every way out, from a thread's small stack too."""
    text = f"input 3x8x8\n{'[' * 99}conv3-8{']' * 99}\n"
    net = cnnc.parse(text)
    assert net.outputs == {"output": (8, 8, 8)}
    assert cnnc.parse(net.expand()).expand() == net.expand()
    assert net.pytorch()
    assert net.draw("dot", level="layers")
    assert net.to_dict()
