"""What `cnnc ops` and docs/layers.md say of a layer is what the layer does."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from cnnc.cli.commands import cnnc
from cnnc.compiler.ops import all_ops, op_words
from cnnc.compiler.walk.arguments import argument_names
from cnnc.net import parse
from cnnc.reference import WORDS, blocks, layer, layers

KINDS = sorted(op.kind for op in all_ops() if not op.internal)


def ops(*words: str) -> tuple[str, int]:
    done = CliRunner().invoke(cnnc, ["ops", *words], catch_exceptions=False)
    return done.output, done.exit_code


def test_every_layer_is_there() -> None:
    assert sorted(record.kind for record in layers()) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_record_is_whole(kind: str) -> None:
    record = layer(kind)
    assert [argument.name for argument in record.arguments] == [*argument_names(op_words()[record.kind])]
    assert record.summary.endswith(".")
    assert record.sample is not None or op_words()[record.kind].tensors


@pytest.mark.parametrize("kind", KINDS)
def test_positions_and_defaults_are_the_layers(kind: str) -> None:
    """All arguments, those without their keys that may be, defaults as shown, mean the same as the example."""
    record = layer(kind)
    plain = [a for a in record.arguments if a.name not in ("norm", "act")]
    if record.sample is None or any(a.default is None for a in plain):
        return
    spec = f"input {record.sample.inflow}\n"
    bare = op_words()[record.kind].positional
    bare = len(plain) if bare is None else bare
    values = [f"{a.default}" if i < bare else f"{a.name}={a.default}" for i, a in enumerate(plain)]
    given = f"{record.kind}({', '.join(values)})" if plain else record.kind
    assert parse(spec + given).expand() == parse(spec + record.kind).expand()


@pytest.mark.parametrize(
    ("kind", "name", "takes"),
    [
        ("conv", "kernel", "an integer, at least 1, or one by axis (3x1)"),
        ("conv", "pad", "same, valid, same_tf, causal, a number, 1x2 (by axis) or (before, after)"),
        ("dropout", "p", "a number, in [0, 1)"),
        ("maxout", "pieces", "an integer, at least 2"),
        ("ln", "axis", "C or all"),
        ("bn", "affine", "yes or no"),
        ("chunk", "i", "an integer, at least 0"),
    ],
)
def test_what_an_argument_takes(kind: str, name: str, takes: str) -> None:
    (argument,) = [argument for argument in layer(kind).arguments if argument.name == name]
    assert argument.takes == takes


@pytest.mark.parametrize(("kind", "shown"), [("unpool", "of"), ("crop", "to=…"), ("upsample", "like=…")])
def test_labels_that_can_be_left_out(kind: str, shown: str) -> None:
    assert str(layer(kind).arguments[-1]) == shown


def test_one_layer() -> None:
    output, code = ops("Conv")
    assert code == 0
    for part in ("conv<kernel>-<width>[/<stride>]", "pad=same", "act=relu", "k_eff", "example"):
        assert part in output
    assert max(map(len, output.splitlines())) <= 100


def test_aliases_and_dashes() -> None:
    assert layer("deconv").kind == layer("UpConv").kind == "tconv"
    assert ops("max-pool") == ops("pool") == ops("maxpool")


def test_the_list_has_every_name() -> None:
    output, code = ops()
    assert code == 0
    listed = set(re.findall(r"^  (\w+)  ", output, re.MULTILINE))
    assert listed == {*KINDS, *WORDS, *(block.name for block in blocks())}


def test_words_and_blocks() -> None:
    assert "projection" in ops("shortcut")[0]
    assert "siblings" in ops("crop")[0]
    output, code = ops("bottleneck")
    assert code == 0 and output.startswith("bottleneck(w, s=1") and "from std" in output


def test_unknown() -> None:
    assert ops("convv") == (
        "error E201: no layer is called `convv`\n    hint: did you mean `conv` or `tconv`?\n",
        1,
    )
    assert ops("zzz")[1] == 1
