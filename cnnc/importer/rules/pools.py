"""Pooling by windows, by a size, and over the whole map."""

from __future__ import annotations

from math import inf
from typing import Any

from cnnc.importer.layout import Value
from cnnc.importer.refusal import Refusal
from cnnc.importer.rules.convolution import border_pads, by_axis, is_tf, pads_text
from cnnc.importer.text import over, sizes
from cnnc.importer.traced import Step
from cnnc.importer.translate import Translation, rule


def _finish(work: Translation, value: Value, node: int) -> Value:
    assert value.batch is not None
    return work.fresh(node, work.output_shape(), value.batch)


@rule("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")
def pool(work: Translation, step: Step) -> Value:
    rank = int(step.op[-2])
    kind = "maxpool" if step.op.startswith("max") else "avgpool"
    value = work.value(step.first)
    kernel = by_axis(step.args["kernel_size"], rank)
    stride = by_axis(step.args.get("stride") or kernel, rank)
    pads = by_axis(step.args.get("padding", 0), rank)
    dilation = by_axis(step.args.get("dilation", 1), rank)
    if step.args.get("divisor_override") is not None:
        raise Refusal("a mean with a divisor of its own")
    node = work.positional(value)
    args: dict[str, Any] = {}
    if set(pads) != {0}:
        args["pad"] = sizes(pads)
    elif kind == "maxpool" and not step.args.get("ceil_mode"):
        node = _border(work, step, value, node, args, kernel, stride)
    if set(dilation) != {1}:
        args["dilation"] = sizes(dilation)
    if step.args.get("ceil_mode"):
        args["ceil"] = True
    if (
        kind == "avgpool"
        and not step.args.get("count_include_pad", True)
        and (args.get("pad") or args.get("ceil"))
    ):
        args["count_pad"] = False
    head = f"{kind}{sizes(kernel)}{over(stride, kernel)}"
    return _finish(work, value, work.layer(kind, (node,), head=head, args=args))


def _border(
    work: Translation, step: Step, value: Value, node: int, args: dict[str, Any],
    kernel: tuple[int, ...], stride: tuple[int, ...],
) -> int:  # fmt: skip
    """What a pool of largest values works on: a border that never wins is the pool's own padding."""
    border = work.spec.lines[node]
    if border.kind != "pad" or border.args.get("value") != -inf or set(border.args) != {"", "value"}:
        return node
    pads = border_pads(border.args[""], len(kernel))
    if (
        pads is None
        or min(map(min, pads)) < 0
        or any(2 * max(p) > k for p, k in zip(pads, kernel, strict=True))
    ):
        return node
    tf = is_tf(step, value, pads, kernel, stride, (1,) * len(kernel))
    args["pad"] = "same_tf" if tf else pads_text(pads)
    return border.inputs[0]


@rule(
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
)  # fmt: skip
def adaptive(work: Translation, step: Step) -> Value | tuple[Value, None]:
    mean = "_avg_" in step.op
    value = work.value(step.first)
    out = work.output_shape()[1:]
    source = work.positional(value)
    if set(out) == {1}:
        node = work.layer("gap" if mean else "gmp", (source,))
    else:
        kind = "adaptiveavgpool" if mean else "adaptivemaxpool"
        node = work.layer(kind, (source,), head=f"{kind}{sizes(out)}")
    made = _finish(work, value, node)
    return made if mean else (made, None)


@rule("cnnc_blurpool")
def blurpool(work: Translation, step: Step) -> Value:
    value = work.value(step.args["input"])
    kernel = tuple(step.args["kernel"])
    stride = by_axis(step.args["stride"], len(kernel))
    head = f"blurpool{sizes(kernel)}" + f"/{sizes(stride)}"
    return _finish(work, value, work.layer("blurpool", (work.positional(value),), head=head))


@rule("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def pool_with_indices(work: Translation, step: Step) -> tuple[Value, None]:
    import dataclasses

    plain = dataclasses.replace(step, op=step.op.removesuffix("_with_indices"))
    return pool(work, plain), None
