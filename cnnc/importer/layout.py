"""Where the values of a torch tensor lie: every axis as factors of the axes of a tensor of the spec.

PyTorch code moves axes about by views, permutes and reshapes, mostly to reach the layout that one operator wants. Here
these move factors only and write nothing; a layer that needs an order asks `conversion` for it.

>>> batch, c, h, w = (Atom(n) for n in (2, 6, 4, 4))
>>> image = Value(0, ((c,), (h,), (w,)), ((batch,), (c,), (h,), (w,)), batch)
>>> shuffled = image.view((2, 2, 3, 4, 4)).permute((0, 2, 1, 3, 4)).view((2, 6, 4, 4))
>>> conversion(shuffled.lang, shuffled.axes[1:])
[('shuffle', (2,))]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, pairwise, permutations
from math import prod
from typing import TypeVar

from cnnc.importer.refusal import Refusal

MAX_RANK = 4
"""Axes of a tensor of the language: channels and three of positions."""


_Run = TypeVar("_Run")


class Atom:
    """A factor of an axis. Equal only to itself. `stretched`: the value is repeated along it, and the spec's tensor lacks it."""

    __slots__ = ("size", "stretched")

    def __init__(self, size: int, stretched: bool = False) -> None:
        self.size = size
        self.stretched = stretched

    def __repr__(self) -> str:
        return f"<{self.size}{'*' if self.stretched else ''}>"


Axis = tuple[Atom, ...]
Axes = tuple[Axis, ...]


def size_of(axis: Iterable[Atom]) -> int:
    return prod(atom.size for atom in axis)


def flat(axes: Iterable[Axis]) -> Axis:
    return tuple(atom for axis in axes for atom in axis)


