"""What a shortened spec is made of while it is being shortened: chains of items, whose numbers can become holes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, field, fields, replace
from functools import cache
from typing import Any, TypeVar

from cnnc.dsl.record import record


@record
class Word:
    """A layer as an argument: `bn(eps=0.001)`."""

    kind: str
    args: tuple[tuple[str, str], ...] = ()


NONE = Word("none")


@record
class Formula:
    """Arithmetic that stands for a number or word: `w`, `4*w`, `C//16`."""

    text: str


Value = int | str | Word | Formula


@record
class Leaf:
    """A value that may differ between two copies of a piece; `default` is the value that need not be written."""

    value: Value
    default: Value | None = None
    welcome: bool | None = field(default=True)
    """Of an activation: whether the default one would be left out here; None: not in all copies alike."""
    outer: int = 0
    """Of a tensor's name: how many levels up it is defined; a block has to be handed it."""


Label = tuple[str | Leaf, ...]
"""A label in pieces, its numbers apart."""


def label_of(label: Label) -> str:
    """A label whose numbers are numbers, in one piece."""
    return "".join(part if isinstance(part, str) else str(part.value) for part in label)


@record
class Layer:
    """A layer word."""

    kind: str
    _: KW_ONLY
    size: tuple[Leaf, ...] = ()
    width: Leaf | None = None
    stride: tuple[Leaf, ...] = ()
    rest: tuple[Leaf, ...] = ()
    args: tuple[tuple[str, Leaf], ...] = ()
    pipes: tuple[tuple[str, tuple[Item, ...]], ...] = ()
    """Arguments that are chains."""
    norm: Leaf | None = None
    act: Leaf | None = None
    bias: Leaf | None = None
    label: Label = ()
    names: tuple[str | None, ...] = field(default=(), compare=False)
    """The names that the layer, its norm and its activation must have; None where it does not matter."""
    flow: tuple[int, ...] = field(default=(), compare=False)
    """The channels of what flows in, into its chains where it has some."""


@record
class Fit:
    """A `shortcut` in its branch: what it is here is `id`, `projection` or `pad`."""

    kind: Leaf
    norm: Leaf | None
    label: Label = ()
    names: tuple[str | None, ...] = field(default=(), compare=False)
    bias: Value | None = field(default=None, compare=False)
    """Whether a projection has one, which the word does not say: by its norm, or by the default of convolutions."""


@record
class Join:
    """Branches side by side."""

    op: str
    branches: tuple[tuple[Item, ...], ...]
    axis: str = "C"
    label: Label = ()
    targets: tuple[str, ...] = ()
    """The variables of a comprehension, whose turns are the branches; its body is the only one then."""
    rows: tuple[tuple[Leaf, ...], ...] = ()
    flow: tuple[int, ...] = field(default=(), compare=False)
    """The channels of what flows in, in each copy."""


@record
class Scope:
    """A level of names: a bracket with a label, or the body of a block to be."""

    body: tuple[Item, ...]
    label: Label = ()
    flow: tuple[int, ...] = field(default=(), compare=False)
    name: str = field(default="", compare=False)
    names: tuple[str | None, ...] = field(default=(), compare=False)
    bound: bool = True
    """Whether it has to be a level of names; else it only marks a piece."""
    settled: bool = False
    """Whether it stays a bracket."""
    name_in_model: str = field(default="", compare=False)


@record
class Call:
    """A call of a block, or a use of a shared module or an extern."""

    block: str
    args: tuple[Leaf, ...] = ()
    label: Label = ()
    defaults: tuple[Value | None, ...] = ()
    bound: bool = True
    pipes: tuple[tuple[Item, ...], ...] = ()
    """Chains that it is handed, between the arguments without a usual value and those with one."""


@record
class Hole:
    """The chain that a block is handed, by the parameter's name."""

    name: str


@record
class Repeat:
    body: tuple[Item, ...]
    count: Leaf


@record
class Loop:
    """`[body for targets in rows]`; `depth` tells its variables from those of loops around it."""

    body: tuple[Item, ...]
    targets: tuple[str, ...]
    rows: tuple[tuple[Leaf, ...], ...]


@record
class Ref:
    """A tensor by its label, at the head of a line or branch."""

    name: Label


@record
class Outer:
    """A tensor of the levels around, at the head of a line or branch."""

    name: Leaf


@record
class Tap:
    """`name: id`."""

    name: str


@record
class Break:
    """What follows begins a line of its own."""


Item = Layer | Fit | Join | Scope | Call | Hole | Repeat | Loop | Ref | Outer | Tap | Break
Chain = tuple[Item, ...]
_T = TypeVar("_T")


_HOLDERS = frozenset({Layer, Fit, Join, Scope, Call, Repeat, Loop, Ref, Outer})


@cache
def _compared(cls: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls) if f.compare)


def rebuilt(term: _T, leaf: Callable[[Leaf], Leaf]) -> _T:
    """The term with every leaf replaced, in the order of `leaves`."""
    made: Any = term
    kind: Any = type(term)
    if isinstance(term, Leaf):
        made = leaf(term)
    elif isinstance(term, tuple):
        made = tuple([rebuilt(part, leaf) for part in term])
    elif kind in _HOLDERS:
        changed = {}
        for name in _compared(kind):
            old = getattr(term, name)
            if isinstance(old, tuple | Leaf):
                changed[name] = rebuilt(old, leaf)
        made = replace(made, **changed)
    return made  # type: ignore[no-any-return]


def leaves(term: Any) -> Iterator[Leaf]:
    """Every value of a term that may differ between copies, in order."""
    kind: Any = type(term)
    if isinstance(term, Leaf):
        yield term
    elif isinstance(term, tuple):
        for part in term:
            yield from leaves(part)
    elif kind in _HOLDERS:
        for name in _compared(kind):
            yield from leaves(getattr(term, name))


def mapped(chain: Chain, change: Callable[[Item], tuple[Item, ...]]) -> Chain:
    """The chain with every item, those inside first, replaced by what `change` makes of it."""
    out: list[Item] = []
    for item in chain:
        out += change(_within(item, change))
    return tuple(out)


def _within(item: Item, change: Callable[[Item], tuple[Item, ...]]) -> Item:
    match item:
        case Join():
            return replace(item, branches=tuple(mapped(b, change) for b in item.branches))
        case Scope() | Repeat() | Loop():
            return replace(item, body=mapped(item.body, change))
        case Layer() if item.pipes:
            return replace(item, pipes=tuple((key, mapped(chain, change)) for key, chain in item.pipes))
        case Call() if item.pipes:
            return replace(item, pipes=tuple(mapped(chain, change) for chain in item.pipes))
    return item


def items_in(chain: Chain) -> Iterator[Item]:
    """Every item of a chain, each before those inside it."""
    for item in chain:
        yield item
        for inner in chains_in(item):
            yield from items_in(inner)


def chains_in(item: Item) -> tuple[Chain, ...]:
    """The chains that an item holds."""
    match item:
        case Join():
            return item.branches
        case Scope() | Repeat() | Loop():
            return (item.body,)
        case Layer():
            return tuple(pipe for _, pipe in item.pipes)
        case Call():
            return item.pipes
    return ()
