"""Published receptive fields beside those of test_receptive_field.py: rows for any input size, and more layers.

The table of google-research/receptive_field (RECEPTIVE_FIELD_TABLE.md, @f12ae8e) has each network
at 224, at 321 and at no size in particular. Where the padding depends on the size, the rows without one leave it out.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from test_receptive_field import (
    ALEXNET_ROWS,
    ALEXNET_V2,
    MOBILENET_SIZES,
    MOBILENET_STRIDES,
    MOBILENET_V1,
    RESNET_ROWS,
    RESNET_UNITS,
    RESNET_V1,
    VGG_16,
    VGG_16_ROWS,
    VGG_A,
    VGG_A_ROWS,
    field_at,
    graph_of,
    row,
)

import cnnc

SPECS = Path(cnnc.__file__).parent / "specs"


def any_size(text: str, **values: int) -> str:
    return text.replace("3x{n}x{n}", "3xHxW").format(**values)


@pytest.mark.parametrize(
    ("text", "rows"),
    [(ALEXNET_V2, ALEXNET_ROWS), (VGG_A, VGG_A_ROWS), (VGG_16, VGG_16_ROWS)],
    ids=["alexnet_v2", "vgg_a", "vgg_16"],
)
def test_rows_of_no_size(text: str, rows: dict[str, tuple[int, int, int]]) -> None:
    graph = graph_of(any_size(text))
    assert {label: row(graph, label) for label in rows} == rows


def test_rows_of_no_size_of_mobilenet_v1() -> None:
    graph = graph_of(any_size(MOBILENET_V1))
    rows = [row(graph, f"p{i}")[:2] for i in range(14)]
    assert rows == list(zip(MOBILENET_SIZES, MOBILENET_STRIDES, strict=True))


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_rows_of_no_size_of_resnet_v1(depth: int) -> None:
    a, b, c = (units - 1 for units in RESNET_UNITS[depth])
    graph = graph_of(any_size(RESNET_V1, a=a, b=b, c=c))
    rows = [row(graph, f"block{i}")[:2] for i in (1, 2, 3, 4)]
    assert rows == [fields[:2] for fields in RESNET_ROWS[depth, 224]]


# Derived in the facts by the recurrence; the fields of torchvision's networks are in test_facts_torchvision.py.
MORE = [
    ("googlenet", "inception_5b", (715, 32, None)),
    ("alexnet", "pool5", (195, 32, 64)),
    ("inception_v3", "Mixed_7b", (1183, 32, 554)),  # Keras' conv2d_85, a 1x1 convolution on it
    ("dqn", "conv3", (36, 8, 0)),
    ("alphago_policy", "conv12", (27, 1, 13)),
    ("lenet5", "C1", (5, 1, 0)),
    ("lenet5", "S2", (6, 2, 0)),
    ("lenet5", "C3", (14, 2, 0)),
    ("lenet5", "S4", (16, 4, 0)),
    ("lenet5", "C5", (32, 4, 0)),
]


@pytest.mark.parametrize(("name", "label", "figures"), MORE)
def test_more_layers(name: str, label: str, figures: tuple[int, int, int | None]) -> None:
    graph = cnnc.load(SPECS / f"{name}.cnn").graph
    size, stride, padding = figures
    found = row(graph, label)
    assert found[:2] == (size, stride)
    assert padding in (None, found[2])


# Rows of the output of U-Net on 572x572, probed by a gradient in float64: first and last input row seen.
UNET_ROWS = {
    **dict.fromkeys(range(176, 180), (176, 363)),
    **dict.fromkeys(range(180, 192), (176, 379)),
    **dict.fromkeys(range(192, 194), (192, 379)),
}


def test_all_probed_rows_of_unet() -> None:
    graph = cnnc.load(SPECS / "unet.cnn").graph
    (output,) = graph.outputs.values()
    axis = field_at(graph, graph.nodes[output].name).axes[0]
    assert {i: axis.at(i) for i in UNET_ROWS} == UNET_ROWS
    assert sorted(set(axis.sizes)) == [188, 204]
