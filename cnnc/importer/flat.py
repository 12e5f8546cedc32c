"""The flat spec while it is made: a line for each layer, without names yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cnnc.importer.traced import Where

JOINS = {"concat": "|", "add": "+", "multiply": "&", "matmul": "@"}


@dataclass(frozen=True, slots=True)
class Node:
    """An argument that is another line's tensor."""

    index: int


@dataclass(frozen=True, slots=True)
class Chain(Node):
    """An argument that is a chain, of another line's tensor alone."""


@dataclass(slots=True, kw_only=True)
class Line:
    """One layer, or an input (`kind` is `input`)."""

    index: int
    kind: str
    head: str
    """The layer's word up to its arguments: `conv3-64/2`."""
    inputs: tuple[int, ...]
    args: dict[str, Any]
    """Arguments by key; `""` holds what is written without one."""
    where: Where
    weights: Mapping[str, str]
    """Its tensors by their names in our state dict, to their keys in the module's."""
    name: str = ""
    shared: str = ""
    """The use of a shared module that it belongs to."""
    outside: Any = None
    """The module of the user's that it is (`Outside`)."""

    def reads(self) -> tuple[int, ...]:
        """The lines whose tensors it needs."""
        return (*self.inputs, *(value.index for value in self.args.values() if isinstance(value, Node)))


@dataclass(slots=True)
class Flat:
    """The lines in order, and which are the outputs."""

    lines: list[Line] = field(default_factory=list)
    outputs: dict[str, int] = field(default_factory=dict)

    def add(
        self, kind: str, inputs: Iterable[int], where: Where, *, head: str = "",
        args: Mapping[str, Any] | None = None, weights: Mapping[str, str] | None = None,
    ) -> int:  # fmt: skip
        """A new line; its index."""
        index = len(self.lines)
        line = Line(
            index=index, kind=kind, head=head or kind, inputs=tuple(inputs), args=dict(args or {}), where=where,
            weights=dict(weights or {}),
        )  # fmt: skip
        self.lines.append(line)
        return index

    def join_sums(self) -> None:
        """Make one sum of what a module adds up one after the other: `a + b + c` is `[a + b + c]`."""
        readers = Counter([i for line in self.lines for i in line.reads()] + [*self.outputs.values()])
        for line in self.lines:
            first = self.lines[line.inputs[0]] if line.kind == "add" else line
            here = (first.kind, first.where.path, first.where.call) == (
                "add",
                line.where.path,
                line.where.call,
            )
            if here and first is not line and readers[first.index] == 1:
                line.inputs = (*first.inputs, *line.inputs[1:])

    def pruned(self) -> Flat:
        """Without the lines that no output needs; an input is kept."""
        needed = set(self.outputs.values())
        for line in reversed(self.lines):
            if line.index in needed or line.kind == "input":
                needed.update(line.reads())
        kept = [line for line in self.lines if line.index in needed or line.kind == "input"]
        places = {line.index: i for i, line in enumerate(kept)}
        for line in kept:
            line.index = places[line.index]
            line.inputs = tuple(places[i] for i in line.inputs)
            line.args = {
                key: type(v)(places[v.index]) if isinstance(v, Node) else v for key, v in line.args.items()
            }
        return Flat(kept, {name: places[i] for name, i in self.outputs.items()})
