"""Normalisation."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Annotated

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import OpError, PositionWise, SameShape, Shape, WordSlots


class _Norm(PositionWise, ABC):
    """A norm keeps the shape; its statistics are no part of what a position sees (DESIGN 1.4)."""

    family = "normalisation"
    positional = 0
    takes_linear = True


def _gain_and_shift(affine: bool, shape: Shape) -> Mapping[str, Shape]:
    return {"weight": shape, "bias": shape} if affine else {}


@base.op
class BatchNorm(_Norm):
    """Batch normalisation over each channel (Ioffe and Szegedy 2015).

    gamma and beta are parameters, the running mean and variance are state.
    """

    kind = "bn"
    example = "bn(eps=1e-3)"
    aliases = ("batchnorm",)

    eps: base.PositiveReal = 1e-5
    momentum: base.Share = 0.1
    affine: base.Flag = True

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

    groups: base.Positive = 32
    eps: base.PositiveReal = 1e-5
    affine: base.Flag = True

    def out_shape(self, *ins: Shape) -> Shape:
        if ins[0][0] % self.groups:
            raise OpError(
                "E402", f"`groups` (={self.groups}) must divide the channels (={ins[0][0]})", arg="groups"
            )
        return ins[0]

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return _gain_and_shift(self.affine, (ins[0][0],))


@base.op
class LayerNorm(_Norm):
    """Each image over its channels at each position, or with `over=all` over the whole map (Ba et al. 2016).

    The gain and shift have the shape that is normalised: one for each channel,
    or with `over=all` one for each value, as in the paper.
    """

    kind = "ln"
    example = "ln(over=all)"
    aliases = ("layernorm",)

    eps: base.PositiveReal = 1e-5
    over: Annotated[str, base.word("channels", "all")] = "channels"
    affine: base.Flag = True

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return _gain_and_shift(self.affine, ins[0] if self.over == "all" else (ins[0][0],))


@base.op
class InstanceNorm(_Norm):
    """Each map of each image over its positions (Ulyanov et al. 2016); it learns nothing unless `affine=yes`."""

    kind = "instancenorm"
    example = "instancenorm"
    aliases = ("inorm",)
    ranks = (1, 2, 3)

    eps: base.PositiveReal = 1e-5
    affine: base.Flag = False

    def out_shape(self, *ins: Shape) -> Shape:
        if all(n == 1 for n in ins[0][1:]):
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

    size: base.Positive = 5
    alpha: base.NaturalReal = 1e-4
    beta: base.Real = 0.75
    k: base.NaturalReal = 1.0
    within: base.Flag = False

    def out_shape(self, *ins: Shape) -> Shape:
        if self.within and self.size % 2 == 0:
            raise OpError("E303", f"`size` (={self.size}) must be odd within a map", arg="size")
        if self.k == self.alpha == 0:
            raise OpError("E303", "`k` and `alpha` are both 0, and nothing is left to divide by", arg="k")
        return ins[0]


@base.op
class Scale(_Norm):
    """x * gamma with a learnt gamma for each channel, `start` at first, and with `bias=yes` + beta.

    Layer scale (Touvron et al. 2021, section 2) is `scale(1e-6)`.
    """

    kind = "scale"
    example = "scale(1e-6)"
    positional = 1
    takes_linear = False

    start: base.Real = 1.0
    bias: base.Flag = False

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        channels = (ins[0][0],)
        return {"weight": channels, "bias": channels} if self.bias else {"weight": channels}
