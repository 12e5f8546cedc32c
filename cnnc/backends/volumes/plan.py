"""From a graph to volumes: which boxes are drawn, how often, and what flows between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log2

from cnnc.backends.diagram.picture import Kind
from cnnc.backends.diagram.words import MERGE_WORDS, cut
from cnnc.backends.outline import Wiring, is_small
from cnnc.backends.volumes.runs import gathered, run_as_unit
from cnnc.backends.volumes.units import Unit, Units, merge_behind, parts_of
from cnnc.compiler.graph import Graph, Scope
from cnnc.compiler.ops import Shape
from cnnc.compiler.receptive_field import ReceptiveField, receptive_fields
from cnnc.dsl.diagnostics import fail

FEW = 8
"""A picture of fewer boxes says too little: then blocks are opened, up to ROOM boxes."""
ROOM = 18
MOST = 24
"""Above so many boxes scopes are closed, the innermost first."""
LIMIT = 80
"""More boxes than this no page holds."""


@dataclass(frozen=True, slots=True)
class Stripe:
    """A part of a concatenated map. A `copied` one comes from further back."""

    channels: int
    kind: Kind
    copied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One feature map as a box; `times` equal ones stand one after another.

    `sign` is that of a merge drawn as a small circle, which has no size; `around` that of
    the merge by which a closed block adds (or multiplies) to what comes in. `level` counts
    halvings of the resolution since the input.
    """

    id: str
    nodes: tuple[int, ...]
    out: Shape
    first: Shape
    """What the first of several gives: they may differ a little in size."""
    made: Shape | None
    """Where the box is a concatenation, and `word` the layer that gave its last part: the shape of that part."""
    kind: Kind
    title: str | None
    word: str
    times: int
    stripes: tuple[Stripe, ...]
    sign: str | None
    around: str | None
    stage: str | None
    level: int

    @property
    def is_vector(self) -> bool:
        """Whether the map has one position only, and is drawn as a bar."""
        return all(int(n) == 1 for n in self.out[1:])


