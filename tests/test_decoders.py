"""Twelve public decoders: written with the file's defaults, their activations are where their code has them.

The sequences on the right are the layers of the published code, in the order in which it runs them.
"""

from __future__ import annotations

import pytest

import cnnc

RENAMED = {"maxpool": "pool", "instancenorm": "in", "pixelshuffle": "shuffle"}

# name: where the code is, a spec, its layers
DECODERS: dict[str, tuple[str, str, str]] = {
    "DCGAN, generator": (
        "pytorch/examples, dcgan/main.py",
        "input 100x1x1\ndefault tconv(norm=bn, act=relu)\n"
        "tconv4-512 -> tconv4-256/2(pad=1) -> tconv4-128/2(pad=1) -> tconv4-64/2(pad=1)\n"
        "-> tconv4-3/2(pad=1, norm=none, act=tanh)",
        "tconv bn relu " * 4 + "tconv tanh",
    ),
    "DCGAN, discriminator": (
        "pytorch/examples, dcgan/main.py",
        "input 3x64x64\ndefault conv(pad=1, norm=bn, act=leaky(0.2))\n"
        "conv4-64/2(norm=none) -> conv4-128/2 -> conv4-256/2 -> conv4-512/2 -> conv4-1(pad=0, norm=none, act=sigmoid)",
        "conv leaky " + "conv bn leaky " * 3 + "conv sigmoid",
    ),
    "U-Net": (
        "milesial/Pytorch-UNet, unet/unet_parts.py",
        "input 3x64x64\ndefault conv(norm=bn, act=relu)\n"
        "block level(w, inner) = [conv3-w]*2 -> [id | pool -> inner -> tconv2-w/2 -> pad] -> [conv3-w]*2\n"
        "level(8, [level(16, [[conv3-32]*2])]) -> conv1-2(norm=none, act=none)",
        "conv bn relu " * 2 + "pool " + "conv bn relu " * 2 + "pool " + "conv bn relu " * 2
        + ("tconv concat " + "conv bn relu " * 2) * 2 + "conv",
    ),
    "pix2pix": (
        "junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py, UnetGenerator",
        "input 3x64x64\ndefault conv(pad=1, norm=bn)\ndefault tconv(pad=1, norm=bn)\n"
        "block down(w, inner) = [id | leaky(0.2) -> conv4-w/2 -> inner -> relu -> tconv4-{C}/2]\n"
        "conv4-8/2(norm=none) -> down(16, [down(32, [[id | leaky(0.2) -> conv4-32/2(norm=none) -> relu -> tconv4-32/2]])])\n"
        "-> relu -> tconv4-3/2(norm=none, act=tanh)",
        "conv " + "leaky conv bn " * 2 + "leaky conv relu tconv bn concat " + "relu tconv bn concat " * 2
        + "relu tconv tanh",
    ),
    "SegNet": (
        "alexgkendall/SegNet-Tutorial, segnet_basic_inference.prototxt's order at two levels",
        "input 3x32x32\ndefault conv(norm=bn, act=relu)\n"
        "conv3-8 -> conv3-8 -> p1: pool -> conv3-16 -> conv3-16 -> p2: pool\n"
        "-> unpool(of=p2) -> conv3-16 -> conv3-8 -> unpool(of=p1) -> conv3-8 -> conv3-4(norm=none, act=none)",
        ("conv bn relu " * 2 + "pool ") * 2 + ("unpool " + "conv bn relu " * 2) + "unpool conv bn relu conv",
    ),
    "FCN-16s": (
        "shelhamer/fcn.berkeleyvision.org, voc-fcn16s/net.py",
        "input 3x64x64\n"
        "conv3-8 -> p4: pool -> conv3-16 -> pool\n"
        "fc6: conv7-32 -> dropout -> fc7: conv1-32 -> dropout -> score_fr: conv1-2(act=none) -> tconv4-2/2(pad=1, bias=no)\n"
        "[id + p4 -> score_pool4: conv1-2(act=none)] -> tconv4-2/2(pad=1, bias=no)",
        "conv relu pool conv relu pool conv relu dropout conv relu dropout conv tconv conv add tconv",
    ),
    "CycleGAN": (
        "junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py, ResnetGenerator",
        "input 3x32x32\ndefault conv(norm=instancenorm, act=relu)\ndefault tconv(norm=instancenorm, act=relu)\n"
        "pad(3, mode=reflect) -> conv7-8(pad=0) -> conv3-16/2 -> conv3-32/2\n"
        "[[id + [pad(1, mode=reflect) -> conv3-C(pad=0)]*2]]*2\n"
        "-> tconv3-16/2(pad=1, output_pad=1) -> tconv3-8/2(pad=1, output_pad=1)\n"
        "-> pad(3, mode=reflect) -> conv7-3(pad=0, norm=none, act=tanh)",
        "pad conv in relu conv in relu conv in relu " + "pad conv in relu pad conv in add " * 2
        + "tconv in relu " * 2 + "pad conv tanh",
    ),
    "SRGAN": (
        "Ledig et al. 2017, Figure 4; the loss of generation is left aside",
        "input 3x16x16\ndefault conv(act=prelu)\n"
        "conv9-8 -> s: id -> [[id + conv3-8(norm=bn) -> conv3-8(norm=bn)]]*2 -> conv3-8(norm=bn) -> t: id\n"
        "[s + t] -> [conv3-32(act=none) -> pixelshuffle(2) -> prelu]*2 -> conv9-3(act=none)",
        "conv prelu " + "conv bn prelu conv bn add " * 2 + "conv bn add " + "conv shuffle prelu " * 2 + "conv",
    ),
    "LinkNet": (
        "Chaurasia and Culurciello 2017, Figures 2 and 3",
        "input 64x16x16\ndefault conv(norm=bn, act=relu)\ndefault tconv(norm=bn, act=relu)\n"
        "block decoder(n) = conv1-{C//4} -> tconv3-{C//4}/2(pad=1, output_pad=1) -> conv1-n\n"
        "decoder(64) -> tconv3-32/2(pad=1, output_pad=1) -> conv3-32 -> tconv2-5/2(norm=none, act=none)",
        "conv bn relu tconv bn relu conv bn relu tconv bn relu conv bn relu tconv",
    ),
    "DeepLabv3+": (
        "tensorflow/models, research/deeplab/model.py, refine_by_decoder",
        "input low: 16x32x32\ninput high: 64x8x8\ndefault conv(norm=bn, act=relu)\n"
        "[low -> conv1-8 | high -> resize(to=low, mode=bilinear)] -> dwconv3 -> conv1-32 -> dwconv3 -> conv1-32\n"
        "-> conv1-5(norm=none, act=none) -> resize(4, mode=bilinear)",
        "conv bn relu resize concat " + "dwconv bn relu conv bn relu " * 2 + "conv resize",
    ),
    "a feature pyramid": (
        "pytorch/vision, torchvision/ops/feature_pyramid_network.py",
        "input c3: 16x16x16\ninput c4: 32x8x8\n"
        "c4 -> t4: conv1-8(act=none)\n[c3 -> conv1-8 + t4 -> upsample(2)] -> p3: conv3-8(act=none)\nt4 -> p4: conv3-8(act=none)\n"
        "output p3, p4",
        "conv conv upsample add conv conv",
    ),
    "attention gates": (
        "ozan-oktay/Attention-Gated-Networks, models/layers/grid_attention_layer.py, order of one gate",
        "input x: 8x16x16\ninput g: 16x8x8\n"
        "[x -> conv2-8/2(pad=0, bias=no) + g -> conv1-8] -> relu -> conv1-1 -> sigmoid -> resize(to=x, mode=bilinear) -> a: id\n"
        "[x & a] -> conv1-8(norm=bn, act=none)",
        "conv conv add relu conv sigmoid resize mul conv bn",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DECODERS)
def test_activations_are_where_the_code_has_them(name: str) -> None:
    _, text, wanted = DECODERS[name]
    layers = cnnc.parse(text).graph.layers
    assert [RENAMED.get(node.op.kind, node.op.kind) for node in layers] == wanted.split()
