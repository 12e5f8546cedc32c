"""The syntax tree: what the text says, before anything is looked up.

Every node carries its span; equality ignores spans, so two trees are equal
when they say the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, fields, is_dataclass
from fractions import Fraction
from typing import Literal

from cnnc.dsl.record import record
from cnnc.dsl.source import Source, Span


def _span() -> Span:
    return field(compare=False, repr=False)  # type: ignore[no-any-return]


# --- expressions: arithmetic, and the words that stand as arguments ----------------


@record
class Number:
    """A number as written; `digits` keeps the spelling (`138M`, `1_000`, `0.50`, `4 GiB`)."""

    value: int | Fraction
    digits: str
    span: Span = _span()


@record
class Dims:
    """Sizes joined by x: `3x224x224`, `3xHxW`, `{c}x7`. A string part is a free size."""

    parts: tuple[int | str | Expr, ...]
    span: Span = _span()


@record
class String:
    value: str
    span: Span = _span()


@record
class Name:
    """A name, or a dotted path (`layer1.0.conv1`)."""

    id: str
    span: Span = _span()


@record
class Interpolated:
    """A name or path with arithmetic in it: `c{i}`, `s{i}.a`; `quoted` where it stands in quotes."""

    parts: tuple[str | Expr, ...]
    quoted: bool
    span: Span = _span()


@record
class Unary:
    op: Literal["+", "-", "not"]
    operand: Expr
    span: Span = _span()


@record
class Arithmetic:
    """A run of operators of one precedence, left to right: `a - b + c`."""

    first: Expr
    rest: tuple[tuple[str, Expr], ...]
    span: Span = _span()


@record
class Compare:
    """A chain of comparisons, as in Python: `1 <= n < 5`."""

    first: Expr
    rest: tuple[tuple[str, Expr], ...]
    span: Span = _span()


@record
class Membership:
    """`item in members`, or `not in` where it is `negated`; the members are a list or a range."""

    item: Expr
    members: Expr
    negated: bool
    span: Span = _span()


@record
class Subscript:
    """`values[index]`: an element, or with a range a part."""

    values: Expr
    index: Expr
    span: Span = _span()


@record
class Logic:
    op: Literal["and", "or"]
    operands: tuple[Expr, ...]
    span: Span = _span()


@record
class IfElse:
    """`a if c else b`; the arms are (value, condition) in order."""

    arms: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr
    span: Span = _span()


@record
class Tuple:
    """A list; pipelines may stand in it."""

    items: tuple[Expr | Bracket, ...]
    span: Span = _span()


@record
class Range:
    """`lo..hi`, both ends included; None where an end is left open."""

    low: Expr | None
    high: Expr | None
    span: Span = _span()


@record
class Argument:
    key: str | None
    value: Expr | Bracket
    span: Span = _span()


@record
class Call:
    """A function of arithmetic (`max(a, b)`) or a layer word as argument (`gn(32)`)."""

    name: str
    args: tuple[Argument, ...]
    span: Span = _span()


Expr = (
    Number | Dims | String | Name | Interpolated | Unary | Arithmetic | Compare | Membership | Subscript
    | Logic | IfElse | Tuple | Range | Call
)  # fmt: skip


# --- pipelines ----------------------------------------------------------------------


@record
class Word:
    """A layer word, call, or tensor name: `conv{k}-64/2(groups=4)`, `bottleneck(64)`, `c3`, `maps[i]`.

    `parts` are the literal pieces and the arithmetic between them, in order.
    `quoted` marks a name in quotes. `args` is None where there are no parentheses.
    """

    parts: tuple[str | Expr, ...]
    index: tuple[Expr, ...]
    args: tuple[Argument, ...] | None
    quoted: bool
    span: Span = _span()
    head_span: Span = _span()
    literal: str | None = field(init=False, compare=False, repr=False)
    """The whole word where it has no arithmetic in it, arguments aside."""
    keyword: str | None = field(init=False, compare=False, repr=False)
    """That in small letters, unless it stands in quotes: what tells layers and the like."""

    def __post_init__(self) -> None:
        whole = self.parts[0] if len(self.parts) == 1 and not self.index else None
        literal = whole if isinstance(whole, str) else None
        object.__setattr__(self, "literal", literal)
        object.__setattr__(self, "keyword", None if literal is None or self.quoted else literal.lower())


@record
class Label:
    parts: tuple[str | Expr, ...]
    quoted: bool
    span: Span = _span()


@record
class Item:
    """One step of a chain: `label: core*count`."""

    label: Label | None
    core: Word | Bracket
    count: Expr | None
    span: Span = _span()


@record
class Pipeline:
    """Items in order; `breaks[i]` tells whether item i begins a line (a break, not `->`)."""

    items: tuple[Item, ...]
    breaks: tuple[bool, ...]
    span: Span = _span()


SideOp = Literal["|", "+", "&", "@"]


@record
class Sides:
    """Branches side by side, joined by one operator."""

    op: SideOp
    branches: tuple[Pipeline, ...]
    span: Span = _span()


@record
class Choice:
    """`a if c else b`; the arms are (pipeline, condition) in order. `otherwise` is None where no `else` ends it."""

    arms: tuple[tuple[Pipeline, Expr], ...]
    otherwise: Pipeline | None
    span: Span = _span()


@record
class Loop:
    """`body for targets in values`; with `op` the turns stand side by side."""

    op: SideOp | None
    body: Pipeline
    targets: tuple[str, ...]
    values: tuple[Expr, ...]
    span: Span = _span()


@record
class Bracket:
    """`[body](args)`; `args` is None where there are no parentheses, which `span` leaves out."""

    body: Pipeline | Sides | Choice | Loop
    args: tuple[Argument, ...] | None
    span: Span = _span()
    whole: Span = _span()


# --- statements ---------------------------------------------------------------------


@record
class Parameter:
    """`name`, `name=default`, or `*name`, which takes what is left."""

    name: str
    default: Expr | Bracket | None
    rest: bool
    span: Span = _span()


@record
class Model:
    name: str
    call: Item | None
    span: Span = _span()


@record
class Input:
    name: str | None
    dims: Dims
    channels_last: bool
    span: Span = _span()


@record
class Param:
    """`param name = value within bounds`; the bounds are a range or a list, None where there are none."""

    name: str
    value: Expr
    bounds: Expr | None
    span: Span = _span()


@record
class Default:
    call: Call
    span: Span = _span()


@record
class Block:
    name: str
    params: tuple[Parameter, ...]
    body: Pipeline
    span: Span = _span()
    name_span: Span = _span()


@record
class Shared:
    name: str
    body: Pipeline
    span: Span = _span()
    name_span: Span = _span()


@record
class Extern:
    """`extern name(params) = "package.module:Class" (shape=…, params=…, macs=…)`."""

    name: str
    params: tuple[Parameter, ...]
    target: str
    facts: tuple[Argument, ...]
    span: Span = _span()
    name_span: Span = _span()


@record
class Use:
    """`use a, b as c from std` or `from "file.cnn" (param=value)`; `names` are (name, alias, span)."""

    names: tuple[UsedName, ...]
    origin: str
    is_file: bool
    settings: tuple[Argument, ...]
    span: Span = _span()
    origin_span: Span = _span()


@record
class UsedName:
    name: str
    alias: str
    span: Span = _span()


@record
class Output:
    names: tuple[Name | String | Interpolated, ...]
    span: Span = _span()


@record
class Expect:
    """`expect claim with param=value`."""

    claim: Expr
    settings: tuple[Argument, ...]
    span: Span = _span()


@record
class Flow:
    """A line of layers."""

    pipeline: Pipeline
    span: Span = _span()


Statement = Model | Input | Param | Default | Block | Shared | Extern | Use | Output | Expect | Flow


@record
class Comment:
    """A `#` comment; `own_line` tells whether nothing else stands on its line."""

    text: str
    own_line: bool
    span: Span = _span()


@record
class Spec:
    """A whole file."""

    statements: tuple[Statement, ...]
    source: Source = field(compare=False, repr=False)
    comments: tuple[Comment, ...] = field(compare=False, repr=False)


def nodes_in(tree: object) -> Iterator[object]:
    """Every node of a tree, the tree itself first, each before what it holds, in the order of the text."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, tuple):
            todo += reversed(node)
        elif is_dataclass(node) and not isinstance(node, Span | Source):
            yield node
            todo += [getattr(node, f.name) for f in reversed(fields(node)) if f.compare]
