"""The graph as levels of atoms: layers with what they bring, joins, uses of shared modules, and scopes of names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

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
    unit: Unit | None = None
    join: str | None = None
    use: Scope | None = None
    level: Level | None = None
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
    """The values that leave it, the last of them where its chain ends."""


def levels(graph: Graph, found: Mapping[int, Unit], *, keep: bool) -> Level:
    """The root level of a graph, with those inside it that have one value flowing in and one out.

    `keep` says that the keys of the state dict are kept, so that norms are brought only where their names allow it.
    """
    root = _Tree("")
    root.place_all(_atoms(graph, found), "")
    level = Level("", inflows=tuple(graph.inputs.values()), exits=tuple(sorted(set(graph.outputs.values()))))
    _fill(level, root, _Consumers(root.all(), graph.outputs.values()), keep)
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
        _fill(level, root, _Consumers(root.all(), (use.result,)), keep)
        level.atoms = dict(sorted(level.atoms.items()))
        yield use, level


def units_of(graph: Graph, *, keep: bool) -> dict[int, Unit]:
    """The units of a graph, with norms brought only where their names allow it if `keep`."""
    return units(graph, _joined(graph) if keep else lambda node, after: True)


# --- atoms ------------------------------------------------------------------------------


def _atoms(graph: Graph, found: Mapping[int, Unit]) -> Iterator[Atom]:
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


def _joined(graph: Graph) -> Callable[[Node, Node], bool]:
    """Whether the names of a layer and the one behind it can come of one word: see `naming`."""

    def joined(node: Node, after: Node) -> bool:
        if not has_key(graph, after):
            return True
        own, other = node.local, after.local
        before = graph.nodes[node.inputs[0]] if node.role in ("norm", "act") and node.inputs else node
        if node.name.rpartition(".")[0] != after.name.rpartition(".")[0]:
            return False
        if own.isdecimal() and other.isdecimal():
            return int(other) == int(own) + 1
        counted = own.removeprefix(node.op.kind).isdecimal() and other.removeprefix(after.op.kind).isdecimal()
        return counted or other in (f"{own}_{after.op.kind}", f"{before.local}_{after.op.kind}")

    return joined


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

    def place_all(self, atoms: Iterable[Atom], within: str) -> None:
        """Place atoms, in topological order, by their names.

        A join of what all comes from outside its level stands before it: a module that begins by joining its
        inputs is one of one input.
        """
        paths: dict[int, tuple[str, ...]] = {}
        for atom in atoms:
            path = _scope_of(atom, within)
            before = [paths.get(i, ()) for i in atom.ins]
            while atom.join is not None and path and not any(p[: len(path)] == path for p in before):
                path = path[:-1]
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
    def __init__(self, atoms: Iterable[Atom], ends: Iterable[int]) -> None:
        self.ends = set(ends)
        self.of: dict[int, list[int]] = {}
        for atom in atoms:
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
        is_piece = len(outs) == 1 and ins and (keep or len(everything) > 1)
        is_piece = is_piece and not consumers.leads(outs[0], ins, {atom.out for atom in everything})
        if not is_piece:
            _fill(level, inner, consumers, keep)
            continue
        main = max(ins)
        others = tuple(i for i in ins if i != main)
        made = Level(inner.name, inflows=(main, *others), exits=tuple(outs))
        _fill(made, inner, consumers, keep)
        made.atoms = dict(sorted(made.atoms.items()))
        level.atoms[outs[0]] = Atom(outs[0], (main,), others, level=made)
