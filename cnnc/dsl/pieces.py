"""The parts of a tree under construction: spans joined, pieces of words merged, numbers and sizes read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, cast

from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic, did_you_mean
from cnnc.dsl.lalr import Tok
from cnnc.dsl.source import Span
from cnnc.dsl.tokens import STATEMENTS
from cnnc.dsl.units import parted

MAX_DIGITS = 40


def whole(children: Sequence[Any]) -> Span:
    return cast(Span, children[0].span.to(children[-1].span))


def nodes(children: Sequence[Any]) -> list[Any]:
    """The children that are not tokens."""
    return [c for c in children if not isinstance(c, Tok)]


class Piece:
    """A part of a tree under construction, with its span."""

    __slots__ = ("span", "value")

    def __init__(self, value: Any, span: Span) -> None:
        self.value = value
        self.span = span


def number_of(token: Tok) -> s.Number:
    text, scale, _ = parted(token)
    mantissa, _, exponent = text.lower().partition("e")
    if len(mantissa) > MAX_DIGITS or len(exponent) > 4 or abs(int(exponent or 0)) > MAX_DIGITS:
        raise CnncError([
            Diagnostic("E901", f"a number of more than {MAX_DIGITS} digits", token.span)
        ])  # fmt: skip
    value = Fraction(text) * scale
    exact: int | Fraction = value.numerator if value.denominator == 1 else value
    return s.Number(exact, str(token), token.span)


def dims_of(parts: Sequence[str | s.Expr], span: Span) -> s.Dims:
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


def statement_meant(word: str) -> str | None:
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


def check_adjacent(pieces: Sequence[Any], head: str) -> None:
    for left, right in pairwise(pieces):
        if left.span.end != right.span.start:
            message = f"a blank between `{pieces[0].span.to(left.span).text}` and `{right.span.text}`"
            hint = (
                statement_meant(pieces[0].span.text) or "join two layers with `->` or a line break"
                if isinstance(right, Tok) and right.type in ("NAME", "PATH")
                else f"{head} is written without blanks{_closed_up(pieces)}"
            )
            raise CnncError([Diagnostic("E104", message, right.span, hint=hint)])


def merge(pieces: Sequence[Any]) -> tuple[str | s.Expr, ...]:
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


def pairs(c: list[Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((str(c[i]), c[i + 1]) for i in range(1, len(c), 2))


def prefix(c: list[Any]) -> Any:
    """Leading signs or `not`s; a run of them folds to at most one, so that trees stay shallow."""
    operand = c[-1]
    marks = [str(t) for t in c[:-1]]
    if not marks:
        return operand
    if marks[0] == "not":
        op = "not"
        if len(marks) % 2 == 0:
            return s.Unary("not", s.Unary("not", operand, whole(c[1:])), whole(c))
    else:
        op = "-" if marks.count("-") % 2 else "+"
    return s.Unary(cast(Any, op), operand, whole(c))
