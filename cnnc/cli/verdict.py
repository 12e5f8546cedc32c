"""What checking one spec comes to: plain records, fit to travel between processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnc.cli.settings import NONE, Settings
from cnnc.compiler.allow import accepted, idle
from cnnc.compiler.build import check_library, is_library
from cnnc.compiler.expect import Claim, check_claims, plain
from cnnc.compiler.ops.base import by_x
from cnnc.compiler.receptive_field import Fields, misalignments
from cnnc.compiler.sizes import is_free
from cnnc.compiler.walk.layers import MAX_LAYERS
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.parse import parse
from cnnc.dsl.printable import printable
from cnnc.dsl.read import read_source
from cnnc.dsl.record import record
from cnnc.dsl.source import Span
from cnnc.given import resolve, stem_of
from cnnc.net import Net, from_syntax

if TYPE_CHECKING:
    from cnnc.compiler.baseline import Baseline
    from cnnc.dsl.syntax import Spec


@record
class Outcome:
    """One `expect` line: its text, whether it holds, and in words by how much (empty where exact)."""

    text: str
    holds: bool
    margin: str
    span: Span


@record
class Figures:
    """What a network comes to. Counts and sizes over free input sizes are expressions, as text."""

    model: str
    params: int | str
    macs: int | str
    outputs: Mapping[str, tuple[int | str, ...]]
    shapes: tuple[str, ...]
    """The outputs' shapes as they are written: `64x56x56`."""
    needs: tuple[str, ...]
    """Conditions on the free sizes."""
    unknown: Mapping[str, tuple[str, ...]]
    """The layers of which nobody knows the `params` or `macs`: the counts are at least what they say."""


@record
class Verdict:
    """What one spec came to; `settings` are those that a lock records it with."""

    spec: str
    findings: tuple[Diagnostic, ...]
    claims: tuple[Outcome, ...] = ()
    figures: Figures | None = None
    library: int | None = None
    """How many blocks a file declares that has no layers of its own."""
    baseline: Baseline | None = None
    """What a lock would record, where that was asked for."""
    settings: Settings = NONE

    @property
    def name(self) -> str:
        """The spec and its settings, as a command line has them."""
        return f"{self.spec} {self.settings}" if self.settings else self.spec

    @property
    def errors(self) -> int:
        return sum(f.severity == "error" for f in self.findings)

    @property
    def warnings(self) -> int:
        return sum(f.severity == "warning" for f in self.findings)

    def fails(self, *, strict: bool) -> bool:
        """Whether it makes a run fail."""
        return bool(self.errors or (strict and self.warnings))

    def with_finding(self, finding: Diagnostic) -> Verdict:
        """This verdict with one thing more found."""
        return replace(self, findings=(*self.findings, finding))


def check_one(
    spec: str,
    *,
    settings: Settings = NONE,
    baseline: bool = False,
    claims: bool = True,
    max_layers: int = MAX_LAYERS,
    allow_outside: bool = False,
    homes: tuple[str, ...] = (),
) -> Verdict:
    """One spec's verdict; `settings` and the limits as of the command line, `baseline` for a lock; without `claims`
    it is built, and no more; `homes` are folders whose files it may `use` beside those of its own.

    Never raises CnncError: what is wrong is among the findings.
    """
    try:
        path = resolve(spec)
        syntax = parse(read_source(path, allow_outside=allow_outside, homes=homes))
        if is_library(syntax):
            return Verdict(spec, (), library=check_library(syntax))
        net = from_syntax(
            syntax, stem=stem_of(path), sizes=dict(settings.sizes), params=dict(settings.params),
            head=dict(settings.heads), max_layers=max_layers,
        )  # fmt: skip
    except CnncError as error:
        return Verdict(spec, error.diagnostics)
    verdict = Verdict(spec, (), figures=_figures(net), baseline=_baseline(net) if baseline else None)
    return _with_claims(verdict, net, syntax) if claims else verdict


def _with_claims(verdict: Verdict, net: Net, syntax: Spec) -> Verdict:
    """The verdict with what the spec claims, and with what draws a warning."""
    claims, problems = check_claims(net.graph)
    failures = [*problems, *(claim.failure() for claim in claims if not claim.holds)]
    failures.sort(key=lambda d: d.span.start if d.span else -1)
    uncentred, taken = accepted(syntax, misalignments(net.graph, Fields(net.graph)))
    unneeded = idle(syntax, net.graph, (*net.graph.accepted, *taken))
    return replace(
        verdict,
        findings=(*net.warnings, *uncentred, *unneeded, *failures),
        claims=tuple(Outcome(claim.text, claim.holds, margin(claim), claim.span) for claim in claims),
    )


