"""Arithmetic without weights in PyTorch: operators and functions, and modules for one number a channel."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Function, Layer, Module, Val, emits, kwargs
from cnnc.compiler.ops import Op
from cnnc.compiler.ops.arithmetic import (
    Abs,
    Clamp,
    Cos,
    Exp,
    Log,
    Noise,
    Normalize,
    Plus,
    Power,
    Sin,
    Times,
)
from cnnc.compiler.symbolic import Const

_FUNCTIONS: dict[type[Op], str] = {
    Exp: "torch.exp({0})", Log: "torch.log({0})", Abs: "torch.abs({0})", Sin: "torch.sin({0})",
    Cos: "torch.cos({0})", Noise: "torch.randn_like({0})",
}  # fmt: skip
_POWERS = {
    -1: "torch.reciprocal({0})",
    0.5: "torch.sqrt({0})",
    -0.5: "torch.rsqrt({0})",
    2: "torch.square({0})",
}


@emits(*_FUNCTIONS)
def function(layer: Layer) -> Code:
    return Function(_FUNCTIONS[layer.node.op.__class__])


def _is_written_out(layer: Layer, name: str) -> bool:
    """Whether an argument is a number of the text, and no parameter's."""
    return isinstance(layer.arg_syms.get(name, Const(0)), Const)


@emits(Times)
def times(layer: Layer) -> Code:
    if isinstance(layer.op.c, tuple):
        return Module("Affine", (Val(layer.op.c),), helper="Affine")
    if layer.op.c == -1 and _is_written_out(layer, "c"):
        return Function("-{0}")
    return Function("{0} * {c}", {"c": layer.arg("c")})


@emits(Plus)
def plus(layer: Layer) -> Code:
    if isinstance(layer.op.c, tuple):
        return Module("Affine", (), {"shift": Val(layer.op.c)}, helper="Affine")
    if layer.op.c < 0 and _is_written_out(layer, "c"):
        return Function("{0} - {c}", {"c": Val(-layer.op.c)})
    return Function("{0} + {c}", {"c": layer.arg("c")})


@emits(Power)
def power(layer: Layer) -> Code:
    if layer.op.p in _POWERS and _is_written_out(layer, "p"):
        return Function(_POWERS[layer.op.p])
    return Function("torch.pow({0}, {p})", {"p": layer.arg("p")})


@emits(Clamp)
def clamp(layer: Layer) -> Code:
    bounds = [name for name in ("low", "high") if getattr(layer.op, name) is not None]
    keys = {"low": "min", "high": "max"}
    given = ", ".join(f"{keys[name]}={{{name}}}" for name in bounds)
    return Function(f"torch.clamp({{0}}, {given})", {name: layer.arg(name) for name in bounds})


@emits(Normalize)
def normalize(layer: Layer) -> Code:
    options = kwargs(mean=(Val(layer.op.mean), None), std=(Val(layer.op.std), None))
    return Module("Normalize", (), options, helper="Normalize")
