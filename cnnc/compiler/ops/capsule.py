"""Capsules: vectors of `dim` neighbouring channels (Sabour, Frosst and Hinton 2017).

A map of C channels holds C/dim capsules at each position, a vector of n features n/dim.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from math import prod

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import Op, OpError, Pointwise, Shape, Weightless, Whole, Window, WordSlots


def _capsules(channels: int, dim: int, name: str) -> int:
    """The number of capsules in so many channels."""
    if channels % dim:
        raise OpError("E402", f"`{name}` (={dim}) must divide the channels (={channels})", arg=name)
    return channels // dim


class _Each(Weightless, ABC):
    """Something done to each capsule of `dim` channels."""

    dim: fields.Positive

    def window(self, *ins: Shape) -> Window:
        return Pointwise()


@base.op
class Squash(_Each):
    """Each capsule made shorter than 1: |s|^2/(1 + |s|^2) * s/|s| (Sabour et al. 2017, eq. 1)."""

    kind = "squash"
    family = "activation"
    example = "squash(8)"
    takes_linear = True

    def out_shape(self, *ins: Shape) -> Shape:
        _capsules(ins[0][0], self.dim, "dim")
        return ins[0]


@base.op
class CapsuleLength(_Each):
    """The length of each capsule: what the class probabilities are."""

    kind = "capslength"
    family = "head"
    example = "capslength(8)"

    def out_shape(self, *ins: Shape) -> Shape:
        return (_capsules(ins[0][0], self.dim, "dim"), *ins[0][1:])


@base.op
class CapsuleMask(_Each):
    """All capsules but the longest at each position made 0 (Sabour et al. 2017, section 4.1)."""

    kind = "capsmask"
    family = "head"
    example = "capsmask(8)"

    def out_shape(self, *ins: Shape) -> Shape:
        _capsules(ins[0][0], self.dim, "dim")
        return ins[0]


@base.op
class Capsules(Op):
    """`count` capsules of `dim`, fed by all capsules of `of` channels below through routing by agreement.

    Sabour et al. 2017, section 2 and Procedure 1, with `routing` iterations. The
    matrices from each capsule to each are the parameters, and count as the
    multiply-adds of a fully-connected layer; the routing counts none.
    """

    kind = "capsule"
    family = "head"
    example = "capsule10-16(of=8)"
    word = WordSlots(size="count", width="dim")
    positional = 0
    weighted = True

    count: fields.Positive
    dim: fields.Positive
    of: fields.Positive = 8
    routing: fields.Positive = 3

    def below(self, shape: Shape) -> int:
        """The number of capsules that flow in."""
        return _capsules(shape[0], self.of, "of") * prod(shape[1:])

    def out_shape(self, *ins: Shape) -> Shape:
        self.below(ins[0])
        return (self.count * self.dim,)

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"weight": (self.below(ins[0]), self.count, self.dim, self.of)}

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def macs(self, *ins: Shape) -> int:
        return self.below(ins[0]) * self.count * self.dim * self.of

    def window(self, *ins: Shape) -> Window:
        return Whole()
