"""What becomes of each rule of the grammar: the nodes of the syntax tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.lalr import Parser, Refused, Tok
from cnnc.dsl.pieces import (
    Piece,
    check_adjacent,
    dims_of,
    merge,
    nodes,
    number_of,
    pairs,
    prefix,
    whole,
)
from cnnc.dsl.source import Span
from cnnc.dsl.tokens import inside
from cnnc.dsl.units import POWERS, UNITS


class Builder:
    """A callback for each rule of grammar.lark; `c` is the list of children, tokens included."""

    def start(self, c: list[Any]) -> Any:
        return c[0]

    # statements
    def model(self, c: list[Any]) -> s.Model:
        return s.Model(str(c[1]), c[3] if len(c) > 2 else None, whole(c))

    def input(self, c: list[Any]) -> s.Input:
        named = len(c) > 2 and isinstance(c[2], Tok) and c[2].type == "COLON"
        pieces = [p.value for p in c if isinstance(p, Piece)]
        channels_last = False
        last = pieces[-1]
        apart = len(pieces) > 1 and last.span.start != pieces[-2].span.end
        if apart and isinstance(last, Tok) and last.type == "NAME":
            pieces.pop()
            if str(last) != "hwc":
                hint = "an input is channels first; write `hwc` after it for channels last"
                raise CnncError(
                    [Diagnostic("E110", f"`{last}` is not an order of sizes", last.span, hint=hint)]
                )
            channels_last = True
        check_adjacent(pieces, "a size")
        dims = dims_of(merge(pieces), whole(pieces))
        return s.Input(str(c[1]) if named else None, dims, channels_last, whole(c))

    def size_piece(self, c: list[Any]) -> Piece:
        return Piece(c[0], c[0].span)

    def param(self, c: list[Any]) -> s.Param:
        return s.Param(str(c[1]), c[3], c[5] if len(c) > 4 else None, whole(c))

    def default(self, c: list[Any]) -> s.Default:
        return s.Default(s.Call(str(c[1]), c[2].value, whole(c[1:])), whole(c))

    def block(self, c: list[Any]) -> s.Block:
        params = c[2].value if isinstance(c[2], Piece) else ()
        return s.Block(str(c[1]), params, c[-1], whole(c), c[1].span)

    def shared(self, c: list[Any]) -> s.Shared:
        return s.Shared(str(c[1]), c[-1], whole(c), c[1].span)

    def extern(self, c: list[Any]) -> s.Extern:
        pieces = [p.value for p in c if isinstance(p, Piece)]
        params, facts = (), ()
        if isinstance(c[2], Piece):
            params, pieces = pieces[0], pieces[1:]
        if pieces:
            facts = pieces[0]
        target = next(t for t in c if isinstance(t, Tok) and t.type == "STRING")
        return s.Extern(str(c[1]), params, target[1:-1], facts, whole(c), c[1].span)

    def use(self, c: list[Any]) -> s.Use:
        settings = c[-1].value if isinstance(c[-1], Piece) else ()
        origin = c[-2] if isinstance(c[-1], Piece) else c[-1]
        is_file = origin.type == "STRING"
        names = tuple(n for n in c if isinstance(n, s.UsedName))
        return s.Use(
            names=names,
            origin=origin[1:-1] if is_file else str(origin),
            is_file=is_file,
            settings=_all_named(settings),
            span=whole(c),
            origin_span=origin.span,
        )

    def used(self, c: list[Any]) -> s.UsedName:
        return s.UsedName(str(c[0]), str(c[-1]), whole(c))

    def output(self, c: list[Any]) -> s.Output:
        return s.Output(tuple(nodes(c)), whole(c))

    def expect(self, c: list[Any]) -> s.Expect:
        return s.Expect(c[1], tuple(n for n in c[2:] if isinstance(n, s.Argument)), whole(c))

    def setting(self, c: list[Any]) -> s.Argument:
        return s.Argument(str(c[0]), c[2], whole(c))

    def flow(self, c: list[Any]) -> s.Flow:
        return s.Flow(c[0], c[0].span)

    def tensor(self, c: list[Any]) -> Any:
        return c[0]

    def parameters(self, c: list[Any]) -> Piece:
        return Piece(tuple(nodes(c)), whole(c))

    def parameter(self, c: list[Any]) -> s.Parameter:
        return s.Parameter(str(c[0]), c[2] if len(c) > 1 else None, False, whole(c))

    def rest(self, c: list[Any]) -> s.Parameter:
        return s.Parameter(str(c[1]), None, True, whole(c))

    # pipelines
    def pipeline(self, c: list[Any]) -> s.Pipeline:
        items = [i for i in c if isinstance(i, s.Item)]
        breaks = [False, *(p.value for p in c if isinstance(p, Piece))]
        return s.Pipeline(tuple(items), tuple(breaks), whole(c))

    def arrow(self, c: list[Any]) -> Piece:
        return Piece(c[0].type == "NEWLINE", c[0].span)

    def item(self, c: list[Any]) -> s.Item:
        label = c[0] if isinstance(c[0], s.Label) else None
        core = c[1] if label else c[0]
        count = c[-1].value if isinstance(c[-1], Piece) else None
        if count is not None and isinstance(core, s.Word):
            where = core.span.to(c[-1].span)
            hint = f"bracket what repeats: [{core.span.text}]*{c[-1].span.text}"
            raise CnncError([Diagnostic("E106", "`*n` may only follow a `]`", where, hint=hint)])
        span = whole(c) if count is not None or isinstance(core, s.Word) else c[0].span.to(core.whole)
        return s.Item(label, core, count, span)

    def label(self, c: list[Any]) -> s.Label:
        if isinstance(c[0], Tok):
            return s.Label(_quoted(c[0]), True, c[0].span)
        pieces = c[0].value
        for piece in pieces:
            if isinstance(piece, Tok) and piece.type in ("MINUS", "SLASH", "DIMS"):
                text = c[0].span.text
                hint = f'quote it ("{text}": …), or use letters, digits and `_`'
                raise CnncError([Diagnostic("E101", f"`{text}` cannot be a label", c[0].span, hint=hint)])
        return s.Label(merge(pieces), False, c[0].span)

    def core(self, c: list[Any]) -> Any:
        return c[0]

    def quoted(self, c: list[Any]) -> s.Word:
        return _word(_quoted(c[0]), (), None, c, quoted=True)

    def word_parts(self, c: list[Any]) -> Piece:
        pieces = [p.value if isinstance(p, Piece) and isinstance(p.value, Tok) else p for p in c]
        check_adjacent(pieces, "a layer word")
        return Piece(pieces, whole(c))

    def word_piece(self, c: list[Any]) -> Any:
        return c[0]

    def word(self, c: list[Any]) -> s.Word:
        args = None
        if len(c) > 1 and isinstance(c[-1], Piece):
            args = c[-1].value
            if c[-2].span.end != c[-1].span.start:
                head = c[0].span.to(c[-2].span).text
                message = f"a blank between `{head}` and its arguments"
                hint = f"write {head}( without a blank"
                raise CnncError([Diagnostic("E104", message, c[-1].span, hint=hint)])
        index = tuple(x for x in c[1:] if not isinstance(x, Tok | Piece))
        return _word(merge(c[0].value), index, args, c, quoted=False)

    def hole(self, c: list[Any]) -> Piece:
        return Piece(c[1], whole(c))

    def count(self, c: list[Any]) -> Piece:
        token = c[0]
        if isinstance(token, Piece):
            return token
        value = number_of(token) if token.type == "NUMBER" else s.Name(str(token), token.span)
        return Piece(value, token.span)

    def bracket(self, c: list[Any]) -> s.Bracket:
        closed = whole(c[:3])
        if len(c) == 3:
            return s.Bracket(c[1], None, closed, closed)
        check_adjacent([c[2], c[3]], "a bracket with arguments")
        return s.Bracket(c[1], c[3].value, closed, whole(c))

    def body(self, c: list[Any]) -> Any:
        return c[0]

    def sides(self, c: list[Any]) -> s.Sides:
        ops = [p for p in c if isinstance(p, Piece)]
        for other in ops[1:]:
            if other.value != ops[0].value:
                message = f"`{other.value}` beside `{ops[0].value}` in one bracket"
                hint = f"bracket one of them: [[a {ops[0].value} b] {other.value} c]"
                raise CnncError([Diagnostic("E105", message, other.span, hint=hint)])
        branches = tuple(p for p in c if isinstance(p, s.Pipeline))
        return s.Sides(ops[0].value, branches, whole(c))

    def side(self, c: list[Any]) -> Piece:
        return Piece(str(c[0]), c[0].span)

    def side_loop(self, c: list[Any]) -> s.Loop:
        return s.Loop(c[0].value, c[1], c[3].value, c[5].value, whole(c))

    def loop(self, c: list[Any]) -> s.Loop:
        return s.Loop(None, c[0], c[2].value, c[4].value, whole(c))

    def choice(self, c: list[Any]) -> s.Choice:
        arms = tuple(p.value for p in c if isinstance(p, Piece))
        otherwise = c[-1] if isinstance(c[-1], s.Pipeline) else None
        return s.Choice(arms, otherwise, whole(c))

    def arm(self, c: list[Any]) -> Piece:
        return Piece((c[0], c[2]), whole(c))

    def targets(self, c: list[Any]) -> Piece:
        names = [t for t in c if t.type == "NAME"]
        return Piece(tuple(str(t) for t in names), whole(c))

    def values(self, c: list[Any]) -> Piece:
        return Piece(tuple(nodes(c)), whole(c))

    def value(self, c: list[Any]) -> Any:
        return c[0]

    def range(self, c: list[Any]) -> s.Range:
        return s.Range(c[0], c[2] if len(c) > 2 else None, whole(c))

    def range_from_start(self, c: list[Any]) -> s.Range:
        return s.Range(None, c[1], whole(c))

    # arguments and arithmetic
    def args(self, c: list[Any]) -> Piece:
        return Piece(tuple(nodes(c)), whole(c))

    def argument(self, c: list[Any]) -> s.Argument:
        return s.Argument(str(c[0]) if len(c) > 1 else None, c[-1], whole(c))

    def argument_value(self, c: list[Any]) -> Any:
        return c[0]

    def if_else(self, c: list[Any]) -> Any:
        if len(c) == 1:
            return c[0]
        parts = nodes(c)
        arms = tuple((parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2))
        return s.IfElse(arms, parts[-1], whole(c))

    def logic(self, c: list[Any]) -> Any:
        if len(c) == 1:
            return c[0]
        return s.Logic("and" if c[1].type == "AND" else "or", tuple(nodes(c)), whole(c))

    def negation(self, c: list[Any]) -> Any:
        return prefix(c)

    def sign(self, c: list[Any]) -> Any:
        return prefix(c)

    def compare(self, c: list[Any]) -> Any:
        return c[0] if len(c) == 1 else s.Compare(c[0], pairs(c), whole(c))

    def membership(self, c: list[Any]) -> s.Membership:
        return s.Membership(c[0], c[-1], len(c) > 3, whole(c))

    def members(self, c: list[Any]) -> Any:
        return c[0] if len(c) == 1 else s.Range(c[0], c[2], whole(c))

    def arithmetic(self, c: list[Any]) -> Any:
        return c[0] if len(c) == 1 else s.Arithmetic(c[0], pairs(c), whole(c))

    def power(self, c: list[Any]) -> Any:
        if len(c) == 1:
            return c[0]
        if len(c) > 3:
            hint = "bracket one of them: (a**b)**c"
            raise CnncError([Diagnostic("E101", "two powers in a row", whole(c), hint=hint)])
        return s.Arithmetic(c[0], pairs(c), whole(c))

    def signed(self, c: list[Any]) -> Any:
        return c[0]

    def number(self, c: list[Any]) -> s.Number:
        return number_of(c[0])

    def quantity(self, c: list[Any]) -> s.Number:
        number, unit = number_of(c[0]), str(c[1])
        if number.digits[-1] in POWERS:
            raise CnncError([
                Diagnostic("E101", f"`{number.digits} {unit}` has two units", whole(c), hint="4 GiB, 200 MB, 4G")
            ])  # fmt: skip
        value = number.value * UNITS[unit][1]
        exact = value.numerator if isinstance(value, Fraction) and value.denominator == 1 else value
        return s.Number(exact, f"{number.digits} {unit}", whole(c))

    def subscript(self, c: list[Any]) -> s.Subscript:
        return s.Subscript(c[0], c[2], whole(c))

    def dims(self, c: list[Any]) -> s.Dims:
        return dims_of([str(c[0])], c[0].span)

    def string(self, c: list[Any]) -> s.String | s.Interpolated:
        parts = _quoted(c[0])
        if len(parts) == 1 and isinstance(parts[0], str):
            return s.String(parts[0], c[0].span)
        return s.Interpolated(parts, True, c[0].span)

    def name(self, c: list[Any]) -> s.Name:
        return s.Name(str(c[0]), c[0].span)

    def call(self, c: list[Any]) -> s.Call:
        return s.Call(str(c[0]), c[1].value, whole(c))

    def parens(self, c: list[Any]) -> Any:
        return replace(c[1], span=whole(c))

    def tuple(self, c: list[Any]) -> s.Tuple:
        return s.Tuple(tuple(nodes(c)), whole(c))

    def element(self, c: list[Any]) -> Any:
        return c[0]

    def interpolated(self, c: list[Any]) -> s.Interpolated:
        check_adjacent(c, "a name with braces")
        return s.Interpolated(merge(c), False, whole(c))


@lru_cache(maxsize=1)
def parser() -> Parser:
    return Parser(Builder())


def _word(
    parts: tuple[str | s.Expr, ...],
    index: tuple[s.Expr, ...],
    args: tuple[s.Argument, ...] | None,
    c: Sequence[Any],
    *,
    quoted: bool,
) -> s.Word:
    return s.Word(
        parts=parts, index=index, args=args, quoted=quoted, span=whole(c), head_span=c[0].span
    )  # fmt: skip


def _quoted(token: Tok) -> tuple[str | s.Expr, ...]:
    """What stands between quotes: text, and the arithmetic in its braces. Raises E101 for a brace alone."""
    text = str(token)[1:-1]
    if "{" not in text and "}" not in text:
        return (text,)
    parts: list[str | s.Expr] = []
    depth = start = 0
    for i, char in enumerate(text):
        if char == "{" and not depth:
            parts += [text[start:i]] if i > start else []
            start = i + 1
        depth += (char == "{") - (char == "}")
        if depth < 0:
            break
        if char == "}" and not depth:
            at = token.span.start + 1
            parts.append(_between(Span(token.span.source, at + start, at + i)))
            start = i + 1
    if depth:
        hint = "in quotes too, { } hold arithmetic"
        raise CnncError([Diagnostic("E102", f"a brace in {token} has no partner", token.span, hint=hint)])
    return (*parts, text[start:]) if start < len(text) else tuple(parts)


def _between(span: Span) -> s.Expr:
    """The arithmetic that a stretch of a quoted text holds, braces left out. Raises E101, E102."""
    where = Span(span.source, span.start - 1, span.end + 1)
    if not span.text.strip():
        raise CnncError([Diagnostic("E107", "nothing between `{` and `}`", where)])
    head = Tok.make("EXPECT", "expect", Span(span.source, span.start, span.start))
    try:
        claim = parser().parse([head, *inside(span)])
    except Refused:
        raise CnncError([
            Diagnostic("E101", f"`{span.text}` is not arithmetic", where, hint='for instance: "block{i}-{j+1}"')
        ]) from None  # fmt: skip
    assert isinstance(claim, s.Expect)
    _refuse_pipelines(claim.claim)
    return claim.claim


def _refuse_pipelines(expr: s.Expr) -> None:
    """A quoted name stays on its line: no pipelines in it."""
    bracket = next((node for node in s.nodes_in(expr) if isinstance(node, s.Bracket)), None)
    if bracket is not None:
        raise CnncError([Diagnostic("E101", "a name cannot contain a pipeline", bracket.span)])


def _all_named(settings: tuple[s.Argument, ...]) -> tuple[s.Argument, ...]:
    """Settings of a used file, each `param=value`. Raises E303 for one without its key."""
    for setting in settings:
        if setting.key is None:
            hint = f"for instance: (width={setting.span.text})"
            raise CnncError([
                Diagnostic("E303", f"`{setting.span.text}` does not say which param it is for", setting.span, hint=hint)
            ])  # fmt: skip
    return settings
