"""Specs that timm has too, under names of its own: as many parameters and multiply-adds, tensor by tensor in size."""

from __future__ import annotations

from collections import Counter

import pytest

import cnnc

torch = pytest.importorskip("torch")

NETWORKS = {"seresnet50": "legacy_seresnet50", "xception": "legacy_xception"}
"""Spec to timm's name."""


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_are_timms(name: str) -> None:
    from torchvision_oracle import torchvision_models

    torchvision_models()  # timm imports it
    timm = pytest.importorskip("timm", reason="timm is not installed")
    from torch.utils.flop_counter import FlopCounterMode

    net = cnnc.load(f"zoo:{name}")
    (shape,) = net.inputs.values()
    with torch.device("meta"):
        theirs = timm.create_model(NETWORKS[name], pretrained=False).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            theirs(torch.empty(1, *shape))
        ours = net.module()
    sizes = [Counter(tuple(p.shape) for p in model.parameters()) for model in (ours, theirs)]
    assert sum(sizes[0].values()) == sum(sizes[1].values())
    assert sum(p.numel() for p in theirs.parameters()) == net.params
    assert counter.get_total_flops() == 2 * net.macs
