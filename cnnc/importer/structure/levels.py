"""The graph as levels of atoms: layers with what they bring, joins, uses of shared modules, and scopes of names."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, field, replace
from math import inf
from types import MappingProxyType

from cnnc.compiler.expand import _JOINS
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.ops.merge import Concat
from cnnc.compiler.walk.fit import FITTED
from cnnc.dsl.record import record
from cnnc.importer.structure.judge import has_key
from cnnc.importer.structure.words import Unit, units


@record(eq=False)
class Atom:
    """Something with one value that flows out, the node `out`; `ins` flow in as branches, `refs` by their labels."""

    out: int
    ins: tuple[int, ...]
    refs: tuple[int, ...] = ()
    _: KW_ONLY
    unit: Unit | None = None
    join: str | None = None
    use: Scope | None = None
    level: Level | None = None
    again: int | None = None
    """What has the value of the first use of its module, where it is a further one."""
    path: str = ""
    """The level that is used again."""
    is_fitted: bool = False
    """Whether it takes its size from its siblings: `crop` or `stretch` at a branch's end."""

    @property
    def is_source(self) -> bool:
        return not self.ins


@record(frozen=False, eq=False)
class Level:
    """A level of names: its atoms by the node that flows out of them, in topological order."""

    name: str
    atoms: dict[int, Atom] = field(default_factory=dict)
    inflows: tuple[int, ...] = ()
    exits: tuple[int, ...] = ()
    """The values that leave it, the last of them where its chain ends; those before it are known by their labels."""

    @property
    def sides(self) -> tuple[int, ...]:
        """The values that are known from outside by their labels; its last one may be among them."""
        return self.exits[:-1]


def levels(
    graph: Graph, atoms: Iterable[Atom], inside: Mapping[int, str], beside: Mapping[int, str], *, keep: bool
) -> Level:
    """The root level of a graph, with those inside it that can be levels of names.

    The atoms `inside` are on a level or within it, and nothing else is; those `beside` are on the level of that path.
    `keep` says that the keys of the state dict are kept, so that norms are brought only where their names allow it.
    """
    root = _Tree("")
    root.place_all(atoms, "", inside, beside)
    level = Level("", inflows=tuple(graph.inputs.values()), exits=tuple(sorted(set(graph.outputs.values()))))
    consumers = _Consumers(graph, root.all(), graph.outputs.values())
    consumers.follow(next(iter(graph.inputs.values())))
    _fill(level, root, consumers, keep)
    level.atoms = dict(sorted(level.atoms.items()))
    return level


def shared_levels(graph: Graph, found: Mapping[int, Unit], *, keep: bool) -> Iterator[tuple[Scope, Level]]:
    """The body of each shared module, at its first use."""
    for use in graph.shared_uses():
        if use.name != use.module:
            continue
        assert use.source is not None and use.result is not None
        inside = set(use.nodes())
        consumers = graph.consumers()
        root = _Tree(use.name)
        root.place_all(
            (
                atom_of(unit, is_fitted=_is_fitted(graph, unit.own, consumers))
                for index, unit in sorted(found.items())
                if index in inside
            ),
            use.name,
        )
        level = Level(use.name, inflows=(use.source,), exits=(use.result,))
        _fill(level, root, _Consumers(graph, root.all(), (use.result,)), keep)
        level.atoms = dict(sorted(level.atoms.items()))
        yield use, level


def units_of(graph: Graph, *, keep: bool, labelled: Container[str] = ()) -> dict[int, Unit]:
    """The units of a graph, with norms brought only where their names allow it if `keep`.

    The layers `labelled` have labels of their own names.
    """
    return units(graph, _joined(graph, labelled) if keep else lambda node, after: True)


# --- atoms ------------------------------------------------------------------------------


