"""Normalisation."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import Op, Pointwise, SameShape, Shape, Window, WordSlots


@base.op
class BatchNorm(Op):
    """Batch normalisation over each channel (Ioffe and Szegedy 2015).

    gamma and beta are parameters, the running mean and variance are state.
    """

    kind = "bn"
    family = "normalisation"
    example = "bn(eps=1e-3)"
    aliases = ("batchnorm",)
    takes_linear = True

    eps: base.Real = 1e-5
    momentum: base.Real = 0.1
    affine: base.Flag = True

    def out_shape(self, *ins: Shape) -> Shape:
        return ins[0]

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"weight": (ins[0][0],), "bias": (ins[0][0],)} if self.affine else {}

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"running_mean": (ins[0][0],), "running_var": (ins[0][0],), "num_batches_tracked": ()}

    def macs(self, *ins: Shape) -> int:
        return 0

    def window(self, *ins: Shape) -> Window:
        return Pointwise()


@base.op
class LocalResponseNorm(SameShape):
    """Local response normalisation between maps (Krizhevsky et al. 2012, section 3.3).

    x / (k + alpha/size * sum of squares over `size` neighbouring maps)^beta.
    """

    kind = "lrn"
    family = "normalisation"
    example = "lrn5(k=2)"
    word = WordSlots(size="size")
    ranks = (1, 2, 3)

    size: base.Positive = 5
    alpha: base.Real = 1e-4
    beta: base.Real = 0.75
    k: base.Real = 1.0
