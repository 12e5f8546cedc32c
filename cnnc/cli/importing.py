"""`cnnc import`: a PyTorch module as a spec."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli.common import Params, Size, guarded, write
from cnnc.dsl.diagnostics import fail

if TYPE_CHECKING:
    from cnnc.importer.importing import Imported
    from cnnc.importer.traced import Shape, Traced


@click.command(name="import")
@click.argument("target", metavar="PACKAGE.MODULE:FACTORY")
@click.option(
    "--input", "sizes", multiple=True, type=Size(), metavar="SIZE",
    help="An input's size without the batch, such as 3x224x224; once for each, in their order.",
)  # fmt: skip
@click.option(
    "--arg", "arguments", multiple=True, type=Params(), metavar="NAME=VALUE",
    help="An argument of the factory: a number, True, None, a text, a list.",
)  # fmt: skip
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Where to write; standard output if not given."
)
@click.option(
    "--map", "mapping", metavar="FILE", help="Where to write the map of the keys that differ, as JSON."
)
@guarded
def import_(
    target: str, sizes: tuple[tuple[str | None, str], ...], arguments: tuple[tuple[str, str], ...],
    output: str, mapping: str | None,
) -> None:  # fmt: skip
    """Write the spec of a PyTorch module: the layers that torch.export finds in it, named as its keys are.

    The code that TARGET names is imported and run, in this process and with your rights. What the language has
    no layer for is an error that names the operator, the module and the line. Needs torch.
    Example: cnnc import torchvision.models:resnet50 --input 3x224x224 -o resnet50.cnn
    """
    from cnnc.importer.importing import flat_spec

    with their_errors():
        traced = traced_target(target, sizes, arguments)
    imported = flat_spec(traced, _progress if sys.stderr.isatty() else None)
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    write(output, imported.text, f"{len(imported.graph.layers)} layers")
    _tell_keys(imported, output, mapping)


def shapes_of(sizes: tuple[tuple[str | None, str], ...]) -> list[Shape]:
    """The sizes that --input gives, as numbers."""
    if not sizes:
        raise click.UsageError("give the size of an input, as in --input 3x224x224")
    found = []
    for _, size in sizes:
        parts = size.split("x")
        if not all(part.isdigit() for part in parts):
            raise click.UsageError(f"--input {size}: a module is traced on numbers")
        found.append(tuple(map(int, parts)))
    return found


def traced_target(
    target: str, sizes: tuple[tuple[str | None, str], ...], arguments: tuple[tuple[str, str], ...]
) -> Traced:
    """The trace of what the command line names. Raises CnncError, TheirError."""
    if ":" not in target:
        raise fail(
            "E303", f"`{target}` is not package.module:factory", hint="as in torchvision.models:resnet50"
        )
    shapes = shapes_of(sizes)
    try:
        import torch
    except ImportError:
        hint = "pip install 'cnnc[torch]'"
        raise fail("E802", "importing a module needs torch, which is not installed", hint=hint) from None
    from cnnc.importer.torch_build import literal, traced_factory

    given = {name: literal(text) for name, text in arguments}
    written = ", ".join(f"{name}={value!r}" for name, value in given.items())
    click.echo(f"running {target}({written}): its own code, in this process", err=True)
    origin = f"imported from {target}({written}), traced by torch {torch.__version__.partition('+')[0]}"
    traced: Traced = traced_factory(target, given, shapes, origin)
    return traced


class their_errors:
    """Show an exception of the user's own code whole, once, and end with exit code 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if "torch" not in sys.modules or error is None:
            return
        from cnnc.importer.torch_build import TheirError

        if isinstance(error, TheirError):
            click.echo(error.text.rstrip("\n"), err=True)
            click.echo(f"{error.doing}: this is its own code's exception", err=True)
            sys.exit(1)


def _progress(done: int, of: int) -> None:
    if done % 50 == 0:
        click.echo(f"\r… {done} of {of} operators", nl=False, err=True)


def _tell_keys(imported: Imported, output: str, mapping: str | None) -> None:
    """Write the map of the keys that differ, and tell of those that the spec lacks."""
    if imported.unused:
        shown = ", ".join(imported.unused[:3]) + (", …" if len(imported.unused) > 3 else "")
        click.echo(f"no output needs {len(imported.unused)} of the module's tensors: {shown}", err=True)
    if mapping is None and imported.names and output != "-":
        mapping = str(Path(output).with_suffix(".map.json"))
    if mapping is not None:
        text = json.dumps(imported.names, indent=1) + "\n"
        write(mapping, text, f"{len(imported.names)} keys that differ, for cnnc weights --map")
    elif imported.names:
        click.echo(f"{len(imported.names)} keys differ from the module's: --map FILE writes them", err=True)
