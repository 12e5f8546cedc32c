"""`torch.nn.utils.parametrizations`: weights that are made of others each time they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnnc.backends.pytorch.dry.autograd import done, fresh, start
from cnnc.backends.pytorch.dry.modules import Module
from cnnc.backends.pytorch.dry.pointwise import div
from cnnc.backends.pytorch.dry.tensor import Parameter, Tensor, float32, new


def _made(module: Module, name: str, make: Callable[[], Tensor]) -> Module:
    """The module with a tensor that is made anew each time it is asked for."""
    del module._own[name], module.__dict__[name]
    made = type(type(module).__name__, (type(module),), {name: property(lambda self: make())})
    object.__setattr__(module, "__class__", made)
    return module


def weight_norm(module: Any, name: str = "weight", dim: int = 0) -> Any:
    """weight = gain * direction / |direction| (Salimans and Kingma 2016)."""
    direction = module._own[name]
    shape = [n if i == dim else 1 for i, n in enumerate(direction.shape)]
    gain = Parameter(new(shape, float32))

    def make() -> Tensor:
        node = start((direction, gain), fresh, (direction, gain))
        out = new(direction.shape, direction.dtype)
        return done(node, out, (new(gain.shape, float32),))

    _made(module, name, make)
    module._own |= {f"{name}_gain": gain, f"{name}_direction": direction}
    return module


def spectral_norm(module: Any, name: str = "weight", *args: Any, **kwargs: Any) -> Any:
    """weight over its largest singular value (Miyato et al. 2018)."""
    original = module._own[name]
    rows = original.shape[0]
    module.register_buffer("_u", new((rows,), float32))
    module.register_buffer("_v", new((original.shape.numel() // rows,), float32))

    def make() -> Tensor:
        largest = done(start((original,), fresh), new((), float32))
        return div(original, largest)

    _made(module, name, make)
    module._own[f"{name}_original"] = original
    return module
