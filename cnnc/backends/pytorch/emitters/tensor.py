"""Tensors of a module's own in PyTorch."""

from __future__ import annotations

from math import prod

from cnnc.backends.pytorch.emitters.shared import init_call
from cnnc.backends.pytorch.layer import Code, Layer, Module, emits
from cnnc.compiler.ops.tensor import Tensor


@emits(Tensor)
def tensor(layer: Layer) -> Code:
    sizes = layer.items("shape", "size")
    made, around = _start(layer.op)
    kept = f"nn.Parameter({around})" if layer.op.learn else around
    return Module(made, sizes, around=kept, kept="parameter" if layer.op.learn else "buffer")


def _start(op: Tensor) -> tuple[str, str]:
    """The function that makes a tensor of some sizes, and what is written around it."""
    values = op.value or (0.0,)
    if op.init is not None:
        if op.init.rule != "constant":
            return "torch.empty", init_call(op.init)
        values = op.init.numbers
    if len(values) > 1:
        row = f"torch.tensor([{', '.join(map(repr, values))}])"
        if len(values) < prod(op.shape):  # one for each channel
            ones = ", ".join(["-1", *["1"] * (len(op.shape) - 1)])
            return f"{row}.view({ones}).expand", "{}.clone()"
        return f"{row}.view", "{}"
    named = {0.0: "torch.zeros", 1.0: "torch.ones"}.get(values[0])
    return (named, "{}") if named is not None else ("torch.ones", f"{{}} * {values[0]!r}")
