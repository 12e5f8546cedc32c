"""`cnnc check`: all specs of one run, every finding, one summary line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from cnnc.cli.common import found_specs, tell
from cnnc.compiler.build import build, check_library, is_library
from cnnc.compiler.expect import Claim, check_claims, plain
from cnnc.compiler.receptive_field import misalignments, receptive_fields
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.parse import parse
from cnnc.dsl.read import read_source
from cnnc.net import Net, resolve, stem_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one spec came to."""

    spec: str
    findings: tuple[Diagnostic, ...]
    claims: tuple[Claim, ...]
    net: Net | None
    library: int | None = None
    """How many blocks a file declares that has no layers of its own."""

    @property
    def errors(self) -> int:
        return sum(f.severity == "error" for f in self.findings)

    @property
    def warnings(self) -> int:
        return sum(f.severity == "warning" for f in self.findings)


def check_all(specs: Sequence[str], *, strict: bool, verbose: bool) -> int:
    """Check every spec and print what was found; the exit code."""
    verdicts = [check_one(spec) for spec in found_specs(specs)]
    for verdict in verdicts:
        tell(verdict.findings)
        if verbose or len(verdicts) == 1:
            if verdict.net is not None:
                click.echo(_line(verdict))
            elif verdict.library is not None:
                click.echo(f"{verdict.spec}: ok: a library of {_many(verdict.library, 'block')}")
        if verbose:
            for claim in verdict.claims:
                if claim.holds:
                    margin = f"  ({plain(claim.difference, sign=True)})" if claim.difference else ""
                    click.echo(f"  holds: {claim.text}{margin}")
    errors, warnings = sum(v.errors for v in verdicts), sum(v.warnings for v in verdicts)
    claims = sum(len(v.claims) for v in verdicts)
    held = sum(claim.holds for v in verdicts for claim in v.claims)
    failed = bool(errors or (strict and warnings))
    summary = _many(len(verdicts), "spec")
    summary += f", {_held(held, claims)}" if claims else ""
    summary += f", {_many(errors, 'error')}" if errors else ""
    summary += f", {_many(warnings, 'warning')}" if warnings else ""
    if len(verdicts) != 1 or failed:
        click.echo(summary, err=failed)
    return 1 if failed else 0


def check_one(spec: str) -> Verdict:
    """One spec's verdict."""
    try:
        path = resolve(spec)
        source = read_source(path)
        syntax = parse(source)
        if is_library(syntax):
            return Verdict(spec, (), (), None, library=check_library(syntax))
        net = Net(build(syntax, stem=stem_of(path)))
    except CnncError as error:
        return Verdict(spec, error.diagnostics, (), None)
    claims, problems = check_claims(net.graph)
    failures = [*problems, *(claim.failure() for claim in claims if not claim.holds)]
    failures.sort(key=lambda d: d.span.start if d.span else -1)
    uncentred = misalignments(net.graph, receptive_fields(net.graph))
    return Verdict(spec, (*net.warnings, *uncentred, *failures), tuple(claims), net)


def _line(verdict: Verdict) -> str:
    net = verdict.net
    assert net is not None
    outs = ", ".join("x".join(map(str, shape)) for shape in net.outputs.values())
    held = sum(claim.holds for claim in verdict.claims)
    claims = f", {_held(held, len(verdict.claims))}" if verdict.claims else ""
    mark = "failed" if verdict.errors else "ok"
    head = f"{verdict.spec}: {mark}: {net.params:,} parameters, {net.macs:,} MACs, output {outs}{claims}"
    return "\n".join([head, *(f"  needs {limit}" for limit in net.limits)])


def _held(held: int, claims: int) -> str:
    return f"{held} of {_many(claims, 'claim')} {'holds' if claims == 1 else 'hold'}"


def _many(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
