"""Syntax tree to text: the one canonical layout of a spec.

A node is first spelled as pieces: plain text, and the brackets and argument
lists in which a line may be broken. Pieces that fit are written in one line;
otherwise their outermost group is opened, one part a line. The author's line
breaks inside `[ ]` and before `->` stay, so formatting twice changes nothing.
Comments wait in a queue and are written at the next place where a line may
end; none can be lost or overtake another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise

from cnnc.dsl import syntax as s
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.dsl.spell import Args, Piece, spell_expr, spell_item, spell_statement_head

MAX_COLUMNS = 100
STEP = 2


class FormatterError(Exception):
    """The formatter would have changed what a spec says: a mistake in the formatter, never in the spec."""


def format_source(source: Source) -> str:
    """The canonical text of a spec, checked to say the same.

    Raises CnncError where the spec does not parse, and FormatterError where the
    result would have another tree, other comments, or a layout that is not final.
    """
    spec = parse(source)
    text = format_spec(spec)
    again = parse(Source(source.name, text))
    if not _same(spec.statements, again.statements):
        raise FormatterError(f"formatting {source.name} would change its meaning")
    if [c.text for c in again.comments] != [c.text for c in spec.comments]:
        raise FormatterError(f"formatting {source.name} would lose or reorder its comments")
    if format_spec(again) != text:
        raise FormatterError(f"formatting {source.name} twice would change it again")
    return text


def _same(one: object, other: object) -> bool:
    """Equality of trees; `==` on dataclasses would exceed Python's stack at the deepest legal nesting."""
    pairs = [(one, other)]
    while pairs:
        a, b = pairs.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, tuple) and isinstance(b, tuple):
            if len(a) != len(b):
                return False
            pairs += zip(a, b, strict=True)
        elif is_dataclass(a):
            pairs += [(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.compare]
        elif a != b:
            return False
    return True


def format_spec(spec: s.Spec) -> str:
    """The canonical text of a parsed file, comments and line breaks kept; ends with a line break.

    The spans must be those of `spec.source`. Trees built by a program are printed
    with `format_statement`.
    """
    return _Printer(spec.source, spec.comments).spec(spec.statements)


def format_statement(statement: s.Statement) -> str:
    """A statement of any origin, without a line break at its end; its spans are not looked at."""
    return _Printer(None, ()).spec([statement]).removesuffix("\n")


def format_expr(expr: s.Expr) -> str:
    """An expression of any origin in one line; its spans are not looked at.

    >>> from cnnc.dsl.source import Source
    >>> claim = parse(Source("doc", "expect (params)*( 2+x ) >= 3K")).statements[0].claim
    >>> format_expr(claim)
    'params*(2+x) >= 3K'
    """
    text = _Printer(None, ()).flat(spell_expr(expr))
    if text is None:
        raise ValueError("an expression with a pipeline of several lines has no one-line form")
    return text


class _Printer:
    """Lines under construction, and the comments that still wait for their place.

    Without a source the tree alone is printed: no comments, and no line breaks
    but those that `Pipeline.breaks` and the width demand.
    """

    def __init__(self, source: Source | None, comments: Sequence[s.Comment]) -> None:
        self.source = source
        self.comments = comments
        self.starts = [c.span.start for c in comments]
        self.waiting = 0  # index of the first comment not yet written
        self.lines: list[str] = [""]
        self.commented = False  # the current line ends with a comment
        self._flat: dict[int, str | None] = {}

    # --- lines ---------------------------------------------------------------------------

    def text(self) -> str:
        return "\n".join(self.lines)

    def write(self, text: str) -> None:
        self.lines[-1] += text

    @property
    def column(self) -> int:
        return len(self.lines[-1])

    def move_to(self, indent: int) -> None:
        """Start a line, unless one is just being started."""
        if self.lines[-1].strip():
            self.lines[-1] = self.lines[-1].rstrip()
            self.lines.append("")
        self.lines[-1] = " " * indent
        self.commented = False

    def break_line(
        self, indent: int, before: int | None, *, opened: bool = False, leads: bool = False
    ) -> None:
        """End the line; write the comments that stand before offset `before`; start the next line.

        `opened`: the line ends with an opening bracket, after which no blank line is kept.
        `leads`: the next line begins with an operator, before which none is kept either.
        """
        for comment in self._take(before):
            if comment.own_line or self.commented or not self.lines[-1].strip():
                blank = not opened and self.blank_before(comment.span.start)
                self._next_line(indent, blank)
                self.write(comment.text)
            else:
                self.write("  " + comment.text)
            self.commented, opened = True, False
        free = not opened and not leads
        self._next_line(indent, free and before is not None and self.blank_before(before))

    def _next_line(self, indent: int, blank: bool) -> None:
        started = len(self.lines) > 1 or bool(self.lines[0].strip())
        if blank and started:
            self.move_to(0)
            if self.lines[-2].strip():
                self.lines.append("")
        self.move_to(indent)

    def _take(self, before: int | None) -> Iterator[s.Comment]:
        while self.waiting < len(self.comments) and before is not None:
            if self.starts[self.waiting] >= before:
                return
            self.waiting += 1
            yield self.comments[self.waiting - 1]

    # --- questions about the source ------------------------------------------------------

    def blank_before(self, offset: int) -> bool:
        """Whether a blank line stands right before an offset."""
        if self.source is None:
            return False
        end = offset
        while end > 0 and self.source.text[end - 1].isspace():
            end -= 1
        return self.source.text.count("\n", end, offset) > 1

    def spans_lines(self, start: int, end: int) -> bool:
        return self.source is not None and self.source.text.find("\n", start, end) >= 0

    def begins_line(self, offset: int) -> bool:
        if self.source is None:
            return False
        line_start = self.source.text.rfind("\n", 0, offset) + 1
        return not self.source.text[line_start:offset].strip()

    def has_comment(self, start: int, end: int) -> bool:
        return bisect_left(self.starts, end) > bisect_left(self.starts, start)

    def waits(self, before: int) -> bool:
        return self.waiting < len(self.starts) and self.starts[self.waiting] < before

    # --- one line ------------------------------------------------------------------------

    def flat(self, pieces: Sequence[Piece]) -> str | None:
        """The pieces in one line, or None where something in them needs several."""
        out = []
        for piece in pieces:
            if isinstance(piece, str):
                out.append(piece)
                continue
            text = self._flat_args(piece) if isinstance(piece, Args) else self._flat_bracket(piece)
            if text is None:
                return None
            out.append(text)
        return "".join(out)

    def _flat_all(self, all_pieces: Sequence[Sequence[Piece]], between: str) -> str | None:
        texts = [self.flat(pieces) for pieces in all_pieces]
        return None if None in texts else between.join(t for t in texts if t is not None)

    def _flat_args(self, args: Args) -> str | None:
        if self.has_comment(args.start, args.end):
            return None
        inner = self._flat_all([spelled for spelled, _ in args.items], ", ")
        return None if inner is None else f"({inner})"

    def _flat_bracket(self, bracket: s.Bracket) -> str | None:
        if id(bracket) not in self._flat:
            broken = self.spans_lines(bracket.span.start, bracket.span.end)
            inner = None if broken else self._flat_body(bracket.body)
            self._flat[id(bracket)] = None if inner is None else f"[{inner}]"
        return self._flat[id(bracket)]

    def _flat_body(self, body: s.Pipeline | s.Sides | s.Choice | s.Loop) -> str | None:
        match body:
            case s.Pipeline():
                if any(body.breaks):
                    return None
                return self._flat_all([spell_item(item) for item in body.items], " -> ")
            case s.Sides():
                branches = [self._flat_body(branch) for branch in body.branches]
                return None if None in branches else f" {body.op} ".join(b for b in branches if b)
            case s.Choice():
                arms = []
                for arm, condition in body.arms:
                    chain, test = self._flat_body(arm), self.flat(spell_expr(condition, 1))
                    arms.append(None if chain is None or test is None else f"{chain} if {test}")
                if body.otherwise is not None:
                    arms.append(self._flat_body(body.otherwise))
                return None if None in arms else " else ".join(arm for arm in arms if arm)
            case s.Loop():
                turn = self._flat_body(body.body)
                values = self._flat_all([spell_expr(v) for v in body.values], ", ")
                if turn is None or values is None:
                    return None
                return f"{_loop_op(body)}{turn} for {', '.join(body.targets)} in {values}"

    # --- several lines -------------------------------------------------------------------

    def spec(self, statements: Sequence[s.Statement]) -> str:
        for i, statement in enumerate(statements):
            if i or self.comments:
                self.break_line(0, statement.span.start)
            self.statement(statement)
        if self.comments:
            self.break_line(0, self.comments[-1].span.end)
        return self.text().rstrip() + "\n"

    def statement(self, statement: s.Statement) -> None:
        head, pipeline = spell_statement_head(statement)
        self.emit(head, 0)
        if pipeline is None:
            return
        start, indent = pipeline.span.start, 0
        if head and (self.begins_line(start) or self.waits(start)):
            indent = STEP
            self.break_line(indent, start, opened=True)
        elif head:
            self.write(" ")
        self.pipeline(pipeline, indent)

    def pipeline(self, pipeline: s.Pipeline, indent: int) -> None:
        """A chain whose lines start at `indent`, and those that start with `->` a step further."""
        base, end = indent, 0
        for i, item in enumerate(pipeline.items):
            pieces = spell_item(item)
            start = item.span.start
            if i and pipeline.breaks[i]:
                base = indent
                self.break_line(base, start)
            elif i and (
                self.waits(start) or self.spans_lines(end, start) or self._belongs_below(pieces, indent)
            ):
                base = indent + STEP
                self.break_line(base, start, leads=True)
                self.write("-> ")
            elif i:
                self.write(" -> ")
            self.emit(pieces, base)
            end = item.span.end

    def _belongs_below(self, pieces: Sequence[Piece], indent: int) -> bool:
        """Whether a further layer does not fit this line, but would the next."""
        text = self.flat(pieces)
        if text is None or self.column + len(" -> " + text) <= MAX_COLUMNS:
            return False
        closed = all(isinstance(piece, str) for piece in pieces)
        return closed or indent + STEP + len("-> " + text) <= MAX_COLUMNS

    def emit(self, pieces: Sequence[Piece], base: int) -> None:
        """Write pieces, opening the groups that do not fit; what closes them stands at column `base`."""
        for i, piece in enumerate(pieces):
            if isinstance(piece, str):
                self.write(piece)
                continue
            text = self.flat([piece])
            tail = len(next((p for p in pieces[i + 1 : i + 2] if isinstance(p, str)), ""))
            if text is not None and (self.column + len(text) + tail <= MAX_COLUMNS or text == "()"):
                self.write(text)
            elif isinstance(piece, Args):
                self._open_args(piece, base)
            else:
                self._open_bracket(piece, base)

    def _open_args(self, args: Args, base: int) -> None:
        if self._hugs(args):
            *first, (last, _) = args.items
            self.write("(" + "".join(f"{self.flat(spelled)}, " for spelled, _ in first))
            for piece in last:
                if isinstance(piece, s.Bracket):
                    self._open_bracket(piece, base)
                else:
                    self.emit([piece], base)
            self.write(")")
            return
        self.write("(")
        for i, (spelled, start) in enumerate(args.items):
            self.break_line(base + STEP, start, opened=i == 0)
            self.emit(spelled, base + STEP)
            self.write(",")
        self._close(args.end, base, ")")

    def _hugs(self, args: Args) -> bool:
        """Whether only the last argument, a bracket, needs lines: `unet(64, [` … `])`."""
        if not args.items:
            return False
        *first, (last, start) = args.items
        bracket = last[-1]
        if not isinstance(bracket, s.Bracket) or not all(isinstance(piece, str) for piece in last[:-1]):
            return False
        texts = [self.flat(spelled) for spelled, _ in first]
        if None in texts or self.waits(start) or self.has_comment(bracket.span.end, args.end):
            return False
        head = sum(len(text or "") + 2 for text in texts) + len(
            "".join(p for p in last if isinstance(p, str))
        )
        return self.column + head + 2 <= MAX_COLUMNS

    def _open_bracket(self, bracket: s.Bracket, base: int) -> None:
        self.write("[")
        inner, body = base + STEP, bracket.body
        match body:
            case s.Pipeline():
                self.break_line(inner, body.span.start, opened=True)
                self.pipeline(body, inner)
            case s.Sides():
                self._open_sides(body, inner)
            case s.Choice():
                self._open_choice(body, inner)
            case s.Loop():
                self._open_loop(body, inner)
        self._close(bracket.span.end, base, "]")

    def _close(self, end: int, base: int, closer: str) -> None:
        """End the lines of a group whose closing character is the last before offset `end`."""
        self.break_line(base + STEP, end if self.waits(end) else None, opened=True)
        self.move_to(base)
        self.write(closer)

    def _open_sides(self, sides: s.Sides, indent: int) -> None:
        """Branches at one column, each but the first behind its operator."""
        for i, branch in enumerate(sides.branches):
            self.break_line(indent + (0 if i else STEP), branch.span.start, opened=True, leads=i > 0)
            if i:
                self.write(f"{sides.op} ")
            self.pipeline(branch, indent + STEP)

    def _open_choice(self, choice: s.Choice, indent: int) -> None:
        for i, (arm, condition) in enumerate(choice.arms):
            self.break_line(indent + STEP, arm.span.start, opened=True)
            self.pipeline(arm, indent + STEP)
            self.break_line(indent, condition.span.start, leads=True)
            goes_on = choice.otherwise is not None or i + 1 < len(choice.arms)
            self.emit(["if ", *spell_expr(condition, 1), " else" * goes_on], indent)
        if choice.otherwise is None:
            return
        self.break_line(indent + STEP, choice.otherwise.span.start, opened=True)
        self.pipeline(choice.otherwise, indent + STEP)

    def _open_loop(self, loop: s.Loop, indent: int) -> None:
        self.break_line(indent, loop.body.span.start, opened=True, leads=loop.op is not None)
        self.write(_loop_op(loop))
        self.pipeline(loop.body, indent + len(_loop_op(loop)))
        head = f"for {', '.join(loop.targets)} in"
        spelled = [spell_expr(value) for value in loop.values]
        text = self._flat_all(spelled, ", ")
        fits = text is not None and indent + len(head) + 1 + len(text) <= MAX_COLUMNS
        self.break_line(indent, loop.values[0].span.start, leads=True)
        self.write(head)
        # The author's breaks between values stay; those within a value have no meaning to keep.
        apart = any(self.spans_lines(a.span.end, b.span.start) for a, b in pairwise(loop.values))
        if fits and not apart:
            self.write(f" {text}")
            return
        for i, (value, pieces) in enumerate(zip(loop.values, spelled, strict=True)):
            self.break_line(indent + STEP, value.span.start, opened=True)
            self.emit(pieces, indent + STEP)
            self.write("," if i + 1 < len(spelled) else "")


def _loop_op(loop: s.Loop) -> str:
    return f"{loop.op} " if loop.op else ""
