"""The shipped specs that bear torchvision's names: its state dict loads, and the outputs are its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torchvision_oracle import give_spread, regnets_on_meta, torchvision_models

import cnnc

torch = pytest.importorskip("torch")
models = torchvision_models()

NETWORKS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "alexnet_torchvision": (models.alexnet, {}),
    "vgg11": (models.vgg11, {}),
    "vgg11_bn": (models.vgg11_bn, {}),
    "vgg13": (models.vgg13, {}),
    "vgg13_bn": (models.vgg13_bn, {}),
    "vgg16": (models.vgg16, {}),
    "vgg16_bn": (models.vgg16_bn, {}),
    "vgg19": (models.vgg19, {}),
    "vgg19_bn": (models.vgg19_bn, {}),
    "resnet18": (models.resnet18, {}),
    "resnet34": (models.resnet34, {}),
    "resnet50": (models.resnet50, {}),
    "resnet101": (models.resnet101, {}),
    "resnet152": (models.resnet152, {}),
    "googlenet_torchvision": (models.googlenet, {"aux_logits": False, "init_weights": False}),
    "googlenet_torchvision_aux": (models.googlenet, {"aux_logits": True, "init_weights": False}),
    "densenet121": (models.densenet121, {}),
    "densenet161": (models.densenet161, {}),
    "densenet169": (models.densenet169, {}),
    "densenet201": (models.densenet201, {}),
    "mobilenet_v2": (models.mobilenet_v2, {}),
    "r3d_18": (models.video.r3d_18, {}),
    "mc3_18": (models.video.mc3_18, {}),
    "r2plus1d_18": (models.video.r2plus1d_18, {}),
    "s3d": (models.video.s3d, {}),
    "squeezenet1_0": (models.squeezenet1_0, {}),
    "squeezenet1_1": (models.squeezenet1_1, {}),
    "resnext50_32x4d": (models.resnext50_32x4d, {}),
    "resnext101_32x8d": (models.resnext101_32x8d, {}),
    "resnext101_64x4d": (models.resnext101_64x4d, {}),
    "wide_resnet50_2": (models.wide_resnet50_2, {}),
    "wide_resnet101_2": (models.wide_resnet101_2, {}),
    "mnasnet0_5": (models.mnasnet0_5, {}),
    "mnasnet0_75": (models.mnasnet0_75, {}),
    "mnasnet1_0": (models.mnasnet1_0, {}),
    "mnasnet1_3": (models.mnasnet1_3, {}),
    "shufflenet_v2_x0_5": (models.shufflenet_v2_x0_5, {}),
    "shufflenet_v2_x1_0": (models.shufflenet_v2_x1_0, {}),
    "shufflenet_v2_x1_5": (models.shufflenet_v2_x1_5, {}),
    "shufflenet_v2_x2_0": (models.shufflenet_v2_x2_0, {}),
    "convnext_tiny": (models.convnext_tiny, {}),
    "convnext_small": (models.convnext_small, {}),
    "convnext_base": (models.convnext_base, {}),
    "convnext_large": (models.convnext_large, {}),
    "mobilenet_v3_large": (models.mobilenet_v3_large, {}),
    "mobilenet_v3_small": (models.mobilenet_v3_small, {}),
    "efficientnet_b0": (models.efficientnet_b0, {}),
    "efficientnet_b1": (models.efficientnet_b1, {}),
    "efficientnet_b2": (models.efficientnet_b2, {}),
    "efficientnet_b3": (models.efficientnet_b3, {}),
    "efficientnet_b4": (models.efficientnet_b4, {}),
    "efficientnet_b5": (models.efficientnet_b5, {}),
    "efficientnet_b6": (models.efficientnet_b6, {}),
    "efficientnet_b7": (models.efficientnet_b7, {}),
    "efficientnet_v2_l": (models.efficientnet_v2_l, {}),
    "efficientnet_v2_m": (models.efficientnet_v2_m, {}),
    "efficientnet_v2_s": (models.efficientnet_v2_s, {}),
    "regnet_x_16gf": (models.regnet_x_16gf, {}),
    "regnet_x_1_6gf": (models.regnet_x_1_6gf, {}),
    "regnet_x_32gf": (models.regnet_x_32gf, {}),
    "regnet_x_3_2gf": (models.regnet_x_3_2gf, {}),
    "regnet_x_400mf": (models.regnet_x_400mf, {}),
    "regnet_x_800mf": (models.regnet_x_800mf, {}),
    "regnet_x_8gf": (models.regnet_x_8gf, {}),
    "regnet_y_128gf": (models.regnet_y_128gf, {}),
    "regnet_y_16gf": (models.regnet_y_16gf, {}),
    "regnet_y_1_6gf": (models.regnet_y_1_6gf, {}),
    "regnet_y_32gf": (models.regnet_y_32gf, {}),
    "regnet_y_3_2gf": (models.regnet_y_3_2gf, {}),
    "regnet_y_400mf": (models.regnet_y_400mf, {}),
    "regnet_y_800mf": (models.regnet_y_800mf, {}),
    "regnet_y_8gf": (models.regnet_y_8gf, {}),
    "fcn_resnet50": (models.segmentation.fcn_resnet50, {"weights_backbone": None, "aux_loss": True}),
    "fcn_resnet101": (models.segmentation.fcn_resnet101, {"weights_backbone": None, "aux_loss": True}),
    "deeplabv3_resnet50": (
        models.segmentation.deeplabv3_resnet50,
        {"weights_backbone": None, "aux_loss": True},
    ),
    "deeplabv3_resnet101": (
        models.segmentation.deeplabv3_resnet101,
        {"weights_backbone": None, "aux_loss": True},
    ),
    "deeplabv3_mobilenet_v3_large": (
        models.segmentation.deeplabv3_mobilenet_v3_large,
        {"weights_backbone": None, "aux_loss": True},
    ),
    "lraspp_mobilenet_v3_large": (models.segmentation.lraspp_mobilenet_v3_large, {"weights_backbone": None}),
    "inception_v3": (models.inception_v3, {"aux_logits": False, "init_weights": False}),
    "inception_v3_aux": (models.inception_v3, {"aux_logits": True, "init_weights": False}),
}
"""Spec to torchvision's builder and its arguments."""

