"""`cnnc solve`: which values of a spec's params meet a budget."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import click

from cnnc.cli import out
from cnnc.cli.common import (
    Sizes,
    Values,
    allow_outside,
    by_name,
    guarded,
    heads,
    max_layers,
    spec_options,
    write,
)
from cnnc.solving.solution import Setting, options_of, setting_of, solved
from cnnc.solving.space import Space


@click.command()
@spec_options
@click.option(
    "--vary",
    multiple=True,
    metavar="NAME=A..B",
    help="A param to vary; without it, those with `within` and no -D.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="CLAIMS",
    help="Conditions to meet, as in `expect`, separated by commas.",
)
@click.option(
    "--most", metavar="FIGURE", help="Among the points that fit, maximise this figure.  [default: params]"
)
@click.option("--least", metavar="FIGURE", help="Among the points that fit, minimise this figure.")
@click.option(
    "--sweep", multiple=True, metavar="NAME=A..B:N", help="Print a table over N values instead of searching."
)
@click.option(
    "--front",
    default="macs,params",
    show_default=True,
    help="With --sweep: only the Pareto front, least of the first figure and most of the second.",
)
@click.option("--json", "format", flag_value="json", help="Print the record as JSON.")
@click.option("--csv", "format", flag_value="csv", help="With --sweep: comma-separated values.")
@click.option("-o", "--output", metavar="FILE.cnn", help="Write the spec with the values found.")
@guarded
def solve(
    spec: str, sizes: Sizes, params: Values, vary: tuple[str, ...], where: tuple[str, ...], most: str | None,
    least: str | None, sweep: tuple[str, ...], front: str, format: str | None, output: str | None,
) -> None:  # fmt: skip
    """Find values for the params of SPEC that meet a budget, or say that there are none and why.

    Example: cnnc solve zoo:mobilenet_v2 --vary width=0.25..2 --where "params <= 5M, macs <= 300M"
    """
    if most is not None and least is not None:
        raise click.UsageError("--most and --least: one search is for one of them")
    if sweep and (vary or most or least or output):
        raise click.UsageError("--sweep makes a table: --vary, --most, --least and -o belong to a search")
    if format == "csv" and not sweep:
        raise click.UsageError("--csv requires --sweep")
    if heads():
        raise click.UsageError(
            "--head cannot be combined with solve: its result is a spec; change the head in SPEC"
        )
    source, stem = options_of(spec, allow_outside=allow_outside())
    given = by_name(sizes)
    named = {name: size for name, size in given.items() if name is not None}
    setting = setting_of(
        source, stem, sweep or vary, input=given.get(None) or named or None, params=dict(params),
        max_layers=max_layers(),
    )  # fmt: skip
    progress = _progress(setting.space)
    if sweep:
        _sweep(setting, where, front, format, progress)
        return
    solution = solved(setting, where, most=most, least=least, progress=progress)
    _clear()
    click.echo(json.dumps(solution.to_dict(), indent=1) if format == "json" else solution.text())
    if not solution.found:
        sys.exit(1)
    if output is not None:
        write(output, solution.spec(), "the spec with these values")


def _sweep(
    setting: Setting, where: tuple[str, ...], front: str, format: str | None, progress: Callable[[int], None]
) -> None:
    from cnnc.solving.evaluate import split_commas
    from cnnc.solving.sweep import swept

    names = split_commas(front)
    if len(names) != 2:
        raise click.UsageError("--front takes two figures, such as macs,params")
    found = swept(setting, where, front=(names[0], names[1]), progress=progress)
    _clear()
    if format == "json":
        click.echo(json.dumps(found.to_dict(), indent=1))
    elif format == "csv":
        click.echo(found.to_csv(), nl=False)
    else:
        click.echo(found.text())


def _progress(space: Space) -> Callable[[int], None]:
    """A line on a terminal that counts the points built."""
    return lambda count: out.progress(f"{count:,} of at most {len(space):,} points")


def _clear() -> None:
    out.progress("")
