"""Interval maps against sets: which coordinates each position sees, followed one by one through the layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import gcd, lcm
from random import Random

import pytest
from graphs import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnc.compiler import lattice
from cnnc.compiler.graph import Graph
from cnnc.compiler.lattice import IDENTITY, FieldLimit, Hull, Interval, Lattice
from cnnc.compiler.ops.base import Axis, Shares, Spread
from cnnc.compiler.recent import Recent
from cnnc.compiler.receptive_field import (
    AxisField,
    ReceptiveField,
    misalignments,
    receptive_field,
    receptive_fields,
)

QUICK = settings(max_examples=150, derandomize=True, database=None, deadline=None)
Window = Axis | Spread | Shares
REACH = range(-24, 25)

AXES = st.builds(Axis, st.integers(1, 4), st.integers(1, 4), st.integers(-2, 3), st.integers(1, 3))
SPREADS = st.builds(Spread, st.integers(1, 4), st.integers(1, 4), st.integers(-2, 3), st.integers(1, 3))
SHARES = st.builds(Shares, st.integers(1, 9), st.integers(1, 9))
CHAINS = st.lists(st.one_of(AXES, SPREADS), max_size=4)


def seen(chain: Sequence[Window], position: int) -> set[int]:
    """The inputs that a position behind a chain of windows sees, each found by trying."""
    places = {position}
    for window in reversed(chain):
        before: set[int] = set()
        for o in places:
            if isinstance(window, Axis):
                before |= {
                    o * window.stride - window.before + j * window.dilation for j in range(window.kernel)
                }
            elif isinstance(window, Shares):
                before |= {
                    i
                    for i in range(o * window.n // window.m - 2, (o + 1) * window.n // window.m + 3)
                    if i * window.m < (o + 1) * window.n and (i + 1) * window.m > o * window.n
                }
            else:
                reaches = range((o - 20) // window.stride - 1, (o + 20) // window.stride + 2)
                taps = range(window.kernel)
                before |= {
                    i
                    for i in reaches
                    for j in taps
                    if i * window.stride - window.before + j * window.dilation == o
                }
        places = before
    return places


def hull_of(places: set[int]) -> Interval | None:
    return (min(places), max(places)) if places else None


def moved(chain: Sequence[Window]) -> Hull:
    hull = IDENTITY
    for window in chain:
        hull = lattice.through(hull, window)
    return hull


def solid(window: Window) -> bool:
    """Whether a window sees something from every position, and a convex hull tells all of its hull."""
    return isinstance(window, Axis)


@given(st.lists(AXES | SHARES, max_size=3))
@QUICK
def test_shares_of_a_map_among_other_windows(chain: list[Window]) -> None:
    hull = moved(chain)
    for i in range(-3, 9):
        wanted, got = hull_of(seen(chain, i)), lattice.at(hull, i)
        assert got is not None
        assert wanted is not None
        if all(isinstance(w, Shares) or (w.dilation == 1 and w.kernel >= w.stride) for w in chain):
            assert got == wanted, (chain, i)
        else:
            assert got[0] <= wanted[0] <= wanted[1] <= got[1]


@pytest.mark.parametrize("tail", ["gap", "fc-3", "gmp"])
def test_a_global_layer_behind_unequal_windows_sees_the_whole_map(tail: str) -> None:
    graph = graph_of(f"input 3x13x13\nadaptiveavgpool5 -> g: {tail}\n")
    field = receptive_field(graph, graph.labels["g"])
    assert field is not None
    assert field.size == (13, 13)


def test_unequal_windows_are_a_range() -> None:
    graph = graph_of("input 3x13x13\nadaptiveavgpool5 -> g: conv3-4\n")
    first, second = (receptive_field(graph, graph.labels[name]) for name in ("adaptiveavgpool1", "g"))
    assert first is not None
    assert second is not None
    assert first.axes[0].sizes == (3, 4, 3, 4, 3)
    assert second.axes[0].stride == Fraction(13, 5)


@given(CHAINS)
@QUICK
def test_a_chain_of_windows_is_the_hull_of_what_is_seen(chain: list[Window]) -> None:
    """An interval map keeps hulls; of windows with holes after a stretch the hull may be the larger."""
    hull = moved(chain)
    (one,) = hull
    exact = all(isinstance(w, Axis) and w.dilation == 1 for w in chain[1:]) and len(chain) > 0
    exact = exact or sum(isinstance(w, Spread) for w in chain) == 0 or len(chain) == 1
    for i in REACH:
        wanted, got = hull_of(seen(chain, i)), lattice.at(hull, i)
        if exact:
            assert got == wanted, (chain, i)
        elif wanted is not None:
            assert got is not None
            assert got[0] <= wanted[0] <= wanted[1] <= got[1]
    # What recurs, and that no smaller period would do.
    m, step = one.period, one.step
    for i in REACH:
        here, later = one.at(i), one.at(i + m)
        assert later == (None if here is None else (here[0] + step, here[1] + step))
    for p in range(1, m):
        if m % p == 0 and step * p % m == 0:
            short = Lattice(step * p // m, one.spans[:p])
            assert any(short.at(i) != one.at(i) for i in range(m))
    assert one.rate == Fraction(step, m)
    assert Fraction(*one.reduced) == one.rate
    assert gcd(*one.reduced) == 1 or one.rate == 0


@given(SPREADS, SPREADS, AXES)
@QUICK
def test_windows_on_fields_with_phases(first: Spread, second: Spread, last: Axis) -> None:
    """The hull of the hulls of what is looked at, position by position."""
    before = moved([first])
    for window in (second, last):
        after = lattice.through(before, window)
        for o in REACH:
            spans = [lattice.at(before, i) for i in seen([window], o)]
            lows = [span[0] for span in spans if span is not None]
            highs = [span[1] for span in spans if span is not None]
            wanted = (min(lows), max(highs)) if lows else None
            assert lattice.at(after, o) == wanted, (first, second, last, o)
        before = after


@given(st.lists(CHAINS, min_size=1, max_size=3), st.integers(1, 13))
@QUICK
def test_branches_meet_in_their_hull(chains: list[list[Window]], length: int) -> None:
    hulls = [moved(chain) for chain in chains]
    joined = lattice.join(hulls)
    spans = {i: [lattice.at(hull, i) for hull in hulls] for i in REACH}
    for i in REACH:
        seen_here = [span for span in spans[i] if span is not None]
        wanted = (min(a for a, _ in seen_here), max(b for _, b in seen_here)) if seen_here else None
        assert lattice.at(joined, i) == wanted
    rates = [part.rate for part in joined]
    assert rates == sorted(set(rates))  # one lattice a rate, in order
    assert lattice.join([joined, joined]) == joined
    assert lattice.join([joined, *hulls]) == joined
    # Over all positions of a map, and by phase.
    here = [span for i in range(length) if (span := lattice.at(joined, i)) is not None]
    whole = (min(a for a, _ in here), max(b for _, b in here)) if here else None
    assert lattice.collapse(joined, length) == whole
    period = lcm(*(part.period for part in joined))
    found = lattice.sizes(joined, length)
    assert len(found) == min(period, length)
    for phase, size in enumerate(found):
        at = (lattice.at(joined, i) for i in range(phase, length, period))
        assert size == max(0 if span is None else span[1] - span[0] + 1 for span in at)


@given(
    st.integers(0, 4),
    st.lists(st.one_of(st.none(), st.tuples(st.integers(-9, 9), st.integers(0, 5))), min_size=1, max_size=6),
)
@QUICK
def test_the_offset_is_the_mean_centre_once_the_slope_is_taken_away(
    step: int, phases: list[tuple[int, int] | None]
) -> None:
    spans = tuple(None if span is None else (span[0], span[0] + span[1]) for span in phases)
    one = Lattice(step, spans)
    centres = [
        Fraction(a + b, 2) - r * Fraction(step, len(spans))
        for r, (a, b) in ((r, span) for r, span in enumerate(spans) if span is not None)
    ]
    assert one.offset() == (2 * sum(centres) / len(centres) if centres else 0)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
@QUICK
def test_symmetric_layers_keep_the_offset_of_an_up_convolution(stride: int, half: int, more: int) -> None:
    """A stretch by s with an extent of s + 2h and h cut before keeps the centres where they were, on average."""
    up = lattice.through(IDENTITY, Spread(stride + 2 * half, stride, half))
    (one,) = up
    (after,) = lattice.through(up, Axis(2 * more + 1, 1, more))
    assert one.rate == after.rate == Fraction(1, stride)
    assert one.offset() == after.offset()


@given(
    st.integers(0, 6),
    st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 3)), min_size=1, max_size=4),
    st.integers(1, 6),
)
@QUICK
def test_a_field_is_written_with_its_least_period(
    step: int, phases: list[tuple[int, int]], times: int
) -> None:
    one = Lattice(step, tuple((a, a + more) for a, more in phases))
    long = Lattice(step * times, tuple(one.at(i) for i in range(one.period * times)))
    (short,) = lattice.through((long,), Axis(1, 1, 0))
    assert all(short.at(i) == one.at(i) for i in REACH)
    for p in range(1, short.period):
        if short.period % p == 0 and short.step * p % short.period == 0:
            fewer = Lattice(short.step * p // short.period, short.spans[:p])
            assert any(fewer.at(i) != one.at(i) for i in range(short.period))


def test_a_field_has_limits() -> None:
    phases = lattice.through(IDENTITY, Spread(lattice.MAX_PHASES, lattice.MAX_PHASES, 0))
    assert phases == (Lattice(1, ((0, 0),) * lattice.MAX_PHASES),)
    for fine, grain in ((Spread(1, lattice.MAX_PHASES + 1, 0), IDENTITY), (Spread(2, 2, 0), phases)):
        with pytest.raises(FieldLimit, match="4096 phases"):
            lattice.through(grain, fine)
    most = 10**18  # as the message says
    assert lattice.through(IDENTITY, Axis(1, most, 0))[0].step == most
    assert lattice.at(lattice.through(IDENTITY, Axis(1, 1, most)), 0) == (-most, -most)
    assert lattice.at(lattice.through(IDENTITY, Axis(most + 1, 1, 0)), 0) == (0, most)
    for window in (Axis(1, most + 1, 0), Axis(1, 1, most + 1), Axis(2, 1, most + 1), Axis(most + 2, 1, 0)):
        with pytest.raises(FieldLimit, match="wide"):
            lattice.through(IDENTITY, window)
    assert lattice.through(lattice.constant(None), Axis(3, 2, 1)) == lattice.constant(None)


# --- on graphs -----------------------------------------------------------------------------


def field_of(text: str) -> ReceptiveField:
    graph = graph_of(text)
    field = receptive_field(graph, graph.outputs["output"])
    assert field is not None
    return field


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2)),
        min_size=1,
        max_size=4,
    )
)
@QUICK
def test_each_axis_of_a_chain_is_followed_alone(layers: list[tuple[int, int, int, int]]) -> None:
    """Height goes by (k, s), width by (1, 1): each axis has the figures of its own windows."""
    words = [f"conv{k}x3-1/{s}x1(pad={p}x1, dilation={d}x1, act=none)" for k, s, p, d in layers]
    graph = graph_of("input 1x600x9\n" + " -> ".join(words) + "\n")
    field = receptive_field(graph, graph.outputs["output"])
    assert field is not None
    high, wide = field.axes
    chain = [Axis(k, s, p, d) for k, s, p, d in layers]
    for i in range(6):
        assert high.at(i) == hull_of(seen(chain, i))
        assert wide.at(i) == (i - len(layers), i + len(layers))
    size, start, stride = (high.size, high.start, high.stride)
    assert (size, start) == (high.at(0)[1] - high.at(0)[0] + 1, high.at(0)[0])  # type: ignore[index]
    assert stride == (high.at(1)[0] - high.at(0)[0])  # type: ignore[index]
    assert field.size == (size, 2 * len(layers) + 1)
    assert field.stride == (stride, 1)
    assert field.start == (start, -len(layers))
    assert field.centre == (Fraction(sum(high.at(0) or ()), 2), 0)
    assert field.aligned and not field.whole and field.ungated is None and field.undefined is None


def test_several_rates_have_no_one_stride() -> None:
    both = AxisField((*lattice.constant((2, 4)), *IDENTITY), 5)
    assert (both.stride, both.size, both.sizes[0]) == (1, 5, 5)  # position 0: 0 to 4
    assert AxisField(lattice.constant((2, 4)), 1).stride == 0
    two = AxisField(lattice.join([IDENTITY, moved([Axis(1, 2, 0)])]), 4)
    assert two.stride is None
    nothing = AxisField(lattice.constant(None), 1)
    assert (nothing.start, nothing.centre, nothing.size, nothing.sizes) == (None, None, 0, (0,))


def test_a_gate_sees_all_and_the_branch_beside_it_keeps_its_own() -> None:
    field = field_of("input 4x9x12\n[conv3-4 & gap -> conv1-4(act=sigmoid)] -> conv3-4\n")
    assert field.whole
    assert field.size == (9, 12)
    assert field.ungated is not None
    assert [axis.size for axis in field.ungated] == [5, 5]
    assert [axis.size for axis in field.smallest] == [5, 5]
    assert field.stride == (1, 1)
    assert field.start == (0, 0)
    alone = field_of("input 4x9x12\nconv3-4 -> gap -> conv1-4\n")
    assert (alone.whole, alone.size, alone.stride, alone.ungated) == (True, (9, 12), (0, 0), None)


def test_what_a_global_layer_sees_is_clipped_to_what_reaches_it() -> None:
    # A crop of the middle, then all of it with one more on each side.
    field = field_of("input 1x9x20\ncrop(3x4) -> conv3-1 -> gap\n")
    assert field.whole
    assert [axis.at(0) for axis in field.axes] == [(2, 6), (7, 12)]
    # At a border nothing beyond it.
    assert [axis.at(0) for axis in field_of("input 1x9x20\nconv3-1 -> gap\n").axes] == [(0, 8), (0, 19)]
    # A map that was padded so far that nothing of the input is in the crop is not seen at all.
    far = field_of("input 1x2\npad((8, 0)) -> crop(2) -> fc-1\n")
    assert far.axes[0].at(0) is None
    just = field_of("input 1x2\npad((0, 4)) -> crop(2) -> fc-1\n")
    assert just.axes[0].at(0) is None
    assert field_of("input 1x2\npad((0, 8)) -> crop(2) -> fc-1\n").axes[0].at(0) is None
    # One position is seen, the first or the last.
    for pads, place in (((1, 0), 0), ((0, 3), 1)):
        one = field_of(
            f"input 1x2\npad({pads}) -> slice({'0..1' if place == 0 else '1..2'}, axis=W) -> fc-1\n"
        )
        assert one.axes[0].at(0) == (place, place)
        assert [axis.length for axis in one.axes] == [1]


def test_the_smallest_is_that_of_the_branch_that_sees_least() -> None:
    field = field_of("input 4x20x20\n[conv5x1-4 | conv1x3-4 | conv3x5-4] -> conv3-4\n")
    assert field.size == (7, 7)
    assert tuple(axis.size for axis in field.smallest) == (3, 3)
    wide = field_of("input 4x20x20\n[conv5x3-4 | conv3x7-4]\n")
    assert wide.size == (5, 7)
    assert tuple(axis.size for axis in wide.smallest) == (3, 3)


def test_the_smallest_of_branches_that_see_all_that_reaches_them() -> None:
    field = field_of("input 1x9x20\n[gap | crop(3x4) -> gap | crop(5x2) -> gap]\n")
    assert field.whole
    assert field.size == (9, 20)
    assert tuple(axis.size for axis in field.smallest) == (3, 2)


def test_the_branch_off_centre_is_named_once_where_it_begins() -> None:
    text = (
        "input 1x40x40\n"
        "[conv3-1 | odd: conv4-1(pad=(1, 2)) | conv5-1] -> a: conv1-1\n"
        "a -> b: conv3-1\n[a + b] -> c: conv1-1\n"
    )
    graph = graph_of(text)
    fields = receptive_fields(graph)
    field = fields[graph.labels["c"]]
    assert field is not None
    assert field.aligned_axes == (False, False)
    assert not field.aligned
    (told,) = misalignments(graph, fields)
    assert told.code == "W203"
    assert "odd" in told.message
    one = graph_of("input 1x40x40\n[conv3-1 | conv1x4-1(pad=((0, 0), (1, 2))) | conv5-1]\n")
    field = receptive_field(one, one.outputs["output"])
    assert field is not None
    assert field.aligned_axes == (True, False)
    assert not field.aligned
    (told,) = misalignments(one, receptive_fields(one))
    assert "conv2" in told.message


def test_branches_of_unequal_strides_are_off_unless_their_centres_agree() -> None:
    symmetric = field_of("input 1x41\n[conv3-1/2 | id -> maxpool1/2]\n")
    assert symmetric.aligned
    assert symmetric.size == (3,)


def test_a_branch_that_lies_to_one_side_on_purpose_is_not_told_to_be_off() -> None:
    for branch, told in (
        ("conv2-1(pad=causal)", 0), ("conv2-1(pad=causal) -> conv3-1", 0), ("conv3-1 -> conv2-1(pad=causal)", 0),
        ("conv2-1(pad=causal) -> relu", 0), ("conv2-1(pad=(1, 0))", 1), ("conv2-1(pad=(1, 0)) -> conv3-1", 1),
    ):  # fmt: skip
        graph = graph_of(f"input 1x40\n[{branch} + id] -> relu\n")
        field = receptive_field(graph, graph.outputs["output"])
        assert field is not None
        assert not field.aligned
        assert len([*misalignments(graph, receptive_fields(graph))]) == told, branch


def test_what_is_not_defined_stays_so_and_says_why() -> None:
    graph = graph_of("input 1x9x9\nx: upsample(size=11, mode=bilinear) -> y: conv3-1 -> z: conv3-1\n")
    for label in ("y", "z"):
        field = receptive_field(graph, graph.labels[label])
        assert field is not None
        assert field.undefined == "interpolation by a fraction, at x"
    joined = graph_of("input 1x8x8\n[upsample(size=11, mode=bilinear) | conv3-1 -> upsample(size=11)]\n")
    field = receptive_field(joined, joined.outputs["output"])
    assert field is not None
    assert field.undefined is not None


def test_a_field_of_too_many_phases_is_refused_where_it_begins() -> None:
    graph = graph_of("input 1x2\nu: upsample(4096) -> v: upsample(2) -> w: conv3-1\n")
    assert receptive_field(graph, graph.labels["u"]).undefined is None  # type: ignore[union-attr]
    for label in ("v", "w"):
        field = receptive_field(graph, graph.labels[label])
        assert field is not None
        assert field.undefined is not None
        assert field.undefined.endswith(", at v") or label == "v"


def test_fields_are_on_the_first_input_that_is_seen_or_on_any_map() -> None:
    graph = graph_of("input x: 1x9\ninput y: 1x9\nx -> a: conv3-1\ny -> b: conv5-1\n[a + b] -> c: conv3-1\n")
    x, y = graph.inputs.values()
    fields = receptive_fields(graph)
    for label, source, size in (("a", x, 3), ("b", y, 5), ("c", x, 5)):
        field = fields[graph.labels[label]]
        assert field is not None
        assert (field.wrt, field.size) == (source, (size,))
        assert receptive_field(graph, graph.labels[label]) == field
    on_y = receptive_fields(graph, wrt=y)
    assert on_y[graph.labels["a"]] is None
    assert on_y[x] is None
    assert on_y[graph.labels["c"]].size == (7,)  # type: ignore[union-attr]
    assert receptive_field(graph, graph.labels["c"], wrt=graph.labels["b"]).size == (3,)  # type: ignore[union-attr]
    assert receptive_field(graph, graph.labels["a"], wrt=graph.labels["b"]) is None
    assert receptive_field(graph, x) is not None
    assert receptive_field(graph, x, wrt=graph.labels["c"]) is None
    itself = receptive_field(graph, graph.labels["c"], wrt=graph.labels["c"])
    assert itself is not None
    assert (itself.size, itself.stride, itself.start, itself.aligned) == ((1,), (1,), (0,), True)


def test_an_axis_of_one_that_is_stretched_shows_its_one_position_everywhere() -> None:
    field = field_of("input 4x6x8\n[conv1-4 & avgpool6x1/1x1 -> conv1-4(act=sigmoid)] -> conv1-4\n")
    high, wide = field.axes
    for i in range(6):
        assert high.at(i) == (0, 5)
        assert wide.at(i) == (i, i)
    narrow = field_of("input 4x6x1\n[conv1-4 & avgpool6x1/1x1 -> conv1-4(act=sigmoid)] -> conv1-4\n")
    assert not narrow.whole
    assert [axis.at(0) for axis in narrow.axes] == [(0, 5), (0, 0)]


def test_free_sizes_have_the_field_of_the_size_asked_for() -> None:
    graph = graph_of("input 1xW\nconv3-1/2(pad=same_tf) -> conv3-1/2(pad=same_tf)\n")
    for n in range(8, 16):
        fixed = field_of(f"input 1x{n}\nconv3-1/2(pad=same_tf) -> conv3-1/2(pad=same_tf)\n")
        free = receptive_fields(graph, sizes={"W": n})[graph.outputs["output"]]
        assert free is not None
        assert (free.size, free.stride, free.start) == (fixed.size, fixed.stride, fixed.start)


# --- several inputs, gates and crops against intervals that are followed by hand ------------


@dataclass(frozen=True)
class Seen:
    """A map of n positions on one axis, and what each position sees: in all, without gates, and along the least."""

    n: int
    full: Follow
    local: Follow
    least: Follow
    gated: bool = False
    """One of the paths leads through a layer that sees all."""
    whole: bool = False
    """Every path does."""

    def moved(self, n: int, taps: Callable[[int], Iterable[int]]) -> Seen:
        """Behind a layer whose position i reads these positions."""

        def behind(follow: Follow) -> Follow:
            return lambda i: over(follow(j) for j in taps(i))

        full = self.full if self.gated else behind(self.full)
        return Seen(n, full, behind(self.local), behind(self.least), self.gated, self.whole)

    def largest(self) -> int:
        spans = [self.least(i) for i in range(self.n)]
        return max(0 if span is None else span[1] - span[0] + 1 for span in spans)


Follow = Callable[[int], Interval | None]


def over(spans: Iterable[Interval | None]) -> Interval | None:
    """The hull of intervals."""
    found = [span for span in spans if span is not None]
    return hull_of({end for span in found for end in span})


def all_of(seen: Seen, follow: Follow, source: int) -> Follow:
    """All that a map sees, of the positions that the source has."""
    span = over(map(follow, range(seen.n)))
    inside = None if span is None else hull_of(set(range(source)) & set(range(span[0], span[1] + 1)))
    return lambda i: inside


def merged(branches: list[Seen], source: int) -> Seen:
    gated = any(branch.gated for branch in branches)
    fulls = [
        all_of(branch, branch.full, source) if gated and not branch.gated else branch.full
        for branch in branches
    ]
    near = [branch for branch in branches if not branch.whole]
    return Seen(
        branches[0].n,
        lambda i: over(full(i) for full in fulls),
        lambda i: over(branch.local(i) for branch in near),
        min(near, key=Seen.largest).least,
        gated,
    )


class Drawing:
    """A text of random layers on two axes, and by hand what its output sees on each."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.sources = self.random.sample([8, 12, 16, 20], 2)

    def start(self) -> list[Seen]:
        return [Seen(n, *[lambda i: (i, i)] * 3) for n in self.sources]

    def chain(self, seen: list[Seen], length: int, nesting: int) -> tuple[str, list[Seen]]:
        words = []
        for _ in range(length):
            word, seen = self.layer(seen, nesting)
            words.append(word)
        return " -> ".join(words), seen

    def layer(self, seen: list[Seen], nesting: int) -> tuple[str, list[Seen]]:
        kinds = ["conv", "conv", "act", "up", "share"] + ["branches", "gate", "strides"] * bool(nesting)
        kind = self.random.choice(kinds)
        if kind == "act":
            return "relu", seen
        if kind == "conv":
            pads, kernels, dilations, after = [], [], [], []
            for one in seen:
                k, d = self.random.randint(1, 3), self.random.randint(1, 2)
                before = self.random.randint(0, (k - 1) * d)
                kernels.append(k)
                dilations.append(d)
                pads.append(f"({before}, {(k - 1) * d - before})")
                after.append(one.moved(one.n, partial(window, before, d, k)))
            sizes = "x".join(map(str, kernels)), "x".join(map(str, dilations))
            return f"conv{sizes[0]}-1(pad=({', '.join(pads)}), dilation={sizes[1]}, act=none)", after
        if kind == "up" and all(one.n % 2 == 0 for one in seen):
            down = [one.moved(one.n // 2, lambda i: (2 * i, 2 * i + 1)) for one in seen]
            up = [one.moved(2 * one.n, lambda i: (i // 2,)) for one in down]
            return "maxpool2/2 -> upsample(2)", up
        if kind == "share" and all(one.n % 3 == 0 for one in seen):
            return "adaptiveavgpool({})".format("x".join(str(one.n // 3 * 2) for one in seen)), [
                one.moved(one.n // 3 * 2, lambda i: (i * 3 // 2, (3 * i + 2) // 2)) for one in seen
            ]
        if kind == "gate" and not any(one.gated for one in seen):
            text, inner = self.chain(seen, self.random.randint(1, 2), 0)
            wholes = [
                Seen(1, *[all_of(one, one.local, n)] * 3, gated=True, whole=True)
                for one, n in zip(inner, self.sources, strict=True)
            ]
            gate = f"[id & {text} -> gap -> conv1-1(act=sigmoid)]"
            return gate, [merged([a, b], n) for a, b, n in zip(seen, wholes, self.sources, strict=True)]
        if kind == "strides" and all(one.n % 2 == 0 and one.n > 4 for one in seen):
            down = [one.moved(one.n // 2, lambda i: (2 * i, 2 * i + 1)) for one in seen]
            cut = [one.moved(one.n // 2, partial(window, -((one.n - one.n // 2) // 2), 1, 1)) for one in seen]
            word = "[maxpool2/2 + crop({})]".format("x".join(str(one.n // 2) for one in seen))
            return word, [merged([a, b], n) for a, b, n in zip(down, cut, self.sources, strict=True)]
        if kind == "branches":
            made = [self.chain(seen, self.random.randint(1, 3), nesting - 1) for _ in range(2)]
            if all(a.n == b.n for a, b in zip(made[0][1], made[1][1], strict=True)):
                (left, a), (right, b) = made
                joined = [merged([x, y], n) for x, y, n in zip(a, b, self.sources, strict=True)]
                return f"[{left} + {right}]", joined
        return "id", seen


def window(before: int, dilation: int, kernel: int, i: int) -> Iterable[int]:
    """What position i of a convolution reads."""
    return (i - before + t * dilation for t in range(kernel))


@pytest.mark.parametrize("part", range(6))
def test_drawn_networks_against_intervals_followed_by_hand(part: int) -> None:
    kinds = set()
    for seed in range(part * 25, part * 25 + 25):
        drawing = Drawing(seed)
        text, wanted = drawing.chain(drawing.start(), drawing.random.randint(2, 5), 2)
        sizes = "x".join(map(str, drawing.sources))
        before = drawing.random.choice([f"input from: 1x{sizes}", f"input x: 1x{sizes}\nx -> from: conv3-1"])
        two = drawing.random.random() < 0.5  # so that the source is not the first node
        graph = graph_of(
            f"input s: 1x7x5\n{before}\nfrom -> {text} -> y: relu\ns -> b: conv3-1\noutput y, b\n"
            if two
            else f"{before}\nfrom -> {text} -> y: relu\n"
        )
        field = receptive_fields(graph, wrt=graph.labels["from"])[graph.labels["y"]]
        assert field is not None
        assert (field.ungated is not None) == field.whole == wanted[0].gated
        kinds.add((field.whole, len(field.axes[0].hull) > 1, field.wrt > 1))
        for axis, one in enumerate(wanted):
            assert field.axes[axis].length == (1 if field.whole else one.n)
            for i in range(one.n):
                assert field.axes[axis].at(i) == one.full(i), (text, axis, i)
                assert (field.ungated or field.axes)[axis].at(i) == one.local(i), (text, axis, i)
                assert field.smallest[axis].at(i) == one.least(i), (text, axis, i)
    assert len(kinds) > 4


# --- the work that it takes -----------------------------------------------------------------


def test_what_is_alike_is_followed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both axes of a square map, the figures with and without gates, and what an earlier pass has followed."""
    through, join, calls = lattice.through, lattice.join, Counter[str]()

    def counted_through(hull: Hull, window: Window) -> Hull:
        calls["through"] += 1
        return through(hull, window)

    def counted_join(hulls: Sequence[Hull]) -> Hull:
        calls["join"] += 1
        return join(hulls)

    def work(graph: Graph) -> tuple[int, int]:
        calls.clear()
        fields = receptive_fields(graph)
        assert all(fields)
        return calls["through"], calls["join"]

    monkeypatch.setattr(lattice, "through", counted_through)
    monkeypatch.setattr(lattice, "join", counted_join)
    monkeypatch.setattr("cnnc.compiler.receptive_field._STATES", {})
    monkeypatch.setattr("cnnc.compiler.receptive_field._FIELDS", {})
    body = "conv3-1 -> conv5-1/2 -> [conv3-1 + conv1-1] -> relu"
    square = graph_of(f"input 1x30x30\n{body} -> conv7-1\n")
    assert work(square) == (4 + 2, 1)  # the last for all branches and for the smallest
    assert work(square) == (0, 0)
    assert work(graph_of(f"input 1x30x30\n{body} -> conv1-1/2\n")) == (2, 0)
    assert work(graph_of("input 1x30x31\nconv3-1 -> conv3x5-1 -> conv3-1\n")) == (1 + 2 + 2, 0)
    # Behind a gate the field without it goes on alone, and is the smallest too.
    gated = "input 1x28x28\n[conv3-1 & gap -> conv1-1(act=sigmoid)]"
    assert work(graph_of(f"{gated}\n"))[0] == 1
    assert work(graph_of(f"{gated} -> conv3-1\n")) == (1, 0)
    fields = receptive_fields(square)
    assert fields == receptive_fields(square)
    assert all(a is b for a, b in zip(fields, receptive_fields(square), strict=True))


def test_what_is_kept_of_earlier_networks_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    states, fields = Recent[object, object](20), Recent[object, object](20)
    monkeypatch.setattr("cnnc.compiler.receptive_field._STATES", states)
    monkeypatch.setattr("cnnc.compiler.receptive_field._FIELDS", fields)
    most = []
    for n in range(20, 40):
        receptive_fields(graph_of(f"input 1x{n}\n[conv3-1]*5\n"))
        most.append(max(len(states), len(fields)))
    assert 20 < max(most) <= 40


def test_what_is_undefined_names_the_layer_of_its_own_network() -> None:
    for label in ("first", "second"):
        graph = graph_of(f"input 1x9x9\n{label}: upsample(size=11, mode=bilinear) -> conv3-1\n")
        for field in receptive_fields(graph)[1:]:
            assert field is not None
            assert field.undefined == f"interpolation by a fraction, at {label}"
