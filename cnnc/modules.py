"""PyTorch modules as nets: `cnnc.from_module`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnc.dsl.diagnostics import fail
from cnnc.net import Net

if TYPE_CHECKING:
    import torch


def from_module(
    module: torch.nn.Module, example_inputs: torch.Tensor | Sequence[torch.Tensor], *, extern: bool = False
) -> Net:
    """The net that a PyTorch module is, layer by layer, under the module's own keys.

    `example_inputs` is what the module is called with, each tensor with a batch as its first axis; only shapes are
    used. The module runs twice on zeros. Raises CnncError (E805) where the language lacks an operator, with its
    place, and what the module's own code raises. With `extern` an operator that the language lacks is an extern of
    the module that it is in, where that has a class that can be imported and made again from its attributes.
    """
    from cnnc.importer.importing import flat_spec
    from cnnc.importer.torch_build import TheirError
    from cnnc.importer.torch_trace import trace_with_heads

    given = [example_inputs] if hasattr(example_inputs, "shape") else list(example_inputs)
    shapes = [tuple(map(int, tensor.shape)) for tensor in given]
    for shape in shapes:
        if len(shape) < 2:
            raise fail("E303", f"an example input of shape {shape} has no batch", hint="a batch of 1 will do")
    name = type(module).__name__
    try:
        traced = trace_with_heads(module, [shape[1:] for shape in shapes], name, f"imported from {name}")
    except TheirError as error:
        raise error.error from None
    return Net(flat_spec(traced, extern=extern).graph)
