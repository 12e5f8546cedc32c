"""Several operators that together are one layer of the language: the last of them becomes that layer's step.

What the others gave is then needed by nothing, and goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import comb, nextafter, prod
from typing import Any

from cnnc.importer.traced import Held, Ref, Step, Traced

_VIEWS = (
    "view",
    "reshape",
    "reshape_as",
    "view_as",
    "flatten",
    "unsqueeze",
    "squeeze",
    "alias",
    "contiguous",
)
"""What leaves the values of a tensor in their order."""


def joined_idioms(traced: Traced) -> Traced:
    """The trace with its idioms as steps of their own."""
    made = _Makers({step.name: step for step in traced.steps}, traced.held)
    steps = tuple(new for step in traced.steps for new in _rewritten(step, made))
    macs = None if traced.macs is None else traced.macs - sum(map(_uncounted, steps))
    return replace(traced, steps=_with_scales(steps), macs=macs)


def _uncounted(step: Step) -> int:
    """The multiply-adds of one image that torch counts, and the language does not: those by fixed filters."""
    if step.op != "cnnc_blurpool":
        return 0
    assert step.shapes[0] is not None
    kernel: tuple[int, ...] = step.args["kernel"]
    return prod(step.shapes[0][1:]) * prod(kernel)


def _rewritten(step: Step, made: _Makers) -> tuple[Step, ...]:
    for operators, idiom in _IDIOMS:
        if step.op in operators:
            found = idiom(step, made)
            if found is not None:
                return found if isinstance(found, tuple) else (found,)
    return (step,)


@dataclass(frozen=True, slots=True)
class _Makers:
    """Which step made a name, and which names are tensors of the module."""

    steps: Mapping[str, Step]
    held: Mapping[str, Held]

    def by(self, argument: Any, *operators: str) -> Step | None:
        """The step that made an argument, where it is one of these operators."""
        step = self.steps.get(argument.name) if isinstance(argument, Ref) else None
        return step if step is not None and step.op in operators and not step.in_place else None

    def unviewed(self, argument: Any) -> Any:
        """What an argument is, without the views that leave its values in their order."""
        while (view := self.by(argument, *_VIEWS)) is not None:
            argument = view.first
        return argument

    def own(self, argument: Any) -> Ref | None:
        """The tensor of the module that an argument shows the values of, all in their order."""
        found = self.unviewed(argument)
        return found if isinstance(found, Ref) and found.name in self.held else None


# --- global response normalisation -----------------------------------------------------------


def _response_norm(step: Step, made: _Makers) -> Step | None:
    """x + bias + weight * (x * n), n the length of a map over `eps` and the mean length (ConvNeXt v2)."""
    whole = _addends(step, made)
    scaled = next((found for found in map(partial(_scaled_response, made=made), whole) if found), None)
    if len(whole) != 3 or scaled is None or scaled["x"] not in whole:
        return None
    bias = next((own for own in map(made.own, whole) if own is not None), None)
    shape = step.shapes[0]
    assert shape is not None
    rank = len(shape)
    over, along = ({d % rank for d in dims} for dims in (scaled.pop("over"), scaled.pop("along")))
    if bias is None or len(along) != 1 or over & along or over | along != set(range(1, rank)):
        return None
    return replace(step, op="cnnc_grn", args={**scaled, "axis": min(along), "bias": bias})


def _addends(step: Step, made: _Makers) -> list[Any]:
    """What a chain of sums adds up: arguments, and for a product two."""
    found: list[Any] = []
    if step.op == "addcmul" and step.args.get("value", 1) == 1:
        found = [step.args["self"], (step.args["tensor1"], step.args["tensor2"])]
    elif step.op == "add" and step.args.get("alpha", 1) == 1:
        found = [step.args["self"], step.args["other"]]
    parts: list[Any] = []
    for part in found:
        inner = made.by(part, "add", "addcmul") if isinstance(part, Ref) else None
        product = made.by(part, "mul") if isinstance(part, Ref) else None
        if inner is not None:
            parts += _addends(inner, made)
        else:
            parts.append(part if product is None else (product.args["self"], product.args["other"]))
    return parts


def _scaled_response(part: Any, made: _Makers) -> dict[str, Any] | None:
    """weight * (x * (n / (mean of n + eps))), n the root of the sum of squares."""
    if not isinstance(part, tuple):
        return None
    weight, product = made.own(part[0]), made.by(part[1], "mul")
    ratio = made.by(product.args["other"], "div") if product is not None else None
    raised = made.by(ratio.args["other"], "add") if ratio is not None else None
    if weight is None or product is None or ratio is None or raised is None:
        return None
    length = made.by(ratio.args["self"], "linalg_vector_norm", "norm")
    mean = made.by(raised.args["self"], "mean")
    if length is None or mean is None or mean.args["self"] != ratio.args["self"]:
        return None
    x, order = length.args["self"], length.args.get("ord", length.args.get("p", 2))
    kept = length.args.get("keepdim") and mean.args.get("keepdim")
    if product.args["self"] != x or order != 2 or not kept or not isinstance(raised.args["other"], float):
        return None
    dims = {"over": length.args.get("dim") or (), "along": mean.args.get("dim") or ()}
    return {"x": x, "eps": raised.args["other"], "weight": weight, **dims}


# --- standardised filters ----------------------------------------------------------------------


def _standardised(step: Step, made: _Makers) -> Step | None:
    """A convolution by filters that a batch norm without statistics, of the weight, has standardised."""
    norm = made.by(made.unviewed(step.args.get("weight")), "batch_norm")
    if norm is None or norm.args.get("running_mean") is not None or norm.args.get("bias") is not None:
        return None
    weight = made.own(norm.args["input"])
    if weight is None:
        return None
    shape = made.held[weight.name].shape
    seen = made.steps[norm.args["input"].name].shapes[0] if norm.args["input"].name in made.steps else None
    if seen is None or seen[:2] != (1, shape[0]):
        return None
    found: dict[str, Any] = {"eps": norm.args.get("eps", 1e-5)}
    if norm.args.get("weight") is not None:
        gain = _gain(norm.args["weight"], shape, made)
        if gain is None:
            return None
        found |= gain
    return replace(step, args={**step.args, "weight": weight, "cnnc_standardise": found})


def _gain(argument: Any, shape: tuple[int, ...], made: _Makers) -> dict[str, Any] | None:
    """A learnt gain of each filter, times a number: what it is over the root of the number of values."""
    product = made.by(made.unviewed(argument), "mul")
    if product is None:
        return None
    gain, factor = made.own(product.args["self"]), product.args["other"]
    if (
        gain is None
        or not isinstance(factor, float)
        or made.held[gain.name].shape != (shape[0], *(1,) * (len(shape) - 1))
    ):
        return None
    return {"gain": gain, "scales": _scales(factor, prod(shape[1:]))}


def _scales(factor: float, count: int) -> tuple[float, ...]:
    """Every number that over the root of `count`, rounded, is `factor`.

    >>> 1.7139588594436646 in _scales(1.7139588594436646 * 147**-0.5, 147)
    True
    """
    scale = factor * count**0.5
    near = [scale]
    for end in (0.0, 2 * scale):
        step = scale
        for _ in range(3):
            step = nextafter(step, end)
            near.append(step)
    return tuple(sorted(s for s in near if s * count**-0.5 == factor)) or (scale,)


def _with_scales(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Of what a gain's factor may have been, what most layers agree on: one number of the code made them all."""
    found = [step.args.get("cnnc_standardise", {}) for step in steps]
    votes = Counter(scale for how in found for scale in how.get("scales", ()))
    made = []
    for step, how in zip(steps, found, strict=True):
        if "scales" in how:
            best = max(how["scales"], key=lambda scale: (votes[scale], -len(repr(scale))))
            kept = {key: value for key, value in how.items() if key != "scales"}
            step = replace(step, args={**step.args, "cnnc_standardise": {**kept, "scale": best}})
        made.append(step)
    return tuple(made)


