"""Somebody's own module, known by what its declaration says."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import Op, Shape, Undefined, Window


@base.op
class Extern(Op):
    """A module of another package: `extern name(k=7) = "package.module:Class" (shape=same, params=…, macs=…)`.

    Counts that are not declared are unknown, and totals say so.
    """

    kind = "extern"
    family = "head"
    example = 'extern cbam = "mypkg.att:CBAM" (shape=same)'
    internal = True
    aside = ("name", "shape", "params_declared", "macs_declared")  # what the module says itself

    name: str
    target: str
    arguments: tuple[tuple[str, object], ...]
    shape: tuple[int, ...]
    params_declared: int | None
    macs_declared: int | None

    def out_shape(self, *ins: Shape) -> Shape:
        return self.shape

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        """One tensor that stands for all: their names and shapes are the module's own affair."""
        return {"*": (self.params_declared,)} if self.params_declared else {}

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def macs(self, *ins: Shape) -> int:
        return self.macs_declared or 0

    def window(self, *ins: Shape) -> Window:
        return Undefined(f"`{self.name}` is an extern")

    @property
    def unknown(self) -> tuple[str, ...]:
        counts = {"params": self.params_declared, "macs": self.macs_declared}
        return tuple(name for name, value in counts.items() if value is None)
