"""Receptive fields against published tables, hand-derived probes and the support of a gradient."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import gcd, prod
from random import Random
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from graphs import graph_of

from cnnc.compiler import lattice
from cnnc.compiler.build import build
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.lattice import Lattice
from cnnc.compiler.ops.base import Axis, Local, Op, OpError, Place, Spread, Undefined, Weightless
from cnnc.compiler.ops.convolution import Conv
from cnnc.compiler.ops.fields import PositiveAxes
from cnnc.compiler.ops.merge import Add, Concat, Multiply
from cnnc.compiler.ops.pooling import AvgPool, GlobalAvgPool
from cnnc.compiler.ops.reshape import Crop, Input
from cnnc.compiler.receptive_field import (
    ReceptiveField,
    misalignments,
    receptive_field,
    receptive_fields,
)
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.zoo import SPECS


def field_at(graph: Graph, label: str) -> ReceptiveField:
    field = receptive_field(graph, graph.labels[label])
    assert field is not None
    assert field.undefined is None
    return field


def row(graph: Graph, label: str) -> tuple[int, int, int]:
    """(size, stride, padding) as tables print them, of a square field."""
    field = field_at(graph, label)
    (size, size_w), (stride, stride_w), (start, start_w) = field.size, field.stride, field.start
    assert (size, stride, start) == (size_w, stride_w, start_w)
    assert start is not None
    assert stride is not None
    assert stride.denominator == 1
    return size, int(stride), -start


# --- the table of google-research/receptive_field (RECEPTIVE_FIELD_TABLE.md) -----------
# (size, stride, effective padding) by end-point; the nets are TF-Slim's.

ALEXNET_V2 = """
input 3x{n}x{n}
conv1: conv11-64/4(pad=valid)
pool1: maxpool3/2
conv2: conv5-192
pool2: maxpool3/2
conv3: conv3-384
conv4: conv3-384
conv5: conv3-256
pool5: maxpool3/2
"""
ALEXNET_ROWS = {
    "conv1": (11, 4, 0), "pool1": (19, 8, 0), "conv2": (51, 8, 16), "conv3": (99, 16, 32),
    "conv4": (131, 16, 48), "conv5": (163, 16, 64), "pool5": (195, 32, 64),
}  # fmt: skip

VGG_A = """
input 3x{n}x{n}
conv1_1: conv3-64
pool1: maxpool
conv2_1: conv3-128
pool2: maxpool
conv3_1: conv3-256
conv3_2: conv3-256
pool3: maxpool
conv4_1: conv3-512
conv4_2: conv3-512
pool4: maxpool
conv5_1: conv3-512
conv5_2: conv3-512
pool5: maxpool
"""
VGG_A_ROWS = {
    "conv1_1": (3, 1, 1), "pool1": (4, 2, 1), "conv2_1": (8, 2, 3), "pool2": (10, 4, 3),
    "conv3_1": (18, 4, 7), "conv3_2": (26, 4, 11), "pool3": (30, 8, 11), "conv4_1": (46, 8, 19),
    "conv4_2": (62, 8, 27), "pool4": (70, 16, 27), "conv5_1": (102, 16, 43), "conv5_2": (134, 16, 59),
    "pool5": (150, 32, 59),
}  # fmt: skip

VGG_16 = """
input 3x{n}x{n}
conv1_1: conv3-64
conv3-64
pool1: maxpool
conv2_1: conv3-128
conv3-128
pool2: maxpool
conv3_1: conv3-256
conv3_2: conv3-256
conv3-256
pool3: maxpool
conv4_1: conv3-512
conv4_2: conv3-512
conv3-512
pool4: maxpool
conv5_1: conv3-512
conv5_2: conv3-512
conv3-512
pool5: maxpool
"""
VGG_16_ROWS = {
    "conv1_1": (3, 1, 1), "pool1": (6, 2, 2), "conv2_1": (10, 2, 4), "pool2": (16, 4, 6),
    "conv3_1": (24, 4, 10), "conv3_2": (32, 4, 14), "pool3": (44, 8, 18), "conv4_1": (60, 8, 26),
    "conv4_2": (76, 8, 34), "pool4": (100, 16, 42), "conv5_1": (132, 16, 58), "conv5_2": (164, 16, 74),
    "pool5": (212, 32, 90),
}  # fmt: skip


@pytest.mark.parametrize("n", [224, 321])
@pytest.mark.parametrize(
    ("text", "rows"),
    [(ALEXNET_V2, ALEXNET_ROWS), (VGG_A, VGG_A_ROWS), (VGG_16, VGG_16_ROWS)],
    ids=["alexnet_v2", "vgg_a", "vgg_16"],
)
def test_table_rows_that_do_not_depend_on_the_input(
    text: str, rows: dict[str, tuple[int, int, int]], n: int
) -> None:
    graph = graph_of(text.format(n=n))
    assert {label: row(graph, label) for label in rows} == rows


# Depthwise convolutions are convolutions of as many groups as channels.
MOBILENET_V1 = """
input 3x{n}x{n}
default conv(pad=same_tf)
block separable(w, s) = conv3-C/s(groups=C) -> conv1-w
p0: conv3-32/2
p1: separable(64, 1)
p2: separable(128, 2)
p3: separable(128, 1)
p4: separable(256, 2)
p5: separable(256, 1)
p6: separable(512, 2)
p7: separable(512, 1)
p8: separable(512, 1)
p9: separable(512, 1)
p10: separable(512, 1)
p11: separable(512, 1)
p12: separable(1024, 2)
p13: separable(1024, 1)
"""
MOBILENET_SIZES = [3, 7, 11, 19, 27, 43, 59, 91, 123, 155, 187, 219, 251, 315]
MOBILENET_STRIDES = [2, 2, 4, 4, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32]
MOBILENET_PADDINGS = {
    224: [0, 2, 2, 6, 6, 14, 14, 30, 46, 62, 78, 94, 94, 126],
    321: [1, 3, 5, 9, 13, 21, 29, 45, 61, 77, 93, 109, 125, 157],
}


@pytest.mark.parametrize("n", [224, 321])
def test_mobilenet_v1(n: int) -> None:
    graph = graph_of(MOBILENET_V1.format(n=n))
    rows = [row(graph, f"p{i}") for i in range(14)]
    expected = zip(MOBILENET_SIZES, MOBILENET_STRIDES, MOBILENET_PADDINGS[n], strict=True)
    assert rows == list(expected)


# TF-Slim puts the stride in the last unit of a block, and subsamples the identity by a 1x1 max-pool.
RESNET_V1 = """
input 3x{n}x{n}
block unit(w, s) =
  [conv1-w -> conv3-w/s(pad=1) -> conv1-{{4*w}} + [maxpool1/s if C == 4*w else conv1-{{4*w}}/s]] -> relu
