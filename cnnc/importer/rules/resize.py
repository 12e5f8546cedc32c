"""Layers that change the size of a map: interpolation, borders, pixel shuffles."""

from __future__ import annotations

from typing import Any

from cnnc.compiler.ops import by_x
from cnnc.importer.layout import Value
from cnnc.importer.refusal import Refusal
from cnnc.importer.rules.convolution import pads_text
from cnnc.importer.rules.views import part
from cnnc.importer.text import sizes
from cnnc.importer.traced import Step
from cnnc.importer.translate import Translation, rule


def _made(work: Translation, value: Value, kind: str, args: dict[str, Any]) -> Value:
    node = work.layer(kind, (work.positional(value),), args=args)
    assert value.batch is not None
    return work.fresh(node, work.output_shape(), value.batch)


_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@rule(
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d",
    "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d",
)  # fmt: skip
def upsample(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    before, after = value.shape[2:], work.output_shape()[1:]
    if before == after and not step.args.get("scale_factors"):
        return value  # every position is sampled where it lies
    rank = len(after)
    args: dict[str, Any] = {}
    whole = {b // a for a, b in zip(before, after, strict=True)}
    factors = step.args.get("scale_factors")
    if factors is not None and any(f != int(f) for f in factors) and "linear" in step.op:
        raise Refusal("an interpolation by a factor that is no integer")
    if all(b % a == 0 for a, b in zip(before, after, strict=True)):
        args[""] = sizes(tuple(b // a for a, b in zip(before, after, strict=True)))
    else:
        args["size"] = by_x(after) if len(set(after)) > 1 or rank == 1 else str(after[0])
    assert whole
    if "nearest" not in step.op:
        args["mode"] = _MODES[rank]
        if step.args.get("align_corners"):
            args["align_corners"] = True
    return _made(work, value, "upsample", args)


@rule("upsample_bicubic2d", "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa")
def resampled(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    if value.shape != step.shapes[0] or step.args.get("scale_factors"):
        raise Refusal("the language has no layer for it")
    return value  # every position is sampled where it lies


@rule(
    "pad",
    "constant_pad_nd",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
)
def border(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    given = step.args.get("pad", step.args.get("padding"))
    mode = {"constant_pad_nd": "constant"}.get(step.op, step.args.get("mode", "constant"))
    mode = (
        "reflect"
        if step.op.startswith("reflection")
        else "replicate"
        if step.op.startswith("replication")
        else mode
    )
    if not any(given):
        return value
    rank = len(value.axes) - 2
    pads = [(given[2 * i], given[2 * i + 1]) for i in range(len(given) // 2)]
    if any(side for pad in pads[rank:] for side in pad):
        raise Refusal("a border along channels or the batch")
    for i, pad in enumerate(pads):
        if min(pad) < 0:  # a border of negative size takes away
            dim = len(value.axes) - 1 - i
            start = max(-pad[0], 0)
            value = part(work, value, dim, start, value.shape[dim] - start - max(-pad[1], 0))
    pads = [(max(before, 0), max(after, 0)) for before, after in pads]
    if not any(map(any, pads)):
        return value
    sides = tuple(reversed([*pads[:rank], *[(0, 0)] * (rank - len(pads))]))
    args: dict[str, Any] = {"": pads_text(sides)}
    if mode != "constant":
        args["mode"] = mode
    elif step.args.get("value"):
        args["value"] = step.args["value"]
    return _made(work, value, "pad", args)


@rule("pixel_shuffle")
def pixel_shuffle(work: Translation, step: Step) -> Value:
    return _made(work, work.value(step.first), "pixelshuffle", {"": step.args["upscale_factor"]})


@rule("pixel_unshuffle")
def pixel_unshuffle(work: Translation, step: Step) -> Value:
    return _made(work, work.value(step.first), "spacetodepth", {"": step.args["downscale_factor"]})


@rule("channel_shuffle")
def channel_shuffle(work: Translation, step: Step) -> Value:
    return _made(work, work.value(step.first), "shuffle", {"": step.args["groups"]})


@rule("cnnc_crop")
def crop(work: Translation, step: Step) -> Value:
    return _made(work, work.value(step.first), "crop", {"": sizes(step.args["size"])})


@rule("cnnc_subsampled")
def subsampled(work: Translation, step: Step) -> Value:
    args = {"width": step.args["width"], "stride": sizes(step.args["stride"])}
    return _made(work, work.value(step.first), "shortcut_pad", args)