QUICK = frozenset((
    "alexnet_torchvision", "vgg16", "vgg16_bn", "resnet18", "resnet50", "googlenet_torchvision_aux",
    "densenet121", "mobilenet_v2", "inception_v3_aux", "squeezenet1_1", "resnext50_32x4d", "mnasnet0_5",
    "shufflenet_v2_x0_5", "mobilenet_v3_small", "r2plus1d_18",
    "efficientnet_b0", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny", "lraspp_mobilenet_v3_large",
))  # fmt: skip
"""One of each family is run every time; the others differ from it in numbers only, and are slow together."""


@pytest.mark.parametrize("name", NETWORKS)
def test_state_dict_is_torchvisions(name: str) -> None:
    """Key for key and shape for shape, on the meta device."""
    build, arguments = NETWORKS[name]
    with torch.device("meta"), regnets_on_meta():
        ours = cnnc.load(f"zoo:{name}").module().state_dict()
        theirs = build(weights=None, **arguments).state_dict()
    assert {key: tuple(value.shape) for key, value in ours.items()} == {
        key: tuple(value.shape) for key, value in theirs.items()
    }


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_outputs_with_the_same_weights(name: str) -> None:
    """In evaluation, after `load_state_dict(strict=True)`; the norms' statistics are no longer 0 and 1."""
    build, arguments = NETWORKS[name]
    torch.manual_seed(0)
    theirs = build(weights=None, **arguments)
    give_spread(theirs)
    theirs.eval()
    net = cnnc.load(f"zoo:{name}")
    ours = net.module().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    (shape,) = net.inputs.values()
    x = torch.randn(1, *shape)
    with torch.no_grad():
        got, wanted = ours(x), theirs(x)
    if isinstance(wanted, dict):  # segmentation runs its auxiliary head in evaluation, too
        got, wanted = got if isinstance(got, tuple) else (got,), tuple(wanted.values())
    elif isinstance(got, tuple):  # classifiers do in training only
        got, wanted = got[:1], (wanted,)
    else:
        got, wanted = (got,), (wanted,)
    for ours_out, theirs_out in zip(got, wanted, strict=True):
        assert theirs_out.std() > 1e-3
        torch.testing.assert_close(ours_out, theirs_out, rtol=1e-4, atol=1e-4 * float(theirs_out.std()))


# --- detectors, up to their raw outputs -----------------------------------------------------


def _by_anchor(maps: Any, anchors: int) -> Any:
    """A x K maps of H x W as torchvision lays them out: positions and anchors, then K."""
    batch, channels, height, width = maps.shape
    apart = maps.view(batch, anchors, channels // anchors, height, width)
    return apart.permute(0, 3, 4, 1, 2).reshape(batch, -1, channels // anchors)


def test_retinanet() -> None:
    """Keys, and scores and distances of all anchors, at a small size; the norms are not frozen here."""
    torch.manual_seed(0)
    theirs = models.detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None).eval()
    give_spread(theirs.backbone)
    ours = cnnc.load("zoo:retinanet_resnet50_fpn", input="3x64x96").module().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps = ours(x)
        wanted = theirs.head(list(theirs.backbone(x).values()))
    scores = torch.cat([_by_anchor(level[:, : 9 * 91], 9) for level in maps], 1)
    boxes = torch.cat([_by_anchor(level[:, 9 * 91 :], 9) for level in maps], 1)
    for got, want in ((scores, wanted["cls_logits"]), (boxes, wanted["bbox_regression"])):
        assert want.std() > 1e-3
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4 * float(want.std()))


def test_ssd300() -> None:
    """Keys, and scores and distances of all 8,732 boxes."""
    torch.manual_seed(0)
    theirs = models.detection.ssd300_vgg16(weights=None, weights_backbone=None).eval()
    give_spread(theirs.backbone)
    ours = cnnc.load("zoo:ssd300_vgg16").module().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, 3, 300, 300)
    with torch.no_grad():
        got = ours(x)
        wanted = theirs.head(list(theirs.backbone(x).values()))
    for ours_out, key in zip(got, ("cls_logits", "bbox_regression"), strict=True):
        want = wanted[key].transpose(1, 2)
        assert want.shape[2] == 8732
        assert want.std() > 1e-3
        torch.testing.assert_close(ours_out, want, rtol=1e-4, atol=1e-4 * float(want.std()))
