"""Hints as edits: what a diagnostic's hint says to write, put into the text.

A hint is a sentence with code in it. Each way to put that code in place of the words at fault is tried, and offered
only where the text then no longer has the mistake, nor a new one. So no edit is offered that does not help.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import Diagnostic
from cnnc.dsl.record import record
from cnnc.dsl.source import Span
from cnnc.live.context import open_bracket
from cnnc.live.engine import Analysis, Setting, analyse

MOST = 3
"""Of the edits offered for one finding."""
_SECONDS = 0.5
"""For trying edits: a large network is analysed a few times only."""


@record
class Edit:
    """`text` in place of the characters [start, end) of a text."""

    start: int
    end: int
    text: str

    def applied(self, to: str) -> str:
        return to[: self.start] + self.text + to[self.end :]


@record
class Fix:
    """One edit that mends a finding, and what to call it."""

    title: str
    edit: Edit


def fixes(analysis: Analysis, finding: Diagnostic, setting: Setting | None = None) -> list[Fix]:
    """The edits that mend a finding, those most likely meant first.

    >>> from cnnc.dsl.source import Source
    >>> found = analyse(Source("net.cnn", "input 3x32x32\\nkonv3-64 -> pool"))
    >>> [fix.title for fix in fixes(found, found.findings[0])]
    ['Write `conv3-64`', 'Write `tconv3-64`']
    """
    source = analysis.source
    if finding.span is None or finding.span.source is not source:
        return []
    found: list[Fix] = []
    seen: set[str] = set()
    end = time.monotonic() + _SECONDS
    for fix in _candidates(analysis, finding):
        text = fix.edit.applied(source.text)
        if text in seen or text == source.text:
            continue
        seen.add(text)
        if _helps(analysis, finding, text, setting):
            found.append(fix)
        if len(found) == MOST or (time.monotonic() > end and len(seen) > 3):
            break
    return found


def _helps(analysis: Analysis, finding: Diagnostic, text: str, setting: Setting | None) -> bool:
    """Whether a text lacks the finding, and has nothing that the analysed one has not.

    A text that does not parse says nothing of what comes after, so that what is found then is no new mistake.
    """
    after = analyse(replace(analysis.source, text=text), setting)
    before, now = Counter(map(_identity, analysis.findings)), Counter(map(_identity, after.findings))
    if now[_identity(finding)] >= before[_identity(finding)]:
        return False
    if analysis.tree is None and after.tree is not None:
        return not any(
            d.code in ("E201", "E202", "E203", "E301") and _is_at(finding, d) for d in after.findings
        )
    return sum(count for key, count in (now - before).items() if key[0][0] == "E") == 0


def _is_at(one: Diagnostic, other: Diagnostic) -> bool:
    """Whether two findings begin on the same line."""
    return one.span is not None and other.span is not None and one.span.line == other.span.line


def _identity(finding: Diagnostic) -> tuple[str, str]:
    return finding.code, finding.message


def _candidates(analysis: Analysis, finding: Diagnostic) -> Iterator[Fix]:
    """Edits that the hint may mean, by its form."""
    assert finding.span is not None
    hint = finding.hint or ""
    for form, edits in _FORMS:
        match = form.search(hint)
        if match is not None:
            yield from edits(analysis, finding.span, match)


def _near(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    for word in re.findall(r"`([^`]+)`", match[1]):
        yield from _respelt(span, word)


def _respelt(span: Span, word: str) -> Iterator[Fix]:
    """The nearest known word in place of the whole, of its letters, or of the key before a `=`."""
    text = span.text
    if text.isidentifier() and not text[-1].isdigit():
        yield _written(span, span.start, span.end, word)
    for pattern in (r"[A-Za-z_]+", r"[A-Za-z_][\w-]*?(?=\d|$|-)", r"\w+(?=\s*=)"):
        match = re.search(pattern, text)
        if match is not None:
            yield _written(span, span.start + match.start(), span.start + match.end(), word)
    if text.isidentifier() or any(ch.isdigit() or ch in "./" for ch in word):
        yield _written(span, span.start, span.end, word)
    if text.startswith('"'):
        yield _written(span, span.start + 1, span.end - 1, word)


def _written(span: Span, start: int, end: int, word: str) -> Fix:
    source = span.source.text
    whole = source[span.start : start] + word + source[end : span.end]
    return Fix(f"Write `{whole}`", Edit(start, end, word))


def _added(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """A statement on a line of its own at the head of the file."""
    at = _head(analysis)
    yield Fix(f"Add `{match[1]}`", Edit(at, at, f"{match[1]}\n"))


def _head(analysis: Analysis) -> int:
    """Where a statement at the head of the file goes: below those that are there, else above the first layer."""
    text = analysis.source.text
    at = 0
    for match in re.finditer(r"^(model|input|use|param|default)\b[^\n]*\n", text, re.MULTILINE):
        if match.start() == at or not text[at : match.start()].strip() or text[at:].lstrip().startswith("#"):
            at = match.end()
    if at == 0:
        above = re.match(r"(?:[ \t]*(?:#[^\n]*)?\n)*", text)
        at = above.end() if above else 0
    return at


def _removed(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """The words at fault, or the statement that declares a name, taken out."""
    text = span.source.text
    for statement in () if analysis.tree is None else analysis.tree.statements:
        inside = statement.span.start <= span.start and span.end <= statement.span.end
        alone = not isinstance(statement, s.Use) or len(statement.names) == 1
        if inside and alone and isinstance(statement, s.Param | s.Block | s.Shared | s.Extern | s.Use):
            start = text.rfind("\n", 0, statement.span.start) + 1
            end = text.find("\n", statement.span.end)
            yield Fix("Take the line out", Edit(start, len(text) if end < 0 else end + 1, ""))
    before = re.search(r",\s*$", text[: span.start])
    after = re.match(r"\s*,\s*", text[span.end :])
    if before is not None:
        yield Fix(f"Take `{span.text}` out", Edit(before.start(), span.end, ""))
    elif after is not None:
        yield Fix(f"Take `{span.text}` out", Edit(span.start, span.end + after.end(), ""))
    start = span.start - len(text[: span.start]) + len(text[: span.start].rstrip(" \t"))
    yield Fix(f"Take `{span.text}` out", Edit(start, span.end, ""))


def _closed(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """A bracket closed at the end of its line, of the words at fault, or of the text."""
    text, closing = span.source.text, match[1]
    line = text.find("\n", span.start)
    line = len(text) if line < 0 else line
    comment = text.find("#", span.start, line)
    line = len(text[: comment if comment >= 0 else line].rstrip())
    for at in (line, span.end, len(text.rstrip())):
        yield Fix(f"Close it with `{closing}`", Edit(at, at, closing))


def _instead(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """Code in place of the words at fault, of the layer that they are in, or of the line."""
    codes = [code.strip(" `") for code in re.split(r", or (?:add )?| or |; ", match[1])]
    for code in codes:
        code = re.sub(r"^(.*) \([^()]*\)$", r"\1", code).removeprefix("write ").removesuffix("` alone")
        if "…" in code or not code:
            continue
        for place in _places(span):
            yield Fix(f"Write `{code}`", Edit(place.start, place.end, code))


def _arguments(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """Arguments to give to the layer, each an edit of its own."""
    for argument in re.findall(r"\b\w+=(?:\([^)]*\)|[\w.]+)", match[0]):
        yield Fix(f"Write `{argument}`", Edit(span.start, span.end, argument))
        yield from _given(span, argument)


def _character(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    for code in re.findall(r"`([^`]+)`", match[0]):
        yield Fix(f"Write `{code}`", Edit(span.start, span.end, code))


def _identity_put_in(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    for at, code in ((span.end, " id"), (span.start, "id "), (span.start + 1, "id")):
        yield Fix("Write `id`", Edit(at, at, code))


def _renamed(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """`a` in place of `b`, where the words at fault have it."""
    for found in re.finditer(rf"(?<!\w){re.escape(match[2])}(?!\w)", span.text):
        at = span.start + found.start()
        yield Fix(f"Write `{match[1]}`", Edit(at, at + len(match[2]), match[1]))


def _joined(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """An arrow between two layers."""
    before = span.source.text[: span.start]
    start = len(before.rstrip(" \t"))
    yield Fix("Join with `->`", Edit(start, span.start, " -> "))


def _multiple(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """Another number of channels in the layer's word."""
    layer = _layer(span)
    for found in re.finditer(r"(?<=-)\d+|(?<=fc)\d+|(?<=\()\d+", layer.text):
        at = layer.start + found.start()
        code = layer.text[: found.start()] + match[1] + layer.text[found.end() :]
        yield Fix(f"Write `{code}`", Edit(at, at + len(found[0]), match[1]))


