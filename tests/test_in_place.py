"""Activations that overwrite their input: the numbers and gradients are those of modules that do not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import cnnc

torch = pytest.importorskip("torch")

ACTS = ["relu", "relu6", "leaky(0.2)", "elu", "silu", "hardswish"]
BEFORE = [
    "conv3-4(act=none)", "conv3-4(act=none) -> bn", "conv3-4(act=none) -> gn(2)", "conv3-4(act=none) -> ln",
    "conv3-4(act=none) -> instancenorm", "dwconv3(act=none)", "sepconv3-4(act=none)", "tconv2-4(act=none)",
    "conv3-4(act=none) -> bias", "[id + conv3-4(act=none)]", "[id | conv3-4(act=none)]", "flatten -> fc-8(act=none)",
]  # fmt: skip
WRITTEN = [
    "[conv3-4(act=none) -> relu | conv3-4(act=none) -> [relu | tanh]]",
    "c: conv3-4(act=none) -> relu -> [id + c]",
    "conv3-4(act=none) -> [relu -> conv3-4(act=none)]*3",
    "block pre(w) = [relu -> conv3-w(act=none) -> relu -> conv3-w(act=none) + shortcut]\n"
    "conv3-4(act=none) -> pre(4) -> pre(8) -> pre(8)",
    "shared s = [conv3-4(act=none) -> relu]\ns -> s -> [s + relu]",
    "shared r = [relu]\nconv3-4(act=none) -> r -> conv3-4(act=none) -> r",
    "conv3-4(act=none) -> dropout -> relu -> [id + tanh -> relu]",
    "sigmoid -> relu -> [conv3-4(act=none) -> relu -> [id & sigmoid]] -> relu -> maxpool2 -> relu",
    "conv3-4(act=none) -> id -> relu -> flatten -> relu -> fc-3",
    "a: conv3-4(act=none) -> relu -> conv3-4(act=none) -> b: relu\noutput a, b",
    "conv3-4(act=none) -> leaky(-0.5)",
]


def overwriting(model: Any) -> list[str]:
    return [name for name, module in model.named_modules() if getattr(module, "inplace", False)]


def assert_the_same_without(net: cnnc.Net) -> Any:
    """The values, input and gradients of a net's module, against its copy that overwrites nothing."""
    model = net.module().double()
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    for training in (True, False):
        results = []
        for each in (model, plain):
            torch.manual_seed(0)
            each.train(training)
            x = torch.randn(3, *next(iter(net.inputs.values())), dtype=torch.float64)
            given = x.clone().requires_grad_()
            out = each(given)
            outs = out if isinstance(out, tuple) else (out,)
            loss = sum((o * torch.randn_like(o)).sum() for o in outs)
            grads = torch.autograd.grad(loss, [given, *each.parameters()], materialize_grads=True)
            assert torch.equal(given, x)
            results.append([*outs, *grads])
        torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)
    return model


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("act", ACTS)
def test_each_activation_after_each_layer(act: str, before: str) -> None:
    model = assert_the_same_without(cnnc.parse(f"input 4x8x8\nconv1-4(act=none) -> {before} -> {act}"))
    assert len(overwriting(model)) == 1


@pytest.mark.parametrize("text", WRITTEN)
def test_the_numbers_are_those_of_a_module_that_overwrites_nothing(text: str) -> None:
    assert_the_same_without(cnnc.parse(f"input 4x8x8\n{text}"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("relu", "the input is the caller's"),
        ("c: conv3-4(act=none) -> relu -> [id + c]", "c is read again"),
        ("sigmoid -> relu", "the gradient of a sigmoid goes by its output"),
        ("maxpool2 -> dropout -> relu", "dropout hands on what it got"),
        ("conv3-4(act=none) -> flatten -> relu", "it sees the memory of another"),
        ("conv3-4(act=none) -> leaky(-0.5)", "the gradient needs the sign"),
        ("c: conv3-4(act=none) -> d: relu\noutput c, d", "c is an output"),
        ("block b = relu -> conv3-4(act=none)\nconv3-4(act=none) -> b", "what a block is handed is its caller's"),
    ],
)  # fmt: skip
def test_what_is_left_alone(text: str, kept: str) -> None:
    assert not overwriting(cnnc.parse(f"input 4x8x8\n{text}").module()), kept


def test_the_uses_of_one_place_are_alike() -> None:
    # The first turn's relu reads a pool, so none of them overwrites, and the turns stay a loop.
    net = cnnc.parse("input 4x8x8\np: [maxpool2 -> [[relu -> conv3-4(act=none)]]*3]")
    assert not overwriting(net.module())
    net = cnnc.parse("input 4x8x8\np: [conv1-4(act=none) -> [[relu -> conv3-4(act=none)]]*3]")
    assert len(overwriting(net.module())) == 3