conv7-64/2(pad=3) -> maxpool3/2(pad=same_tf)
block1: [[unit(64, 1)]*{a} -> unit(64, 2)]
block2: [[unit(128, 1)]*{b} -> unit(128, 2)]
block3: [[unit(256, 1)]*{c} -> unit(256, 2)]
block4: [unit(512, 1)]*3
"""
RESNET_ROWS = {
    (50, 224): [(35, 8, 15), (99, 16, 47), (291, 32, 143), (483, 32, 239)],
    (50, 321): [(35, 8, 17), (99, 16, 49), (291, 32, 145), (483, 32, 241)],
    (101, 224): [(35, 8, 15), (99, 16, 47), (835, 32, 415), (1027, 32, 511)],
    (101, 321): [(35, 8, 17), (99, 16, 49), (835, 32, 417), (1027, 32, 513)],
    (152, 224): [(35, 8, 15), (163, 16, 79), (1315, 32, 655), (1507, 32, 751)],
    (152, 321): [(35, 8, 17), (163, 16, 81), (1315, 32, 657), (1507, 32, 753)],
    (200, 224): [(1763, 32, 879)],
}
RESNET_UNITS = {50: (3, 4, 6), 101: (3, 4, 23), 152: (3, 8, 36), 200: (3, 24, 36)}


@pytest.mark.parametrize(("depth", "n"), RESNET_ROWS)
def test_resnet_v1(depth: int, n: int) -> None:
    a, b, c = (units - 1 for units in RESNET_UNITS[depth])
    graph = graph_of(RESNET_V1.format(n=n, a=a, b=b, c=c))
    rows = [row(graph, f"block{i}") for i in (1, 2, 3, 4)]
    expected = RESNET_ROWS[depth, n]
    assert rows[-len(expected) :] == expected
    assert field_at(graph, "block4").aligned


def test_torchvision_resnet50_sees_427() -> None:
    # The stride in the 3x3 convolution, as torchvision has it.
    text = RESNET_V1.replace("[[unit(64, 1)]*{a} -> unit(64, 2)]", "[unit(64, 1)]*3")
    for w, times, label in ((128, 3, "{b}"), (256, 5, "{c}")):
        old = f"[[unit({w}, 1)]*{label} -> unit({w}, 2)]"
        assert old in text
        text = text.replace(old, f"[unit({w}, 2) -> [unit({w}, 1)]*{times}]")
    text = text.replace("[unit(512, 1)]*3", "[unit(512, 2) -> [unit(512, 1)]*2]")
    text = text.replace("pad=same_tf", "pad=1")
    assert row(graph_of(text.format(n=224)), "block4") == (427, 32, 213)


# --- FCN, Table 1 (Long, Shelhamer and Darrell, CVPR 2015) ----------------------------


@pytest.mark.parametrize(
    ("body", "head", "size"),
    [(ALEXNET_V2, "conv6-4096(pad=valid)", 355), (VGG_16, "conv7-4096(pad=valid)", 404)],
    ids=["FCN-AlexNet", "FCN-VGG16"],
)
def test_fcn_table_1(body: str, head: str, size: int) -> None:
    graph = graph_of(body.format(n=500) + f"fc6: {head}\n")
    assert row(graph, "fc6")[:2] == (size, 32)


def test_fcn_googlenet() -> None:
    inception = "[conv1-8 | conv1-8 -> conv3-8 | conv1-8 -> conv5-8 | maxpool3/1(pad=1) -> conv1-8]"
    text = f"""
