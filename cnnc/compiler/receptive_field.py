"""Receptive fields: what part of an input, or of any other map, each output position can depend on.

Per axis the field is an exact interval map (see `lattice`): the hull over all
paths, holes inside it included, and not clipped to the map, so the field at a
border reaches into the padding and `start` may be negative. The interval of
coordinate i on one axis is that of all positions with this coordinate. Layers that see
their whole input (global pooling, fully-connected) give a field that is the
same for every position, clipped to the map. The statistics of normalisation
are ignored.

The recurrence for one window is that of Araujo, Norris and Sim, "Computing
Receptive Fields of Convolutional Neural Networks", Distill 2019; phases,
hulls over unequal strides and gates go beyond it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TypeVar, assert_never, overload

from cnnc.compiler import lattice
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.lattice import FieldLimit, Hull, Interval
from cnnc.compiler.ops import Op, Shape
from cnnc.compiler.ops.base import Axis, Local, Pointwise, Shares, Spread, Undefined, Whole, Window
from cnnc.compiler.recent import Recent
from cnnc.compiler.sizes import number
from cnnc.compiler.walk.values import render_trace
from cnnc.dsl.diagnostics import Diagnostic
from cnnc.dsl.record import record

_T = TypeVar("_T")


@record
class AxisField:
    """The field on one axis of the map looked at, for the positions 0 to `length`-1."""

    hull: Hull
    length: int

    def at(self, i: int) -> Interval | None:
        """The first and the last coordinate that position i sees; None where it sees nothing."""
        return lattice.at(self.hull, i)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The size by phase; one number but after up-convolution. 0 where a position sees nothing."""
        return lattice.sizes(self.hull, self.length)

    @property
    def size(self) -> int:
        """The largest size of any position."""
        return max(self.sizes)

    @property
    def stride(self) -> Fraction | None:
        """The distance between the fields of neighbours (over a period, on average).

        0 where all see the same, None where branches of unequal stride meet.
        """
        moving = [part.rate for part in self.hull if part.step]
        if len(moving) > 1:
            return None
        return moving[0] if moving else Fraction(0)

    @property
    def start(self) -> int | None:
        """The first coordinate that position 0 sees; None where it sees nothing."""
        span = self.at(0)
        return None if span is None else span[0]

    @property
    def centre(self) -> Fraction | None:
        """The centre of what position 0 sees; None where it sees nothing."""
        span = self.at(0)
        return None if span is None else Fraction(sum(span), 2)


@record
class ReceptiveField:
    """The field of one node on the map of node `wrt`, by axis of that map."""

    wrt: int
    axes: tuple[AxisField, ...]
    """The hull over all paths; of no meaning where `undefined` says so."""
    whole: bool
    """Every position sees all that flows into a global layer."""
    ungated: tuple[AxisField, ...] | None
    """Where `whole` comes from a gate or another branch beside a local one: the field without it."""
    smallest: tuple[AxisField, ...]
    """The field along the branches that see least, gates left out; unequal strides aside, the smallest path's."""
    aligned_axes: tuple[bool, ...]
    """Whether, on each axis, the centres of all branches agree at each merge on the way."""
    off: int | None
    """Where this node is a merge that spoils it: the node whose branch is not centred on the others."""
    undefined: str | None
    """Why there is no figure, where there is none."""

    @property
    def aligned(self) -> bool:
        """Whether the centres agree on all axes."""
        return all(self.aligned_axes)

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.axes)

    @property
    def stride(self) -> tuple[Fraction | None, ...]:
        """The effective stride: the map's scale, that a gate does not change."""
        return tuple(axis.stride for axis in self.ungated or self.axes)

    @property
    def start(self) -> tuple[int | None, ...]:
        return tuple(axis.start for axis in self.axes)

    @property
    def centre(self) -> tuple[Fraction | None, ...]:
        return tuple(axis.centre for axis in self.axes)


def receptive_field(graph: Graph, of: int, wrt: int | None = None) -> ReceptiveField | None:
    """The field of node `of` on node `wrt` (None: the first input it depends on).

    None where `of` does not depend on `wrt`.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> graph = build(parse(Source("net.cnn", "input 1x32\\n[conv3-1]*2 -> pool")))
    >>> field = receptive_field(graph, graph.outputs["output"])
    >>> field.size, field.stride, field.start
    ((6,), (Fraction(2, 1),), (-2,))
    """
    sources = tuple(graph.inputs.values()) if wrt is None else (wrt,)
    for source in sources:
        field = _Pass(graph, source).field(of) if of >= source else None
        if field is not None:
            return field
    return None


