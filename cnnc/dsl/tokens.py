"""Characters to tokens: brackets, line breaks, keywords and comments.

This is where the language's sense of lines lives. The output is a list of
statements, each a list of tokens in which a line break between two layers has
become a NEWLINE token and every other line break is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from cnnc.dsl.diagnostics import MAX_ERRORS, CnncError, Diagnostic, fail
from cnnc.dsl.lalr import Tok, has_more_tokens, tokens_of
from cnnc.dsl.record import record
from cnnc.dsl.source import Source, Span
from cnnc.dsl.syntax import Comment
from cnnc.dsl.units import UNITS

MAX_NESTING = 100
MAX_TOKENS = 500_000
"""Of one spec. The flat core of as many layers as a model may have needs fewer."""
MAX_WORD = 1_000
"""Characters of a name, a path or a quoted name."""

_BLOB = re.compile(rf"\b\w{{{100 * MAX_WORD}}}")
"""So long a word that even finding its end as a token takes much memory; `\\b` keeps the search linear."""

_BREAKS = "\r\v\x1c\x1d\x1e\x85\u2028\u2029"
_DECEPTIVE = re.compile("\r(?!\n)|[\v\x1c-\x1e\x85\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""A carriage return alone and its like, which some editors break lines at, and the marks that embed, override and
isolate a direction of writing: with them a line can be shown in another order than it is read in."""

STATEMENTS = frozenset(
    ["model", "input", "param", "default", "block", "shared", "extern", "use", "output", "expect"]
)
RESERVED = frozenset(["if", "else", "for", "in", "and", "or", "not"])

OPENERS = {"LPAR": "RPAR", "LSQB": "RSQB", "INDEX": "RSQB", "LBRACE": "RBRACE"}
CLOSERS = frozenset(OPENERS.values())
_OPERATORS = frozenset(
    [
        "ARROW",
        "PIPE",
        "PLUS",
        "AMPERSAND",
        "AT",
        "STAR",
        "EQUAL",
        "COMMA",
        "COMPARE",
        "POWER",
        "FLOORDIV",
        "SLASH",
        "PERCENT",
        "MINUS",
        "IF",
        "ELSE",
        "FOR",
        "IN",
        "AND",
        "OR",
        "COLON",
    ]
)
# A statement goes on where a line ends with, or the next begins with, one of these.
_GOES_ON_AFTER = _OPERATORS | {"NOT", "AS", "FROM", "WITHIN", "WITH"} | OPENERS.keys()
_GOES_ON_BEFORE = (_OPERATORS - {"COLON"}) | CLOSERS
_ENDS_A_VALUE = frozenset(["NAME", "PATH", "DOTTED", "NUMBER", "DIMS", "STRING", "UNIT", *CLOSERS])


@record
class Layout:
    """The tokens of each statement, the comments, and what was wrong on this level.

    `strays` are the characters without a meaning, which no token holds.
    """

    statements: tuple[tuple[Tok, ...], ...]
    comments: tuple[Comment, ...]
    problems: tuple[Diagnostic, ...]
    strays: tuple[Span, ...]


def lay_out(source: Source) -> Layout:
    """Split a source into statements, matching brackets and settling line breaks.

    Raises CnncError (E901) for a source of too many words and signs, or a word of too many characters.
    """
    blob = _BLOB.search(source.text)
    if blob is not None:
        raise fail("E901", f"a word of more than {MAX_WORD:,} characters", Span(source, *blob.span()))
    if len(source.text) > MAX_TOKENS and has_more_tokens(source, MAX_TOKENS):
        hint = "split it, and let one file `use` what the other declares"
        raise fail("E901", f"the spec has more than {MAX_TOKENS:,} words and signs", hint=hint)
    problems = list(islice(_deceptions(source), MAX_ERRORS + 1))
    comments: list[Comment] = []
    strays: list[Span] = []
    tokens = list(_tokens(source, comments, problems, strays))
    tokens, open_problem = _match_brackets(tokens)
    problems += open_problem
    statements = _split(tokens)
    return Layout(statements, tuple(comments), tuple(problems), tuple(strays))


def _deceptions(source: Source) -> Iterator[Diagnostic]:
    """E101 for what makes a text look other than it reads, in comments and quoted names too."""
    for match in _DECEPTIVE.finditer(source.text):
        seen = (
            "looks like a line break but is not one"
            if match.group() in _BREAKS
            else "changes the order in which its line is shown"
        )
        message = f"the character U+{ord(match.group()):04X} {seen}"
        yield Diagnostic("E101", message, Span(source, *match.span()), hint="remove it")


