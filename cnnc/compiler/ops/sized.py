"""What layers share that bring a map to a given size, or to that of another tensor."""

from __future__ import annotations

from abc import ABC
from types import MappingProxyType
from typing import Any

from cnnc.compiler.ops import fields
from cnnc.compiler.ops.base import OpError, Shape, Weightless, Window
from cnnc.compiler.ops.model import BeforeValidator, ValidationInfo


def or_tensor(value: Any, info: ValidationInfo, needs: str, *, hint: str) -> None:
    """Raises OpError unless one of an argument and the tensor `to` is given, and not both."""
    if (value is not None) == ("to" in fields.place_of(info).given):
        raise OpError("E302" if value is None else "E307", f"{needs} or a tensor `to`", hint=hint)


def size_or_tensor(kind: str) -> BeforeValidator:
    """The validator of a `size`, which is None where the tensor `to` brings it."""

    def read(value: Any, info: ValidationInfo) -> tuple[int, ...] | None:
        or_tensor(value, info, f"`{kind}` needs either a size", hint=f"{kind}(56), or {kind}(to=LABEL)")
        return None if value is None else fields.per_axis(value, info, 1)

    return BeforeValidator(read)


class Fitting(Weightless, ABC):
    """A layer that can bring a map to the size of the tensor `to`."""

    family = "reshape"
    ranks = (1, 2, 3)
    transparent = True
    tensors = MappingProxyType({"to": "output"})

    def target(self, *ins: Shape) -> tuple[int, ...]:
        """The sizes of the axes afterwards. Raises OpError where `to` has another number of axes."""
        if len(ins) == 2:
            if len(ins[1]) != len(ins[0]):
                raise OpError(
                    "E401", f"`to` has {len(ins[1]) - 1} axes, and the map has {len(ins[0]) - 1}", arg="to"
                )
            return ins[1][1:]
        size: tuple[int, ...] | None = getattr(self, "size", None)
        assert size is not None
        return size

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        return (self.window(*ins), *(None for _ in ins[1:]))


class Sized(Fitting, ABC):
    """A layer with the argument `size`, or the tensor `to` in its place."""

    size: tuple[int, ...] | None
