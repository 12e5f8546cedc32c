"""Weights made of others, as torch.nn.utils.parametrizations has them; and masked convolutions."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from graphs import graph_of, graph_on  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils.parametrizations import spectral_norm, weight_norm  # noqa: E402

import cnnc  # noqa: E402
from cnnc.compiler.cost import costs  # noqa: E402
from cnnc.compiler.receptive_field import misalignments, receptive_field, receptive_fields  # noqa: E402
from ops.oracle import check  # noqa: E402

RULES = {"weight_norm": weight_norm, "spectral_norm": spectral_norm}
LAYERS: dict[str, tuple[tuple[int, ...], Any]] = {
    "conv3-6(pad=1, act=none{})": ((4, 5, 5), lambda: nn.Conv2d(4, 6, 3, padding=1)),
    "conv3-6(pad=1, groups=2, act=none{})": ((4, 5), lambda: nn.Conv1d(4, 6, 3, padding=1, groups=2)),
    "dwconv3(pad=1, act=none{})": ((4, 5, 5), lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4)),
    "tconv2-6/2({})": ((4, 5, 5), lambda: nn.ConvTranspose2d(4, 6, 2, 2)),
    "fc-7(act=none{})": ((9,), lambda: nn.Linear(9, 7)),
    "linear-7({})": ((9,), lambda: nn.Linear(9, 7)),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_keys_values_and_gradients_are_those_of_torch(rule: str, layer: str) -> None:
    shape, make = LAYERS[layer]
    built = check(shape, layer.format(f", reparam={rule}").replace("(, ", "("))
    (child,) = built.module.children()
    torch.manual_seed(1)
    wanted = RULES[rule](make())
    child.load_state_dict(wanted.state_dict())
    for training in (True, False, True):
        x = torch.randn(2, *shape, requires_grad=True)
        y, z = child.train(training)(x), wanted.train(training)(x)
        torch.testing.assert_close(y, z)
        found = torch.autograd.grad(y.square().sum(), [x, *child.parameters()])
        torch.testing.assert_close(found, torch.autograd.grad(z.square().sum(), [x, *wanted.parameters()]))
    total = costs(built.graph).total
    assert total.params == sum(p.numel() for p in wanted.parameters())
    assert total.state == sum(b.numel() for b in wanted.buffers())


def test_a_default_reaches_the_kin_and_the_shortcut() -> None:
    text = "default conv(reparam=spectral_norm)\n[shortcut + conv3-8/2 -> dwconv3]\nconv1-4(reparam=none)"
    rules = {node.name: getattr(node.op, "reparam", 0) for node in graph_on((4, 8, 8), text).layers}
    assert rules == {
        "conv1": "spectral_norm", "relu1": 0, "dwconv1": "spectral_norm", "shortcut1.0": "spectral_norm",
        "add1": 0, "conv2": None,
    }  # fmt: skip


def test_the_init_is_of_the_weight_itself() -> None:
    built = check((4, 5, 5), "conv3-6(reparam=weight_norm, init=2, act=none)")
    torch.testing.assert_close(built.module.conv1.weight, torch.full((6, 4, 3, 3), 2.0))


@pytest.mark.parametrize("rule", RULES)
def test_the_inference_form_takes_the_same_weights(rule: str) -> None:
    text = (
        f"input 3x9x9\ndefault conv(norm=bn, reparam={rule})\nconv3-4 -> sepconv3-5 -> fc-6(reparam={rule})"
    )
    net = cnnc.parse(text)
    plain, fast = net.module().eval(), net.module(optimize="inference").eval()
    fast.load_state_dict(type(fast).forward.__globals__["convert"](fast, plain.state_dict()))
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(fast(x), plain(x), rtol=1e-4, atol=1e-5)


# --- masks ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 7), (2, 5, 6), (2, 3, 4, 3)])
@pytest.mark.parametrize("mask", ["a", "b"])
def test_a_position_sees_those_before_it(shape: tuple[int, ...], mask: str) -> None:
    """Position by position: the gradient is 0 at all that come later, and the reference sums over what is left."""
    built = check(shape, f"conv3-3(mask={mask}, act=none)")
    x = torch.randn(1, *shape, requires_grad=True)
    y = built.module(x)
    rank = len(shape) - 1
    weight, bias = built.module.conv1.weight, built.module.conv1.bias
    places = list(product(*map(range, shape[1:])))
    taps = [
        t for t in product(range(3), repeat=rank) if t < (1,) * rank or (mask == "b" and t == (1,) * rank)
    ]
    for n, at in enumerate(places):
        total = bias.clone()
        for tap in taps:
            source = tuple(a + t - 1 for a, t in zip(at, tap, strict=True))
            if all(0 <= s < size for s, size in zip(source, shape[1:], strict=True)):
                total = total + weight[:, :, *tap] @ x[0, :, *source]
        torch.testing.assert_close(y[0, :, *at], total)
        (gradient,) = torch.autograd.grad(y[0, :, *at].sum(), x, retain_graph=True)
        seen = gradient.abs().sum((0, 1)).flatten()
        assert not seen[n + (mask == "b") :].any()


@pytest.mark.parametrize("layers", ["conv3-2(mask=a)", "conv5-2(mask=b)", "conv1x3-2(mask=a)", "conv5x1-2(mask=a)",
                                    "conv3-2(mask=a) -> conv3-2(mask=b)"])  # fmt: skip
def test_the_field_of_a_mask_is_the_support_of_its_gradient(layers: str) -> None:
    built = check((1, 15, 15), layers)
    for name, parameter in built.module.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
    x = torch.rand(1, 1, 15, 15, requires_grad=True)
    (gradient,) = torch.autograd.grad(built.module(x)[0, :, 7, 7].sum(), x)
    places = gradient[0, 0].nonzero()
    field = receptive_field(built.graph, built.graph.outputs["output"])
    assert field is not None
    spans = [(int(axis.min()), int(axis.max())) for axis in places.T]
    assert [axis.at(7) for axis in field.axes] == spans


def test_a_masked_convolution_keeps_all_its_weights() -> None:
    total = costs(graph_on((4, 6, 6), "conv3-5(mask=a)")).total
    assert (total.params, total.macs) == (5 * 4 * 9 + 5, 36 * 5 * 4 * 9)


def test_a_mask_draws_no_warning_where_it_meets_the_identity() -> None:
    """It is off the centre on purpose, and so is all that follows; another branch that is off is told of."""

    def told(layers: str) -> list[str]:
        graph = graph_on((2, 9, 9), layers)
        return [warning.code for warning in misalignments(graph, receptive_fields(graph))]

    assert told("[[conv3-2(mask=b, act=none) + id] -> relu]*2") == []
    assert told("[conv3-2(pad=(2, 0), act=none) + id] -> relu") == ["W203"]


def test_masks_expand_and_go_past_free_sizes() -> None:
    from cnnc.compiler.expand import expand

    graph = graph_of("input 1xHxW\nconv7-8(mask=a) -> conv3-8(mask=b, reparam=weight_norm)")
    assert [n.op for n in graph_of(expand(graph)).layers] == [n.op for n in graph.layers]


@pytest.mark.parametrize("rule", RULES)
def test_tensors_have_whole_sizes(rule: str) -> None:
    graph = graph_of(f"input 3x9x9\nconv3-4(reparam={rule})\n")
    sizes = [n for _, _, shape in graph.tensors() for n in shape]
    assert sizes
    assert {type(n) for n in sizes} == {int}
