"""The summary's JSON contract, and its tables."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import fields, replace
from itertools import takewhile

import pytest
from graphs import graph_of

from cnnc.backends.table import COLUMNS, render
from cnnc.backends.table.rows import rows_of
from cnnc.compiler.cost import Cost
from cnnc.compiler.ops.convolution import Conv
from cnnc.compiler.summary import CONVENTIONS, Summary, field_json, summarise, to_json

RESNET26 = """
model resnet26
input 3x224x224
default conv(norm=bn)
block bottleneck(w, s=1) =
  [conv1-w -> conv3-w/s -> conv1-{4*w} + downsample: shortcut] -> relu
conv7-64/2 -> maxpool3/2(pad=1)
layer1: [bottleneck(64)]*3
layer2: [bottleneck(128, 2) -> [bottleneck(128)]*4]
gap -> fc: fc-1000
"""


def summary_of(text: str) -> Summary:
    return summarise(graph_of(text))


def table_of(text: str) -> list[list[str]]:
    """The cells of a text table, without its rules and what stands around it."""
    lines = text.split("\n\n")[1].splitlines()
    return [re.split(r"\s{2,}", line.strip()) for line in lines if not line.startswith("---")]


# --- JSON -----------------------------------------------------------------------------


def test_the_contract() -> None:
    data = to_json(summary_of("input 3x8x8\nconv3-4/2(norm=bn, act=relu)\nlogits: fc-10\noutput logits\n"))
    assert json.loads(json.dumps(data)) == data
    assert list(data) == [
        "format", "model", "inputs", "outputs", "depth", "layers", "totals", "conventions",
    ]  # fmt: skip
    assert data["format"] == 1
    assert data["inputs"] == {"input": [3, 8, 8]}
    assert data["outputs"] == {"logits": [10]}
    assert data["depth"] == 2
    conv = data["layers"][0]
    args = conv.pop("args")
    assert conv == {
        "name": "conv1", "op": "conv", "inputs": ["input"], "out": [4, 4, 4],
        "params": 108, "state": 0, "macs": 4 * 4 * 4 * 27,
        "flops": 2 * 4 * 4 * 4 * 27, "activations": 64, "traffic": 4 * (3 * 64 + 64 + 108),
        "rf": {"size": [3, 3], "stride": [2, 2], "start": [-1, -1], "aligned": True, "whole_input": False},
    }  # fmt: skip
    written = {"kernel": [3, 3], "width": 4, "stride": [2, 2], "pad": [[1, 1], [1, 1]], "bias": False}
    assert {key: args[key] for key in written} == written
    assert set(args) == set(Conv.model_fields)
    assert [layer["name"] for layer in data["layers"]] == ["conv1", "bn1", "relu1", "flatten", "logits"]
    assert data["layers"][1]["state"] == 4 + 4 + 1
    assert data["layers"][-1]["rf"]["whole_input"] is True
    assert data["totals"] == {
        "params": 108 + 8 + 650, "state": 9, "macs": 1728 + 640, "flops": 2 * (1728 + 640) + 10,
        "activations": 4 * 64 + 10,
        "traffic": 4 * ((192 + 64 + 108) + (64 + 64 + 16) + 2 * 128 + (64 + 10 + 650)),
    }  # fmt: skip
    assert data["conventions"] == CONVENTIONS


def test_integers_are_integers() -> None:
    for layer in to_json(summary_of(RESNET26))["layers"]:
        for key in ("size", "stride", "start"):
            assert all(type(number) is int for number in layer["rf"][key])


def test_a_gate_shows_the_figure_without_it() -> None:
    summary = summary_of("input 4x16x16\nconv3-4/2 -> [id & gap -> conv1-4(act=sigmoid)]\n")
    rf = to_json(summary)["layers"][-1]["rf"]
    assert rf["whole_input"] is True
    assert (rf["size"], rf["stride"]) == ([16, 16], [2, 2])
    assert rf["without_gate"] == {"size": [3, 3], "start": [-1, -1]}
    assert table_of(render(summary, columns=["name", "rf", "stride"]))[-2] == ["mul1", "all (3)", "2"]


def test_no_figure_says_why() -> None:
    layer = summary_of("input 3x8x8\nconv3-4\n").layers[0]
    assert layer.rf is not None
    data = field_json(replace(layer.rf, undefined="it depends on the data"))
    assert data["size"] is None
    assert data["reason"] == "it depends on the data"


def test_what_nobody_declared_is_said() -> None:
    text = 'input 4x8x8\nextern box(k=3) = "package.module:Box" (shape=same)\nconv3-4 -> box(k=5)\n'
    summary = summary_of(text)
    name = summary.layers[-1].name
    data = to_json(summary)
    assert data["unknown"] == {"params": [name], "macs": [name]}
    assert data["totals"]["params"] == 148
    assert data["layers"][-1]["rf"]["size"] is None
    assert f"At least: the params of {name} and the macs of {name} are not declared" in render(summary)


def test_initialisers_are_told_as_they_are_written() -> None:
    args = to_json(summary_of("input 4x8x8\nconv3-4(init=normal(0.01))\n"))["layers"][0]["args"]
    assert args["init"] == "normal(0.01, 0)"


# --- the tree -------------------------------------------------------------------------


def test_rows_sum_what_is_under_them() -> None:
    summary = summary_of(RESNET26)
    rows = rows_of(summary, depth=None, fold=False)
    for place, row in enumerate(rows):
        under = takewhile(lambda other, level=row.level: other.level > level, rows[place + 1 :])
        below = [other for other in under if other.level == row.level + 1]
        assert row.leaf == (not below)
        assert row.leaf or sum((r.cost for r in below), Cost()) == row.cost
    assert sum((row.cost for row in rows if row.level == 0), Cost()) == summary.totals
    found = {row.path for row in rows}
    assert "layer1.0.downsample" in found
    assert "layer1.1.downsample" not in found  # the identity is no row


def test_repeats_fold() -> None:
    summary = summary_of(RESNET26)
    rows = rows_of(summary, depth=2, fold=True)
    shown = [(row.level, row.name, row.op) for row in rows]
    assert shown == [
        (0, "conv1", "conv"), (0, "bn1", "bn"), (0, "relu1", "relu"), (0, "maxpool1", "maxpool"),
        (0, "layer1", ""), (1, "0", "bottleneck"), (1, "1…2", "bottleneck x 2"),
        (0, "layer2", ""), (1, "0", "bottleneck"), (1, "1…4", "bottleneck x 4"),
        (0, "gap1", "gap"), (0, "flatten", "flatten"), (0, "fc", "fc"),
    ]  # fmt: skip
    top = [row.cost for row in rows if row.level == 0]
    assert sum(top, Cost()) == summary.totals
    fold, first = rows[9], rows_of(summary, depth=2, fold=False)[10]
    assert first.path == "layer2.1"
    assert fold.cost == first.cost * 4


def test_patterns_fold_and_begin_with_a_layer_of_their_own() -> None:
    rows = rows_of(summary_of("input 8x8x8\n[conv3-8]*4 -> pool\n"), depth=None, fold=True)
    # The last convolution's activation stays: its consumer is a pool.
    assert [(row.level, row.name, row.op) for row in rows] == [
        (0, "conv1…relu4", "(conv, relu) x 4"), (1, "conv1", "conv"), (1, "relu1", "relu"),
        (0, "maxpool1", "maxpool"),
    ]  # fmt: skip


def test_what_differs_does_not_fold() -> None:
    text = "input 8x8x8\na: conv3-8(act=none)\nb: conv3-8(act=none)\nconv3-8(act=none)\nconv3-8(act=none, bias=no)\n"
    rows = rows_of(summary_of(text), depth=None, fold=True)
    assert [row.name for row in rows] == ["a", "b", "conv1", "conv2"]


def test_a_long_row_of_layers_folds_in_linear_time() -> None:
    summary = summary_of(f"input 1x8\n{'[[conv1-1(act=none)]*6 -> conv3-1(act=none)]*2800'}\n")
    rows = rows_of(summary, depth=None, fold=True)
    assert (rows[0].op, rows[0].times) == (f"({', '.join(['conv'] * 7)}) x 2800", 2800)
    assert [(row.level, row.op) for row in rows[1:]] == [(1, "conv x 6"), (1, "conv")]


# --- text -----------------------------------------------------------------------------


@pytest.mark.parametrize("width", [100, 80, 60])
def test_text_fits(width: int) -> None:
    text = render(summary_of(RESNET26), width=width)
    assert max(map(len, text.splitlines())) <= width
    rows = table_of(text)
    assert rows[0][0] == "name"
    assert "params" in rows[0]
    assert "MACs" in rows[0]
    assert "bottlene" in text
    assert " x 2" in text
    # Numbers are whole: the totals stand in the last row to the digit.
    totals = summary_of(RESNET26).totals
    assert rows[-1][:3] == ["total", f"{totals.params:,}", f"{totals.macs:,}"]


def test_all_columns_stand_at_100() -> None:
    rows = table_of(render(summary_of(RESNET26)))
    assert rows[0] == ["name", "op", "output", "arguments", "params", "MACs", "share", "RF", "stride"]
    conv = rows[1]
    assert conv[:3] == ["conv1", "conv", "64x112x112"]
    assert conv[-5:] == ["9,408", "118,013,952", "5.8%", "7", "2"]


def test_the_last_lines_are_the_conventions() -> None:
    words = " ".join(render(summary_of(RESNET26)).split())
    assert words.endswith("Rows under `x n` are those of the first of n. " + " ".join(CONVENTIONS.split()))


def test_depth_counts_levels_of_blocks() -> None:
    summary = summary_of(RESNET26)
    assert len(table_of(render(summary, depth=0))) == 2
    assert [row[0] for row in table_of(render(summary, depth=1))][5:7] == ["layer1", "layer2"]
    with pytest.raises(ValueError, match=r"depth \(=-1\)"):
        render(summary, depth=-1)


def test_columns_in_the_order_asked_for() -> None:
    rows = table_of(render(summary_of(RESNET26), columns=["name", "FLOPs", "state"], depth=1))
    assert rows[0] == ["name", "FLOPs", "state"]
    assert rows[2] == ["bn1", "129"]
    with pytest.raises(ValueError, match=r"no column 'parms': did you mean params\?"):
        render(summary_of(RESNET26), columns=["parms"])


def test_arguments_are_told_as_in_the_text() -> None:
    text = "input 4x32x32\nconv3x5-8/2x1(groups=2, act=none)\navgpool3/2(pad=(0,1), count_pad=no)\ndropout(0.2)\n"
    rows = rows_of(summary_of(text), depth=None, fold=True)
    cells = [COLUMNS["arguments"].text(row, summary_of(text)) for row in rows]
    assert cells == ["3x5/2x1 groups=2", "3x3/2 pad=(0,1) count_pad=no", "p=0.2"]


def test_padding_is_told_where_it_is_not_the_default() -> None:
    text = (
        "input 4x32x32\ndefault conv(act=none)\nconv3-8 -> conv3-8(dilation=2) -> conv3-8(pad=valid)\n"
        "conv4-8(pad=(1,2)) -> maxpool3/2(pad=1) -> tconv4-8/2(pad=1)\n"
    )
    summary = summary_of(text)
    cells = [COLUMNS["arguments"].text(row, summary) for row in rows_of(summary, depth=None, fold=True)]
    assert cells == ["3x3", "3x3 dilation=2", "3x3 pad=0", "4x4 pad=(1,2)", "3x3/2 pad=1", "4x4/2 pad=1"]


def test_shapes_are_whole_at_100() -> None:
    lines = render(summary_of(RESNET26)).splitlines()
    assert not any("x1…" in line or "6x5…" in line for line in lines)
    assert any("512x28x28" in line for line in lines)


def test_free_sizes_are_expressions_in_the_table() -> None:
    text = render(summary_of("input 3xHxW\nconv3-4/2(act=none)\ntconv2-2/2\n"), width=110)
    rows = table_of(text)
    assert rows[0] == ["name", "op", "output", "arguments", "params", "MACs", "RF", "stride"]
    assert rows[1][2] == "4x((H + 1)//2)x((W + 1)//2)"
    assert rows[1][5] == "108*((H + 1)//2)*((W + 1)//2)"
    assert rows[-1] == ["total", "146"]
    assert "140*((H + 1)//2)*((W + 1)//2) MACs" in " ".join(text.split())


def test_fields_say_on_what_and_why_not() -> None:
    pair = (
        "input a: 3x8x8\ninput b: 3x8x8\na -> conv3-4 -> c: id\nb -> conv3-4 -> d: id\n[c | d] -> conv1-2\n"
    )
    assert "RF: on the first input that a layer depends on." in render(summary_of(pair))
    box = 'input 4x8x8\nextern box = "package.module:Box" (shape=same, params=0, macs=0)\nconv3-4 -> box\n'
    assert re.search(
        r"RF is \? where there is none to tell: .*, at extern1\.", " ".join(render(summary_of(box)).split())
    )


# --- CSV, Markdown, LaTeX -------------------------------------------------------------


@pytest.mark.parametrize("depth", [None, 1, 2])
def test_csv_columns_sum_to_the_totals(depth: int | None) -> None:
    summary = summary_of(RESNET26)
    counts = [part.name for part in fields(Cost)]
    rows = list(csv.DictReader(io.StringIO(render(summary, "csv", depth=depth, columns=["name", *counts]))))
    for count in counts:
        assert sum(int(row[count]) for row in rows) == getattr(summary.totals, count)
    if depth is None:
        graph = summary.graph
        assert [row["name"] for row in rows] == [graph.nodes[n].name for n in graph.root.nodes()]


def renamed(text: str, name: str) -> Summary:
    """The summary of a network whose last layer has another name."""
    graph = graph_of(text)
    return summarise(replace(graph, nodes=(*graph.nodes[:-1], replace(graph.nodes[-1], name=name))))


@pytest.mark.parametrize("name", ["=1+2", "+1", "-cmd", "@sum"])
def test_csv_cells_are_no_formulas(name: str) -> None:
    text = render(renamed("input 3x8x8\nconv3-4\n", name), "csv", columns=["name", "start"])
    # A number stays one, negative or not.
    assert list(csv.reader(io.StringIO(text)))[1] == ["'" + name, "-1"]


def test_markdown_escapes_its_cells() -> None:
    text = render(renamed("model my_net\ninput 3x8x8\nconv3-4\n", "a|b_c"), "md", columns=["name", "params"])
    assert "| a\\|b\\_c | 112 |\n" in text
    assert "| **total** | **112** |\n" in text
    assert "**my\\_net:" in text


def test_latex_escapes_its_cells() -> None:
    text = render(renamed("input 3x8x8\nconv3-4\n", "a_b&c%#{}~^\\"), "latex", columns=["name", "share"])
    escaped = r"a\_b\&c\%\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}"
    assert rf"  {escaped} & 100.0\% \\" in text.splitlines()


def test_every_format_is_deterministic() -> None:
    for format in ("text", "csv", "md", "latex"):
        assert render(summary_of(RESNET26), format) == render(summary_of(RESNET26), format)  # type: ignore[arg-type]
