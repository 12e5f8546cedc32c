"""Receptive fields on one axis, exactly: for every position of a map, the interval that it sees.

Sliding and spreading windows are periodic, so the interval of position i is
known from i modulo a period: position q*period + r sees `spans[r]` moved by
q*step. A chain without up-convolution has period 1: one span and one stride.
Where branches of different stride meet, the field is the hull of several
lattices, one for each stride. Everything is an integer; strides are the
rationals step/period.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import assert_never

from cnnc.compiler.ops.base import Axis, Shares, Spread
from cnnc.dsl.record import record

Interval = tuple[int, int]
"""The first and the last position seen."""

MAX_PHASES = 4096
MAX_STEP = 10**18


class FieldLimit(Exception):
    """A field beyond what is worth writing down; the message says which limit."""


@record
class Lattice:
    """Intervals that recur: position q*period + r sees `spans[r]` moved by q*step; None sees nothing.

    `step` is not negative, and `period` is the least that describes the field.
    """

    step: int
    spans: tuple[Interval | None, ...]

    @property
    def period(self) -> int:
        return len(self.spans)

    @property
    def rate(self) -> Fraction:
        """The distance between the fields of neighbouring positions, on average over a period."""
        return Fraction(self.step, len(self.spans))

    @property
    def reduced(self) -> tuple[int, int]:
        """The rate as a numerator and a denominator, in lowest terms."""
        shared = gcd(self.step, len(self.spans))
        return self.step // shared, len(self.spans) // shared

    def at(self, i: int) -> Interval | None:
        """What position i sees."""
        q, r = divmod(i, len(self.spans))
        span = self.spans[r]
        return None if span is None else (span[0] + q * self.step, span[1] + q * self.step)

    def offset(self) -> Fraction:
        """Twice the centre of position 0, averaged over the phases once each is moved back by r*rate.

        Layers that are symmetric about their centre keep it, up-convolutions included.
        """
        seen = [(r, span) for r, span in enumerate(self.spans) if span is not None]
        if not seen:
            return Fraction(0)
        ends, moves = sum(a + b for _, (a, b) in seen), 2 * self.step * sum(r for r, _ in seen)
        return Fraction(ends * self.period - moves, self.period * len(seen))


Hull = tuple[Lattice, ...]
"""The hull of lattices of different rates, in ascending order of rate; nearly always one."""

IDENTITY: Hull = (Lattice(1, ((0, 0),)),)


def constant(span: Interval | None) -> Hull:
    """Every position sees the same."""
    return (Lattice(0, (span,)),)


def at(hull: Hull, i: int) -> Interval | None:
    """What position i sees."""
    return union(lattice.at(i) for lattice in hull)


def union(spans: Iterable[Interval | None]) -> Interval | None:
    """The hull of intervals, None where there are none."""
    seen = [span for span in spans if span is not None]
    return (min(a for a, _ in seen), max(b for _, b in seen)) if seen else None


# --- through a layer ------------------------------------------------------------------


def through(hull: Hull, window: Axis | Spread | Shares) -> Hull:
    """The field of a layer's output, from the field of its input and its window on this axis."""
    return _checked(tuple(_through(lattice, window) for lattice in hull))


def _through(lattice: Lattice, window: Axis | Spread | Shares) -> Lattice:
    match window:
        case Axis():
            return slide(lattice, window)
        case Spread():
            return spread(lattice, window)
        case Shares():
            return share(lattice, window)
        case _:
            assert_never(window)


