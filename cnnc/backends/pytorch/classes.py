"""The classes of a file under construction: constructor expressions, instances, parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cnnc.backends.pytorch.forward import Step
from cnnc.backends.pytorch.layer import Argument, Module, Raw, Val
from cnnc.backends.pytorch.sym import Param, Sym
from cnnc.compiler.graph import Scope

# --- constructor expressions ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LayerNew:
    """A layer: `nn.Conv2d(…)`."""

    module: Module


@dataclass(frozen=True, slots=True, eq=False)
class SequenceNew:
    """A chain without a class of its own: `nn.Sequential(…)`."""

    items: tuple[tuple[str, New], ...]


@dataclass(frozen=True, slots=True, eq=False)
class InstanceNew:
    """An instance of a class of this file, with what it hands to each of its parameters."""

    cls: ClassDef
    args: tuple[Val, ...]


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


New = LayerNew | SequenceNew | InstanceNew | ShortcutNew | IdentityNew | DictNew


@dataclass(slots=True, eq=False)
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
    returns: tuple[int, ...] = ()
    slots: list[Val] = field(default_factory=list)
    cls: ClassDef | None = None


@dataclass(frozen=True, slots=True)
class ClassParam:
    """A constructor parameter: one with a source in the spec, or (`sym` None) slot `slot`, known to calls only."""

    name: str
    sym: Param | None
    annotation: str
    default: int | None = None
    slot: int = -1


Text = Sym | str
"""A source, or the text of a literal or parameter."""


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
    texts: list[Text] = field(default_factory=list)
    shortcuts: dict[str, ShortcutText] = field(default_factory=dict)

    @property
    def first(self) -> Instance:
        return self.instances[0]

    @property
    def names(self) -> dict[Param, str]:
        """How each parameter with a source is written in this class."""
        return {p.sym: p.name for p in self.params if p.sym is not None}


@dataclass(frozen=True, slots=True)
class Plan:
    """All classes in the order in which they must be defined; the model's is the last."""

    classes: tuple[ClassDef, ...]
    helpers: tuple[str, ...]
    imports: tuple[str, ...]


def walk(new: New, skeleton: list[str]) -> Iterator[Val]:
    """The values of a constructor expression in a fixed order; its shape is added to the skeleton."""
    if isinstance(new, LayerNew):
        skeleton.append(f"{new.module.cls}{dict(new.module.init)}")
        yield from _walk_arguments([("", a) for a in new.module.args], skeleton)
        yield from _walk_arguments(new.module.kwargs.items(), skeleton)
    elif isinstance(new, SequenceNew | DictNew):
        skeleton.append("[")
        for name, item in new.items:
            skeleton.append(name)
            yield from walk(item, skeleton)
        skeleton.append("]")
    elif isinstance(new, InstanceNew):
        skeleton.append(f"class {new.cls.name}")
        yield from new.args
    else:
        skeleton.append(type(new).__name__)


def _walk_arguments(arguments: Iterable[tuple[str, Argument]], skeleton: list[str]) -> Iterator[Val]:
    for name, argument in arguments:
        skeleton.append(f"{name}={argument.text if isinstance(argument, Raw) else ''}")
        if isinstance(argument, Val):
            yield argument
