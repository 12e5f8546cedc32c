"""Layers that act in training only."""

from __future__ import annotations

from abc import ABC

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import SameShape


class _Drop(SameShape, ABC):
    family = "regularisation"
    transparent = True


@base.op
class Dropout(_Drop):
    """Each value is dropped with probability `p` in training (Hinton et al. 2012)."""

    kind = "dropout"
    is_view = True
    example = "dropout(0.5)"

    p: fields.Probability = 0.5


@base.op
class SpatialDropout(_Drop):
    """Each whole map is dropped with probability `p` in training (Tompson et al. 2015, section 3.2)."""

    kind = "spatialdropout"
    is_view = True
    example = "spatialdropout(0.2)"
    ranks = (1, 2, 3)

    p: fields.Probability = 0.5


@base.op
class DropPath(_Drop):
    """Stochastic depth: in training all of an image's values are dropped together (Huang et al. 2016).

    The probability is `p`; what stays is divided by 1 - p. It ends a residual branch.
    """

    kind = "droppath"
    is_view = True
    example = "droppath(0.1)"
    aliases = ("stochasticdepth",)

    p: fields.Probability = 0.1
