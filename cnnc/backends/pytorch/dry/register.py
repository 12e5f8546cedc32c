"""Where the functions of the dry torch are listed, and autocast's choice of a dtype for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cnnc.backends.pytorch.dry.autograd import done, start
from cnnc.backends.pytorch.dry.ledger import STATE
from cnnc.backends.pytorch.dry.tensor import DType, Parameter, Tensor, float32, new

TORCH: dict[str, Any] = {}
"""The functions of `torch`."""
FUNCTIONAL: dict[str, Any] = {}
"""The functions of `torch.nn.functional`."""

_F = TypeVar("_F", bound=Callable[..., Any])


def function(
    *names: str, torch: bool = True, method: bool = False, functional: bool = False
) -> Callable[[_F], _F]:
    """Make a function known under names: of `torch`, of tensors, of `torch.nn.functional`."""

    def register(f: _F) -> _F:
        for name in names or (f.__name__,):
            if torch:
                TORCH[name] = f
            if functional:
                FUNCTIONAL[name] = f
            if method:
                setattr(Tensor, name, f)
        return f

    return register


def cast(tensor: Tensor, dtype: DType) -> Tensor:
    """A tensor in another dtype; itself where it has that."""
    if tensor.dtype is dtype:
        return tensor
    if dtype.is_float and tensor.dtype.is_float:
        node = start((tensor,), lambda node, gs: [gs[0] and new(gs[0].shape, node.shapes[0][1])])
        return done(node, new(tensor.shape, dtype))
    return new(tensor.shape, dtype)


def lowered(tensor: Tensor) -> Tensor:
    """What autocast makes of an operand of a matrix product; a parameter is cast once."""
    amp = STATE.amp
    if amp is None or not tensor.dtype.is_float or tensor.dtype is amp:
        return tensor
    if STATE.cast is None or not isinstance(tensor, Parameter) or tensor.dtype is not float32:
        return cast(tensor, amp)
    held = STATE.cast.get(id(tensor))
    if held is None:
        held = STATE.cast[id(tensor)] = cast(tensor, amp)
    copy: Tensor = held
    return copy


def lowered_all(tensors: Iterable[Tensor | None]) -> list[Any]:
    return [None if t is None else lowered(t) for t in tensors]


def raised(tensor: Tensor) -> Tensor:
    """What autocast makes of an operand where half precision would not do."""
    return cast(tensor, float32) if STATE.amp is not None and tensor.dtype.is_float else tensor


def methods(**found: Any) -> None:
    """Give tensors methods and properties."""
    for name, method in found.items():
        setattr(Tensor, name, method)
