"""What names stand for while a spec is walked: values, environments, labels, traces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from cnnc.compiler.bounds import Bounds
from cnnc.compiler.ops import OpenRange, Sizes, show
from cnnc.compiler.symbolic import Const, Sourced, Sym
from cnnc.dsl import syntax as s
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.draft import Draft, Scope

Value: TypeAlias = "int | Fraction | float | str | tuple[Value, ...] | range | OpenRange | LayerWord | Closure | Pipeline | None"
"""What names and arguments stand for; a `bool` is an `int`, a word a `str` (`Handed` where it also names something),
`Sizes` a tuple."""

InputShape = tuple[int | str, ...]
"""An input's sizes from outside the text; a capital letter is a free one."""
InputSizes = Mapping[str | None, InputShape]
"""By the input's name; None is the only input."""

SIZE_NAMES = ("C", "H", "W", "D")


@record
class LayerWord:
    """A layer word with arguments as a value: `gn(32)`."""

    name: str
    args: tuple[tuple[str | None, Value], ...]

    def __str__(self) -> str:
        inner = ", ".join((f"{k}=" if k else "") + show(v) for k, v in self.args)
        return f"{self.name}({inner})"


@record(eq=False, repr=False)
class Closure:
    """A pipeline as a value, with the place where it was written."""

    bracket: s.Bracket
    env: Env

    def __str__(self) -> str:
        return "[…]"


class Handed(str):
    """A word that also names a tensor, block, shared module or extern where it is written, in `env`.

    Its use settles which: in a chain, or where a tensor is wanted, the thing named; anywhere else the word.
    """

    __slots__ = ("env", "in_chain")

    env: Env
    in_chain: bool
    """Whether a chain used it."""

    @classmethod
    def make(cls, text: str, env: Env) -> Handed:
        handed = cls(text)
        handed.env = env
        handed.in_chain = False
        return handed


def in_trace(value: Value) -> Value:
    """A value as messages show it, without the place where it was written."""
    kind = type(value)
    if kind is int or kind is str:
        return value
    if isinstance(value, Closure):
        return PIPELINE
    if type(value) is tuple:
        return tuple(map(in_trace, value))
    return str(value) if isinstance(value, Handed) else value


def in_graph(value: Value) -> Value:
    """A value as a finished graph keeps it: without the places where pipelines and names were written."""
    kind = type(value)
    if kind is int or kind is str:
        return value
    if isinstance(value, Closure):
        return PIPELINE
    if isinstance(value, Handed):
        return PIPELINE if value.in_chain else str(value)
    return tuple(map(in_graph, value)) if type(value) is tuple else value


@record
class Pipeline:
    """That an argument of a finished graph was a pipeline; its layers are in the graph."""

    def __str__(self) -> str:
        return "[…]"


PIPELINE = Pipeline()


def describe(value: Value) -> str:
    """A value in the words of a message."""
    if isinstance(value, bool):
        return f"the truth value {show(value)}"
    if isinstance(value, int | Fraction):
        return f"the number {show(value)}"
    if isinstance(value, Sizes):
        return f"the size {show(value)}"
    if isinstance(value, tuple):
        return f"the tuple {show(value)}"
    if isinstance(value, Closure):
        return "a pipeline"
    return f"the word `{value}`"


# --- traces: the way through calls and repeats ------------------------------------------


@record(eq=False, repr=False)
class Turn:
    """One turn of a repeat or comprehension; `loop` is where that stands in the text, `count` the source of
    the number of turns."""

    loop: Span
    index: int
    total: int
    count: Sym
    bindings: tuple[tuple[str, Value], ...]
    span: Span
    parent: Trace | None


@record(eq=False, repr=False)
class CallStep:
    """One call of a block with these values, or (without any) the placing of a pipeline parameter."""

    name: str
    values: tuple[Value, ...] | None
    span: Span
    parent: Trace | None

    @property
    def text(self) -> str:
        return self.name if self.values is None else f"{self.name}({', '.join(map(show, self.values))})"


Trace = Turn | CallStep


