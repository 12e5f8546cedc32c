"""What goes wrong with a spec, and how it is told: codes, carets, traces, hints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Literal

from cnnc.dsl.printable import printable
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

Severity = Literal["error", "warning", "note"]

# Every code with its one-line meaning. A code keeps its meaning for ever;
# E1 text, E2 names, E3 arguments, E4 sizes, E5 structure, E6 claims, E7 files,
# E9 limits, W warnings, N notes.
CODES: dict[str, str] = {
    "E101": "an unexpected character or word",
    "E102": "a bracket that is never closed, or closes nothing",
    "E103": "the text ends too early",
    "E104": "a blank inside a layer word, or `->` missing between two layers",
    "E105": "different side-by-side operators in one bracket",
    "E106": "`*n` anywhere but after a `]`",
    "E107": "an empty spec, bracket or branch",
    "E108": "a block or shared body of several lines without a bracket",
    "E109": "a side-by-side operator outside brackets",
    "E110": "a statement given twice, or in a form it does not have",
    "E111": "a form that this version cannot build",
    "E201": "no such layer or block",
    "E202": "no such name in arithmetic",
    "E203": "no such label or tensor",
    "E204": "a name that is taken",
    "E205": "a tensor or label where none is allowed",
    "E206": "no such param",
    "E207": "a name that cannot be used from its file or library",
    "E301": "an argument that the layer does not have",
    "E302": "an argument missing",
    "E303": "an argument of the wrong type or value",
    "E304": "an argument given twice",
    "E305": "a number where an integer is expected",
    "E306": "arithmetic that has no value",
    "E307": "arguments that do not fit each other",
    "E401": "a map of the wrong rank for the layer",
    "E402": "groups or another divisor that does not divide the channels",
    "E403": "a kernel larger than its map",
    "E404": "an even kernel without padding",
    "E405": "branches whose sizes do not fit",
    "E406": "uses of one shared module with different channels",
    "E407": "a size that must be known",
    "E408": "a map whose size does not suit the layer",
    "E501": "a tensor that reaches no output",
    "E502": "a chain that starts from nothing",
    "E503": "a `shortcut`, `crop`, `pad`, `resize` or `stretch` that cannot be fitted",
    "E504": "a layer that needs further inputs, or was given too many",
    "E505": "a bracket or branch of which nothing is left",
    "E601": "an expectation that does not hold",
    "E602": "an expectation that cannot be evaluated",
    "E603": "a network that differs from its lock",
    "E604": "a lock that does not match the specs",
    "E701": "a file that cannot be read",
    "E702": "a file that is not text",
    "E703": "a file that cannot be written",
    "E704": "files that use each other in a circle",
    "E705": "a file outside the spec's folder",
    "E801": "something the chosen output cannot express",
    "E802": "a program or package that is missing",
    "E803": "a layer whose memory is not known",
    "E804": "a card that cannot be used",
    "E805": "an operator or idiom of a module that the language lacks",
    "E901": "a limit exceeded",
    "W101": "a name that is never used",
    "W102": "a label that reads as a statement",
    "W103": "a warning suppressed without need or reason",
    "W201": "a bias before a batch norm",
    "W202": "two weighted layers with no activation between them",
    "W203": "branches whose receptive fields are not centred on each other",
    "N101": "no input declared",
    "N102": "an input whose sizes look as if they came in another order",
    "N103": "claims about other values of the params",
    "N104": "a network that trains with batches of 2 or more only",
    "N702": "tensors that only an extern's own package knows",
}


@record
class Diagnostic:
    """One finding: what, where, on which way through blocks and repeats, and how to mend it.

    `trace` runs from the innermost block call or repeat outwards; `details` are further lines of the message.
    """

    code: str
    message: str
    span: Span | None
    trace: tuple[str, ...] = ()
    hint: str | None = None
    details: tuple[str, ...] = ()
    severity: Severity = field(init=False)

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise KeyError(f"unregistered diagnostic code {self.code}")
        # What a message quotes can be as long as the spec.
        object.__setattr__(self, "message", clipped(self.message))
        kinds: dict[str, Severity] = {"E": "error", "W": "warning", "N": "note"}
        object.__setattr__(self, "severity", kinds[self.code[0]])

    def render(self) -> str:
        """The finding as text: a head line, the source line with carets, the trace, the hint."""
        if self.span is None:
            lines = [f"{self.severity} {self.code}: {self.message}"]
        else:
            line, column = self.span.source.position(self.span.start)
            place = f"{self.span.source.name}:{line}:{column}"
            lines = [f"{place}: {self.severity} {self.code}: {self.message}"]
            lines += self._excerpt(line, column)
        lines += [f"    {detail}" for detail in self.details]
        lines += [f"    in {step}" for step in self.trace]
        if self.hint:
            lines.append(f"    hint: {self.hint}")
        return "\n".join(map(printable, lines))

    def _excerpt(self, line: int, column: int) -> list[str]:
        assert self.span is not None
        text = self.span.source.line(line)
        width = max(1, min(self.span.end - self.span.start, len(text) - column + 1))
        # Keep the caret under its word on long lines and where tabs were typed.
        shown, start = text, column - 1
        if len(text) > 120:
            left = max(0, start - 40)
            shown = ("…" if left else "") + text[left : left + 110]
            start = start - left + (1 if left else 0)
            width = min(width, len(shown) - start) or 1
            shown += "…" if left + 110 < len(text) else ""
        pad = "".join("\t" if ch == "\t" else " " for ch in shown[:start])
        if not shown.strip():
            return []
        return [f"    {shown}", f"    {pad}{'^' * width}"]


def clipped(text: str, most: int = 1_000) -> str:
    """A text of at most about so many characters: what is too many is taken out of its middle.

    >>> clipped("a" * 9 + "b" * 9, 10)
    'aaaaa … bbbbb'
    """
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-(most // 2) :]}"


MAX_ERRORS = 50
"""The mistakes of one stage that are told."""


def at_most(problems: list[Diagnostic]) -> list[Diagnostic]:
    """The problems in the order of the text; in the place of those beyond MAX_ERRORS a word that there are more."""
    problems = sorted(problems, key=lambda d: d.span.start if d.span else -1)
    if len(problems) <= MAX_ERRORS:
        return problems
    where = problems[MAX_ERRORS].span
    hint = "fix these first: many of the others may go with them"
    more = Diagnostic(
        "E901", f"more than {MAX_ERRORS} mistakes; this one and the rest are left out", where, hint=hint
    )
    return [*problems[:MAX_ERRORS], more]


class CnncError(Exception):
    """The one exception that leaves this package: one or more diagnostics, ready to print."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__("\n".join(d.render() for d in self.diagnostics))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback (IPython's protocol): the message alone."""
        return str(self).split("\n")


def fail(
    code: str,
    message: str,
    span: Span | None = None,
    hint: str | None = None,
    trace: Sequence[str] = (),
) -> CnncError:
    """The exception for a single finding; the caller raises it."""
    return CnncError([Diagnostic(code, message, span, tuple(trace), hint)])


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest known words, if any is near."""
    if len(word) > 100:
        return None  # nobody mistypes such a word, and comparing it takes long
    import difflib

    words = sorted(set(known))
    longer = [other for other in words if len(word) > 3 and other.startswith(word.lower())]
    near = longer[:2] or difflib.get_close_matches(word.lower(), words, n=2, cutoff=0.6)
    near = near or [other for other in words if _one_letter_apart(word, other)][:2]
    return f"did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else None


def _one_letter_apart(a: str, b: str) -> bool:
    """Whether short names differ in one letter only: `c2` and `c3`, which no ratio finds alike."""
    return len(a) == len(b) > 1 and sum(x != y for x, y in zip(a, b, strict=True)) == 1
