"""Findings as the protocol's diagnostics."""

from __future__ import annotations

import os
from typing import Any

from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import Diagnostic
from cnnc.dsl.printable import printable
from cnnc.dsl.source import Span
from cnnc.lsp.text import Range, Text
from cnnc.lsp.workspace import Open, uri_of

_SEVERITIES = {"error": 1, "warning": 2, "note": 3}
_UNNECESSARY = 1
"""The tag of what an editor may grey out."""


def diagnostics(held: Open) -> list[dict[str, Any]]:
    """What was found in the newest text of a client."""
    return [_diagnostic(held, finding) for finding in held.analysis.findings]


def _diagnostic(held: Open, finding: Diagnostic) -> dict[str, Any]:
    told: dict[str, Any] = {
        "range": range_of(held, finding),
        "severity": _SEVERITIES[finding.severity],
        "code": finding.code,
        "source": "cnnc",
        "message": message_of(finding),
    }
    if finding.code == "W101":
        told["tags"] = [_UNNECESSARY]
    span = finding.span
    if span is not None and span.source is not held.analysis.source:
        where = Text(span.source.text).range(span.start, span.end)
        location = {"uri": uri_of(span.source.name), "range": where}
        told["relatedInformation"] = [{"location": location, "message": finding.message}]
    return told


def message_of(finding: Diagnostic) -> str:
    """The message with its details, the way to it and the hint, a line each."""
    lines = [finding.message, *finding.details, *(f"in {step}" for step in finding.trace)]
    if finding.hint:
        lines.append(f"hint: {finding.hint}")
    return "\n".join(map(printable, lines))


def range_of(held: Open, finding: Diagnostic) -> Range:
    """The words at fault; what is wrong with another file is told where that is used."""
    span = finding.span
    if span is not None and span.source is not held.analysis.source:
        span = _use_of(held, span)
    if span is None:
        return {"start": held.text.position(0), "end": held.text.end_of_line(0)}
    return held.text.range(span.start, max(span.end, span.start + 1))


def _use_of(held: Open, span: Span) -> Span | None:
    """Where the text uses the file of a span, or the first file that it uses."""
    tree = held.analysis.tree
    uses = [st for st in tree.statements if isinstance(st, s.Use) and st.is_file] if tree is not None else []
    name = os.path.basename(span.source.name)
    found = [use for use in uses if os.path.basename(use.origin) == name] or uses
    return found[0].origin_span if found else None
