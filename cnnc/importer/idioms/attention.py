"""Attention written out, and gates."""

from __future__ import annotations

from dataclasses import replace

from cnnc.importer.idioms.makers import Makers
from cnnc.importer.traced import Ref, Step


def gated(step: Step, made: Makers) -> Step | None:
    """x * sigmoid(x), and x * hardsigmoid(x)."""
    for x, gate in (("self", "other"), ("other", "self")):
        found = made.by(step.args[gate], "sigmoid", "hardsigmoid")
        if found is not None and found.first == step.args[x]:
            return replace(
                step, op="silu" if found.op == "sigmoid" else "hardswish", args={"self": found.first}
            )
    return None


def attention(step: Step, made: Makers) -> tuple[Step, ...] | None:
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
