"""Features by label are timm's `features_only`: channels, reductions, and values with the same weights."""

from __future__ import annotations

import pytest

import cnnc

torch = pytest.importorskip("torch")

NETWORKS = {
    "resnet50": ("resnet50", "relu1 layer1 layer2 layer3 layer4"),
    "efficientnet_b0": ("efficientnet_b0", "features.1 features.2 features.3 features.5 features.7"),
    "mobilenetv2_100": ("mobilenet_v2", "features.1 features.3 features.6 features.13 features.17"),
    "densenet121": (
        "densenet121",
        "features.relu0 features.denseblock1 features.denseblock2 features.denseblock3 relu1",
    ),
    "vgg16": ("vgg16", "features.3 features.8 features.15 features.22 features.29 features.30"),
}
"""timm's name to the spec's, and the labels of timm's features in order."""


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_timms(name: str) -> None:
    from torchvision_oracle import give_spread, torchvision_models

    torchvision_models()  # timm imports it
    timm = pytest.importorskip("timm", reason="timm is not installed")
    spec, labels = NETWORKS[name]
    size = 32 if name == "vgg16" else 64
    theirs = timm.create_model(name, features_only=True, pretrained=False)
    give_spread(theirs.eval())
    net = cnnc.load(f"zoo:{spec}").features(*labels.split())
    info = list(net.feature_info.values())
    assert [one.channels for one in info] == theirs.feature_info.channels()
    assert [one.reduction for one in info] == theirs.feature_info.reduction()

    wanted = theirs.state_dict()
    with torch.device("meta"):
        ours = net.module().eval()
    names = list(ours.state_dict())
    assert len(names) == len(wanted)  # nothing is held that no feature needs, and timm holds nothing either
    ours.load_state_dict(dict(zip(names, wanted.values(), strict=True)), strict=True, assign=True)
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        for label, mine, other in zip(labels.split(), ours(x), theirs(x), strict=True):
            assert mine.shape == other.shape
            assert (mine - other).abs().max() <= 1e-4 * other.abs().max(), label
