"""Layer words: `name[size][-width][/stride]` split into a layer and its arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cnnc.compiler.ops import Op, op_words
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import did_you_mean, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

# While a word is split, arithmetic in braces stands as one private-use character.
_FIRST_HOLE = 0xE000
_HOLE = r"[^\x00-\x7f]"  # all else in a word is ASCII, and a long range takes long to compile
_DIGITS = r"\d+(?:_\d{3})*"  # 1_000_000; `conv3_1` is no kernel of 31
_PART = rf"(?:{_DIGITS}|{_HOLE})"
_NAMED = rf"(?:{_DIGITS}|{_HOLE}|[A-Za-z_][A-Za-z0-9_]*)"
_REST = re.compile(
    rf"(?P<size>{_PART}(?:x{_PART})*|(?:-(?:{_PART}(?:x{_PART})*|{_NAMED})(?=-)))?"
    rf"(?:-(?P<width>{_PART}(?:x{_PART})*|{_NAMED}))?"
    rf"(?:/(?P<stride>{_PART}(?:x{_PART})*|{_NAMED}))?",
    re.ASCII,
)
_HEAD = re.compile(r"[A-Za-z_]+")
_JOINED = re.compile(r"[A-Za-z_]+-[A-Za-z_]+")


@record
class LayerCall:
    """A layer and the arguments that stand in the word itself, by field name."""

    op: type[Op]
    pieces: dict[str, s.Expr]


def split(word: s.Word) -> LayerCall:
    """Read a layer word. Raises E201 for an unknown layer, E301 or E303 for a piece it does not have."""
    text = "".join(p if isinstance(p, str) else chr(_FIRST_HOLE + i) for i, p in enumerate(word.parts))
    found = _find(text)
    if found is None:
        raise _unknown(word, text)
    op, rest_start, rest = found
    match = _REST.fullmatch(rest)
    if match is None:
        raise fail(
            "E303", f"`{word.head_span.text}` is not {_form(op)}", word.head_span,
            hint=_spelling_hint(op),
        )  # fmt: skip
    reader = _Reader(word, text)
    pieces: dict[str, s.Expr] = {}
    groups = {name: match.span(name) for name in ("size", "width", "stride") if match.group(name)}
    if rest.startswith("-") and "size" in groups:  # as in exams: conv-9-32 is kernel 9, width 32
        groups["size"] = (1, groups["size"][1])
    elif "width" in groups and (op.word.size, op.word.width) == ("kernel", None):  # pool-2
        groups["size"] = groups.pop("width")
    elif "size" not in groups and "width" in groups and op.word.size != op.word.width:
        # The lecture form conv-11x11x96: kernel x width behind one dash.
        *kernel, width = _ranges(rest, *groups["width"])
        if kernel:
            groups["size"], groups["width"] = (kernel[0][0], kernel[-1][1]), width
    for slot, (start, end) in groups.items():
        field = getattr(op.word, slot)
        if field is None:
            span = reader.span(rest_start + start, rest_start + end)
            raise fail(
                "E301", f"`{op.kind}` takes no {slot}: it is {_form(op)}", span, hint=_spelling_hint(op)
            )
        if field in pieces:
            span = reader.span(rest_start + start, rest_start + end)
            raise fail("E304", f"the {field} of `{op.kind}` is given twice", span)
        ranges = _ranges(rest, start, end)
        pieces[field] = reader.expr([(rest_start + a, rest_start + b) for a, b in ranges])
    return LayerCall(op, pieces)


def _find(text: str) -> tuple[type[Op], int, str] | None:
    """The layer named by the word: whole first, then with dashes out (`max-pool`), then by its leading letters."""
    words = op_words()
    if text.lower() in words:
        return words[text.lower()], len(text), ""
    for head in (_JOINED.match(text), _HEAD.match(text)):
        name = head[0].replace("-", "").lower() if head else ""
        if head and name in words:
            return words[name], head.end(), text[head.end() :]
    return None


def layer_named(text: str) -> type[Op] | None:
    """The layer that a word names, whatever stands behind its name; None where it names none.

    >>> layer_named("conv3-64/2").kind, layer_named("konv3-64")
    ('conv', None)
    """
    found = _find(text)
    return None if found is None else found[0]


def _ranges(rest: str, start: int, end: int) -> list[tuple[int, int]]:
    """The stretches between the x's of one piece; a name is one stretch."""
    if (rest[start].isalpha() and not ord(rest[start]) >= _FIRST_HOLE) or rest[start] == "_":
        return [(start, end)]
    out, at = [], start
    for part in rest[start:end].split("x"):
        out.append((at, at + len(part)))
        at += len(part) + 1
    return out


