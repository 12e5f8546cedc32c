"""Every name that a text declares, and where the text uses it: for going to it, renaming it, and outlines.

Names are found in the syntax tree, by the language's rules of what can be seen from where. A name that is made by
arithmetic (`c{i}`) is one name, used wherever a word matches it. What another file declares is known by the `use` that brings it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from typing import Literal

from cnnc.compiler.ops import op_words
from cnnc.compiler.walk.words import split
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

Kind = Literal[
    "model", "input", "param", "block", "shared", "extern", "used", "parameter", "label", "variable"
]  # fmt: skip


@record(eq=False, repr=False, kw_only=True)
class Symbol:
    """One name. `span` is where it is declared, `whole` all that declares it, `owner` the block that it is of."""

    name: str
    kind: Kind
    span: Span
    whole: Span
    owner: str | None = None
    made: bool = False
    """Whether arithmetic makes it, so that it is many names."""
    origin: str | None = None
    """For a used name: the library or file that it comes from, and `original` its name there."""
    original: str | None = None
    inner: dict[str, Symbol] = field(default_factory=dict)
    """The labels in a labelled bracket, by name."""
    calls: str | None = None
    """For a label: the block whose call it names."""
    quoted: bool = False


@record(eq=False, repr=False)
class Occurrence:
    """One place where a symbol's name stands."""

    span: Span
    symbol: Symbol
    declares: bool
    is_key: bool = False
    """Whether it is the key of an argument."""


@record(eq=False, repr=False)
class Names:
    """All symbols of a text in the order in which it declares them, and all their places in order."""

    symbols: tuple[Symbol, ...]
    places: tuple[Occurrence, ...]

    def at(self, offset: int) -> Occurrence | None:
        """The name that stands at an offset, or ends at it."""
        i = bisect_right(self.places, offset, key=lambda place: place.span.start)
        for place in reversed(self.places[max(0, i - 4) : i]):
            if place.span.start <= offset <= place.span.end:
                return place
        return None

    def of(self, symbol: Symbol) -> tuple[Occurrence, ...]:
        """Every place of a symbol."""
        return tuple(place for place in self.places if place.symbol is symbol)


def names_of(tree: s.Spec) -> Names:
    """The names of a text.

    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> names = names_of(parse(Source("net.cnn", "block b(w) = conv3-w\\nx: b(8) -> pool\\n[x | id]")))
    >>> [(name.kind, name.name, [place.span.start for place in names.of(name)]) for name in names.symbols]
    [('block', 'b', [6, 24]), ('parameter', 'w', [8, 19]), ('label', 'x', [21, 38])]
    """
    finder = _Finder(tree)
    finder.run()
    return Names(tuple(finder.symbols), tuple(sorted(finder.places, key=lambda place: place.span.start)))


@record(frozen=False, eq=False, repr=False)
class _Level:
    """What can be seen: `values` are params, parameters and variables, `labels` tensors."""

    parent: _Level | None
    values: dict[str, Symbol] = field(default_factory=dict)
    labels: dict[str, Symbol] = field(default_factory=dict)

    def value(self, name: str) -> Symbol | None:
        level: _Level | None = self
        while level is not None:
            if name in level.values:
                return level.values[name]
            level = level.parent
        return None

    def label(self, name: str) -> Symbol | None:
        level: _Level | None = self
        while level is not None:
            found = level.labels.get(name) or _made_alike(name, level.labels)
            if found is not None:
                return found
            level = level.parent
        return None


def _made_alike(name: str, labels: Mapping[str, Symbol]) -> Symbol | None:
    """The label made by arithmetic that a name may be one of: `c{i}` for `c3`."""
    for pattern, symbol in labels.items():
        if symbol.made and re.fullmatch(re.sub(r"\\\{.*?\\\}", r"\\w+", re.escape(pattern)), name):
            return symbol
    return None