def ordinal(n: int) -> str:
    """`1st`, `2nd`, `11th`."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def render_trace(trace: Trace | None, around: Span | None) -> tuple[str, ...]:
    """The steps from the innermost outwards: `stage(3, 256), 3rd of 5, line 7`."""
    lines: list[str] = []
    while trace is not None:
        place = f"line {trace.span.line}"
        if around is not None and trace.span.source is not around.source:
            place += f" of {trace.span.source.name}"
        if isinstance(trace, CallStep):
            call, turn = trace.text, trace.parent
            if isinstance(turn, Turn):
                lines.append(f"{call}, {_turn(turn)}, {place}")
                trace = turn.parent
                continue
            lines.append(f"{call}, {place}")
        else:
            lines.append(f"a repeat, {_turn(trace)}, {place}")
        trace = trace.parent
    if len(lines) > 8:
        lines = [*lines[:5], f"{len(lines) - 7} more", *lines[-2:]]
    return tuple(lines)


def _turn(turn: Turn) -> str:
    bound = ", ".join(f"{name}={show(value)}" for name, value in turn.bindings)
    return f"{ordinal(turn.index + 1)} of {turn.total}" + (f" ({bound})" if bound else "")


# --- environments ----------------------------------------------------------------------


@record(frozen=False, eq=False, repr=False)
class LabelScope:
    """The labels of one naming scope; `parent` is None at a block body's wall."""

    parent: LabelScope | None
    entries: dict[str, Labelled] = field(default_factory=dict)

    def find(self, name: str) -> Labelled | None:
        scope: LabelScope | None = self
        while scope is not None:
            if name in scope.entries:
                return scope.entries[name]
            scope = scope.parent
        return None

    def sees(self, text: str) -> bool:
        """Whether a label or a path of labels can be seen from here."""
        return self.reach(text) is not None

    def reach(self, text: str) -> Labelled | None:
        """What a label or a path names; labels may have dots in them."""
        found = self.find(text)
        if "." not in text:
            return found
        steps = text.split(".")
        for i in range(len(steps) - 1, 0, -1):
            outer = None if found is not None else self.find(".".join(steps[:i]))
            if outer is not None and outer.inner is not None:
                found = outer.inner.within(".".join(steps[i:]))
                if found is not None:
                    outer.used = True
        return found

    def within(self, text: str) -> Labelled | None:
        """What a path names that begins on this level."""
        return replace(self, parent=None).reach(text)

    def visible(self) -> list[str]:
        names: list[str] = []
        scope: LabelScope | None = self
        while scope is not None:
            names += scope.entries
            scope = scope.parent
        return names


@record(frozen=False, eq=False, repr=False)
class Labelled:
    """What a label names: a tensor, and the labels inside where it is a bracket or call."""

    tensor: Draft
    inner: LabelScope | None
    span: Span
    used: bool = False
    made: Made | None = None


@record(eq=False, repr=False)
class Made:
    """How a label came to its tensor: the item, where its names are looked up, and the drafts `first` up to `last`
    that it placed; `scope` is the level of names that it opened, if any."""

    item: s.Item
    env: Env
    first: int
    last: int
    scope: Scope | None


@record(frozen=False, eq=False, repr=False, kw_only=True)
class FileScope:
    """What one file declares."""

    params: dict[str, Value] = field(default_factory=dict)
    changed: dict[str, Value] = field(default_factory=dict)
    """The params that were given another value from outside."""
    sources: dict[str, Sym] = field(default_factory=dict)
    """Where the values of params come from, constants aside."""
    bounds: dict[str, Bounds] = field(default_factory=dict)
    """The ranges that `within` gives params."""
    blocks: dict[str, BlockDef] = field(default_factory=dict)
    shareds: dict[str, SharedDef] = field(default_factory=dict)
    externs: dict[str, ExternDef] = field(default_factory=dict)
    defaults: dict[str, dict[str, s.Argument]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    brought: dict[str, Span] = field(default_factory=dict)
    """What `use` brought, and where it says so."""

    def declares(self, name: str) -> bool:
        """Whether it has a block, shared module or extern of this name."""
        return name in self.blocks or name in self.shareds or name in self.externs

    def env(self) -> Env:
        """The environment of the file's top level."""
        return Env(self, {}, None, LabelScope(None))


@record(eq=False, repr=False)
class BlockDef:
    """A block and the file in which its names are looked up.

    `is_model` where it is a used file's whole network, of which what nobody needs is left out; `call` where that
    network is a call of a block (`model resnet18 = resnet(2, 2, 2, 2)`), written in the file `home`.
    """

    syntax: s.Block
    file: FileScope
    is_model: bool = False
    call: s.Word | None = None
    home: FileScope | None = None


@record(frozen=False, eq=False, repr=False)
class SharedDef:
    """A shared module; `scope` and `drafts` are those of its first use, `uses` how many there were."""

    syntax: s.Shared
    file: FileScope
    scope: Scope | None = None
    drafts: tuple[Draft, ...] = ()
    uses: int = 0


@record(eq=False, repr=False)
class ExternDef:
    syntax: s.Extern
    file: FileScope


@record(eq=False, repr=False)
class Env:
    """The names that can be seen at one place, and what flows into its innermost bracket."""

    file: FileScope
    names: Mapping[str, Sourced[Value]]
    flow: Draft | None
    labels: LabelScope

    def inside(self, flow: Draft | None) -> Env:
        """The same names in a bracket into which `flow` flows."""
        return Env(self.file, self.names, flow, self.labels)

    def within(self, labels: LabelScope) -> Env:
        """The same names on another level of labels."""
        return Env(self.file, self.names, self.flow, labels)

    def bind(self, names: Mapping[str, Sourced[Value]]) -> Env:
        return Env(self.file, {**self.names, **names}, self.flow, self.labels)

    def value(self, name: str) -> Sourced[Value] | None:
        """What a name stands for, sizes aside; None where it stands for nothing."""
        found = self.names.get(name)
        if found is None and name in self.file.params:
            self.file.used.add(name)
            value = self.file.params[name]
            return Sourced(value, self.file.sources.get(name) or Const(value))
        return found

    def handed(self, text: str) -> Handed | None:
        """A word that names a tensor, block, shared module or extern here; None for any other."""
        return Handed.make(text, self) if self.file.declares(text) or self.labels.sees(text) else None

    def known(self) -> list[str]:
        return [*self.names, *self.file.params, *SIZE_NAMES]
