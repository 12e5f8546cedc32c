"""Max-unpooling: values put back where a max-pool took its own from."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any

from cnnc.compiler.ops import base, fields, geometry
from cnnc.compiler.ops.base import OpError, Shape, Sides, Sizes, Weightless, Window
from cnnc.compiler.ops.model import BeforeValidator, Field, ValidationInfo
from cnnc.compiler.ops.pooling import MaxPool
from cnnc.compiler.sizes import same


def _pool(info: ValidationInfo) -> MaxPool:
    """The max-pool that `of` names."""
    maker = fields.place_of(info).makers.get("of")
    if maker is None:
        raise OpError("E302", "`unpool` needs the label of a max-pool", hint="for instance: unpool(of=pool1)")
    if not isinstance(maker, MaxPool):
        raise OpError("E303", f"`of` names a `{maker.kind}`; expected a max-pool", arg="of")
    if maker.dilation is not None:
        raise OpError("E307", "`of` names a max-pool with a dilation", arg="of")
    if any(before != after for before, after in maker.pad):
        raise OpError("E307", "`of` names a max-pool that is not padded alike on both sides", arg="of")
    return maker


def _alike(value: Any, name: str, own: Any) -> Any:
    """What the pool says; what the text says must be the same."""
    if value is not None and value != own:
        raise OpError(
            "E307", f"`{name}` is {base.show(value)}; expected the pool's (={base.show(own)})", arg=name,
            hint=f"leave `{name}` out: it is the pool's",
        )  # fmt: skip
    return own


def _of_pool(value: Any, info: ValidationInfo) -> Any:
    name, pool = info.field_name, _pool(info)
    if isinstance(value, int | tuple) and not isinstance(value, bool):
        rank = fields.place_of(info).rank
        value = fields.sides(value, name, rank) if name == "pad" else fields.per_axis(value, info, 1)
    return _alike(value, name, getattr(pool, name))


PoolAxes = Annotated[tuple[int, ...], BeforeValidator(_of_pool)]
PoolPad = Annotated[tuple[Sides, ...], BeforeValidator(_of_pool)]
PoolFlag = Annotated[bool, BeforeValidator(_of_pool)]


@base.op
class Unpool(Weightless):
    """Every value put back to the place that the max-pool `of` took its own from, zeros elsewhere.

    Zeiler and Fergus 2014, section 2.1: the pool's switches. Where windows overlap and
    two values go to one place, they add. The kernel, stride and padding are the pool's.
    """

    kind = "unpool"
    family = "pooling"
    example = "unpool(of=pool1)"
    ranks = (1, 2, 3)
    tensors = MappingProxyType({"of": "input"})

    kernel: PoolAxes = Field(None, validate_default=True)
    stride: PoolAxes = Field(None, validate_default=True)
    pad: PoolPad = Field(None, validate_default=True)
    ceil: PoolFlag = Field(None, validate_default=True)

    def out_shape(self, *ins: Shape) -> Shape:
        ones = (1,) * len(self.kernel)
        below = ins[1]
        pooled = (below[0], *geometry.slide(below, self.kernel, self.stride, self.pad, ones, ceil=self.ceil))
        if not same(ins[0], pooled):
            raise OpError(
                "E405", f"the input is {base.show(Sizes(ins[0]))}, and the pool gave {base.show(Sizes(pooled))}",
                arg="of",
            )  # fmt: skip
        return below

    def window(self, *ins: Shape) -> Window:
        return geometry.transposed(self.kernel, self.stride, self.pad, (1,) * len(self.kernel))

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        """Of what flowed into the pool only the places of the largest count, which have no gradient."""
        return (self.window(*ins), None)
