"""`cnnc diff`: what changed between two networks, by name."""

from __future__ import annotations

import json
import sys

import click

from cnnc.cli.common import Sizes, Values, complete_spec, guarded, load, spec_options


@click.command()
@spec_options
@click.argument("other", shell_complete=complete_spec)
@click.option("--json", "as_json", is_flag=True, help="The stable JSON record.")
@guarded
def diff(spec: str, other: str, sizes: Sizes, params: Values, as_json: bool) -> None:
    """Compare SPEC with OTHER: layers added, removed and changed, and the totals.

    Exit code 1 when they differ. Example: cnnc diff zoo:resnet50 zoo:resnet50_paper
    """
    from cnnc.backends.table import render_diff
    from cnnc.compiler.diff import diff as compare
    from cnnc.compiler.diff import to_json

    found = compare(load(spec, sizes, params).graph, load(other, sizes, params).graph)
    click.echo(json.dumps(to_json(found), indent=1) if as_json else render_diff(found).rstrip("\n"))
    sys.exit(0 if found.equal else 1)