def receptive_fields(
    graph: Graph, wrt: int | None = None, sizes: Mapping[str, int] | None = None
) -> tuple[ReceptiveField | None, ...]:
    """The field of every node on node `wrt`, by index, in one pass.

    With `wrt` None each node's is on the first input, as declared, that it depends on
    (one pass for each input needed). None where a node does not depend on it. Free input sizes
    are `sizes` (None: the reference sizes).
    """
    return tuple(Fields(graph, wrt, sizes))


class Fields(Sequence["ReceptiveField | None"]):
    """What `receptive_fields` gives, each told when it is asked for: an editor shows few of them."""

    def __init__(self, graph: Graph, wrt: int | None = None, sizes: Mapping[str, int] | None = None) -> None:
        sources = tuple(graph.inputs.values()) if wrt is None else (wrt,)
        self._passes = [_Pass(graph, source, sizes) for source in sources]
        self._places = range(len(graph.nodes))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> ReceptiveField | None: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ReceptiveField | None, ...]: ...

    def __getitem__(self, index: int | slice) -> ReceptiveField | tuple[ReceptiveField | None, ...] | None:
        if isinstance(index, slice):
            return tuple([self._of(i) for i in self._places[index]])
        return self._of(self._places[index])

    def _of(self, index: int) -> ReceptiveField | None:
        for one in self._passes:
            field = one.field(index) if index >= one.source else None
            if field is not None:
                return field
        return None


def misalignments(graph: Graph, fields: Sequence[ReceptiveField | None]) -> Iterator[Diagnostic]:
    """W203 for every merge whose branches are not centred on each other, naming the one that is off."""
    for node in graph.nodes:
        field = fields[node.index] if len(node.inputs) > 1 else None
        if field is not None and field.off is not None:
            branch = graph.nodes[field.off].name
            yield Diagnostic(
                "W203",
                f"the receptive field of `{branch}` is not centred on those of the branches it meets",
                node.span,
                trace=render_trace(node.trace, node.span),
                hint="pad or crop the branches alike on both sides, or give them one stride",
            )


# --- the pass -------------------------------------------------------------------------


@record
class _Track:
    """A field under way: a hull for each axis of the source."""

    axes: tuple[Hull, ...]
    whole: bool


@record
class _State:
    """What is known at a node. The three tracks are one object where nothing sets them apart."""

    full: _Track
    local: _Track
    """Without the branches that see the whole map, where there are others."""
    least: _Track
    """Along the branches that see least."""
    aligned: tuple[bool, ...]
    off: int | None = None
    """The place among the node's inputs of the one that is not centred on the others."""
    undefined: str | None = None
    one_sided: bool = False
    """Whether a layer on the way lies to one side on purpose."""


_KEPT = 8_192
_TYPED = 4_096
"""Nodes of the largest graph whose states are kept: nobody types into a larger one."""
_STATES: Recent[object, tuple[_State | None, Op, Sequence[_State | None]]] = Recent(_KEPT)
"""States of all passes by what they come from. An entry keeps the objects whose `id` is in its key, so that no other object gets it."""
_Fields = Recent[tuple[int, Shape, int, int | None], tuple[_State, ReceptiveField]]
_FIELDS: _Fields = Recent(_KEPT)
"""Fields by the identity of the state, the extent of the map, the source and the branch that is not centred."""


