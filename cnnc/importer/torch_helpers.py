"""Modules of the helper classes that cnnc writes, taken as one layer each: equal source computes the same."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from cnnc.backends.pytorch.helpers import helper
from cnnc.importer.traced import Ref, Step, Traced, pruned

RESULT = "cnnc_helper"
"""The operator that ends a helper's own: its result, what the helper was given, and its path."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a helper is: the operator of a rule, its arguments, and which tensors of the helper are its weights."""

    op: str
    args: Mapping[str, Any]
    weights: tuple[str, ...] = ()
    """Paths within the module, which are the rule's arguments too."""
    given: tuple[str, ...] = ("input",)
    """What the rule calls the tensors that flow in."""
    counted: bool = True
    """Whether torch counts the multiply-adds that the language does."""


def leaf(module: nn.Module, known: dict[type, bool]) -> Leaf | None:
    """What a module is, where its class is a helper's, word for word, and it was left as the helper made it.

    `known` keeps which classes are.
    """
    kind = type(module)
    read = _READERS.get(kind.__name__)
    if read is None:
        return None
    if kind not in known:
        known[kind] = _is_helper(kind)
    return read(module) if known[kind] and all(map(_untouched, module.modules())) else None


def _is_helper(kind: type) -> bool:
    """Whether a class has the text of the helper of its name, and reads the same names."""
    written = helper(kind.__name__)
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return False
    around = vars(sys.modules.get(kind.__module__, object))
    meant: dict[str, Any] = {}
    for statement in written.imports:
        exec(statement, meant)
    meant.pop("__builtins__", None)
    return (
        source.strip() == written.source.strip()
        and all(isinstance(around.get(name), type) and _is_helper(around[name]) for name in written.needs)
        and all(inspect.getsource(own) in source for own in vars(kind).values() if inspect.isfunction(own))
        and all(around.get(name) is value for name, value in meant.items())
    )


def _untouched(module: nn.Module) -> bool:
    own = vars(module)
    return "forward" not in own and not any(own[name] for name in _HOOKS)


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


# --- what each helper's attributes say --------------------------------------------------------


def _unpool(m: Any) -> Leaf | None:
    pool = m.pool
    if type(pool) not in (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d) or pool.dilation != 1:
        return None
    args = {key: getattr(pool, key) for key in ("kernel_size", "stride", "padding", "ceil_mode")}
    return Leaf("cnnc_unpool", args, given=("input", "below"))


def _stn(m: Any) -> Leaf | None:
    if type(m.theta) is not nn.Linear or m.theta.bias is None:
        return None
    args = {key: getattr(m, key) for key in ("size", "mode", "padding_mode", "align_corners")}
    return Leaf("cnnc_stn", args, ("theta.weight", "theta.bias"), ("input", "features"), counted=False)


def _dropconnect(m: Any) -> Leaf:
    return Leaf("linear", {"cnnc_dropconnect": m.p}, _present(m, "weight", "bias"))


def _rbf(m: Any) -> Leaf:
    return Leaf("cnnc_rbf", {"trainable": isinstance(m.weight, nn.Parameter)}, ("weight",))


def _table_conv(m: Any) -> Leaf | None:
    if m.links.is_meta:
        return None
    count, kernel = m.shape[0], m.shape[1:]
    links = set(m.links.tolist())
    args = {"count": count, "links": links, "kernel": kernel}
    args |= {"stride": m.stride, "dilation": m.dilation, "sides": m.sides}
    return Leaf("cnnc_table_conv", args, _present(m, "weight", "bias"), counted=False)


def _subsample(m: Any) -> Leaf:
    args = {"kernel": m.kernel_size, "stride": m.stride, "sides": m.sides}
    return Leaf("cnnc_subsample", args, ("weight", "bias"))


def _recurrent(m: Any) -> Leaf | None:
    if m.proj_size or not m.batch_first:
        return None
    args = {"kind": type(m).__name__.lower(), "width": m.hidden_size, "layers": m.num_layers}
    args |= {key: getattr(m, key) for key in ("bidirectional", "bias", "dropout")}
    return Leaf("cnnc_recurrent", args, tuple(name for name, _ in m.named_parameters()), counted=False)


def _average(m: Any) -> Leaf | None:
    sides = getattr(m, "sides", None)
    if (m.ceil_mode and sides is None) or m.divisor_override is not None or m.padding:
        return None
    args = {key: getattr(m, key) for key in ("kernel_size", "stride", "ceil_mode", "count_include_pad")}
    return Leaf("cnnc_avgpool", {**args, "sides": sides})


