"""Weights that are made of others: `reparam=weight_norm`, `reparam=spectral_norm`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, ClassVar

from cnnc.compiler.ops import fields
from cnnc.compiler.ops.base import Op, Shape
from cnnc.compiler.ops.model import PlainValidator, ValidationInfo

RULES = ("weight_norm", "spectral_norm")


def _reparam(value: Any, info: ValidationInfo) -> str | None:
    """One of the rules; `none` takes a default of the file's back."""
    if value is None or value == "none":
        return None
    return fields.one_of(value, "reparam", (*RULES, "none"))


Reparam = Annotated[str | None, PlainValidator(_reparam)]


class Weighted(Op, ABC):
    """A layer whose weights may be reparametrised. The keys are those of torch.nn.utils.parametrizations.

    `weight_norm` learns a length and a direction for each slice of the weight along its first axis, w = g v/|v|
    (Salimans and Kingma 2016, eq. 2). `spectral_norm` divides the weight by its largest singular value, which two
    vectors that are kept estimate (Miyato et al. 2018, algorithm 1). A class has the field `reparam`.
    """

    weighted = True
    weights: ClassVar[tuple[str, ...]] = ("weight",)
    """The tensors that are reparametrised, by name."""
    outputs_axis: ClassVar[int] = 0
    """The axis of these that has the layer's outputs."""

    @abstractmethod
    def tensors_of(self, *ins: Shape) -> Mapping[str, Shape]:
        """The learnable tensors by name, as they are without a reparametrisation."""

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        tensors = self.tensors_of(*ins)
        rule = self._rule
        if rule is None:
            return tensors
        found: dict[str, Shape] = {}
        for name, shape in tensors.items():
            if name not in self.weights:
                found[name] = shape
            elif rule == "weight_norm":
                found[f"{_home(name)}.original0"] = (shape[0], *[1] * (len(shape) - 1))
                found[f"{_home(name)}.original1"] = shape
            else:
                found[f"{_home(name)}.original"] = shape
        return found

    def weight_of(self, *ins: Shape) -> Shape | None:
        return self.tensors_of(*ins).get("weight")

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        if self._rule != "spectral_norm":
            return {}
        found: dict[str, Shape] = {}
        for name, shape in self.tensors_of(*ins).items():
            if name in self.weights:
                rows = shape[self.outputs_axis]
                found[f"{_home(name)}.0._u"] = (rows,)
                found[f"{_home(name)}.0._v"] = (prod(shape) // rows,)
        return found

    @property
    def _rule(self) -> str | None:
        here: Any = self
        rule: str | None = here.reparam
        return rule


def _home(name: str) -> str:
    """`depthwise.weight` to `depthwise.parametrizations.weight`."""
    path, _, local = name.rpartition(".")
    return f"{path}.parametrizations.{local}" if path else f"parametrizations.{local}"
