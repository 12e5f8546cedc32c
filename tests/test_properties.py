"""Properties of the whole front end, over networks and broken specs drawn from the grammar."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from strategies import broken_texts, network_texts, spec_texts

import cnnc
from cnnc.compiler.graph import key_of
from cnnc.dsl.format import format_source
from cnnc.dsl.source import Source
from cnnc.given import resolve

drawn = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def figures(net: cnnc.Net) -> dict[str, object]:
    """Everything the analysis says of a network, its name aside."""
    record = net.to_dict()
    del record["model"]
    return record


@drawn
@given(network_texts())
def test_the_flat_core_is_the_same_network_and_settled(text: str) -> None:
    net = cnnc.parse(text)
    core = net.expand()
    again = cnnc.parse(core)
    assert figures(again) == figures(net)
    assert again.expand() == core


@drawn
@given(network_texts())
def test_formatting_keeps_the_network(text: str) -> None:
    formatted = format_source(Source("net.cnn", text))
    assert figures(cnnc.parse(formatted)) == figures(cnnc.parse(text))


@settings(drawn, max_examples=300)
@given(broken_texts() | spec_texts())
def test_nothing_but_diagnostics_and_carets_inside_the_source(text: str) -> None:
    try:
        net = cnnc.parse(text)
        json.dumps(net.to_dict())
        net.expand()
        net.pytorch()
    except cnnc.CnncError as error:
        for diagnostic in error.diagnostics:
            assert diagnostic.render()
            span = diagnostic.span
            if span is not None and span.source.text == text:
                assert 0 <= span.start <= span.end <= len(text)


@drawn
@given(network_texts())
def test_a_forward_gives_the_sizes_of_the_analysis(text: str) -> None:
    torch = pytest.importorskip("torch")
    net = cnnc.parse(text)
    with torch.device("meta"):
        model = net.module().eval()
    inputs = [torch.empty(1, *shape, device="meta") for shape in net.inputs.values()]
    outputs = model(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert [tuple(o.shape[1:]) for o in outputs] == list(net.outputs.values())
    assert sum(p.numel() for p in model.parameters()) == net.params
    keys = {
        key_of(node.name, name): tuple(shape)
        for node in net.graph.nodes
        if node.module == node.name
        for name, shape in {
            **node.op.params(*net.graph.ins(node)),
            **node.op.state(*net.graph.ins(node)),
        }.items()
    }
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == keys


NETS = ["zoo:vgg16", "zoo:resnet50", "zoo:googlenet_torchvision", "zoo:densenet121"]


@pytest.mark.parametrize("name", NETS)
def test_an_unrelated_labelled_layer_renames_nothing(name: str) -> None:
    """A labelled layer, put before every line of the model in turn, changes no other name."""
    path = resolve(name)
    with open(path, encoding="utf8") as file:
        lines = [line for line in file.read().splitlines() if not line.startswith("expect")]
    folder = str(path).rsplit("/", 1)[0]
    before = cnnc.parse("\n".join(lines), name=f"{folder}/x.cnn")
    names = {node.name for node in before.graph.layers}
    heads = ("conv", "features", "layer", "gap", "fc", "inception", "avgpool", "classifier")
    places = [i for i, line in enumerate(lines) if line.startswith(heads)]
    assert places
    tried = 0
    for i in places:
        text = "\n".join([*lines[:i], "probe: dropout(0.1)", *lines[i:]])
        after = cnnc.parse(text, name=f"{folder}/x.cnn")
        assert {node.name for node in after.graph.layers} == names | {"probe"}
        tried += 1
    assert tried == len(places)
