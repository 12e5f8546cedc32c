"""Cuts of a network against all cuts there are, and the balance that pipelines need."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from graphs import graph_of

import cnnc
from cnnc.compiler.split import _crossing, _parts, split
from cnnc.dsl.diagnostics import CnncError


def test_resnet152_in_four_is_balanced() -> None:
    found = cnnc.load("zoo:resnet152").split(4)
    assert found.balance <= 1.15
    assert sum(stage.macs for stage in found.stages) == cnnc.load("zoo:resnet152").macs
    assert all(len(stage.crossing) == 1 for stage in found.stages[:-1])


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "googlenet_torchvision"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_cuts_are_better(name: str, count: int) -> None:
    """Of all cuts the slowest stage is the fastest to 5 %, and of these the fewest bytes cross."""
    graph = cnnc.load(f"zoo:{name}").graph
    parts = _parts(graph)
    sizes = [sum(c.bytes for c in _crossing(graph, part.last)) for part in parts]

    def judged(cuts: tuple[int, ...]) -> tuple[int, int]:
        ends = (0, *cuts, len(parts))
        slowest = max(sum(p.macs for p in parts[a:b]) for a, b in pairwise(ends))
        return slowest, sum(sizes[c - 1] for c in cuts)

    every = [judged(cuts) for cuts in combinations(range(1, len(parts)), count - 1)]
    least = min(slowest for slowest, _ in every)
    found = split(graph, count)
    assert max(stage.macs for stage in found.stages) <= least * 1.05
    assert found.crossing_bytes == min(crossed for slowest, crossed in every if slowest <= least * 1.05)


def test_a_tensor_that_crosses_is_named_once() -> None:
    graph = graph_of("input 3x8x8\na: conv3-4\nb: conv3-4\nc: conv3-4\n[a | b | c] -> conv3-2\n")
    found = split(graph, 2)
    names = [c.layer for c in found.stages[0].crossing]
    assert names and len(names) == len(set(names))


def test_parts_hold_every_layer_once() -> None:
    for name in ("resnet50", "unet", "densenet121", "inception_v3"):
        graph = cnnc.load(f"zoo:{name}").graph
        assert sum(part.macs for part in _parts(graph)) == cnnc.Net(graph).macs


def test_more_stages_than_parts() -> None:
    with pytest.raises(CnncError, match="between 1 and 2"):
        split(graph_of("input 3x8x8\nconv3-4(act=none)\nconv3-4(act=none)\n"), 5)


def test_weights_that_several_stages_use_count_in_each() -> None:
    twice = "input 8x16x16\na: conv3-8\nb: conv1-8\nagain(a) -> c: conv1-8 -> again(a, transpose=yes)\n"
    shared = (
        "input l: 8x8x8\ninput r: 8x8x8\nshared t = [conv3-8]\nl -> t -> a: id\nr -> t -> b: id\n[a | b]\n"
    )
    gate = "input 8x16x16\na: conv3-8\nconv3-8 -> [id & weight(a) -> mean(axis=(H, W)) -> mean(axis=C) -> reshape(8, 1, 1)]\n"
    a, one = 8 * 8 * 9 + 8, 8 * 8 + 8
    for text, params in ((twice, [a, a + one, a + one]), (shared, [a, a]), (gate, [a, 2 * a])):
        net = cnnc.parse(text)
        assert sum(params) > net.params
        assert [stage.params for stage in net.split(len(params)).stages] == params
