"""Parameters against keras.applications, on its torch backend and the meta device.

Compared are the learned tensors by their numbers of values, as a multiset: Keras
orders axes and names its layers in its own way. Where its networks differ from the
published ones in a known way, that is taken into account by what the spec's graph says.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import pytest

import cnnc
from cnnc.compiler.graph import Graph

pytest.importorskip("torch", reason="Keras runs on it here")
os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras", reason="Keras is not installed: no comparison with keras.applications")
nasnet = pytest.importorskip("keras.src.applications.nasnet")


def nasnet_mobile(**options: Any) -> Any:
    """`NASNetMobile` itself refuses the torch backend, for what it does when it runs."""
    return nasnet.NASNet(
        (224, 224, 3), penultimate_filters=1056, num_blocks=4, stem_block_filters=32, skip_reduction=False,
        default_size=224, **options,
    )  # fmt: skip


def norms(graph: Graph) -> Iterator[int]:
    """The width of each batch norm: as many biases stand before it in Keras's ResNets, without effect, and as
    many factors are missing in its Inception-v3 (`scale=False`)."""
    return (node.out[0] for node in graph.nodes if node.op.kind == "bn")


def none(graph: Graph) -> Iterator[int]:
    return iter(())


Sizes = Callable[[Graph], Iterator[int]]
APPLICATIONS: dict[str, tuple[Callable[..., Any], Sizes, Sizes]] = {
    "vgg16": (keras.applications.VGG16, none, none),
    "vgg19": (keras.applications.VGG19, none, none),
    "resnet50_paper": (keras.applications.ResNet50, norms, none),
    "resnet101_paper": (keras.applications.ResNet101, norms, none),
    "resnet152_paper": (keras.applications.ResNet152, norms, none),
    "inception_v3": (keras.applications.InceptionV3, none, norms),
    "mobilenet_v1": (keras.applications.MobileNet, none, none),
    "mobilenet_v2": (keras.applications.MobileNetV2, none, none),
    "densenet121": (keras.applications.DenseNet121, none, none),
    "densenet169": (keras.applications.DenseNet169, none, none),
    "densenet201": (keras.applications.DenseNet201, none, none),
    "xception": (keras.applications.Xception, none, none),
    "nasnet_a_mobile": (nasnet_mobile, none, none),
    "nasnet_a_large": (keras.applications.NASNetLarge, none, none),
}
"""Spec to Keras's builder, what it has beside the spec's tensors, and what it lacks of them."""


def built(builder: Callable[..., Any], **options: Any) -> Any:
    """Shapes without values."""
    with keras.device("meta"):
        return builder(weights=None, **options)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_parameters_are_keras(name: str) -> None:
    builder, more, less = APPLICATIONS[name]
    model = built(builder)
    graph = cnnc.load(f"zoo:{name}").graph
    ours = Counter(prod(shape) for node in graph.nodes for shape in node.op.params(*graph.ins(node)).values())
    ours.update(more(graph))
    ours.subtract(less(graph))
    assert Counter(prod(weight.shape) for weight in model.trainable_weights) == +ours


@pytest.mark.parametrize(("width", "total"), [(0.25, 475_544), (0.5, 1_342_536), (0.75, 2_601_976)])
def test_width_multipliers(width: float, total: int) -> None:
    """Keras's totals have the norms' means and variances in them, ours a count of batches for each norm."""
    model = built(keras.applications.MobileNet, alpha=width)
    net = cnnc.load("zoo:mobilenet_v1", width=width)
    assert sum(prod(weight.shape) for weight in model.trainable_weights) == net.params
    assert model.count_params() == with_statistics(net) == total


@pytest.mark.parametrize(
    ("name", "total"),
    [
        # The totals that are quoted for NASNet-A as its parameters.
        ("nasnet_a_mobile", 5_326_716),
        ("nasnet_a_large", 88_949_818),
        ("mobilenet_v1", 4_253_864),
        ("mobilenet_v2", 3_538_984),
        ("densenet121", 8_062_504),
    ],
)
def test_totals_with_statistics(name: str, total: int) -> None:
    builder, _, _ = APPLICATIONS[name]
    assert built(builder).count_params() == with_statistics(cnnc.load(f"zoo:{name}")) == total


def with_statistics(net: cnnc.Net) -> int:
    """Parameters and the norms' means and variances."""
    return net.params + net.costs.total.state - sum(node.op.kind == "bn" for node in net.graph.nodes)


@pytest.mark.parametrize("name", ["vgg16", "resnet50_paper", "mobilenet_v1", "nasnet_a_large"])
def test_last_maps_are_keras(name: str) -> None:
    """The map before the classifier has the same size."""
    builder, _, _ = APPLICATIONS[name]
    net = cnnc.load(f"zoo:{name}")
    (channels, *size), *_ = (
        node.out for node in reversed(net.graph.nodes) if len(node.out) == 3 and node.out[1] > 1
    )
    shape = tuple(net.inputs["input"])
    model = built(builder, include_top=False, input_shape=(*shape[1:], shape[0]))
    assert tuple(model.output_shape[1:]) == (*size, channels)