def slide(lattice: Lattice, w: Axis) -> Lattice:
    """Output o sees inputs o*stride - before + t*dilation, t = 0..kernel-1."""
    w = Axis(int(w.kernel), int(w.stride), int(w.before), int(w.dilation))
    m, step = lattice.period, lattice.step
    only = lattice.spans[0]
    if m == 1 and only is not None:
        first, last = -w.before, (w.kernel - 1) * w.dilation - w.before
        return Lattice(step * w.stride, ((only[0] + first * step, only[1] + last * step),))
    shared = gcd(m, w.stride)
    period = _phases(m // shared)
    # Taps m apart stand at one phase, so the first m reach lowest and the last m highest.
    taps = range(w.kernel)
    ends = {*taps[:m], *taps[-m:]}
    spans = tuple(
        union(lattice.at(o * w.stride - w.before + t * w.dilation) for t in ends) for o in range(period)
    )
    return _reduced(step * (w.stride // shared), spans)


def spread(lattice: Lattice, w: Spread) -> Lattice:
    """Input i reaches outputs i*stride - before + j*dilation, j = 0..kernel-1.

    So output o sees the inputs (o + before - j*dilation)/stride that are integers.
    """
    w = Spread(int(w.kernel), int(w.stride), int(w.before), int(w.dilation))
    m = lattice.period
    period = _phases(w.stride * m)
    every = w.stride // gcd(w.stride, w.dilation)  # taps that reach one output are this far apart
    spans = []
    for o in range(period):
        position = o + w.before
        found = (j for j in range(min(every, w.kernel)) if (position - j * w.dilation) % w.stride == 0)
        first = next(found, None)
        taps = range(0) if first is None else range(first, w.kernel, every)
        ends = {*taps[:m], *taps[-m:]}
        spans.append(union(lattice.at((position - j * w.dilation) // w.stride) for j in ends))
    return _reduced(lattice.step, tuple(spans))


def share(lattice: Lattice, w: Shares) -> Lattice:
    """Output o sees inputs floor(o*n/m) up to ceil((o + 1)*n/m) - 1, so output o + m sees n further on."""
    common = gcd(int(w.n), int(w.m))
    n, m = int(w.n) // common, int(w.m) // common
    turns = lattice.period // gcd(n, lattice.period)
    period = _phases(m * turns)
    spans = []
    for o in range(period):
        seen = range(o * n // m, -(-(o + 1) * n // m))
        # Of more than a period the first phases reach lowest and the last highest.
        ends = {*seen[: lattice.period], *seen[-lattice.period :]}
        spans.append(union(lattice.at(i) for i in ends))
    return _reduced(lattice.step * n * turns // lattice.period, tuple(spans))


def _phases(period: int) -> int:
    if period > MAX_PHASES:
        raise FieldLimit(f"the field has more than {MAX_PHASES} phases")
    return period


def _checked(hull: Hull) -> Hull:
    for lattice in hull:
        span = lattice.spans[0]
        reach = 0 if span is None else max(-span[0], span[1])
        if lattice.step > MAX_STEP or reach > MAX_STEP:
            raise FieldLimit("the field is more than 10^18 positions wide")
    return hull


def _reduced(step: int, spans: tuple[Interval | None, ...]) -> Lattice:
    """The lattice with its least period."""
    for period in range(1, len(spans)):
        if len(spans) % period == 0 and step * period % len(spans) == 0:
            short = Lattice(step * period // len(spans), spans[:period])
            if all(short.at(i) == span for i, span in enumerate(spans)):
                return short
    return Lattice(step, spans)


# --- where branches meet --------------------------------------------------------------


def join(hulls: Sequence[Hull]) -> Hull:
    """The hull over branches, position by position."""
    first = hulls[0]
    if all(hull == first for hull in hulls[1:]):
        return first
    by_rate: dict[tuple[int, int], list[Lattice]] = {}
    for hull in hulls:
        for lattice in hull:
            by_rate.setdefault(lattice.reduced, []).append(lattice)
    return tuple(sorted(map(_join_equal, by_rate.values()), key=lambda lattice: lattice.rate))


def _join_equal(lattices: Sequence[Lattice]) -> Lattice:
    """The hull of lattices of one rate."""
    period = _phases(lcm(*(lattice.period for lattice in lattices)))
    step = lattices[0].step * (period // lattices[0].period)
    return _reduced(step, tuple(union(lattice.at(i) for lattice in lattices) for i in range(period)))


# --- over all positions of a map ------------------------------------------------------


def collapse(hull: Hull, length: int) -> Interval | None:
    """What positions 0 to length-1 see together."""
    return union(span for lattice in hull for span in _extremes(lattice, length))


def _extremes(lattice: Lattice, length: int) -> Iterator[Interval | None]:
    """The first and the last field of each phase: steps are not negative, so these reach furthest."""
    for r in range(min(lattice.period, length)):
        yield lattice.spans[r]
        yield lattice.at(length - 1 - (length - 1 - r) % lattice.period)


def sizes(hull: Hull, length: int) -> tuple[int, ...]:
    """The field's size by phase, 0 where a position sees nothing.

    With several rates the size has no period, and these are the largest at the
    positions of each phase; the size is convex along a phase, so at one of its ends.
    """
    if len(hull) == 1:  # nearly always, and asked of every layer
        return tuple(map(_extent, hull[0].spans[:length]))
    period = lcm(*(lattice.period for lattice in hull))
    return tuple(
        max(_extent(at(hull, r)), _extent(at(hull, length - 1 - (length - 1 - r) % period)))
        for r in range(min(period, length))
    )


def _extent(span: Interval | None) -> int:
    return 0 if span is None else span[1] - span[0] + 1
