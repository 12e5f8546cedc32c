"""How each node of the syntax tree is spelled: pieces of text, and the groups a line may be broken in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from cnnc.dsl import syntax as s
from cnnc.dsl.record import record
from cnnc.dsl.source import Span


@record
class Args:
    """An argument list: its items as pieces with the offset at which each starts.

    `start` and `end` bound the text in which a comment belongs to the list; `end`
    lies behind the closing parenthesis where that is known.
    """

    items: tuple[tuple[list[Piece], int], ...]
    start: int
    end: int


Piece = str | Args | s.Bracket

# Precedence, from loose to tight; an operand below the level its place asks for is put in parentheses.
_IF, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(10)


def spell_statement_head(statement: s.Statement) -> tuple[list[Piece], s.Pipeline | None]:
    """A statement's pieces up to its pipeline, if it has one."""
    match statement:
        case s.Flow():
            return [], statement.pipeline
        case s.Block():
            params = _parameters(statement.params, statement.name_span.end)
            return [f"block {statement.name}", *params, " ="], statement.body
        case s.Shared():
            return [f"shared {statement.name} ="], statement.body
        case _:
            return _spell_line(statement), None


def _spell_line(
    statement: s.Model | s.Input | s.Param | s.Default | s.Extern | s.Use | s.Output | s.Expect,
) -> list[Piece]:
    match statement:
        case s.Model():
            call = [" = ", *spell_item(statement.call)] if statement.call else []
            return [f"model {statement.name}", *call]
        case s.Input():
            name = f"{statement.name}: " if statement.name else ""
            order = " hwc" if statement.channels_last else ""
            return [f"input {name}", *spell_expr(statement.dims), order]
        case s.Param():
            bounds = [" within ", *spell_expr(statement.bounds)] if statement.bounds is not None else []
            return [f"param {statement.name} = ", *spell_expr(statement.value), *bounds]
        case s.Default():
            return ["default ", *spell_expr(statement.call)]
        case s.Extern():
            return _extern(statement)
        case s.Use():
            names = [n.name if n.name == n.alias else f"{n.name} as {n.alias}" for n in statement.names]
            origin = f'"{statement.origin}"' if statement.is_file else statement.origin
            settings: list[Piece] = []
            if statement.settings:
                settings = [" ", _args(statement.settings, statement.origin_span.end, statement.span.end)]
            return [f"use {', '.join(names)} from {origin}", *settings]
        case s.Output():
            return ["output ", *_joined([spell_expr(name) for name in statement.names], ", ")]
        case s.Expect():
            settings = _joined([[f"{a.key}=", *_value(a.value)] for a in statement.settings], ", ")
            return ["expect ", *spell_expr(statement.claim), *([" with ", *settings] if settings else [])]


def _extern(extern: s.Extern) -> list[Piece]:
    params = _parameters(extern.params, extern.name_span.end)
    facts: list[Piece] = []
    if extern.facts:
        facts = [" ", _args(extern.facts, extern.facts[0].span.start, extern.span.end)]
    return [f"extern {extern.name}", *params, f' = "{extern.target}"', *facts]


def _parameters(params: Sequence[s.Parameter], start: int) -> list[Piece]:
    if not params:
        return []
    items = []
    for p in params:
        value = [] if p.default is None else ["=", *_value(p.default)]
        items.append((["*" * p.rest + p.name, *value], p.span.start))
    return [Args(tuple(items), start, _closing(params[-1].span))]


def _closing(last: Span) -> int:
    """The end of the bracket that closes a parameter list: the last one before its statement's `=`."""
    end = last.end
    for match in re.compile(r"#[^\n]*|[)=]").finditer(last.source.text, last.end):
        if match[0] == "=":
            break
        if match[0] == ")":
            end = match.end()
    return end


def spell_item(item: s.Item) -> list[Piece]:
    """`label: core*count`."""
    out: list[Piece] = []
    if item.label is not None:
        out = [*_named(item.label.parts, quoted=item.label.quoted), ": "]
    out += _bracket(item.core) if isinstance(item.core, s.Bracket) else _word(item.core)
    if item.count is not None:
        bare = isinstance(item.count, s.Number) or (
            isinstance(item.count, s.Name) and "." not in item.count.id
        )
        count = spell_expr(item.count, tight=True)
        out += ["*", *count] if bare else ["*{", *count, "}"]
    return out


def _word(word: s.Word) -> list[Piece]:
    if word.quoted:
        return _named(word.parts, quoted=True)
    head = [
        *_parts(word.parts),
        *chain.from_iterable(["[", *spell_expr(i, tight=True), "]"] for i in word.index),
    ]
    if word.args is None:
        return head
    return [*head, _args(word.args, word.head_span.end, word.span.end)]


def _bracket(bracket: s.Bracket) -> list[Piece]:
    """`[…](args)`."""
    if bracket.args is None:
        return [bracket]
    return [bracket, _args(bracket.args, bracket.span.end, bracket.whole.end)]


def _named(parts: Sequence[str | s.Expr], *, quoted: bool) -> list[Piece]:
    """A name with arithmetic in it; in quotes it has no place where a line may be broken."""
    pieces = _parts(parts)
    return ['"', *map(_text, pieces), '"'] if quoted else pieces


