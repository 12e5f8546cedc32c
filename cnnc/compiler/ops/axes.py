"""Axes by their letters: `C`, then `W`, `H W` or `D H W` by the number of spatial axes."""

from __future__ import annotations

from typing import Annotated, Any

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import OpError, Shape
from cnnc.compiler.ops.model import PlainValidator, ValidationInfo

LETTERS = {0: "C", 1: "CW", 2: "CHW", 3: "CDHW"}
"""The letters of the axes in their order, by the number of spatial axes."""


def letters_of(shape: Shape) -> str:
    """The letters of a shape's axes.

    >>> letters_of((64, 56, 56))
    'CHW'
    """
    return LETTERS[len(shape) - 1]


def places(axes: tuple[str, ...], shape: Shape) -> tuple[int, ...]:
    """Where the axes stand in a shape, channels first."""
    return tuple(letters_of(shape).index(axis) for axis in axes)


def read(value: Any, name: str, shape: Shape) -> tuple[str, ...]:
    """One letter or a tuple of them, in the order of the shape's axes. Raises OpError."""
    known = letters_of(shape)
    given = value if isinstance(value, tuple) and value else (value,)
    for letter in given:
        if not isinstance(letter, str) or letter not in tuple(known):
            wanted = ", ".join(known[:-1]) + (" or " if known[1:] else "") + known[-1]
            raise OpError("E303", f"`{name}` is {base.show(value)}; expected {wanted}", arg=name)
    if len(set(given)) < len(given):
        raise OpError("E303", f"`{name}` is {base.show(value)}, and has an axis twice", arg=name)
    return tuple(sorted(given, key=known.index))


def _axes(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    return read(value, info.field_name, fields.place_of(info).ins[0])


def _axis(value: Any, info: ValidationInfo) -> str:
    (axis, *more) = _axes(value, info)
    if more:
        name = info.field_name
        raise OpError("E303", f"`{name}` is {base.show(value)}; expected one axis", arg=name)
    return axis


Axes = Annotated[tuple[str, ...], PlainValidator(_axes)]
OneAxis = Annotated[str, PlainValidator(_axis)]
