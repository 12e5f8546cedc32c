"""Branch and bound over a space of params whose figures rise or fall with each of them.

A box of the space is dropped where some wish cannot hold anywhere in it, or where none of its points can
beat the best one found; the bounds are the figures at two of its corners. Along an axis on which a
figure was seen to go both ways no bound holds: there every value is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from heapq import heappop, heappush
from itertools import product

from cnnc.compiler.bounds import Number, spelled
from cnnc.dsl.record import record
from cnnc.solving.evaluate import Evaluator, Found
from cnnc.solving.space import Point

SAMPLES = 5
"""How many values of an axis are looked at to see whether figures rise or fall along it."""

INFINITE = float("inf")


@record
class Outcome:
    """The best point, None where there is none, and how it was found.

    `ways` are the signs by axis and figure: 1 rising, -1 falling, 0 both. `tried` are points that were built.
    """

    best: Point | None
    found: Found | None
    tried: int
    ways: tuple[tuple[int, ...], ...]


def search(evaluator: Evaluator, *, most: bool) -> Outcome:
    """The point at which every wish holds and the first figure is largest (or with `most` false smallest)."""
    ways = _ways(evaluator)
    objective = 1 if most else -1
    best: tuple[float, Point] | None = None
    heap: list[tuple[float, int, Point, Point]] = []
    ticket = 0

    def push(low: Point, high: Point) -> None:
        nonlocal ticket
        bound = _bound(evaluator, ways, 0, low, high, objective) * objective
        if _possible(evaluator, ways, low, high) and (best is None or bound > best[0]):
            ticket += 1
            heappush(heap, (-bound, ticket, low, high))

    for low, high in _boxes(evaluator, ways):
        push(low, high)
    while heap:
        bound, _, low, high = heappop(heap)
        if best is not None and -bound <= best[0]:
            break
        for point in {_corner(ways, 0, low, high, objective), low, high}:
            found = evaluator.at(point)
            if found.is_built and all(found.holds):
                value = float(found.figures[0]) * objective
                if best is None or value > best[0]:
                    best = (value, point)
        axis = max(range(len(low)), key=lambda i: high[i] - low[i])
        if high[axis] == low[axis]:
            continue
        middle = (low[axis] + high[axis]) // 2
        push(low, (*high[:axis], middle, *high[axis + 1 :]))
        push((*low[:axis], middle + 1, *low[axis + 1 :]), high)
    if best is None:
        return Outcome(best=None, found=None, tried=len(evaluator.known), ways=ways)
    point = _simplest(evaluator, best[1])
    return Outcome(best=point, found=evaluator.at(point), tried=len(evaluator.known), ways=ways)


def _ways(evaluator: Evaluator) -> tuple[tuple[int, ...], ...]:
    """For each axis and figure, which way it goes: looked at along the axis through both ends of the others."""
    axes = evaluator.space.axes
    out = []
    for i, axis in enumerate(axes):
        last = len(axis.values) - 1
        samples = sorted({last * k // (SAMPLES - 1) for k in range(SAMPLES)})
        signs: list[set[int]] = [set() for _ in evaluator.figures]
        for end in (0, 1):
            others = [(len(a.values) - 1) * end for a in axes]
            before: Found | None = None
            for index in samples:
                found = evaluator.at((*others[:i], index, *others[i + 1 :]))
                if not found.is_built:
                    continue
                if before is not None:
                    for f, (a, b) in enumerate(zip(before.figures, found.figures, strict=True)):
                        if a != b:
                            signs[f].add(1 if b > a else -1)
                before = found
            if len(axes) == 1:
                break
        out.append(tuple(0 if len(found_) > 1 else next(iter(found_), 1) for found_ in signs))
    return tuple(out)


def _boxes(evaluator: Evaluator, ways: Sequence[Sequence[int]]) -> Iterator[tuple[Point, Point]]:
    """The whole space, cut into single values along the axes where figures go both ways."""
    spans = []
    for axis, signs in zip(evaluator.space.axes, ways, strict=True):
        last = len(axis.values) - 1
        spans.append([(i, i) for i in range(last + 1)] if 0 in signs else [(0, last)])
    for box in product(*spans):
        yield tuple(low for low, _ in box), tuple(high for _, high in box)


def _corner(ways: Sequence[Sequence[int]], figure: int, low: Point, high: Point, sign: int) -> Point:
    """Where in a box a figure is largest (sign 1) or smallest (-1)."""
    return tuple(h if way[figure] * sign > 0 else lo for way, lo, h in zip(ways, low, high, strict=True))


def _bound(
    evaluator: Evaluator, ways: Sequence[Sequence[int]], figure: int, low: Point, high: Point, sign: int
) -> float:
    """The largest (sign 1) or smallest (-1) value of a figure in a box; without limit where the corner cannot be built."""
    found = evaluator.at(_corner(ways, figure, low, high, sign))
    return float(found.figures[figure]) if found.is_built else sign * INFINITE


def _possible(evaluator: Evaluator, ways: Sequence[Sequence[int]], low: Point, high: Point) -> bool:
    """Whether every wish can hold somewhere in a box, as far as its corners say."""
    first = len(evaluator.figures) - len(evaluator.wishes)
    for i, wish in enumerate(evaluator.wishes):
        corners = [evaluator.at(_corner(ways, first + i, low, high, sign)) for sign in (-1, 1)]
        if not all(c.is_built for c in corners):
            continue
        if any(c.holds[i] for c in corners):
            continue
        if wish.op in ("==", "~=") and low != high:
            least, most = (c.figures[first + i] for c in corners)
            if least < most:
                continue  # it may hold between the two
        if wish.op == "!=" and low != high:
            continue
        return False
    return True


def _simplest(evaluator: Evaluator, point: Point) -> Point:
    """Of the neighbouring points with the same figures, the one whose numbers are written shortest."""
    for i, axis in enumerate(evaluator.space.axes):
        if not all(isinstance(v, int) for v in axis.values):
            point = _simplest_along(evaluator, point, i)
    return point


def _simplest_along(evaluator: Evaluator, point: Point, i: int) -> Point:
    """`_simplest` along one axis."""
    axis, wanted = evaluator.space.axes[i], evaluator.at(point)

    def moved(index: int) -> Point:
        return (*point[:i], index, *point[i + 1 :])

    def is_same(index: int) -> bool:
        return evaluator.at(moved(index)) == wanted

    low, high = _edge(point[i], 0, is_same), _edge(point[i], len(axis.values) - 1, is_same)
    best = min(range(low, high + 1), key=lambda k: _cost(axis.values[k], axis.default))
    return moved(best) if is_same(best) else point


def _edge(inside: int, end: int, same: Callable[[int], bool]) -> int:
    """The farthest index towards `end` up to which figures are the same, by bisection."""
    if same(end):
        return end
    outside = end
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        if same(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _cost(value: Number, default: Number) -> tuple[int, int, Fraction]:
    """Of values as short as each other the one of the smaller denominator (0.75, not 0.76), then the nearest."""
    exact = Fraction(value)
    return len(spelled(value)), exact.denominator, abs(exact - Fraction(default))
