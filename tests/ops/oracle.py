"""The running module as oracle: what the analysis says of a layer must be what PyTorch does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from graphs import graph_on
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cnnc.backends.pytorch.layer import emission_of
from cnnc.backends.pytorch.write import to_pytorch
from cnnc.compiler.graph import Graph, Node, key_of
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.dsl.syntax import Spec

BATCH = 2


@dataclass(frozen=True)
class Built:
    """A spec, its graph, and the module that was compiled from it."""

    graph: Graph
    source: str
    module: nn.Module


def spec_of(shape: tuple[int, ...], layers: str) -> Spec:
    return parse(Source("net.cnn", f"input {'x'.join(map(str, shape))}\n{layers}"))


def refused(shape: tuple[int, ...], layers: str) -> CnncError | None:
    """What the analysis has against some layers."""
    try:
        graph_on(shape, layers)
    except CnncError as error:
        return error
    return None


def compiled(graph: Graph) -> Built:
    source = to_pytorch(graph)
    space: dict[str, Any] = {"__name__": "compiled"}
    exec(compile(source, "net.py", "exec"), space)
    torch.manual_seed(0)
    return Built(graph, source, space["Net"]())


def declared(graph: Graph) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, tuple[int, ...]]]:
    """The shapes of all parameters and of all state by the analysis, under their keys."""
    params: dict[str, tuple[int, ...]] = {}
    state: dict[str, tuple[int, ...]] = {}
    for node in graph.nodes:
        if node.again is not None:  # its tensors are those of another
            continue
        ins = graph.ins(node)
        params |= {key_of(node.module, key): shape for key, shape in node.op.params(*ins).items()}
        state |= {key_of(node.module, key): shape for key, shape in node.op.state(*ins).items()}
    return params, state


def check(shape: tuple[int, ...], layers: str) -> Built:
    """Hold the analysis of some layers against the module compiled from them."""
    graph = graph_on(shape, layers)
    graph.lint()
    built = compiled(graph)
    module = built.module
    x = torch.rand(BATCH, *shape) + 0.1
    module.train()
    assert tuple(module(x).shape) == (BATCH, *_out(graph)), layers
    module.eval()
    params, state = declared(graph)
    assert {k: tuple(v.shape) for k, v in module.named_parameters()} == dict(params), layers
    buffers = {k: tuple(v.shape) for k, v in module.state_dict().items() if k not in params}
    assert buffers == dict(state), layers
    counter = FlopCounterMode(display=False)
    module.requires_grad_(False)  # the counter's hooks take no views of parameters that need gradients
    with unfused(), counter, torch.no_grad():
        y = module(x)
    module.requires_grad_(True)
    assert tuple(y.shape) == (BATCH, *_out(graph)), layers
    if all(_is_counted(node) for node in graph.layers):
        macs = sum(node.op.macs(*graph.ins(node)) for node in graph.layers)
        assert counter.get_total_flops() == 2 * macs * BATCH, layers
    return built


@contextmanager
def unfused() -> Iterator[None]:
    """Attention and recurrent layers product by product: what PyTorch runs as one kernel it does not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of another setting that is set along with this one
        with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield


def _is_counted(node: Node) -> bool:
    """Whether PyTorch's counter counts what our convention counts: see `macs` of the others in their tests."""
    if node.again is not None and node.op.source:
        return True
    emission = emission_of(type(node.op))
    assert emission is not None
    return emission.counted(node.op)


def _out(graph: Graph) -> tuple[int, ...]:
    return graph.nodes[graph.outputs["output"]].out
