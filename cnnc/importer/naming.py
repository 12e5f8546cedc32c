"""Names for the lines of a flat spec, so that keys equal the module's wherever a name can say so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from cnnc.compiler.graph import key_of
from cnnc.importer.flat import Flat, Line


def name_lines(flat: Flat, modules: Iterable[str]) -> dict[str, str]:
    """Name every line, and return the map of the module's keys to ours, for those that differ.

    A layer with weights is called as the module that holds them, one without as its module where it is the only one in
    it, else by its kind and a counter within the module, as `cnnc expand` would. A module that holds one layer's tensors
    is that layer, and what else is in it is named beside it: a norm's activation at `bn1.act` is `bn1_act`.
    """
    wanted = {line.index: _wanted(line) for line in flat.lines if line.weights}
    wanted |= {line.index: line.outside.path for line in flat.lines if line.outside is not None}
    inside = parents(wanted.values())
    layers = set(wanted.values()) - inside
    names = _Names(inside | (set(modules) - layers), layers)
    renamed: dict[str, str] = {}
    for line in flat.lines:
        if line.index in wanted:
            line.name = names.free(wanted[line.index], line)
            for ours, theirs in line.weights.items():
                if key_of(line.name, ours) != theirs:
                    renamed[theirs] = key_of(line.name, ours)
    for line in flat.lines:
        if line.kind == "input":
            line.name = line.name or "input"
            names.take(line.name)
    for line in flat.lines:
        if not line.name:
            line.name = names.placed(line)
    return renamed


def parents(keys: Iterable[str]) -> set[str]:
    """Every path that has another below it.

    >>> sorted(parents(["a.b.weight", "c"]))
    ['a', 'a.b']
    """
    found: set[str] = set()
    for key in keys:
        parts = key.split(".")
        found.update(".".join(parts[:i]) for i in range(1, len(parts)))
    return found


def _wanted(line: Line) -> str:
    """The name under which the most keys are right."""
    votes: dict[str, int] = defaultdict(int)
    for ours, theirs in line.weights.items():
        if not ours:
            return theirs
        if theirs.endswith(f".{ours}"):
            votes[theirs[: -len(ours) - 1]] += 1
        else:
            votes[theirs.removesuffix(f"_{ours}")] += 0
    best = max(votes, key=lambda name: votes[name])
    return best


class _Names:
    """The names that are taken. `levels` have names below them, which no layer can have; `layers` are modules that are one."""

    def __init__(self, levels: set[str], layers: set[str]) -> None:
        self.levels = levels
        self.layers = layers
        self.taken = set(levels)
        self.counts: dict[tuple[str, str], int] = defaultdict(int)

    def take(self, name: str) -> str:
        self.taken.add(name)
        return name

    def free(self, name: str, line: Line) -> str:
        if name not in self.taken:
            return self.take(name)
        return self.placed(line)

    def placed(self, line: Line) -> str:
        """A name of the module that the line is in."""
        path = line.where.path
        layer = next((p for p in sorted(parents([path])) if p in self.layers), None)
        if layer is not None:
            return self.of_leaf(f"{layer}_{path[len(layer) + 1 :].replace('.', '_')}")
        return self.counted(path, line.kind) if not path or path in self.levels else self.of_leaf(path)

    def of_leaf(self, path: str) -> str:
        """The name of a module that has none inside; from its second layer on with a number."""
        name, number = path, 1
        while name in self.taken:
            number += 1
            name = f"{path}{'_' if path[-1].isdigit() else ''}{number}"
        return self.take(name)

    def counted(self, path: str, kind: str) -> str:
        """The next free name of a kind in a module: `layer1.0.relu2`."""
        short = {"multiply": "mul"}.get(kind, kind)
        while True:
            self.counts[path, short] += 1
            name = f"{path}{'.' if path else ''}{short}{self.counts[path, short]}"
            if name not in self.taken:
                return self.take(name)
