"""Standardised filters against timm's modules: ResNetV2's and BiT's `StdConv2d`, NFNet's `ScaledStdConv2d`."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ops.oracle import check  # noqa: E402


@pytest.mark.parametrize(
    ("said", "kind", "how"),
    [
        ("standardise(eps=1e-6)", "StdConv2d", {"eps": 1e-6}),
        ("standardise(1e-8)", "StdConv2d", {"eps": 1e-8}),
        ("standardise=yes", "StdConv2d", {"eps": 1e-5}),
        ("standardise(eps=1e-6, gain=yes)", "ScaledStdConv2d", {"eps": 1e-6}),
        ("standardise(eps=1e-5, gain=yes, scale=1.714)", "ScaledStdConv2d", {"eps": 1e-5, "gamma": 1.714}),
    ],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_as_timm_has_it(said: str, kind: str, how: dict[str, float], groups: int) -> None:
    from torchvision_oracle import torchvision_models

    torchvision_models()  # timm imports it
    std_conv = pytest.importorskip("timm.layers.std_conv", reason="timm is not installed")
    built = check((4, 7, 9), f"c: conv3-6/2({said}, groups={groups}, bias=yes, act=none)")
    theirs = getattr(std_conv, kind)(4, 6, 3, stride=2, padding=1, groups=groups, bias=True, **how)
    state = {key: torch.rand_like(value) for key, value in theirs.state_dict().items()}
    theirs.load_state_dict(state)
    built.module.load_state_dict({f"c.{key}": value for key, value in state.items()}, strict=True)
    x = torch.randn(2, 4, 7, 9)
    torch.testing.assert_close(built.module(x), theirs(x))