def _input_size(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """The smallest input that works."""
    statements = () if analysis.tree is None else analysis.tree.statements
    inputs = [statement for statement in statements if isinstance(statement, s.Input)]
    if len(inputs) == 1:
        dims = inputs[0].dims.span
        yield Fix(f"Write `input {match[1]}`", Edit(dims.start, dims.end, match[1]))


def _unit(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    start = len(span.source.text[: span.start].rstrip(" \t"))
    yield Fix(f"Write `{match[1]}`", Edit(start, span.end, match[1]))


def _in_word(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    """A stride, a width or a kernel put into the layer's word in place of an argument."""
    layer, code = _layer(span), match[1]
    head, _, rest = layer.text.partition("(")
    arguments = "(" + rest
    argument = re.escape(span.text)
    left = re.sub(
        rf"^\({argument}(?:,\s*)?|,\s*{argument}", lambda m: "(" if m[0][0] == "(" else "", arguments
    )
    kernel = re.match(r"[A-Za-z_]+", head)
    word = head + code if not code[0].isdigit() or kernel is None else kernel[0] + code + head[kernel.end() :]
    text = word + ("" if left == "()" else left)
    yield Fix(f"Write `{text}`", Edit(layer.start, layer.end, text))


def _bare(analysis: Analysis, span: Span, match: re.Match[str]) -> Iterator[Fix]:
    yield Fix(f"Write `{span.text.strip('{} ')}`", Edit(span.start, span.end, span.text.strip("{} ")))


def _places(span: Span) -> Iterator[Span]:
    """What a piece of code may stand in place of: the words at fault, the layer that they are in, the line."""
    text, source = span.source.text, span.source
    yield span
    yield _layer(span)
    line = text.find("\n", span.start)
    start = text.rfind("\n", 0, span.start) + 1
    start += len(text[start:]) - len(text[start:].lstrip(" \t"))
    yield Span(source, start, len(text[: len(text) if line < 0 else line].rstrip()))


def _given(span: Span, argument: str) -> Iterator[Fix]:
    """An argument given to the layer at fault: in place of the one with its key, or behind the others."""
    layer, key = _layer(span), argument.partition("=")[0]
    title = f"Give `{argument}`"
    match = re.search(rf"\b{key}\s*=\s*[^,()]+", layer.text)
    if match is not None:
        yield Fix(title, Edit(layer.start + match.start(), layer.start + match.end(), argument))
    elif layer.text.endswith(")"):
        yield Fix(title, Edit(layer.end - 1, layer.end - 1, f", {argument}"))
    else:
        yield Fix(title, Edit(layer.end, layer.end, f"({argument})"))


def _layer(span: Span) -> Span:
    """The layer word around some words, its arguments included."""
    text = span.source.text
    start, end = span.start, span.end
    opens = open_bracket(text, start)
    while opens >= 0 and text[opens] == "(":
        start, end = opens, max(end, _closing(text, opens))
        opens = open_bracket(text, opens)
    while start > 0 and text[start - 1] not in " \t\n[|&>+:":
        start -= 1
    while end < len(text) and text[end] not in " \t\n]|&":
        end = _closing(text, end) if text[end] == "(" else end + 1
    return Span(span.source, start, end)


def _closing(text: str, opens: int) -> int:
    """The end of what a parenthesis opens; the end of its line where nothing closes it."""
    depth = 0
    for i in range(opens, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i + 1
    line = text.find("\n", opens)
    return len(text) if line < 0 else line


_FORMS: tuple[tuple[re.Pattern[str], Callable[[Analysis, Span, re.Match[str]], Iterator[Fix]]], ...] = tuple(
    (re.compile(form), edits)
    for form, edits in (
        (r"^did you mean (.+)\?$", _near),
        (r"(?:^declare it(?: at the head of the file)?: )((?:param|input) .+)$", _added),
        (r"\b(use \w+ from std)\b", _added),
        (r"close it with `(.)`", _closed),
        (r"^(?:remove it|leave it out: the)", _removed),
        (r"^(?:choose one: |write )\w+=\S.*$", _arguments),
        (r"write `id` for a branch", _identity_put_in),
        (r"write `(\w+)` in place of `(\w+)`", _renamed),
        (r"write (\S+) in place of (\S+)$", _renamed),
        (r"write (?:`[^`]+` for [^`]+)+", _character),
        (r"^join two layers with `->`", _joined),
        (r"multiple of \d+, for instance (\d+)", _multiple),
        (r"^the smallest input that works is ([\dx]+);", _input_size),
        (r"^write `(\w+)` right behind the number", _unit),
        (r"^write (\S+) in the word(?:,| |$)", _in_word),
        (r"^compare with (==)$", _instead),
        (r"^arithmetic inside \( \)", _bare),
        (
            r"(?:never written|in the word|what repeats|one of them|the branches|join it|tap it|compare it|say so"
            r"|leave it out|come first|open it): (.+)$",
            _instead,
        ),
        (r"^write `([^`]+)`(?:$|:|;)", _instead),
        (r"^write ((?:input|param|use|expect|model) [^;]+)$", _instead),
        (r"^write ([^\s`]*[\d\[\]=][^\s`]*)$", _instead),
    )
)
"""The forms that hints have, and the edits that each may mean."""
