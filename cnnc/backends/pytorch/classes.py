"""The classes of a file under construction: constructor expressions, instances, parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from cnnc.backends.pytorch.forward import Step
from cnnc.backends.pytorch.layer import Argument, Module, Raw, Val
from cnnc.backends.pytorch.sym import functions
from cnnc.compiler.graph import Scope
from cnnc.compiler.symbolic import Param, Sym
from cnnc.compiler.walk.values import Trace, Turn

# --- constructor expressions ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LayerNew:
    """A layer: `nn.Conv2d(…)`."""

    module: Module


@dataclass(frozen=True, slots=True, eq=False)
class LoopNew:
    """The children that each turn of a repeat or comprehension gives.

    `count` is the number of turns, as the class around writes it; `strides` how far the number in the name of each
    child grows from turn to turn; `values` those of what forward does in each turn, if it has the loop too.
    """

    turns: tuple[tuple[tuple[str, New], ...], ...]
    count: Val
    strides: tuple[int, ...]
    values: tuple[tuple[Val, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SequenceNew:
    """A chain without a class of its own: `nn.Sequential(…)`. A loop stands under its first name."""

    items: tuple[tuple[str, New], ...]

    @property
    def is_positional(self) -> bool:
        """Whether the children's names are their positions, as `nn.Sequential` gives them."""
        return is_positional(self.items)


