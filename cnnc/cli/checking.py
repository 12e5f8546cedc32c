"""`cnnc check`: all specs of one run, every finding, one summary line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from cnnc.cli.common import (
    Params,
    Size,
    Sizes,
    Values,
    allow_outside,
    allow_outside_option,
    by_name,
    complete_spec,
    found_specs,
    guarded,
    max_layers,
    max_layers_option,
    named_folders,
    tell,
    write,
)
from cnnc.cli.verdict import Verdict, check_one, judged, line_of, total_line
from cnnc.compiler.walk.layers import MAX_LAYERS
from cnnc.dsl.diagnostics import Diagnostic
from cnnc.dsl.record import record

if TYPE_CHECKING:
    from cnnc.cli.lock import Lock

FORMATS = ("text", "json", "github", "junit", "sarif")


@record
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
    sizes: Sizes = ()
    params: Values = ()
    max_layers: int = MAX_LAYERS
    allow_outside: bool = False
    """Whether specs may use files outside their folders."""
    homes: tuple[str, ...] = ()
    """The folders that were named: specs may use what lies in them."""


@click.command()
@click.argument("specs", nargs=-1, metavar="SPEC...", shell_complete=complete_spec)
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print the claims that hold too, with their margins.")
@click.option(
    "--format", type=click.Choice(FORMATS), default="text", show_default=True,
    help="For people, programs, or what shows findings in CI.",
)  # fmt: skip
@click.option("-o", "--output", default="-", metavar="FILE", help="Where a format other than text goes.")
@click.option("--locked", is_flag=True, help="Hold the networks to what `cnnc lock` recorded.")
@click.option("--lock", default="cnnc.lock", show_default=True, metavar="FILE", help="The lock file.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Processes to run; as many as pay if not given."
)
@click.option("--watch", is_flag=True, help="Stay, check again what is saved, and tell what changed.")
@click.option(
    "--input",
    "sizes",
    multiple=True,
    type=Size(),
    metavar="[NAME=]SIZE",
    help="Replace the declared input size.",
)
@click.option(
    "-D", "params", multiple=True, type=Params(), metavar="NAME=VALUE", help="Replace the value of a param."
)
@max_layers_option
@allow_outside_option
@guarded
def check(
    specs: tuple[str, ...], strict: bool, verbose: bool, format: str, output: str, locked: bool,
    lock: str, jobs: int | None, watch: bool, sizes: Sizes, params: Values,
) -> None:  # fmt: skip
    """Hold SPECs to what they claim: every error, warning and failed expectation.

    A folder stands for all .cnn files in it; with --locked alone, the specs of the lock are checked.
    Exit code 1 where anything is wrong.

    Example: cnnc check specs/
    """
    options = Options(
        strict,
        verbose,
        format,
        output,
        lock if locked else None,
        jobs,
        sizes,
        params,
        max_layers(),
        allow_outside(),
        named_folders(specs or [os.path.dirname(lock) or "."]),
    )
    if not specs and not locked:
        raise click.UsageError("Missing argument 'SPEC...'.")
    if locked and (sizes or params):
        raise click.UsageError("--locked holds specs as they are written: --input and -D do not go with it")
    if format == "text" and output != "-":
        raise click.UsageError("-o goes with a --format other than text")
    if watch:
        from cnnc.cli.watching import watch_all

        if format != "text" or "-" in specs or locked:
            raise click.UsageError("--watch goes with files and text, and without --locked")
        watch_all(specs, options)
    sys.exit(check_all(specs, options))


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
    check = partial(
        check_one, sizes=by_name(options.sizes), params=dict(options.params), baseline=lock is not None,
        max_layers=options.max_layers, allow_outside=options.allow_outside, homes=options.homes,
    )  # fmt: skip
    for verdict in judged(found, check, options.jobs):
        yield verdict if lock is None else lock.held(verdict)
    if lock is not None:
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