@dataclass(frozen=True, slots=True)
class Value:
    """A torch tensor as an arrangement of a tensor of the spec.

    `node` is the spec's tensor, whose axes are `lang`, channels first; `axes` are torch's. An axis of size 1 has no
    factor. `batch` is the factor that the spec's tensor lacks; a parameter has none.
    """

    node: int
    lang: Axes
    axes: Axes
    batch: Atom | None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(size_of, self.axes))

    def permute(self, order: Sequence[int]) -> Value:
        return replace(self, axes=tuple(self.axes[i] for i in order))

    def view(self, shape: Sequence[int]) -> Value | None:
        """The value in another shape, row by row; None where a factor cannot be cut that way."""
        here: Value = self
        rest = list(flat(here.axes))
        axes: list[Axis] = []
        for size in shape:
            axis: list[Atom] = []
            have = 1
            while have < size or (rest and rest[0] is here.batch and rest[0].size == 1):
                if not rest:
                    return None
                atom = rest.pop(0)
                if size % (have * atom.size):
                    head = size // have
                    if size % have or atom.size % head or atom is here.batch:
                        return None
                    first, second = (Atom(n, atom.stretched) for n in (head, atom.size // head))
                    here = here._cut(atom, (first, second))
                    rest.insert(0, second)
                    atom = first
                axis.append(atom)
                have *= atom.size
            axes.append(tuple(axis))
        return None if rest else replace(here, axes=tuple(axes))

    def _cut(self, atom: Atom, parts: Axis) -> Value:
        def cut(axes: Axes) -> Axes:
            return tuple(
                tuple(part for a in axis for part in (parts if a is atom else (a,))) for axis in axes
            )

        return replace(self, lang=cut(self.lang), axes=cut(self.axes))

    def split(self, axis: int, sizes: Sequence[int]) -> Value | None:
        """The value with the factors of an axis cut so that prefixes of them have these sizes."""
        shape = [size for i, n in enumerate(self.shape) for size in (sizes if i == axis else (n,))]
        found = self.view(shape)
        if found is None:
            return None
        before, after = found.axes[:axis], found.axes[axis + len(sizes) :]
        return replace(found, axes=(*before, flat(found.axes[axis : axis + len(sizes)]), *after))


def refine(a: Value, i: int, b: Value, j: int) -> tuple[Value, Value] | None:
    """Two values with axis i of one and axis j of the other cut alike; None where that cannot be."""
    sizes: list[int] = []
    left, right = [x.size for x in a.axes[i]], [x.size for x in b.axes[j]]
    while left and right:
        n = min(left[0], right[0])
        if left[0] % n or right[0] % n:
            return None
        sizes.append(n)
        for part in (left, right):
            part[0] //= n
            if part[0] == 1:
                part.pop(0)
    first, second = a.split(i, sizes), b.split(j, sizes)
    return None if first is None or second is None else (first, second)


Move = tuple[str, tuple[int, ...]]
"""`reshape` with sizes, `permute` with an order of axes, `shuffle` with its groups, `squeeze`, `flatten`."""


def conversion(have: Axes, want: Axes) -> list[Move]:
    """The layers that bring a tensor's axes into a wanted form. Raises Refusal where there are none.

    >>> c, h, w = Atom(8), Atom(4), Atom(2)
    >>> conversion(((c,), (h,), (w,)), ((c,), (h, w)))
    [('reshape', (8, 8))]
    >>> conversion(((c,), (h, w)), ((h,), (w,), (c,)))
    [('permute', (1, 0)), ('reshape', (4, 2, 8))]
    >>> y, x = Atom(3), Atom(5)
    >>> conversion(((c,), (h, y), (w, x)), ((c,), (y, x), (h, w)))
    [('reshape', (8, 4, 3, 10)), ('permute', (0, 1, 3, 2)), ('reshape', (8, 8, 5, 3)), ('permute', (0, 3, 2, 1)), ('reshape', (8, 15, 8))]
    """
    if have == want:
        return []
    if set(flat(have)) != set(flat(want)):
        raise Refusal("its values are cut in a way that no layer can follow")
    if flat(have) == flat(want):
        return [_regroup(have, want)]
    groups = _shuffled(have, want)
    if groups is not None:
        return [("shuffle", (groups,))]
    moves: list[Move] = []
    here = have
    while flat(here) != flat(want):
        before, order = _turned(_runs(here, want), want)
        if tuple(here) != before:
            moves.append(_regroup(here, before))
        moves.append(("permute", order))
        here = tuple(before[i] for i in order)
    if here != tuple(want):
        moves.append(_regroup(here, want))
    return moves


def _turned(runs: Axes, want: Axes) -> tuple[Axes, tuple[int, ...]]:
    """The next permute towards a wanted order: the axes before it, and their new order.

    Where the runs are more than a tensor has axes, it is the first of the fewest permutes of neighbouring runs together.
    """
    target = _merged(want, runs)
    if len(runs) <= MAX_RANK:
        return runs, tuple(runs.index(run) for run in target)
    if len(runs) > _MOST_RUNS:
        return _nearer(runs, target)
    goal = tuple(runs.index(run) for run in target)
    first: dict[tuple[int, ...], tuple[tuple[int, ...], tuple[int, ...]]] = {}
    start = tuple(range(len(runs)))
    todo = [start]
    for state in todo:
        for cuts, order in _turns(len(runs)):
            parts = _parts(state, cuts)
            after = tuple(n for i in order for n in parts[i])
            if after not in first:
                first[after] = (cuts, order) if state == start else first[state]
                todo.append(after)
        if goal in first:
            break
    cuts, order = first[goal]
    return tuple(flat(part) for part in _parts(runs, cuts)), order


def _nearer(runs: Axes, target: Axes) -> tuple[Axes, tuple[int, ...]]:
    """Of many runs: the first permute after which the most of them stand before the run that follows in the target."""
    after = {id(one): id(two) for one, two in pairwise(target)}

    def right(turn: _Turn) -> int:
        parts = _parts(runs, turn[0])
        turned = [id(run) for i in turn[1] for run in parts[i]]
        return sum(after.get(one) == two for one, two in pairwise(turned))

    cuts, order = max(_turns(len(runs)), key=right)
    return tuple(flat(part) for part in _parts(runs, cuts)), order


_Turn = tuple[tuple[int, ...], tuple[int, ...]]
"""A permute of runs taken together as the axes of one tensor: where they are cut, and the order of the parts."""
_MOST_RUNS = 6
"""More than so many are brought into order one permute after another, and not by the fewest."""


@cache
def _turns(count: int) -> tuple[_Turn, ...]:
    """The permutes of so many runs."""
    return tuple(
        (cuts, order)
        for cuts in combinations(range(1, count), MAX_RANK - 1)
        for order in permutations(range(MAX_RANK))
        if order != tuple(range(MAX_RANK))
    )


def _parts(runs: Sequence[_Run], cuts: tuple[int, ...]) -> list[Sequence[_Run]]:
    return [runs[a:b] for a, b in pairwise((0, *cuts, len(runs)))]


def _regroup(have: Axes, want: Axes) -> Move:
    if len(want) == 1 and len(have) > 1:
        return ("flatten", ())
    if len(want) < len(have) and have[0] and (have[0], *(axis for axis in have[1:] if axis)) == tuple(want):
        return ("squeeze", ())
    if len(want) > MAX_RANK:
        raise Refusal(f"a tensor of {len(want)} axes, and a tensor of the language has at most {MAX_RANK}")
    return ("reshape", tuple(map(size_of, want)))


def _shuffled(have: Axes, want: Axes) -> int | None:
    """The groups of a channel shuffle, where that is all that differs."""
    if len(have) < 2 or len(have) != len(want) or have[1:] != want[1:] or set(have[0]) != set(want[0]):
        return None
    for cut in range(1, len(have[0])):
        if have[0][cut:] + have[0][:cut] == want[0]:
            return size_of(have[0][:cut])
    return None


def _runs(have: Axes, want: Axes) -> Axes:
    """The factors in the order of `have`, those together that stay together; each run is one axis of a permute."""
    after = dict(pairwise(flat(want)))
    runs: list[list[Atom]] = []
    for atom in flat(have):
        if runs and after.get(runs[-1][-1]) is atom:
            runs[-1].append(atom)
        else:
            runs.append([atom])
    return tuple(map(tuple, runs))


def _merged(want: Axes, runs: Axes) -> Axes:
    """The runs in the wanted order."""
    starts = {run[0]: run for run in runs}
    return tuple(starts[atom] for atom in flat(want) if atom in starts)