def _tokens(
    source: Source,
    comments: list[Comment],
    problems: list[Diagnostic],
    strays: list[Span],
) -> Iterator[Tok]:
    line_is_empty = True
    before: Tok | None = None
    for token in tokens_of(source):
        if token.type == "COMMENT":
            comments.append(Comment(token.rstrip(), line_is_empty, token.span))
        elif token.type == "STRAY":
            begins = not strays or strays[-1].end != token.span.start  # one message for a run of them
            if begins and len(problems) <= MAX_ERRORS and not _DECEPTIVE.match(token):
                problems.append(_stray(token, token.span))
            strays.append(token.span)
        else:
            if len(token) > MAX_WORD and token.type != "NUMBER":  # a number has a limit of its own
                raise fail("E901", f"a word of more than {MAX_WORD:,} characters", token.span)
            line_is_empty = token.type == "BREAK"
            before = _index(token, before)
            yield before


def _index(token: Tok, before: Tok | None) -> Tok:
    """A `[` that touches the value before it asks for an element: INDEX; any other token as it is."""
    if token.type != "LSQB" or before is None or before.span.end != token.span.start:
        return token
    holds = before.type in _ENDS_A_VALUE and str(before) not in RESERVED
    return Tok.make("INDEX", "[", token.span) if holds else token


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
    return Diagnostic("E101", f"unexpected character {shown}", span, hint=hint)


def _match_brackets(tokens: list[Tok]) -> tuple[list[Tok], list[Diagnostic]]:
    """Check that brackets match and are not nested too deeply.

    At a mistake the rest of that statement is dropped, so that what stands before
    and after it is still looked at.
    """
    kept: list[Tok] = []
    problems: list[Diagnostic] = []
    lost = 0  # brackets opened in what was dropped: as many may close nothing
    while tokens and len(problems) < MAX_ERRORS:
        good, problem, tokens, dropped = _up_to_mistake(tokens)
        kept += good
        if problem is not None and (dropped or not lost):
            problems.append(problem)
        lost = dropped or max(0, lost - 1)
    return kept, problems


def _up_to_mistake(tokens: list[Tok]) -> tuple[list[Tok], Diagnostic | None, list[Tok], int]:
    """The tokens before the first mistake's statement, the mistake, where to go on, and how many brackets it opened."""
    stack: list[Tok] = []
    begin = 0  # of the line on which the outermost open bracket's statement stands
    for i, token in enumerate(tokens):
        if token.type == "BREAK" and not stack:
            begin = i + 1
        elif token.type in OPENERS:
            stack.append(token)
            if len(stack) > MAX_NESTING:
                message = f"brackets are nested deeper than {MAX_NESTING}"
                hint = "name the inner part as a block"
                return tokens[:begin], Diagnostic("E901", message, token.span, hint=hint), [], len(stack)
        elif token.type in CLOSERS:
            if not stack:
                hint = f"remove it, or open it with `{_opener(token)}`"
                problem = Diagnostic("E102", f"`{token}` closes nothing", token.span, hint=hint)
                return tokens[:i], problem, _next_line(tokens, i), 0
            if OPENERS[stack[-1].type] != token.type:
                message = f"`{token}` does not close `{stack[-1]}` of line {stack[-1].span.line}"
                hint = f"`{_closer(stack[-1])}` is missing before it"
                problem = Diagnostic("E102", message, token.span, hint=hint)
                return tokens[:begin], problem, _next_statement(tokens, i, tokens[begin]), len(stack)
            stack.pop()
    if not stack:
        return tokens, None, [], 0
    # A line that begins with a statement word shows where the bracket was meant to end.
    after = next(i for i, t in enumerate(tokens) if t is stack[0])
    rest = next((tokens[i:] for i in range(after, len(tokens)) if _breaks_in(tokens, i)), [])
    opened = [t for t in stack if not rest or t.span.start < rest[0].span.start]
    hint = f"close it with `{_closer(opened[-1])}`"
    problem = Diagnostic("E102", f"`{opened[-1]}` is never closed", opened[-1].span, hint=hint)
    return tokens[:begin], problem, rest, len(opened)


def _breaks_in(tokens: list[Tok], i: int) -> bool:
    """Whether token i begins a statement at the left edge, where no bracket's inside is written."""
    return _starts_statement(tokens, i) and tokens[i].span.column == 1


def _closer(token: Tok) -> str:
    return {"(": ")", "[": "]", "{": "}"}[str(token)]