def _text(piece: Piece) -> str:
    """A piece in one line, no comments in it."""
    assert not isinstance(piece, s.Bracket), "no pipeline stands in quotes"
    if isinstance(piece, str):
        return piece
    return "(" + ", ".join("".join(map(_text, pieces)) for pieces, _ in piece.items) + ")"


def _parts(parts: Sequence[str | s.Expr]) -> list[Piece]:
    """Literal pieces, and arithmetic in braces."""
    out: list[Piece] = []
    for part in parts:
        out += [part] if isinstance(part, str) else ["{", *spell_expr(part, tight=True), "}"]
    return out


def _args(args: Sequence[s.Argument], start: int, end: int) -> Args:
    items = []
    for a in args:
        key = [f"{a.key}="] if a.key else []
        items.append(([*key, *_value(a.value)], a.span.start))
    return Args(tuple(items), start, end)


def _value(value: s.Expr | s.Bracket) -> list[Piece]:
    return _bracket(value) if isinstance(value, s.Bracket) else spell_expr(value)


def _joined(all_pieces: Sequence[list[Piece]], between: str) -> list[Piece]:
    out = list(chain.from_iterable([between, *pieces] for pieces in all_pieces))
    return out[1:]


def spell_expr(expr: s.Expr, level: int = _IF, *, tight: bool = False) -> list[Piece]:
    """An expression, in parentheses where it binds looser than `level`.

    `tight`: sums without blanks, as in braces, in products and beside `..`.
    """
    own = _level(expr)
    if own < level:
        return ["(", *_bare(expr, tight=True), ")"]
    return _bare(expr, tight=tight)


def _level(expr: s.Expr) -> int:
    match expr:
        case s.IfElse() | s.Range():
            return _IF
        case s.Logic():
            return _OR if expr.op == "or" else _AND
        case s.Unary():
            return _NOT if expr.op == "not" else _SIGN
        case s.Compare() | s.Membership():
            return _COMPARE
        case s.Arithmetic():
            return {"+": _SUM, "-": _SUM, "**": _POWER}.get(expr.rest[0][0], _PRODUCT)
        case _:
            return _ATOM


def _bare(expr: s.Expr, *, tight: bool) -> list[Piece]:
    match expr:
        case s.Number():
            return [expr.digits]
        case s.Dims():
            return _joined([_parts([p]) if not isinstance(p, int) else [str(p)] for p in expr.parts], "x")
        case s.String():
            return [f'"{expr.value}"']
        case s.Name():
            return [expr.id]
        case s.Interpolated():
            return _named(expr.parts, quoted=expr.quoted)
        case s.Subscript():
            return [*spell_expr(expr.values, _ATOM), "[", *spell_expr(expr.index, tight=True), "]"]
        case s.Tuple():
            items = _joined([_value(item) for item in expr.items], ", ")
            return ["(", *items, ",)" if len(expr.items) == 1 else ")"]
        case s.Range():
            low, high = (
                [] if end is None else spell_expr(end, _SUM, tight=True) for end in (expr.low, expr.high)
            )
            return [*low, "..", *high]
        case s.Call():
            return [expr.name, _args(expr.args, expr.span.start, expr.span.end)]
        case _:
            return _operation(expr, tight=tight)


def _operation(
    expr: s.Unary | s.Arithmetic | s.Compare | s.Membership | s.Logic | s.IfElse, *, tight: bool
) -> list[Piece]:
    match expr:
        case s.Unary(op="not"):
            return ["not ", *spell_expr(expr.operand, _COMPARE, tight=tight)]
        case s.Unary():
            return [expr.op, *spell_expr(expr.operand, _POWER, tight=True)]
        case s.Arithmetic():
            return _arithmetic(expr, tight=tight)
        case s.Compare():
            out = spell_expr(expr.first, _SUM, tight=tight)
            for op, operand in expr.rest:
                out += [f" {op} ", *spell_expr(operand, _SUM, tight=tight)]
            return out
        case s.Membership():
            members = expr.members
            spelled = (
                _bare(members, tight=True) if isinstance(members, s.Range) else spell_expr(members, _SUM)
            )
            word = " not in " if expr.negated else " in "
            return [*spell_expr(expr.item, _SUM, tight=tight), word, *spelled]
        case s.Logic():
            inner = _AND if expr.op == "or" else _NOT
            return _joined([spell_expr(o, inner, tight=tight) for o in expr.operands], f" {expr.op} ")
        case s.IfElse():
            out = []
            for value, condition in expr.arms:
                out += [*spell_expr(value, _OR, tight=tight), " if "]
                out += [*spell_expr(condition, _OR, tight=tight), " else "]
            return out + spell_expr(expr.otherwise, _OR, tight=tight)


def _arithmetic(expr: s.Arithmetic, *, tight: bool) -> list[Piece]:
    level = _level(expr)
    if level == _POWER:
        ((_, exponent),) = expr.rest
        signed = isinstance(exponent, s.Unary) and exponent.op != "not" and _level(exponent.operand) == _ATOM
        return [
            *spell_expr(expr.first, _ATOM),
            "**",
            *spell_expr(exponent, _SIGN if signed else _ATOM, tight=True),
        ]
    tight = tight or level == _PRODUCT
    out = spell_expr(expr.first, level + 1, tight=tight)
    for op, operand in expr.rest:
        out += [op if tight else f" {op} ", *spell_expr(operand, level + 1, tight=tight)]
    return out
