"""`cnnc zoo`: the networks that ship."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cnnc.cli.common import columns, guarded, write
from cnnc.dsl.diagnostics import fail


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
@click.option(
    "--copy", "folder", metavar="FOLDER", help="Copy NAME and the files that it uses into a folder."
)
@guarded
def zoo(name: str | None, as_json: bool, folder: str | None) -> None:
    """List the networks that ship, or print the spec of NAME.

    Every command takes zoo:NAME for a spec. Example: cnnc zoo vgg16 --copy my_specs
    """
    if folder is not None:
        if name is None or as_json:
            raise click.UsageError("--copy takes the NAME of a network, and no --json")
        _copy(name, Path(folder))
    elif name is None:
        _list(as_json)
    else:
        _one(name, as_json)


def _list(as_json: bool) -> None:
    """Every network in a line, as soon as its figures are known."""
    from cnnc.zoo import entries

    found = entries()
    if as_json:
        click.echo(json.dumps([entry.to_dict() for entry in found], indent=1))
        return
    names = max(len(entry.name) for entry in found)
    papers = max(len(entry.paper) for entry in found)
    across = columns()
    if across is not None:
        papers = max(8, min(papers, across - names - 11 - 15 - 4 * 2 - len("3x224x224")))
    click.echo(f"{'name':{names}}  {'paper':{papers}}  {'parameters':>11}  {'MACs':>15}  input"[:across])
    for entry in found:
        net = entry.net
        paper = entry.paper if len(entry.paper) <= papers else f"{entry.paper[: papers - 1]}…"
        line = f"{entry.name:{names}}  {paper:{papers}}  {net.params:>11,}  {net.macs:>15,}  {entry.size}"
        click.echo(line if across is None or len(line) <= across else f"{line[: across - 1]}…")


def _one(name: str, as_json: bool) -> None:
    from cnnc.zoo import entry

    found = entry(name)
    if as_json:
        click.echo(json.dumps({**found.to_dict(), "spec": found.text}, indent=1))
    else:
        click.echo(found.text, nl=False)


def _copy(name: str, folder: Path) -> None:
    """Write the files of a network, each where `use` looks for it.

    Raises CnncError (E703) before anything is written where a file is there already with other text.
    """
    from cnnc.zoo import files_of

    files = {folder / path: text for path, text in files_of(name).items()}
    for path, text in files.items():
        if path.is_file() and path.read_bytes() != text.encode("utf8"):
            raise fail("E703", f"`{path}` is there already, with other text", hint="copy into another folder")
    for path, text in files.items():
        _make_folder(path.parent)
        write(str(path), text, f"{text.count(chr(10))} lines")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fail("E703", f"the folder `{folder}` cannot be made: {error.strerror or error}") from None
