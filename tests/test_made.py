"""A layer that was made before is taken again: never another, whatever was analysed in between."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnc
from benchmarks.keystrokes import keystrokes
from cnnc.compiler.walk import made
from cnnc.compiler.walk.library import _tree
from cnnc.dsl.source import Source
from cnnc.live.engine import Analysis, Document, analyse
from cnnc.live.figures import SHOWN, inlay
from tests.sampling import sampled

SPECS = sorted((Path(cnnc.__file__).parent / "specs").glob("*.cnn"))


def outcome(text: str) -> object:
    """The layers that a text comes to, or what is wrong with it."""
    try:
        return [(repr(node.op), node.out) for node in cnnc.parse(text).graph.nodes]
    except cnnc.CnncError as error:
        return [(d.code, d.message, d.hint) for d in error.diagnostics]


ALIKE = {
    "conv3-8(groups={})": ("1", "yes", "2/2", "(1)", "1x1", "(1, 1)", "3/2"),
    "conv3-8(bias={})": ("1", "0", "yes", "no", "2/2", '"yes"'),
    "conv3-8(pad={})": (
        "1",
        "yes",
        "1x1",
        "(1, 1)",
        "((1, 1), (1, 1))",
        "same",
        "valid",
        "(0, 0)",
        "0",
        "0x0",
    ),
    "conv3-8(standardise={})": (
        "yes",
        "standardise(eps=1)",
        "standardise(eps=yes)",
        "standardise(eps=1, gain=1)",
    ),
    "conv3-8(stride={})": ("2", "2x2", "(2, 2)", "4/2", "yes"),
    "dropout({})": ("1/2", "0.5", "0", "no", "1", "yes"),
    "leaky({})": ("1", "yes", "2/2", "1.0", "0.1", "1/10"),
    "pool2(pad={})": ("0", "no", "0x0", "(0, 0)"),
}
"""Arguments that are equal to one another in Python, or nearly, and not in a spec."""


@pytest.mark.parametrize("line", ALIKE)
def test_equal_numbers_of_other_kinds_are_other_arguments(line: str) -> None:
    texts = [f"input 2x16x16\n{line.format(given)}\n" for given in ALIKE[line]]
    alone = []
    for text in texts:
        made._MADE.clear()
        alone.append(outcome(text))
    for _ in range(2):
        for text in (*texts, *reversed(texts)):
            assert outcome(text) == alone[texts.index(text)], text


def test_free_sizes_are_never_taken_for_numbers() -> None:
    """224 is what a free size is looked at with; the layers of the one input are not those of the other."""
    free, known = "input 3xHxW\nconv3-8/2 -> pool -> gap\n", "input 3x224x224\nconv3-8/2 -> pool -> gap\n"
    for text in (free, known, free, known):
        shapes = [str(node.out) for node in cnnc.parse(text).graph.nodes]
        assert ("(H - 1)//2 + 1" in shapes[1] or "(H + 1)//2" in shapes[1]) == (text is free), shapes


def test_the_store_of_layers_is_bounded() -> None:
    for width in range(1, made._KEPT + 10, 64):
        cnnc.parse("input 3x4x4\n" + "".join(f"conv1-{width + i}\n" for i in range(64)))
        assert len(made._MADE) <= 2 * made._KEPT


def edited(path: Path, seed: int) -> Iterator[str]:
    """Texts on the way of somebody who writes lines anew, and cuts some out."""
    text = path.read_text(encoding="utf8")
    yield text
    yield from keystrokes(text, seed, 3)
    draw = random.Random(seed)
    rows = text.split("\n")
    for _ in range(3):
        i = draw.randrange(len(rows))
        yield "\n".join([*rows[:i], *rows[i + 1 :]])
        yield text


def seen(found: Analysis) -> object:
    """All that an editor shows of a text."""
    shown = [(line.number, inlay(found, line, SHOWN)) for line in found.lines]
    findings = [
        (d.code, d.message, d.hint, d.trace, d.span and (d.span.start, d.span.end)) for d in found.findings
    ]
    nodes = (
        []
        if found.graph is None
        else [(node.name, repr(node.op), node.inputs, node.out) for node in found.graph.nodes]
    )
    return shown, findings, nodes, None if found.costs is None else found.costs.nodes, tuple(found.fields)


@pytest.mark.parametrize("path", sampled(SPECS, 20), ids=lambda path: path.stem)
def test_what_is_typed_is_seen_as_it_would_be_afresh(path: Path) -> None:
    """Each text after those before it, and in a process that knows nothing of them."""
    texts = [*dict.fromkeys(edited(path, 5))]
    document = Document(str(path))
    after = [seen(document.put(text)) for text in texts]
    for text, shown in zip(texts, after, strict=True):
        made._MADE.clear()
        _tree.cache_clear()
        assert seen(analyse(Source(str(path), text))) == shown, text


@pytest.mark.parametrize("path", sampled(SPECS, 20), ids=lambda path: path.stem)
@pytest.mark.parametrize("end", ["", "\nconv99-3 -> fc-2 -> conv3\n"], ids=["", "a mistake"])
def test_an_analysis_leaves_nothing_to_be_searched_for(path: Path, end: str) -> None:
    """What it built goes as soon as nobody needs it: the garbage collector is a fifth of the time else."""
    source = Source(str(path), path.read_text(encoding="utf8") + end)
    analyse(source)
    gc.collect()
    gc.disable()
    found = []
    try:
        for _ in range(3):  # other threads of the test run may leave some in one of them
            analyse(source)
            found.append(gc.collect())
    finally:
        gc.enable()
    assert min(found) == 0
