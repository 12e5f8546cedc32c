"""Means, maxima and sums along axes."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from cnnc.importer.arrange import LETTERS, relaid
from cnnc.importer.layout import Axes, Axis, Value, flat
from cnnc.importer.refusal import Refusal
from cnnc.importer.rules.merge import joined
from cnnc.importer.traced import Step
from cnnc.importer.translate import Translation, rule

_WHOLE = {"mean": "gap", "max": "gmp"}


@rule("mean", "sum", "amax")
def reduction(work: Translation, step: Step) -> Value:
    kind = {"amax": "max"}.get(step.op, step.op)
    value = work.value(step.first)
    return reduced(work, value, kind, step.args.get("dim"), bool(step.args.get("keepdim", False)))


def reduced(work: Translation, value: Value, kind: str, dim: Any, keep: bool) -> Value:
    """The value with axes taken together; `dim` as torch has it."""
    rank = len(value.axes)
    dims = [dim] if isinstance(dim, int) else list(range(rank)) if not dim else list(dim)
    places = sorted({d % rank for d in dims})
    gone = tuple(a for i in places for a in value.axes[i])
    if value.batch is not None and value.batch in gone:
        raise Refusal("it works along the batch")
    if any(atom.stretched for atom in gone):
        raise Refusal("it works along an axis that is repeated by broadcasting")
    value = _apply(work, value, kind, gone, places)
    axes = tuple(() if i in places else axis for i, axis in enumerate(value.axes))
    if not keep:
        axes = tuple(axis for i, axis in enumerate(axes) if i not in places)
    return replace(value, axes=axes)


def _apply(work: Translation, value: Value, kind: str, gone: Axis, places: list[int]) -> Value:
    """The value with factors taken together, on a tensor that keeps their axes at size 1."""
    positions = flat(value.lang[1:])
    every_position = len(value.lang) > 1 and set(positions) == set(gone)
    if every_position and kind in _WHOLE and (gone or len(places) == len(value.lang) - 1):
        node = work.layer(_WHOLE[kind], (value.node,))
        return replace(value, node=node, lang=_emptied(value.lang, gone))
    if not gone:
        return value
    if not all(set(axis) <= set(gone) or not set(axis) & set(gone) for axis in value.lang):
        value = relaid(work, value, _apart(value, gone, places))
    letters = LETTERS[len(value.lang)]
    along = [letters[i] for i, axis in enumerate(value.lang) if axis and set(axis) <= set(gone)]
    spelled = along[0] if len(along) == 1 else f"({', '.join(along)})"
    node = work.layer(kind, (value.node,), args={"axis": spelled})
    return replace(value, node=node, lang=_emptied(value.lang, gone))


def _emptied(lang: Axes, gone: Axis) -> Axes:
    return tuple(() if set(axis) <= set(gone) else axis for axis in lang)


def _apart(value: Value, gone: Axis, places: list[int]) -> Axes:
    """Axes in which the factors that go are apart from those that stay, channels first where channels stay."""
    kept = [
        tuple(a for a in axis if a is not value.batch) for i, axis in enumerate(value.axes) if i not in places
    ]
    kept = [axis for axis in kept if axis] or [()]
    if len(kept) > 3:
        kept = [*kept[:2], flat(kept[2:])]
    return (*kept, gone)


@rule("var")
def variance(work: Translation, step: Step) -> Value:
    """The mean of the squares of what is left without the mean, by one less than there are values where torch corrects so."""
    value = work.value(step.first)
    correction = step.args.get("correction", 1)
    if step.args.get("unbiased") is False:
        correction = 0
    dim, keep = step.args.get("dim"), bool(step.args.get("keepdim", False))
    mean = reduced(work, value, "mean", dim, True)
    mean = replace(mean, node=work.layer("times", (mean.node,), args={"": -1}))
    apart = joined(work, "add", value, mean)
    square = replace(apart, node=work.layer("pow", (apart.node,), args={"": 2}))
    found = reduced(work, square, "mean", dim, keep)
    count = prod(value.shape) // prod(mean.shape)
    if correction == 0:
        return found
    return replace(found, node=work.layer("times", (found.node,), args={"": count / (count - correction)}))


@rule("max", "min")
def maximum(work: Translation, step: Step) -> tuple[Value, None]:
    if step.op == "min" or step.args.get("dim") is None:
        raise Refusal("the language has no such reduction")
    value = work.value(step.first)
    return reduced(work, value, "max", step.args["dim"], bool(step.args.get("keepdim", False))), None
