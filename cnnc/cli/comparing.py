"""`cnnc diff`: what changed between two networks, by name."""

from __future__ import annotations

import json
import sys

import click

from cnnc.cli.common import Sizes, Values, complete_spec, guarded, load, spec_options


@click.command()
@spec_options
@click.argument("other", shell_complete=complete_spec)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the stable JSON record; the same as --format json."
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "github-summary"]), default="text",
    help="github-summary: Markdown for $GITHUB_STEP_SUMMARY, with nothing where nothing differs.",
)  # fmt: skip
@click.option("--all", "every", is_flag=True, help="Also list each layer where only the size differs.")
@guarded
def diff(spec: str, other: str, sizes: Sizes, params: Values, as_json: bool, form: str, every: bool) -> None:
    """Compare SPEC with OTHER: layers added, removed and changed, and the totals.

    Exit code 1 when they differ. Example: cnnc diff zoo:resnet50 zoo:resnet50_paper
    """
    from cnnc.backends.table import render_diff, render_summary
    from cnnc.compiler.diff import diff as compare
    from cnnc.compiler.diff import to_json

    found = compare(load(spec, sizes, params).graph, load(other, sizes, params).graph)
    if as_json or form == "json":
        click.echo(json.dumps(to_json(found), indent=1))
    elif form == "text":
        click.echo(render_diff(found, every=every).rstrip("\n"))
    elif not found.equal:
        click.echo(render_summary(found, other).rstrip("\n"))
    sys.exit(0 if found.equal else 1)
