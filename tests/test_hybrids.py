"""ViT and a hybrid with the weights of torchvision's and timm's: keys, shapes, outputs."""

from __future__ import annotations

from typing import Any

import pytest
from torchvision_oracle import give_spread, torchvision_models

import cnnc

torch = pytest.importorskip("torch")


def _agree(ours: Any, theirs: Any, size: int) -> None:
    x = torch.randn(1, 3, size, size)
    with torch.no_grad():
        got, wanted = ours.eval()(x), theirs.eval()(x)
    assert wanted.std() > 1e-3
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3 * float(wanted.std()))


def test_vit_is_torchvisions() -> None:
    """Two tensors a layer have another name, and what is 1 x N x C there is C x N here."""
    torch.manual_seed(0)
    theirs = torchvision_models().vit_b_16(weights=None)
    for start in (theirs.class_token, theirs.heads.head.weight):
        torch.nn.init.normal_(start, std=0.1)

    def ours_of(key: str, value: Any) -> tuple[str, Any]:
        own = key in ("class_token", "encoder.pos_embedding")
        return key.replace("self_attention.in_proj_", "self_attention.in_proj."), value[0].T if own else value

    ours = cnnc.load("zoo:vit_b_16").module()
    ours.load_state_dict(dict(ours_of(*item) for item in theirs.state_dict().items()), strict=True)
    _agree(ours, theirs, 224)


def test_visformer_is_timms() -> None:
    torchvision_models()  # timm imports it
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    theirs = timm.create_model("visformer_small", pretrained=False)
    give_spread(theirs)
    ours = cnnc.load("zoo:visformer_small").module()
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    state = theirs.state_dict()
    assert state.keys() == shapes.keys()
    ours.load_state_dict({key: value.reshape(shapes[key]) for key, value in state.items()}, strict=True)
    _agree(ours, theirs, 224)
