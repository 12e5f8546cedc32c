"""`cnnc lsp`: a language server for editors."""

from __future__ import annotations

import sys

import click


@click.command()
@click.option(
    "--stdio",
    is_flag=True,
    help="Use standard input and output; the only way, and accepted because editors pass it.",
)
def lsp(stdio: bool) -> None:
    """Serve an editor by the Language Server Protocol, on standard input and output.

    Editors start it themselves: docs/editors.md has their lines. Example: cnnc lsp --stdio
    """
    from cnnc.lsp.server import serve

    sys.exit(serve())
