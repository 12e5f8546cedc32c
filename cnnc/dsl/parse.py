"""Text to syntax tree. Checks the form of the text only; every question of meaning comes later."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import MAX_ERRORS, CnncError, Diagnostic, at_most, did_you_mean
from cnnc.dsl.lalr import Parser, Refused, Tok
from cnnc.dsl.recover import read_statement
from cnnc.dsl.source import Source, Span
from cnnc.dsl.tokens import STATEMENTS, inside, lay_out
from cnnc.dsl.units import POWERS, UNITS, parted

MAX_DIGITS = 40


def parse(source: Source) -> s.Spec:
    """The syntax tree of a spec.

    Raises CnncError with every mistake of form that was found, in the order of the text.
    """
    parser = _parser()
    layout = lay_out(source)
    problems = list(layout.problems)
    statements: list[s.Statement] = []
    previous: s.Statement | None = None
    for tokens in layout.statements:
        try:
            _refuse_loose_body(previous, tokens)
            previous = read_statement(parser, tokens, layout.strays)
            if previous is not None:
                statements.append(previous)
        except CnncError as error:
            problems += error.diagnostics
            previous = None
        if len(problems) > MAX_ERRORS:
            break
    if not statements and not problems:
        where = Span(source, 0, min(1, len(source.text)))
        hint = "a spec is a chain of layers, for instance: conv3-64 -> pool -> fc-10"
        problems.append(Diagnostic("E107", "the spec is empty", where, hint=hint))
    if problems:
        raise CnncError(at_most(_by_habit(problems, source)))
    return s.Spec(tuple(statements), source, layout.comments)


def _by_habit(problems: list[Diagnostic], source: Source) -> list[Diagnostic]:
    """The problems, with one in place of those that a form of another language caused."""
    from cnnc.dsl import foreign_lines

    lines: dict[int, list[Diagnostic]] = {}
    kept = [problem for problem in problems if problem.span is None]
    for problem in problems:
        if problem.span is not None:
            lines.setdefault(problem.span.line, []).append(problem)
    sequence = foreign_lines.sequence(source.text)
    if sequence is not None:
        first = source.text.count("\n", 0, sequence.start) + 1
        last = source.text.count("\n", 0, sequence.end) + 1
        within = [lines.pop(line)[0] for line in list(lines) if first <= line <= last]
        if within:
            where = Span(source, sequence.start, source.text.index("(", sequence.start))
            kept.append(replace(within[0], message=sequence.message, span=where, hint=sequence.hint))
    for line, found in lines.items():
        form = foreign_lines.form(source.line(line))
        if form is None:
            kept += found
            continue
        assert found[0].span is not None
        start = source.text.rfind("\n", 0, found[0].span.start) + 1
        where = Span(source, start + form.start, start + form.end)
        caused = [p for p in found if p.span and p.span.start < where.end and where.start < p.span.end]
        caused = caused or found[:1]
        one = replace(caused[0], message=form.message, span=where, hint=form.hint)
        if form.ends_the_file:
            return [one]
        kept += [one, *(p for p in found if p not in caused)]
    return kept


def _refuse_loose_body(previous: s.Statement | None, tokens: Sequence[Tok]) -> None:
    if isinstance(previous, s.Block | s.Shared) and tokens[0].span.column > previous.span.column:
        word = "block" if isinstance(previous, s.Block) else "shared"
        raise CnncError([
            Diagnostic(
                "E108",
                f"this line is outside `{word} {previous.name}`, whose body ended with its line",
                tokens[0].span.to(tokens[-1].span),
                hint=f"put the whole body in brackets: {word} {previous.name}… = [ … ]",
            )
        ])  # fmt: skip


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser(_Builder())


# --- tree building ------------------------------------------------------------------


def _whole(children: Sequence[Any]) -> Span:
    return cast(Span, children[0].span.to(children[-1].span))


def _nodes(children: Sequence[Any]) -> list[Any]:
    """The children that are not tokens."""
    return [c for c in children if not isinstance(c, Tok)]


class _Piece:
    """A part of a tree under construction, with its span."""

    __slots__ = ("span", "value")

    def __init__(self, value: Any, span: Span) -> None:
        self.value = value
        self.span = span


def _number(token: Tok) -> s.Number:
    text, scale, _ = parted(token)
    mantissa, _, exponent = text.lower().partition("e")
    if len(mantissa) > MAX_DIGITS or len(exponent) > 4 or abs(int(exponent or 0)) > MAX_DIGITS:
        raise CnncError([
            Diagnostic("E901", f"a number of more than {MAX_DIGITS} digits", token.span)
        ])  # fmt: skip
    value = Fraction(text) * scale
    exact: int | Fraction = value.numerator if value.denominator == 1 else value
    return s.Number(exact, str(token), token.span)


def _dims(parts: Sequence[str | s.Expr], span: Span) -> s.Dims:
    """`3xHxW` and its like: split the literal pieces at x, keep the arithmetic."""
    out: list[int | str | s.Expr] = []
    want_part = True
    for part in parts:
        if not isinstance(part, str):
            if not want_part:
                raise _bad_size(span)
            out.append(part)
            want_part = False
            continue
        for i, bit in enumerate(part.split("x")):
            if i:
                if want_part:
                    raise _bad_size(span)
                want_part = True
            if not bit:
                continue
            if not want_part or not (bit.isdecimal() or bit.isidentifier()):
                raise _bad_size(span)
            if len(bit) > MAX_DIGITS:
                raise CnncError([Diagnostic("E901", f"a number of more than {MAX_DIGITS} digits", span)])
            out.append(int(bit) if bit.isdecimal() else bit)
            want_part = False
    if want_part:
        raise _bad_size(span)
    return s.Dims(tuple(out), span)


def _bad_size(span: Span) -> CnncError:
    hint = "sizes are joined by x without blanks: 3x224x224 (channels x height x width), 784"
    return CnncError([Diagnostic("E110", f"`{span.text}` is not a size", span, hint=hint)])


def _statement_meant(word: str) -> str | None:
    """`did you mean` for a first word that is nearly one that begins a statement."""
    return did_you_mean(word, STATEMENTS) if len(word) > 3 else None


def _closed_up(pieces: Sequence[Any]) -> str:
    """`: conv3x3-16` for `conv 3x3 16`, kernel and width behind a name; nothing where that is no word."""
    texts = [piece.span.text for piece in pieces]
    if not all(re.fullmatch(r"\d+(x\d+)*", text) for text in texts[1:3]):
        return ""
    if re.fullmatch(r"[A-Za-z]+\d+(x\d+)*", texts[0]) and len(texts) == 2:  # conv3 64
        return f": {texts[0]}-{texts[1]}"
    if not texts[0].isalpha():
        return ""
    of_a_size = len(texts) > 2 or "x" in texts[1] or texts[0].lower().endswith("pool")
    return f": {texts[0]}{'-'.join(texts[1:3]) if of_a_size else '-' + texts[1]}"


def _check_adjacent(pieces: Sequence[Any], head: str) -> None:
    for left, right in pairwise(pieces):
        if left.span.end != right.span.start:
            message = f"a blank between `{pieces[0].span.to(left.span).text}` and `{right.span.text}`"
            hint = (
                _statement_meant(pieces[0].span.text) or "join two layers with `->` or a line break"
                if isinstance(right, Tok) and right.type in ("NAME", "PATH")
                else f"{head} is written without blanks{_closed_up(pieces)}"
            )
            raise CnncError([Diagnostic("E104", message, right.span, hint=hint)])


def _merge(pieces: Sequence[Any]) -> tuple[str | s.Expr, ...]:
    """Literal neighbours joined, arithmetic kept."""
    out: list[str | s.Expr] = []
    for piece in pieces:
        if not isinstance(piece, Tok):
            out.append(piece.value)
        elif out and isinstance(out[-1], str):
            out[-1] += str(piece)
        else:
            out.append(str(piece))
    return tuple(out)


class _Builder:
    """A callback for each rule of grammar.lark; `c` is the list of children, tokens included."""

    def start(self, c: list[Any]) -> Any:
        return c[0]

    # statements
    def model(self, c: list[Any]) -> s.Model:
        return s.Model(str(c[1]), c[3] if len(c) > 2 else None, _whole(c))

    def input(self, c: list[Any]) -> s.Input:
        named = len(c) > 2 and isinstance(c[2], Tok) and c[2].type == "COLON"
        pieces = [p.value for p in c if isinstance(p, _Piece)]
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
        _check_adjacent(pieces, "a size")
        dims = _dims(_merge(pieces), _whole(pieces))
        return s.Input(str(c[1]) if named else None, dims, channels_last, _whole(c))

    def size_piece(self, c: list[Any]) -> _Piece:
        return _Piece(c[0], c[0].span)

    def param(self, c: list[Any]) -> s.Param:
        return s.Param(str(c[1]), c[3], c[5] if len(c) > 4 else None, _whole(c))

    def default(self, c: list[Any]) -> s.Default:
        return s.Default(s.Call(str(c[1]), c[2].value, _whole(c[1:])), _whole(c))

    def block(self, c: list[Any]) -> s.Block:
        params = c[2].value if isinstance(c[2], _Piece) else ()
        return s.Block(str(c[1]), params, c[-1], _whole(c), c[1].span)

    def shared(self, c: list[Any]) -> s.Shared:
        return s.Shared(str(c[1]), c[-1], _whole(c), c[1].span)

    def extern(self, c: list[Any]) -> s.Extern:
        pieces = [p.value for p in c if isinstance(p, _Piece)]
        params, facts = (), ()
        if isinstance(c[2], _Piece):
            params, pieces = pieces[0], pieces[1:]
        if pieces:
            facts = pieces[0]
        target = next(t for t in c if isinstance(t, Tok) and t.type == "STRING")
        return s.Extern(str(c[1]), params, target[1:-1], facts, _whole(c), c[1].span)

    def use(self, c: list[Any]) -> s.Use:
        settings = c[-1].value if isinstance(c[-1], _Piece) else ()
        origin = c[-2] if isinstance(c[-1], _Piece) else c[-1]
        is_file = origin.type == "STRING"
        names = tuple(n for n in c if isinstance(n, s.UsedName))
        return s.Use(
            names=names,
            origin=origin[1:-1] if is_file else str(origin),
            is_file=is_file,
            settings=_all_named(settings),
            span=_whole(c),
            origin_span=origin.span,
        )

    def used(self, c: list[Any]) -> s.UsedName:
        return s.UsedName(str(c[0]), str(c[-1]), _whole(c))

    def output(self, c: list[Any]) -> s.Output:
        return s.Output(tuple(_nodes(c)), _whole(c))

    def expect(self, c: list[Any]) -> s.Expect:
        return s.Expect(c[1], tuple(n for n in c[2:] if isinstance(n, s.Argument)), _whole(c))

    def setting(self, c: list[Any]) -> s.Argument:
        return s.Argument(str(c[0]), c[2], _whole(c))

    def flow(self, c: list[Any]) -> s.Flow:
        return s.Flow(c[0], c[0].span)

    def tensor(self, c: list[Any]) -> Any:
        return c[0]

    def parameters(self, c: list[Any]) -> _Piece:
        return _Piece(tuple(_nodes(c)), _whole(c))

    def parameter(self, c: list[Any]) -> s.Parameter:
        return s.Parameter(str(c[0]), c[2] if len(c) > 1 else None, False, _whole(c))

    def rest(self, c: list[Any]) -> s.Parameter:
        return s.Parameter(str(c[1]), None, True, _whole(c))

    # pipelines
    def pipeline(self, c: list[Any]) -> s.Pipeline:
        items = [i for i in c if isinstance(i, s.Item)]
        breaks = [False, *(p.value for p in c if isinstance(p, _Piece))]
        return s.Pipeline(tuple(items), tuple(breaks), _whole(c))

    def arrow(self, c: list[Any]) -> _Piece:
        return _Piece(c[0].type == "NEWLINE", c[0].span)

    def item(self, c: list[Any]) -> s.Item:
        label = c[0] if isinstance(c[0], s.Label) else None
        core = c[1] if label else c[0]
        count = c[-1].value if isinstance(c[-1], _Piece) else None
        if count is not None and isinstance(core, s.Word):
            where = core.span.to(c[-1].span)
            hint = f"bracket what repeats: [{core.span.text}]*{c[-1].span.text}"
            raise CnncError([Diagnostic("E106", "`*n` may only follow a `]`", where, hint=hint)])
        span = _whole(c) if count is not None or isinstance(core, s.Word) else c[0].span.to(core.whole)
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
        return s.Label(_merge(pieces), False, c[0].span)

    def core(self, c: list[Any]) -> Any:
        return c[0]

    def quoted(self, c: list[Any]) -> s.Word:
        return _word(_quoted(c[0]), (), None, c, quoted=True)

    def word_parts(self, c: list[Any]) -> _Piece:
        pieces = [p.value if isinstance(p, _Piece) and isinstance(p.value, Tok) else p for p in c]
        _check_adjacent(pieces, "a layer word")
        return _Piece(pieces, _whole(c))

    def word_piece(self, c: list[Any]) -> Any:
        return c[0]

    def word(self, c: list[Any]) -> s.Word:
        args = None
        if len(c) > 1 and isinstance(c[-1], _Piece):
            args = c[-1].value
            if c[-2].span.end != c[-1].span.start:
                head = c[0].span.to(c[-2].span).text
                message = f"a blank between `{head}` and its arguments"
                hint = f"write {head}( without a blank"
                raise CnncError([Diagnostic("E104", message, c[-1].span, hint=hint)])
        index = tuple(x for x in c[1:] if not isinstance(x, Tok | _Piece))
        return _word(_merge(c[0].value), index, args, c, quoted=False)

    def hole(self, c: list[Any]) -> _Piece:
        return _Piece(c[1], _whole(c))

    def count(self, c: list[Any]) -> _Piece:
        token = c[0]
        if isinstance(token, _Piece):
            return token
        value = _number(token) if token.type == "NUMBER" else s.Name(str(token), token.span)
        return _Piece(value, token.span)

    def bracket(self, c: list[Any]) -> s.Bracket:
        closed = _whole(c[:3])
        if len(c) == 3:
            return s.Bracket(c[1], None, closed, closed)
        _check_adjacent([c[2], c[3]], "a bracket with arguments")
        return s.Bracket(c[1], c[3].value, closed, _whole(c))

    def body(self, c: list[Any]) -> Any:
        return c[0]

    def sides(self, c: list[Any]) -> s.Sides:
        ops = [p for p in c if isinstance(p, _Piece)]
        for other in ops[1:]:
            if other.value != ops[0].value:
                message = f"`{other.value}` beside `{ops[0].value}` in one bracket"
                hint = f"bracket one of them: [[a {ops[0].value} b] {other.value} c]"
                raise CnncError([Diagnostic("E105", message, other.span, hint=hint)])
        branches = tuple(p for p in c if isinstance(p, s.Pipeline))
        return s.Sides(ops[0].value, branches, _whole(c))

    def side(self, c: list[Any]) -> _Piece:
        return _Piece(str(c[0]), c[0].span)

    def side_loop(self, c: list[Any]) -> s.Loop:
        return s.Loop(c[0].value, c[1], c[3].value, c[5].value, _whole(c))

    def loop(self, c: list[Any]) -> s.Loop:
        return s.Loop(None, c[0], c[2].value, c[4].value, _whole(c))

    def choice(self, c: list[Any]) -> s.Choice:
        arms = tuple(p.value for p in c if isinstance(p, _Piece))
        otherwise = c[-1] if isinstance(c[-1], s.Pipeline) else None
        return s.Choice(arms, otherwise, _whole(c))

    def arm(self, c: list[Any]) -> _Piece:
        return _Piece((c[0], c[2]), _whole(c))

    def targets(self, c: list[Any]) -> _Piece:
        names = [t for t in c if t.type == "NAME"]
        return _Piece(tuple(str(t) for t in names), _whole(c))

    def values(self, c: list[Any]) -> _Piece:
        return _Piece(tuple(_nodes(c)), _whole(c))

    def value(self, c: list[Any]) -> Any:
        return c[0]

    def range(self, c: list[Any]) -> s.Range:
        return s.Range(c[0], c[2] if len(c) > 2 else None, _whole(c))

    def range_from_start(self, c: list[Any]) -> s.Range:
        return s.Range(None, c[1], _whole(c))

    # arguments and arithmetic
    def args(self, c: list[Any]) -> _Piece:
        return _Piece(tuple(_nodes(c)), _whole(c))

    def argument(self, c: list[Any]) -> s.Argument:
        return s.Argument(str(c[0]) if len(c) > 1 else None, c[-1], _whole(c))

    def argument_value(self, c: list[Any]) -> Any:
        return c[0]

    def if_else(self, c: list[Any]) -> Any:
        if len(c) == 1:
            return c[0]
        parts = _nodes(c)
        arms = tuple((parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2))
        return s.IfElse(arms, parts[-1], _whole(c))

    def logic(self, c: list[Any]) -> Any:
        if len(c) == 1:
            return c[0]
        return s.Logic("and" if c[1].type == "AND" else "or", tuple(_nodes(c)), _whole(c))

    def negation(self, c: list[Any]) -> Any:
        return _prefix(c)

    def sign(self, c: list[Any]) -> Any:
        return _prefix(c)

    def compare(self, c: list[Any]) -> Any:
        return c[0] if len(c) == 1 else s.Compare(c[0], _pairs(c), _whole(c))

    def membership(self, c: list[Any]) -> s.Membership:
        return s.Membership(c[0], c[-1], len(c) > 3, _whole(c))

    def members(self, c: list[Any]) -> Any:
        return c[0] if len(c) == 1 else s.Range(c[0], c[2], _whole(c))

    def arithmetic(self, c: list[Any]) -> Any:
        return c[0] if len(c) == 1 else s.Arithmetic(c[0], _pairs(c), _whole(c))

    def power(self, c: list[Any]) -> Any:
        if len(c) == 1:
            return c[0]
        if len(c) > 3:
            hint = "bracket one of them: (a**b)**c"
            raise CnncError([Diagnostic("E101", "two powers in a row", _whole(c), hint=hint)])
        return s.Arithmetic(c[0], _pairs(c), _whole(c))

    def signed(self, c: list[Any]) -> Any:
        return c[0]

    def number(self, c: list[Any]) -> s.Number:
        return _number(c[0])

    def quantity(self, c: list[Any]) -> s.Number:
        number, unit = _number(c[0]), str(c[1])
        if number.digits[-1] in POWERS:
            raise CnncError([
                Diagnostic("E101", f"`{number.digits} {unit}` has two units", _whole(c), hint="4 GiB, 200 MB, 4G")
            ])  # fmt: skip
        value = number.value * UNITS[unit][1]
        exact = value.numerator if isinstance(value, Fraction) and value.denominator == 1 else value
        return s.Number(exact, f"{number.digits} {unit}", _whole(c))

    def subscript(self, c: list[Any]) -> s.Subscript:
        return s.Subscript(c[0], c[2], _whole(c))

    def dims(self, c: list[Any]) -> s.Dims:
        return _dims([str(c[0])], c[0].span)

    def string(self, c: list[Any]) -> s.String | s.Interpolated:
        parts = _quoted(c[0])
        if len(parts) == 1 and isinstance(parts[0], str):
            return s.String(parts[0], c[0].span)
        return s.Interpolated(parts, True, c[0].span)

    def name(self, c: list[Any]) -> s.Name:
        return s.Name(str(c[0]), c[0].span)

    def call(self, c: list[Any]) -> s.Call:
        return s.Call(str(c[0]), c[1].value, _whole(c))

    def parens(self, c: list[Any]) -> Any:
        return replace(c[1], span=_whole(c))

    def tuple(self, c: list[Any]) -> s.Tuple:
        return s.Tuple(tuple(_nodes(c)), _whole(c))

    def element(self, c: list[Any]) -> Any:
        return c[0]

    def interpolated(self, c: list[Any]) -> s.Interpolated:
        _check_adjacent(c, "a name with braces")
        return s.Interpolated(_merge(c), False, _whole(c))


def _word(
    parts: tuple[str | s.Expr, ...],
    index: tuple[s.Expr, ...],
    args: tuple[s.Argument, ...] | None,
    c: Sequence[Any],
    *,
    quoted: bool,
) -> s.Word:
    return s.Word(
        parts=parts, index=index, args=args, quoted=quoted, span=_whole(c), head_span=c[0].span
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
        claim = _parser().parse([head, *inside(span)])
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


def _pairs(c: list[Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((str(c[i]), c[i + 1]) for i in range(1, len(c), 2))


def _prefix(c: list[Any]) -> Any:
    """Leading signs or `not`s; a run of them folds to at most one, so that trees stay shallow."""
    operand = c[-1]
    marks = [str(t) for t in c[:-1]]
    if not marks:
        return operand
    if marks[0] == "not":
        op = "not"
        if len(marks) % 2 == 0:
            return s.Unary("not", s.Unary("not", operand, _whole(c[1:])), _whole(c))
    else:
        op = "-" if marks.count("-") % 2 else "+"
    return s.Unary(cast(Any, op), operand, _whole(c))
