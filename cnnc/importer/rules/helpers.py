"""Layers that PyTorch has no operator for, read from the helper classes that cnnc writes for them."""

from __future__ import annotations

from typing import Any

from cnnc.importer.flat import Chain, Node
from cnnc.importer.layout import Value
from cnnc.importer.rules.convolution import by_axes, by_axis, pads_text, same
from cnnc.importer.rules.pools import pool
from cnnc.importer.text import over, sizes
from cnnc.importer.traced import Held, Step
from cnnc.importer.translate import Translation, rule


def _made(work: Translation, step: Step, head: str, args: dict[str, Any], *weights: str) -> Value:
    """A layer on the step's first input, with those of these weights that there are."""
    value = work.value(step.args["input"])
    kept: dict[str, Held | None] = {name: work.get(step.args[name]) for name in weights if name in step.args}
    kind = head.partition("-")[0].rstrip("0123456789/x")
    node = work.layer(kind, (work.positional(value),), head=head, args=args, weights=kept)
    assert value.batch is not None
    return work.fresh(node, work.output_shape(), value.batch)


@rule("cnnc_unpool")
def unpool(work: Translation, step: Step) -> Value:
    """The pool is one that there is already, or, where there is none, one for this alone."""
    below = work.value(step.args["below"])
    rank = len(below.axes) - 2
    keys = ("kernel_size", "stride", "padding", "ceil_mode")
    given = {"self": step.args["below"], **{key: step.args[key] for key in keys}}
    own, work.step = (
        work.step,
        Step(step.name, f"max_pool{rank}d", given, (work.value(step.args["input"]).shape,), step.where),
    )
    made = work.spec.lines[pool(work, work.step).node]
    work.step = own
    like = (made.head, made.inputs, made.args)
    first = next(line for line in work.spec.lines if (line.head, line.inputs, line.args) == like)
    return _made(work, step, "unpool", {"of": Node(first.index)})


@rule("cnnc_avgpool")
def average(work: Translation, step: Step) -> Value:
    rank = len(work.value(step.args["input"]).axes) - 2
    kernel, stride = (by_axis(step.args[key], rank) for key in ("kernel_size", "stride"))
    args: dict[str, Any] = {"pad": "same_tf" if step.args["sides"] is None else _pads(step)}
    if step.args["ceil_mode"]:
        args["ceil"] = True
    if not step.args["count_include_pad"]:
        args["count_pad"] = False
    head = f"avgpool{sizes(kernel)}{over(stride, kernel)}"
    return _made(work, step, head, args)


@rule("cnnc_stn")
def stn(work: Translation, step: Step) -> Value:
    features = work.value(step.args["features"])
    args: dict[str, Any] = {"": Chain(work.positional(features))}
    if step.args["mode"] != "bilinear":
        args["mode"] = step.args["mode"]
    if step.args["padding_mode"] != "zeros":
        args["border"] = step.args["padding_mode"]
    if step.args["size"] is not None:
        args["size"] = tuple(step.args["size"])
    if step.args["align_corners"]:
        args["align_corners"] = True
    value = work.value(step.args["input"])
    weights = {name: work.weight(step.args[name], name) for name in ("theta.weight", "theta.bias")}
    node = work.layer("stn", (work.positional(value),), args=args, weights=weights)
    assert value.batch is not None
    return work.fresh(node, work.output_shape(), value.batch)


@rule("cnnc_rbf")
def rbf(work: Translation, step: Step) -> Value:
    (width,) = work.output_shape()
    args = {"trainable": True} if step.args["trainable"] else {}
    return _made(work, step, f"rbf-{width}", args, "weight")


@rule("cnnc_table_conv")
def table_conv(work: Translation, step: Step) -> Value:
    channels = work.value(step.args["input"]).shape[1]
    width, kernel = step.args["count"] // channels, tuple(step.args["kernel"])
    rows = (
        "".join(str(int(o * channels + i in step.args["links"])) for o in range(width))
        for i in range(channels)
    )
    stride, dilation = (by_axis(step.args[key], len(kernel)) for key in ("stride", "dilation"))
    args: dict[str, Any] = {"pad": _pads(step)}
    if set(dilation) != {1}:
        args["dilation"] = sizes(dilation)
    if "bias" not in step.args:
        args["bias"] = False
    args["table"] = f'"{",".join(rows)}"'
    head = f"conv{sizes(kernel)}-{width}{over(stride)}"
    return _made(work, step, head, args, "weight", "bias")


@rule("cnnc_sepconv")
def sepconv(work: Translation, step: Step) -> Value:
    kernel = work.weight(step.args["depthwise.weight"], "weight").shape[2:]
    stride, dilation = (tuple(step.args[key]) for key in ("stride", "dilation"))
    args: dict[str, Any] = {}
    if set(dilation) != {1}:
        args["dilation"] = sizes(dilation)
    if by_axes(step.args["sides"]) != same(kernel, dilation):
        args["pad"] = _pads(step)
    if step.args["multiplier"] != 1:
        args["multiplier"] = step.args["multiplier"]
    if "pointwise.bias" not in step.args:
        args["bias"] = False
    width = work.output_shape()[0]
    head = f"sepconv{sizes(kernel)}-{width}{over(stride)}"
    return _made(work, step, head, args, "depthwise.weight", "pointwise.weight", "pointwise.bias")


@rule("cnnc_subsample")
def subsample(work: Translation, step: Step) -> Value:
    kernel, stride = tuple(step.args["kernel"]), tuple(step.args["stride"])
    args = {"pad": _pads(step)} if any(step.args["sides"]) else {}
    head = f"subsample{sizes(kernel)}{over(stride, kernel)}"
    return _made(work, step, head, args, "weight", "bias")


def _pads(step: Step) -> Any:
    """The border as an argument."""
    return pads_text(by_axes(step.args["sides"]))


@rule("cnnc_recurrent")
def recurrent(work: Translation, step: Step) -> Value:
    usual = {"bidirectional": False, "layers": 1, "bias": True, "dropout": 0.0}
    args = {key: step.args[key] for key, value in usual.items() if step.args[key] != value}
    weights = [name for name in step.args if name.startswith(("weight_", "bias_"))]
    return _made(work, step, f"{step.args['kind']}-{step.args['width']}", args, *weights)


@rule("cnnc_capsule")
def capsule(work: Translation, step: Step) -> Value:
    _, count, dim, _ = work.weight(step.args["weight"], "weight").shape
    args = {key: step.args[key] for key, usual in (("of", 8), ("routing", 3)) if step.args[key] != usual}
    return _made(work, step, f"capsule{count}-{dim}", args, "weight")


@rule("cnnc_each_capsule")
def each_capsule(work: Translation, step: Step) -> Value:
    return _made(work, step, step.args["word"], {"": step.args["dim"]})