def atoms_of(graph: Graph, found: Mapping[int, Unit]) -> Iterator[Atom]:
    """The atoms of the model itself, in topological order."""
    shared = {index: use for use in graph.shared_uses() for index in use.nodes()}
    done: set[int] = set()
    consumers = graph.consumers()
    nested = nested_concats(graph)
    for index, unit in sorted(found.items()):
        use = shared.get(index)
        if use is None:
            atom = atom_of(unit, is_fitted=_is_fitted(graph, unit.own, consumers))
            yield replace(atom, ins=nested.get(index, atom.ins))
        elif id(use) not in done:
            done.add(id(use))
            assert use.source is not None and use.result is not None
            yield Atom(use.result, (use.source,), use=use)


def nested_concats(graph: Graph) -> dict[int, tuple[int, ...]]:
    """For each concat that goes on where another ends: that other one, and what comes behind it.

    DenseNet's `[a | b | c]` beside `[a | b]` is `[[a | b] | c]`, which makes a chain of it.
    """
    out: dict[int, tuple[int, ...]] = {}
    known: dict[tuple[str, tuple[int, ...]], int] = {}
    shared = {index for use in graph.shared_uses() for index in use.nodes()}
    for node in graph.nodes:
        if not isinstance(node.op, Concat) or node.index in shared:
            continue
        for length in range(len(node.inputs) - 1, 1, -1):
            before = known.get((node.op.axis, node.inputs[:length]))
            if before is not None:
                out[node.index] = (before, *node.inputs[length:])
                break
        known[node.op.axis, node.inputs] = node.index
    return out


def _is_fitted(graph: Graph, node: Node, consumers: Sequence[Sequence[int]]) -> bool:
    """Whether a layer is as large as the first of its siblings that has a size, at whose join it ends."""
    if node.op.kind not in FITTED or set(node.named) != {"to"} or len(consumers[node.index]) != 1:
        return False
    join = graph.nodes[consumers[node.index][0]]
    others = [graph.nodes[i] for i in join.inputs if graph.nodes[i].op.kind not in FITTED]
    return type(join.op) in _JOINS and bool(others) and others[0].index == node.named["to"]


def atom_of(unit: Unit, *, is_fitted: bool = False) -> Atom:
    node = unit.own
    op = node.op
    join = _JOINS.get(type(op))
    if join is not None:
        return Atom(node.index, node.inputs, unit=unit, join=join)
    ins = list(node.inputs)
    if unit.flatten is not None:
        ins[0] = unit.flatten.inputs[0]
    branches = len(op.operands) or min(1, len(ins))
    branches += sum(name in node.given for name in op.pipelines)
    further = [node.named[name] for name in op.tensors if name in node.given]
    if op.kind == "extern":
        further = ins[1:]
    further = [] if is_fitted else further
    return Atom(unit.last.index, tuple(ins[:branches]), tuple(further), unit=unit, is_fitted=is_fitted)


def _joined(graph: Graph, labelled: Container[str]) -> Callable[[Node, Node], bool]:
    """Whether the names of a layer and the one behind it can come of one word: see `naming`."""

    def joined(node: Node, after: Node) -> bool:
        if not has_key(graph, after):
            return True
        own, other = node.local, after.local
        before = graph.nodes[node.inputs[0]] if node.role in ("norm", "act") and node.inputs else node
        if node.name.rpartition(".")[0] != after.name.rpartition(".")[0]:
            return False
        if node.name in labelled:
            return other == f"{own}_{after.op.kind}"
        if own.isdecimal() and other.isdecimal():
            return int(other) == int(own) + 1
        counted = own.removeprefix(node.op.kind).isdecimal() and other.removeprefix(after.op.kind).isdecimal()
        return counted or other in (f"{own}_{after.op.kind}", f"{before.local}_{after.op.kind}")

    return joined


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """What paths begin with alike."""
    first, last = min(paths, default=()), max(paths, default=())
    count = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:count]


def _scope_of(atom: Atom, within: str) -> tuple[str, ...]:
    if atom.unit is None:
        return ()
    name = atom.unit.own.name.removeprefix(f"{within}.") if within else atom.unit.own.name
    return tuple(name.split(".")[:-1])