input 3x500x500
conv7-64/2 -> maxpool3/2(pad=1) -> conv1-64 -> conv3-192 -> maxpool3/2(pad=1)
i3: [{inception}]*2
maxpool3/2(pad=1)
i4: [{inception}]*5
maxpool3/2(pad=1)
i5: [{inception}]*2
head: avgpool7/1
"""
    graph = graph_of(text)
    assert row(graph, "i5")[:2] == (715, 32)
    assert row(graph, "head")[:2] == (907, 32)
    # Along the 1x1 convolutions: 27 before 3a, and three pools, the last at stride 16, and the average.
    assert [axis.size for axis in field_at(graph, "i5").smallest] == [27 + 2 * 8 + 2 * 16] * 2


# --- the unit graphs of the same library's tests --------------------------------------


def test_net1_and_net2_are_aligned() -> None:
    for b, c in (("conv3-4/2(pad=(1,0))", "conv1-4/2"), ("maxpool3/2(pad=(1,0)) -> conv1-4", "maxpool1/2")):
        graph = graph_of(f"input 3x32x32\nout: [conv1-4/4 + {b} -> {c}]\n")
        field = field_at(graph, "out")
        assert (field.size, field.stride, field.start) == ((3, 3), (4, 4), (-1, -1))
        assert field.aligned
        assert field.centre == (0, 0)


def test_net3_has_a_hull_where_the_library_has_none() -> None:
    # Strides 2 and 1 side by side, their sizes made equal by a crop.
    graph = graph_of("input 3x32x32\nout: [conv5-4/2(pad=(2,1)) + conv3-4 -> conv3-4 -> crop(16)]\n")
    field = field_at(graph, "out")
    assert not field.aligned
    assert field.stride == (None, None)
    left, right = field.axes[0].at(0), field.axes[0].at(15)
    assert left == (-2, 10)  # -2..2 and, cropped by 8, 6..10
    assert right == (21, 32)  # 28..32 and 21..25
    assert field.size == (13, 13)


@pytest.mark.parametrize(("n", "start", "aligned"), [(9, -1, True), (8, 0, False)])
def test_net4_depends_on_the_input_size(n: int, start: int, aligned: bool) -> None:
    graph = graph_of(f"input 3x{n}x{n}\nout: [a: conv1-4/4 + conv3-4/2(pad=same_tf) -> b: conv1-4/2]\n")
    field = field_at(graph, "out")
    assert (field.size, field.stride, field.start) == ((3, 3), (4, 4), (start, start))
    assert field.aligned is aligned
    warnings = list(misalignments(graph, receptive_fields(graph)))
    assert len(warnings) == (not aligned)
    if warnings:
        assert warnings[0].code == "W203"
        assert "`out.b" in warnings[0].message or "`b" in warnings[0].message


def test_the_branch_that_is_off_is_the_odd_one_out() -> None:
    graph = graph_of("input 3x32x32\nout: [a: conv3-4 + b: conv2-4(pad=(1,0)) + c: conv1-4]\n")
    off = field_at(graph, "out").off
    assert off is not None
    assert graph.nodes[off].label == "b" or graph.nodes[off].name.endswith("b_relu")


def test_net5_is_not_square() -> None:
    graph = graph_of("input 3x32x32\nconv3x5-4/2(pad=valid)\nout: conv3x1-4/2(pad=valid)\n")
    field = field_at(graph, "out")
    assert (field.size, field.stride, field.start) == ((7, 5), (4, 4), (0, 0))


def test_net8_two_sums() -> None:
    unit = "[conv1-4/4 + conv3-4/2(pad=(1,0)) -> conv1-4/2]"
    graph = graph_of(f"input 3x64x64\n{unit} -> relu\nout: [conv1-4/2 + conv3-4/2(pad=(1,0))]\n")
    field = field_at(graph, "out")
    assert (field.size, field.stride, field.start) == ((11, 11), (8, 8), (-5, -5))
    assert field.aligned


# --- single rules ---------------------------------------------------------------------


def test_dilation_probe() -> None:
    graph = graph_of("input 3x32x32\nconv3-4(dilation=2, pad=valid)\nout: conv3-4(dilation=4, pad=valid)\n")
    assert row(graph, "out") == (13, 1, 0)


def test_nothing_but_the_whole() -> None:
    graph = graph_of("input 3x32x48\nconv3-4 -> gap -> fc-10\n")
    field = receptive_field(graph, len(graph.nodes) - 1)
    assert field is not None
    assert (field.size, field.stride, field.start) == ((32, 48), (0, 0), (0, 0))
    assert field.whole
    assert field.ungated is None


def test_a_gate_is_the_whole_with_the_figure_without_it_beside() -> None:
    gate = "[id & gap -> conv1-2 -> conv1-4(act=sigmoid)]"
    graph = graph_of(
        f"input 4x32x32\nconv3-4/2 -> {gate} -> [id + conv3-4 -> conv3-4 -> {gate}]\nout: conv3-4\n"
    )
    field = field_at(graph, "out")
    assert field.whole
    assert field.size == (32, 32)
    assert field.ungated is not None
    # 3 at stride 2, then 5 at most of the sum, then 3.
    assert [axis.size for axis in field.ungated] == [3 + 2 * 2 * 3] * 2
    assert [axis.size for axis in field.smallest] == [3 + 2 * 2] * 2
    assert field.stride == (2, 2)
    assert field.aligned


def test_a_gate_of_a_pool_as_large_as_the_map_is_a_gate() -> None:
    graph = graph_of("input 4x8x8\nout: [id & avgpool8 -> conv1-4(act=sigmoid)]\n")
    field = field_at(graph, "out")
    assert field.whole
    assert field.size == (8, 8)
    assert field.ungated is not None
    assert [axis.size for axis in field.ungated] == [1, 1]


def test_with_respect_to_another_node() -> None:
    graph = graph_of("input 3x32x32\na: conv3-4/2\nb: conv3-4\nc: conv3-4\n")
    a, b, c = (graph.labels[name] for name in "abc")
    field = receptive_field(graph, c, wrt=a)
    assert field is not None
    assert (field.size, field.stride, field.wrt) == ((5, 5), (1, 1), a)
    assert receptive_field(graph, a, wrt=c) is None
    itself = receptive_field(graph, b, wrt=b)
    assert itself is not None
    assert (itself.size, itself.start) == ((1, 1), (0, 0))


def test_each_node_is_seen_from_the_first_input_it_depends_on() -> None:
    graph = graph_of(
        "input left: 3x32x32\ninput right: 3x32x32\n"
        "a: [left -> conv3-4]\nb: [right -> conv5-4]\nout: [a + b]\n"
    )
    left, right = graph.inputs["left"], graph.inputs["right"]
    fields = receptive_fields(graph)
    seen = {name: fields[graph.labels[name]] for name in ("a", "b", "out")}
    assert {name: field and (field.wrt, field.size) for name, field in seen.items()} == {
        "a": (left, (3, 3)), "b": (right, (5, 5)), "out": (left, (3, 3)),
    }  # fmt: skip
    assert receptive_fields(graph, wrt=right)[graph.labels["a"]] is None


# --- graphs by hand, with layers of the tests' own ------------------------------------


class Up(Weightless):
    """A transposed convolution without weights."""

    kind: ClassVar[str] = "test_up"
    family = "convolution"
    example = ""
    kernel: PositiveAxes
    stride: PositiveAxes
    cut: tuple[int, ...]
    """Positions cut before and after."""
    dilation: PositiveAxes

    def out_shape(self, *ins: tuple[int, ...]) -> tuple[int, ...]:
        geometry = zip(ins[0][1:], self.kernel, self.stride, self.cut, self.dilation, strict=True)
        sizes = tuple(s * (n - 1) + (k - 1) * d + 1 - 2 * p for n, k, s, p, d in geometry)
        if min(sizes) < 1:
            raise OpError("E403", "nothing is left")
        return (ins[0][0], *sizes)

    def window(self, *ins: tuple[int, ...]) -> Local:
        geometry = zip(self.kernel, self.stride, self.cut, self.dilation, strict=True)
        return Local(tuple(Spread(k, s, p, d) for k, s, p, d in geometry))


class Warp(Weightless):
    """A layer whose window depends on the data."""

    kind: ClassVar[str] = "test_warp"
    family = "reshape"
    example = ""

    def out_shape(self, *ins: tuple[int, ...]) -> tuple[int, ...]:
        return ins[0]

    def window(self, *ins: tuple[int, ...]) -> Undefined:
        return Undefined("where it looks depends on the data")


class Wire:
    """A graph built layer by layer; what it does not set is that of a graph made from text."""

    model: ClassVar[Graph] = graph_of("input 1x1\nconv1-1\n")

    def __init__(self, *shape: int) -> None:
        self.nodes: list[Node] = []
        self._place(Input(shape=shape), (), shape)

    def _place(self, op: Op, inputs: tuple[int, ...], out: tuple[int, ...]) -> int:
        i = len(self.nodes)
        like = self.model.nodes[1 if inputs else 0]
        node = replace(like, index=i, name=f"n{i}", module=f"n{i}", op=op, inputs=inputs, out=out)
        self.nodes.append(node)
        return i

    def add(self, kind: type[Op], *inputs: int, **args: Any) -> int:
        shapes = tuple(self.nodes[i].out for i in inputs)
        op = kind.model_validate(args, context=Place(shapes))
        return self._place(op, inputs, op.out_shape(*shapes))

    def graph(self) -> Graph:
        last = {"output": len(self.nodes) - 1}
        return replace(self.model, name="wire", nodes=tuple(self.nodes), inputs={"input": 0}, outputs=last)


def up(net: Wire, x: int, k: int, s: int, cut: int = 0, dilation: int = 1) -> int:
    rank = len(net.nodes[x].out) - 1
    return net.add(Up, x, kernel=k, stride=s, cut=(cut,) * rank, dilation=dilation)


def test_transposed_probe() -> None:
    net = Wire(1, 32)
    x = net.add(Conv, 0, kernel=3, width=1, stride=2, pad="valid")
    x = up(net, x, 2, 2)
    x = net.add(Conv, x, kernel=3, width=1, pad="valid")
    field = receptive_field(net.graph(), x)
    assert field is not None
    # Three outputs of the up-convolution stand on two inputs, whichever phase: 3 + 2.
    assert field.size == (5,)
    assert field.axes[0].sizes == (5, 5)
    assert field.stride == (1,)
    assert [field.axes[0].at(i) for i in range(3)] == [(0, 4), (0, 4), (2, 6)]


def unet_2015(n: int) -> Wire:
    """U-Net (Ronneberger et al. 2015): unpadded, five levels; channels do not matter here."""
    net = Wire(1, n, n)

    def two(x: int) -> int:
        for _ in range(2):
            x = net.add(Conv, x, kernel=3, width=1, pad="valid")
        return x

    x, skips = 0, []
    for _ in range(4):
        x = two(x)
        skips.append(x)
        x = net.add(AvgPool, x, kernel=2)
    x = two(x)
    for skip in reversed(skips):
        x = up(net, x, 2, 2)
        cropped = net.add(Crop, skip, size=net.nodes[x].out[1])
        x = two(net.add(Concat, cropped, x))
    return net


def test_unet_has_two_phases() -> None:
    net = unet_2015(572)
    graph = net.graph()
    assert net.nodes[-1].out[1:] == (388, 388)
    field = receptive_field(graph, len(net.nodes) - 1)
    assert field is not None
    axis = field.axes[0]
    assert axis.sizes == (188,) * 4 + (204,) * 12
    assert axis.size == 204
    assert axis.stride == 1
    # Rows probed with a float64 gradient: first and last input row seen.
    assert axis.at(176) == axis.at(179) == (176, 363)
    assert axis.at(180) == axis.at(191) == (176, 379)
    assert axis.at(192) == axis.at(193) == (192, 379)
    assert field.aligned  # crops of even differences keep the centres
    deepest = max(i for i, node in enumerate(net.nodes) if isinstance(node.op, AvgPool)) + 2
    bottleneck = receptive_field(graph, deepest)
    assert bottleneck is not None
    assert (bottleneck.size, bottleneck.stride) == ((140, 140), (16, 16))


def test_unet_as_one_higher_order_block() -> None:
    graph = graph_of("""
