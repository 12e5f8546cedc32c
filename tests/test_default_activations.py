"""Default activations around gates: each network's activations stand where its published code has them.

The references are written in the order of that code, from the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from graphs import graph_of

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from ops.oracle import compiled  # noqa: E402
from torch import Tensor  # noqa: E402

SE = "gap -> d: conv1-2(norm=none) -> u: conv1-8(norm=none, act=sigmoid)"


def squeeze(m: Any, x: Tensor) -> Tensor:
    """Hu et al. 2018: the gate of one value for each channel."""
    return torch.sigmoid(m.u(F.relu(m.d(x.mean((2, 3), keepdim=True)))))


def se_resnet(m: Any, x: Tensor) -> Tensor:
    """timm's SE-ResNet, models/resnet.py, Bottleneck.forward: conv3, bn3, se, drop_path, += shortcut, act3."""
    y = F.relu(m.a_bn(m.a(x)))
    y = m.b_bn(m.b(y))
    return F.relu(y * squeeze(m, y) + x)


def mobilenet_v3(m: Any, x: Tensor) -> Tensor:
    """torchvision's mobilenetv3.py: expand, depthwise with its activation, SqueezeExcitation, project."""
    y = F.hardswish(m.a_bn(m.a(x)))
    y = F.hardswish(m.b_bn(m.b(y)))
    return x + m.c_bn(m.c(y * squeeze(m, y)))


def cbam(m: Any, x: Tensor) -> Tensor:
    """Woo et al. 2018, the authors' MODELS/cbam.py in a residual block: channel gate, spatial gate, sum, relu."""
    y = F.relu(m.a_bn(m.a(x)))
    y = m.b_bn(m.b(y))
    pooled = (y.mean((2, 3), keepdim=True), y.amax((2, 3), keepdim=True))
    y = y * torch.sigmoid(sum(m.up(F.relu(m.down(p))) for p in pooled))
    both = torch.cat([y.amax(1, keepdim=True), y.mean(1, keepdim=True)], 1)
    return F.relu(y * torch.sigmoid(m.s(both)) + x)


def scse(m: Any, x: Tensor) -> Tensor:
    """Roy et al. 2018: the block's output, after its relu, gated by channel and by position, and the two added."""
    y = F.relu(m.a_bn(m.a(x)))
    return F.relu(m.z(y * squeeze(m, y) + y * torch.sigmoid(m.q(y))))


def bam(m: Any, x: Tensor) -> Tensor:
    """Park et al. 2018, the authors' MODELS/bam.py: (1 + sigmoid(channel * spatial)) * x, x after its relu."""
    y = F.relu(m.a_bn(m.a(x)))
    gate = torch.sigmoid(m.u(F.relu(m.d(y.mean((2, 3), keepdim=True)))) * m.q(y))
    return F.relu(m.z(y * gate + y))


def sk(m: Any, x: Tensor) -> Tensor:
    """Li et al. 2019, eq. 1-6: both branches end in a relu; a softmax over two is a sigmoid and the rest of 1."""
    a, b = F.relu(m.a_bn(m.a(x))), F.relu(m.b_bn(m.b(x)))
    gate = torch.sigmoid(m.gate.u(F.relu(m.gate.d((a + b).mean((2, 3), keepdim=True)))))
    return m.z(a * gate + b * (1 - gate))


def attention_gate(m: Any, x: Tensor) -> Tensor:
    """Oktay et al. 2018, the authors' grid attention: x after its relu is gated, then joined to the decoder's map."""
    skip = F.relu(m.a_bn(m.a(x)))
    below = F.relu(m.b_bn(m.b(skip)))
    gate = torch.sigmoid(m.psi.psi(F.relu(m.psi.wx(skip) + m.psi.wg(below))))
    return m.z(torch.cat([skip * gate, below], 1))


def before_tconv(m: Any, x: Tensor) -> Tensor:
    y = F.relu(m.a_bn(m.a(x)))
    return m.z(y * squeeze(m, y))


def at_the_output(m: Any, x: Tensor) -> Tensor:
    y = F.relu(m.a_bn(m.a(x)))
    return y * squeeze(m, y)


NETS: dict[str, tuple[str, Callable[[Any, Tensor], Tensor]]] = {
    "SE-ResNet": (f"[a: conv3-8 -> b: conv3-8 -> [id & {SE}] -> droppath(0.1) + id] -> relu", se_resnet),
    "MobileNetV3": (
        "[a: conv1-8(act=hardswish) -> b: dwconv3(norm=bn, act=hardswish) -> "
        f"[id & {SE}] -> c: conv1-8(act=none) + id]",
        mobilenet_v3,
    ),
    "MobileNetV3 by defaults": (
        f"default conv(act=hardswish)\n[a: conv1-8 -> b: dwconv3 -> [id & {SE.replace('norm', 'act=relu, norm', 1)}]"
        " -> c: conv1-8 + id]",
        mobilenet_v3,
    ),
    "CBAM": (
        "shared down = conv1-2(norm=none)\nshared up = conv1-8(norm=none, act=none)\n"
        "[a: conv3-8 -> b: conv3-8 -> [id & [gap -> down -> up + gmp -> down -> up] -> sigmoid]"
        " -> [id & [max(axis=C) | mean(axis=C)] -> s: conv7-1(norm=none, act=sigmoid)] + id] -> relu",
        cbam,
    ),
    "scSE": (
        f"a: conv3-8 -> [[id & {SE}] + [id & q: conv1-1(norm=none, act=sigmoid)]] -> z: conv1-8(norm=none) -> relu",
        scse,
    ),
    "BAM": (
        "a: conv3-8 -> [[id & [gap -> d: conv1-2(norm=none) -> u: conv1-8(norm=none, act=none)"
        " & q: conv1-1(norm=none, act=none)] -> sigmoid] + id] -> z: conv1-8(norm=none) -> relu",
        bam,
    ),
    "SK-Net": (
        "x: id -> a: conv3-8\nx -> b: conv3-8(dilation=2)\n"
        "gate: [[a + b] -> gap -> d: conv1-2(norm=none) -> u: conv1-8(norm=none, act=sigmoid)]\n"
        "[[a & gate] + [b & gate -> times(-1) -> plus(1)]] -> z: conv1-8(norm=none, act=none)",
        sk,
    ),
    "attention U-Net": (
        "a: conv3-8 -> b: conv3-8\n"
        "psi: [[a -> wx: conv1-4(norm=none, act=none) + b -> wg: conv1-4(norm=none, act=none)] -> relu"
        " -> psi: conv1-1(norm=none, act=sigmoid)]\n"
        "[[a & psi] | b] -> z: conv1-8(norm=none, act=none)",
        attention_gate,
    ),
    "before tconv": (f"a: conv3-8 -> [id & {SE}] -> z: tconv2-4/2", before_tconv),
    "at the output": (f"a: conv3-8 -> [id & {SE}]", at_the_output),
}


