"""Tensors of the network's own: learnt or fixed, the same for every image."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import Op, OpError, Pointwise, Shape, Weightless, Window, by_x, show
from cnnc.compiler.ops.initial import Init, rule_of
from cnnc.compiler.ops.model import PlainValidator, ValidationInfo
from cnnc.compiler.sizes import is_free


def _shape(value: Any, info: ValidationInfo) -> Shape:
    """Channels, then the size of each axis."""
    if isinstance(value, str) or not value:
        wanted = "the channels, then a size for each axis"
        raise OpError("E303", f"`shape` is {show(value)}; expected {wanted}", arg="shape")
    value = value if isinstance(value, tuple) else (value,)
    sizes = tuple(fields.as_int(n, "shape", 1) for n in value)
    if len(sizes) > 4:
        raise OpError(
            "E401",
            f"`{by_x(sizes)}` has {len(sizes)} sizes; a map has channels and up to 3 axes",
            arg="shape",
        )
    free = next((n for n in sizes if is_free(n)), None)
    if free is not None:
        raise OpError(
            "E407", f"`tensor` has {by_x(sizes)} values, and the size {free} is free", arg="shape",
            hint="give the size with --input, or a size of 1, which `&` stretches",
        )  # fmt: skip
    return sizes


def _init(value: Any, info: ValidationInfo) -> Init | None:
    init = rule_of(value, info)
    if init is not None and init.has_fan:
        raise OpError("E303", f"`init` is {init}, and a tensor has no fan", arg="init")
    return init


def _value(value: Any, info: ValidationInfo) -> tuple[float, ...] | None:
    """A number, one for each channel, or one for each value in order; as a tuple."""
    if value is None:
        return None
    if isinstance(value, str):
        wanted = "a number, or one for each channel or value in ( )"
        raise OpError("E303", f"`value` is {value}; expected {wanted}", arg="value")
    numbers = tuple(fields.real(v, "value") for v in (value if isinstance(value, tuple) else (value,)))
    shape: Shape = info.data.get("shape", ())
    counts = sorted({1, shape[0], prod(shape)})
    if len(numbers) not in counts:
        wanted = " or ".join(map(str, counts))
        raise OpError(
            "E303", f"`value` (={show(value)}) has {len(numbers)} numbers, and {wanted} are expected for "
            f"{by_x(shape)}", arg="value",
        )  # fmt: skip
    return numbers


@base.op
class Tensor(Op):
    """A learnt tensor of its own, channels first, the same for every image; it stands at the head of a chain.

    Its label is its key in the state dict: `[id + positions: tensor(768, 197, init=normal(0.02))]` (positions
    of a transformer, Vaswani et al. 2017, section 3.5), `[path & layer_scale: tensor(C, 1, 1, init=1e-6)]`
    (Touvron et al. 2021). It starts at 0 unless `init` says how, or `value` gives the numbers: one, one for
    each channel, or one for each value in order. `learn=no` keeps it as it starts, as a buffer.
    """

    kind = "tensor"
    family = "input"
    example = "[id & gain: tensor(64, 1, 1, init=1)]"
    rest = "shape"
    source = True

    shape: Annotated[Shape, PlainValidator(_shape)]
    init: Annotated[Init | None, PlainValidator(_init)] = None
    learn: fields.Flag = True
    value: Annotated[tuple[float, ...] | None, PlainValidator(_value)] = None

    def out_shape(self, *ins: Shape) -> Shape:
        if self.init is not None and self.value is not None:
            raise OpError("E307", "`init` and `value` both say how the tensor starts", arg="value")
        return self.shape

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"": self.shape} if self.learn else {}

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {} if self.learn else {"": self.shape}

    def macs(self, *ins: Shape) -> int:
        return 0

    def window(self, *ins: Shape) -> Window:
        return Pointwise()


@base.op
class Weight(Weightless):
    """The weight of a labelled layer as a tensor, channels first as PyTorch keeps it: `weight(label)`."""

    kind = "weight"
    family = "input"
    example = "weight(label)"
    source = True
    internal = True

    shape: Annotated[Shape, PlainValidator(lambda value, info: tuple(value))]

    def out_shape(self, *ins: Shape) -> Shape:
        return self.shape

    def window(self, *ins: Shape) -> Window:
        return Pointwise()
