"""`cnnc --version`: what a report of a mistake should say."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from cnnc.dsl.version import VERSION

_MATTER = ("click", "pydantic", "networkx", "graphviz", "pygraphviz", "torch")
"""The packages on which it depends what is printed or written; torch is looked up, never imported."""


def print_versions(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the versions and end, where that was asked for."""
    if not wanted or ctx.resilient_parsing:
        return
    click.echo(f"cnnc {VERSION}")
    click.echo(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in _MATTER:
        try:
            click.echo(f"{name} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"{name} not installed")
    ctx.exit()
