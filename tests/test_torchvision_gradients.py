"""Gradients of the shipped specs with torchvision's weights: with respect to the image and every parameter.

In float64, where two ways to the same sum differ by about 1e-15 of it, so that what is left
of a difference would be one of meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torchvision_oracle import give_spread, torchvision_models

import cnnc

torch = pytest.importorskip("torch")
models = torchvision_models()

PLAIN = {"aux_logits": False, "init_weights": False}
CASES: dict[str, tuple[Callable[..., Any], dict[str, Any], int]] = {
    "resnet18": (models.resnet18, {}, 64),
    "resnet50": (models.resnet50, {}, 64),
    "googlenet_torchvision": (models.googlenet, PLAIN, 64),
    "densenet121": (models.densenet121, {}, 64),
    "mobilenet_v2": (models.mobilenet_v2, {}, 64),
    "inception_v3": (models.inception_v3, PLAIN, 96),
    "alexnet_torchvision": (models.alexnet, {}, 224),
    "vgg11_bn": (models.vgg11_bn, {}, 224),
}
"""Spec to torchvision's builder, its arguments and the size of the image: small where the net ends in a
global pool, and is the same net at every size."""

WITHOUT_DROPOUT = ("resnet18", "densenet121")
SLOW = frozenset({"vgg11_bn", "inception_v3"})


def gradients(model: Any, image: Any) -> dict[str, Any]:
    """The gradients of a loss that weighs every output differently."""
    x = image.clone().requires_grad_()
    out = model(x)
    weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape)
    (out.square() * weights).sum().backward()
    return {"image": x.grad, **{name: p.grad for name, p in model.named_parameters()}}


def pair(name: str) -> tuple[Any, Any, Any]:
    """torchvision's net with weights of some spread, ours with the same, and images; all in float64."""
    build, arguments, size = CASES[name]
    torch.manual_seed(0)
    theirs = build(weights=None, **arguments)
    give_spread(theirs)
    theirs.double()
    ours = cnnc.load(f"zoo:{name}").module().double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs, torch.randn(2, 3, size, size, dtype=torch.float64)


def assert_equal_gradients(ours: Any, theirs: Any, image: Any) -> None:
    got, wanted = gradients(ours, image), gradients(theirs, image)
    assert got.keys() == wanted.keys()
    assert all(bool(gradient.any()) for gradient in wanted.values())
    for key, gradient in wanted.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(
            got[key], gradient, rtol=1e-9, atol=1e-9 * scale, msg=lambda m, k=key: f"{k}: {m}"
        )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CASES]
)
def test_gradients_in_evaluation(name: str) -> None:
    ours, theirs, image = pair(name)
    assert_equal_gradients(ours.eval(), theirs.eval(), image)


@pytest.mark.parametrize("name", WITHOUT_DROPOUT)
def test_gradients_in_training(name: str) -> None:
    """Batch statistics and all; the running ones move alike too."""
    ours, theirs, image = pair(name)
    assert_equal_gradients(ours.train(), theirs.train(), image)
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-9, atol=1e-9)
