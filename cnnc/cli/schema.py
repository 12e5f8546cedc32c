"""`cnnc schema`: the JSON Schemas of what other commands print."""

from __future__ import annotations

import json

import click

from cnnc.cli.common import guarded
from cnnc.dsl.diagnostics import did_you_mean


@click.command()
@click.argument("name", required=False)
@guarded
def schema(name: str | None) -> None:
    """Print the JSON Schema of the record NAME, or list the records.

    Example: cnnc schema summary
    """
    from cnnc.contracts import CONTRACTS
    from cnnc.contracts import schema as schema_of

    if name is None:
        width = max(map(len, CONTRACTS))
        for key, model in CONTRACTS.items():
            click.echo(f"{key:{width}}  {(model.__doc__ or '').partition(chr(10))[0]}")
        return
    if name not in CONTRACTS:
        hint = did_you_mean(name, CONTRACTS) or f"there are {', '.join(CONTRACTS)}"
        raise click.UsageError(f"no record {name!r}: {hint}")
    click.echo(json.dumps(schema_of(name), indent=1))