class _Pass:
    """The states of all nodes from a source on."""

    def __init__(self, graph: Graph, source: int, sizes: Mapping[str, int] | None = None) -> None:
        self.graph = graph
        self.source = source
        self.sizes = sizes
        self.extents = [self._plain(node.out[1:]) for node in graph.nodes[source:]]
        """The spatial sizes of the nodes' outputs."""
        self.extent = self.extents[0]
        self.states: list[_State | None] = []
        # What is assumed of free sizes is noted each time, and some sizes are this pass's own.
        is_own = bool(graph.free or sizes) or len(graph.nodes) > _TYPED
        self._fields: _Fields = Recent(len(graph.nodes)) if is_own else _FIELDS
        state = self._state if is_own else self._known_state
        for node in graph.nodes[source:]:
            self.states.append(state(node))

    def field(self, index: int) -> ReceptiveField | None:
        state = self.states[index - self.source]
        if state is None:
            return None
        out = self.extents[index - self.source]
        off = None if state.off is None else self.graph.nodes[index].inputs[state.off]
        key = (id(state), out, self.source, off)
        found = self._fields.get(key)
        if found is None:
            found = self._fields[key] = state, self._told(state, out, off)
        return found[1]

    def _told(self, state: _State, out: Shape, off: int | None) -> ReceptiveField:
        full = self._report(state.full, out)
        return ReceptiveField(
            wrt=self.source,
            axes=full,
            whole=state.full.whole,
            ungated=self._report(state.local, out) if state.full.whole > state.local.whole else None,
            smallest=full if state.least is state.full else self._report(state.least, out),
            aligned_axes=state.aligned,
            off=off,
            undefined=state.undefined,
        )

    def _report(self, track: _Track, out: Shape) -> tuple[AxisField, ...]:
        lengths = (1,) * len(track.axes) if track.whole else out
        return _by_axis(AxisField, track.axes, lengths)

    def _known_state(self, node: Node) -> _State | None:
        """The state of a node, which its layer, the shapes and the states of its inputs decide: of most nodes of a text
        it was known before the last keystroke."""
        before = [self.states[i - self.source] if i >= self.source else None for i in node.inputs]
        if len(before) == 1 and self._passes(node, before[0]):
            return before[0]
        if node.index == self.source:
            key: object = self.extent
        else:
            key = (id(node.op), self.extent, node.out, *self.graph.ins(node), *map(id, before))
        found = _STATES.get(key)
        if found is not None:
            return found[0]
        state = self._state(node)
        if state is None or state.undefined is None:  # else it names a node of this graph
            _STATES[key] = state, node.op, before
        return state

    def _passes(self, node: Node, state: _State | None) -> bool:
        """Whether a node sees what its one input sees, whose state this is."""
        i, source = node.inputs[0], self.source
        return (
            state is not None
            and state.off is None
            and state.undefined is None
            and self.extents[i - source] == self.extents[node.index - source]
            and isinstance(self.graph.windows(node)[0], Pointwise)
        )

    def _state(self, node: Node) -> _State | None:
        if node.index == self.source:
            start = _Track((lattice.IDENTITY,) * len(self.extent), whole=False)
            return _State(start, start, start, self._all_aligned())
        try:
            parts = list(self._branches(node))
            if not parts:
                return None
            reason = next((state.undefined for _, state in parts if state.undefined), None)
            if reason is not None:
                return self._nothing(reason)
            return parts[0][1] if len(parts) == 1 else self._merge(node, parts)
        except FieldLimit as limit:
            return self._nothing(f"{limit}, at {node.name}")

    def _nothing(self, reason: str) -> _State:
        track = _Track(tuple(lattice.constant(None) for _ in self.extent), whole=True)
        return _State(track, track, track, self._all_aligned(), undefined=reason)

    def _branches(self, node: Node) -> Iterator[tuple[int, _State]]:
        """The states behind each operand that sees the source, moved through the node's window, by the operand's place."""
        out = self.extents[node.index - self.source]
        for place, (i, window) in enumerate(zip(node.inputs, self.graph.windows(node), strict=True)):
            state = self.states[i - self.source] if i >= self.source else None
            if state is None or window is None:
                continue
            if isinstance(window, Undefined):
                yield place, self._nothing(f"{window.reason}, at {node.name}")
            elif state.undefined is not None:
                yield place, state
            else:
                shape = self.extents[i - self.source]
                one_sided = state.one_sided or node.op.one_sided
                yield place, self._moved(state, window, shape, out, one_sided=one_sided)

    def _moved(self, state: _State, window: Window, shape: Shape, out: Shape, *, one_sided: bool) -> _State:
        if isinstance(window, Pointwise) and shape == out and state.off is None:
            return state
        full = self._through(state.full, window, shape, out)
        local = full if state.local is state.full else self._through(state.local, window, shape, out)
        if state.least is state.local:
            least = local
        else:
            least = self._through(state.least, window, shape, out)
        aligned = self._all_aligned() if local.whole else state.aligned
        return _State(full, local, least, aligned, one_sided=one_sided and not local.whole)

    def _through(self, track: _Track, window: Window, shape: Shape, out: Shape) -> _Track:
        if track.whole:
            return track
        match window:
            case Local(axes):
                return _Track(self._local(track.axes, axes), whole=False)
            case Pointwise():
                return track if shape == out else self._stretched(track, shape, out)
            case Whole():
                return self._collapsed(track, shape)
            case Undefined():
                raise AssertionError("undefined windows have no track")
            case _:
                assert_never(window)

    def _local(self, hulls: tuple[Hull, ...], windows: Sequence[Axis | Spread | Shares]) -> tuple[Hull, ...]:
        if self.sizes is not None:
            windows = [self._numbered(window) for window in windows]
        return _by_axis(lattice.through, hulls, windows)

    def _stretched(self, track: _Track, shape: Shape, out: Shape) -> _Track:
        """Position by position, where an axis of size 1 is stretched: all see what its one position sees."""
        stretched = [n == 1 and m != 1 for n, m in zip(shape, out, strict=True)]
        if all(stretched):
            return self._collapsed(track, shape)
        pairs = zip(track.axes, stretched, strict=True)
        return _Track(tuple(lattice.constant(lattice.at(h, 0)) if s else h for h, s in pairs), whole=False)

    def _collapsed(self, track: _Track, shape: Shape) -> _Track:
        """What all positions of a map of this extent see together, clipped to the source."""
        if track.whole:
            return track
        spans = map(lattice.collapse, track.axes, shape)
        clipped = (_clip(span, n) for span, n in zip(spans, self.extent, strict=True))
        return _Track(tuple(map(lattice.constant, clipped)), whole=True)

    def _merge(self, node: Node, parts: Sequence[tuple[int, _State]]) -> _State:
        near = [part for part in parts if not part[1].local.whole] or list(parts)
        states = [state for _, state in near]
        if len(states) == 1:  # a gate sees the whole map
            return self._gated(node, states[0], [state.full for _, state in parts])
        local = _joined([state.local for state in states])
        if len(near) == len(parts) and all(state.full is state.local for state in states):
            full = local
        else:
            full = self._full(node, [state.full for _, state in parts])
        least = _least([state.least for state in states], self.extents[node.index - self.source])
        if least == local:
            least = local
        off = (None,) * len(self.extent) if local.whole else _off_centre(near)
        aligned = tuple(
            branch is None and all(before)
            for branch, *before in zip(off, *(state.aligned for state in states), strict=True)
        )
        # Told where it begins: branches that were off before they met are told there.
        begins = (
            branch
            for branch, *before in zip(off, *(state.aligned for state in states), strict=True)
            if branch is not None and all(before)
        )
        one_sided = any(state.one_sided for state in states)
        return _State(
            full, local, least, aligned, None if one_sided else next(begins, None), one_sided=one_sided
        )

    def _gated(self, node: Node, state: _State, tracks: Sequence[_Track]) -> _State:
        """Where all branches but one see the whole map: `tracks` are the full fields of all of them."""
        local = state.local
        least = local if state.least == local else state.least
        full = self._full(node, tracks)
        return _State(full, local, least, state.aligned, one_sided=state.one_sided)

    def _all_aligned(self) -> tuple[bool, ...]:
        return (True,) * len(self.extent)

    def _plain(self, shape: Shape) -> Shape:
        """Sizes as plain numbers, so that nothing is assumed of free ones."""
        return tuple([number(n, self.sizes) for n in shape]) if self.graph.free else shape

    def _numbered(self, w: Axis | Spread | Shares) -> Axis | Spread | Shares:
        if isinstance(w, Shares):
            return Shares(*self._plain((w.n, w.m)))
        return type(w)(*self._plain((w.kernel, w.stride, w.before, w.dilation)))

    def _full(self, node: Node, tracks: Sequence[_Track]) -> _Track:
        if any(track.whole for track in tracks):
            tracks = [self._collapsed(track, self.extents[node.index - self.source]) for track in tracks]
        return _joined(tracks)


