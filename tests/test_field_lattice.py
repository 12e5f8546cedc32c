"""Interval maps against sets: which coordinates each position sees, followed one by one through the layers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

import pytest
from graphs import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnc.compiler import lattice
from cnnc.compiler.lattice import IDENTITY, FieldLimit, Hull, Interval, Lattice
from cnnc.compiler.ops.base import Axis, Shares, Spread
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
    for window in (Axis(1, most + 1, 0), Axis(1, 1, most + 1), Axis(most + 2, 1, 0)):
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
