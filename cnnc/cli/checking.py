"""`cnnc check`: all specs of one run, every finding, one summary line."""

from __future__ import annotations

import os
import sys

import click

from cnnc.cli.check_run import Options, check_all
from cnnc.cli.common import (
    Sizes,
    Values,
    allow_outside,
    allow_outside_option,
    complete_spec,
    guarded,
    max_layers,
    max_layers_option,
    named_folders,
    setting_options,
    settings_of,
)
from cnnc.cli.project import LOCK_HELP, lock_path

FORMATS = ("text", "json", "github", "junit", "sarif")


@click.command()
@click.argument("specs", nargs=-1, metavar="SPEC...", shell_complete=complete_spec)
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@click.option("-v", "--verbose", is_flag=True, help="Also print the claims that hold, with their margins.")
@click.option(
    "--format", type=click.Choice(FORMATS), default="text", show_default=True,
    help="text for people, json for programs, the others for CI services.",
)  # fmt: skip
@click.option(
    "-o",
    "--output",
    default="-",
    metavar="FILE",
    help="Write the result to this file (not for --format text).",
)
@click.option("--locked", is_flag=True, help="Compare the networks with what `cnnc lock` recorded.")
@click.option("--lock", metavar="FILE", help=LOCK_HELP)
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Number of processes; chosen automatically if not given."
)
@click.option(
    "--watch", is_flag=True, help="Keep running, check what is saved again, and report what changed."
)
@setting_options
@max_layers_option
@allow_outside_option
@guarded
def check(
    specs: tuple[str, ...], strict: bool, verbose: bool, format: str, output: str, locked: bool,
    lock: str | None, jobs: int | None, watch: bool, sizes: Sizes, params: Values,
) -> None:  # fmt: skip
    """Check SPECs: report every error, warning and failed expectation.

    A folder stands for all .cnn files in it; with --locked alone, the specs of the lock are checked.
    Records made with -D, --input or --head are compared at each --locked; give the same options to compare
    one of them alone. Exit code 1 where anything is wrong.

    Example: cnnc check specs/
    """
    path = lock or lock_path(specs)
    options = Options(
        strict=strict,
        verbose=verbose,
        format=format,
        output=output,
        lock=path if locked else None,
        jobs=jobs,
        settings=settings_of(sizes, params),
        max_layers=max_layers(),
        allow_outside=allow_outside(),
        homes=named_folders(specs or [os.path.dirname(path) or "."]),
    )
    if not specs and not locked:
        raise click.UsageError("Missing argument 'SPEC...'.")
    if format == "text" and output != "-":
        raise click.UsageError("-o requires a --format other than text")
    if watch:
        from cnnc.cli.watching import watch_all

        if format != "text" or "-" in specs or locked:
            raise click.UsageError("--watch is for files and text output, without --locked")
        watch_all(specs, options)
    sys.exit(check_all(specs, options))