@dataclass(frozen=True, slots=True, eq=False)
class InstanceNew:
    """An instance of a class of this file, with what it hands to each of its parameters."""

    cls: ClassDef
    args: tuple[Val | New, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ShortcutNew:
    """A shortcut: the identity where its stride is 1 and it keeps the channels."""

    projection: SequenceNew | None
    stride: Sym
    source: Sym
    target: Sym


@dataclass(frozen=True, slots=True)
class IdentityNew:
    """A scope that places nothing but has a number."""


@dataclass(frozen=True, slots=True, eq=False)
class DictNew:
    """A step of dotted labels: `nn.ModuleDict({…})`, called key by key."""

    items: tuple[tuple[str, New], ...]


@dataclass(frozen=True, slots=True)
class HandedNew:
    """A module that the constructor is handed, for the pipeline parameter `name` of its block."""

    name: str


New = LayerNew | LoopNew | SequenceNew | InstanceNew | ShortcutNew | IdentityNew | DictNew | HandedNew


@dataclass(frozen=True, slots=True)
class LoopSlot:
    """The values of a loop's turns: `turns[t][k]` is value k of turn t; the last of each are `forward`'s."""

    count: Val
    turns: tuple[tuple[Val, ...], ...]
    strides: tuple[int, ...]
    """How far the number in the name of each child of a turn grows from turn to turn."""
    forward: int | None = None
    """How many of a turn's values forward reads; None where it has no loop."""


Slot = Val | LoopSlot


def names_in(items: Iterable[tuple[str, New]]) -> list[str]:
    """The names of children, those that loops give among them."""
    names: list[str] = []
    for name, new in items:
        turns = new.turns if isinstance(new, LoopNew) else (((name, new),),)
        names += [child for turn in turns for child, _ in turn]
    return names


def is_positional(items: Iterable[tuple[str, New]]) -> bool:
    """Whether names are the numbers from 0."""
    names = names_in(items)
    return names == [str(i) for i in range(len(names))]


@dataclass(slots=True, eq=False, kw_only=True)
class Instance:
    """One scope as an object of a class. `values` are those in each step's template."""

    scope: Scope
    children: list[tuple[str, New]]
    sequential: bool
    inputs: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()
    """The shared modules that its forward is handed."""
    steps: list[Step] = field(default_factory=list)
    values: list[dict[str, Val]] = field(default_factory=list)
    traces: list[Trace | None] = field(default_factory=list)
    """Where in the text each step is placed."""
    returns: tuple[int, ...] = ()
    nodes: Mapping[int, int] = field(default_factory=dict)
    """The node that each value of the steps is the output of."""
    turns: Mapping[str, Sequence[Turn]] = field(default_factory=dict)
    """The turns of the repeats in which each child that is a module is placed."""
    slots: list[Slot] = field(default_factory=list)
    cls: ClassDef | None = None
    position: int = 0
    """Which of the class's instances this is."""


@dataclass(frozen=True, slots=True)
class ClassParam:
    """A constructor parameter: one with a source in the spec, or (`sym` None) one that is known to calls only;
    `given` is then what each of the class's instances hands to it."""

    name: str
    sym: Param | None
    annotation: str
    default: str | None = None
    given: tuple[Any, ...] = ()
    pipeline: str | None = None
    """The block's pipeline parameter that it stands for: a module."""
    is_rounded: bool = False
    """Whether it is a float to PyTorch wherever it goes, so that no size depends on its last digit."""


Text = Sym | str
"""A source, or the text of a literal or parameter; none at all (`LEFT_OUT`) for an argument at its default."""

LEFT_OUT = ""


@dataclass(frozen=True, slots=True)
class LoopText:
    """How a loop is written: the turns of `head` one by one, then `count` turns (None: none) of `body`,
    in which `sym.TURN` counts from 0."""

    head: tuple[tuple[Text, ...], ...]
    body: tuple[Text, ...] = ()
    count: Text | None = None

    @property
    def all(self) -> tuple[Text, ...]:
        """Every text in it."""
        inner = [text for turn in self.head for text in turn]
        return (*inner, *self.body, *([] if self.count is None else [self.count]))


SlotText = Text | LoopText


@dataclass(frozen=True, slots=True)
class ShortcutText:
    """How one shortcut of a class is written: always or never a projection, or `depends` on its numbers."""

    new: ShortcutNew
    texts: tuple[Text, ...]
    depends: bool


@dataclass(slots=True, eq=False)
class ClassDef:
    """One class of the output."""

    name: str
    instances: list[Instance]
    params: list[ClassParam] = field(default_factory=list)
    texts: list[SlotText] = field(default_factory=list)
    shortcuts: dict[str, ShortcutText] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    """Where a choice of the block makes instances differ: what it is under each condition."""
    exact: tuple[str, ...] = ()
    """The parameters that it turns into fractions, since the arithmetic with them must be exact."""

    @property
    def first(self) -> Instance:
        return self.instances[0]

    @property
    def names(self) -> dict[Param, str]:
        """How each parameter with a source is written in this class."""
        return {p.sym: p.name for p in self.params if p.sym is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """What a class is under a condition (None: else), as a class of its own would be written."""

    condition: Sym | None
    cls: ClassDef


@dataclass(frozen=True, slots=True)
class Plan:
    """All classes in the order in which they must be defined; the model's is the last."""

    classes: tuple[ClassDef, ...]
    helpers: tuple[str, ...]
    imports: tuple[str, ...]


def walk(new: New, skeleton: list[str], *, positional: bool = False) -> Iterator[Slot]:
    """The values of a constructor expression in a fixed order; its shape is added to the skeleton.

    `positional`: it is among children whose names are positions, which are no part of the skeleton.
    """
    if isinstance(new, LayerNew):
        skeleton.append(f"{new.module.cls}{dict(new.module.init)}{new.module.around}")
        yield from _walk_arguments(zip(_positional(new.module), new.module.args, strict=False), skeleton)
        yield from _walk_arguments(new.module.kwargs.items(), skeleton)
    elif isinstance(new, SequenceNew | DictNew):
        yield from walk_items(new.items, skeleton)
    elif isinstance(new, LoopNew):
        yield walk_loop(new, skeleton, positional=positional)
    elif isinstance(new, InstanceNew):
        skeleton.append(f"class {new.cls.name}")
        for arg in new.args:
            if isinstance(arg, Val):
                yield arg
            else:
                yield from walk(arg, skeleton)
    elif isinstance(new, HandedNew):
        skeleton.append(f"handed {new.name}")
    else:
        skeleton.append(type(new).__name__)


def walk_items(items: Sequence[tuple[str, New]], skeleton: list[str]) -> Iterator[Slot]:
    """The values of named children; names that are positions are no part of the skeleton."""
    positional = is_positional(items)
    skeleton.append("[")
    for name, item in items:
        skeleton.append("" if positional else f"{name}=")
        yield from walk(item, skeleton, positional=positional)
    skeleton.append("]")


def walk_loop(loop: LoopNew, skeleton: list[str], *, positional: bool) -> LoopSlot:
    """The values of a loop's turns, which all have one skeleton."""
    skeleton.append(f"loop{loop.strides}")
    turns: list[tuple[Val, ...]] = []
    for t, turn in enumerate(loop.turns):
        inner = skeleton if t == 0 else []
        values: list[Slot] = []
        for name, new in turn:
            inner.append("" if positional else f"{name}=")
            values += walk(new, inner)
        turns.append(tuple(value for value in values if isinstance(value, Val)))
    if not loop.values:
        return LoopSlot(loop.count, tuple(turns), loop.strides)
    both = tuple(made + more for made, more in zip(turns, loop.values, strict=True))
    return LoopSlot(loop.count, both, loop.strides, forward=len(loop.values[0]))


def _walk_arguments(arguments: Iterable[tuple[str, Argument]], skeleton: list[str]) -> Iterator[Val]:
    for name, argument in arguments:
        skeleton.append(f"{name}={argument.text if isinstance(argument, Raw) else ''}")
        if isinstance(argument, Val):
            yield Val(argument.value, argument.sym, argument.default, name)


def _positional(module: Module) -> Iterable[str]:
    """What a layer's arguments by position are called."""
    kinds = {"Conv": ("in_channels", "out_channels", "kernel_size"), "Linear": ("in_features", "out_features"),
             "Norm": ("num_features",), "Pool": ("kernel_size",)}  # fmt: skip
    names = next((names for kind, names in kinds.items() if kind in module.cls), ())
    return chain(names, repeat("value"))


def called_in(cls: ClassDef) -> Iterator[str]:
    """The functions that the expressions in a class call."""
    for part in (cls, *(leaf.cls for leaf in cls.leaves)):
        slots: list[SlotText] = [
            *part.texts,
            *(t for shortcut in part.shortcuts.values() for t in shortcut.texts),
        ]
        for slot in slots:
            texts = slot.all if isinstance(slot, LoopText) else (slot,)
            for text in texts:
                yield from functions(text) if not isinstance(text, str) else ()
    for shortcut in cls.shortcuts.values() if not cls.leaves else ():
        if shortcut.depends:
            for sym in (shortcut.new.stride, shortcut.new.source, shortcut.new.target):
                yield from functions(sym)
    for leaf in cls.leaves:
        yield from functions(leaf.condition) if leaf.condition is not None else ()