@pytest.mark.parametrize("name", NETS)
def test_activations_stand_where_the_published_code_has_them(name: str) -> None:
    layers, reference = NETS[name]
    graph = graph_of(f"input 8x6x6\ndefault conv(norm=bn)\n{layers}\n")
    assert not [w for w in graph.warnings if w.code == "W202"], graph.warnings
    torch.manual_seed(0)
    module: Any = compiled(graph).module.double()
    for key, value in module.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if "var" in key else value.normal_()
    x = torch.randn(3, 8, 6, 6, dtype=torch.float64)
    module.eval()
    torch.testing.assert_close(module(x), reference(module, x))


def kept(layers: str) -> list[str]:
    """The default activations that stay, by the name of the layer whose they are."""
    graph = graph_of(f"input 8x6x6\n{layers}\n")
    return [graph.nodes[n.inputs[0]].name for n in graph.layers if n.role == "act"]


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        # What is looked through, and what is not (LANGUAGE-2, G2).
        *((f"c: conv3-8 -> {word} -> relu", []) for word in (
            "times(2)", "plus(1)", "scale", "slice(0..3)", "permute(H, W, C)", "pad(1)", "dropout", "stretch(6)", "resize(1.5)",
        )),
        *((f"c: conv3-8 -> {word} -> relu", ["c"]) for word in (
            "exp", "log", "pow(2)", "abs", "clamp(0, 1)", "mean(axis=C)", "max(axis=C)", "sum(axis=C)", "gap",
        )),
        # A transposed convolution keeps the activation before it (G4).
        ("c: conv3-8 -> tconv2-4/2", ["c"]),
        ("default tconv(act=relu)\nc: tconv2-8/2 -> d: tconv2-4/2 -> tanh", ["c"]),
        # Gates (G1).
        ("c: conv3-8 -> [id & gap -> sigmoid] -> relu", []),
        ("c: conv3-8 -> [id & gap -> sigmoid] -> conv3-8(act=none)", ["c"]),
        ("c: conv3-8 -> [id & gap -> sigmoid] -> bn", ["c"]),
        ("c: conv3-8 -> [id & gap -> sigmoid]", ["c"]),
        ("c: conv3-8 -> [id & gap -> sigmoid] -> maxpool -> relu", ["c"]),
        ("[c: conv3-8 -> [id & gap -> sigmoid] -> [id & gmp -> sigmoid] + id] -> relu", []),
        ("c: conv3-8 -> [[id & gap -> sigmoid] + id] -> relu", ["c"]),
        ("c: conv3-8 -> [[id & gap -> sigmoid] + [id & gmp -> sigmoid]] -> relu", ["c"]),
        ("c: conv3-8 -> g: [id & gap -> sigmoid] -> relu -> [id + g]", ["c"]),
        # A factor that is not the value itself: through the gate's own layers nothing is looked for.
        ("[id & gap -> c: conv1-8] -> relu", []),
        ("[id & gap -> c: conv1-8 -> d: conv1-8(act=sigmoid)] -> relu", ["c", "d"]),
        # What leads on from the gate's branch counts.
        ("c: conv3-8 -> [id & p: gap -> sigmoid] -> relu -> [id & p]", ["c"]),
        # A sum that is itself gated keeps what it kept.
        ("[id + c: conv3-8] -> relu", []),
    ],
)  # fmt: skip
def test_which_defaults_stay(layers: str, left: list[str]) -> None:
    assert kept(layers) == left


def test_darknets_default_is_named_where_it_is_left_out_before_a_sum() -> None:
    text = "input 8x6x6\ndefault conv(norm=bn, act=leaky(0.1))\n[id + conv1-4 -> conv3-8] -> conv3-4 -> bn\n"
    (warning,) = [w for w in graph_of(text).warnings if w.code == "W202"]
    assert "leaky(0.1)" in warning.message
    assert warning.hint is not None and "act=leaky(0.1)" in warning.hint and "act=none" in warning.hint
    kept_text = text.replace("conv3-8]", "conv3-8(act=leaky(0.1))]")
    for fixed in (kept_text, text.replace("conv3-8]", "conv3-8(act=none)]")):
        assert not [w for w in graph_of(fixed).warnings if w.code == "W202"]


def test_a_pre_activation_draws_no_warning() -> None:
    text = "input 8x6x6\n[[id + bn -> relu -> conv3-8(bias=no)]*2 -> bn -> relu] -> conv3-4(act=none)\n"
    assert not [w for w in graph_of(text).warnings if w.code == "W202"]
