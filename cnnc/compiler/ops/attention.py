"""Attention: each position looks at all positions."""

from __future__ import annotations

from math import prod
from types import MappingProxyType
from typing import Annotated, Any

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import OpError, Pointwise, Shape, Weightless, Whole, Window, by_x
from cnnc.compiler.ops.model import BeforeValidator, ValidationInfo


def _scale(value: Any, info: ValidationInfo) -> float | None:
    return None if value is None else fields.real(value, "scale")


@base.op
class Attend(Weightless):
    """softmax(scale * q^T k) v: for each position of q, a mean of v by how well its k fits (Vaswani et al. 2017, eq. 1).

    Each of `q`, `k` and `v` is a pipeline on what flows in, or a tensor; one that is left out is
    what flows in. The positions of all axes are one sequence; what flows out has the positions of
    q and the channels of v. `heads` share the channels evenly (section 3.2.2), and nothing is
    learnt: projections are layers, `attend(q=[linear-64], k=[linear-64], v=[linear-64], heads=8) ->
    linear-64`. The scale is 1/sqrt(channels of a head) unless `scale` says another. With `causal=yes`
    a position looks at those before it and itself. `bias` is a tensor of heads x positions of q x
    positions of k that is added to the scores; axes of size 1 are stretched.
    """

    kind = "attend"
    family = "attention"
    example = "attend(q=[conv1-64], k=[conv1-64], v=[conv1-64], heads=8)"
    ranks = (1, 2, 3)
    operands = ("q", "k", "v")
    input_names = operands
    tensors = MappingProxyType({"bias": "output"})
    takes_linear = True
    nonlinear = True

    heads: fields.Positive = 1
    causal: fields.Flag = False
    scale: Annotated[float | None, BeforeValidator(_scale)] = None

    def out_shape(self, *ins: Shape) -> Shape:
        q, k, v, *bias = ins
        for name, shape in (("q", q), ("k", k), ("v", v)):
            if len(shape) == 1:
                hint = f"give it an axis: reshape({shape[0]}x1)"
                raise OpError(
                    "E401", f"`{name}` is a vector of {shape[0]}; expected a map", arg=name, hint=hint
                )
        self._check_fit(q, k, v)
        for name, shape in (("q", q), ("v", v)):
            if shape[0] % self.heads:
                raise OpError(
                    "E402",
                    f"`heads` (={self.heads}) must divide the channels of {name} (={shape[0]})",
                    arg="heads",
                )
        if self.causal and prod(q[1:]) != prod(k[1:]):
            raise OpError(
                "E405", f"`causal=yes` needs as many positions in q as in k, and these are {by_x(q)} and {by_x(k)}",
                arg="causal",
            )  # fmt: skip
        if bias:
            self._check_bias(bias[0], prod(q[1:]), prod(k[1:]))
        return (v[0], *q[1:])

    def _check_fit(self, q: Shape, k: Shape, v: Shape) -> None:
        if q[0] != k[0]:
            raise OpError(
                "E405", f"q and k need equal channels, and these are {by_x(q)} and {by_x(k)}",
                hint="end both pipelines in layers of one width",
            )  # fmt: skip
        if prod(k[1:]) != prod(v[1:]):
            raise OpError("E405", f"k and v need as many positions, and these are {by_x(k)} and {by_x(v)}")

    def _check_bias(self, bias: Shape, queries: int, keys: int) -> None:
        if self.causal:
            raise OpError("E307", "`bias` and `causal=yes` cannot be combined", arg="bias")
        wanted = (self.heads, queries, keys)
        if len(bias) != 3 or any(n not in (1, m) for n, m in zip(bias, wanted, strict=True)):
            raise OpError(
                "E405", f"`bias` is {by_x(bias)}; expected {by_x(wanted)}: heads x positions of q x positions "
                "of k, or 1 where all share it", arg="bias",
            )  # fmt: skip

    def macs(self, *ins: Shape) -> int:
        q, k, v, *_ = ins
        return prod(q[1:]) * prod(k[1:]) * (k[0] + v[0])

    def window(self, *ins: Shape) -> Window:
        return Whole()

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        return (Pointwise(), *[Whole()] * (len(ins) - 1))
