"""`cnnc live`: a page that shows a spec as it is written."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click

from cnnc.cli.common import allow_outside, allow_outside_option, complete_spec, guarded
from cnnc.cli.out import say
from cnnc.given import ZOO, resolve


@click.command()
@click.argument("spec", required=False, shell_complete=complete_spec)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; 0 for any free one."
)
@click.option("--browser/--no-browser", default=None, help="Open a browser; not by default over SSH.")
@click.option(
    "--proxy",
    metavar="ORIGIN",
    help="Also answer under the name of a proxy that passes the page on, such as https://code.example.org.",
)
@click.option(
    "--export",
    "into",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the page to a folder instead: it needs no server of its own, and can be put on any web server.",
)
@click.option(
    "--parts",
    type=click.Path(file_okay=False, path_type=Path),
    default="browser-parts",
    show_default=True,
    help="Where --export finds what pip does not install; it says what is missing.",
)
@allow_outside_option
@guarded
def live(
    spec: str | None, port: int, browser: bool | None, proxy: str | None, into: Path | None, parts: Path
) -> None:
    """Show SPEC on a page of this machine while it is written, in your own editor or in the page's.

    The page follows what is saved. Its address has a secret in it and can be opened on this machine only. Without SPEC
    it begins with a network of the zoo, and saves nothing. It goes on until Ctrl-C.

    With --export the same page becomes a folder of files in which cnnc runs in the browser, by Pyodide.

    Example: cnnc live vgg16.cnn
    """
    if into is not None:
        if port or browser is not None or proxy is not None:
            raise click.UsageError(
                "--export serves nothing: --port, --browser and --proxy have no meaning with it"
            )
        _export(into, parts, spec)
        return
    if proxy is not None and not re.fullmatch(r"https?://[^/?#@\s]+", proxy):
        raise click.BadParameter("expected an origin: https://host or http://host:port", param_hint="--proxy")
    from cnnc.page.server import Page

    zoo = None if spec is None or not spec.startswith(ZOO) else spec.removeprefix(ZOO)
    if zoo is not None:
        resolve(f"{ZOO}{zoo}")
    try:
        page = Page(
            spec if zoo is None else None, zoo=zoo, port=port, allow_outside=allow_outside(), proxy=proxy
        )
    except OSError as error:
        raise click.UsageError(f"port {port} cannot be listened on: {error.strerror}") from None
    click.echo(f"{page.address}\nCtrl-C ends it")
    sys.stdout.flush()
    if browser if browser is not None else _has_browser():
        import webbrowser

        webbrowser.open(page.address)
    page.serve_forever()


def _export(into: Path, parts: Path, spec: str | None) -> None:
    from cnnc.page.export import export

    size = export(into, parts, spec, lambda step: say(f"{step} …"))
    say(f"{into}: {size / 1e6:.1f} MB at the first visit; try it with python -m http.server -d {into}")


def _has_browser() -> bool:
    """Whether a browser opened here would be seen by who started this."""
    if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"):
        return False
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
