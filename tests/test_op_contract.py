"""What each layer answers against counting in loops: places of a window, tensors, multiply-adds."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import pytest
from graphs import graph_of, graph_on
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_words import codes

import cnnc
from cnnc.compiler.build import build
from cnnc.compiler.graph import Node
from cnnc.compiler.ops import Op, all_ops, op_words
from cnnc.compiler.ops.base import (
    REGISTRY,
    Axis,
    Local,
    Place,
    Pointwise,
    SameShape,
    Shape,
    Spread,
    Undefined,
    Weightless,
    Whole,
    Window,
    op,
)
from cnnc.compiler.sizes import is_free, number
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source

QUICK = settings(max_examples=80, derandomize=True, database=None, deadline=None)
Sides = tuple[int, int]


def placed(shape: Shape, word: str) -> tuple[Node, tuple[Shape, ...]]:
    """The last layer of these, and the shapes that flow into it."""
    graph = graph_on(shape, word)
    node = graph.layers[-1]
    assert all(type(n) is int for other in graph.nodes for n in other.out)
    return node, graph.ins(node)


def answers(shape: Shape, word: str) -> tuple[Shape, dict[str, Shape], dict[str, Shape], int, int, Window]:
    node, ins = placed(shape, word)
    found = node.op
    tensors = [*found.params(*ins).values(), *found.state(*ins).values()]
    counts = [found.macs(*ins), found.flops(*ins), *(n for shape in tensors for n in shape)]
    assert all(type(n) is int for n in counts)
    return (
        node.out, dict(found.params(*ins)), dict(found.state(*ins)), found.macs(*ins), found.flops(*ins),
        found.window(*ins),
    )  # fmt: skip


# --- sliding windows: every place tried ---------------------------------------------------


def starts(n: int, k: int, s: int, d: int, pad: Sides, *, ceil: bool = False) -> list[int]:
    """Where windows begin: all of one lies in the padded map, or (with `ceil`) begins before its end."""
    extent = max(range(0, k * d, d)) + 1
    found = []
    for i in range(60):
        begin = i * s - pad[0]
        inside = begin + extent <= n + pad[1]
        # The last of `ceil`: what the one before it left over, and it begins in the map or before it.
        left_over = ceil and (i - 1) * s - pad[0] + extent < n + pad[1] and begin < n
        if inside or (left_over and len(found) == i):
            found.append(begin)
    return found


@st.composite
def _windows(draw: st.DrawFn) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    return {
        "n": each(2, 9), "k": each(1, 4), "s": each(1, 3), "d": each(1, 3),
        "pad": tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank)),
        "cin": draw(st.integers(1, 3)), "groups": draw(st.integers(1, 2)), "width": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()), "multiplier": draw(st.integers(1, 3)),
    }  # fmt: skip


def _x(numbers: Any) -> str:
    return "x".join(map(str, numbers))


def _pads(pad: tuple[Sides, ...]) -> str:
    return f"({', '.join(map(str, pad))})" if len(pad) > 1 else str(pad[0])


def _places(c: dict[str, Any]) -> list[list[int]]:
    return [
        starts(n, k, s, d, p) for n, k, s, d, p in zip(c["n"], c["k"], c["s"], c["d"], c["pad"], strict=True)
    ]


def _flag(value: bool) -> str:
    return "yes" if value else "no"


@given(_windows())
@QUICK
def test_convolutions_count_as_their_loops(c: dict[str, Any]) -> None:
    places = _places(c)
    cin, width = c["cin"] * c["groups"], c["width"] * c["groups"]
    shape = (cin, *c["n"])
    more = f"pad={_pads(c['pad'])}, dilation={_x(c['d'])}, bias={_flag(c['bias'])}, act=none"
    sizes, taps = f"{_x(c['k'])}", prod(c["k"])
    stride = _x(c["s"])
    words = {
        "conv": f"conv{sizes}-{width}/{stride}({more}, groups={c['groups']})",
        "dw": f"dwconv{sizes}/{stride}({more}, multiplier={c['multiplier']})",
        "sep": f"sepconv{sizes}-{width}/{stride}({more}, multiplier={c['multiplier']})",
        "local": f"local{sizes}-{width}/{stride}({more})",
    }
    if not all(places):
        assert all(codes(shape, word) == {"E403"} for word in words.values())
        return
    out = tuple(len(axis) for axis in places)
    positions = sum(1 for _ in product(*places))
    middle = cin * c["multiplier"]
    window = Local(tuple(
        Axis(k, s, p[0], d) for k, s, p, d in zip(c["k"], c["s"], c["pad"], c["d"], strict=True)
    ))  # fmt: skip

    def bias(name: str, *shape: int) -> dict[str, Shape]:
        return {name: shape} if c["bias"] else {}

    def flops(macs: int, maps: int) -> int:
        return 2 * macs + (positions * maps if c["bias"] else 0)

    macs = positions * width * c["cin"] * taps
    weight = {"weight": (width, c["cin"], *c["k"])}
    assert answers(shape, words["conv"]) == (
        (width, *out), weight | bias("bias", width), {}, macs, flops(macs, width), window
    )  # fmt: skip
    macs = positions * middle * taps
    assert answers(shape, words["dw"]) == (
        (middle, *out), {"weight": (middle, 1, *c["k"])} | bias("bias", middle), {}, macs, flops(macs, middle),
        window,
    )  # fmt: skip
    macs = positions * (middle * taps + middle * width)
    assert answers(shape, words["sep"]) == (
        (width, *out),
        {"depthwise.weight": (middle, 1, *c["k"]), "pointwise.weight": (width, middle, *(1 for _ in out))}
        | bias("pointwise.bias", width),
        {}, macs, flops(macs, width), window,
    )  # fmt: skip
    macs = positions * width * cin * taps
    assert answers(shape, words["local"]) == (
        (width, *out),
        {"weight": (positions * width, cin, *c["k"])} | bias("bias", width, *out),
        {}, macs, flops(macs, width), window,
    )  # fmt: skip


@given(_windows(), st.integers(0, 2))
@QUICK
def test_transposed_convolutions_reach_what_their_loops_write(c: dict[str, Any], more: int) -> None:
    cin, width = c["cin"] * c["groups"], c["width"] * c["groups"]
    shape = (cin, *c["n"])
    word = (
        f"tconv{_x(c['k'])}-{width}/{_x(c['s'])}(pad={_pads(c['pad'])}, dilation={_x(c['d'])}, "
        f"output_pad={more}, groups={c['groups']}, bias={_flag(c['bias'])})"
    )
    if any(more >= max(s, d) for s, d in zip(c["s"], c["d"], strict=True)):
        assert codes(shape, word) == {"E307"}
        return
    out = []
    for n, k, s, d, p in zip(c["n"], c["k"], c["s"], c["d"], c["pad"], strict=True):
        written = [i * s + j * d for i in range(n) for j in range(k)]
        out.append(max(written) + 1 + more - sum(p))
    if min(out) < 1:
        assert codes(shape, word) == {"E403"}
        return
    macs = sum(1 for _ in product(*map(range, c["n"]))) * cin * c["width"] * prod(c["k"])
    assert answers(shape, word) == (
        (width, *out),
        {"weight": (cin, c["width"], *c["k"])} | ({"bias": (width,)} if c["bias"] else {}),
        {}, macs, 2 * macs + (width * prod(out) if c["bias"] else 0),
        Local(tuple(
            Spread(k, s, p[0], d) for k, s, p, d in zip(c["k"], c["s"], c["pad"], c["d"], strict=True)
        )),
    )  # fmt: skip


@given(
    _windows(),
    st.booleans(),
    st.sampled_from(["maxpool", "avgpool", "sumpool", "lppool", "stochasticpool", "subsample"]),
)
@QUICK
def test_pools_have_the_places_of_their_windows(c: dict[str, Any], ceil: bool, kind: str) -> None:
    shape, rank = (c["cin"], *c["n"]), len(c["n"])
    rounds = kind in ("maxpool", "avgpool", "sumpool")
    word = (
        f"{kind}{_x(c['k'])}/{_x(c['s'])}(pad={_pads(c['pad'])}{f', ceil={_flag(ceil)}' if rounds else ''})"
    )
    if any(max(p) > (k - 1 if kind == "maxpool" else k // 2) for p, k in zip(c["pad"], c["k"], strict=True)):
        assert codes(shape, word) == {"E303"}
        return
    places = [
        starts(n, k, s, 1, p, ceil=ceil and rounds)
        for n, k, s, p in zip(c["n"], c["k"], c["s"], c["pad"], strict=True)
    ]
    short = any(k > n + sum(p) for n, k, p in zip(c["n"], c["k"], c["pad"], strict=True))
    if not ceil and short:
        assert codes(shape, word) == {"E403"}
        return
    if short:
        return  # whether a window that only overhangs counts is PyTorch's affair: tests/ops/test_refusals.py
    params = {"weight": (c["cin"],), "bias": (c["cin"],)} if kind == "subsample" else {}
    window = Local(tuple(Axis(k, s, p[0]) for k, s, p in zip(c["k"], c["s"], c["pad"], strict=True)))
    assert answers(shape, word) == ((c["cin"], *map(len, places)), params, {}, 0, 0, window)
    own = answers((2, *(8 for _ in range(rank))), f"{kind}{_x(c['k'])}")
    assert own[-1] == Local(tuple(Axis(k, k, 0) for k in c["k"]))
    assert answers((2, 9), kind)[-1] == Local((Axis(2, 2, 0),))


@given(_windows())
@QUICK
def test_padding_by_word(c: dict[str, Any]) -> None:
    """`same` centres the window, `same_tf` gives ceil(n/s) with the odd one after, `valid` is none."""
    extents = [k + (k - 1) * (d - 1) for k, d in zip(c["k"], c["d"], strict=True)]
    shape = (1, *c["n"])
    head, more = f"conv{_x(c['k'])}-1/{_x(c['s'])}", f"dilation={_x(c['d'])}, act=none"
    if any(extent % 2 == 0 for extent in extents):
        assert codes(shape, f"{head}({more})") == {"E404"}
    else:
        out, *_, window = answers(shape, f"{head}({more})")
        assert out == (1, *(-(-n // s) for n, s in zip(c["n"], c["s"], strict=True)))
        assert isinstance(window, Local)
        assert [2 * axis.before for axis in window.axes] == [extent - 1 for extent in extents]
    node, _ = placed(shape, f"{head}({more}, pad=same_tf)")
    assert node.out == (1, *(-(-n // s) for n, s in zip(c["n"], c["s"], strict=True)))
    pads: Any = node.op.pad  # type: ignore[attr-defined]
    for n, s, extent, (before, after) in zip(c["n"], c["s"], extents, pads, strict=True):
        last = (-(-n // s) - 1) * s + extent
        assert before + after == max(last - n, 0)
        assert after - before in (0, 1)
    if all(extent <= n for n, extent in zip(c["n"], extents, strict=True)):
        assert answers(shape, f"{head}({more}, pad=valid)") == answers(shape, f"{head}({more}, pad=0)")


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4))
@QUICK
def test_pools_padded_as_tensorflow_does(n: int, k: int, s: int) -> None:
    out = -(-n // s)
    short = max((out - 1) * s + k - n, 0)
    if short - short // 2 > k // 2:
        assert codes((2, n), f"maxpool{k}/{s}(pad=same_tf)") == {"E303"}
    else:
        node, ins = placed((2, n), f"maxpool{k}/{s}(pad=same_tf)")
        assert (node.out, node.op.window(*ins)) == ((2, out), Local((Axis(k, s, short // 2),)))
    if k % 2:
        node, ins = placed((2, n), f"avgpool{k}/{s}(pad=same)")
        assert (node.out, node.op.window(*ins)) == ((2, out), Local((Axis(k, s, k // 2),)))


@pytest.mark.parametrize(
    "word",
    [
        "conv5-2(pad=valid)", "conv3-2(pad=valid, dilation=3)", "maxpool4/2", "crop(6)", "tconv2-2(pad=3)",
        "maxpool3/2(ceil=yes)", "tconv3-2/2(pad=4)", "conv3-2/2 -> conv3-2(pad=valid)", "sumpool3/1",
        "maxpool -> [id + conv3-2(pad=valid) -> tconv3-2]", "pad(1) -> conv5-2(pad=valid)",
    ],
)  # fmt: skip
def test_the_smallest_free_size_is_the_first_that_fits(word: str) -> None:
    (told,) = cnnc.parse(f"input 2xW\n{word}\n").limits
    taken = [n for n in range(1, 40) if not codes((2, n), word)]
    assert told.smallest == taken[0]
    assert taken == list(range(taken[0], 40))


@pytest.mark.parametrize(
    "word", ["conv4-2/3(pad=same_tf)", "maxpool5/2(pad=same_tf)", "dwconv2/4(pad=same_tf)"]
)
def test_a_free_size_is_that_of_every_fixed_one(word: str) -> None:
    out = build(parse(Source("net.cnn", f"input 2xW\n{word}\n"))).layers[0].out[1]
    assert is_free(out)
    for n in range(5, 40):
        assert number(out, {"W": n}) == graph_on((2, n), word).layers[0].out[1]


# --- layers one by one ------------------------------------------------------------------------

NOTHING: dict[str, Shape] = {}
P = Pointwise()
CASES: tuple[tuple[Shape, str, Shape, dict[str, Shape], dict[str, Shape], int, int, Window], ...] = (
    ((4, 5, 6), "bn", (4, 5, 6), {"weight": (4,), "bias": (4,)},
     {"running_mean": (4,), "running_var": (4,), "num_batches_tracked": ()}, 0, 0, P),
    ((4, 5, 6), "bn(affine=no)", (4, 5, 6), NOTHING,
     {"running_mean": (4,), "running_var": (4,), "num_batches_tracked": ()}, 0, 0, P),
    ((4, 5, 6), "gn(2)", (4, 5, 6), {"weight": (4,), "bias": (4,)}, NOTHING, 0, 0, P),
    ((64, 5, 6), "gn", (64, 5, 6), {"weight": (64,), "bias": (64,)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "gn(4, affine=no)", (4, 5, 6), NOTHING, NOTHING, 0, 0, P),
    ((4, 5, 6), "ln", (4, 5, 6), {"weight": (4,), "bias": (4,)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "ln(over=all)", (4, 5, 6), {"weight": (4, 5, 6), "bias": (4, 5, 6)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "instancenorm", (4, 5, 6), NOTHING, NOTHING, 0, 0, P),
    ((4, 5, 1), "inorm(affine=yes)", (4, 5, 1), {"weight": (4,), "bias": (4,)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "scale", (4, 5, 6), {"weight": (4,)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "scale(bias=yes)", (4, 5, 6), {"weight": (4,), "bias": (4,)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "prelu", (4, 5, 6), {"weight": (4,)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "prelu(shared=yes)", (4, 5, 6), {"weight": (1,)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "bias", (4, 5, 6), {"bias": (4, 5, 6)}, NOTHING, 0, 120, P),
    ((6, 5, 4), "maxout(3)", (2, 5, 4), NOTHING, NOTHING, 0, 0, P),
    ((6, 5, 4), "maxout", (3, 5, 4), NOTHING, NOTHING, 0, 0, P),
    ((6, 5, 4), "squash(3)", (6, 5, 4), NOTHING, NOTHING, 0, 0, P),
    ((6, 5, 4), "capslength(3)", (2, 5, 4), NOTHING, NOTHING, 0, 0, P),
    ((6, 5, 4), "capsmask(2)", (6, 5, 4), NOTHING, NOTHING, 0, 0, P),
    ((16, 3, 2), "capsule5-4", (20,), {"weight": (12, 5, 4, 8)}, NOTHING, 12 * 5 * 4 * 8, 2 * 12 * 5 * 4 * 8, Whole()),
    ((6, 3), "capsule2-4(of=3)", (8,), {"weight": (6, 2, 4, 3)}, NOTHING, 144, 288, Whole()),
    ((6,), "fc-5(act=none)", (5,), {"weight": (5, 6), "bias": (5,)}, NOTHING, 30, 65, Whole()),
    ((6,), "fc-5(bias=no, act=none)", (5,), {"weight": (5, 6)}, NOTHING, 30, 60, Whole()),
    ((6,), "rbf-5", (5,), NOTHING, {"weight": (5, 6)}, 0, 0, Whole()),
    ((6,), "rbf-5(trainable=yes)", (5,), {"weight": (5, 6)}, NOTHING, 0, 0, Whole()),
    ((6, 4, 5), "gap", (6, 1, 1), NOTHING, NOTHING, 0, 0, Whole()),
    ((6, 4, 5, 3), "gmp", (6, 1, 1, 1), NOTHING, NOTHING, 0, 0, Whole()),
    ((6, 4, 5), "flatten", (120,), NOTHING, NOTHING, 0, 0, Whole()),
    ((6,), "flatten", (6,), NOTHING, NOTHING, 0, 0, P),
    ((6, 1, 1), "squeeze", (6,), NOTHING, NOTHING, 0, 0, Whole()),
    ((6, 4, 3), "squeeze", (6, 4, 3), NOTHING, NOTHING, 0, 0, P),
    ((1, 4, 3), "squeeze", (1, 4, 3), NOTHING, NOTHING, 0, 0, P),
    ((6, 4, 5), "shuffle(3)", (6, 4, 5), NOTHING, NOTHING, 0, 0, P),
    ((6, 4, 5), "chunk(3, 2)", (2, 4, 5), NOTHING, NOTHING, 0, 0, P),
    ((6, 4, 5), "chunk(6, 0)", (1, 4, 5), NOTHING, NOTHING, 0, 0, P),
    ((6, 4, 5), "reshape(6x4x5)", (6, 4, 5), NOTHING, NOTHING, 0, 0, P),
    ((6, 4, 5), "reshape(120)", (120,), NOTHING, NOTHING, 0, 0, Whole()),
    ((120,), "reshape(6x4x5)", (6, 4, 5), NOTHING, NOTHING, 0, 0, Whole()),
    ((6, 9, 8), "crop(4x7)", (6, 4, 7), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, -2), Axis(1, 1, 0)))),
    ((6, 9, 8), "crop(9x8)", (6, 9, 8), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, 0), Axis(1, 1, 0)))),
    ((6, 9, 8), "crop(4x3)", (6, 4, 3), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, -2), Axis(1, 1, -2)))),
    ((6, 1, 1), "stretch(4x7)", (6, 4, 7), NOTHING, NOTHING, 0, 0, Local((Spread(4, 4, 0), Spread(7, 7, 0)))),
    ((6, 1, 8), "stretch(4x8)", (6, 4, 8), NOTHING, NOTHING, 0, 0, Local((Spread(4, 4, 0), Axis(1, 1, 0)))),
    ((3, 9, 8), "shortcut_pad(width=5, stride=2)", (5, 5, 4), NOTHING, NOTHING, 0, 0, Local((Axis(1, 2, 0),) * 2)),
    ((5, 9, 8), "shortcut_pad(width=5, stride=3x1)", (5, 3, 8), NOTHING, NOTHING, 0, 0,
     Local((Axis(1, 3, 0), Axis(1, 1, 0)))),
    ((8, 3, 4), "pixelshuffle(2)", (2, 6, 8), NOTHING, NOTHING, 0, 0, Local((Spread(2, 2, 0),) * 2)),
    ((6, 3, 4), "pixelshuffle(3x2)", (1, 9, 8), NOTHING, NOTHING, 0, 0, Local((Spread(3, 3, 0), Spread(2, 2, 0)))),
    ((2, 6, 8), "spacetodepth(3x2)", (12, 2, 4), NOTHING, NOTHING, 0, 0, Local((Axis(3, 3, 0), Axis(2, 2, 0)))),
    ((2, 5, 6), "pad(((1, 2), (3, 0)))", (2, 8, 9), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, 1), Axis(1, 1, 3)))),
    ((2, 5, 6), "upsample(3x2)", (2, 15, 12), NOTHING, NOTHING, 0, 0, Local((Spread(3, 3, 0), Spread(2, 2, 0)))),
    ((2, 5, 6), "upsample(size=5x12)", (2, 5, 12), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, 0), Spread(2, 2, 0)))),
    ((2, 6, 6), "upsample(size=2x3)", (2, 2, 3), NOTHING, NOTHING, 0, 0, Local((Axis(1, 3, 0), Axis(1, 2, 0)))),
    ((2, 6, 6), "resize(0.5, mode=area)", (2, 3, 3), NOTHING, NOTHING, 0, 0, Local((Axis(2, 2, 0), Axis(2, 2, 0)))),
    ((2, 6, 6), "resize((1/3, 2))", (2, 2, 12), NOTHING, NOTHING, 0, 0, Local((Axis(1, 3, 0), Spread(2, 2, 0)))),
    ((2, 5, 6), "upsample(2x3, mode=bilinear)", (2, 10, 18), NOTHING, NOTHING, 0, 0,
     Local((Spread(4, 2, 1), Spread(5, 3, 1)))),
    ((2, 12, 14), "adaptiveavgpool(4x7)", (2, 4, 7), NOTHING, NOTHING, 0, 0, Local((Axis(3, 3, 0), Axis(2, 2, 0)))),
    ((2, 3, 7), "adaptivemaxpool(6x7)", (2, 6, 7), NOTHING, NOTHING, 0, 0, Local((Spread(2, 2, 0), Axis(1, 1, 0)))),
    ((2, 3, 7), "adaptiveavgpool1", (2, 1, 1), NOTHING, NOTHING, 0, 0, Whole()),
    ((2, 8, 8), "lrn", (2, 8, 8), NOTHING, NOTHING, 0, 0, P),
    ((4, 5, 6), "slice(1..)", (3, 5, 6), NOTHING, NOTHING, 0, 0, P),
    ((4, 5, 6), "slice(1..3, axis=W)", (4, 5, 3), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, 0), Axis(1, 1, -1)))),
    ((4, 5, 6), "slice(-3..-2, axis=H)", (4, 2, 6), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, -2), Axis(1, 1, 0)))),
    ((4, 5, 6), "mean(axis=C)", (1, 5, 6), NOTHING, NOTHING, 0, 0, P),
    ((4, 5, 6), "max(axis=H)", (4, 1, 6), NOTHING, NOTHING, 0, 0, Local((Axis(5, 1, 0), Axis(1, 1, 0)))),
    ((4, 5, 6), "sum(axis=(C, W))", (1, 5, 1), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, 0), Axis(6, 1, 0)))),
    ((4, 5, 6), "mean(axis=(H, W))", (4, 1, 1), NOTHING, NOTHING, 0, 0, Whole()),
    ((2, 8, 8), "dropout", (2, 8, 8), NOTHING, NOTHING, 0, 0, P),
    ((4, 5, 6), "slice(1..-1, axis=W)", (4, 5, 5), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, 0), Axis(1, 1, -1)))),
    ((4, 5, 6), "permute(C, H, W)", (4, 5, 6), NOTHING, NOTHING, 0, 0, P),
    ((4, 1, 1), "permute(W, H, C)", (1, 1, 4), NOTHING, NOTHING, 0, 0, Whole()),
    ((4, 5, 6), "scale(each=one)", (4, 5, 6), {"weight": (1,)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "scale(each=position)", (4, 5, 6), {"weight": (4, 5, 6)}, NOTHING, 0, 0, P),
    ((4, 5, 6), "resize(size=10x6)", (4, 10, 6), NOTHING, NOTHING, 0, 0, Local((Spread(2, 2, 0), Axis(1, 1, 0)))),
    ((4, 5, 6), "resize(size=5x6)", (4, 5, 6), NOTHING, NOTHING, 0, 0, Local((Axis(1, 1, 0), Axis(1, 1, 0)))),
    ((4, 5, 6), "upsample(size=10x6)", (4, 10, 6), NOTHING, NOTHING, 0, 0, Local((Spread(2, 2, 0), Axis(1, 1, 0)))),
)  # fmt: skip


@pytest.mark.parametrize(("shape", "word", "out", "params", "state", "macs", "flops", "window"), CASES)
def test_answers(
    shape: Shape, word: str, out: Shape, params: Any, state: Any, macs: int, flops: int, window: Window
) -> None:
    assert answers(shape, word) == (out, params, state, macs, flops, window)


@pytest.mark.parametrize(
    ("shape", "word"),
    [
        ((2, 7, 7), "upsample(size=9, mode=bilinear)"), ((2, 7, 7), "upsample(size=5)"), ((2, 7, 7), "resize(1.5)"),
        ((2, 7, 7), "upsample(2, mode=bilinear, align_corners=yes)"), ((2, 9, 9), "fractionalmaxpool2(ratio=0.5)"),
        ((2, 3, 1), "squeeze"), ((4, 5, 6), "permute(W, H, C)"), ((4, 5, 6), "permute(C, W, H)"), ((2, 3, 4), "reshape(2x4x3)"), ((2, 8, 8), "stn([fc-4])"),
    ],
)  # fmt: skip
def test_what_an_output_sees_is_not_always_fixed(shape: Shape, word: str) -> None:
    node, ins = placed(shape, word)
    assert isinstance(node.op.window(*ins), Undefined)


def test_a_transformer_has_a_layer_of_its_own() -> None:
    for shape, numbers in (((2, 8, 8), 6), ((2, 4, 4, 4), 12)):
        out, params, state, macs, flops, _ = answers(shape, "stn([fc-5])")
        assert (out, state) == (shape, {})
        assert params == {"theta.weight": (numbers, 5), "theta.bias": (numbers,)}
        assert (macs, flops) == (5 * numbers, 2 * 5 * numbers + numbers)
    assert placed((2, 8, 8), "stn([fc-5], size=4x5)")[0].out == (2, 4, 5)


def test_a_table_links_maps_one_by_one() -> None:
    rows = ("110", "011")
    out, params, _, macs, flops, _ = answers((2, 5, 5), 'conv3-3(table="110,011", act=none)')
    pairs = sum(1 for i, o in product(range(2), range(3)) if rows[i][o] == "1")
    assert (out, params) == ((3, 5, 5), {"weight": (pairs, 3, 3), "bias": (3,)})
    assert (macs, flops) == (25 * pairs * 9, 2 * 25 * pairs * 9 + 75)
    for table in ("110,01", "110", "11,01", "112,011", "110,011,111", ",", "110,"):
        assert codes((2, 5, 5), f'conv3-3(table="{table}")') <= {"E303", "E307"}
        assert codes((2, 5, 5), f'conv3-3(table="{table}")')
    for more in ("groups=2", "standardise=yes", "init=he", "init=xavier"):
        assert codes((2, 5, 5), f'conv3-4(table="1101,0111", {more})') == {"E307"}
    assert codes((2, 5, 5), 'conv3-4(table="1101,0111", groups=1, init=normal(0.1))') == set()


def test_the_table_of_lenet_is_the_published_one() -> None:
    """LeCun et al. 1998, section II.B: C3 has 1,516 trainable parameters and 151,600 connections."""
    _, params, _, macs, _, _ = answers((6, 14, 14), "conv5-16(table=lenet5_c3, pad=valid, act=none)")
    assert sum(map(prod, params.values())) == 1516
    assert macs + 16 * 100 == 151_600


@pytest.mark.parametrize("mask", ["a", "b"])
@pytest.mark.parametrize(
    "kernel", [(1,), (5,), (1, 1), (1, 3), (3, 1), (3, 5), (1, 1, 5), (1, 3, 1), (3, 1, 5)]
)
def test_a_mask_leaves_the_places_before_the_middle_in_the_order_of_reading(
    mask: str, kernel: tuple[int, ...]
) -> None:
    middle = tuple(k // 2 for k in kernel)
    taps = [at for at in product(*map(range, kernel)) if at < middle or (mask == "b" and at == middle)]
    shape, word = (2, *[9] * len(kernel)), f"conv{_x(kernel)}-4(mask={mask}, act=none)"
    if not taps:
        assert codes(shape, word) == {"E307"}
        return
    node, ins = placed(shape, word)
    assert node.op.window(*ins) == Local(tuple(
        Axis(max(at[i] for at in taps) + 1, 1, k // 2) for i, k in enumerate(kernel)
    ))  # fmt: skip
    assert node.op.one_sided
    assert not placed(shape, word.replace(f"mask={mask}, ", ""))[0].op.one_sided
    assert codes(shape, f"conv{_x((2, *kernel[1:]))}-4(mask={mask}, pad=valid, act=none)") == {"E307"}


@pytest.mark.parametrize(
    ("shape", "word"),
    [
        ((6, 9, 9), "conv3-4/2(act=none)"), ((6, 9, 11), "conv3x5-4/2x1(groups=2, pad=1x0, bias=no, act=none)"),
        ((6, 8), "conv3-4(pad=(2, 0), act=none)"), ((3, 9, 9, 9), "conv2-4(pad=valid, dilation=3, act=none)"),
        ((6, 9, 7), "dwconv3/2(multiplier=2, act=none)"), ((6, 9, 7), "dwconv3(pad=valid, act=none)"),
    ],
)  # fmt: skip
def test_the_other_way_takes_the_same_weights_and_gives_the_size_back(shape: Shape, word: str) -> None:
    node, ins = placed(shape, word)
    other = node.op.transposed(*ins)
    assert other is not None
    cls, given = other
    back = cls.model_validate({**given, "width": shape[0]}, context=Place((node.out,)))
    weight = node.op.params(*ins)["weight"]
    assert back.params(node.out) == {"weight": weight}
    assert back.out_shape(node.out) == shape
    assert node.op.weight_of(*ins) == weight


def test_weights_that_are_not_used_as_they_are_kept_have_no_other_way() -> None:
    for word, has_weight in (
        ("conv3-4(mask=b, act=none)", False), ("conv3-4(standardise=yes, act=none)", False),
        ('conv3-4(table="1111,1010", act=none)', False), ("conv3-4(pad_mode=reflect, act=none)", True),
        ("dwconv3(pad_mode=circular, act=none)", True), ("maxpool", False), ("bn", True),
    ):  # fmt: skip
        node, ins = placed((2, 9, 9), word)
        assert node.op.transposed(*ins) is None, word
        assert (node.op.weight_of(*ins) is not None) is has_weight, word
    for dropconnect in (0, 0.5):
        node, ins = placed((6,), f"fc-4(dropconnect={dropconnect}, act=none)")
        assert (node.op.transposed(*ins) is None) is (dropconnect > 0)
    free = build(parse(Source("net.cnn", "input 2xW\nconv3-4/2(pad=same_tf, act=none)")))
    assert free.layers[0].op.transposed(*free.ins(free.layers[0])) is None


def test_channels_that_are_divided_alike_however_many_there_are() -> None:
    for word in ("chunk(3, 2)", "pixelshuffle(2)", "pixelshuffle(3x2)"):
        for channels in (12, 24):
            node, ins = placed((channels, 4, 6), word)
            assert node.op.channels_over == ins[0][0] // node.out[0], word
    assert placed((12, 4, 6), "conv1-4")[0].op.channels_over is None


@given(st.integers(2, 12), st.integers(1, 12), st.integers(1, 3))
@QUICK
def test_fractional_pools_fit_or_are_refused(n: int, m: int, k: int) -> None:
    """m windows of k at different places need m + k - 1 positions, and one more on three axes."""
    word = f"fractionalmaxpool{k}(out={m})"
    for rank, room in ((1, 0), (2, 0), (3, 1)):
        taken = codes((1, *(n,) * rank), word)
        assert taken == (set() if m + k - 1 + room <= n else {"E403"})
    if int(n * 0.5) >= 1 and int(n * 0.5) + k - 1 <= n:
        assert placed((1, n), f"fractionalmaxpool{k}(ratio=0.5)")[0].out == (1, n // 2)


# --- layers on other layers -----------------------------------------------------------------


def test_an_unpool_is_the_pool_turned_round() -> None:
    node, ins = placed((2, 9, 8), "p: maxpool3/2(pad=1) -> tanh -> unpool(of=p)")
    assert (node.out, ins) == ((2, 9, 8), ((2, 5, 4), (2, 9, 8)))
    assert node.op.windows(*ins) == (Local((Spread(3, 2, 1),) * 2), None)
    for more, code in (
        ("", set()), (", kernel=3", set()), (", stride=2, pad=1, ceil=no", set()), (", kernel=2", {"E307"}),
        (", stride=3x2", {"E307"}), (", pad=0", {"E307"}), (", ceil=yes", {"E307"}),
    ):  # fmt: skip
        assert codes((2, 9, 8), f"p: maxpool3/2(pad=1) -> unpool(of=p{more})") == code
    assert codes((2, 9, 8), "p: avgpool3/2 -> unpool(of=p)") == {"E303"}
    assert codes((2, 9, 8), "p: maxpool3/2(pad=(0, 1)) -> unpool(of=p)") == {"E307"}
    assert codes((2, 9, 8), "p: maxpool3/2 -> conv3-3 -> unpool(of=p)") == {"E405"}


def test_tensors_that_only_lend_their_size_are_not_seen() -> None:
    for text, out in (
        ("crop(to=s)", (4, 3, 5)),
        ("upsample(like=s)", (4, 3, 5)),
        ("resize(to=s)", (4, 3, 5)),
    ):
        lines = f"c: conv1-4(act=none)\ns: maxpool3 -> e: conv1-1\nc -> x: {text} -> y: conv1-1\noutput e, y"
        graph = graph_on((2, 9, 15), lines)
        node = graph.nodes[graph.labels["x"]]
        ins = graph.ins(node)
        assert node.out == out
        first, second = node.op.windows(*ins)
        assert second is None
        step = Axis(1, 3, 0)
        assert first == Local((Axis(1, 1, -3), Axis(1, 1, -5)) if "crop" in text else (step, step))
        assert first == node.op.window(*ins)
    assert codes((2, 9, 15), "c: conv1-4\nv: fc-3\nc -> x: crop(to=v)\noutput v, x") == {"E401"}
    assert codes((2, 9, 15), "c: conv1-4\nv: fc-3\nc -> x: upsample(like=v)\noutput v, x") == {"E401"}
    assert codes((2, 9, 15), "c: conv1-4\nv: maxpool\nv -> x: crop(to=c)\noutput x") == {"E403"}


# --- the register -----------------------------------------------------------------------------


def test_every_word_leads_to_its_layer() -> None:
    words = op_words()
    for found in all_ops():
        assert not found.internal or found.kind not in words
        for word in () if found.internal else (found.kind, *found.aliases):
            assert words[word] is found
            assert word in words
    assert len(list(words)) == len(words) == len(set(words))
    assert "bogus" not in words


def test_a_layer_that_leaves_a_question_open_is_not_registered() -> None:
    class Open(SameShape):
        kind = "open"
        family = "activation"

    class Twice(SameShape):
        kind = "relu"
        family = "activation"
        example = "relu"

    class Shapeless(Weightless):
        kind = "shapeless"
        family = "activation"
        example = "shapeless"

    before = list(REGISTRY.ops)
    try:
        for cls, message in (
            (Open, "does not answer: example"),
            (Shapeless, "out_shape, window"),
            (Twice, "two ops are called relu"),
        ):
            with pytest.raises(TypeError, match=message):
                op(cls)
    finally:
        REGISTRY.ops[:] = before


@pytest.mark.parametrize(
    "found", [found for found in all_ops() if not found.internal], ids=lambda found: found.kind
)
def test_what_is_drawn_and_counted_follows_from_the_class(found: type[Op]) -> None:
    """A layer with multiply-adds is one of `depth`; one that keeps rank 0 alone flattens or takes vectors."""
    assert set(found.ranks) <= {0, 1, 2, 3}
    assert found.flattens == (found.ranks == (0,))
    if found.brings is not None:
        assert found.weighted
    assert not (found.weighted and found.transparent)


def test_a_border_and_a_cut_as_large_as_a_tensor() -> None:
    """The centre of what is larger, an odd rest after; the first places, or the last."""
    graph = graph_of(
        "input x: 2x4x5\ninput y: 3x7x9\nx -> p: pad(to=y)\ny -> a: slice(to=x, axis=W) -> e: relu\n"
        "y -> b: slice(to=x, axis=H, last=yes) -> f: relu\noutput p, e, f\n"
    )
    ops: Any = {name: graph.nodes[graph.labels[name]].op for name in "pab"}
    shapes = {name: graph.nodes[graph.labels[name]].out for name in "pab"}
    assert shapes == {"p": (2, 7, 9), "a": (3, 7, 5), "b": (3, 4, 9)}
    assert ops["p"].borders((2, 4, 5), (3, 7, 9)) == ((1, 2), (2, 2))
    assert ops["a"].ends((3, 7, 9), (2, 4, 5)) == (0, 4)
    assert ops["b"].ends((3, 7, 9), (2, 4, 5)) == (3, 6)


def test_biases_of_a_recurrent_layer_are_added_at_each_step() -> None:
    node, ins = placed((4, 6), "gru-3")
    bare, _ = placed((4, 6), "gru-3(bias=no)")
    assert bare.op.flops(*ins) == 2 * bare.op.macs(*ins) == 2 * node.op.macs(*ins)
    assert node.op.flops(*ins) - bare.op.flops(*ins) == 6 * 2 * 9