class _Reader:
    """Pieces of a word as expressions with their spans in the source."""

    def __init__(self, word: s.Word, text: str) -> None:
        self.word = word
        self.text = text
        self.offsets: list[int] = []
        at = word.head_span.start
        for part in word.parts:
            if isinstance(part, str):
                self.offsets += range(at, at + len(part))
                at += len(part)
            else:
                self.offsets.append(at)
                at = self._after_hole(part.span.end)
        self.offsets.append(at)

    def _after_hole(self, at: int) -> int:
        source = self.word.head_span.source.text
        while source[at] != "}":
            at += 1
        return at + 1

    def span(self, start: int, end: int) -> Span:
        return Span(self.word.head_span.source, self.offsets[start], self.offsets[end])

    def expr(self, ranges: list[tuple[int, int]]) -> s.Expr:
        parts = [self._one(start, end) for start, end in ranges]
        if len(parts) == 1:
            return parts[0]
        numbers = tuple(p.value if isinstance(p, s.Number) else p for p in parts)
        return s.Dims(numbers, self.span(ranges[0][0], ranges[-1][1]))  # type: ignore[arg-type]

    def _one(self, start: int, end: int) -> s.Expr:
        piece, span = self.text[start:end], self.span(start, end)
        digits = piece.replace("_", "")
        if digits.isdecimal() and digits.isascii() and piece[0] != "_":
            if len(digits) > 40:
                raise fail("E901", "a number of more than 40 digits", span)
            return s.Number(int(digits), piece, span)
        if ord(piece[0]) >= _FIRST_HOLE:
            hole = self.word.parts[ord(piece[0]) - _FIRST_HOLE]
            assert not isinstance(hole, str)
            return hole
        return s.Name(piece, span)


def _form(op: type[Op]) -> str:
    """`conv[kernel][-width][/stride]`: how the word of a layer is built."""
    form = op.kind
    form += f"[{op.word.size}]" if op.word.size else ""
    form += f"[-{op.word.width}]" if op.word.width and op.word.width != op.word.size else ""
    form += f"[/{op.word.stride}]" if op.word.stride else ""
    return f"`{form}`" if form != op.kind else f"`{form}` alone, with arguments in ( )"


def _spelling_hint(op: type[Op]) -> str:
    return f"for instance: {op.example}"


def _unknown(word: s.Word, text: str) -> Exception:
    head = _HEAD.match(text)
    shown = word.head_span.text
    # One or two letters before a number are a label's rather than a misspelt layer's.
    near = did_you_mean(head[0], op_words()) if head and len(head[0]) > 2 else None
    hint = near or "`cnnc ops` lists the layers"
    return fail("E201", f"no layer, block or label is called `{shown}`", word.head_span, hint=hint)


def without_positions(op: type[Op], bare: Sequence[object]) -> str:
    """A hint for values given by position to a layer that takes them by key: what was most likely meant.

    The orders of other libraries are known: PyTorch's `Conv2d(3, 64, 3, 2)`, `Linear(512, 10)` and
    `BatchNorm2d(64)`, Keras's `Conv2D(64, 3, 2)`.
    """
    numbers = [n for n in bare if isinstance(n, int) and not isinstance(n, bool)]
    follows = "the input's channels are never written"
    word, kind = op.word, op.kind
    if word.size is None and not op.positional:
        return f"{follows}: `{kind}` alone" + (f", or {op.example}" if op.example != kind else "")
    if word.size is None or not numbers:
        return f"{follows}; for instance: {op.example}"
    if word.size == word.width:
        return f"{follows}: {kind}-{numbers[-1]}"
    if word.width is None:
        return f"the kernel belongs in the word: {kind}{min(numbers)}"
    if len(numbers) == 1:
        meant = f"{kind}3-{numbers[0]}" if numbers[0] > 11 else op.example
        return f"kernel and width belong in the word: {meant}"
    if len(numbers) == 2:
        return f"kernel and width belong in the word: {kind}{min(numbers)}-{max(numbers)}"
    torch = f"{kind}{numbers[2]}-{numbers[1]}" + (f"/{numbers[3]}" if len(numbers) > 3 else "")
    keras = f"{kind}{numbers[1]}-{numbers[0]}/{numbers[2]}"
    if len(numbers) == 3 and numbers[1] < numbers[0]:
        return f"kernel, width and stride belong in the word: {torch} (PyTorch's order) or {keras} (Keras's)"
    return f"{follows}: {torch}"
