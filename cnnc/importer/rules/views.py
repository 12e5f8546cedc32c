"""Views, permutes and slices: what moves factors of axes about, and what takes a part of an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from cnnc.compiler.ops import by_x
from cnnc.importer.arrange import LETTERS, laid, relaid
from cnnc.importer.layout import Atom, Axes, Axis, Value, flat, size_of
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Step
from cnnc.importer.translate import Translation, rule


def viewed(work: Translation, value: Value, shape: Sequence[int]) -> Value:
    """The value in another shape, row by row; laid out anew where its factors cannot be cut so."""
    if any(atom.stretched for atom in flat(value.axes)) and tuple(shape) != value.shape:
        value = relaid(work, value, tuple(a for a in value.axes if value.batch not in a))
    found = value.view(shape)
    if found is not None:
        return found
    if value.batch is None or shape[0] != value.batch.size or value.axes[0] != (value.batch,):
        raise Refusal("positions or channels are folded into the batch, which the language cannot say")
    rest = tuple(axis for axis in value.axes[1:] if axis) or ((),)
    node = laid(work, value, _at_most_four(rest))
    sizes = tuple(n for n in shape[1:] if n > 1) or (1,)
    if len(sizes) > 4:
        raise Refusal(f"a view of {len(sizes)} axes, and a tensor of the language has at most 4")

    made = work.layer("reshape", (node,), args={"": by_x(sizes)})
    here = work.fresh(made, sizes, value.batch)
    again = here.view(shape)
    assert again is not None
    return again


def _at_most_four(axes: Axes) -> Axes:
    return axes if len(axes) <= 4 else (*axes[:3], flat(axes[3:]))


@rule(
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as", "reshape_as"
)
def view(work: Translation, step: Step) -> Value:
    shape = step.shapes[0]
    assert shape is not None
    return viewed(work, work.value(step.first), shape)


@rule("permute")
def permute(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    return value.permute([d % len(value.axes) for d in step.args["dims"]])


@rule("transpose", "swapaxes", "swapdims")
def transpose(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    a, b = list(step.args.values())[1:3]
    order = list(range(len(value.axes)))
    order[a], order[b] = order[b], order[a]
    return value.permute(order)


@rule("t", "mT", "numpy_T")
def t(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    rank = len(value.axes)
    return value.permute([*range(rank - 2), *range(rank - 1, max(rank - 3, -1), -1)][:rank])


@rule("movedim", "moveaxis")
def movedim(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    rank = len(value.axes)
    source, target = (
        [d % rank for d in ([n] if isinstance(n, int) else n)]
        for n in (step.args["source"], step.args["destination"])
    )
    rest = iter(i for i in range(rank) if i not in source)
    return value.permute([source[target.index(i)] if i in target else next(rest) for i in range(rank)])


@rule("expand", "expand_as", "broadcast_to")
def expand(work: Translation, step: Step) -> Value:
    """Repeats an axis of size 1 without writing it; what needs it there writes a `stretch`."""
    value = work.value(step.first)
    shape = step.shapes[0]
    assert shape is not None
    axes: Axes = ((),) * (len(shape) - len(value.axes)) + value.axes
    batch = value.batch
    if batch is None and shape[0] == work.traced.batch and not axes[0] and len(shape) > 1:
        flowing = next(v for v in work.known.values() if isinstance(v, Value) and v.batch is not None)
        batch = flowing.batch
        assert batch is not None
        axes = ((batch,), *axes[1:])
    axes = tuple(
        axis if size_of(axis) == n else (Atom(n, True),) for axis, n in zip(axes, shape, strict=True)
    )
    return replace(value, axes=axes, batch=batch)


@rule("im2col")
def patches(work: Translation, step: Step) -> Value:
    """Windows that neither overlap nor leave anything out only move values: `nn.Unfold` with its kernel as its stride."""
    value = work.value(step.first)
    kernel = list(step.args["kernel_size"])
    whole = not any(n % k for n, k in zip(value.shape[2:], kernel, strict=True))
    plain = set(step.args["padding"]) == {0} and set(step.args["dilation"]) == {1}
    if kernel != list(step.args["stride"]) or not plain or not whole:
        raise Refusal("windows that overlap or leave something out")
    (batch, channels, height, width), (kh, kw) = value.shape, kernel
    apart = viewed(work, value, (batch, channels, height // kh, kh, width // kw, kw))
    shape = step.shapes[0]
    assert shape is not None
    return viewed(work, apart.permute((0, 1, 3, 5, 2, 4)), shape)


# --- parts ----------------------------------------------------------------------------------


def part(work: Translation, value: Value, dim: int, start: int, length: int) -> Value:
    """A stretch of an axis. Of a factor that is outermost in an axis of the tensor, it is a slice of that."""
    axis = value.axes[dim]
    total = size_of(axis)
    if length == total:
        return value
    if length == 0:
        return _with_axis(value, dim, (Atom(0),))  # what a concatenation leaves out
    if value.batch is not None and value.batch in axis:
        raise Refusal("it takes a part of the batch")
    if any(atom.stretched for atom in axis):
        return _with_axis(value, dim, (Atom(length, True),) if length > 1 else ())
    place = next((i for i, own in enumerate(value.lang) if own[: len(axis)] == axis), None)
    if place is None:
        value = relaid(work, value, _outermost(value, dim))
        place = 0
    rest = value.lang[place][len(axis) :]
    new: Axis = (Atom(length),) if length > 1 else ()
    node = _slice(work, value, place, (start, length, total), size_of(rest))
    lang = tuple(new + rest if i == place else own for i, own in enumerate(value.lang))
    return replace(_with_axis(value, dim, new), node=node, lang=lang)


def _with_axis(value: Value, dim: int, axis: Axis) -> Value:
    return replace(value, axes=tuple(axis if i == dim else a for i, a in enumerate(value.axes)))


def _outermost(value: Value, dim: int) -> Axes:
    rest = [tuple(a for a in axis if a is not value.batch) for i, axis in enumerate(value.axes) if i != dim]
    kept = [axis for axis in rest if axis]
    if len(kept) > 3:
        kept = [*kept[:2], flat(kept[2:])]
    return (value.axes[dim], *kept)


MOST_CHUNKS = 16
"""Parts of the channels of which one is a `chunk`; the last 3 of 195 channels are a `slice`."""


def _slice(work: Translation, value: Value, place: int, cut: tuple[int, int, int], inner: int) -> int:
    start, length, total = cut
    if place == 0 and total % length == 0 and start % length == 0 and total <= MOST_CHUNKS * length:
        move = ("chunk", (total // length, start // length))
        if (value.node, move) not in work.moved:
            head = f"chunk({total // length}, {start // length})"
            work.moved[value.node, move] = work.layer("chunk", (value.node,), head=head)
        return work.moved[value.node, move]
    low, high = start * inner, (start + length) * inner - 1
    axis = LETTERS[len(value.lang)][place]
    moved: tuple[Any, ...] = (value.node, "slice", low, high, place)
    if moved not in work.moved:
        along = "" if place == 0 else f", axis={axis}"
        bounds = f"{low or ''}..{'' if start + length == total else high}" if low < high else str(low)
        work.moved[moved] = work.layer("slice", (value.node,), head=f"slice({bounds}{along})")
    return work.moved[moved]


@rule("slice", "narrow")
def slice_(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    dim = step.args.get("dim", 0) % len(value.axes)
    size = value.shape[dim]
    start = step.args.get("start") or 0
    if isinstance(start, Value):
        raise Refusal("a slice whose bounds are computed")
    stride = step.args.get("step", 1)
    start = max(start + size, 0) if start < 0 else min(start, size)
    assert step.shapes[0] is not None
    length = step.shapes[0][dim]
    if stride == 1:
        return part(work, value, dim, start, length)
    return _strided(work, value, dim, (start, stride, length))


def _strided(work: Translation, value: Value, dim: int, cut: tuple[int, int, int]) -> Value:
    """Every n-th place: the axis cut in two factors, and one place of the inner one."""
    start, stride, length = cut
    size = value.shape[dim]
    if size % stride or start >= stride:
        raise Refusal(f"every {stride}th of {size} places, which no layer takes")
    shape = [*value.shape[:dim], size // stride, stride, *value.shape[dim + 1 :]]
    apart = viewed(work, value, shape)
    taken = part(work, apart, dim + 1, start, 1)
    assert taken.shape[dim] == length
    return replace(taken, axes=(*taken.axes[: dim + 1], *taken.axes[dim + 2 :]))


@rule("select")
def select(work: Translation, step: Step) -> Value:
    value = work.value(step.first)
    dim = step.args["dim"] % len(value.axes)
    index = step.args["index"]
    if not isinstance(index, int):
        raise Refusal("a place that is computed")
    taken = part(work, value, dim, index % value.shape[dim], 1)
    return replace(taken, axes=(*taken.axes[:dim], *taken.axes[dim + 1 :]))


class Parts:
    """The pieces of a split; one that nobody takes is not written."""

    def __init__(
        self, work: Translation, value: Value, dim: int, sizes: Sequence[int], gone: bool = False
    ) -> None:
        self.work, self.value, self.dim, self.sizes, self.gone = work, value, dim, list(sizes), gone

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> Value:
        i %= len(self.sizes)
        taken = part(self.work, self.value, self.dim, sum(self.sizes[:i]), self.sizes[i])
        if not self.gone:
            return taken
        return replace(taken, axes=(*taken.axes[: self.dim], *taken.axes[self.dim + 1 :]))


@rule("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split")
def split(work: Translation, step: Step) -> Any:
    value = work.value(step.first)
    dim = step.args.get("dim", 0) % len(value.axes)
    sizes = [shape[dim] for shape in step.shapes if shape is not None]
    return Parts(work, value, dim, sizes)


@rule("unbind")
def unbind(work: Translation, step: Step) -> Any:
    value = work.value(step.first)
    dim = step.args.get("dim", 0) % len(value.axes)
    return Parts(work, value, dim, [1] * value.shape[dim], gone=True)


@rule("numel", "size", "sym_numel")
def number(work: Translation, step: Step) -> int:
    return prod(work.value(step.first).shape)