def check_recorded(
    name: str, recorded: Mapping[str, tuple[str, Settings]], settings: Settings, **limits: Any
) -> Verdict:
    """The verdict on what a lock asks for by name, with a baseline: on a spec with the settings given, or on one that
    is `recorded` with others, where the claims, which are those of the spec as it is written, are not asked for again.
    """
    spec, own = recorded.get(name, (name, settings))
    verdict = check_one(spec, settings=own, baseline=True, claims=name not in recorded, **limits)
    return replace(verdict, settings=own)


def judged(
    found: Sequence[tuple[str, Diagnostic | None]], check: Callable[[str], Verdict], jobs: int | None = None
) -> Iterator[Verdict]:
    """The verdict on each of the specs found, in their order, as each is there; in processes where that pays."""
    readable = [spec for spec, problem in found if problem is None]
    if len(readable) > 1 and jobs != 1:
        from cnnc.cli.parallel import in_order

        verdicts = in_order(check, readable, jobs)
    else:
        verdicts = map(check, readable)
    for spec, problem in found:
        yield next(verdicts) if problem is None else Verdict(spec, (problem,))


def told_once(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """The verdicts, without one on a spec with settings where the spec as it is written has the same mistakes."""
    mistakes: dict[str, list[str]] = {}
    for verdict in verdicts:
        found = [finding.render() for finding in verdict.findings] if verdict.figures is None else []
        if found and verdict.settings and mistakes.get(verdict.spec) == found:
            continue
        if not verdict.settings:
            mistakes[verdict.spec] = found
        yield verdict


def _baseline(net: Net) -> Baseline:
    from cnnc.compiler.baseline import baseline

    return baseline(net.graph)


def _figures(net: Net) -> Figures:
    outputs = {name: tuple(map(_count, shape)) for name, shape in net.outputs.items()}
    shapes = tuple(by_x(shape) for shape in net.outputs.values())
    return Figures(
        model=net.name,
        params=_count(net.params),
        macs=_count(net.macs),
        outputs=outputs,
        shapes=shapes,
        needs=(*map(str, net.limits), *net.graph.conditions),
        unknown=net.costs.unknown,
    )


def _count(value: int) -> int | str:
    return repr(value) if is_free(value) else value


def margin(claim: Claim) -> str:
    """By how much a claim holds or fails, in words; empty where it holds exactly or has no figure."""
    if claim.difference:
        way = "more" if claim.difference > 0 else "less"
        least = "at least " if claim.at_least else ""
        return f"it is {least}{plain(claim.left)}, {plain(abs(claim.difference))} {way}"
    return f"it is {plain(claim.left)}" if claim.right is None and claim.left is not None else ""


def line_of(verdict: Verdict) -> str | None:
    """The verdict in a line, and a line for each condition on free sizes; None where there is no network."""
    if verdict.library is not None:
        return f"{printable(verdict.name)}: ok: a library of {many(verdict.library, 'block')}"
    figures = verdict.figures
    if figures is None:
        return None
    outs = ", ".join(figures.shapes)
    claims = f", {_held(verdict.claims)}" if verdict.claims else ""
    mark = "failed" if verdict.errors else "ok"
    params, macs = (
        f"{'at least ' if what in figures.unknown else ''}{_shown(count)}"
        for what, count in (("params", figures.params), ("macs", figures.macs))
    )
    counts = f"{params} parameters, {macs} MACs"
    head = f"{printable(verdict.name)}: {mark}: {counts}, output {outs}{claims}"
    return "\n".join([head, *(f"  needs {condition}" for condition in figures.needs)])


def _shown(count: int | str) -> str:
    return f"{count:,}" if isinstance(count, int) else count


def total_line(verdicts: Iterable[Verdict]) -> str:
    """A run in a line: `12 specs, 30 of 31 claims hold, 1 error`."""
    verdicts = list(verdicts)
    claims = [claim for verdict in verdicts for claim in verdict.claims]
    errors, warnings = sum(v.errors for v in verdicts), sum(v.warnings for v in verdicts)
    parts = [many(len({verdict.spec for verdict in verdicts}), "spec")]
    parts += [_held(claims)] if claims else []
    parts += [many(errors, "error")] if errors else []
    parts += [many(warnings, "warning")] if warnings else []
    return ", ".join(parts)


def _held(claims: Iterable[Outcome]) -> str:
    claims = list(claims)
    verb = "holds" if len(claims) == 1 else "hold"
    return f"{sum(claim.holds for claim in claims)} of {many(len(claims), 'claim')} {verb}"


def many(n: int, noun: str) -> str:
    """`1 spec`, `2 specs`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