def _sepconv(m: Any) -> Leaf | None:
    convs = (m.depthwise, m.pointwise)
    first, last = convs
    plain = type(first) is type(last) and type(first) in (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if not plain or first.bias is not None or first.groups != first.in_channels or not _is_pointwise(last):
        return None
    if any(conv.padding_mode != "zeros" or isinstance(conv.padding, str) for conv in convs):
        return None
    if m.sides is not None and any(first.padding):
        return None
    sides = m.sides or tuple(side for n in reversed(first.padding) for side in (n, n))
    args = {"stride": first.stride, "dilation": first.dilation, "sides": sides}
    args |= {"multiplier": first.out_channels // first.in_channels}
    bias = ("pointwise.bias",) if last.bias is not None else ()
    return Leaf("cnnc_sepconv", args, ("depthwise.weight", "pointwise.weight", *bias))


def _tconv(m: Any) -> Leaf | None:
    if any(m.padding) or m.padding_mode != "zeros":
        return None
    args = {key: getattr(m, key) for key in ("stride", "output_padding", "dilation", "groups")}
    sides = tuple(-n for n in m.cut)
    weights = _present(m, "weight", "bias")
    return Leaf(f"conv_transpose{len(m.stride)}d", {**args, "cnnc_sides": sides}, weights)


def _is_pointwise(conv: Any) -> bool:
    numbers = {*conv.kernel_size, *conv.stride, *conv.dilation, conv.groups}
    return numbers == {1} and set(conv.padding) == {0}


def _capsules(m: Any) -> Leaf:
    return Leaf("cnnc_capsule", {"of": m.of, "routing": m.routing}, ("weight",), counted=False)


def _each_capsule(word: str) -> Callable[[Any], Leaf]:
    return lambda m: Leaf("cnnc_each_capsule", {"word": word, "dim": m.dim})


def _present(m: Any, *names: str) -> tuple[str, ...]:
    return tuple(name for name in names if getattr(m, name) is not None)


_READERS: dict[str, Callable[[Any], Leaf | None]] = {
    "CapsuleLength": _each_capsule("capslength"),
    "CapsuleMask": _each_capsule("capsmask"),
    "Capsules": _capsules,
    "DropConnectLinear": _dropconnect,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RBF": _rbf,
    **{f"{way}AvgPool{axes}d": _average for way in ("SameTF", "Uneven") for axes in (1, 2, 3)},
    **{f"SeparableConv{axes}d": _sepconv for axes in (1, 2, 3)},
    "SpatialTransformer": _stn,
    "Squash": _each_capsule("squash"),
    "SubSampling": _subsample,
    "TableConv": _table_conv,
    **{f"UnevenConvTranspose{axes}d": _tconv for axes in (1, 2, 3)},
    "Unpool": _unpool,
}


# --- in the trace -------------------------------------------------------------------------------


def marked(module: nn.Module, one: Leaf) -> Callable[..., Any]:
    """A helper's forward that leaves an operator with its result and what it was given."""
    ends, forward = _ends(), module.forward

    def run(*given: Any, **named: Any) -> Any:
        if named or len(given) != len(one.given):
            return forward(*given, **named)
        taken = [ends(x, []) for x in given]  # a view that changes nothing would take the place of its input
        return ends(forward(*given), taken)

    return run


def _ends() -> Any:
    if not hasattr(torch.ops.cnnc, "helper"):
        made = torch.library.custom_op(
            "cnnc::helper", lambda x, given: x.clone(), mutates_args=(), schema="(Tensor x, Tensor[] given) -> Tensor"
        )  # fmt: skip
        made.register_fake(lambda x, given: torch.empty_like(x))
    return torch.ops.cnnc.helper


def joined(traced: Traced, module: nn.Module) -> Traced:
    """The trace with each helper as one step, of the operator that its leaf names.

    What torch counts is dropped where it counts something else in a helper than the language does.
    """
    ends = {step.name: step for step in traced.steps if step.op == RESULT}
    if not ends:
        return traced
    keys = {tensor.key: name for name, tensor in traced.held.items()}
    results = [name for name, step in ends.items() if step.args["given"]]
    known: dict[type, bool] = {}
    leaves = {name: leaf(module.get_submodule(ends[name].where.path), known) for name in results}
    steps = tuple(
        _one(step, one, ends, keys) if (one := leaves.get(step.name)) is not None else step
        for step in traced.steps
    )
    counted = all(one.counted for one in leaves.values() if one is not None)
    whole = replace(traced, steps=steps, macs=traced.macs if counted else None)
    return replace(whole, steps=pruned(whole))


def _one(step: Step, one: Leaf, ends: Mapping[str, Step], keys: Mapping[str, str]) -> Step:
    path = step.where.path
    given = [ends[taken.name].args["x"] for taken in step.args["given"]]
    weights = {key: Ref(keys[f"{path}.{key}" if path else key]) for key in one.weights}
    return replace(step, op=one.op, args={**dict(zip(one.given, given, strict=True)), **weights, **one.args})
