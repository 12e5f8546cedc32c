"""`shortcut`: the identity or a projection, whatever the size of the map happens to be."""

from __future__ import annotations

import pytest
from graphs import graph_of

from cnnc.dsl.diagnostics import CnncError

UNIT = "input 8x{0}x{0}\n[conv3-8/2 -> conv3-8 + shortcut{1}] -> relu -> gap -> fc-2\n"


@pytest.mark.parametrize("size", ["1", "2", "5", "H"])
def test_a_path_that_strides_is_projected_on_maps_of_size_1_too(size: str) -> None:
    """As published code does: the weights do not hang on the input's size."""
    text = UNIT.format(size, "").replace("HxH", "HxW")
    shortcuts = [node for node in graph_of(text).layers if node.name.startswith("shortcut1")]
    assert [(node.op.kind, node.op.params(node.out)["weight"][2:]) for node in shortcuts] == [
        ("conv", (1, 1))
    ]


@pytest.mark.parametrize("size", ["1", "5"])
def test_kind_same_is_no_branch_there(size: str) -> None:
    kinds = [node.op.kind for node in graph_of(UNIT.format(size, "(kind=same)")).layers]
    assert "add" not in kinds


def test_a_path_that_grows_the_map_back_takes_the_identity() -> None:
    text = "input 8x8x8\n[conv3-8/2 -> upsample(2) -> conv3-8 + shortcut] -> relu\n"
    assert not [node for node in graph_of(text).layers if node.name.startswith("shortcut")]


def test_a_layer_on_other_axes_has_no_part_in_the_stride() -> None:
    """A path that is reshaped to three axes of positions and back, as where branches are stacked and summed."""
    text = "input 4x8x8\n[conv3-8/2 -> reshape(2x4x4x4) -> conv1-2{} -> reshape({}) + shortcut]"
    nodes = {node.name: node for node in graph_of(text.format("", "8x4x4")).layers}
    assert nodes["shortcut1.0"].op.stride == (2, 2)
    with pytest.raises(CnncError, match="`shortcut` cannot make 4x8x8 fit 4x2x2"):
        graph_of(text.format("/2", "4x2x2"))
