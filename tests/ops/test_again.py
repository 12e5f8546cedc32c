"""Weights used again: values, gradients and keys against modules written by hand in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from graphs import graph_of, graph_on  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import cnnc  # noqa: E402
from cnnc.compiler.cost import costs  # noqa: E402
from cnnc.compiler.expand import expand  # noqa: E402
from cnnc.compiler.receptive_field import receptive_fields  # noqa: E402
from cnnc.dsl.diagnostics import CnncError  # noqa: E402
from ops.oracle import BATCH, check, compiled  # noqa: E402

MAP = (4, 12, 14)
NO = "default conv(act=none)\ndefault fc(act=none)\n"


def conv2(x: Tensor, w: Any, **how: Any) -> Tensor:
    return F.conv2d(x, w.c.weight, w.c.bias, **how)


def trident(x: Tensor, m: Any) -> Tensor:
    return sum((conv2(m.a(x), m, padding=d, dilation=d) for d in (1, 2, 3)), torch.zeros(()))


def several_norms(x: Tensor, m: Any) -> Tensor:
    y = F.silu(m.c_bn(m.c(x)))
    return F.relu(m.d_bn(m.c(y)))


def tied(x: Tensor, m: Any) -> Tensor:
    y = F.relu(m.c(x))
    return F.conv_transpose2d(y, m.c.weight, m.back.bias, stride=2, padding=1, output_padding=1)


def grouped(x: Tensor, m: Any) -> Tensor:
    y = F.conv_transpose2d(m.c(x), m.c.weight, padding=(0, 1), groups=2)
    return F.conv_transpose2d(m.d(y), m.d.weight, padding=1, groups=4)


def linear(x: Tensor, m: Any) -> Tensor:
    y = torch.einsum("oi,bohw->bihw", m.c.weight, m.c(x))
    return torch.einsum("oi,bohw->bihw", m.c.weight, torch.cat([y, y], 1)[:, :6])


def dense(x: Tensor, m: Any) -> Tensor:
    return m.f(torch.sigmoid(m.f(x.flatten(1))) @ m.f.weight)


def bracket(x: Tensor, m: Any) -> Tensor:
    def tower(x: Tensor) -> tuple[Tensor, Tensor]:
        inner = F.relu(m.t.inner(x))
        return x + m.t.bn1(m.t.conv1(inner)), inner

    y, inner = tower(x)
    y, other = tower(y)
    return torch.cat([y, inner, other], 1)


def chain(x: Tensor, m: Any) -> Tensor:
    return m.t(F.relu(m.t(x)))


def block(x: Tensor, m: Any) -> Tensor:
    for _ in range(2):
        x = m.u.c(F.relu(m.u.c(x)))
    return x


def handed(x: Tensor, m: Any) -> Tensor:
    x = m.c(x)
    for _ in range(2):
        x = torch.tanh(m.c(x))
    return x


def demodulated(x: Tensor, m: Any) -> Tensor:
    power = torch.einsum("oikl->o", m.c.weight**2)
    return m.c(x) * (power + 1e-8).rsqrt().view(1, 4, 1, 1)


CASES: dict[str, tuple[tuple[int, ...], str, Callable[[Tensor, Any], Tensor]]] = {
    "dilations of one kernel, as in TridentNet": (
        MAP, f"{NO}a: conv1-4 -> c: conv3-4 -> x: id\na -> y: again(c, dilation=2)\n"
        "a -> z: again(c, dilation=3)\n[x + y + z]", trident,
    ),
    "a norm for each use, as in EfficientDet": (
        MAP, f"{NO}c: conv3-4(norm=bn, act=silu)\nd: again(c, norm=bn, act=relu)", several_norms,
    ),
    "a tied decoder": (
        (2, 12, 14), f"{NO}c: conv3-6/2(act=relu)\nback: again(c, transpose=yes, bias=yes, output_pad=1)", tied,
    ),
    "groups and depth, transposed": (
        MAP, f"{NO}c: conv1x3-6(groups=2)\nagain(c, transpose=yes)\nd: dwconv3(multiplier=2)\n"
        "again(d, transpose=yes)", grouped,
    ),
    "a linear layer the other way": (
        MAP, "c: linear-6\nagain(c, transpose=yes)\n[id | id] -> slice(0..5) -> again(c, transpose=yes)", linear,
    ),
    "tied fully-connected layers": (
        (3, 4), f"{NO}f: fc-5\nsigmoid -> again(f, transpose=yes) -> again(f)", dense,
    ),
    "a bracket with an inner output": (
        MAP, f"{NO}t: [id + inner: conv3-4(act=relu) -> conv3-4(norm=bn)]\ny: again(t)\n[y | t.inner | y.inner]", bracket,
    ),
    "a chain": (MAP, "t: [conv3-8 -> conv1-4(act=none)] -> relu -> again(t)", chain),
    "a block": (MAP, f"{NO}block unit(w) = [c: conv3-w -> relu -> again(c)]\nu: unit(4)\nagain(u)", block),
    "handed to a block": (
        MAP, f"{NO}block with(c) = [again(c) -> tanh]\nc: conv3-4\nwith(c) -> with(c)", handed,
    ),
    "the weight as a tensor, as StyleGAN2 demodulates": (
        MAP, f"{NO}c: conv3-4 -> x: id\nweight(c) -> pow(2) -> sum(axis=(D, H, W)) -> reshape(4, 1, 1)\n"
        "plus(1e-8) -> pow(-0.5) -> p: id\n[x & p]", demodulated,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    shape, layers, wanted = CASES[name]
    built = check(shape, layers)
    for training in (False, True):
        module = built.module.double().train(training)
        for bn in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
            nn.init.uniform_(bn.running_mean)
            nn.init.uniform_(bn.running_var, 0.5, 2)
            bn.momentum = 0.0  # a second call sees what the first saw
        x = torch.randn(3, *shape, dtype=torch.double, requires_grad=True)
        tensors = [x, *module.parameters()]
        mine, theirs = module(x), wanted(x, module)
        torch.testing.assert_close(mine, theirs)
        weights = torch.randn_like(mine)
        for one, other in zip(
            torch.autograd.grad((mine * weights).sum(), tensors),
            torch.autograd.grad((theirs * weights).sum(), tensors),
            strict=True,
        ):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", CASES)
def test_the_core_is_the_same_network(name: str) -> None:
    shape, layers, _ = CASES[name]
    graph = graph_on(shape, layers)
    core = expand(graph)
    again = graph_of(core)
    assert expand(again) == core
    assert [(n.name, n.module, n.op, n.inputs, n.applied) for n in again.nodes] == [
        (n.name, n.module, n.op, n.inputs, n.applied) for n in graph.nodes
    ]
    built, other = compiled(graph), compiled(again)
    other.module.load_state_dict(built.module.state_dict(), strict=True)
    x = torch.randn(BATCH, *shape)
    torch.testing.assert_close(other.module.eval()(x), built.module.eval()(x))


@pytest.mark.parametrize("name", CASES)
def test_every_form_computes_the_same(name: str) -> None:
    shape, layers, _ = CASES[name]
    net = cnnc.parse(f"input {'x'.join(map(str, shape))}\n{layers}\n", name="net")
    torch.manual_seed(0)
    plain = net.module().eval()
    fast = net.module(optimize="inference", state=plain.state_dict()).eval()
    x = torch.randn(2, *shape)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), plain(x), rtol=1e-4, atol=1e-5)


def test_weights_and_the_order_of_uses_are_counted_once() -> None:
    graph = graph_on((4, 8, 8), "c: conv3-4(norm=bn)\nagain(c) -> again(c, stride=2) -> d: again(c, norm=bn)")
    assert [n.name for n in graph.layers] == [
        "c", "c_bn", "c_relu", "c@2", "c_bn@2", "c_relu@2", "c@3", "c_bn@3", "c_relu@3", "c@4", "d_bn",
    ]  # fmt: skip
    total = costs(graph).total
    assert total.params == 4 * 4 * 9 + 2 * 8
    assert total.macs == 4 * 4 * 9 * (64 + 64 + 16 + 16)
    assert [f.size for f in receptive_fields(graph) if f is not None][-1] == (11, 11)


def test_an_activation_is_settled_at_each_use() -> None:
    built = check((4, 8, 8), "c: conv3-4 -> pool -> again(c) -> x: id\n[x + x] -> again(c)")
    assert built.source.count("self.c_relu(") == 1
    built = check((4, 8, 8), "c: conv3-4\n[id + again(c)] -> conv3-4 -> again(c) -> pool")
    assert built.source.count("self.relu1 = nn.ReLU(") == 1


def test_tensors_and_weights_within_go_with_their_bracket() -> None:
    """A learnt tensor in a bracket that is used again, from within another level of names too, and a weight."""
    built = check(
        (4, 6, 6),
        f"{NO}t: [id & own: tensor(4, 1, 1, init=normal(1))]\nu: [again(t) -> conv1-4 | id]\nconv1-4 -> again(t)",
    )
    assert "own" not in built.source.replace("self.own", "").replace("t.own", "").partition("class Net")[2]
    net = built.module
    x = torch.randn(2, 4, 6, 6)
    y = x * net.t.own
    y = net.conv1(torch.cat([net.u.conv1(y * net.t.own), y], 1)) * net.t.own
    torch.testing.assert_close(net(x), y)
    check(
        (4, 6),
        f"{NO}c: conv3-4\nt: [id & weight(c) -> pow(2) -> sum(axis=(H, W)) -> reshape(4, 1)]\nagain(t)",
    )


def test_names_of_modules_and_tensors_do_not_meet() -> None:
    """A block that is handed a tensor and a module of one name, and a module that is called as what flows in."""
    check((4, 6, 6), f"{NO}block b(t, u) = [again(t) -> conv1-4 | u]\nc: conv3-4 -> b(c, c)")
    check((4, 6, 6), f"{NO}block b(m) = [again(m) -> conv1-4 | id]\nx: conv3-4 -> b(x)")
    check((4, 6, 6), "shared x = conv3-4\nblock b = [x | id] -> conv1-4\nx -> b")


@pytest.mark.parametrize("how", ["shared t = [conv3-4 -> crop(4)]\nt", "t: [conv3-4(act=relu) -> crop(4)]"])
def test_a_module_on_maps_of_several_sizes(how: str) -> None:
    """What it cuts off is another at each size."""
    again = "t" if how.startswith("shared") else "again(t)"
    built = check((4, 9, 9), f"{how}\npad(1) -> {again}")
    assert "crop_to(" in built.source


def test_a_module_that_would_be_another_at_each_size_is_not_written() -> None:
    for text in ('shared t = [reshape(4, H*W)]\nt -> a: id\n"input" -> maxpool -> t -> b: id\noutput a, b',):
        graph = graph_on((4, 8, 8), text)
        with pytest.raises(CnncError, match=r"E801.*another at each size"):
            compiled(graph)


def test_free_sizes_stay_free() -> None:
    net = cnnc.parse("input 3xHxW\nc: conv3-3/2\nagain(c) -> again(c, transpose=yes)\n", name="net")
    assert str(net.graph.nodes[-1].out[1]) == "(2*((H + 3)//4) - 1)"
    for h, w in ((7, 9), (12, 5)):
        assert tuple(net.module().eval()(torch.zeros(1, 3, h, w)).shape) == (
            1, 3, 2 * ((h + 3) // 4) - 1, 2 * ((w + 3) // 4) - 1,
        )  # fmt: skip


def fitted(word: str, x: Tensor, like: Tensor) -> Tensor:
    n, m = x.shape[2], like.shape[2]
    match word:
        case "crop":
            return x[:, :, (n - m) // 2 : (n - m) // 2 + m]
        case "pad":
            return F.pad(x, (0, 0, (m - n) // 2, m - n - (m - n) // 2))
        case "stretch":
            return x.expand_as(like)
    return F.interpolate(x, like.shape[2:])


@pytest.mark.parametrize("word", ["crop", "pad", "stretch", "resize"])
@pytest.mark.parametrize("first", ["large", "small"])
@pytest.mark.parametrize("way", ["again", "shared"])
def test_a_size_taken_from_a_sibling_may_be_there_already_in_one_of_the_uses(
    word: str, first: str, way: str
) -> None:
    """A map of one row is what the branch is to become, so that nothing is to be done in that use."""
    branches = "sum(axis=H) -> c: conv1-3 + crop" if word == "crop" else f"c: conv1-3 + sum(axis=H) -> {word}"
    other = "small" if first == "large" else "large"
    uses = f"{first} -> t: [{branches}]\n{other} -> u: again(t)\noutput t, u\n"
    if way == "shared":
        uses = f"shared t = [{branches}]\n{first} -> a: t\n{other} -> b: t\noutput a, b\n"
    net = cnnc.parse(f"input large: 3x5x4\ninput small: 3x1x4\n{NO}{uses}", name="net")
    assert expand(cnnc.parse(net.expand(), name="net").graph) == net.expand()
    module: Any = net.module()
    maps = {"large": torch.randn(2, 3, 5, 4), "small": torch.randn(2, 3, 1, 4)}
    for ours, flow in zip(module(maps["large"], maps["small"]), (maps[first], maps[other]), strict=True):
        rows = flow.sum(2, keepdim=True)
        long, short = (module.t.c(rows), flow) if word == "crop" else (module.t.c(flow), rows)
        torch.testing.assert_close(ours, long + fitted(word, short, long))


def test_a_size_that_is_there_already_is_no_layer() -> None:
    graph = graph_on((4, 8, 8), f"{NO}[conv3-4 + c: crop]\n[c + id]")
    assert [node.op.kind for node in graph.nodes] == ["input", "conv", "add", "add"]
    graph = graph_on((4,), "[fc-4 + crop]")
    assert [node.op.kind for node in graph.nodes] == ["input", "fc", "add"]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("pad", ["same", "1", "(1, 0)"])
def test_on_maps_of_every_rank(rank: int, pad: str) -> None:
    shape = (2, 7, 6, 5)[: rank + 1]
    built = check(shape, f"{NO}c: conv3-4(pad={pad})\nagain(c, transpose=yes, stride=2)\n")
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    spread = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[rank]
    before, after = (1, 0) if pad == "(1, 0)" else (1, 1)
    x = torch.randn(2, *shape)
    w = built.module.c
    y = spread(conv(F.pad(x, (before, after) * rank), w.weight, w.bias), w.weight, stride=2)
    for axis in range(2, rank + 2):
        y = y.narrow(axis, before, y.shape[axis] - before - after)
    torch.testing.assert_close(built.module(x), y)


def test_a_weight_normed_layer_has_its_weight_as_it_is_used() -> None:
    built = check((3, 6), f"{NO}c: linear-5(reparam=weight_norm) -> again(c, transpose=yes)")
    x = torch.randn(2, 3, 6)
    torch.testing.assert_close(
        built.module(x), torch.einsum("oi,bow->biw", built.module.c.weight, built.module.c(x))
    )


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("c: conv3-4(mask=b) -> again(c, dilation=2)", "cannot differ"),
        ("c: conv3-4(standardise=yes) -> again(c, transpose=yes)", "none that can be"),
        ("c: sepconv3-4 -> again(c, transpose=yes)", "none that can be"),
        ("c: [conv3-4 -> again(c)]", "not complete here"),
        ("c: conv3-4 -> again(c, width=8)", "cannot differ"),
        ("c: conv3-4 -> conv3-8 -> again(c)", "would be 4x8x3x3, and is 4x4x3x3"),
        ("x: id\nconv3-4 -> again(x)", "nothing flows into"),
        ("c: [conv3-4 -> conv3-4] -> again(c, dilation=2)", "only a layer"),
        ("again(c)", "no label `c`"),
        ("c: conv3-4 -> again(c=1)", "needs the label"),
        ("c: conv3-4 -> again(3)", "takes a label"),
        ("c: conv3-4 -> weight(c)", "may only begin a chain"),
        ("c: sepconv3-4\nweight(c) -> gap", "no one tensor"),
        ("c: gmp\nweight(c) -> gap", "no one tensor"),
        ("c: conv3-4 -> _: again(c)", "leave the label out" ),
        ("c: lstm-4 -> again(c)", "expects a map of one axis"),
        ("block again(w) = conv3-w\nagain(4)", "since version 0.2"),
    ],
)  # fmt: skip
def test_what_is_refused(layers: str, message: str) -> None:
    with pytest.raises(CnncError) as error:
        graph_on((4, 8, 8), layers)
    assert message in str(error.value) + "".join(d.hint or "" for d in error.value.diagnostics)


@pytest.mark.parametrize("way", ["again", "shared"])
def test_a_step_of_a_dense_block_is_not_one_where_its_bracket_is_used_twice(way: str) -> None:
    """The inference form makes room for the maps that a next step appends; here only the second use has a next one."""
    body = "[id | gap -> stretch]"
    uses = f"x -> t: {body} -> tanh -> l: id\ny -> again(t)"
    if way == "shared":
        uses = f"shared t = {body}\nx -> t -> tanh -> l: id\ny -> t"
    net = cnnc.parse(f"input x: 6x14x7\ninput y: 6x13x8\n{uses} -> [id | conv3-2]*2 -> m: id\noutput l, m\n")
    plain = net.module().eval()
    fast = net.module(optimize="inference", state=plain.state_dict()).eval()
    inputs = torch.randn(2, 6, 14, 7), torch.randn(2, 6, 13, 8)
    with torch.no_grad():
        torch.testing.assert_close(tuple(fast(*inputs)), tuple(plain(*inputs)))