# --- activations, and normalisation between channels ---------------------------------------------


def _gated(step: Step, made: _Makers) -> Step | None:
    """x * sigmoid(x), and x * hardsigmoid(x)."""
    for x, gate in (("self", "other"), ("other", "self")):
        found = made.by(step.args[gate], "sigmoid", "hardsigmoid")
        if found is not None and found.first == step.args[x]:
            return replace(
                step, op="silu" if found.op == "sigmoid" else "hardswish", args={"self": found.first}
            )
    return None


def _local_response(step: Step, made: _Makers) -> Step | None:
    """x / (alpha * m + k)^beta, m the mean of the squares of `size` neighbouring channels (nn.LocalResponseNorm)."""
    x = step.args["self"]
    raised = made.by(step.args["other"], "pow")
    shifted = made.by(raised.first, "add") if raised is not None else None
    scaled = made.by(shifted.first, "mul") if shifted is not None else None
    pool = made.by(made.unviewed(scaled.first), "avg_pool2d", "avg_pool3d") if scaled is not None else None
    border = made.by(pool.first, "pad") if pool is not None else None
    square = made.by(made.unviewed(border.first), "mul") if border is not None else None
    if (
        raised is None
        or shifted is None
        or scaled is None
        or pool is None
        or border is None
        or square is None
    ):
        return None
    size, *flat = pool.args["kernel_size"]
    numbers = {"alpha": scaled.args["other"], "beta": raised.args["exponent"], "k": shifted.args["other"]}
    sides = [*[0] * (2 * len(flat)), size // 2, (size - 1) // 2]
    whole = step.shapes[0] is not None and len(step.shapes[0]) in (3, 4) and set(flat) == {1}
    if square.args["self"] != x or square.args["other"] != x or border.args["pad"] != sides or not whole:
        return None
    plain = all(isinstance(n, int | float) for n in numbers.values())
    if (
        not plain
        or any(n != 1 for n in _numbers(pool.args.get("stride", 1)))
        or shifted.args.get("alpha", 1) != 1
    ):
        return None
    return replace(step, op="cnnc_lrn", args={"self": x, "size": size, **numbers})


# --- fixed filters -----------------------------------------------------------------------------


def _blurred(step: Step, made: _Makers) -> Step | None:
    """A depthwise convolution by a constant of the code, binomial coefficients, borders reflected."""
    argument = step.args.get("weight")
    while (view := made.by(argument, *_VIEWS, "expand")) is not None:
        argument = view.first
    held = made.held.get(argument.name) if isinstance(argument, Ref) else None
    if held is None or held.kept or not held.values or len(held.shape) < 3 or held.shape[1] != 1:
        return None
    kernel = held.shape[2:]
    filters = [held.values[i : i + prod(kernel)] for i in range(0, len(held.values), prod(kernel))]
    shape, groups = step.shapes[0], step.args.get("groups", 1)
    dilated = any(n != 1 for n in _numbers(step.args.get("dilation", 1)))
    if set(filters) != {_binomial(kernel)} or shape is None or groups != shape[1] or dilated:
        return None
    if step.args.get("bias") is not None or any(_numbers(step.args.get("padding", 0))):
        return None
    border = made.by(step.args["input"], "pad", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
    if border is None or (border.op == "pad" and border.args.get("mode") != "reflect"):
        return None
    sides = [n for k in reversed(kernel) for n in ((k - 1) // 2, k // 2)]
    if list(border.args.get("pad", border.args.get("padding", ()))) != sides:
        return None
    args = {"input": border.first, "kernel": kernel, "stride": step.args.get("stride", 1)}
    return replace(step, op="cnnc_blurpool", args=args)


def _numbers(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _binomial(kernel: tuple[int, ...]) -> tuple[float, ...]:
    """The products of binomial coefficients along each axis, by their sum.

    >>> _binomial((2, 3))
    (0.125, 0.25, 0.125, 0.125, 0.25, 0.125)
    """
    rows = [[comb(n - 1, i) / 2 ** (n - 1) for i in range(n)] for n in kernel]
    return tuple(map(prod, product(*rows)))


# --- attention -----------------------------------------------------------------------------------


def _attention(step: Step, made: _Makers) -> tuple[Step, ...] | None:
    """softmax(q k^T * scale) v, each of heads x positions x channels of a head."""
    shares, value = list(step.args.values())[:2]
    while (dropped := made.by(shares, "dropout")) is not None and not dropped.args.get("p", 0.5):
        shares = dropped.first
    softmax = made.by(shares, "softmax", "_softmax")
    shape = softmax.shapes[0] if softmax is not None else None
    if softmax is None or shape is None or len(shape) != 4 or softmax.args["dim"] % 4 != 3:
        return None
    scores, scale = softmax.first, 1.0
    if (scaled := made.by(scores, "mul", "div")) is not None and isinstance(
        scaled.args["other"], int | float
    ):
        scores = scaled.args["self"]
        scale = scaled.args["other"] if scaled.op == "mul" else 1 / scaled.args["other"]
    product = made.by(scores, "matmul")
    if product is None:
        return None
    query, key = list(product.args.values())[:2]
    turned = made.steps.get(key.name) if isinstance(key, Ref) else None
    if turned is None or turned.shapes[0] is None or not isinstance(value, Ref):
        return None
    *lead, depth, places = turned.shapes[0]
    back = Step(
        f"{step.name}#key",
        "transpose",
        {"self": key, "dim0": 2, "dim1": 3},
        ((*lead, places, depth),),
        step.where,
    )
    args = {"query": query, "key": Ref(back.name), "value": value, "scale": scale}
    return back, replace(step, op="scaled_dot_product_attention", args=args)


_Idiom = Callable[[Step, _Makers], Step | tuple[Step, ...] | None]
_IDIOMS: tuple[tuple[tuple[str, ...], _Idiom], ...] = (
    (("matmul", "bmm"), _attention),
    (("add",), _response_norm),
    (("mul",), _gated),
    (("div",), _local_response),
    (("conv1d", "conv2d", "conv3d"), _standardised),
    (("conv1d", "conv2d", "conv3d"), _blurred),
)
