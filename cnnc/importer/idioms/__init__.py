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
    steps = tuple(new for step in traced.steps for new in _rewritten(step, made))
    macs = None if traced.macs is None else traced.macs - sum(map(_uncounted, steps))
    return replace(traced, steps=with_scales(steps), macs=macs)


def _uncounted(step: Step) -> int:
    """The multiply-adds of one image that torch counts, and the language does not: those by fixed filters."""
    if step.op != "cnnc_blurpool":
        return 0
    assert step.shapes[0] is not None
    kernel: tuple[int, ...] = step.args["kernel"]
    return prod(step.shapes[0][1:]) * prod(kernel)


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