# --- scopes -----------------------------------------------------------------------------


@record(frozen=False, eq=False)
class _Tree:
    name: str
    atoms: list[Atom] = field(default_factory=list)
    inner: dict[str, _Tree] = field(default_factory=dict)

    def place(self, path: tuple[str, ...], atom: Atom) -> None:
        tree = self
        for step in path:
            name = f"{tree.name}.{step}" if tree.name else step
            tree = tree.inner.setdefault(step, _Tree(name))
        tree.atoms.append(atom)

    def place_all(
        self,
        atoms: Iterable[Atom],
        within: str,
        inside: Mapping[int, str] = MappingProxyType({}),
        beside: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        """Place atoms, in topological order, by their names.

        A join of what all comes from outside its level stands before it: a module that begins by joining its
        inputs is one of one input. One of what all comes from inside a level ends it, in the same way. For `inside` and
        `beside` see `levels`.
        """
        paths: dict[int, tuple[str, ...]] = {}
        closed = {tuple(path.split(".")) for path in inside.values()}
        for atom in atoms:
            path = _scope_of(atom, within)
            before = [paths.get(i, ()) for i in atom.ins]
            while atom.join is not None and path and not any(p[: len(path)] == path for p in before):
                path = path[:-1]
            around = _common(before)
            if atom.join is not None and len(set(atom.ins)) > 1 and around[: len(path)] == path:
                path = around
            if atom.out in beside:
                path = tuple(step for step in beside[atom.out].split(".") if step)
            if atom.out in inside:
                least = tuple(inside[atom.out].split("."))
                path = path if path[: len(least)] == least else least
            else:
                out = (path[: i - 1] for i in range(1, len(path) + 1) if path[:i] in closed)
                path = next(out, path)
            paths[atom.out] = path
            self.place(path, atom)

    def all(self) -> list[Atom]:
        out, todo = [], [self]
        while todo:
            tree = todo.pop()
            out += tree.atoms
            todo += tree.inner.values()
        return out


class _Consumers:
    def __init__(self, graph: Graph, atoms: Iterable[Atom], ends: Iterable[int]) -> None:
        self.graph = graph
        self.ends = set(ends)
        self.stream: set[int] = set()
        """What the first input flows into."""
        self.of: dict[int, list[int]] = {}
        self.names: dict[int, str] = {}
        for atom in atoms:
            self.names[atom.out] = atom.path if atom.unit is None else atom.unit.own.name
            for source in (*atom.ins, *atom.refs):
                self.of.setdefault(source, []).append(atom.out)

    def leads(self, start: int, ends: Sequence[int], inside: set[int]) -> bool:
        """Whether what leaves a set of atoms comes back into it."""
        wanted = {end for end in ends if end > start}
        last = max(wanted, default=start)
        seen, todo = {start}, [start] if wanted else []
        while todo:
            for taker in self.of.get(todo.pop(), ()):
                if taker in wanted:
                    return True
                if taker not in seen and taker not in inside and taker < last:
                    seen.add(taker)
                    todo.append(taker)
        return False

    def follow(self, start: int) -> None:
        """Note what the first input flows into."""
        todo = [start]
        while todo:
            index = todo.pop()
            if index not in self.stream:
                self.stream.add(index)
                todo += self.of.get(index, ())

    def needs_name(self, atom: Atom, level: str) -> bool:
        """Whether the name of a level with this alone is in a key, or in an output's name."""
        parts = () if atom.unit is None else atom.unit.nodes
        has_keys = atom.unit is None or any(has_key(self.graph, node) for node in parts)
        return has_keys or any(name.startswith(f"{level}.") for name in self.graph.outputs)

    def takers(self, outs: Iterable[int], inside: Container[int]) -> list[int]:
        """What takes values, of that outside a set of atoms."""
        return [taker for out in outs for taker in self.of.get(out, ()) if taker not in inside]

    def ways(self, atoms: Iterable[Atom]) -> tuple[list[int], list[int]]:
        """The values that flow into a set of atoms from outside, and those of theirs that are used outside."""
        inside = {atom.out: atom for atom in atoms}
        ins = {s for atom in inside.values() for s in (*atom.ins, *atom.refs) if s not in inside}
        outs = [
            out
            for out in inside
            if out in self.ends or any(taker not in inside for taker in self.of.get(out, ()))
        ]
        return sorted(ins), outs


def _fill(level: Level, tree: _Tree, consumers: _Consumers, keep: bool) -> None:
    """Put the atoms of a tree on a level; what is a piece of its own becomes an atom, the rest is taken apart."""
    for atom in tree.atoms:
        level.atoms[atom.out] = atom
    for inner in tree.inner.values():
        everything = inner.all()
        ins, outs = consumers.ways(everything)
        exits = _exits(outs, {atom.out for atom in everything}, ins, consumers, level.name)
        apart = len(exits) > 1 and not _hangs_together(inner, consumers)
        is_piece = len(everything) > 1 or (keep and consumers.needs_name(everything[0], inner.name))
        if apart or not (exits and ins and is_piece):
            _fill(level, inner, consumers, keep)
            continue
        main = max(ins, key=lambda i: (i in consumers.stream, i))
        others = tuple(i for i in ins if i != main)
        made = Level(inner.name, inflows=(main, *others), exits=exits)
        _fill(made, inner, consumers, keep)
        made.atoms = dict(sorted(made.atoms.items()))
        level.atoms[exits[-1]] = Atom(exits[-1], (main,), others, level=made)
    _name_ends(level)


def _hangs_together(tree: _Tree, consumers: _Consumers) -> bool:
    """Whether anything in a tree takes a value of another of its children; a list of branches does not."""
    child = {atom.out: number for number, atom in enumerate(tree.atoms)}
    for inner in tree.inner.values():
        child |= dict.fromkeys((atom.out for atom in inner.all()), -1 - len(child))
    return any(
        child.get(taker, child[out]) != child[out] for out in child for taker in consumers.of.get(out, ())
    )


def _exits(
    outs: Sequence[int], inside: set[int], ins: Sequence[int], consumers: _Consumers, around: str
) -> tuple[int, ...]:
    """The values that leave a set of atoms, that where its chain ends as the last; none where it is no piece.

    Of several, all have to be there before anything outside needs one, and the chain ends at the last one that the
    next thing on the level `around` takes.
    """
    if any(consumers.leads(out, ins, inside) for out in outs):
        return ()
    if len(outs) < 2:
        return tuple(outs)
    first: dict[str, int] = {}
    for taker in sorted(consumers.takers(outs, inside)):
        first.setdefault(_child(consumers.names[taker], around), taker)

    def needed(out: int) -> float:
        takers = consumers.takers((out,), inside)
        return min((first[_child(consumers.names[taker], around)] for taker in takers), default=inf)

    main = min(outs, key=lambda out: (needed(out), -out))
    if max(ins, default=inf) > main or min(consumers.takers(outs, inside), default=inf) < max(outs):
        return ()
    return (*(out for out in outs if out != main), main)


def _child(name: str, around: str) -> str:
    """What a layer is in, of the children of a level."""
    inner = name.removeprefix(f"{around}.") if around else name
    return inner.partition(".")[0]


def _name_ends(level: Level, group: Sequence[int] = ()) -> None:
    """Give the end of a level inside a label where it is joined to, or leaves with, values of others that have one."""
    inner = {atom.out: atom.level for atom in level.atoms.values() if atom.level is not None}
    sides = {side for found in inner.values() for side in found.sides}
    for values in [group] if group else [a.ins for a in level.atoms.values() if a.join is not None]:
        others = {i for i in values if i not in sides}
        if len(others) < len(values) - 1 and all(i in inner for i in others):
            for i in others:
                inner[i].exits = (*inner[i].exits, i)
                _name_ends(inner[i], inner[i].exits[:-1])
