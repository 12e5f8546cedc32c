"""`cnnc fmt`: files rewritten whole or not at all."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import click

from cnnc.cli.common import found_specs, replace_file, tell
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.format import format_source
from cnnc.dsl.read import read_source


def format_all(specs: Sequence[str], *, only_check: bool, show_diff: bool) -> int:
    """Format every spec; the exit code."""
    changed = failed = count = 0
    for spec in found_specs(specs):
        count += 1
        try:
            changed += _format_one(spec, write=not (only_check or show_diff), show_diff=show_diff)
        except CnncError as error:
            tell(error.diagnostics)
            failed += 1
    if only_check or show_diff:
        verb = "would change"
    else:
        verb = "changed"
    if list(specs) != ["-"]:
        files = "1 file" if count == 1 else f"{count} files"
        click.echo(f"{files}: {changed} {verb}" + (f", {failed} with errors" if failed else ""), err=True)
    return 1 if failed or (changed and (only_check or show_diff)) else 0


def _format_one(spec: str, *, write: bool, show_diff: bool) -> bool:
    """Format one spec; whether its text differs from the canonical one."""
    source = read_source(spec)
    after = format_source(source)
    before = source.text
    if show_diff:
        lines = difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), spec, f"{spec} (formatted)"
        )
        click.echo("".join(lines), nl=False)
    elif spec == "-" and write:
        click.echo(after, nl=False)
        return False
    elif write and before != after:
        replace_file(Path(spec), after.encode("utf8"))
    if before != after and not show_diff:
        click.echo(f"{'formatted' if write else 'would format'} {spec}", err=True)
    return before != after
