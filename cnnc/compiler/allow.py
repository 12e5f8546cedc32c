"""Warnings that a spec accepts: `# allow W203: reason`, at the end of a line or alone above a statement.

A comment at the end of a line silences what begins or ends on that line; one alone on its line what is in the
statement below it, or on the next line where it stands inside a statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from cnnc.compiler.graph import Graph
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CODES, CnncError, Diagnostic
from cnnc.dsl.parse import parse
from cnnc.dsl.record import record
from cnnc.dsl.source import Source, Span

_ALLOW = re.compile(r"#\s*allow\s+(W\d+(?:\s*,\s*W\d+)*)\s*(?::\s*(\S.*)?)?", re.DOTALL)


@record
class Allowance:
    """One comment: the codes that it accepts, and the lines that it speaks of, the first and the last."""

    codes: tuple[str, ...]
    first: int
    last: int
    span: Span

    def covers(self, finding: Diagnostic) -> bool:
        span = finding.span
        if span is None or finding.code not in self.codes or span.source is not self.span.source:
            return False
        ends = (span.line, span.source.position(max(span.start, span.end - 1))[0])
        return any(self.first <= line <= self.last for line in ends)


def allowances(spec: s.Spec) -> tuple[list[Allowance], list[Diagnostic]]:
    """The accepted warnings of a file, and W103 for each comment that gives no reason: that one accepts nothing."""
    found: list[Allowance] = []
    problems: list[Diagnostic] = []
    for comment in spec.comments:
        match = _ALLOW.fullmatch(comment.text)
        if match is None:
            continue
        codes = tuple(re.split(r"\s*,\s*", match[1]))
        if not match[2]:
            hint = f"# allow {', '.join(codes)}: why it is right here"
            problems.append(
                Diagnostic("W103", "the warning is suppressed without a reason", comment.span, hint=hint)
            )
            continue
        line = comment.span.line
        first, last = (line, line) if not comment.own_line else _below(spec, comment.span)
        found.append(Allowance(codes, first, last, comment.span))
    return found, problems


def _below(spec: s.Spec, comment: Span) -> tuple[int, int]:
    """The lines that a comment on a line of its own speaks of."""
    source, text = comment.source, comment.source.text
    for statement in spec.statements:
        span = statement.span
        if span.start > comment.start:
            return span.line, source.position(max(span.start, span.end - 1))[0]
        if span.end > comment.start:
            break
    at = comment.end
    while at < len(text) and (text[at].isspace() or text[at] == "#"):
        at = text.find("\n", at) if text[at] == "#" else at + 1
        if at < 0:
            at = len(text)
    line = source.position(min(at, len(text)))[0]
    return line, line


def accepted(
    spec: s.Spec, findings: Iterable[Diagnostic]
) -> tuple[tuple[Diagnostic, ...], tuple[Diagnostic, ...]]:
    """The warnings that stay, and those that the file they are in accepts."""
    files: dict[int, list[Allowance]] = {}
    left: list[Diagnostic] = []
    taken: list[Diagnostic] = []
    for finding in findings:
        source = None if finding.span is None else finding.span.source
        if source is None or finding.severity != "warning" or "allow" not in source.text:
            left.append(finding)
            continue
        if id(source) not in files:
            files[id(source)] = _of_source(spec, source)
        covered = any(allowance.covers(finding) for allowance in files[id(source)])
        (taken if covered else left).append(finding)
    return tuple(left), tuple(taken)


def _of_source(spec: s.Spec, source: Source) -> list[Allowance]:
    return allowances(spec)[0] if source is spec.source else _of_used(source)


@lru_cache(maxsize=64)
def _of_used(source: Source) -> list[Allowance]:
    """Those of a file that is used: it is one source for all the texts that use it, at every keystroke."""
    try:
        return allowances(parse(source))[0]
    except CnncError:  # it was parsed before; what is wrong with it was told then
        return []


def idle(spec: s.Spec, graph: Graph, taken: Sequence[Diagnostic]) -> list[Diagnostic]:
    """W103 for what the spec accepts without need: no such warning is there, though the layers of the line are.

    `taken` are all the warnings that were accepted. Where a param switches a branch off, nothing is said.
    """
    found, problems = allowances(spec) if "allow" in spec.source.text else ([], [])
    placed = {line for node in graph.nodes for line in _lines(node.span, spec.source)} if found else set()
    for allowance in found:
        seen = {finding.code for finding in taken if allowance.covers(finding)}
        here = any(allowance.first <= line <= allowance.last for line in placed)
        for code in allowance.codes:
            if code not in seen and (here or code not in CODES or code == "W101"):
                message = f"`{allowance.span.text}` suppresses nothing: there is no {code} here"
                problems.append(Diagnostic("W103", message, allowance.span, hint="remove it"))
    return sorted(problems, key=lambda problem: problem.span.start if problem.span else 0)


def _lines(span: Span, source: Source) -> tuple[int, ...]:
    if span.source is not source:
        return ()
    return span.line, source.position(max(span.start, span.end - 1))[0]
