"""The graph under construction: what the walk places, before default activations and names are settled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal, Protocol, TypeVar

from cnnc.compiler.ops import Op, Shape
from cnnc.compiler.symbolic import Sourced, Sym
from cnnc.compiler.walk.values import Env, Trace, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.record import record
from cnnc.dsl.source import Source, Span

Role = Literal["own", "norm", "act", "flatten", "input", "merge"]
DecisionKind = Literal["choice", "count", "values", "word", "name"]
ScopeKind = Literal["model", "block", "bracket", "shared", "again", "shortcut", "path"]


@record(frozen=False, eq=False, repr=False)
class Fit:
    """Whether a layer that takes its siblings' size changes the map, in any of the uses of its module: where it never
    does, it is no layer."""

    changes: bool


@record(frozen=False, eq=False, repr=False, kw_only=True)
class Draft:
    """One placed layer, and the tensor that flows out of it.

    A draft without an op is poison: it stands where a mistake was reported, and
    whatever depends on it is not judged.
    """

    number: int
    """Its place among all drafts; sources speak of tensors by it."""
    op: Op | None
    inputs: tuple[Draft, ...]
    shape: Shape
    span: Span
    trace: Trace | None
    role: Role
    label: str | None
    scope: Scope | None
    args: Mapping[str, Sourced[Value]]
    """The layer's arguments, the file's defaults for it among them."""
    written: tuple[str, ...] = ()
    """Those that the text at the layer gives."""
    given: tuple[str, ...] = ()
    """The arguments that brought the inputs after the first, in their order."""
    named: Mapping[str, Draft] = field(default_factory=dict)
    """The tensors that arguments name."""
    tentative: bool = False
    """A default activation, to be left out where its consumers say so."""
    dropped: bool = False
    alone: bool = False
    """The merge of a bracket of which one branch is left: it is no layer, and what the text says of it holds."""
    plain_bias: bool = False
    """The bias was neither asked for nor turned off by the text."""
    name: str = ""
    twin: Draft | None = None
    """The draft whose module this one uses again."""
    reused: Draft | None = None
    """For `again` and `weight`: the draft that they name, or its own twin in what they name."""
    applied: tuple[str, ...] = ()
    """For weights used again otherwise than their layer does: the arguments that say how."""
    fit: Fit | None = None
    """For a layer that takes its siblings' size; one record for all uses of a module."""

    @property
    def poison(self) -> bool:
        return self.op is None

    @property
    def owner(self) -> Draft:
        """The draft whose module has the weights: itself, or the first use."""
        draft = self
        while draft.twin is not None:
            draft = draft.twin
        return draft

    def settled(self) -> Draft:
        """This tensor once dropped layers are out."""
        draft = self
        while draft.dropped:
            draft = draft.inputs[0]
        return draft


def poison(span: Span) -> Draft:
    return Draft(
        number=-1,
        op=None,
        inputs=(),
        shape=(),
        span=span,
        trace=None,
        role="own",
        label=None,
        scope=None,
        args={},
    )


NO_BRANCH = poison(Span(Source("", ""), 0, 0))
"""What a branch gives of which nothing is left, and which is no branch then."""


@record(frozen=False, eq=False, repr=False)
class Fitted:
    """How a shortcut came to its size: operand `branch` of `merge`, as wide as `like`,
    its stride the product of the strides on the way there."""

    like: Draft
    stride: Sym
    branch: int
    merge: Draft | None = None


@record(frozen=False, eq=False, repr=False, kw_only=True)
class Scope:
    """A level of names: the model, a block call, a labelled bracket, a shared module, a shortcut,
    or a step of a dotted label."""

    number: int
    """Its place among all scopes; the parameters of its block are told from others' by it."""
    kind: ScopeKind
    label: str | None
    parent: Scope | None
    span: Span
    trace: Trace | None
    block: s.Block | None = None
    args: Mapping[str, Sourced[Value]] = field(default_factory=dict)
    """The values of its block's parameters."""
    given: tuple[str, ...] = ()
    """Those that the call gives."""
    children: list[Draft | Scope] = field(default_factory=list)
    labels: dict[str, Span] = field(default_factory=dict)
    has_sides: bool = False
    source: Draft | None = None
    """What flows in."""
    result: Draft | None = None
    """What flows out."""
    fitted: Fitted | None = None
    """For a shortcut: what it was fitted to."""
    decisions: list[Decision] = field(default_factory=list)
    """What was decided in it, in this order."""
    again: Scope | None = None
    """For a further use of a shared module, or of what `again` names: the first use."""
    is_spare: bool = False
    """Whether what nobody needs of it is left out: a network that is used from its file."""
    name: str = ""

    def scopes(self) -> Iterator[Scope]:
        """This scope and those within it, each before its own."""
        return scopes_within(self)

    @property
    def owner(self) -> Scope:
        """The scope whose module has the weights: itself, or the first use."""
        scope = self
        while scope.again is not None:
            scope = scope.again
        return scope

    @property
    def kind_name(self) -> str:
        """What an unlabelled one is called, before its counter."""
        if self.block is not None:
            return self.block.name
        return "seq" if self.kind == "bracket" else self.kind


@record(eq=False, repr=False)
class Decision:
    """Something of the structure that values decided: which arm of a choice is placed, how often a bracket is
    repeated, over what values a comprehension runs, which layer a word places, what a label is called.

    `place` is where in the text, `sources` are where the values come from (the conditions of the arms of a
    choice, in order), `taken` is what was decided: the number of the arm, the count, the word.
    """

    kind: DecisionKind
    place: Span
    sources: tuple[Sym, ...]
    taken: Value
    trace: Trace | None
    is_closed: bool = False
    """Whether it is a choice between two arms, the default activations in which do not depend on what follows."""
    is_after_default: bool = False
    """Whether what flows into the choice ends in a default activation, which may depend on the arm."""
    keeps_default: bool = False
    """Whether the arm that is placed has such an activation stay, whatever else takes it."""


@record(eq=False, repr=False)
class Spot:
    """Where things are being placed: the names that can be seen there, the naming scope, and the way there."""

    env: Env
    scope: Scope
    trace: Trace | None

    def step(self, trace: Trace) -> Spot:
        """One step further on the way."""
        return Spot(self.env, self.scope, trace)

    def seeing(self, env: Env) -> Spot:
        """The same scope and way for what is placed here and sees other names: those of where it was written."""
        return Spot(env, self.scope, self.trace)

    def inside(self, flow: Draft | None) -> Spot:
        """A bracket here into which `flow` flows."""
        return Spot(self.env.inside(flow), self.scope, self.trace)


class _Nested(Protocol):
    @property
    def children(self) -> Sequence[object]: ...


_Nest = TypeVar("_Nest", bound=_Nested)


def scopes_within(root: _Nest) -> Iterator[_Nest]:
    """A scope and those within it, each before its own; a draft's or a graph's."""
    kind = type(root)
    todo = [root]
    while todo:
        scope = todo.pop()
        yield scope
        todo += [child for child in reversed(scope.children) if isinstance(child, kind)]
