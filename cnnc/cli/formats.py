"""The verdicts of a run as documents: JSON, GitHub's annotations, JUnit's XML, SARIF 2.1.0."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from cnnc.cli.project import from_repository
from cnnc.cli.verdict import Outcome, Verdict, total_line
from cnnc.dsl.diagnostics import CODES, Diagnostic
from cnnc.dsl.printable import printable
from cnnc.dsl.source import Span
from cnnc.dsl.version import VERSION

FORMAT = 1
"""The version of the JSON record."""


def render(verdicts: Sequence[Verdict], format: str, *, strict: bool = False) -> str:
    """The document, ending in a line end (or empty, where GitHub has nothing to be told)."""
    if format == "github":
        return to_github(verdicts, strict=strict)
    if format == "junit":
        return to_junit(verdicts, strict=strict)
    data = to_sarif(verdicts) if format == "sarif" else to_json(verdicts, strict=strict)
    return json.dumps(data, indent=1) + "\n"


# --- places -----------------------------------------------------------------------------


def _place(span: Span) -> dict[str, int]:
    """Line and column of the first character, and of the one after the last; counted from 1."""
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(max(span.end, span.start + 1))
    return {"line": line, "column": column, "end_line": end_line, "end_column": end_column}


def _told(finding: Diagnostic) -> str:
    """A finding without its place and excerpt: the message, the way to it, and the hint."""
    lines = [finding.message, *finding.details, *(f"in {step}" for step in finding.trace)]
    lines += [f"hint: {finding.hint}"] if finding.hint else []
    return "\n".join(map(printable, lines))


def _file(verdict: Verdict, finding: Diagnostic) -> str:
    """The file a finding is about: where it stands, else the spec."""
    return printable(finding.span.source.name if finding.span else verdict.spec)


# --- JSON -------------------------------------------------------------------------------


def to_json(verdicts: Sequence[Verdict], *, strict: bool = False) -> dict[str, Any]:
    """The stable record of a run: `format` grows where a key changes its meaning or goes."""
    claims = [claim for verdict in verdicts for claim in verdict.claims]
    return {
        "format": FORMAT,
        "ok": not any(verdict.fails(strict=strict) for verdict in verdicts),
        "specs": [_verdict_json(verdict, strict) for verdict in verdicts],
        "totals": {
            "specs": len({verdict.spec for verdict in verdicts}),
            "claims": len(claims),
            "held": sum(claim.holds for claim in claims),
            "errors": sum(verdict.errors for verdict in verdicts),
            "warnings": sum(verdict.warnings for verdict in verdicts),
        },
    }


def _verdict_json(verdict: Verdict, strict: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"spec": printable(verdict.spec), "ok": not verdict.fails(strict=strict)}
    if verdict.settings:
        out["settings"] = str(verdict.settings)
    if verdict.library is not None:
        out["library"] = verdict.library
    if verdict.figures is not None:
        figures = verdict.figures
        out |= {
            "model": figures.model,
            "params": figures.params,
            "macs": figures.macs,
            "outputs": {name: list(shape) for name, shape in figures.outputs.items()},
        }
        if figures.unknown:
            out["unknown"] = {what: list(names) for what, names in figures.unknown.items()}
    out["claims"] = [
        {"text": claim.text, "holds": claim.holds, "margin": claim.margin or None, "line": claim.span.line}
        for claim in verdict.claims
    ]
    out["findings"] = [
        {
            "code": finding.code,
            "severity": finding.severity,
            "message": finding.message,
            "details": list(finding.details),
            "trace": list(finding.trace),
            "hint": finding.hint,
            "file": _file(verdict, finding),
            **(_place(finding.span) if finding.span else {}),
        }
        for finding in verdict.findings
    ]
    return out


# --- GitHub -----------------------------------------------------------------------------

_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def to_github(verdicts: Sequence[Verdict], *, strict: bool = False) -> str:
    """Workflow commands: a line for each finding, which GitHub shows at its place in a pull request.

    With `strict`, warnings are errors there too, as they make the run fail.
    """
    lines = []
    for verdict in verdicts:
        for finding in verdict.findings:
            level = _LEVELS[finding.severity]
            if strict and level == "warning":
                level = "error"
            fields = {"file": from_repository(_file(verdict, finding))}
            where = fields["file"]
            if finding.span is not None:
                place = _place(finding.span)
                fields |= {"line": str(place["line"]), "endLine": str(place["end_line"])}
                if place["line"] == place["end_line"]:  # GitHub takes columns within one line only
                    fields |= {"col": str(place["column"]), "endColumn": str(place["end_column"])}
                where += f":{place['line']}:{place['column']}"
            fields["title"] = f"{finding.code}: {CODES[finding.code]}"
            told = ",".join(f"{name}={_property(value)}" for name, value in fields.items())
            lines.append(f"::{level} {told}::{_data(f'{where}: {_told(finding)}')}\n")
    return "".join(lines)


def _data(text: str) -> str:
    """A message as a workflow command takes it: `%` first, then what would end the line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """A property's value: what would end the property is escaped too."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# --- JUnit ------------------------------------------------------------------------------


def to_junit(verdicts: Sequence[Verdict], *, strict: bool = False) -> str:
    """JUnit's XML: a suite for each spec; a case for its text, and one for each claim.

    No times are given, so that the same specs give the same bytes.
    """
    from xml.etree import ElementTree as xml

    root = xml.Element("testsuites", name="cnnc check")
    for verdict in verdicts:
        suite = xml.SubElement(root, "testsuite", name=printable(verdict.name))
        cases = list(_cases(verdict, strict))
        for name, kind, findings in cases:
            case = xml.SubElement(suite, "testcase", classname=printable(verdict.name), name=printable(name))
            if findings:
                trouble = xml.SubElement(
                    case, kind, type=findings[0].code, message=printable(findings[0].message)
                )
                trouble.text = "\n".join(finding.render() for finding in findings)
        suite.set("tests", str(len(cases)))
        for kind in ("failure", "error"):
            suite.set(f"{kind}s", str(sum(k == kind for _, k, findings in cases if findings)))
    for total in ("tests", "failures", "errors"):
        root.set(total, str(sum(int(suite.get(total, "0")) for suite in root)))
    xml.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"


def _cases(verdict: Verdict, strict: bool) -> Iterator[tuple[str, str, list[Diagnostic]]]:
    """The cases of a spec: name, `error` or `failure`, and what makes it one (nothing where it passed)."""
    failed = {claim.span.start: claim for claim in verdict.claims if not claim.holds}
    rest = [f for f in verdict.findings if not _is_of(f, failed)]
    yield "builds", "error", [f for f in rest if f.severity == "error"]
    if strict:
        yield "draws no warning", "failure", [f for f in rest if f.severity == "warning"]
    for claim in verdict.claims:
        told = [f for f in verdict.findings if not claim.holds and _is_of(f, {claim.span.start: claim})]
        yield f"expect {claim.text}", "failure", told


def _is_of(finding: Diagnostic, claims: dict[int, Outcome]) -> bool:
    """Whether a finding is that one of these claims does not hold."""
    return finding.code == "E601" and finding.span is not None and finding.span.start in claims


# --- SARIF ------------------------------------------------------------------------------


def to_sarif(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """A SARIF 2.1.0 log of one run, for code scanning and editors."""
    found = [(verdict, finding) for verdict in verdicts for finding in verdict.findings]
    codes = sorted({finding.code for _, finding in found})
    rules = [{"id": code, "shortDescription": {"text": CODES[code]}} for code in codes]
    return {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "cnnc", "version": VERSION, "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "properties": {"summary": total_line(verdicts)},
                "results": [
                    {
                        "ruleId": finding.code,
                        "ruleIndex": codes.index(finding.code),
                        "level": finding.severity,
                        "message": {"text": _told(finding)},
                        "locations": [{"physicalLocation": _location(verdict, finding)}],
                    }
                    for verdict, finding in found
                ],
            }
        ],
    }


def _location(verdict: Verdict, finding: Diagnostic) -> dict[str, Any]:
    from pathlib import Path
    from urllib.parse import quote

    file = from_repository(_file(verdict, finding))
    if os.path.isabs(file):
        artifact = {"uri": Path(file).as_uri()}
    else:
        artifact = {"uri": quote(file.replace(os.sep, "/")), "uriBaseId": "%SRCROOT%"}
    if finding.span is None:
        return {"artifactLocation": artifact}
    place = _place(finding.span)
    region = {
        "startLine": place["line"],
        "startColumn": place["column"],
        "endLine": place["end_line"],
        "endColumn": place["end_column"],
    }
    return {"artifactLocation": artifact, "region": region}