input 1x572x572
default conv(pad=valid)
block level(w, inner) = [conv3-w]*2 -> [crop | maxpool -> inner -> tconv2-w/2] -> [conv3-w]*2
logits: level(4, [level(4, [level(4, [level(4, [[conv3-4]*2])])])])
""")
    assert field_at(graph, "logits").axes[0].sizes == (188,) * 4 + (204,) * 12


def test_outputs_that_no_tap_reaches_see_nothing() -> None:
    net = Wire(1, 8)
    x = up(net, 0, 1, 2)
    field = receptive_field(net.graph(), x)
    assert field is not None
    assert field.axes[0].sizes == (1, 0)
    assert field.axes[0].at(1) is None
    assert field.stride == (Fraction(1, 2),)


def test_an_undefined_window_says_why_all_the_way_down() -> None:
    net = Wire(1, 8, 8)
    x = net.add(Warp, 0)
    x = net.add(Conv, x, kernel=3, width=1)
    x = net.add(Add, x, 0)
    field = receptive_field(net.graph(), x)
    assert field is not None
    assert field.undefined == "where it looks depends on the data, at n1"


def test_too_many_phases_are_refused_with_a_reason() -> None:
    net = Wire(1, 2)
    x = 0
    for _ in range(12):
        x = up(net, x, 3, 3)
        x = net.add(Conv, x, kernel=2, width=1, stride=2, pad="valid")
        x = net.add(Crop, x, size=2)
    field = receptive_field(net.graph(), x)
    assert field is not None
    assert field.undefined is not None
    assert field.undefined.startswith("the field has more than 4096 phases, at n")


def test_a_stride_without_end_is_refused_with_a_reason() -> None:
    graph = graph_of("input 1x1\n[conv3-1/2(act=none)]*80\n")
    field = receptive_field(graph, len(graph.nodes) - 1)
    assert field is not None
    assert field.undefined is not None
    assert "10^18" in field.undefined


def test_fields_on_free_sizes_are_plain_numbers() -> None:
    # The crop cuts 2 before, an expression of H that is constant; the pool's whole is that of the reference.
    graph = graph_of("input 3xHxW\nout: [crop + conv5-3(pad=valid, act=none)]\nend: gap\n")
    out, end = field_at(graph, "out"), field_at(graph, "end")
    assert (out.size, out.start, out.aligned) == ((5, 5), (0, 0), True)
    assert (end.whole, end.size) == (True, (224, 224))
    assert all(type(number) is int for field in (out, end) for number in (*field.size, *field.start))


def test_a_lattice_takes_its_least_period() -> None:
    twice = lattice.spread(Lattice(1, ((0, 0),)), Spread(2, 2, 0))
    assert twice == Lattice(1, ((0, 0), (0, 0)))
    assert lattice.slide(twice, Axis(1, 2, 0)) == Lattice(1, ((0, 0),))
    assert lattice.slide(twice, Axis(2, 1, 0)) == Lattice(1, ((0, 0), (0, 1)))


def test_time_grows_with_the_graph_and_not_its_square() -> None:
    # 20,000 layers in a dense block: quadratic hulls or recursion would not come back.
    net = Wire(1, 16)
    x = 0
    for _ in range(10_000):
        y = net.add(Conv, x, kernel=3, width=1)
        x = net._place(Concat(), (x, y), (1, 16))
    field = receptive_fields(net.graph())[-1]
    assert field is not None
    assert field.size == (20_001,)
    assert field.smallest[0].size == 1


# --- the support of a gradient --------------------------------------------------------


def run(graph: Graph, x: torch.Tensor, edge: torch.Tensor) -> torch.Tensor:
    """The graph with weights of one, average pools, and `edge` for every value of padding.

    Where the gradient on `edge` is not 0, a position sees padding.
    """
    values = [x]
    rank = x.dim() - 2
    for node in graph.nodes[1:]:
        ins = [values[i] for i in node.inputs]
        op = node.op
        if isinstance(op, (Conv, AvgPool)):
            values.append(_slid(ins[0], edge, op, rank))
        elif isinstance(op, Up):
            values.append(_spread(ins[0], edge, op, rank, node.out[1:]))
        elif isinstance(op, Crop):
            cut = [slice(None)] * 2
            cut += [
                slice(a, a + m) for a, m in zip(op.offsets(tuple(ins[0].shape[1:])), op.size, strict=True)
            ]
            values.append(ins[0][tuple(cut)])
        elif isinstance(op, Add):
            values.append(sum(ins[1:], ins[0]))
        elif isinstance(op, Concat):
            values.append(torch.cat(ins, 1))
        else:
            raise NotImplementedError(op)
        assert tuple(values[-1].shape[1:]) == node.out
    return values[-1]


def _padded(x: torch.Tensor, edge: torch.Tensor, pads: list[tuple[int, int]]) -> torch.Tensor:
    for axis, (before, after) in enumerate(pads, start=2):
        shape = list(x.shape)
        parts = []
        for n in (before, after):
            shape[axis] = n
            parts.append(edge.expand(shape))
        x = torch.cat([parts[0], x, parts[1]], axis)
    return x


def _slid(x: torch.Tensor, edge: torch.Tensor, op: Conv | AvgPool, rank: int) -> torch.Tensor:
    x = _padded(x, edge, list(op.pad))
    conv = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    if isinstance(op, Conv):
        weight = torch.ones(op.width, x.shape[1], *op.kernel, dtype=x.dtype) / prod(op.kernel)
        return conv(x, weight, stride=op.stride, dilation=op.dilation)
    weight = torch.ones(x.shape[1], 1, *op.kernel, dtype=x.dtype) / prod(op.kernel)
    return conv(x, weight, stride=op.stride, groups=x.shape[1])


def _spread(x: torch.Tensor, edge: torch.Tensor, op: Up, rank: int, out: tuple[int, ...]) -> torch.Tensor:
    margin = [k * d for k, d in zip(op.kernel, op.dilation, strict=True)]
    x = _padded(x, edge, [(m, m) for m in margin])
    weight = torch.ones(x.shape[1], 1, *op.kernel, dtype=x.dtype)
    conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    y = conv(x, weight, stride=op.stride, dilation=op.dilation, groups=x.shape[1])
    cut = [slice(None)] * 2
    for m, s, p, n in zip(margin, op.stride, op.cut, out, strict=True):
        cut.append(slice(m * s + p, m * s + p + n))
    return y[tuple(cut)]


class Draw:
    """A random network: chains and nested branches, strided, dilated, transposed, padded by halves."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.rank = self.random.choice([1, 1, 1, 2, 3])
        low, high = {1: (16, 40), 2: (8, 14), 3: (5, 8)}[self.rank]
        self.limit = 2 * high
        self.net = Wire(1, *(self.random.randint(low, high) for _ in range(self.rank)))
        x = self.chain(0, self.random.randint(1, 5), 2)
        if x == 0:
            x = self.net.add(Conv, x, kernel=1, width=1)

    def axes(self, values: list[int]) -> tuple[int, ...]:
        return tuple(self.random.choice(values) for _ in range(self.rank))

    def chain(self, x: int, length: int, nesting: int) -> int:
        for _ in range(length):
            try:
                x = self.step(x, nesting)
            except OpError:  # a kernel larger than its map
                continue
        return x

    def step(self, x: int, nesting: int) -> int:
        choice = self.random.choice(["conv", "conv", "pool", "up", "crop", "branches", "branches"])
        if choice == "conv":
            args = {"kernel": self.axes([1, 2, 3, 5]), "stride": self.axes([1, 1, 2, 3])}
            pads = tuple(self.axes2() for _ in range(self.rank))
            return self.net.add(Conv, x, width=1, dilation=self.axes([1, 1, 2, 3]), pad=pads, **args)
        if choice == "pool":
            return self.net.add(AvgPool, x, kernel=self.axes([2, 3]), stride=self.axes([1, 2, 3]))
        if choice == "up" and max(self.net.nodes[x].out[1:]) <= self.limit // 2:
            stride, dilation = self.axes([1, 2, 3]), self.axes([1, 1, 2, 3])
            kernel = self.axes([1, 2, 3, 4])
            if self.rank > 1:
                # An output that no tap reaches on one axis sees nothing on the others either, which
                # fields by axis do not tell; so here every output is reached.
                kernel = tuple(map(max, kernel, stride))
                dilation = tuple(d if gcd(s, d) == 1 else 1 for s, d in zip(stride, dilation, strict=True))
            args = {"kernel": kernel, "stride": stride, "dilation": dilation}
            return self.net.add(Up, x, cut=self.axes([0, 0, 1]), **args)
        if choice == "crop":
            size = tuple(max(1, n - self.random.randint(0, 2)) for n in self.net.nodes[x].out[1:])
            return self.net.add(Crop, x, size=size)
        if choice == "branches" and nesting:
            return self.branches(x, nesting)
        return x

    def axes2(self) -> tuple[int, int]:
        return self.random.choice([0, 0, 1, 2]), self.random.choice([0, 1])

    def branches(self, x: int, nesting: int) -> int:
        ends = [self.chain(x, self.random.randint(0, 3), nesting - 1) for _ in range(2)]
        outs = [self.net.nodes[end].out[1:] for end in ends]
        size = tuple(map(min, *outs))
        ends = [
            end if out == size else self.net.add(Crop, end, size=size)
            for end, out in zip(ends, outs, strict=True)
        ]
        if self.random.random() < 0.5:
            return self.net.add(Concat, *ends)
        channels = max(self.net.nodes[end].out[0] for end in ends)
        ends = [
            end
            if self.net.nodes[end].out[0] == channels
            else self.net.add(Conv, end, kernel=1, width=channels)
            for end in ends
        ]
        return self.net.add(Add, *ends)


