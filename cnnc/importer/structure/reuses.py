"""Modules that are used several times: the largest pieces that `again` can place once more, found by their names."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import gcd

from cnnc.compiler.graph import Graph
from cnnc.dsl.record import record
from cnnc.importer.naming import parents
from cnnc.importer.structure.judge import has_key
from cnnc.importer.structure.levels import Atom
from cnnc.importer.structure.words import Unit, further_uses, uses


def can_be_written(graph: Graph) -> bool:
    """Whether every further use of a module can be an `again` beside its first use.

    Weights the other way, weights as tensors, layers of several inputs, and what a shared module holds are left as
    they are.
    """
    shared = {index for use in graph.shared_uses() for index in use.nodes()}
    return all(
        node.index not in shared
        and not node.op.source
        and node.applied[:1] != ("transpose",)
        and len(node.inputs) == 1
        for node in further_uses(graph)
    )


@record
class Reused:
    """Atoms of which each further use of a module is one, and where on the tree of names they are."""

    atoms: tuple[Atom, ...]
    inside: Mapping[int, str]
    """The path of the level that an atom of a first use has to be on, or within."""
    beside: Mapping[int, str]
    """For each further use: the path of the level on which it is."""

    @property
    def alone(self) -> Iterator[Unit]:
        """The layers whose words are used again."""
        firsts = {atom.again for atom in self.atoms}
        return (atom.unit for atom in self.atoms if atom.out in firsts - self.inside.keys() and atom.unit)


def reused(graph: Graph, atoms: Sequence[Atom]) -> Reused:
    """The atoms of a graph with the further uses of modules as atoms of their own, as large as can be."""
    return _Reuses(graph, atoms).found()


class _Reuses:
    def __init__(self, graph: Graph, atoms: Sequence[Atom]) -> None:
        self.graph = graph
        self.atoms = {atom.out: atom for atom in atoms}
        self.takers: dict[int, list[int]] = {}
        for atom in atoms:
            for source in dict.fromkeys((*atom.ins, *atom.refs)):
                self.takers.setdefault(source, []).append(atom.out)
        self.ends = set(graph.outputs.values())
        own = {a.unit.own.index: a.out for a in atoms if a.unit is not None}
        self.modules = {
            module: [own[node.index] for node in nodes]
            for module, nodes in uses(graph).items()
            if all(node.index in own for node in nodes)
        }
        """The atoms of each module that is used several times; none for what another layer's word brings."""

    def found(self) -> Reused:
        inside: dict[int, str] = {}
        beside: dict[int, str] = {}
        further: dict[int, Atom | None] = {}
        taken: set[int] = set()
        for path in self._paths():
            pieces = self._pieces(path)
            everything = {*chain(*pieces or ())}
            if pieces is None or everything & taken:
                continue
            taken |= everything
            inside |= dict.fromkeys((*pieces[0], *self._tensors(pieces)), path)
            for piece in pieces[1:]:
                (entry,), (end,) = self._entries(piece), self._exits(piece)
                further |= dict.fromkeys(piece)
                further[end] = Atom(end, (entry,), again=self._exits(pieces[0])[0], path=path)
                beside[end] = path.rpartition(".")[0]
        for module, (first, *outs) in self.modules.items():
            for out in (out for out in outs if out not in further):
                further[out] = replace(self.atoms[out], again=first)
                beside[out] = module.rpartition(".")[0]
        atoms = (further.get(out, atom) for out, atom in self.atoms.items())
        return Reused(tuple(atom for atom in atoms if atom is not None), inside, beside)

    def _paths(self) -> list[str]:
        """The levels that hold modules that are used several times, outer ones first."""
        return sorted(parents(self.modules), key=lambda path: (path.count("."), path))

    # --- pieces ---------------------------------------------------------------------------

    def _pieces(self, path: str) -> list[list[int]] | None:
        """The atoms of each use of a level as a whole, in the same order; None where it is not used as one."""
        start = f"{path}."
        held = {out for out, atom in self.atoms.items() if atom.ins and self._weights(atom, start)}
        rows = [outs for module, outs in self.modules.items() if module.startswith(start)]
        count = gcd(*map(len, rows))
        if count < 2 or {out for row in rows for out in row} != held:
            return None
        seeds = [
            {*chain(*(row[i * len(row) // count : (i + 1) * len(row) // count] for row in rows))}
            for i in range(count)
        ]
        pieces = [self._closed(some) for some in seeds]
        if not self._alike(pieces):
            return None
        while True:
            longer = self._longer(pieces, start)
            if longer is None:
                break
            pieces = longer
        whole = all(len(self._entries(piece)) == len(self._exits(piece)) == 1 for piece in pieces)
        return pieces if whole and len(pieces[0]) > 1 and self._alike(pieces) else None

    def _weights(self, atom: Atom, start: str = "") -> list[str]:
        """The modules of an atom that have tensors, on or within a level."""
        parts = () if atom.unit is None else atom.unit.nodes
        return [n.module for n in parts if n.module.startswith(start) and has_key(self.graph, n)]

    def _closed(self, seeds: set[int]) -> list[int]:
        """Atoms and what lies between them, as far as it has no weights."""
        behind = self._reached(seeds, lambda out: self.takers.get(out, ()))
        before = self._reached(seeds, lambda out: self.atoms[out].ins)
        return sorted(seeds | (behind & before))

    def _reached(self, seeds: Iterable[int], ways: Callable[[int], Iterable[int]]) -> set[int]:
        found: set[int] = set()
        todo = [*seeds]
        while todo:
            for out in ways(todo.pop()):
                if out not in found and self._is_plain(out):
                    found.add(out)
                    todo.append(out)
        return found

    def _is_plain(self, out: int) -> bool:
        """Whether a value is made by an atom without weights from one or several others."""
        atom = self.atoms.get(out)
        return atom is not None and atom.unit is not None and bool(atom.ins) and not self._weights(atom)

    def _longer(self, pieces: Sequence[list[int]], start: str) -> list[list[int]] | None:
        """The pieces with an atom more each, which has no weights and, by its name at the first use, belongs to them."""
        for is_behind, candidates in ((True, self._behind), (False, self._before)):
            rows = [candidates(piece) for piece in pieces]
            for out in rows[0]:
                if not self._name(out).startswith(start):
                    continue
                first = _with(pieces[0], out, is_behind)
                longer = [
                    next((m for o in row if self._alike([first, m := _with(piece, o, is_behind)])), None)
                    for piece, row in zip(pieces, rows, strict=True)
                ]
                made = [piece for piece in longer if piece is not None]
                if len(made) == len(pieces):
                    return made
        return None

    def _name(self, out: int) -> str:
        unit = self.atoms[out].unit
        return "" if unit is None else unit.own.name

    def _behind(self, piece: list[int]) -> list[int]:
        """Atoms that alone take what leaves a piece, and nothing else."""
        inside = set(piece)
        found = {taker for out in self._exits(piece) for taker in self.takers.get(out, ())} - inside
        return sorted(
            out
            for out in found
            if self._is_plain(out)
            and not self.atoms[out].refs
            and all(
                i in inside and i not in self.ends and {*self.takers[i]} <= inside | {out}
                for i in self.atoms[out].ins
            )
        )

    def _before(self, piece: list[int]) -> list[int]:
        """Atoms of one input whose values flow into a piece, and nowhere else."""
        inside = set(piece)
        return sorted(
            out
            for out in self._entries(piece)
            if self._is_plain(out)
            and not self.atoms[out].refs
            and len(set(self.atoms[out].ins)) == 1
            and out not in self.ends
            and {*self.takers[out]} <= inside
        )

    def _entries(self, piece: Iterable[int]) -> set[int]:
        """The values that flow into a piece, tensors of its own left out."""
        inside = set(piece)
        sources = {i for out in inside for i in (*self.atoms[out].ins, *self.atoms[out].refs)} - inside
        return {i for i in sources if i not in self.atoms or self.atoms[i].ins}

    def _exits(self, piece: Iterable[int]) -> list[int]:
        inside = set(piece)
        return [o for o in piece if o in self.ends or not {*self.takers.get(o, ())} <= inside]

    def _tensors(self, pieces: Sequence[list[int]]) -> set[int]:
        """The tensors that nothing takes but these pieces."""
        inside = {out for piece in pieces for out in piece}
        sources = {i for out in inside for i in (*self.atoms[out].ins, *self.atoms[out].refs)}
        return {
            i
            for i in sources - inside
            if i in self.atoms and not self.atoms[i].ins and {*self.takers[i]} <= inside
        }

    def _alike(self, pieces: Sequence[list[int]]) -> bool:
        """Whether the pieces are the same layers, wired in the same way."""
        return len({len(piece) for piece in pieces}) == 1 and len(set(map(self._shape, pieces))) == 1

    def _shape(self, piece: list[int]) -> Hashable:
        """What a piece is made of, and how it is wired; what flows in from outside is all the same, but for tensors."""
        places = {out: i for i, out in enumerate(piece)}
        rows = []
        for out in piece:
            atom = self.atoms[out]
            assert atom.unit is not None
            entries = self._entries((out,))
            wires = [places.get(i, -1 if i in entries else -2 - i) for i in (*atom.ins, *atom.refs)]
            parts = [(repr(n.op), n.module if has_key(self.graph, n) else "") for n in atom.unit.nodes]
            rows.append((*wires, *parts))
        return tuple(rows)


def _with(piece: list[int], out: int, is_behind: bool) -> list[int]:
    return [*piece, out] if is_behind else [out, *piece]
