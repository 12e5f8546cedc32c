"""Characters to tokens: brackets, line breaks, keywords and comments.

This is where the language's sense of lines lives. The output is a list of
statements, each a list of tokens in which a line break between two layers has
become a NEWLINE token and every other line break is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lark import Lark, Token

from cnnc.dsl.diagnostics import Diagnostic
from cnnc.dsl.source import Source, Span
from cnnc.dsl.syntax import Comment

MAX_NESTING = 100

STATEMENTS = frozenset(
    "model input param default block shared extern use output expect".split()
)
RESERVED = frozenset("if else for in and or not".split())

_OPEN = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_CLOSE = frozenset(_OPEN.values())
_OPERATORS = frozenset(
    "ARROW PIPE PLUS AMPERSAND STAR EQUAL COMMA COMPARE POWER FLOORDIV SLASH PERCENT MINUS "
    "IF ELSE FOR IN AND OR COLON".split()
)
# A statement goes on where a line ends with, or the next begins with, one of these.
_GOES_ON_AFTER = _OPERATORS | {"NOT", "AS", "FROM"} | _OPEN.keys()
_GOES_ON_BEFORE = (_OPERATORS - {"COLON"}) | _CLOSE


class Tok(Token):
    """A lark token that knows its span."""

    span: Span

    @classmethod
    def make(cls, kind: str, text: str, span: Span) -> Tok:
        token = cls(kind, text)
        token.span = span
        return token


@dataclass(frozen=True, slots=True)
class Layout:
    """The tokens of each statement, the comments, and what was wrong on this level."""

    statements: tuple[tuple[Tok, ...], ...]
    comments: tuple[Comment, ...]
    problems: tuple[Diagnostic, ...]


def lay_out(lexer: Lark, source: Source) -> Layout:
    """Split a source into statements, matching brackets and settling line breaks."""
    problems: list[Diagnostic] = []
    comments: list[Comment] = []
    tokens = list(_tokens(lexer, source, comments, problems))
    tokens, open_problem = _match_brackets(tokens)
    problems += open_problem
    statements = _split(tokens)
    return Layout(statements, tuple(comments), tuple(problems))


def _tokens(
    lexer: Lark, source: Source, comments: list[Comment], problems: list[Diagnostic]
) -> Iterator[Tok]:
    line_is_empty = True
    stray_end = -1
    for raw in lexer.lex(source.text):
        assert raw.start_pos is not None and raw.end_pos is not None
        span = Span(source, raw.start_pos, raw.end_pos)
        if raw.type == "COMMENT":
            comments.append(Comment(str(raw).rstrip(), line_is_empty, span))
            continue
        if raw.type == "STRAY":
            if span.start != stray_end:  # one message for a run of them
                problems.append(_stray(raw, span))
            stray_end = span.end
            continue
        line_is_empty = raw.type == "BREAK"
        yield Tok.make(raw.type, str(raw), span)


def _stray(text: str, span: Span) -> Diagnostic:
    if text == '"':
        return Diagnostic("E103", "a quoted name must end on its line", span, hint='close it with `"`')
    shown = f"`{text}`" if text.isprintable() else f"U+{ord(text):04X}"
    hint = None
    if text in "–—−→":
        hint = "write `->` for an arrow and `-` for a dash, in plain characters"
    elif text in "×":
        hint = "write `x` for sizes and `*` for repetition"
    elif text == "'":
        hint = 'quote with `"`'
    return Diagnostic("E101", f"the character {shown} has no meaning here", span, hint=hint)


def _match_brackets(tokens: list[Tok]) -> tuple[list[Tok], list[Diagnostic]]:
    """Check that brackets match and are not nested too deeply.

    At the first mistake the rest of that statement is dropped, so that what
    stands before and after it is still looked at.
    """
    stack: list[Tok] = []
    for i, token in enumerate(tokens):
        if token.type in _OPEN:
            stack.append(token)
            if len(stack) > MAX_NESTING:
                message = f"brackets are nested deeper than {MAX_NESTING}"
                return _up_to_statement(tokens, stack[0]), [
                    Diagnostic("E901", message, token.span, hint="name the inner part as a block")
                ]
        elif token.type in _CLOSE:
            if stack and _OPEN[stack[-1].type] == token.type:
                stack.pop()
                continue
            if stack:
                message = f"`{token}` does not close `{stack[-1]}` of line {stack[-1].span.line}"
                hint = f"`{_closer(stack[-1])}` is missing before it"
                kept = _up_to_statement(tokens, stack[0])
            else:
                message = f"`{token}` closes nothing"
                hint = f"take it out, or open it with `{_opener(token)}`"
                kept = tokens[:i]
            kept_rest, more = _match_brackets(_next_lines(tokens, i))
            return kept + kept_rest, [Diagnostic("E102", message, token.span, hint=hint), *more]
    if not stack:
        return tokens, []
    opener = stack[-1]
    hint = f"close it with `{_closer(opener)}`"
    problem = Diagnostic("E102", f"`{opener}` is never closed", opener.span, hint=hint)
    # A line that begins with a statement word shows where the bracket was meant to end.
    start = next(i for i, t in enumerate(tokens) if t is stack[0])
    for i in range(start, len(tokens)):
        if _starts_statement(tokens, i) and tokens[i].span.column == 1:
            rest, more = _match_brackets(tokens[i:])
            return _up_to_statement(tokens, stack[0]) + rest, [problem, *more]
    return _up_to_statement(tokens, stack[0]), [problem]


def _closer(token: Tok) -> str:
    return {"(": ")", "[": "]", "{": "}"}[str(token)]


def _opener(token: Tok) -> str:
    return {")": "(", "]": "[", "}": "{"}[str(token)]


def _up_to_statement(tokens: list[Tok], inside: Tok) -> list[Tok]:
    """The tokens before the line on which the outermost open bracket stands."""
    end = next(i for i, t in enumerate(tokens) if t is inside)
    while end > 0 and tokens[end - 1].type != "BREAK":
        end -= 1
    return tokens[:end]


def _next_lines(tokens: list[Tok], i: int) -> list[Tok]:
    while i < len(tokens) and tokens[i].type != "BREAK":
        i += 1
    return tokens[i:]


def _starts_statement(tokens: list[Tok], i: int) -> bool:
    """Whether token i is a statement word: first on its line and not before `:`."""
    first = i == 0 or tokens[i - 1].type == "BREAK"
    labelled = i + 1 < len(tokens) and tokens[i + 1].type == "COLON"
    return first and tokens[i].type == "NAME" and str(tokens[i]) in STATEMENTS and not labelled


def _split(tokens: list[Tok]) -> tuple[tuple[Tok, ...], ...]:
    statements: list[tuple[Tok, ...]] = []
    current: list[Tok] = []
    stack: list[str] = []
    pending: Tok | None = None  # a line break whose meaning depends on what follows
    for i, token in enumerate(tokens):
        if token.type == "BREAK":
            if current and pending is None and (not stack or stack[-1] == "LSQB"):
                pending = token
            continue
        token = _keyword(tokens, i, token, at_top=not stack, in_use=_is_use(current))
        if pending is not None:
            goes_on = current[-1].type in _GOES_ON_AFTER or token.type in _GOES_ON_BEFORE
            if not stack and not goes_on:
                statements.append(tuple(current))
                current = []
                token = _keyword(tokens, i, tokens[i], at_top=True, in_use=False)
            elif stack and not goes_on:
                current.append(Tok.make("NEWLINE", "\n", pending.span))
            pending = None
        if token.type in _OPEN:
            stack.append(token.type)
        elif token.type in _CLOSE:
            stack.pop()
        current.append(token)
    if current:
        statements.append(tuple(current))
    return tuple(statements)


def _is_use(current: list[Tok]) -> bool:
    return bool(current) and current[0].type == "USE"


def _keyword(tokens: list[Tok], i: int, token: Tok, *, at_top: bool, in_use: bool) -> Tok:
    if token.type != "NAME":
        return token
    text = str(token)
    if text in RESERVED or (in_use and text in ("from", "as")):
        return Tok.make(text.upper(), text, token.span)
    if at_top and _starts_statement(tokens, i):
        return Tok.make(text.upper(), text, token.span)
    return token