def _clip(span: Interval | None, n: int) -> Interval | None:
    if span is None or span[1] < 0 or span[0] >= n:
        return None
    return max(span[0], 0), min(span[1], n - 1)


def _by_axis(function: Callable[..., _T], *columns: Sequence[object]) -> tuple[_T, ...]:
    """The function of what is at each axis, called once where all axes are alike: most maps are square."""
    count = len(columns[0])
    for column in columns:
        if not count or column.count(column[0]) != count:
            return tuple([function(*row) for row in zip(*columns, strict=True)])
    return (function(*[column[0] for column in columns]),) * count


def _joined(tracks: Sequence[_Track]) -> _Track:
    joined = _by_axis(lambda *hulls: lattice.join(hulls), *(track.axes for track in tracks))
    return _Track(joined, tracks[0].whole)


def _least(tracks: Sequence[_Track], out: Shape) -> _Track:
    """On each axis the branch of the smallest field, the first of equals."""
    first = tracks[0]
    lengths = (1,) * len(first.axes) if first.whole else out
    axes = _by_axis(_smallest, lengths, *(track.axes for track in tracks))
    return _Track(axes, first.whole)


def _smallest(length: int, *hulls: Hull) -> Hull:
    """The first of the hulls whose field is smallest on a map of this length."""
    return min(hulls, key=lambda hull: max(lattice.sizes(hull, length)))


def _off_centre(parts: Sequence[tuple[int, _State]]) -> tuple[int | None, ...]:
    """By axis the first branch whose centres are not those of most; None where all agree.

    Axes on which a branch sees the same everywhere have no centre to agree.
    """
    places = [place for place, _ in parts]
    return _by_axis(lambda *hulls: _off(places, hulls), *(state.local.axes for _, state in parts))


def _off(places: Sequence[int], hulls: Sequence[Hull]) -> int | None:
    """The place of the first hull whose centres are not those of most."""
    keys = {}
    for place, hull in zip(places, hulls, strict=True):
        moving = tuple((*part.reduced, part.offset()) for part in hull if part.step)
        if moving:
            keys[place] = moving
    if len(set(keys.values())) < 2:
        return None
    counts = Counter(keys.values())
    usual = max(counts, key=counts.__getitem__)
    return next(place for place, key in keys.items() if key != usual)
