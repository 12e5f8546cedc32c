"""Differences between networks, by name."""

from __future__ import annotations

import json

from cnnc.backends.table import render_diff
from cnnc.compiler.build import build
from cnnc.compiler.diff import Diff, diff, to_json
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source

OLD = "model old\ninput 3x8x8\na: conv3-4(act=none)\nb: conv3-4(act=none)\nc: conv3-4(act=none)\n"


def difference(old: str, new: str) -> Diff:
    a, b = (build(parse(Source("net.cnn", text))) for text in (old, new))
    return diff(a, b)


def test_equal_networks_under_different_names() -> None:
    found = difference(OLD, OLD.replace("model old", "model new"))
    assert found.equal
    assert to_json(found)["equal"] is True
    assert render_diff(found) == "old -> new\nno difference\n"


def test_a_layer_taken_out_rewires_the_next() -> None:
    found = difference(OLD, OLD.replace("b: conv3-4(act=none)\n", ""))
    assert [side.name for side in found.removed] == ["b"]
    assert found.added == ()
    (change,) = found.changed
    assert (change.name, change.inputs, change.args, change.out) == ("c", (["b"], ["a"]), {}, None)
    assert found.depths == (3, 2)


def test_arguments_and_shapes() -> None:
    found = difference(OLD, OLD.replace("b: conv3-4(", "b: conv5-4/2("))
    b, c = found.changed
    assert b.args == {
        "kernel": ([3, 3], [5, 5]),
        "stride": ([1, 1], [2, 2]),
        "pad": ([[1, 1]] * 2, [[2, 2]] * 2),
    }
    assert b.out == ([4, 8, 8], [4, 4, 4])
    assert (c.name, c.args, c.out) == ("c", {}, ([4, 8, 8], [4, 4, 4]))


def test_another_layer_under_the_same_name() -> None:
    (change,) = difference(OLD, OLD.replace("c: conv3-4(act=none)", "c: bn")).changed
    assert (change.op, change.args) == (("conv", "bn"), {})


def test_another_input_size() -> None:
    found = difference(OLD, OLD.replace("3x8x8", "3x9x8"))
    assert [change.name for change in found.changed] == ["input", "a", "b", "c"]


def test_another_output() -> None:
    found = difference(OLD + "output c\n", OLD + "output c, b\n")
    assert not found.equal
    assert found.outputs == ({"c": "c"}, {"c": "c", "b": "b"})


def test_json_holds_totals_and_their_differences() -> None:
    data = to_json(difference(OLD, OLD + "d: bn\n"))
    assert json.loads(json.dumps(data)) == json.loads(json.dumps(data, sort_keys=True))
    assert data["added"] == [
        {"name": "d", "op": "bn", "args": {"eps": 1e-5, "momentum": 0.1, "affine": True}, "out": [4, 8, 8]}
    ]
    assert data["totals"]["params"] == [112 + 2 * 148, 112 + 2 * 148 + 8, 8]
    assert data["totals"]["state"] == [0, 9, 9]
    assert data["depth"] == [3, 3]


def test_text() -> None:
    found = difference(OLD, OLD.replace("b: conv3-4(", "b: conv3-4/2(").replace("c: ", "x: "))
    assert render_diff(found) == (
        "old -> old\n"
        "- c: conv, 4x8x8\n"
        "+ x: conv, 4x4x4\n"
        "~ b: stride 1 -> 2; 4x8x8 -> 4x4x4\n"
        "~ outputs: output = c -> output = x\n"
        "\n"
        "parameters           408 ->    408        =\n"
        "state                  0 ->      0        =\n"
        "MACs              25,344 -> 11,520  -13,824\n"
        "FLOPs             51,456 -> 23,424  -28,032\n"
        "activations          768 ->    384     -384\n"
        "bytes of traffic   7,520 ->  5,216   -2,304\n"
        "depth                  3 ->      3        =\n"
    )


def test_arguments_by_axis_in_text() -> None:
    found = difference(OLD, OLD.replace("b: conv3-4(", "b: conv3x5-4/2x1(pad=(1,2), "))
    assert "~ b: kernel 3x3 -> 3x5; stride 1x1 -> 2x1; pad 1 -> (1, 2); 4x8x8 -> " in render_diff(found)


def test_expressions_stand_on_lines_of_their_own() -> None:
    old = "input 3xHxW\na: conv3-4/2(act=none)\nb: conv3-4(act=none)\n"
    text = render_diff(difference(old, old.replace("b: conv3", "b: conv5")))
    assert max(map(len, text.splitlines())) <= 100
    assert text.endswith(
        "parameters  260 -> 516  +256\n"
        "state         0 ->   0     =\n"
        "MACs\n"
        "     252*((H + 1)//2)*((W + 1)//2)\n"
        "  -> 508*((H + 1)//2)*((W + 1)//2)\n"
        "  by 256*((H + 1)//2)*((W + 1)//2)\n"
        "FLOPs\n"
        "     512*((H + 1)//2)*((W + 1)//2)\n"
        "  -> 1024*((H + 1)//2)*((W + 1)//2)\n"
        "  by 512*((H + 1)//2)*((W + 1)//2)\n"
        "activations\n"
        "     8*((H + 1)//2)*((W + 1)//2)\n"
        "  =\n"
        "bytes of traffic\n"
        "     12*H*W + 48*((H + 1)//2)*((W + 1)//2) + 1040\n"
        "  -> 12*H*W + 48*((H + 1)//2)*((W + 1)//2) + 2064\n"
        "  by +1,024\n"
        "depth         2 ->   2     =\n"
    )
