"""`cnnc fmt`: files rewritten whole or not at all."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from cnnc.cli.common import complete_file, found_specs, guarded, tell
from cnnc.cli.common import write as write_out
from cnnc.cli.files import replace_file
from cnnc.cli.out import say
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.format import format_source
from cnnc.dsl.printable import printable
from cnnc.dsl.read import read_source
from cnnc.dsl.source import Source


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", shell_complete=complete_file)
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 if a file would change.")
@click.option("--diff", "show_diff", is_flag=True, help="Change nothing; print what would change.")
@click.option(
    "--upgrade", is_flag=True, help="Rename what has a name that later became a word of the language."
)
@guarded
def fmt(specs: tuple[str, ...], only_check: bool, show_diff: bool, upgrade: bool) -> None:
    """Put SPECs into the canonical layout, in place; - reads standard input and writes standard output.

    The meaning never changes and comments are kept. Example: cnnc fmt --check specs/
    """
    sys.exit(format_all(specs, only_check=only_check, show_diff=show_diff, upgrade=upgrade))


def format_all(specs: Sequence[str], *, only_check: bool, show_diff: bool, upgrade: bool = False) -> int:
    """Format every spec; the exit code."""
    found = found_specs(specs)
    count, changed, failed = len(found), 0, 0
    for spec, problem in found:
        try:
            if problem is not None:
                raise CnncError([problem])
            write = not (only_check or show_diff)
            changed += _format_one(spec, write=write, show_diff=show_diff, upgrade=upgrade)
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


def _format_one(spec: str, *, write: bool, show_diff: bool, upgrade: bool) -> bool:
    """Format one spec; whether its text differs from the canonical one."""
    source = read_source(spec)
    before = source.text
    if upgrade:
        source = _upgraded(source)
    after = _with_line_ends_of(before, format_source(source))
    if show_diff:
        lines = difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            printable(spec),
            f"{printable(spec)} (formatted)",
        )
        write_out("-", "".join(lines), "")
    elif spec == "-" and write:
        write_out("-", after, "")
        return False
    elif write and before != after:
        replace_file(Path(spec), after.encode("utf8"))
    if before != after and not show_diff:
        ends = before.replace("\r\n", "\n") == after.replace("\r\n", "\n")
        what = " (line ends only)" if ends else ""
        say(f"{'formatted' if write else 'would format'} {spec}{what}", err=True)
    return before != after


def _upgraded(source: Source) -> Source:
    """The text with new names for what may no longer be called so; each is told."""
    from cnnc.compiler.since import VERSION
    from cnnc.compiler.upgrade import upgrade

    text, names = upgrade(source)
    for old, new in names.items():
        say(f"{source.name}: `{old}`, a word of the language since {VERSION}, is now `{new}`", err=True)
    return replace(source, text=text)


def _with_line_ends_of(before: str, after: str) -> str:
    """The formatted text with the line ends that the file has, those of Windows where its first line has them."""
    first = before.partition("\n")[0]
    return after.replace("\n", "\r\n") if first.endswith("\r") else after
