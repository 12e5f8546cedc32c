"""`cnnc check --watch`: stay, check again what is saved, and tell what changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NoReturn

import click

from cnnc.cli.check_run import Options, show
from cnnc.cli.common import found_specs, tell
from cnnc.cli.out import say
from cnnc.cli.verdict import Verdict, check_one, judged, line_of, total_line
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.parse import parse
from cnnc.dsl.printable import printable
from cnnc.dsl.read import read_source
from cnnc.given import ZOO, resolve

_PAUSE = 0.3
"""Seconds between two looks at the files: soon enough for a person, next to nothing for the machine."""
_SETTLE = 0.05
"""Seconds for a save that has begun to be over: many editors empty the file first."""

Stamp = tuple[int, int, int] | None
"""What tells that a file was saved: time, size and inode (an editor may put a new file in its place)."""


def watch_all(specs: Sequence[str], options: Options) -> NoReturn:
    """Check every spec, then again those that are saved or use what is saved, until a signal ends it.

    New specs in the folders are taken up, and those that go are told.
    """
    check = partial(
        check_one, settings=options.settings,
        max_layers=options.max_layers, allow_outside=options.allow_outside, homes=options.homes,
    )  # fmt: skip
    verdicts: dict[str, Verdict] = {}
    reads: dict[str, dict[str, Stamp]] = {}
    first = True
    while True:
        found = found_specs(specs)
        stale = [(spec, problem) for spec, problem in found if _is_stale(reads.get(spec), problem)]
        if stale and not first:
            time.sleep(_SETTLE)
        for spec, _ in stale:
            reads[spec] = {
                file: stamp_of(file) for file in files_of(spec)
            }  # before they are read for the check
        for spec in set(verdicts) - {spec for spec, _ in found}:
            say(f"{spec}: gone")
            del verdicts[spec], reads[spec]
        for verdict in judged(stale, check):
            before = verdicts.get(verdict.spec)
            verdicts[verdict.spec] = verdict
            if before is not None:
                tell_change(before, verdict)
            else:
                show(verdict, line=options.verbose or len(found) == 1 or not first, claims=options.verbose)
        if first:
            click.echo(f"{total_line(verdicts.values())}; watching, Ctrl-C ends it")
            first = False
        time.sleep(_PAUSE)


def tell_change(before: Verdict, after: Verdict) -> None:
    """Print what a save changed: what is mended, what is found now and was not, and the new figures."""
    was = {_identity(f) for f in before.findings}
    now = {_identity(f) for f in after.findings}
    understood = after.figures is not None or before.figures is None  # else its claims were not looked at
    for finding in before.findings if understood else ():
        if _identity(finding) not in now:
            say(f"{after.spec}: mended: {finding.code}: {finding.message}")
    tell([finding for finding in after.findings if _identity(finding) not in was])
    line = line_of(after)
    if line is None:
        left = sum(_identity(f) in was for f in after.findings)
        say(f"{after.spec}: failed" + (f", {left} as before" if left else ""))
    else:
        click.echo(f"{printable(after.spec)}: as before" if line == line_of(before) and was == now else line)


def _identity(finding: Diagnostic) -> tuple[str, str, str]:
    """What makes two findings the same though lines were put in above: the code, message and words marked."""
    return finding.code, finding.message, finding.span.text if finding.span else ""


def _is_stale(reads: Mapping[str, Stamp] | None, problem: Diagnostic | None) -> bool:
    return reads is None or (
        problem is None and any(stamp_of(file) != stamp for file, stamp in reads.items())
    )


def stamp_of(file: str) -> Stamp:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def files_of(spec: str) -> list[str]:
    """The spec's file, and those that it uses, they use, and so on; files that are missing included."""
    try:
        found = [resolve(spec)]
    except CnncError:
        return [spec]
    for file in found:  # grows as it goes
        found += [used for used in _uses(file) if used not in found]
    return found


def _uses(file: str) -> Iterable[str]:
    try:
        statements = parse(read_source(file)).statements
    except CnncError:
        return
    for statement in statements:
        if isinstance(statement, s.Use) and statement.is_file and not statement.origin.startswith(ZOO):
            yield os.path.join(os.path.dirname(file), statement.origin)
