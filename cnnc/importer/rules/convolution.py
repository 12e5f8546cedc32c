"""Convolutions, and the linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cnnc.importer.arrange import channels_at
from cnnc.importer.layout import Atom, Value, flat
from cnnc.importer.refusal import Refusal
from cnnc.importer.text import over, sizes, spell
from cnnc.importer.traced import Held, Step
from cnnc.importer.translate import Translation, rule


def by_axis(value: Any, rank: int) -> tuple[int, ...]:
    """An argument of a window, one number for each axis."""
    if isinstance(value, int):
        return (value,) * rank
    numbers = tuple(value)
    return numbers * rank if len(numbers) == 1 else numbers


Pads = tuple[tuple[int, int], ...]


def pads_text(pads: Pads) -> Any:
    """Padding as short as it can be said."""
    if all(before == after for before, after in pads):
        return sizes(tuple(before for before, _ in pads))
    if len(pads) > 1 and len(set(pads)) > 1:
        return tuple(pads)
    return tuple(pads[0])


def by_axes(sides: Sequence[int]) -> Pads:
    """A border in torch's order, the last axis first, by axes.

    >>> by_axes((0, 1, 2, 3))
    ((2, 3), (0, 1))
    """
    return tuple((sides[i], sides[i + 1]) for i in range(len(sides) - 2, -1, -2))


def same(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> Pads | None:
    """The padding of both sides that `pad=same` is; None where a kernel is even."""
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return None if any(r % 2 for r in reach) else tuple((r // 2, r // 2) for r in reach)


def conv_weights(work: Translation, step: Step) -> dict[str, Held | None]:
    found: dict[str, Held | None] = {"weight": work.weight(step.args["weight"], "weight")}
    if step.args.get("bias") is not None:
        found["bias"] = work.weight(step.args["bias"], "bias")
    return found


@rule("conv1d", "conv2d", "conv3d")
def conv(work: Translation, step: Step) -> Value:
    rank = int(step.op[4])
    value = work.value(step.args["input"])
    weights = conv_weights(work, step)
    weight = weights["weight"]
    assert weight is not None
    kernel = weight.shape[2:]
    stride, dilation = (by_axis(step.args.get(key, 1), rank) for key in ("stride", "dilation"))
    pads, node = _padding(work, step, value, kernel, stride, dilation)
    groups = step.args.get("groups", 1)
    width, incoming = weight.shape[0], weight.shape[1] * groups
    depthwise = groups > 1 and groups == incoming and "cnnc_standardise" not in step.args
    args: dict[str, Any] = {}
    if any(d != 1 for d in dilation):
        args["dilation"] = sizes(dilation)
    if pads != same(kernel, dilation):
        args["pad"] = pads if isinstance(pads, str) else pads_text(pads)
    if depthwise and width != incoming:
        args["multiplier"] = width // incoming
    if groups > 1 and not depthwise:
        args["groups"] = groups
    if "bias" not in weights:
        args["bias"] = False
    standardised = step.args.get("cnnc_standardise")
    if standardised is not None:
        args |= _standardise(work, standardised, weights)
    kind = "dwconv" if depthwise else "conv"
    head = kind + sizes(kernel) + ("" if depthwise else f"-{width}")
    head += over(stride)
    made = work.layer(kind, (node,), head=head, args=args, weights=weights)
    return work.fresh(made, work.output_shape(), _batch(value))


def _standardise(work: Translation, how: dict[str, Any], weights: dict[str, Held | None]) -> dict[str, Any]:
    """The argument for standardised filters; the gain joins the layer's tensors."""
    given = [
        f"{key}={spell(how[key])}"
        for key, usual in (("eps", 1e-5), ("scale", 1))
        if how.get(key, usual) != usual
    ]
    if "gain" in how:
        weights["gain"] = work.weight(how["gain"], "gain")
        given.insert(1, "gain=yes")
    return {"standardise": f"standardise({', '.join(given)})" if given else True}


def _batch(value: Value) -> Atom:
    if value.batch is None:
        raise Refusal("it works on a tensor without a batch")
    return value.batch


