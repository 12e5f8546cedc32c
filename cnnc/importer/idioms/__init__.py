"""Several operators that together are one layer of the language: the last of them becomes that layer's step.

What the others gave is then needed by nothing, and goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

from cnnc.importer.idioms.attention import attention, gated
from cnnc.importer.idioms.makers import Makers
from cnnc.importer.idioms.moving import blurred, cropped, subsampled
from cnnc.importer.idioms.norms import l2_norm, local_response, response_norm, standardised, with_scales
from cnnc.importer.traced import Step, Traced


def joined_idioms(traced: Traced) -> Traced:
    """The trace with its idioms as steps of their own."""
    made = Makers({step.name: step for step in traced.steps}, traced.held, traced.inputs)
    rewritten = [(step, _rewritten(step, made)) for step in traced.steps]
    steps = tuple(new for _, joined in rewritten for new in joined)
    macs = traced.macs
    if macs is not None:
        macs -= sum(_macs(step, made) for step, joined in rewritten if _is_fixed(step, joined))
    return replace(traced, steps=with_scales(steps), macs=macs)


def _is_fixed(step: Step, joined: tuple[Step, ...]) -> bool:
    """Whether it is a convolution by fixed filters, whose multiply-adds torch counts and the language does not."""
    return step.op.startswith("conv") and not joined[-1].op.startswith("conv")


def _macs(step: Step, made: Makers) -> int:
    """The multiply-adds of one image by a filter for each channel."""
    kernel, shape = made.shape(step.args["weight"]), step.shapes[0]
    assert kernel is not None
    assert shape is not None
    return prod(shape[1:]) * prod(kernel[2:])


def _rewritten(step: Step, made: Makers) -> tuple[Step, ...]:
    for operators, idiom in _IDIOMS:
        if step.op in operators:
            found = idiom(step, made)
            new = found if isinstance(found, tuple) else () if found is None else (found,)
            if new and (not step.in_place or next(new[-1].refs()) == next(step.refs())):
                return new  # what it overwrites stays what it overwrote
    return (step,)


_Idiom = Callable[[Step, Makers], Step | tuple[Step, ...] | None]
_IDIOMS: tuple[tuple[tuple[str, ...], _Idiom], ...] = (
    (("matmul", "bmm"), attention),
    (("add",), response_norm),
    (("mul",), gated),
    (("div",), local_response),
    (("div",), l2_norm),
    (("pad", "constant_pad_nd"), subsampled),
    (("slice", "narrow"), cropped),
    (("conv1d", "conv2d", "conv3d"), standardised),
    (("conv1d", "conv2d", "conv3d"), blurred),
)
