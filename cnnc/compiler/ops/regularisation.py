"""Layers that act in training only."""

from __future__ import annotations

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import SameShape, WordSlots


@base.op
class Dropout(SameShape):
    """Each value is dropped with probability `p` in training (Hinton et al. 2012)."""

    kind = "dropout"
    family = "regularisation"
    example = "dropout(0.5)"
    transparent = True

    p: base.Probability = 0.5
