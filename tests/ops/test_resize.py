"""`resize` and `pad` against torch: factors exactly, sizes, a tensor's size, and that of the branches beside."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from graphs import graph_of, graph_on  # noqa: E402

import cnnc  # noqa: E402
from cnnc.compiler.ops.base import Axis, Local, Spread  # noqa: E402
from cnnc.compiler.receptive_field import receptive_field  # noqa: E402
from ops.oracle import compiled  # noqa: E402

FACTORS = ("1.5", "0.5", "2", "0.7", "1/3", "5/3", "(0.5, 1.5)", "2x3")


def _compare(found: Any, wanted: Any, x: Any) -> None:
    torch.testing.assert_close(found, wanted)
    weights = torch.rand_like(found)
    (a,) = torch.autograd.grad((found * weights).sum(), x, retain_graph=True)
    (b,) = torch.autograd.grad((wanted * weights).sum(), x)
    torch.testing.assert_close(a, b)


def _parts(factor: str) -> list[Fraction]:
    parts = factor.strip("()").replace("x", ",").split(",")
    return [Fraction(part.strip()) for part in parts] * (1 if len(parts) == 2 else 2)


@pytest.mark.parametrize(
    "mode",
    ["nearest", "bilinear", "bicubic", "area", "bilinear, align_corners=yes", "bilinear, antialias=yes",
     "bicubic, antialias=yes"],
)  # fmt: skip
@pytest.mark.parametrize("factor", FACTORS)
def test_a_factor_is_exact_at_every_size(factor: str, mode: str) -> None:
    """floor(n * p/q) is that of fractions, also where n * 0.7 in floating point is just under a whole number."""
    net = cnnc.parse(f"input 2xHxW\nresize({factor}, mode={mode})")
    module = net.module().double()
    for h, w in ((90, 7), (30, 20), (10, 4)):
        x = torch.rand(2, 2, h, w, dtype=torch.float64, requires_grad=True)
        size = [int(n * f) for n, f in zip((h, w), _parts(factor), strict=True)]
        how: dict[str, Any] = {"mode": mode.partition(",")[0]}
        if "align" in mode:
            how["align_corners"] = True
        if "antialias" in mode:
            how["antialias"] = True
        found = module(x)
        assert (
            tuple(found.shape[2:])
            == tuple(size)
            == cnnc.parse(f"input 2x{h}x{w}\nresize({factor}, mode={mode})").graph.layers[-1].out[1:]
        )
        _compare(found, F.interpolate(x, size, **how), x)


def test_what_a_float_would_miss_by_one() -> None:
    missed = [n for n in range(1, 200) if int(n * 0.7) != n * 7 // 10]
    assert missed
    module = cnnc.parse("input 1xW\nresize(0.7)").module()
    for n in missed:
        assert module(torch.rand(1, 1, n)).shape[2] == n * 7 // 10


@pytest.mark.parametrize("sizes", ["HxW", "9x12"])
@pytest.mark.parametrize("mode", ["bilinear", "area", "nearest", "bicubic, antialias=yes"])
def test_last_in_a_branch_it_takes_the_size_of_its_siblings(sizes: str, mode: str) -> None:
    net = cnnc.parse(f"input 2x{sizes}\n[id | maxpool -> resize(mode={mode})]")
    module = net.module().double()
    for h, w in ((9, 12), (17, 8)) if "H" in sizes else ((9, 12),):
        x = torch.rand(2, 2, h, w, dtype=torch.float64, requires_grad=True)
        wanted = torch.cat(
            [
                x,
                F.interpolate(
                    F.max_pool2d(x, 2), (h, w), mode=mode.partition(",")[0], antialias="anti" in mode
                ),
            ],
            1,
        )
        _compare(module(x), wanted, x)


@pytest.mark.parametrize(
    ("layers", "how"),
    [
        ("p: maxpool2\n\"input\" -> s: maxpool3\ns -> pad(to=p)", {}),
        ("p: maxpool2\n\"input\" -> maxpool3 -> s: id\np -> id\n[id + s -> pad(mode=replicate)]", {"mode": "replicate"}),
        ("p: maxpool2\n\"input\" -> maxpool3 -> s: id\np -> id\n[id + s -> pad(value=2)]", {"value": 2.0}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sizes", ["HxW", "24x21"])
def test_a_border_up_to_a_size_is_on_both_sides(layers: str, how: dict[str, Any], sizes: str) -> None:
    """An odd rest is added after, as the usual decoder of a U-Net has it."""
    module = cnnc.parse(f"input 2x{sizes}\n{layers}").module().double()
    for h, w in ((24, 21), (15, 31)) if "H" in sizes else ((24, 21),):
        x = torch.rand(2, 2, h, w, dtype=torch.float64, requires_grad=True)
        p, s = F.max_pool2d(x, 2), F.max_pool2d(x, 3)
        dh, dw = p.shape[2] - s.shape[2], p.shape[3] - s.shape[3]
        wanted = F.pad(s, [dw // 2, dw - dw // 2, dh // 2, dh - dh // 2], **how)
        _compare(module(x), wanted if "to=" in layers else p + wanted, x)


def test_defaults_of_the_file_hold_for_it() -> None:
    text = "input 2x8x8\ndefault resize(mode=bilinear)\n[id | maxpool -> resize]\nresize(0.5)"
    modes = [node.op.mode for node in graph_of(text).layers if node.op.kind == "resize"]
    assert modes == ["bilinear", "bilinear"]


@pytest.mark.parametrize(
    ("word", "axis"),
    [
        ("resize(1/3)", Axis(1, 3, 0)), ("resize(1/3, mode=area)", Axis(3, 3, 0)),
        ("resize(1/3, mode=bilinear)", Axis(1, 3, -1)), ("resize(0.5, mode=bilinear)", Axis(2, 2, 0)),
        ("resize(0.25, mode=bilinear)", Axis(2, 4, -1)), ("resize(0.5, mode=bicubic)", Axis(4, 2, 1)),
        ("resize(0.25, mode=bicubic)", Axis(4, 4, 0)), ("resize(2)", Spread(2, 2, 0)),
        ("resize(2, mode=bilinear)", Spread(4, 2, 1)), ("resize(3, mode=bilinear)", Spread(5, 3, 1)),
        ("resize(1/3, mode=bilinear, antialias=yes)", Axis(5, 3, 1)),
        ("resize(0.5, mode=bilinear, antialias=yes)", Axis(4, 2, 1)),
        ("resize(0.25, mode=bicubic, antialias=yes)", Axis(16, 4, 6)),
        ("resize(1/3, mode=bicubic, antialias=yes)", Axis(11, 3, 4)),
        ("resize(3, mode=bilinear, antialias=yes)", Spread(5, 3, 1)),
        ("resize(2, mode=bicubic)", Spread(8, 2, 3)), ("resize(3, mode=bicubic)", Spread(11, 3, 4)),
    ],
)  # fmt: skip
def test_what_it_sees_by_whole_steps(word: str, axis: Axis | Spread) -> None:
    """Against the support of gradients; of cubic weights, which vanish at whole distances, against its ends."""
    graph = graph_on((1, 24, 24), word)
    (node,) = graph.layers
    assert node.op.window(*graph.ins(node)) == Local((axis, axis))
    module = compiled(graph).module.double()
    x = torch.rand(1, 1, 24, 24, dtype=torch.float64, requires_grad=True)
    out = module(x)
    middle = out.shape[3] // 2
    (gradient,) = torch.autograd.grad(out[0, 0, out.shape[2] // 2, middle], x)
    seen = (gradient[0, 0].abs().sum(0) > 1e-12).nonzero().flatten().tolist()
    places = range(axis.kernel)
    if isinstance(axis, Axis):
        told = [middle * axis.stride - axis.before + j * axis.dilation for j in places]
    else:
        told = [i for i in range(24) if middle - i * axis.stride + axis.before in places]
    assert (min(seen), max(seen)) == (told[0], told[-1])
    assert set(seen) <= set(told)


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ("resize", "E503"), ("resize(2, size=4)", "E307"), ("resize(size=4) -> p: id\np -> resize(2, to=p)", "E307"),
        ("resize(0)", "E303"), ("resize(-1)", "E303"), ("resize(bilinear)", "E303"), ("resize(0.01)", "E403"),
        ("resize(2, mode=trilinear)", "E303"), ("resize(2, align_corners=yes)", "E307"),
        ("resize(2, mode=area, align_corners=yes)", "E307"), ("resize((2, 2, 2))", "E401"),
        ("v: fc-3\n\"input\" -> resize(to=v)", "E401"), ("[id | gap -> fc-2 -> resize]", "E503"),
        ("[id | pad(1) -> pad]", "E503"), ("p: maxpool\n\"input\" -> pad(to=p)", "E403"), ("pad", "E503"),
        ("pad(mode=reflect)", "E503"), ("p: id\nmaxpool -> pad(1, to=p)", "E307"), ("[id | maxpool -> resize(moed=area)]", "E301"),
        ("[id | maxpool4 -> pad(mode=reflect)]", "E403"), ("resize(0.5, antialias=yes)", "E307"),
        ("resize(0.5, mode=area, antialias=yes)", "E307"),
    ],
)  # fmt: skip
def test_what_is_refused(layers: str, code: str) -> None:
    from cnnc.dsl.diagnostics import CnncError

    with pytest.raises(CnncError) as caught:
        graph_of(f"input 2x8x8\n{layers}")
    assert {d.code for d in caught.value.diagnostics if d.code != "E501"} == {code}


@pytest.mark.parametrize(
    "layers",
    [
        "conv3-4 -> resize(1/2, mode=bilinear, antialias=yes)",
        "conv3-4 -> resize(1/3, mode=bicubic, antialias=yes)",
        "[conv3-4 + conv1-4] -> resize(size=4x1, mode=bilinear, antialias=yes)",
        't: adaptiveavgpool4x1\n"input" -> conv3-4 -> resize(to=t, mode=bilinear, antialias=yes)',
    ],
)
@pytest.mark.parametrize("size", ["9x3", "HxW"])
def test_filters_give_the_same_in_every_layout(layers: str, size: str) -> None:
    """PyTorch's compute something else of channels-last maps that become 1 wide; the inference form has such."""
    net = cnnc.parse(f"input 4x{size}\n{layers}\n", name="net")
    plain = net.module().eval()
    x = torch.randn(2, 4, 9, 3)
    with torch.no_grad():
        y = plain(x)
        other = net.module(optimize="inference", state=plain.state_dict()).eval()
        torch.testing.assert_close(other(x), y)
        torch.testing.assert_close(plain(x.to(memory_format=torch.channels_last)), y)


@pytest.mark.parametrize(("mode", "seen"), [("nearest", 1), ("trilinear", 2)])
def test_half_a_volume_sees_what_flows_back(mode: str, seen: int) -> None:
    graph = graph_on((1, 8, 8, 8), f"resize(1/2, mode={mode})")
    x = torch.rand(1, 1, 8, 8, 8, requires_grad=True)
    F.interpolate(x, scale_factor=0.5, mode=mode)[0, 0, 1, 1, 1].backward()
    assert x.grad is not None
    assert int((x.grad != 0).sum()) == seen**3
    field = receptive_field(graph, graph.outputs["output"])
    assert field is not None
    assert field.size == (seen,) * 3
