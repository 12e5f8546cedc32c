"""A figure is declared once and is everywhere; memory traffic against modules of torch."""

from __future__ import annotations

import re

import pytest
import torch

import cnnc
from cnnc.backends.diagram import to_dot
from cnnc.backends.report.charts import charts_html
from cnnc.backends.table import render, render_diff
from cnnc.compiler import cost
from cnnc.compiler.cost import FIGURES, costs
from cnnc.compiler.diff import diff
from cnnc.compiler.diff import to_json as diff_json
from cnnc.compiler.summary import summarise, to_json

SMALL = "input 3x8x8\nconv3-4(norm=bn) -> label: conv3-8/2(norm=bn) -> gap -> fc-10\n"


@pytest.mark.parametrize("key", FIGURES)
def test_a_figure_is_everywhere(key: str) -> None:
    graph = cnnc.parse(SMALL).graph
    figure, number = FIGURES[key], getattr(costs(graph).total, key)
    part = next(getattr(layer.cost, key) for layer in summarise(graph).layers if layer.name == "label")
    summary = summarise(graph)
    data = to_json(summary)
    assert number and data["totals"][key] == number == sum(layer[key] for layer in data["layers"])
    assert f"{number:,} {figure.title}" in " ".join(render(summary).split())
    head, *_, last = render(summary, "csv", columns=["name", key]).splitlines()
    assert head == f"name,{key}" and last == f"fc1,{data['layers'][-1][key]}"
    assert figure.heading and figure.heading in render(summary, columns=["name", key])
    assert f"{figure.title}: {number:,}</figcaption>".lower() in charts_html(summary).lower()
    assert figure.heading in to_dot(graph, show=[key], level="layers").source
    other = cnnc.parse(SMALL.replace("10", "20")).graph
    more = getattr(costs(other).total, key)
    assert diff_json(diff(graph, other))["totals"][key] == [number, more, more - number]
    assert re.search(rf"^{figure.title} +{number:,} -> ", render_diff(diff(graph, other)), re.MULTILINE)
    cnnc.parse(f"{SMALL}expect {key} == {number}\nexpect {key}(label) == {part}\n").check()


def test_a_sum_has_every_figure() -> None:
    one = cost.Cost(**{key: i for i, key in enumerate(FIGURES)})
    assert dict((one + one * 2).items()) == {key: 3 * i for i, key in enumerate(FIGURES)}


def bytes_of(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@pytest.mark.parametrize(("name", "size"), [("resnet18", "3x64x64"), ("mobilenet_v2", "3x64x64")])
def test_traffic_of_each_layer_is_what_its_module_is_given_holds_and_gives(name: str, size: str) -> None:
    net = cnnc.load(f"zoo:{name}", input=size)
    graph = net.graph
    rows = {node.name: row.traffic for node, row in zip(graph.nodes, costs(graph).nodes, strict=True)}
    module = net.module().eval()
    found: dict[str, int] = {}

    def hook(path: str) -> object:
        def seen(layer: torch.nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
            kept = [*layer.parameters(), *(b for b in layer.buffers() if b.is_floating_point())]
            found[path] = sum(map(bytes_of, [*given, out, *kept]))

        return seen

    for path, layer in module.named_modules():
        if path in rows:
            layer.register_forward_hook(hook(path))  # type: ignore[arg-type]
    with torch.no_grad():
        module(torch.ones(1, *next(iter(net.inputs.values()))))
    weighted = {node.name for node in graph.nodes if node.op.params(*graph.ins(node))}
    assert weighted <= found.keys()
    assert {path: rows[path] for path in found} == found


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("input 4x6x6\nconv3-4(act=none) -> [id + tanh]\n", (288 + 148) + 288 + 432),
        ("input 4x6x6\n[id | tanh]\n", 288 + (144 + 144 + 288)),
        ("input 4x6x6\nbn\n", 288 + 16),
        # The tensor that only says the size to reach is not read.
        ("input 4x6x6\na: tanh\nmaxpool -> upsample(like=a)\n", 288 + (144 + 36) + (36 + 144)),
        ("input 4x6x6\nnoise\n", 144),
        ("input 4x1x1\n[id + t: tensor(4, 1, 1, learn=no)]\n", (4 + 4) + (4 + 4 + 4)),
        ("input 4x6x6\nshared s = conv1-4(act=none)\ns -> s\n", 2 * (288 + 20)),  # each use reads the weights
    ],
)
def test_traffic_by_hand(text: str, elements: int) -> None:
    assert costs(cnnc.parse(text).graph).total.traffic == 4 * elements
