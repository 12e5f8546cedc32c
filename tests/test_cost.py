"""Costs against published figures, torch's own counts and hand-made liveness."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from graphs import graph_of
from torch.utils.flop_counter import FlopCounterMode

from cnnc.compiler.cost import Cost, costs, peak_memory, total
from cnnc.compiler.depth import depth

RESNET50 = """
input 3x224x224
default conv(norm=bn)
block bottleneck(w, s=1) =
  [conv1-w -> conv3-w/s -> conv1-{4*w} + downsample: shortcut] -> relu
conv7-64/2 -> maxpool3/2(pad=1)
layer1: [bottleneck(64)]*3
layer2: [bottleneck(128, 2) -> [bottleneck(128)]*3]
layer3: [bottleneck(256, 2) -> [bottleneck(256)]*5]
layer4: [bottleneck(512, 2) -> [bottleneck(512)]*2]
gap -> fc: fc-1000
"""
VGG16 = """
input 3x224x224
[[conv3-w]*n -> maxpool for n, w in (2,64), (2,128), (3,256), (3,512), (3,512)]
[fc-4096 -> dropout]*2 -> fc-1000
"""


# torchvision 0.28: num_params, and MACs and buffers recounted on the meta device.
@pytest.mark.parametrize(
    ("text", "params", "macs", "state", "layers"),
    [
        (RESNET50, 25_557_032, 4_089_184_256, 53_120 + 53, 50),
        (VGG16, 138_357_544, 15_470_264_320, 0, 16),
    ],
    ids=["resnet50", "vgg16"],
)
def test_published_figures(text: str, params: int, macs: int, state: int, layers: int) -> None:
    graph = graph_of(text)
    cost = costs(graph).total
    assert (cost.params, cost.macs, cost.state) == (params, macs, state)
    assert depth(graph) == layers


def test_depth_of_googlenet() -> None:
    # Table 1 of Szegedy et al. 2015: 22 layers with parameters.
    inception = "[conv1-8 | conv1-8 -> conv3-8 | conv1-8 -> conv5-8 | maxpool3/1(pad=1) -> conv1-8]"
    graph = graph_of(
        "input 3x224x224\nconv7-64/2 -> maxpool3/2(pad=1) -> conv1-64 -> conv3-192 -> maxpool3/2(pad=1)\n"
        f"[{inception}]*2 -> maxpool3/2(pad=1) -> [{inception}]*5 -> maxpool3/2(pad=1) -> [{inception}]*2\n"
        "gap -> dropout(0.4) -> fc-1000\n"
    )
    assert depth(graph) == 22


@pytest.mark.parametrize(
    ("word", "module"),
    [
        ("conv3-8(act=none)", torch.nn.Conv2d(4, 8, 3, padding=1)),
        ("conv5x3-8/2x1(groups=4, pad=valid, act=none)", torch.nn.Conv2d(4, 8, (5, 3), (2, 1), groups=4)),
        (
            "conv3-8(dilation=2, bias=no, act=none)",
            torch.nn.Conv2d(4, 8, 3, padding=2, dilation=2, bias=False),
        ),
        ("bn", torch.nn.BatchNorm2d(4)),
        ("bn(affine=no)", torch.nn.BatchNorm2d(4, affine=False)),
        ("fc-10(act=none)", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 13 * 15, 10))),
        ("maxpool3/2", torch.nn.MaxPool2d(3, 2)),
    ],
)
def test_one_layer_against_torch(word: str, module: torch.nn.Module) -> None:
    cost = costs(graph_of(f"input 4x13x15\n{word}\n")).total
    assert cost.params == sum(p.numel() for p in module.parameters())
    assert cost.state == sum(b.numel() for b in module.buffers())
    counter = FlopCounterMode(display=False)
    with counter:
        out = module(torch.ones(1, 4, 13, 15))
    assert 2 * cost.macs == counter.get_total_flops()
    has_bias = cost.macs and any(name.endswith("bias") for name, _ in module.named_parameters())
    assert cost.flops == 2 * cost.macs + (out.numel() if has_bias else 0)


def test_totals_are_the_sums_of_their_rows() -> None:
    graph = graph_of(RESNET50)
    per_node = costs(graph)
    assert total(per_node.nodes) == per_node.total
    (layer1,) = (scope for scope in graph.scopes() if scope.name == "layer1")
    assert total(per_node.nodes[n] for n in layer1.nodes()).params == 215_808
    assert per_node.nodes[graph.inputs["input"]] == Cost()


def test_a_shared_module_has_its_weights_once_and_its_macs_at_each_use() -> None:
    graph = graph_of("input 4x8x8\n[conv3-4(norm=bn)]*2\n")
    once = costs(graph)
    names = {"conv2": "conv1", "bn2": "bn1"}
    nodes = tuple(replace(node, module=names.get(node.name, node.module)) for node in graph.nodes)
    shared = costs(replace(graph, nodes=nodes))
    assert shared.total.params * 2 == once.total.params
    assert shared.total.state * 2 == once.total.state == 2 * (4 + 4 + 1)
    assert (shared.total.macs, shared.total.flops) == (once.total.macs, once.total.flops)
    assert total(shared.nodes) == shared.total


def test_peak_memory_of_a_chain_is_its_largest_step() -> None:
    # 3*64 in, 8*64 after conv, 8*16 after the pool, 2 out; no activation: the next is a pool or the output.
    memory = peak_memory(graph_of("input 3x8x8\nconv3-8(act=none) -> maxpool -> gap -> fc-2\n"))
    assert memory.inference == 4 * (3 * 64 + 8 * 64)
    assert memory.inference_at == "conv1"
    assert memory.training == 4 * (3 * 64 + 8 * 64 + 8 * 16 + 8 + 8 + 2)


def test_a_long_skip_is_held_until_it_is_used() -> None:
    text = "input 4x8x8\n[id + conv3-4(act=none) -> conv3-4(act=none)]\n"
    memory = peak_memory(graph_of(text), dtype_bytes=2, batch=3)
    # The input waits while the second convolution reads one buffer and writes another.
    assert memory.inference == 2 * 3 * (3 * 256)
    assert memory.inference_at == "conv2"
    assert memory.training == 2 * 3 * (4 * 256)


def test_outputs_are_held_to_the_end() -> None:
    text = "input 4x8x8\na: conv3-8(act=none)\nmaxpool -> b: conv1-1(act=none)\noutput a, b\n"
    memory = peak_memory(graph_of(text), dtype_bytes=1)
    assert memory.inference == 256 + 512  # at a; later a, the pool and b are 512 + 128 + 16
    only_b = peak_memory(
        graph_of("input 1x8x8\na: conv3-8(act=none)\nmaxpool -> b: conv1-9(act=none)\noutput b\n"), 1
    )
    with_a = peak_memory(
        graph_of("input 1x8x8\na: conv3-8(act=none)\nmaxpool -> b: conv1-9(act=none)\noutput a, b\n"), 1
    )
    assert only_b.inference == 512 + 128
    assert with_a.inference == 512 + 128 + 9 * 16


def test_sizes_of_memory_must_be_positive() -> None:
    graph = graph_of("input 3x8x8\nconv3-8\n")
    with pytest.raises(ValueError, match=r"dtype_bytes \(=0\)"):
        peak_memory(graph, dtype_bytes=0)
