"""A level of atoms as a chain: post-dominators give its steps, branches stand between them, and a value that is
needed elsewhere too gets a label and a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cnnc.compiler.expand import _Core, label_text
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import op_words
from cnnc.compiler.walk.again import AGAIN
from cnnc.importer.structure.judge import has_key
from cnnc.importer.structure.levels import Atom, Level
from cnnc.importer.structure.terms import (
    Break,
    Call,
    Chain,
    Item,
    Join,
    Layer,
    Leaf,
    Outer,
    Ref,
    Scope,
    Tap,
    items_in,
)
from cnnc.importer.structure.words import Words


class Chains:
    """Makes chains of the levels of one graph."""

    def __init__(self, graph: Graph, words: Words, *, keep: bool) -> None:
        self.graph = graph
        self.words = words
        self.keep = keep
        self.core = _Core(graph)
        """It writes externs, and keeps their declarations."""
        self.made: dict[tuple[str, tuple[tuple[str, int], ...]], Chain] = {}
        self.sides: dict[str, dict[int, str]] = {}
        """The labels of the values that leave a level, but for that at its end, by the level's name."""
        self.outputs_inside: set[str] = set()
        """The outputs of the model that are known by their paths."""

    def chain(self, level: Level, outer: Mapping[int, tuple[str, int]] | None = None) -> Chain:
        """The chain of a level, of the whole model for the root.

        `outer` are the tensors of the levels around that flow in beside the first: their labels, and how many
        levels up they are defined.
        """
        outer = outer or {}
        key = level.name, tuple(outer.values())
        if key not in self.made:
            self.made[key] = self._chain(level, outer)
        return self.made[key]

    def _chain(self, level: Level, outer: Mapping[int, tuple[str, int]]) -> Chain:
        taps: set[int] = set(level.sides)
        taps |= {atom.out for atom in level.atoms.values() if atom.level is not None and atom.level.sides}
        taps |= {ref for atom in level.atoms.values() for ref in atom.refs}
        taps |= {i for name, i in self.graph.outputs.items() if self.names_output(level, name, i)}
        if not level.name:
            taps |= {i for name, i in self.graph.outputs.items() if name != "output"}
        while True:
            body = _Body(self, level, taps, outer)
            chain = body.lines()
            if body.taps == taps:
                return chain
            taps = body.taps

    def names_output(self, level: Level, name: str, index: int) -> bool:
        """Whether a label on a level gives an output of the model its name."""
        atom = level.atoms.get(index)
        if not self.keep or atom is None or not level.name or not name.startswith(f"{level.name}."):
            return False
        return atom.level is None or not name.startswith(f"{atom.level.name}.")


