"""One statement's tokens to its tree, and what is wrong with them in the user's words.

After a mistake inside `[ ]` the layer it stands in is replaced by `id` and the
statement is read again, so that every mistake in a long bracket is told and
none of them twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import cast

from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import MAX_ERRORS, CnncError, Diagnostic
from cnnc.dsl.lalr import END, Parser, Refused, Tok
from cnnc.dsl.record import record
from cnnc.dsl.source import Span
from cnnc.dsl.tokens import CLOSERS, OPENERS, STATEMENTS
from cnnc.dsl.units import POWERS, UNITS

_ENDS_A_LAYER = frozenset(["NAME", "PATH", "NUMBER", "DIMS", "STRING", *CLOSERS])
# What parts two layers of one bracket, and what begins its tail of conditions or values.
_SIDES = frozenset(["PIPE", "PLUS", "AMPERSAND", "AT"])
_BETWEEN = _SIDES | {"ARROW", "NEWLINE"}
_TAIL = frozenset(["IF", "FOR"])


def read_statement(parser: Parser, tokens: Sequence[Tok], strays: Sequence[Span]) -> s.Statement | None:
    """The tree of one statement; None where it only suffers from its stray characters.

    `strays` are the characters that were told already and left out of the tokens: what
    is wrong around one follows from it. Raises CnncError with every mistake.
    """
    problems: list[Diagnostic] = []
    told: Counter[int] = Counter()  # how often a mistake was met at an offset
    tree, problem = _read(parser, tokens)
    while problem is not None and len(problems) <= MAX_ERRORS:
        assert problem.span is not None
        met = told[problem.span.start]
        told[problem.span.start] += 1
        place = _place(tokens, problem, whole_bracket=met > 0)
        if not met and not any(place.start <= stray.start < place.end for stray in strays):
            problems.append(problem)
        mended = place.mended(tokens)
        if mended is None or met > 1:
            break
        tokens = mended
        _, problem = _read(parser, tokens)
    if problems:
        raise CnncError(problems)
    return tree


def _read(parser: Parser, tokens: Sequence[Tok]) -> tuple[s.Statement | None, Diagnostic | None]:
    """The tree, or the first mistake."""
    try:
        return cast(s.Statement, parser.parse(tokens)), None
    except Refused as error:
        return None, _unexpected(error.token, error.expected, tokens)
    except CnncError as error:
        return None, error.diagnostics[0]


@record
class _Place:
    """Where a mistake stands: tokens [first, stop) of a bracket, or the whole statement.

    `start` and `end` bound the text it has to itself.
    """

    first: int
    stop: int
    in_bracket: bool
    start: int
    end: int

    def mended(self, tokens: Sequence[Tok]) -> list[Tok] | None:
        """The tokens with `id` in this place; None where the statement cannot be mended so."""
        if not self.in_bracket or self.stop >= len(tokens):
            return None
        stand_in = Tok.make("NAME", "id", tokens[self.stop].span)
        return [*tokens[: self.first], stand_in, *tokens[self.stop :]]


def _place(tokens: Sequence[Tok], problem: Diagnostic, *, whole_bracket: bool) -> _Place:
    """The layer of the innermost `[ ]` that a mistake stands in; all of the bracket where it concerns that."""
    assert problem.span is not None
    at = next((i for i, t in enumerate(tokens) if t.span.start >= problem.span.start), len(tokens) - 1)
    if problem.code == "E107":
        at += 1  # its span begins with the token before the gap
    opened: list[_Open] = []
    for i in range(at):
        kind = tokens[i].type
        if kind in OPENERS:
            opened.append(_Open(kind, i, i))
        elif kind in CLOSERS:
            opened.pop()
        elif opened and kind in _BETWEEN and not opened[-1].in_tail:
            opened[-1].parted = i
        elif opened and kind in _TAIL:
            opened[-1].in_tail = True
    # An argument list or braces belong to their layer.
    while opened and opened[-1].kind != "LSQB":
        opened.pop()
    if not opened:
        text = tokens[0].span.source.text
        line_start = text.rfind("\n", 0, tokens[0].span.start) + 1
        line_end = text.find("\n", tokens[-1].span.end)
        return _Place(0, len(tokens), False, line_start, line_end if line_end >= 0 else len(text))
    bracket = opened[-1]
    whole = whole_bracket or bracket.in_tail or problem.code == "E105"
    first = (bracket.index if whole else bracket.parted) + 1
    stop = _end_of_layer(tokens, first, at, whole=whole)
    return _Place(first, stop, True, tokens[first - 1].span.end, tokens[stop].span.start)


@record(frozen=False)
class _Open:
    """A bracket that is open: its token, the last one that parts its layers, whether its tail has begun."""

    kind: str
    index: int
    parted: int
    in_tail: bool = False


def _end_of_layer(tokens: Sequence[Tok], first: int, at: int, *, whole: bool) -> int:
    """The first token from `at` on that ends the layer, or the bracket, which began at `first`."""
    depth = 0
    for i in range(first, len(tokens)):
        kind = tokens[i].type
        if depth == 0 and (kind in CLOSERS or (i >= at and not whole and kind in _BETWEEN | _TAIL)):
            return i
        depth += (kind in OPENERS) - (kind in CLOSERS)
    raise AssertionError("the layout leaves no bracket open")


def _unexpected(token: Tok, expected: frozenset[str], tokens: Sequence[Tok]) -> Diagnostic:
    """A parser's refusal in the user's words."""
    if token.type == END:
        last = tokens[-1]
        end = Span(last.span.source, last.span.start, last.span.end)
        return Diagnostic(
            "E103", f"the line ends after `{last}`, where {_wanted(expected) or 'more'} is expected", end
        )
    i = next(i for i, t in enumerate(tokens) if t is token)
    before = tokens[i - 1] if i else None
    around = _in_brackets(tokens[:i])
    expected -= {kind for kind in CLOSERS if around is None or OPENERS[around] != kind}
    if token.type in _SIDES and around is None:
        return Diagnostic(
            "E109", f"`{token}` outside brackets", token.span,
            hint=f"bracket the branches: [a {token} b]",
        )  # fmt: skip
    empty = before is not None and before.type in ("LSQB", "ARROW", *_SIDES)
    if empty and token.type in ("RSQB", "PIPE", "AMPERSAND", "AT", "ARROW", "NEWLINE"):
        assert before is not None
        return Diagnostic(
            "E107", f"nothing between `{before}` and `{token}`", before.span.to(token.span),
            hint="write `id` for a branch that passes its input on",
        )  # fmt: skip
    if token.type == "NEWLINE":
        return Diagnostic(
            "E103",
            f"the line ends where {_wanted(expected) or 'more'} is expected",
            before.span if before else token.span,
        )
    shown = f"`{token}`" + (f" after `{before}`" if before else "")
    hint = _hint(token, before, tokens[0], around)
    wanted = _wanted(expected)
    return Diagnostic(
        "E101", f"unexpected {shown}" + (f"; expected {wanted}" if wanted else ""), token.span, hint=hint
    )


def _hint(token: Tok, before: Tok | None, first: Tok, around: str | None) -> str | None:
    """How a refused token is mended, where its neighbours tell."""
    if token.type in ("IF", "ELSE", "FOR", "IN", "AND", "OR", "NOT"):
        return f"`{token}` is a reserved word"
    if token.type == "ARROW" and before is first and str(first) in STATEMENTS:
        return f'`{first}` begins a statement; quote the tensor of that name: "{first}" -> …'
    if token.type == "LBRACE" and around == "LPAR":
        return "arithmetic inside ( ) needs no braces"
    if token.type == "COMMA" and first.type == "INPUT":
        return "sizes are joined by x: input 3x224x224"
    if token.type == "EQUAL" and first.type == "EXPECT":
        return "compare with =="
    if token.type == "NAME" and first.type == "EXPECT" and before is not None and before.type == "NUMBER":
        return _about_unit(str(token))
    if token.type in ("LSQB", "NAME") and before is not None and before.type in _ENDS_A_LAYER:
        return "join two layers with `->` or a line break"
    if around == "INDEX":
        return "a `[` that touches a name asks for an element of a list; join two layers with `->`"
    if token.type == "COLON":
        return "a label is a name: letters, digits, `_`, and arithmetic in braces; anything else in quotes"
    return None


def _about_unit(name: str) -> str:
    """The unit that was probably meant by a name behind a number."""
    known = {unit.lower(): unit for unit in (*POWERS, *UNITS)}
    meant = known.get(name.lower())
    if meant is None:
        return f"units are {', '.join((*POWERS, *UNITS))}"
    return f"write `{meant}`" + (" right behind the number" if meant in POWERS else "")


def _in_brackets(tokens: Sequence[Tok]) -> str | None:
    """The kind of the innermost bracket that tokens leave open."""
    stack = []
    for token in tokens:
        if token.type in OPENERS:
            stack.append(token.type)
        elif token.type in CLOSERS:
            stack.pop()
    return stack[-1] if stack else None


_IN_WORDS = {
    "NAME": "a name", "NUMBER": "a number", "DIMS": "a size", "STRING": "a quoted text",
    "ARROW": "`->`", "EQUAL": "`=`", "RPAR": "`)`", "RSQB": "`]`", "RBRACE": "`}`",
    "LPAR": "`(`", "COMMA": "`,`", "FROM": "`from`", "FOR": "`for`", "IN": "`in`", "ELSE": "`else`",
    "COLON": "`:`",
}  # fmt: skip


def _wanted(expected: frozenset[str]) -> str:
    """What the parser expects, in words; empty where it has none for it."""
    if "COMPARE" in expected:
        expected -= {"IN"}  # an operator among the others, which are not told either
    if {"NAME", "LSQB"} <= expected and "NUMBER" not in expected:
        return "a layer or `[`"
    if "ARROW" in expected:
        return " or ".join(_IN_WORDS[kind] for kind in ("ARROW", "FOR", "ELSE", "RSQB") if kind in expected)
    words = [text for kind, text in _IN_WORDS.items() if kind in expected]
    if "NUMBER" in expected and "NAME" in expected and "LPAR" in expected:
        words = ["a value"] + [w for w in words if w in ("`)`", "`]`")]
    return " or ".join(words[:4])