def compare(seed: int) -> int:
    """Hold one random network's fields against gradients; the number of positions held exactly."""
    graph = Draw(seed).net.graph()
    last = graph.nodes[-1]
    field = receptive_field(graph, last.index)
    assert field is not None
    assert field.undefined is None
    x = torch.ones(1, *graph.nodes[0].out, dtype=torch.float64, requires_grad=True)
    edge = torch.ones((), dtype=torch.float64, requires_grad=True)
    y = run(graph, x, edge).sum((0, 1))
    random, exact = Random(seed), 0
    for _ in range(12):
        position = tuple(random.randrange(n) for n in last.out[1:])
        grads = torch.autograd.grad(
            y[position], [x, edge], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        seen = grads[0].abs().sum((0, 1)).nonzero()
        spans = [axis.at(i) for axis, i in zip(field.axes, position, strict=True)]
        for a, span in enumerate(spans):
            if not len(seen):
                continue
            assert span is not None
            first, end = int(seen[:, a].min()), int(seen[:, a].max())
            assert span[0] <= first
            assert end <= span[1]
            if grads[1] == 0:
                assert (first, end) == span, f"seed {seed}, position {position}, axis {a}"
                exact += 1
        if not len(seen) and grads[1] == 0:
            assert None in spans
    return exact


def test_fields_are_the_support_of_the_gradient() -> None:
    exact = sum(compare(seed) for seed in range(300))
    assert exact > 300  # or the draws say little: most positions would look over the border


@pytest.mark.slow
def test_fields_are_the_support_of_the_gradient_at_length() -> None:
    assert sum(compare(seed) for seed in range(1_000, 11_000)) > 10_000


def test_gates_by_hand() -> None:
    net = Wire(1, 16)
    x = net.add(Crop, 0, size=8)
    gate = net.add(GlobalAvgPool, x)
    x = net.add(Multiply, 0, gate)
    field = receptive_field(net.graph(), x)
    assert field is not None
    assert field.whole
    # The hull with the branch that passes everything is the whole input, though the gate sees half.
    assert field.size == (16,)
    assert receptive_field(net.graph(), gate).size == (8,)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["inception_v3", "nasnet_a_mobile", "googlenet", "unet", "mobilenet_v2"])
def test_what_is_known_from_other_networks_changes_no_field(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (SPECS / f"{name}.cnn").read_text(encoding="utf8")
    text = text.split("\nexpect")[0]
    changed = [text.replace("3x", "1x", 1), text.replace("conv3", "conv5"), text.replace("/2", "/1", 1), text]
    found = []
    for spec in [text, *changed]:
        try:
            graph = build(parse(Source(str(SPECS / "other.cnn"), spec)))
        except CnncError:
            continue
        found.append((graph, receptive_fields(graph)))
    assert len(found) > 2
    for graph, fields in found:
        monkeypatch.setattr("cnnc.compiler.receptive_field._STATES", {})
        monkeypatch.setattr("cnnc.compiler.receptive_field._FIELDS", {})
        assert receptive_fields(graph) == fields
