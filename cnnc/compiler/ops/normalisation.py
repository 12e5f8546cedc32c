"""Normalisation."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Annotated, Any

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.axes import Axes, letters_of, places
from cnnc.compiler.ops.base import OpError, PositionWise, SameShape, Shape, WordSlots
from cnnc.compiler.ops.model import Field, PlainValidator, ValidationInfo


class _Norm(PositionWise, ABC):
    """A norm keeps the shape; its statistics are no part of what a position sees (docs/language.md, Conventions)."""

    family = "normalisation"
    positional = 0
    takes_linear = True


def _gain_and_shift(affine: bool, shape: Shape, bias: bool = True) -> Mapping[str, Shape]:
    if not affine:
        return {}
    return {"weight": shape, "bias": shape} if bias else {"weight": shape}


def _normed(value: Any, info: ValidationInfo) -> str:
    """`C`, or `all`; `channels` is what C was called before."""
    if value in ("C", "channels"):
        return "C"
    letters = tuple(letters_of(fields.place_of(info).ins[0]))
    if value == "all" or (isinstance(value, tuple) and tuple(sorted(value)) == tuple(sorted(letters))):
        return "all"
    raise OpError("E303", f"`axis` is {base.show(value)}; expected C or all", arg="axis")


@base.op
class BatchNorm(_Norm):
    """Batch normalisation over each channel (Ioffe and Szegedy 2015).

    gamma and beta are parameters, the running mean and variance are state.
    """

    kind = "bn"
    example = "bn(eps=1e-3)"
    aliases = ("batchnorm",)

    eps: fields.PositiveReal = 1e-5
    momentum: fields.Share = 0.1
    affine: fields.Flag = True

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return _gain_and_shift(self.affine, (ins[0][0],))

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"running_mean": (ins[0][0],), "running_var": (ins[0][0],), base.COUNTER: ()}


@base.op
class GroupNorm(_Norm):
    """Each image over `groups` groups of channels and all positions (Wu and He 2018)."""

    kind = "gn"
    example = "gn(4)"
    positional = 1
    aliases = ("groupnorm",)

    groups: fields.Positive = 32
    eps: fields.PositiveReal = 1e-5
    affine: fields.Flag = True
    bias: fields.Flag = True

    def out_shape(self, *ins: Shape) -> Shape:
        if ins[0][0] % self.groups:
            raise OpError(
                "E402", f"`groups` (={self.groups}) must divide the channels (={ins[0][0]})", arg="groups"
            )
        return ins[0]

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return _gain_and_shift(self.affine, (ins[0][0],), self.bias)


@base.op
class LayerNorm(_Norm):
    """Each image over its channels at each position, or with `axis=all` over the whole map (Ba et al. 2016).

    The gain and shift have the shape that is normalised: one for each channel,
    or with `axis=all` one for each value, as in the paper. `bias=no` leaves the shift out.
    """

    kind = "ln"
    example = "ln(axis=all)"
    aliases = ("layernorm",)
    letters = ("axis",)
    former = MappingProxyType({"over": "axis"})

    eps: fields.PositiveReal = 1e-5
    axis: Annotated[str, PlainValidator(_normed)] = "C"
    affine: fields.Flag = True
    bias: fields.Flag = True

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return _gain_and_shift(self.affine, ins[0] if self.axis == "all" else (ins[0][0],), self.bias)


@base.op
class InstanceNorm(_Norm):
    """Each map of each image over its positions (Ulyanov et al. 2016); it learns nothing unless `affine=yes`."""

    kind = "instancenorm"
    example = "instancenorm"
    aliases = ("inorm",)
    ranks = (1, 2, 3)

    eps: fields.PositiveReal = 1e-5
    affine: fields.Flag = False

    def out_shape(self, *ins: Shape) -> Shape:
        if prod(ins[0][1:]) < 2:
            raise OpError(
                "E408", "a map of one position has no spread to normalise by", hint="use ln or gn here"
            )
        return ins[0]

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return _gain_and_shift(self.affine, (ins[0][0],))


@base.op
class LocalResponseNorm(SameShape):
    """Local response normalisation between maps (Krizhevsky et al. 2012, section 3.3).

    x / (k + alpha/n * sum of squares over n neighbours)^beta. The neighbours are
    `size` maps at the same position; with `within=yes` a window of `size` positions
    on each axis of the same map, as in the local contrast normalisation of Zeiler
    and Fergus 2014; then n is the number of positions, beyond the border too.
    """

    kind = "lrn"
    family = "normalisation"
    example = "lrn5(k=2)"
    word = WordSlots(size="size")
    positional = 1
    ranks = (1, 2, 3)

    size: fields.Positive = 5
    alpha: fields.NaturalReal = 1e-4
    beta: fields.Real = 0.75
    k: fields.NaturalReal = 1.0
    within: fields.Flag = False

    def out_shape(self, *ins: Shape) -> Shape:
        if self.within and self.size % 2 == 0:
            raise OpError("E303", f"`size` (={self.size}) must be odd within a map", arg="size")
        if self.k == self.alpha == 0:
            raise OpError("E303", "`k` and `alpha` are both 0, and nothing is left to divide by", arg="k")
        return ins[0]


@base.op
class Scale(_Norm):
    """x * gamma with a learnt gamma, `start` at first, and with `bias=yes` + beta.

    One gamma for each channel, or with `each=one` a single one, with `each=position` one for each value.
    Layer scale (Touvron et al. 2021, section 2) is `scale(1e-6)`, ReZero (Bachlechner et al. 2020)
    `scale(0, each=one)`.
    """

    kind = "scale"
    example = "scale(1e-6)"
    positional = 1
    takes_linear = False
    transparent = True

    start: fields.Real = 1.0
    bias: fields.Flag = False
    each: fields.Each = "channel"

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return _gain_and_shift(True, fields.for_each(self.each, ins[0]), self.bias)


@base.op
class GlobalResponseNorm(_Norm):
    """x + beta + gamma * x * n, n the length of a map over the mean length of all maps (Woo et al. 2023, eq. 1-3).

    It stands behind an activation, in ConvNeXt v2 between the two pointwise layers. gamma
    and beta begin at 0.
    """

    kind = "grn"
    example = "grn"
    ranks = (1, 2, 3)
    takes_linear = False

    eps: fields.PositiveReal = 1e-6

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return _gain_and_shift(True, (ins[0][0],))


@base.op
class RMSNorm(_Norm):
    """x * gamma / root of the mean of squares over the channels, at each position (Zhang and Sennrich 2019)."""

    kind = "rmsnorm"
    example = "rmsnorm"

    eps: fields.PositiveReal = 1e-6
    affine: fields.Flag = True

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return _gain_and_shift(self.affine, (ins[0][0],), bias=False)


@base.op
class L2Norm(SameShape):
    """x over its length along the channels, or along `axis`; `eps` is the least length that divides.

    With a learnt factor, `l2norm -> scale(20)`, it is that of SSD and ParseNet (Liu et al. 2015, section 3.3).
    """

    kind = "l2norm"
    family = "normalisation"
    example = "l2norm"
    letters = ("axis",)

    axis: Axes = Field("C", validate_default=True)
    eps: fields.PositiveReal = 1e-12

    def dims(self, shape: Shape) -> tuple[int, ...]:
        """Where the axes stand in a shape."""
        return places(self.axis, shape)


@base.op
class EvoNorm(_Norm):
    """A norm with its own activation, found by search (Liu et al. 2020, Table 1).

    s0: x * sigmoid(v*x) over the standard deviation of `groups` groups. b0: x over the larger of the batch's
    standard deviation and v*x + the map's own. Both * gamma + beta. Write it with `act=none`.
    """

    kind = "evonorm"
    example = "evonorm(groups=8)"
    ranks = (1, 2, 3)

    form: Annotated[str, fields.word("s0", "b0")] = "s0"
    groups: fields.Positive = 32
    eps: fields.PositiveReal = 1e-5

    def out_shape(self, *ins: Shape) -> Shape:
        if self.form == "b0" and self.groups != 32:
            raise OpError("E307", "`groups` has no effect with form=b0", arg="groups")
        if self.form == "s0" and ins[0][0] % self.groups:
            raise OpError(
                "E402", f"`groups` (={self.groups}) must divide the channels (={ins[0][0]})", arg="groups"
            )
        return ins[0]

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {**_gain_and_shift(True, ins[0][:1]), "v": ins[0][:1]}

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"running_var": ins[0][:1]} if self.form == "b0" else {}
