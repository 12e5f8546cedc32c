"""What `cnnc check` does once it knows what is asked: check every spec, and tell what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli.common import found_specs, tell, write
from cnnc.cli.settings import NONE, Settings
from cnnc.cli.verdict import Verdict, check_one, check_recorded, judged, line_of, told_once, total_line
from cnnc.compiler.walk.layers import MAX_LAYERS
from cnnc.dsl.diagnostics import Diagnostic
from cnnc.dsl.record import record

if TYPE_CHECKING:
    from cnnc.cli.lock import Lock


@record(kw_only=True)
class Options:
    """How to check, and how to tell."""

    strict: bool = False
    verbose: bool = False
    format: str = "text"
    output: str = "-"
    lock: str | None = None
    """The lock file to hold the networks to."""
    jobs: int | None = None
    """The number of processes; None: as many as pay."""
    settings: Settings = NONE
    max_layers: int = MAX_LAYERS
    allow_outside: bool = False
    """Whether specs may use files outside their folders."""
    homes: tuple[str, ...] = ()
    """The folders that were named: specs may use what lies in them."""


def check_all(specs: Sequence[str], options: Options) -> int:
    """Check every spec and tell what was found; the exit code."""
    lock = None
    if options.lock is not None:
        from cnnc.cli.lock import read_lock

        lock = read_lock(options.lock)
        specs = specs or lock.paths
    found = found_specs(specs)
    alone = len(found) == 1
    verdicts = []
    for verdict in verdicts_on(found, options, lock):
        verdicts.append(verdict)
        if options.format == "text":
            show(verdict, line=options.verbose or alone, claims=options.verbose)
    failed = any(verdict.fails(strict=options.strict) for verdict in verdicts)
    if options.format != "text":
        from cnnc.cli.formats import render

        write(options.output, render(verdicts, options.format, strict=options.strict), options.format)
        click.echo(total_line(verdicts), err=True)
    elif len(verdicts) != 1 or failed:
        click.echo(total_line(verdicts), err=failed)
    return 1 if failed else 0


def verdicts_on(
    found: Sequence[tuple[str, Diagnostic | None]], options: Options, lock: Lock | None = None
) -> Iterator[Verdict]:
    """The verdicts on what `found_specs` found, in its order, then those on specs that the lock has and nobody else."""
    limits: dict[str, Any] = {
        "max_layers": options.max_layers,
        "allow_outside": options.allow_outside,
        "homes": options.homes,
    }
    if lock is None:
        yield from judged(found, partial(check_one, settings=options.settings, **limits), options.jobs)
        return
    found, recorded = lock.asked(found, options.settings)
    check = partial(check_recorded, recorded=recorded, settings=options.settings, **limits)
    for verdict in told_once(judged(found, check, options.jobs)):
        yield lock.held(verdict)
    yield from lock.gone()


def show(verdict: Verdict, *, line: bool = False, claims: bool = False) -> None:
    """Print a verdict: its findings, its line, and the claims that hold."""
    tell(verdict.findings)
    text = line_of(verdict)
    if line and text is not None:
        click.echo(text)
    for claim in verdict.claims if claims else ():
        if claim.holds:
            click.echo(f"  holds: {claim.text}" + (f"  ({claim.margin})" if claim.margin else ""))
