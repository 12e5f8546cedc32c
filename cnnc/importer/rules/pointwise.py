"""Activations, regularisation and arithmetic on one tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cnnc.importer.arrange import channels_at, relaid
from cnnc.importer.layout import Value
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Held, Step
from cnnc.importer.translate import RULES, Translation, rule


def pointwise(work: Translation, argument: Any, kind: str, args: dict[str, Any] | None = None) -> Value:
    """A layer on each value by itself, wherever the axes are."""
    value = argument if isinstance(argument, Value) else work.value(argument)
    return replace(value, node=work.layer(kind, (value.node,), args=args))


_PLAIN = {
    "relu": "relu", "relu6": "relu6", "silu": "silu", "mish": "mish", "sigmoid": "sigmoid", "tanh": "tanh", "selu": "selu",
    "hardsigmoid": "hardsigmoid", "hardswish": "hardswish", "exp": "exp", "log": "log", "abs": "abs", "sin": "sin", "cos": "cos",
}  # fmt: skip


def _plain(kind: str) -> Callable[[Translation, Step], Value]:
    return lambda work, step: pointwise(work, step.first, kind)


for _op, _kind in _PLAIN.items():
    RULES[_op] = _plain(_kind)

_POWERS = {"sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1, "square": 2}


def _power(exponent: float) -> Callable[[Translation, Step], Value]:
    return lambda work, step: pointwise(work, step.first, "pow", {"": exponent})


for _op, _exponent in _POWERS.items():
    RULES[_op] = _power(_exponent)


@rule("neg")
def neg(work: Translation, step: Step) -> Value:
    return pointwise(work, step.first, "times", {"": -1})


@rule("pow")
def power(work: Translation, step: Step) -> Value:
    exponent = work.get(step.args.get("exponent"))
    if not isinstance(exponent, int | float):
        raise Refusal("a power that is a tensor")
    return pointwise(work, step.first, "pow", {"": exponent})


@rule("hardtanh")
def hardtanh(work: Translation, step: Step) -> Value:
    low, high = step.args.get("min_val", -1), step.args.get("max_val", 1)
    if (low, high) == (0, 6):
        return pointwise(work, step.first, "relu6")
    return pointwise(work, step.first, "clamp", {"low": low, "high": high})


@rule("clamp", "clamp_min", "clamp_max", "clip")
def clamp(work: Translation, step: Step) -> Value:
    low, high = (work.get(step.args.get(key)) for key in ("min", "max"))
    if isinstance(low, Value | Held) or isinstance(high, Value | Held):
        raise Refusal("bounds that are tensors")
    if low == 0 and high is None:
        return pointwise(work, step.first, "relu")
    if (low, high) == (0, 6):
        return pointwise(work, step.first, "relu6")
    given = {key: bound for key, bound in (("low", low), ("high", high)) if bound is not None}
    return pointwise(work, step.first, "clamp", given)


@rule("leaky_relu")
def leaky(work: Translation, step: Step) -> Value:
    slope = step.args.get("negative_slope", 0.01)
    return pointwise(work, step.first, "leaky", {} if slope == 0.01 else {"slope": slope})


@rule("elu")
def elu(work: Translation, step: Step) -> Value:
    if step.args.get("scale", 1) != 1 or step.args.get("input_scale", 1) != 1:
        raise Refusal("an elu with scales")
    alpha = step.args.get("alpha", 1)
    return pointwise(work, step.first, "elu", {} if alpha == 1 else {"alpha": alpha})


@rule("gelu")
def gelu(work: Translation, step: Step) -> Value:
    approximate = step.args.get("approximate", "none")
    return pointwise(work, step.first, "gelu", {"tanh": True} if approximate == "tanh" else {})


@rule("softplus")
def softplus(work: Translation, step: Step) -> Value:
    if step.args.get("threshold", 20) != 20:
        raise Refusal("a softplus with a threshold of its own")
    beta = step.args.get("beta", 1)
    return pointwise(work, step.first, "softplus", {} if beta == 1 else {"beta": beta})


@rule("prelu")
def prelu(work: Translation, step: Step) -> Value:
    slope = work.weight(step.args["weight"], "slope")
    value = work.value(step.first)
    args: dict[str, Any] = {"shared": True} if slope.shape == (1,) else {}
    if not args and len(value.axes) > 1:
        value = channels_at(work, value, 1)
    node = work.layer("prelu", (value.node,), args=args, weights={"weight": slope})
    return replace(value, node=node)


@rule("softmax", "_softmax", "log_softmax", "_log_softmax")
def softmax(work: Translation, step: Step) -> Value:
    kind = "logsoftmax" if "log" in step.op else "softmax"
    value, axis = on_axis(work, work.value(step.first), step.args["dim"])
    args = {} if axis == "C" else {"axis": axis}
    return replace(value, node=work.layer(kind, (value.node,), args=args))


def on_axis(work: Translation, value: Value, dim: int) -> tuple[Value, str]:
    """The value on a tensor that has torch's axis as one of its own, and that axis's letter."""
    from cnnc.importer.arrange import LETTERS

    wanted = value.axes[dim]
    if value.batch is not None and value.batch in wanted:
        raise Refusal("it works along the batch")
    if wanted not in value.lang:
        if not wanted:
            raise Refusal("it works along an axis of size 1")
        value = channels_at(work, value, dim)
    place = value.lang.index(wanted)
    return value, LETTERS[len(value.lang)][place]


@rule("dropout", "native_dropout", "alpha_dropout")
def dropout(work: Translation, step: Step) -> Value:
    if step.op == "alpha_dropout":
        raise Refusal("an alpha dropout")
    p = _dropped(work, step)
    return (
        pointwise(work, step.first, "dropout", {} if p == 0.5 else {"": p}) if p else work.value(step.first)
    )


def _dropped(work: Translation, step: Step) -> float:
    """The probability of a dropout; 0 where it is none."""
    p: float = step.args.get("p", 0.5)
    if p >= 1:
        raise Refusal("a dropout of everything")
    if p and work.traced.evaluation and step.args.get("train"):
        raise Refusal("a dropout that drops in evaluation too")
    return p


@rule("feature_dropout")
def feature_dropout(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    p = _dropped(work, step)
    if not p:
        return value
    value = relaid(work, value, value.axes[1:])
    return replace(value, node=work.layer("spatialdropout", (value.node,), args={} if p == 0.5 else {"": p}))


@rule("cnnc_droppath")
def droppath(work: Translation, step: Step) -> Value:
    return pointwise(work, step.first, "droppath", {"": step.args["p"]})


@rule(
    "alias",
    "contiguous",
    "clone",
    "detach",
    "lift_fresh_copy",
    "lift_fresh",
    "requires_grad",
    "identity",
    "positive",
)
def identity(work: Translation, step: Step) -> Any:
    return work.get(step.first)


@rule("half")
def rounding(work: Translation, step: Step) -> Any:
    raise Refusal("a cast that rounds")


@rule("to", "_to_copy", "type_as", "float")
def cast(work: Translation, step: Step) -> Any:
    kind = str(step.args.get("dtype", "")).removeprefix("torch.")
    if kind not in ("", "None", "float32", "float", "float64", "bfloat16", "float16"):
        raise Refusal(f"a cast to {kind}, and the language has real numbers only")
    return work.get(step.first)


@rule(
    "_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size", "sym_size"
)
def nothing(work: Translation, step: Step) -> None:
    return None


@rule("getitem")
def getitem(work: Translation, step: Step) -> Any:
    return work.get(step.args["x"])[step.args["index"]]
