"""Tensors at labels, heads and inputs of another width, weights that fit in part, encoders by `use`."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

import cnnc
from cnnc.compiler.features import with_features
from cnnc.compiler.graph import Graph

UNET = """
model unet18
input 3xHxW
use resnet18 from "zoo:resnet18"
default conv(norm=bn)
block up(w, skip) = [upsample(2) | skip] -> [conv3-w]*2   # allow W203: half a pixel
enc: resnet18
enc.layer4 -> up(256, [enc.layer3]) -> up(128, [enc.layer2]) -> up(64, [enc.layer1]) -> upsample(4)
conv1-2(norm=none)
"""

TWICE = """
input a: 3x16x16
input b: 3x16x16
shared tower = [conv3-8(norm=bn) -> pool]*2
a -> tower -> left: id
b -> tower -> right: id
[left | right] -> flatten -> fc-2
"""


def test_only_what_is_needed_is_kept() -> None:
    net = cnnc.load("zoo:resnet50").features("layer2")
    assert net.outputs == {"layer2": (512, 28, 28)}
    assert {node.name.split(".")[0] for node in net.graph.layers} == {
        "conv1", "bn1", "relu1", "maxpool1", "layer1", "layer2",
    }  # fmt: skip
    net.graph.lint()


def test_info_says_how_features_lie_on_the_input() -> None:
    net = cnnc.load("zoo:resnet50")
    info = net.feature_info
    assert list(net.features("layer4", "layer2").feature_info) == ["layer4", "layer2"]
    one = info["layer2"]
    assert (one.channels, one.reduction, one.field, one.start, one.aligned) == (
        512,
        8,
        (91, 91),
        (-45, -45),
        True,
    )
    assert one.centre == (Fraction(0), Fraction(0))
    assert info["fc"].whole and info["output"].shape == (1000,)


def test_info_without_a_field() -> None:
    info = cnnc.parse('input 3x8\nk: tensor(3, 8)\n"input" -> [id + k] -> end: id').feature_info
    assert info["k"].field == () and info["k"].reduction is None


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ('a: tensor(3, 8)\n"input" -> [id + a]', ["input"]),
    ],
)
def test_inputs_stay_where_no_feature_needs_one(text: str, inputs: list[str]) -> None:
    assert list(cnnc.parse(f"input 3x8\n{text}").features("a").inputs) == inputs


def test_inputs_that_no_feature_needs_are_left_out() -> None:
    net = cnnc.parse(TWICE)
    assert list(net.features("left").inputs) == ["a"]
    second = net.features("right")
    assert list(second.inputs) == ["b"]
    assert second.params == net.features("left").params
    assert {key for _, key, _ in second.graph.tensors()} == {
        key for _, key, _ in net.features("left").graph.tensors()
    }


def test_a_new_head_changes_one_layer() -> None:
    net = cnnc.load("zoo:resnet50", head=10, input="1x64x64")
    assert net.outputs == {"output": (10,)}
    before = {key: shape for _, key, shape in cnnc.load("zoo:resnet50").graph.tensors()}
    after = {key: shape for _, key, shape in net.graph.tensors()}
    assert list(before) == list(after)
    assert {k for k in before if before[k] != after[k]} == {"conv1.weight", "fc.weight", "fc.bias"}
    assert net.claims == ()
    assert cnnc.load("zoo:resnet50", head={"fc": 10}).params == cnnc.load("zoo:resnet50", head=10).params


def test_a_head_of_a_shared_module_is_new_at_every_use() -> None:
    net = cnnc.parse(TWICE.replace("]*2", "]*2 -> conv1-4"), head={"tower": 6})
    assert net.graph.nodes[net.graph.labels["right"]].out == (6, 4, 4)


def test_heads_by_label_and_several_outputs() -> None:
    net = cnnc.load("zoo:googlenet_aux", head={"loss3": 10, "loss1.classifier": 10, "loss2.classifier": 10})
    assert set(net.outputs.values()) == {(10,)}


def test_a_head_within_what_is_recomputed_for_free_sizes() -> None:
    net = cnnc.parse("input 3xHxW\nconv4-8/2(pad=1) -> conv3-8 -> conv1-4", head=7)
    assert net.graph.nodes[net.graph.outputs["output"]].out[0] == 7


# --- against the module that computes everything ------------------------------------------


def whole(graph: Graph, labels: tuple[str, ...]) -> Graph:
    """The same network with the features beside its outputs, nothing left out."""
    found = {f"f{i}": graph.labels[label] for i, label in enumerate(labels)}
    return replace(graph, outputs={**graph.outputs, **found}, claims=())


def candidates(graph: Graph) -> list[str]:
    inside = {i for use in graph.shared_uses() for i in use.nodes() if i != use.result}
    return [n for n, i in graph.labels.items() if i not in inside and graph.nodes[i].role != "input"]


def compare(graph: Graph, labels: tuple[str, ...]) -> None:
    torch = pytest.importorskip("torch")
    from cnnc.backends.pytorch import runtime
    from cnnc.backends.pytorch.form import form_of

    few = with_features(graph, labels)
    few.lint()
    full = runtime.module(whole(graph, labels)).eval()
    state = full.state_dict()
    weights = {name: state[name] for name in runtime.module(few).state_dict()}
    ins = {name: torch.randn(2, *map(int, graph.nodes[i].out)) for name, i in graph.inputs.items()}
    with torch.no_grad():
        wanted = list(full(*ins.values()))[-len(labels) :]
        for form in (None, "inference"):
            model = runtime.module(few, form_of(form), weights).eval()
            got = model(*(ins[name] for name in few.inputs))
            for mine, other in zip(got, wanted, strict=True):
                assert mine.shape == other.shape
                assert (mine - other).abs().max() <= (2e-5 if form else 0) * other.abs().max(), (labels, form)


@pytest.mark.parametrize(
    "name", ["lenet5", "shufflenet_g1", "mnasnet0_5", "siamese", "resnet20", "stn_mnist"]
)
def test_features_are_the_whole_networks(name: str) -> None:
    graph = cnnc.load(f"zoo:{name}").graph
    draw = random.Random(name)
    compare(graph, tuple(draw.sample(candidates(graph), 3)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_features_of_the_zoo(seed: int) -> None:
    from cnnc import zoo

    draw = random.Random(seed)
    small = [e for e in zoo.entries() if e.net.params < 12e6 and e.net.macs < 4e8]
    graph = draw.choice(small).net.graph
    compare(graph, tuple(draw.sample(candidates(graph), draw.choice([1, 2, 3]))))


def test_a_template_keeps_its_params() -> None:
    torch = pytest.importorskip("torch")
    labels = ("features.3", "features.13")
    model: Any = cnnc.load("zoo:mobilenet_v2").module(features=labels)
    half = type(model)(width=0.5)
    wanted = cnnc.load("zoo:mobilenet_v2", width=0.5).module(features=labels)
    sizes = [{k: tuple(v.shape) for k, v in m.state_dict().items()} for m in (half, wanted)]
    assert sizes[0] == sizes[1]
    assert half(torch.randn(1, 3, 32, 32)).features_13.shape == (1, 48, 2, 2)


def test_published_weights_fit_in_part_and_strictly() -> None:
    torch = pytest.importorskip("torch")
    state = cnnc.load("zoo:resnet18").module().state_dict()
    net = cnnc.load("zoo:resnet18", head=10, input="1x64x64")
    fitting = net.fit(state)
    assert dict(fitting.left_out) == {"conv1.weight": "64x1x7x7", "fc.weight": "10x512", "fc.bias": "10"}
    assert fitting.fresh == ("conv1.weight", "fc.weight", "fc.bias")
    model = net.module()
    assert model.load_state_dict(fitting.state, strict=False).unexpected_keys == []
    assert torch.equal(model.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])
    assert net.fit(model.state_dict()).left_out == {}
    with pytest.raises(cnnc.CnncError, match=r"missing layer1\.0\.conv1\.weight"):
        net.fit({k: v for k, v in state.items() if k != "layer1.0.conv1.weight"})
    with pytest.raises(cnnc.CnncError, match=r"conv1\.weight is 64x3x3x3, and 64x3x7x7 in the spec"):
        net.fit({**state, "conv1.weight": torch.zeros(64, 3, 3, 3)})


def test_one_feature_is_a_named_tuple_too() -> None:
    torch = pytest.importorskip("torch")
    net = cnnc.parse("input 3x8x8\na: conv3-4 -> b: conv3-5 -> gap -> fc-2")
    out = net.module(features=("a",))(torch.randn(1, 3, 8, 8))
    assert out._fields == ("a",) and out.a.shape == (1, 4, 8, 8)
    with pytest.raises(TypeError, match="sequence of labels"):
        net.module(features="a")


# --- encoders --------------------------------------------------------------------------------


def test_a_decoder_on_an_encoder_of_the_zoo() -> None:
    net = cnnc.parse(UNET)
    names = {node.name for node in net.graph.nodes}
    assert "enc.conv1" in names and "enc.fc" not in names
    (height,) = [limit for limit in net.limits if limit.symbol == "H"]
    assert height.smallest is not None and height.smallest <= 32
    encoder = {k for _, k, _ in cnnc.load("zoo:resnet18").graph.tensors() if not k.startswith("fc.")}
    assert {k.removeprefix("enc.") for _, k, _ in net.graph.tensors() if k.startswith("enc.")} == encoder


def test_the_decoder_runs_at_several_sizes() -> None:
    torch = pytest.importorskip("torch")
    model = cnnc.parse(UNET).module().eval()
    with torch.no_grad():
        for size in ((64, 96), (32, 32)):
            assert model(torch.randn(1, 3, *size)).shape == (1, 2, *size)


def test_what_is_left_over_outside_the_encoder_is_a_mistake() -> None:
    with pytest.raises(cnnc.CnncError, match="E501"):
        cnnc.parse(UNET + "enc.layer3 -> conv3-8\nenc.layer2 -> conv3-8\n")


def test_a_used_network_that_is_a_call_takes_no_arguments() -> None:
    with pytest.raises(cnnc.CnncError, match="takes no arguments"):
        cnnc.parse('input 3x64x64\nuse resnet18 from "zoo:resnet18"\nresnet18(3)')
    with pytest.raises(cnnc.CnncError, match="the zoo has no `resnet19`"):
        cnnc.parse('input 3x64x64\nuse resnet19 from "zoo:resnet19"\nresnet19')