def _opener(token: Tok) -> str:
    return {")": "(", "]": "[", "}": "{"}[str(token)]


def _next_line(tokens: list[Tok], i: int) -> list[Tok]:
    while i < len(tokens) and tokens[i].type != "BREAK":
        i += 1
    return tokens[i:]


def _next_statement(tokens: list[Tok], i: int, first: Tok) -> list[Tok]:
    """The tokens after i from the next line that may be another statement than the one that began with `first`."""
    while i < len(tokens) and not (tokens[i].type == "BREAK" and _is_beside(tokens[i + 1 : i + 2], first)):
        i += 1
    return tokens[i:]


def _is_beside(head: list[Tok], first: Tok) -> bool:
    """Whether a line stands no deeper than a statement's first line, and cannot be its continuation."""
    return (
        bool(head)
        and head[0].type not in {"BREAK", *_GOES_ON_BEFORE}
        and head[0].span.column <= first.span.column
    )


def _starts_statement(tokens: list[Tok], i: int) -> bool:
    """Whether token i is a statement word: first on its line and not before `:`, nor part of a name that is."""
    first = i == 0 or tokens[i - 1].type == "BREAK"
    return first and tokens[i].type == "NAME" and str(tokens[i]) in STATEMENTS and not _is_label(tokens, i)


def _is_label(tokens: list[Tok], i: int) -> bool:
    """Whether a label begins at token i: a name, or one with arithmetic in braces, before `:`."""
    i += 1
    if i < len(tokens) and tokens[i].type in ("LBRACE", "DOTTED"):
        depth = 0
        while i < len(tokens) and (depth or tokens[i - 1].span.end == tokens[i].span.start):
            kind = tokens[i].type
            if not depth and kind not in ("LBRACE", "NAME", "PATH", "NUMBER", "DOTTED"):
                break
            depth += (kind == "LBRACE") - (kind == "RBRACE")
            i += 1
    return i < len(tokens) and tokens[i].type == "COLON"


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
        token = _keyword(tokens, i, token, at_top=not stack, current=current)
        if pending is not None:
            goes_on = current[-1].type in _GOES_ON_AFTER or token.type in _GOES_ON_BEFORE
            if not stack and not goes_on:
                statements.append(tuple(current))
                current = []
                token = _keyword(tokens, i, tokens[i], at_top=True, current=current)
            elif stack and not goes_on:
                current.append(Tok.make("NEWLINE", "\n", pending.span))
            pending = None
        if token.type in OPENERS:
            stack.append(token.type)
        elif token.type in CLOSERS:
            stack.pop()
        current.append(token)
    if current:
        statements.append(tuple(current))
    return tuple(statements)


def _keyword(tokens: list[Tok], i: int, token: Tok, *, at_top: bool, current: list[Tok]) -> Tok:
    """A name as the keyword that it is here, after the tokens of its statement so far; else the token itself."""
    if token.type != "NAME":
        return token
    text = str(token)
    if (
        text in RESERVED
        or (at_top and _starts_statement(tokens, i))
        or _is_soft(text, current, at_top=at_top)
    ):
        return Tok.make(text.upper(), text, token.span)
    if text in UNITS and current and current[0].type == "EXPECT" and current[-1].type == "NUMBER":
        return Tok.make("UNIT", text, token.span)
    return token


def _is_soft(text: str, current: list[Tok], *, at_top: bool) -> bool:
    """Whether a name is a keyword in its statement alone. Two values never adjoin, so `with` after one is none."""
    if not current or text not in ("from", "as", "within", "with"):
        return False
    kind = current[0].type
    if kind == "USE":
        return text in ("from", "as")
    word = {"PARAM": "within", "EXPECT": "with"}.get(kind)
    return text == word and at_top and len(current) > 1 and current[-1].type in _ENDS_A_VALUE


def inside(span: Span) -> list[Tok]:
    """The tokens of a stretch of text that holds arithmetic. Raises E101, E102 or E901 where it cannot."""
    out: list[Tok] = []
    for token in tokens_of(span.source, span.start, span.end):
        if token.type in ("STRAY", "COMMENT", "STRING"):
            raise fail("E101", f"unexpected `{token}`", token.span)
        reserved = token.type == "NAME" and str(token) in RESERVED
        token = _index(token, out[-1] if out else None)
        out.append(Tok.make(str(token).upper(), token, token.span) if reserved else token)
    _, problems = _match_brackets(out)
    if problems:
        raise CnncError(problems)
    return out