@dataclass(frozen=True, slots=True)
class Flow:
    """An arrow. A skip is one that another way through the picture goes around; `via` is a layer on it."""

    source: str
    target: str
    skip: bool
    via: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn: volumes in the order of the flow."""

    name: str
    volumes: tuple[Volume, ...]
    flows: tuple[Flow, ...]

    def returns(self) -> bool:
        """Whether the net comes back to a resolution that it left, and skips join there: a U."""
        levels = {volume.id: volume.level for volume in self.volumes}
        return any(
            flow.skip and levels[flow.source] == levels[flow.target]
            and any(
                volume.level > levels[flow.source]
                for volume in self._between(flow.source, flow.target)
                if not volume.is_vector
            )
            for flow in self.flows
        )  # fmt: skip

    def _between(self, source: str, target: str) -> Sequence[Volume]:
        ids = [volume.id for volume in self.volumes]
        return self.volumes[ids.index(source) + 1 : ids.index(target)]


def plan_of(graph: Graph) -> Plan:
    """The volumes of a graph, repeats folded and blocks closed so that they fit a page.

    Raises CnncError E901 where there are too many even so.
    """
    units = _units(graph)
    if _boxes(units) > LIMIT:
        hint = "gather layers in blocks or labelled brackets, or take --style table"
        raise fail("E901", f"the picture would have {_boxes(units):,} boxes; {LIMIT} is the limit", hint=hint)
    return _Planner(graph, units).plan()


# --- how much is shown -------------------------------------------------------------------


def _units(graph: Graph) -> list[list[Unit]]:
    """The units to draw, equal neighbours gathered."""
    units = Units(graph)
    scopes = [scope for scope in graph.scopes() if scope is not graph.root]
    closed = units.cells()
    found = _attempt(units, closed)
    if len(found) < FEW:
        found = _opened(units, scopes, closed, found)
    for depth in sorted({_depth(scope) for scope in scopes}, reverse=True):
        if _boxes(found) <= MOST:
            return found
        closed |= {id(scope) for scope in scopes if _depth(scope) == depth and units.can_close(scope)}
        found = _attempt(units, closed)
    return found if _boxes(found) <= MOST else _attempt(units, closed, patterns=True)


def _boxes(found: Sequence[Sequence[Unit]]) -> int:
    """How many boxes there will be: merges and what only reshapes mostly get none, or a small one."""
    return sum(run[0].kind not in ("merge", "reshape") for run in found)


def _depth(scope: Scope) -> int:
    return scope.name.count(".")


def _opened(
    units: Units, scopes: Sequence[Scope], closed: set[int], found: list[list[Unit]]
) -> list[list[Unit]]:
    """All calls of a block are opened together: one open and one closed would seem to differ."""
    names = dict.fromkeys(
        scope.block.name for scope in scopes if scope.block is not None and id(scope) in closed
    )
    for name in names:
        opened = {id(scope) for scope in scopes if scope.block is not None and scope.block.name == name}
        attempt = _attempt(units, closed - opened)
        if len(attempt) <= ROOM:
            closed, found = closed - opened, attempt
    return found


def _attempt(units: Units, closed: set[int], *, patterns: bool = False) -> list[list[Unit]]:
    found = units.of(units.graph.root, lambda scope: id(scope) in closed)
    return gathered(units.outline, found, patterns=patterns)


# --- volumes and arrows ------------------------------------------------------------------


class _Planner:
    """Units, with runs of equal ones as one: `times` says how many, `firsts` has the first of each."""

    def __init__(self, graph: Graph, runs: Sequence[Sequence[Unit]]) -> None:
        self.graph = graph
        self.fields = receptive_fields(graph)
        inputs = [self._input(index) for index in sorted(graph.inputs.values())]
        self.units = tuple(inputs) + tuple(run_as_unit(run) for run in runs)
        self.times = (1,) * len(inputs) + tuple(len(run) for run in runs)
        self.firsts = tuple(inputs) + tuple(run[0] for run in runs)
        self.wiring = Wiring(graph, tuple(unit.nodes for unit in self.units))

    def _input(self, index: int) -> Unit:
        node = self.graph.nodes[index]
        title = node.label or node.name if len(self.graph.inputs) > 1 else None
        return Unit((index,), index, "input", title, "input", index, None, closed=False)

    def plan(self) -> Plan:
        levels = self._levels()
        dropped = self._dropped()
        volumes = [
            self._volume(place, unit, levels[place], dropped)
            for place, unit in enumerate(self.units)
            if place not in dropped
        ]
        return Plan(self.graph.name, tuple(volumes), tuple(self._drawn_flows(dropped)))

    def _drawn_flows(self, dropped: Mapping[int, str | None]) -> list[Flow]:
        """The arrows between what is drawn, by way of what is not."""
        drawn: dict[tuple[int, int], str | None] = {}
        for source, target in self.wiring.flows:
            if target in dropped:
                continue
            via = None
            while source in dropped:
                via = dropped[source]
                source = self._source(source)
            drawn[source, target] = drawn.get((source, target)) or via
        pairs = tuple(drawn)
        return [Flow(f"v{s}", f"v{t}", _detour(pairs, s, t), via) for (s, t), via in drawn.items()]

    def _source(self, place: int) -> int:
        """The one unit that flows into a dropped one."""
        return next(s for s, t in self.wiring.flows if t == place)

    def _levels(self) -> list[int]:
        """Halvings since the input, from the exact stride; where that has no meaning, as before."""
        levels: list[int] = []
        before = {target: source for source, target in reversed(self.wiring.flows)}
        for place, unit in enumerate(self.units):
            level = _level(self.fields[unit.result])
            levels.append(level if level is not None else levels[before[place]] if place in before else 0)
        return levels

    def _dropped(self) -> Mapping[int, str | None]:
        """Units without a box: layers on a skip that only fit it (crop), and what a U's concatenation takes
        from below, which its stripe shows. With each the word for its arrow."""
        dropped: dict[int, str | None] = {}
        units, flows = self.units, tuple(self.wiring.flows)
        outputs = frozenset(self.graph.outputs.values())
        for place, unit in enumerate(units):
            targets = [t for s, t in flows if s == place]
            sources = [s for s, t in flows if t == place]
            if len(targets) != 1 or len(sources) != 1 or unit.result in outputs:
                continue
            joins = self._is_concat(targets[0])
            if unit.kind == "reshape" and self._is_a_factor(place):
                continue
            if unit.kind == "reshape" and _detour(flows, sources[0], targets[0]):
                dropped[place] = unit.word
            elif joins and not unit.closed and self.times[place] == 1 and self._meets_skip(targets[0], place):
                dropped[place] = None
        return dropped

    def _is_a_factor(self, place: int) -> bool:
        """Whether what only reshapes feeds a product: its rows and columns are those that it gives."""
        while self.units[place].kind == "reshape":
            targets = [t for s, t in self.wiring.flows if s == place]
            if len(targets) != 1:
                return False
            place = targets[0]
        merge = merge_behind(self.graph, self.firsts[place].result, frozenset(self.firsts[place].nodes))
        return merge is not None and bool(merge.op.input_names)

    def _is_concat(self, place: int) -> bool:
        unit = self.units[place]
        return not unit.closed and bool(parts_of(self.graph, unit.result, frozenset(unit.nodes)))

    def _meets_skip(self, place: int, other: int) -> bool:
        """Whether something that goes around `other` comes into the unit at `place`."""
        flows = tuple(self.wiring.flows)
        for source, target in flows:
            if target != place or source == other:
                continue
            start = source
            if self.units[source].kind == "reshape":
                start = self._source(source)
            if _reaches(flows, start, other):
                return True
        return False

    def _volume(self, place: int, unit: Unit, level: int, dropped: Mapping[int, str | None]) -> Volume:
        graph = self.graph
        turn = self.firsts[place]
        inside = frozenset(turn.nodes)
        merge = merge_behind(graph, turn.result, inside)
        sign = MERGE_WORDS.get(merge.op.kind) if merge is not None else None
        taken = [self.units[s] for s, t in self.wiring.flows if t == place and s in dropped]
        nodes = tuple(sorted(n for one in (*taken, unit) for n in one.nodes))
        maker = next((one for one in taken if one.kind != "reshape"), unit)
        return Volume(
            id=f"v{place}", nodes=nodes, out=graph.nodes[unit.result].out, first=graph.nodes[turn.result].out,
            made=self._made(maker, unit), kind=unit.kind,
            title=cut(unit.title) if unit.title is not None else None, word=cut(maker.word),
            times=self.times[place], stripes=self._stripes(turn, inside),
            sign=sign if not unit.closed else None, around=sign if unit.closed and self._takes_one(turn) else None,
            stage=cut(unit.stage) if unit.stage is not None else None, level=level,
        )  # fmt: skip

    def _made(self, maker: Unit, unit: Unit) -> Shape | None:
        """What the layer gives that a box is named by, where the box is a concatenation of it and others."""
        if maker is unit:
            return None
        return self.graph.nodes[maker.result].out

    def _takes_one(self, unit: Unit) -> bool:
        """Whether one tensor flows into a unit: then what its merge adds to its layers is that."""
        inside = frozenset(unit.nodes)
        nodes = [self.graph.nodes[n] for n in unit.nodes]
        return len({i for node in nodes for i in self.graph.values_into(node)} - inside) == 1

    def _stripes(self, unit: Unit, inside: frozenset[int]) -> tuple[Stripe, ...]:
        parts = parts_of(self.graph, unit.result, inside)
        return tuple(Stripe(int(p.channels), self._kind(p.node), self._is_copy(p.node, unit)) for p in parts)

    def _kind(self, index: int) -> Kind:
        """The family of the layer that made a tensor, norms and activations aside."""
        unit = self.units[self.wiring.owner[index]]
        if not unit.closed:
            return unit.kind
        node = self.graph.nodes[index]
        while is_small(node) and len(node.inputs) == 1:
            node = self.graph.nodes[node.inputs[0]]
        return node.op.family

    def _is_copy(self, node: int, unit: Unit) -> bool:
        source, target = self.wiring.owner[node], self.wiring.owner[unit.result]
        if source == target:
            return False
        if self.units[source].kind == "reshape":
            source = self._source(source)
        return unit.closed or _detour(tuple(self.wiring.flows), source, target)


def _level(field: ReceptiveField | None) -> int | None:
    """How often a map's resolution was halved, rounded; None where its stride has no meaning."""
    if field is None or field.whole or field.undefined is not None or not field.stride:
        return None
    strides = [stride for stride in field.stride if stride]
    return round(log2(max(strides, default=Fraction(1)))) if strides else None


Pairs = Sequence[tuple[int, int]]


def _detour(pairs: Pairs, source: int, target: int) -> bool:
    """Whether there is a way from source to target through a third unit, the direct arrow aside."""
    return any(s == source and t != target and _reaches(pairs, t, target) for s, t in pairs)


def _reaches(pairs: Pairs, source: int, target: int) -> bool:
    todo, seen = [source], {source}
    while todo:
        place = todo.pop()
        if place == target:
            return True
        for s, t in pairs:
            if s == place and t <= target and t not in seen:
                seen.add(t)
                todo.append(t)
    return False
