"""A backend that leaves an argument of a layer unread fails; one that reads all of them does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from graphs import graph_of

from cnnc.backends.pytorch import emitters as emitters  # registers them
from cnnc.backends.pytorch import layer as pytorch_layer
from cnnc.backends.pytorch import to_pytorch
from cnnc.compiler.expand import expand
from cnnc.compiler.ops import all_ops
from cnnc.compiler.ops.convolution import Conv
from cnnc.compiler.reading import written_whole
from cnnc.dsl.diagnostics import CnncError

GRAPH = graph_of("input 4x8x8\nconv3-8(groups=2, act=none)\n")
NODE = GRAPH.nodes[1]


def test_an_argument_that_is_not_read_is_an_error_at_its_layer() -> None:
    with pytest.raises(CnncError) as caught:
        written_whole("toy", NODE, lambda node: (node.op.kernel, node.op.width, node.op.stride, node.op.pad))
    (found,) = caught.value.diagnostics
    assert found.code == "E801" and found.span == NODE.span
    assert found.message == "the toy backend does not write `groups` (=2) of `conv`"


def test_what_a_method_of_the_op_reads_is_read_and_a_default_need_not_be() -> None:
    def write(node: Any) -> tuple[int, ...]:
        assert isinstance(node.op, Conv) and node.op.__class__ is Conv
        shape: tuple[int, ...] = node.op.out_shape((4, 8, 8))
        return (*shape, *node.op.stride, *node.op.dilation, node.op.groups)

    assert written_whole("toy", NODE, write) == (8, 8, 8, 1, 1, 1, 1, 2)


def test_an_emitter_that_forgets_an_argument_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    emission = pytorch_layer.emission_of(Conv)
    assert emission is not None

    def forgetful(layer: pytorch_layer.Layer) -> pytorch_layer.Code:
        return pytorch_layer.Module("nn.Conv2d", (layer.channels(), layer.arg("width"), layer.arg("kernel")))

    monkeypatch.setitem(pytorch_layer._EMISSIONS, Conv, replace(emission, emitter=forgetful))
    with pytest.raises(CnncError, match="the PyTorch backend does not write `pad`"):
        to_pytorch(GRAPH)


def test_a_table_of_connections_writes_the_width() -> None:
    graph = graph_of("input 6x14x14\nconv5-16(pad=valid, table=lenet5_c3, act=none)\n")
    source = to_pytorch(graph)
    made: dict[str, Any] = {"__name__": "net"}
    exec(source, made)
    assert made["Net"]()(torch.zeros(1, 6, 14, 14)).shape == (1, 16, 10, 10)


@pytest.mark.parametrize("op", [op for op in all_ops() if not op.internal], ids=lambda op: op.kind)
def test_the_text_backend_reads_every_argument_of_every_layer(op: Any) -> None:
    """`expand` writes all of them; its graph is the same network, which test_specs and test_properties hold."""
    size = {0: "8", 1: "4x16", 2: "4x16x16", 3: "4x8x8x8"}
    for rank in (2, 1, 3, 0):
        if rank in op.ranks:
            try:
                graph = graph_of(f"input {size[rank]}\n{op.example}\n")
            except CnncError:
                continue  # the example needs another size, or something to refer to
            assert expand(graph)
            return
