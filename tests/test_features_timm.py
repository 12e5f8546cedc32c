"""Features by label are timm's `features_only`: channels, reductions, and values with the same weights; also under a decoder."""

from __future__ import annotations

import pytest
from test_features import UNET

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


def test_a_decoder_is_the_hand_written_one_on_timms_encoder() -> None:
    """A U-Net's decoder on the zoo's ResNet-18, at sizes that the spec leaves free, beside functions on timm's maps."""
    from torch.nn import functional as f
    from torchvision_oracle import give_spread, torchvision_models

    torchvision_models()
    timm = pytest.importorskip("timm", reason="timm is not installed")
    encoder = timm.create_model("resnet18", features_only=True, pretrained=False)
    give_spread(encoder.eval())
    model = cnnc.parse(UNET).module().eval()
    give_spread(model)
    weights = encoder.state_dict()
    names = [name for name in model.state_dict() if name.startswith("enc.")]
    assert len(names) == len(weights)
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)), strict=False)
    state = model.state_dict()

    def layer(x: torch.Tensor, conv: str, norm: str) -> torch.Tensor:
        x = f.conv2d(x, state[f"{conv}.weight"], padding=1)
        mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return f.relu(f.batch_norm(x, mean, var, state[f"{norm}.weight"], state[f"{norm}.bias"]))

    for size in ((64, 96), (32, 32), (160, 64)):
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            _, *skips, y = encoder(x)
            for up, skip in zip(("up1", "up2", "up3"), reversed(skips), strict=True):
                y = torch.cat([f.interpolate(y, scale_factor=2.0), skip], 1)
                for k in (1, 2):
                    y = layer(y, f"{up}.conv{k}", f"{up}.bn{k}")
            y = f.conv2d(f.interpolate(y, scale_factor=4.0), state["conv1.weight"], state["conv1.bias"])
            found = model(x)
        assert found.shape == y.shape == (2, 2, *size)
        assert (found - y).abs().max() <= 1e-4 * y.abs().max()