def _padding(
    work: Translation, step: Step, value: Value, kernel: tuple[int, ...],
    stride: tuple[int, ...], dilation: tuple[int, ...],
) -> tuple[Pads | str, int]:  # fmt: skip
    """The convolution's padding, with a constant border before it taken in, and the line that it works on."""
    given = step.args.get("padding", 0)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    node = work.positional(value)
    if given == "valid":
        given = 0
    if given == "same":
        return tuple((r // 2, r - r // 2) for r in reach), node
    own = tuple((p, p) for p in by_axis(given, len(kernel)))
    border = work.spec.lines[node]
    if border.kind == "pad" and border.args.get("") is not None and not any(b for b, _ in own):
        pads = border_pads(border.args[""], len(kernel))
        if pads is not None and set(border.args) == {""} and min(min(p) for p in pads) >= 0:
            source = border.inputs[0]
            if is_tf(step, value, pads, kernel, stride, dilation):
                return "same_tf", source
            return pads, source
    return own, node


def border_pads(text: Any, rank: int) -> Pads | None:
    """What a `pad` layer's argument says, as `pads_text` wrote it."""
    if isinstance(text, str):
        numbers = tuple(map(int, text.split("x")))
        return tuple((n, n) for n in (numbers * rank if len(numbers) == 1 else numbers))
    if all(isinstance(p, tuple) for p in text):
        return tuple(text)
    return ((text[0], text[1]),) * rank


def is_tf(
    step: Step,
    value: Value,
    pads: Pads,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> bool:
    """Whether a border is what TensorFlow's rule gives and stands in a module that works it out so."""
    if "same" not in step.where.kind.lower():
        return False
    size = [n - b - a for n, (b, a) in zip(value.shape[2:], pads, strict=True)]
    return pads == tf_pads(size, kernel, stride, dilation)


def tf_pads(
    size: list[int], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Pads:
    """The padding of TensorFlow's `SAME` for a size.

    >>> tf_pads([224], (3,), (2,), (1,))
    ((0, 1),)
    """
    found = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        found.append((total // 2, total - total // 2))
    return tuple(found)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def tconv(work: Translation, step: Step) -> Value:
    rank = int(step.op[-2])
    value = work.value(step.args["input"])
    weights = conv_weights(work, step)
    weight = weights["weight"]
    assert weight is not None
    given = {
        key: by_axis(step.args.get(key, default), rank)
        for key, default in (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1))
    }
    groups = step.args.get("groups", 1)
    args: dict[str, Any] = {}
    if set(given["dilation"]) != {1}:
        args["dilation"] = sizes(given["dilation"])
    if "cnnc_sides" in step.args:
        args["pad"] = pads_text(by_axes(step.args["cnnc_sides"]))
    elif set(given["padding"]) != {0}:
        args["pad"] = sizes(given["padding"])
    if set(given["output_padding"]) != {0}:
        args["output_pad"] = sizes(given["output_padding"])
    if groups > 1:
        args["groups"] = groups
    if "bias" not in weights:
        args["bias"] = False
    head = f"tconv{sizes(weight.shape[2:])}-{weight.shape[1] * groups}"
    head += over(given["stride"])
    made = work.layer("tconv", (work.positional(value),), head=head, args=args, weights=weights)
    return work.fresh(made, work.output_shape(), _batch(value))


@rule("linear")
def linear(work: Translation, step: Step) -> Value:
    value = work.value(step.args["input"])
    weights = conv_weights(work, step)
    weight = weights["weight"]
    assert weight is not None
    args: dict[str, Any] = {} if "bias" in weights else {"bias": False}
    width = weight.shape[0]
    out = (Atom(width),) if width > 1 else ()
    last = value.axes[-1]
    dropconnect = step.args.get("cnnc_dropconnect")
    if value.batch is not None and len(value.axes) == 2 and value.axes[0] == (value.batch,):
        args |= {"dropconnect": dropconnect} if dropconnect else {}
        node = value.node if flat(value.lang) == last else work.laid(value, (last,))
        made = work.layer("fc", (node,), head=f"fc-{width}", args=args, weights=weights)
        return Value(made, (out,), ((value.batch,), out), value.batch)
    if dropconnect:
        raise Refusal("weights are dropped on a map, and the language drops them in `fc` alone")
    value = channels_at(work, value, len(value.axes) - 1)
    made = work.layer("linear", (value.node,), head=f"linear-{width}", args=args, weights=weights)
    return replace(value, node=made, lang=(out, *value.lang[1:]), axes=(*value.axes[:-1], out))
