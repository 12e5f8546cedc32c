"""Somebody's own module in PyTorch: imported from its package and called with its arguments."""

from __future__ import annotations

import keyword
import sys
from fractions import Fraction

from cnnc.backends.pytorch.layer import Argument, Code, Layer, Module, Raw, Val, cannot, emits
from cnnc.backends.pytorch.names import quote
from cnnc.compiler.ops import Sizes
from cnnc.compiler.ops.extern import Extern


@emits(Extern)
def extern(layer: Layer) -> Code:
    package, _, name = layer.op.target.rpartition(":")
    if package.partition(".")[0] in sys.stdlib_module_names:
        raise cannot(layer, f"`{layer.op.target}`: `{package}` belongs to Python, and has no layers")
    arguments = {key: _argument(layer, key, value) for key, value in layer.op.arguments}
    return Module(name, kwargs=arguments, imports=(f"from {package} import {name}",))


def _argument(layer: Layer, key: str, value: object) -> Argument:
    if keyword.iskeyword(key):
        raise cannot(layer, f"the argument `{key}` of an extern: it is a keyword of Python")
    if isinstance(value, str):
        return Raw(quote(value))
    if isinstance(value, Fraction):
        return Val(float(value))
    if isinstance(value, Sizes):
        return Val(tuple(value))
    if isinstance(value, bool | int | tuple):
        return Val(value)
    raise cannot(layer, f"the argument `{key}` of an extern: it is {value}")
