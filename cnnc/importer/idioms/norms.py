"""Normalisations, and filters that are normalised."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from math import nextafter, prod
from typing import Any

from cnnc.importer.idioms.makers import Makers, numbers_of
from cnnc.importer.traced import Ref, Step

# --- global response normalisation -----------------------------------------------------------


def response_norm(step: Step, made: Makers) -> Step | None:
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


def _addends(step: Step, made: Makers) -> list[Any]:
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


def _scaled_response(part: Any, made: Makers) -> dict[str, Any] | None:
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


def standardised(step: Step, made: Makers) -> Step | None:
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


def _gain(argument: Any, shape: tuple[int, ...], made: Makers) -> dict[str, Any] | None:
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


def with_scales(steps: tuple[Step, ...]) -> tuple[Step, ...]:
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


def local_response(step: Step, made: Makers) -> Step | None:
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
        or any(n != 1 for n in numbers_of(pool.args.get("stride", 1)))
        or shifted.args.get("alpha", 1) != 1
    ):
        return None
    return replace(step, op="cnnc_lrn", args={"self": x, "size": size, **numbers})


# --- lengths --------------------------------------------------------------------------------------


def l2_norm(step: Step, made: Makers) -> Step | None:
    """x over the larger of its length along an axis and eps (F.normalize)."""
    below = step.args["other"]
    while (view := made.by(below, "expand_as", "expand")) is not None:
        below = view.first
    least = made.by(below, "clamp_min", "clamp")
    length = made.by(least.first, "linalg_vector_norm", "norm") if least is not None else None
    if least is None or length is None or length.first != step.args["self"]:
        return None
    eps, dims = least.args.get("min"), length.args.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    order = length.args.get("ord", length.args.get("p", 2))
    plain = least.args.get("max") is None and isinstance(eps, int | float) and eps > 0
    if order != 2 or not length.args.get("keepdim") or not dims or len(dims) != 1 or not plain:
        return None
    return replace(step, op="cnnc_l2norm", args={"self": step.args["self"], "dim": dims[0], "eps": eps})
