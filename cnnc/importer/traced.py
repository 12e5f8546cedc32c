"""What every reader makes of a module or file: its operators in order, its tensors, its module tree. Holds no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cnnc.compiler.ops.base import COUNTER

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """An argument that is another step's result, or a tensor."""

    name: str


@dataclass(frozen=True, slots=True)
class Where:
    """Where in the user's code an operator is: the module's path, its class, which call of it, the line."""

    path: str = ""
    kind: str = ""
    """The class of the innermost module, without its package."""
    call: int = 0
    line: str = ""
    """`resnet.py:92: out = self.conv1(x)`; empty where the trace does not say."""

    def __str__(self) -> str:
        place = f"`{self.path}`" if self.path else "the model itself"
        kind = f" ({self.kind})" if self.kind else ""
        return f"{place}{kind}" + (f", {self.line}" if self.line else "")


@dataclass(frozen=True, slots=True)
class Step:
    """One operator. `op` is aten's name without overload and without the mark of working in place."""

    name: str
    op: str
    args: Mapping[str, Any]
    """By the names of the operator's schema; those left out have their defaults."""
    shapes: tuple[Shape | None, ...]
    """Of its results; None for what is no tensor."""
    where: Where
    in_place: bool = False

    @property
    def first(self) -> Any:
        """Its first argument, whatever its operator calls that."""
        return next(iter(self.args.values()))

    def refs(self) -> Iterator[str]:
        """The names of the steps and tensors that it reads."""
        return _refs(self.args)


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _refs(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _refs(inner)


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor that the module holds: a parameter, a buffer, or a constant of its code."""

    name: str
    role: Literal["parameter", "buffer", "constant"]
    key: str
    """Its key in the state dict; of a constant and of a buffer that is not kept, any name."""
    shape: Shape
    kept: bool = True
    """Whether the state dict has it."""
    values: tuple[float, ...] | None = None
    """Its numbers in order, where they are few and known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A whole module. Every tensor that flows has the batch as its first axis."""

    name: str
    inputs: Mapping[str, Shape]
    """By the step's name; with the batch."""
    held: Mapping[str, Held]
    steps: tuple[Step, ...]
    outputs: Mapping[str, Ref]
    """By the name that the module gives them, `output` for an only one."""
    batch: int
    state: Mapping[str, Shape] = field(default_factory=dict)
    """Every key of the state dict with its shape, in its order."""
    learnt: frozenset[str] = frozenset()
    """The keys that are parameters."""
    tied: Mapping[str, str] = field(default_factory=dict)
    """Keys that are the same tensor as another key, which is the one used."""
    evaluation: bool = False
    """Whether the module was in evaluation; of a file nobody knows."""
    macs: int | None = None
    """Multiply-adds of one image as torch counts them, where it ran."""
    origin: str = ""
    """Where it came from, for the first comment."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """The class of the module at each path."""
    live: Any = None
    """The module, where it is at hand."""
    tensors: Mapping[str, Any] = field(default_factory=dict)
    """The tensors by key, of a file that has them: arrays of numpy."""

    def unused(self) -> tuple[str, ...]:
        """The keys that no output needs; counters of batches are never needed."""
        used = {self.held[name].key for step in pruned(self) for name in step.refs() if name in self.held}
        used |= {key for key, same in self.tied.items() if same in used}
        return tuple(k for k in self.state if k not in used and k.rpartition(".")[2] != COUNTER)


VIEWS = frozenset((
    "view", "reshape", "permute", "transpose", "slice", "select", "narrow", "chunk", "split", "split_with_sizes", "unbind",
    "getitem", "flatten", "unflatten", "expand", "expand_as", "unsqueeze", "squeeze", "t", "movedim", "alias", "detach",
    "contiguous", "to", "type_as", "float", "dropout", "feature_dropout", "tensor_split", "swapaxes", "view_as", "identity",
))  # fmt: skip
"""Operators whose result may be memory of their input."""


def pruned(traced: Traced) -> tuple[Step, ...]:
    """The steps that an output needs, in order; what works in place is needed by whatever reads the same memory."""
    memory: dict[str, str] = {}
    for step in traced.steps:
        source = next(step.refs(), None)
        if source is not None and (step.in_place or step.op in VIEWS):
            memory[step.name] = memory.get(source, source)
    needed = {ref.name for ref in traced.outputs.values()}
    touched = {memory.get(name, name) for name in needed}
    kept: list[Step] = []
    for step in reversed(traced.steps):
        if step.name in needed or (step.in_place and memory[step.name] in touched):
            needed.update(step.refs())
            touched.update(memory.get(name, name) for name in step.refs())
            kept.append(step)
    return tuple(reversed(kept))
