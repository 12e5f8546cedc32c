"""The lines that bring a value into the layout that a layer wants."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnc.compiler.ops import by_x
from cnnc.importer.layout import Atom, Axes, Axis, Move, Value, conversion, flat, refine, size_of
from cnnc.importer.refusal import Refusal
from cnnc.importer.text import sizes

if TYPE_CHECKING:
    from cnnc.importer.translate import Translation

LETTERS = {1: "C", 2: "CW", 3: "CHW", 4: "CDHW"}


def laid(work: Translation, value: Value, want: Axes) -> int:
    """The line whose tensor has the value's numbers with these axes."""
    if any(atom is value.batch for atom in flat(want)):
        raise Refusal("its batch is folded with positions or channels, which the language cannot say")
    if not 1 <= len(want) <= 4:
        raise Refusal(f"a tensor of {len(want)} axes, and the language has tensors of 1 to 4")
    real = tuple(tuple(atom for atom in axis if not atom.stretched) for axis in want)
    node = value.node
    for move in conversion(value.lang, real):
        node = _moved(work, node, move)
    if real != tuple(want):
        node = _stretched(work, node, real, want)
    return node


def _moved(work: Translation, node: int, move: Move) -> int:
    """One layer that only moves values; the same one is written once."""
    if (node, move) not in work.moved:
        work.moved[node, move] = _write(work, node, move)
    return work.moved[node, move]


def _write(work: Translation, node: int, move: Move) -> int:
    kind, numbers = move
    if kind == "reshape":
        return work.layer(kind, (node,), args={"": by_x(numbers)})
    if kind == "permute":
        letters = LETTERS[len(numbers)]
        return work.layer(kind, (node,), head=f"permute({', '.join(letters[i] for i in numbers)})")
    if kind == "shuffle":
        return work.layer(kind, (node,), args={"": numbers[0]})
    return work.layer(kind, (node,))


def _stretched(work: Translation, node: int, real: Axes, want: Axes) -> int:
    if any(axis and axis != wanted for axis, wanted in zip(real, want, strict=True)):
        raise Refusal("an axis repeated in part, which no layer does")
    if real[0] == want[0] and len(want) > 1:
        return work.layer("stretch", (node,), args={"": sizes(tuple(map(size_of, want[1:])))})
    if len(want) == 4:
        raise Refusal("channels repeated by broadcasting, over three axes of positions, which no layer does")
    # Channels are repeated as an axis of positions.
    node = work.layer("reshape", (node,), args={"": by_x((1, *map(size_of, real)))})
    node = work.layer("stretch", (node,), args={"": sizes(tuple(map(size_of, want)))})
    return work.layer("reshape", (node,), args={"": by_x(tuple(map(size_of, want)))})


def channels_at(work: Translation, value: Value, axis: int) -> Value:
    """The value on a tensor whose channels are torch's axis; positions stay where they are if they can."""
    wanted = value.axes[axis]
    if any(atom is value.batch for atom in wanted):
        raise Refusal("the batch is taken for channels, which the language cannot say")
    if value.lang[0] == wanted and not any(a.stretched for a in wanted):
        return value
    return relaid(work, value, (wanted, *_rest(value, wanted)))


def _rest(value: Value, wanted: Axis) -> list[Axis]:
    """The other factors, an axis of positions for each axis of torch; at most three."""
    rest = [tuple(a for a in axis if a not in wanted and a is not value.batch) for axis in value.axes]
    kept = [axis for axis in rest if axis]
    if len(kept) > 3:
        kept = [*kept[:2], flat(kept[2:])]
    return kept


def relaid(work: Translation, value: Value, want: Axes) -> Value:
    """The value on a tensor with these axes."""
    node = laid(work, value, want)
    solid = {atom: Atom(atom.size) for atom in flat(want) if atom.stretched}

    def plain(axes: Axes) -> Axes:
        return tuple(tuple(solid.get(a, a) for a in axis) for axis in axes)

    return replace(value, node=node, lang=plain(want), axes=plain(value.axes))


def paired(a: Value, b: Value, but: int | None = None) -> tuple[Value, Value, dict[Atom, Atom]]:
    """Two values whose axes are cut alike, and which factor of the first each of the second's is.

    Axes pair from the right, as torch broadcasts. `but` names an axis of the result that is left alone. Where only one
    of the two has an axis, its factors are in no pair.
    """
    rank = max(len(a.axes), len(b.axes))
    a, b = (replace(v, axes=((),) * (rank - len(v.axes)) + v.axes) for v in (a, b))
    for i in range(rank):
        if i != but and a.axes[i] and b.axes[i] and a.axes[i] != b.axes[i]:
            refined = refine(a, i, b, i)
            if refined is None:
                raise Refusal("two tensors whose axes are made of different factors meet")
            a, b = refined
    pairs = {
        y: x
        for i in range(rank)
        if i != but and a.axes[i] and b.axes[i]
        for x, y in zip(a.axes[i], b.axes[i], strict=True)
    }
    return a, b, pairs