class _Body:
    """One try at a level, with a label for every node in `taps`; what else needs one is found on the way."""

    def __init__(
        self, home: Chains, level: Level, taps: set[int], outer: Mapping[int, tuple[str, int]]
    ) -> None:
        self.home = home
        self.graph = home.graph
        self.level = level
        self.taps = set(taps)
        self.known = set(level.inflows)
        """What can be named here: what flows in, and the values of the lines above."""
        self.done: set[int] = set()
        self.sides = {side for a in level.atoms.values() if a.level is not None for side in a.level.sides}
        """What levels on this one are known for by their labels."""
        self.outer = outer
        self.names: dict[int, str] = {i: name for i, (name, _) in outer.items()}
        self.used: set[str] = {name.partition(".")[0] for name in self.names.values()}
        names = [atom.level.name for atom in level.atoms.values() if atom.level is not None]
        names += [atom.unit.own.name for atom in level.atoms.values() if atom.unit is not None]
        self.reserved = {self._local(name).partition(".")[0] for name in names}
        """What the labels on this level are going to be."""
        self.inflow_named = False
        self.is_root = not level.name
        self.firsts = {atom.again for atom in level.atoms.values() if atom.again is not None}
        """The values of the first uses of modules that are used again, which have labels."""
        self.first_labels: dict[int, str] = {}
        if self.is_root:
            self.names = {i: name for name, i in self.graph.inputs.items()}
            self.used = set(self.graph.inputs)
            if "output" in self.graph.outputs:
                self.used.add("output")

    # --- lines ----------------------------------------------------------------------------

    def lines(self) -> Chain:
        level = self.level
        last = level.exits[-1] if level.exits else level.inflows[0]
        inflows = level.inflows
        current = inflows[0] if len(inflows) == 1 or not self.is_root else None
        out: list[Item] = []
        inside = self.sides - level.atoms.keys()
        ends = sorted(self.taps - {*inflows, *inside})
        for end in ends if ends and ends[-1] == last else [*ends, last]:
            items = self.chain(end, current)
            if items and _is_head(items[0]) and out:
                out.append(Break())
            out += self._labelled(items, end) if end in self.taps - self.known else items
            self.known |= {end, *self._sides_of(end)}
            current = end
        if self.is_root:
            out += self._more_names()
        if self.inflow_named:
            new_line = [Break()] if out and _is_head(out[0]) else []
            out = [Tap(self.names[inflows[0]]), *new_line, *out]
        self.home.sides[level.name] = {side: self.name(side) for side in level.sides}
        return tuple(out)

    def _sides_of(self, index: int) -> tuple[int, ...]:
        atom = self.level.atoms.get(index)
        return () if atom is None or atom.level is None else atom.level.sides

    def _more_names(self) -> list[Item]:
        """Taps for outputs that are inputs, or have two names."""
        out: list[Item] = []
        for name, index in self.graph.outputs.items():
            if name not in ("output", *self.home.outputs_inside) and self.names.get(index) != name:
                out += [Break(), Ref((self.name(index),)), Tap(name)]
        return out

    def _labelled(self, items: list[Item], end: int) -> list[Item]:
        """The items of a line with a label at its end."""
        last = items[-1] if items else None
        if isinstance(last, Scope) and (self._sides_of(end) or self._is_named_inside(end)):
            return items
        name = self.name(end)
        if isinstance(last, Layer | Scope | Call) and last.label == (name,):
            return items
        is_plain = isinstance(last, Layer | Scope | Call) and not last.label
        free = not self.home.keep or not any(getattr(last, "names", ()) or ())
        if isinstance(last, Join):
            is_plain = all(not b or (len(b) == 1 and isinstance(b[0], Ref)) for b in last.branches)
            free = True
            if not is_plain and not _is_a_name(name):
                self.taps |= set(
                    self.level.atoms[end].ins
                )  # a bracket of labels alone can have a counter's name
        if is_plain and (free or self._own_name(end) == name):
            assert isinstance(last, Layer | Scope | Call | Join)
            return [*items[:-1], replace(last, label=(name,))]
        return [*items, Tap(name)]

    def _is_named_inside(self, end: int) -> bool:
        """Whether the value of a level is an output that is known by its path, and nothing here takes it."""
        names = [name for name, index in self.graph.outputs.items() if index == end]
        taken = any(end in (*atom.ins, *atom.refs) for atom in self.level.atoms.values())
        return self.is_root and not taken and bool(names) and set(names) <= self.home.outputs_inside

    def name(self, index: int) -> str:
        """The label of a value."""
        found = self.names.get(index)
        if found is not None:
            return found
        wanted = next(
            (name for name, i in self.graph.outputs.items() if self._is_output(name, i, index)), None
        )
        if wanted is not None and not self.is_root:
            self.home.outputs_inside.add(wanted)
            wanted = self._local(wanted)
        if wanted is None and index in self.level.inflows:
            self.inflow_named = True
        elif wanted is None:
            wanted = self._own_name(index)
            labelled = index in self.firsts or self._is_source(index)
            if self.home.keep and wanted is not None and not (labelled or _is_a_name(wanted)):
                wanted = None  # a label would take it from the counter, and all after it
            node = self.graph.nodes[index]
            if wanted is None and node.label is not None and _is_a_name(node.label):
                wanted = node.label
        number = 0
        while wanted is None or wanted in self.used:
            number += 1
            wanted = None if f"x{number}" in self.reserved else f"x{number}"
        self.used.add(wanted)
        self.names[index] = wanted
        return wanted

    def first_label(self, index: int) -> str:
        """The label of the first use of a module, which is not that of its value where this is an output."""
        found = self.first_labels.get(index)
        if found is None:
            found = self.name(index)
            own = self._own_name(index)
            if own is None and found in self.graph.outputs:
                number = 1
                while f"x{number}" in self.used | self.reserved:
                    number += 1
                own = f"x{number}"
            found = self.first_labels[index] = found if own is None else own
            self.used.add(found)
        return found

    def _is_output(self, name: str, output: int, index: int) -> bool:
        """Whether a value is the output of that name, and a label here gives it the name."""
        if not self.is_root:
            return output == index and self.home.names_output(self.level, name, index)
        return output == index and name not in self.home.outputs_inside

    def _is_source(self, index: int) -> bool:
        atom = self.level.atoms.get(index)
        return atom is not None and atom.is_source

    def _own_name(self, index: int) -> str | None:
        """The label that a layer or level must have because of its key."""
        atom = self.level.atoms.get(index)
        if atom is None:
            return None
        if atom.level is not None and self.home.keep:
            return self._local(atom.level.name)
        if (
            atom.unit is not None
            and (self.home.keep or atom.is_source)
            and has_key(self.graph, atom.unit.own)
        ):
            return self._local(atom.unit.own.name)
        return None

    def _local(self, name: str) -> str:
        return name.removeprefix(f"{self.level.name}.") if self.level.name else name

    # --- chains ---------------------------------------------------------------------------

    def chain(self, end: int, current: int | None) -> list[Item]:
        """The items that make the value `end` where `current` flows, which a label names if it begins elsewhere."""
        if end == current:
            return []
        if end in self.known or end in self.done:
            if end not in self.known:
                self.taps.add(end)
            return [self._head(end)]
        region, bases = self._behind(end, current)
        main = current if current in bases else max(bases, default=None)
        items: list[Item] = []
        if main is not None and main != current:
            items.append(self._head(main))
        before = main
        for step in self._steps(region, main, end):
            items.append(self._item(self.level.atoms[step], before))
            self.done.add(step)
            before = step
        return items

    def _head(self, index: int) -> Item:
        """A tensor at the head of a line or branch."""
        if index in self.outer:
            return Outer(self._label(index))
        return Ref((self.name(index),))

    def _label(self, index: int) -> Leaf:
        """A tensor's label as an argument."""
        return Leaf(label_text(self.name(index)), outer=self.outer.get(index, ("", 0))[1])

    def _behind(self, end: int, current: int | None) -> tuple[set[int], set[int]]:
        """The nodes that make a value, back to those that are there already; and these."""
        region: set[int] = set()
        bases: set[int] = set()
        todo = [end]
        while todo:
            index = todo.pop()
            if index in region or index in bases:
                continue
            if index == current or index in self.known:
                bases.add(index)
            elif index in self.done:
                self.taps.add(index)
                bases.add(index)
            else:
                region.add(index)
                todo += self.level.atoms[index].ins
        return region, bases

    def _steps(self, region: set[int], main: int | None, end: int) -> Sequence[int]:
        """The nodes that every way from `main` to `end` goes through, in order, `end` the last."""
        import networkx

        start = -1 if main is None else main
        ways: networkx.DiGraph[int] = networkx.DiGraph()
        reached = {start}
        for index in sorted(region):
            atom = self.level.atoms[index]
            sources = atom.ins if main is not None else (atom.ins or (start,))
            for source in sources:
                if source in reached:
                    ways.add_edge(index, source)
                    reached.add(index)
        if end not in reached:
            return [end]
        after = networkx.immediate_dominators(ways, end)
        steps = []
        at = after.get(start, end)
        while at != end:
            steps.append(at)
            at = after[at]
        return [*steps, end]

    # --- items ----------------------------------------------------------------------------

    def _item(self, atom: Atom, before: int | None) -> Item:
        if atom.again is not None:
            return self._again(atom, atom.again)
        if atom.level is not None:
            body = self.home.chain(
                atom.level, {i: (self.name(i), self.outer.get(i, ("", 0))[1] + 1) for i in atom.refs}
            )
            flow = self.graph.nodes[atom.ins[0]].out[0]
            name = self._local(atom.level.name)
            label = (self._level_label(atom.level, atom.out),) if atom.level.sides else ()
            is_first = atom.out in self.firsts
            label = (self.first_label(atom.out),) if is_first else label
            holds = any(isinstance(item, Tap) or getattr(item, "label", ()) for item in items_in(body))
            return Scope(
                body, label=label, flow=(int(flow),), name=name, names=(name,),
                bound=self.home.keep or holds or is_first, name_in_model=atom.level.name,
            )  # fmt: skip
        if atom.use is not None:
            return Call(atom.use.module)
        branches = self._branches(atom, before)
        if atom.join is not None:
            assert atom.unit is not None
            flow = 0 if before is None else int(self.graph.nodes[before].out[0])
            axis = getattr(atom.unit.own.op, "axis", "C")
            return Join(atom.join, tuple(map(tuple, branches)), axis, flow=(flow,))
        made = self._layer(atom, branches)
        if isinstance(made, Layer) and made.pipes and before is not None:
            made = replace(made, flow=(int(self.graph.nodes[before].out[0]),))
        return made

    def _again(self, atom: Atom, first: int) -> Item:
        """A further use of a module."""
        if first not in self.done | self.known:
            self.taps.add(first)
        changed: list[tuple[str, Leaf]] = []
        before = self.level.atoms[first].unit
        if atom.unit is not None and before is not None:
            changed = self.home.words.changed(before.own, atom.unit.own)
        flow = tuple(int(self.graph.nodes[i].out[0]) for i in atom.ins[:1])
        return Layer(AGAIN, rest=(Leaf(label_text(self.first_label(first))),), args=tuple(changed), flow=flow)

    def _level_label(self, level: Level, out: int) -> str:
        """The label of a level that several values leave, by which these are known from here on."""
        label = self._local(level.name) if self.home.keep else self.name(out)
        self.used.add(label)
        self.names[out] = label
        self.names |= {side: f"{label}.{inner}" for side, inner in self.home.sides[level.name].items()}
        return label

    def _branches(self, atom: Atom, before: int | None) -> list[list[Item]]:
        if len(atom.ins) == 1 and atom.ins[0] == before:
            return [[]]
        if atom.join is not None and len(atom.ins) > 2 and self.sides.issuperset(atom.ins):
            return [[self._head(index)] for index in atom.ins]
        return [self.chain(index, before) for index in atom.ins]

    def _layer(self, atom: Atom, branches: list[list[Item]]) -> Item:
        unit = atom.unit
        assert unit is not None
        node, op = unit.own, unit.own.op
        if atom.is_fitted:
            return Layer(op.kind, names=self._names(atom))
        if op.kind == "extern":
            text = self.home.core._extern(op, [self.name(i) for i in atom.refs])  # type: ignore[arg-type]
            return Layer(text, names=self._names(atom))
        keys = [*op.operands, *(name for name in op.pipelines if name in node.given)]
        if not op.operands:
            keys.insert(0, "")
            if branches and branches[0]:
                self.taps.add(atom.ins[0])
        pipes = [(key, tuple(chain)) for key, chain in zip(keys, branches, strict=False) if chain and key]
        tensors = [(name, self._label(node.named[name])) for name in op.tensors if name in node.given]
        made = self.home.words.layer(unit, pipes, tensors, self._names(atom))
        if atom.out in self.firsts:
            return replace(made, label=(self.first_label(atom.out),))
        return replace(made, label=(self.name(atom.out),)) if atom.is_source else made

    def _names(self, atom: Atom) -> tuple[str | None, ...]:
        """The names that the layer and what it brings must have."""
        unit = atom.unit
        assert unit is not None
        if not self.home.keep:
            return ()
        parts = (unit.own, unit.norm, unit.act)
        return tuple(
            self._local(part.name) if part is not None and has_key(self.graph, part) else None
            for part in parts
        )


def _is_head(item: Item) -> bool:
    """Whether nothing flows into an item: it begins a line or branch."""
    op = op_words().get(item.kind) if isinstance(item, Layer) else None
    return isinstance(item, Ref | Outer) or (op is not None and op.source)


def _is_a_name(label: str) -> bool:
    """Whether somebody chose a label: none that a counter could give."""
    stem = label.rstrip("0123456789")
    return label.isidentifier() and (stem == label or not (stem in op_words() or stem in _COUNTED))


_COUNTED = ("add", "concat", "mul", "matmul", "seq", "shortcut")