class _Finder:
    """One pass over a tree."""

    def __init__(self, tree: s.Spec) -> None:
        self.tree = tree
        self.source = tree.source
        self.symbols: list[Symbol] = []
        self.places: list[Occurrence] = []
        self.file = _Level(None)
        self.level = self.file
        self.things: dict[str, Symbol] = {}
        """Blocks, shared modules, externs and used names."""
        self.parameters: dict[str, dict[str, Symbol]] = {}
        """By block or extern."""
        self.bodies: dict[str, dict[str, Symbol]] = {}
        """The labels in the body of each block, by block."""
        self.owner: str | None = None

    def run(self) -> None:
        for statement in self.tree.statements:
            self._declare(statement)
        for statement in self.tree.statements:
            if isinstance(statement, s.Block | s.Shared):
                self._body(statement)
        for statement in self.tree.statements:
            self._statement(statement)

    # --- declarations --------------------------------------------------------------------

    def _add(self, name: str, kind: Kind, span: Span, whole: Span, **more: object) -> Symbol:
        symbol = Symbol(name=name, kind=kind, span=span, whole=whole, owner=self.owner, **more)  # type: ignore[arg-type]
        self.symbols.append(symbol)
        self.places.append(Occurrence(span, symbol, declares=True))
        return symbol

    def _use(self, span: Span, symbol: Symbol | None, *, is_key: bool = False) -> None:
        if symbol is not None:
            self.places.append(Occurrence(span, symbol, declares=False, is_key=is_key))

    def _second_word(self, span: Span, name: str) -> Span:
        """Where the name behind a statement's first word is."""
        match = re.compile(rf"\w+\s+(?={re.escape(name)}\b)").match(self.source.text, span.start)
        start = match.end() if match else span.start
        return Span(self.source, start, start + len(name))

    def _declare(self, statement: s.Statement) -> None:
        """What the whole file sees."""
        match statement:
            case s.Model():
                self._add(
                    statement.name, "model", self._second_word(statement.span, statement.name), statement.span
                )  # fmt: skip
            case s.Input() if statement.name is not None:
                span = self._second_word(statement.span, statement.name)
                self.file.labels[statement.name] = self._add(statement.name, "input", span, statement.span)
            case s.Param():
                span = self._second_word(statement.span, statement.name)
                self.file.values[statement.name] = self._add(statement.name, "param", span, statement.span)
            case s.Block() | s.Shared() | s.Extern():
                kind: Kind = (
                    "block" if isinstance(statement, s.Block) else "shared" if isinstance(statement, s.Shared) else "extern"
                )  # fmt: skip
                self.things[statement.name] = self._add(
                    statement.name, kind, statement.name_span, statement.span
                )
                if not isinstance(statement, s.Shared):
                    self._parameters(statement.name, statement.params)
            case s.Use():
                for used in statement.names:
                    self._used(used, statement)

    def _used(self, used: s.UsedName, statement: s.Use) -> None:
        span = Span(self.source, used.span.end - len(used.alias), used.span.end)
        self.things[used.alias] = self._add(
            used.alias, "used", span, used.span, origin=statement.origin, original=used.name
        )

    def _parameters(self, owner: str, parameters: Iterable[s.Parameter]) -> None:
        before, self.owner = self.owner, owner
        found = {}
        for parameter in parameters:
            start = parameter.span.start + self.source.text[parameter.span.start : parameter.span.end].index(
                parameter.name
            )
            span = Span(self.source, start, start + len(parameter.name))
            found[parameter.name] = self._add(parameter.name, "parameter", span, parameter.span)
        self.parameters[owner] = found
        self.owner = before

    def _body(self, block: s.Block | s.Shared) -> None:
        """The body of a block, behind whose walls only its own labels are seen."""
        before, self.owner = self.owner, block.name
        self.level = _Level(None, {**self.file.values, **self.parameters.get(block.name, {})})
        if isinstance(block, s.Block):
            for parameter in block.params:
                if parameter.default is not None:
                    self._value(parameter.default)
        self._pipeline(block.body)
        self.bodies[block.name] = self.level.labels
        self.level, self.owner = self.file, before

    # --- statements that use names -----------------------------------------------------------

    def _statement(self, statement: s.Statement) -> None:
        match statement:
            case s.Model() if statement.call is not None:
                self._item(statement.call)
            case s.Input():
                for part in statement.dims.parts:
                    if not isinstance(part, int | str):
                        self._value(part)
            case s.Param():
                self._value(statement.value)
                if statement.bounds is not None:
                    self._value(statement.bounds)
            case s.Default():
                self._arguments(statement.call.args, None)
            case s.Extern():
                self._extern(statement)
            case s.Use():
                for setting in statement.settings:
                    self._value(setting.value)
            case s.Output():
                for name in statement.names:
                    self._value(name)
            case s.Expect():
                self._value(statement.claim)
                for setting in statement.settings:
                    self._use(self._key(setting), self.file.value(setting.key or ""), is_key=True)
                    self._value(setting.value)
            case s.Flow():
                self._pipeline(statement.pipeline)

    def _extern(self, extern: s.Extern) -> None:
        self.level = _Level(None, {**self.file.values, **self.parameters[extern.name]})
        for fact in extern.facts:
            self._value(fact.value)
        self.level = self.file

    # --- pipelines -------------------------------------------------------------------------

    @contextmanager
    def _inside(self, values: dict[str, Symbol], labels: dict[str, Symbol] | None = None):  # type: ignore[no-untyped-def]
        """A level within; without `labels` those that are declared there are the outer level's."""
        outer = self.level
        self.level = _Level(outer, values, outer.labels if labels is None else labels)
        yield
        self.level = outer

    def _pipeline(self, pipeline: s.Pipeline) -> None:
        for item in pipeline.items:
            self._item(item)

    def _item(self, item: s.Item) -> None:
        symbol = None
        is_level = item.label is not None and item.label.parts == ("_",) and not item.label.quoted
        if item.label is not None and not is_level:
            symbol = self._label(item.label, item)
        inner = None if item.label is None else symbol.inner if symbol is not None else {}
        if isinstance(item.core, s.Bracket):
            with self._inside({}, inner):
                self._bracket(item.core)
        else:
            self._word(item.core)
            if symbol is not None and symbol.calls in self.bodies:
                symbol.inner.update(self.bodies[symbol.calls])
        if item.count is not None:
            self._value(item.count)
        if symbol is not None:
            self.level.labels[symbol.name] = symbol

    def _label(self, label: s.Label, item: s.Item) -> Symbol:
        made = not all(isinstance(part, str) for part in label.parts)
        for part in label.parts:
            if not isinstance(part, str):
                self._value(part)
        span, text = label.span, "".join(part if isinstance(part, str) else "{}" for part in label.parts)
        if label.quoted:
            span = Span(span.source, span.start + 1, span.end - 1)
        core = item.core
        calls = core.literal if isinstance(core, s.Word) and core.literal in self.things else None
        return self._add(text, "label", span, item.span, made=made, calls=calls, quoted=label.quoted)

    def _bracket(self, bracket: s.Bracket) -> None:
        body = bracket.body
        match body:
            case s.Pipeline():
                self._pipeline(body)
            case s.Sides():
                for branch in body.branches:
                    self._pipeline(branch)
            case s.Choice():
                for arm, condition in body.arms:
                    self._pipeline(arm)
                    self._value(condition)
                if body.otherwise is not None:
                    self._pipeline(body.otherwise)
            case s.Loop():
                self._loop(body)
        for argument in bracket.args or ():
            self._value(argument.value)

    def _loop(self, loop: s.Loop) -> None:
        for value in loop.values:
            self._value(value)
        at = loop.body.span.end
        found = {}
        for target in loop.targets:
            match = re.compile(rf"\b{re.escape(target)}\b").search(self.source.text, at, loop.span.end)
            if match is not None:
                at = match.end()
                span = Span(self.source, *match.span())
                found[target] = self._add(target, "variable", span, loop.span)
        with self._inside(found):
            self._pipeline(loop.body)

    # --- words and arithmetic ------------------------------------------------------------------

    def _word(self, word: s.Word) -> None:
        for part in word.parts:
            if not isinstance(part, str):
                self._value(part)
        for index in word.index:
            self._value(index)
        text = word.literal
        name = (
            text
            if text is not None
            else word.parts[0]
            if isinstance(word.parts[0], str) and word.index
            else None
        )
        head = word.head_span if not word.quoted else Span(self.source, word.head_span.start + 1, word.head_span.end - 1)  # fmt: skip
        thing = self.things.get(name or "") if not word.quoted else None
        value = self.level.value(name or "") if not word.quoted else None
        if value is not None:
            self._use(Span(self.source, head.start, head.start + len(name or "")), value)
        elif thing is not None:
            self._use(head, thing)
        elif not self._path(head):
            self._pieces(word)
        self._arguments(word.args or (), thing)

    def _pieces(self, word: s.Word) -> None:
        """The names that stand in a layer word: `conv3-w/s`."""
        if word.quoted or (word.literal or "").lower() in op_words():
            return
        try:
            pieces = split(replace(word, args=None)).pieces.values()
        except CnncError:
            return
        holes = {id(part) for part in word.parts}
        for piece in pieces:
            parts = piece.parts if isinstance(piece, s.Dims) else (piece,)
            for part in parts:
                if isinstance(part, s.Name) and id(part) not in holes:
                    self._value(part)

    def _path(self, span: Span) -> bool:
        """A tensor's name: a label, or labels joined by dots. Whether it is one."""
        text = span.text
        whole = self.level.label(text)
        if whole is not None:
            self._use(span, whole)
            return True
        at, labels, found = span.start, None, False
        for step in text.split("."):
            label = (
                self.level.label(step) if labels is None else labels.get(step) or _made_alike(step, labels)
            )
            if label is None:
                return found
            self._use(Span(span.source, at, at + len(step)), label)
            at, labels, found = at + len(step) + 1, label.inner, True
        return found

    def _arguments(self, arguments: Iterable[s.Argument], thing: Symbol | None) -> None:
        keys = self.parameters.get(thing.name, {}) if thing is not None else {}
        for argument in arguments:
            if argument.key in keys:
                self._use(self._key(argument), keys[argument.key], is_key=True)
            self._value(argument.value)

    def _key(self, argument: s.Argument) -> Span:
        return Span(self.source, argument.span.start, argument.span.start + len(argument.key or ""))

    def _value(self, value: s.Expr | s.Bracket) -> None:
        """The names in arithmetic, an argument or a pipeline that is one."""
        match value:
            case s.Bracket():
                self._bracket(value)
            case s.Name():
                symbol = self.level.value(value.id) or self.things.get(value.id)
                if symbol is not None:
                    self._use(value.span, symbol)
                else:
                    self._path(value.span)
            case s.String():
                self._path(Span(value.span.source, value.span.start + 1, value.span.end - 1))
            case s.Interpolated():
                for part in value.parts:
                    if not isinstance(part, str):
                        self._value(part)
                if not value.quoted:
                    self._made(value)
            case s.Call():
                self._arguments(value.args, None)
            case _:
                for inner in _parts(value):
                    self._value(inner)

    def _made(self, value: s.Interpolated) -> None:
        """A name made by arithmetic is a use of the label that is made alike."""
        text = "".join(part if isinstance(part, str) else "{}" for part in value.parts)
        level: _Level | None = self.level
        while level is not None and text not in level.labels:
            level = level.parent
        if level is not None:
            self._use(value.span, level.labels[text])


def _parts(expr: s.Expr) -> Iterable[s.Expr | s.Bracket]:
    """What an expression is made of."""
    match expr:
        case s.Dims():
            return [part for part in expr.parts if not isinstance(part, int | str)]
        case s.Unary():
            return [expr.operand]
        case s.Arithmetic() | s.Compare():
            return [expr.first, *(operand for _, operand in expr.rest)]
        case s.Membership():
            return [expr.item, expr.members]
        case s.Subscript():
            return [expr.values, expr.index]
        case s.Logic():
            return expr.operands
        case s.IfElse():
            return [*(part for arm in expr.arms for part in arm), expr.otherwise]
        case s.Tuple():
            return expr.items
        case s.Range():
            return [end for end in (expr.low, expr.high) if end is not None]
        case _:
            return []
