"""Normalisations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cnnc.importer.arrange import channels_at, relaid
from cnnc.importer.layout import Value
from cnnc.importer.refusal import Refusal
from cnnc.importer.rules.pointwise import on_axis
from cnnc.importer.traced import Held, Step
from cnnc.importer.translate import Translation, rule


def affine(
    work: Translation, step: Step, shift: bool = True
) -> tuple[dict[str, Held | None], dict[str, Any]]:
    """A norm's gain and shift, and the arguments that say which there are."""
    gain, offset = step.args.get("weight"), step.args.get("bias")
    if gain is None and offset is None:
        return {}, {"affine": False}
    if gain is None:
        raise Refusal("a norm with a shift and no gain")
    weights: dict[str, Held | None] = {"weight": work.weight(gain, "gain")}
    if offset is None:
        return weights, {"bias": False} if shift else {}
    return {**weights, "bias": work.weight(offset, "shift")}, {}


def eps_of(step: Step, usual: float, default: float = 1e-5) -> dict[str, Any]:
    eps = step.args.get("eps", default)
    return {} if eps == usual else {"eps": eps}


@rule("batch_norm")
def batch_norm(work: Translation, step: Step) -> Value:
    value = channels_at(work, work.value(step.args["input"]), 1)
    if step.args.get("running_mean") is None:
        raise Refusal("a batch norm without running statistics")
    weights, args = affine(work, step, shift=False)
    if len(weights) == 1:
        raise Refusal("a batch norm with a gain and no shift")
    weights |= {key: work.weight(step.args[key], key) for key in ("running_mean", "running_var")}
    if work.traced.evaluation and step.args.get("training"):
        raise Refusal("a batch norm with the statistics of the batch in evaluation")
    momentum = step.args.get("momentum", 0.1)
    if not momentum:
        raise Refusal("a batch norm whose momentum is None or 0")
    args = {**eps_of(step, 1e-5), **({} if momentum == 0.1 else {"momentum": momentum}), **args}
    return replace(value, node=work.layer("bn", (value.node,), args=args, weights=weights))


@rule("layer_norm")
def layer_norm(work: Translation, step: Step) -> Value:
    value = work.value(step.args["input"])
    weights, args = affine(work, step)
    args = {**eps_of(step, 1e-5), **args}
    axes = len(step.args["normalized_shape"])
    if axes == 1:
        value = channels_at(work, value, len(value.axes) - 1)
    elif axes == len(value.axes) - 1:
        value = relaid(work, value, value.axes[1:])
        args["axis"] = "all"
    else:
        raise Refusal(f"a layer norm over {axes} of {len(value.axes) - 1} axes")
    return replace(value, node=work.layer("ln", (value.node,), args=args, weights=weights))


@rule("rms_norm")
def rms_norm(work: Translation, step: Step) -> Value:
    value = channels_at(work, work.value(step.args["input"]), -1)
    if len(step.args["normalized_shape"]) != 1:
        raise Refusal("a norm of squares over several axes")
    weight = step.args.get("weight")
    weights = {} if weight is None else {"weight": work.weight(weight, "gain")}
    eps = step.args.get("eps")
    args = {"eps": 1.1920928955078125e-07 if eps is None else eps, **({} if weights else {"affine": False})}
    return replace(value, node=work.layer("rmsnorm", (value.node,), args=args, weights=weights))


@rule("group_norm")
def group_norm(work: Translation, step: Step) -> Value:
    value = channels_at(work, work.value(step.args["input"]), 1)
    weights, args = affine(work, step)
    groups = step.args["num_groups"]
    args = {**({} if groups == 32 else {"groups": groups}), **eps_of(step, 1e-5), **args}
    return replace(value, node=work.layer("gn", (value.node,), args=args, weights=weights))


@rule("instance_norm")
def instance_norm(work: Translation, step: Step) -> Value:
    value = channels_at(work, work.value(step.args["input"]), 1)
    if step.args.get("running_mean") is not None or not step.args.get("use_input_stats", True):
        raise Refusal("an instance norm with running statistics")
    weights, args = affine(work, step)
    if len(weights) == 1:
        raise Refusal("an instance norm with a gain and no shift")
    args = {**eps_of(step, 1e-5), **({"affine": True} if weights else {})}
    return replace(value, node=work.layer("instancenorm", (value.node,), args=args, weights=weights))


@rule("cnnc_grn")
def response_norm(work: Translation, step: Step) -> Value:
    value = channels_at(work, work.value(step.args["x"]), step.args["axis"])
    weights = {
        key: work.weight(step.args[key], what) for key, what in (("weight", "gain"), ("bias", "shift"))
    }
    return replace(value, node=work.layer("grn", (value.node,), args=eps_of(step, 1e-6), weights=weights))


@rule("cnnc_lrn")
def local_response(work: Translation, step: Step) -> Value:
    value = channels_at(work, work.value(step.args["self"]), 1)
    usual = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
    args = {key: step.args[key] for key in usual if step.args[key] != usual[key]}
    return replace(
        value, node=work.layer("lrn", (value.node,), head=f"lrn{int(step.args['size'])}", args=args)
    )


@rule("cnnc_l2norm")
def l2_norm(work: Translation, step: Step) -> Value:
    value, axis = on_axis(work, work.value(step.first), step.args["dim"])
    args = {**({} if axis == "C" else {"axis": axis}), **eps_of(step, 1e-12)}
    return replace(value, node=work.layer("l2norm", (value.node,), args=args))
