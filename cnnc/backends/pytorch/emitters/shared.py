"""What several emitters need: padding by side, and how weights start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnc.backends.pytorch.layer import Argument, Layer, Val, fold
from cnnc.backends.pytorch.sym import integral
from cnnc.compiler.ops.base import SameTF, Sides
from cnnc.compiler.ops.initial import Init
from cnnc.compiler.symbolic import Const, Items

_RULES = {
    "he": "kaiming_normal_", "he_uniform": "kaiming_uniform_", "xavier": "xavier_uniform_",
    "xavier_normal": "xavier_normal_", "normal": "normal_", "truncated_normal": "trunc_normal_",
    "uniform": "uniform_", "constant": "constant_",
}  # fmt: skip


def by_size(pads: Sequence[Sides]) -> bool:
    """Whether the padding is TensorFlow's on a free size, so that it is worked out as the module runs."""
    return isinstance(pads, SameTF)


def is_symmetric(pads: Sequence[Sides]) -> bool:
    """Whether every axis is padded by the same before and after."""
    return not by_size(pads) and all(before == after for before, after in pads)


def by_side(pads: Sequence[Sides]) -> tuple[int, ...]:
    """Padding by side as `F.pad` takes it: last axis first, before and after."""
    return tuple(n for pair in reversed(pads) for n in pair)


def sided(layer: Layer) -> Val:
    """The padding by side, with its source where every axis has the same pair."""
    before, after = (layer.arg_syms.get(f"pad.{i}", Const(None)) for i in range(2))
    if isinstance(before, Const) and isinstance(after, Const):
        return Val(by_side(layer.op.pad))
    return Val(by_side(layer.op.pad), Items((integral(before), integral(after)) * layer.rank))


def padding(pads: Sequence[Sides]) -> Argument:
    """Padding by axis where that can say it, else by side."""
    return Val(fold(tuple(before for before, _ in pads))) if is_symmetric(pads) else Val(by_side(pads))


def initial(layer: Layer, weights: Sequence[str] = ("weight",), bias: str = "bias") -> Mapping[str, str]:
    """How the layer's tensors start, by name, where its arguments say so."""
    rules = dict.fromkeys(weights, rule(layer.op.init)) if layer.op.init is not None else {}
    if layer.op.bias_init is not None and layer.op.bias:
        rules[bias] = rule(layer.op.bias_init)
    return rules


def rule(init: Init) -> str:
    """The function of torch.nn.init with what it takes after the tensor."""
    name, numbers = _rule(init)
    inner = [f'"{name}"', *(f'"{n}"' if isinstance(n, str) else repr(n) for n in numbers)]
    return f"({', '.join(inner)}{',' if len(inner) == 1 else ''})"


def init_call(init: Init) -> str:
    """The call of a function of torch.nn.init without a fan, with `{}` in place of the tensor."""
    name, numbers = _rule(init)
    return f"nn.init.{name}({', '.join(['{}', *map(repr, numbers)])})"


def _rule(init: Init) -> tuple[str, tuple[object, ...]]:
    numbers: tuple[object, ...] = init.numbers
    if init.rule in ("normal", "truncated_normal"):
        std, mean = init.numbers
        numbers = (mean, std)
        if init.rule == "truncated_normal":
            numbers = (mean, std, mean - 2 * std, mean + 2 * std)
    elif init.mode == "fan_out":
        numbers = (0, init.mode)
    return _RULES[init.rule], numbers
