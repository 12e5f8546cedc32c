"""`cnnc import`: a PyTorch module as a spec."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli.common import Params, Size, guarded, write
from cnnc.cli.out import progress, say
from cnnc.dsl.diagnostics import fail

if TYPE_CHECKING:
    from cnnc.importer.importing import Imported
    from cnnc.importer.traced import Shape, Traced


@click.command(name="import")
@click.argument("target", metavar="TARGET")
@click.option(
    "--input", "sizes", multiple=True, type=Size(), metavar="SIZE",
    help="An input's size without the batch, such as 3x224x224, or 3xHxW of free sizes; once for each, in their order.",
)  # fmt: skip
@click.option(
    "--arg", "arguments", multiple=True, type=Params(), metavar="NAME=VALUE",
    help="An argument of the factory: a number, True, None, a text, a list.",
)  # fmt: skip
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Where to write; standard output if not given."
)
@click.option(
    "--flat", is_flag=True, help="Every layer on a line of its own: no blocks, repeats and defaults."
)
@click.option(
    "--extern", is_flag=True,
    help="Keep what the language lacks as externs of the modules that it is in, whose classes can be imported.",
)  # fmt: skip
@click.option(
    "--map", "mapping", metavar="FILE", help="Where to write the map of the keys that differ, as JSON."
)
@click.option(
    "--weights", metavar="FILE",
    help="Of a .onnx file: where to write its tensors under the spec's keys, as .safetensors.",
)  # fmt: skip
@guarded
def import_(
    target: str, sizes: tuple[tuple[str | None, str], ...], arguments: tuple[tuple[str, str], ...],
    output: str, mapping: str | None, flat: bool, extern: bool, weights: str | None,
) -> None:  # fmt: skip
    """Write the spec of a PyTorch module as a person would have written it, under the module's own keys.

    TARGET is package.module:factory, whose code is imported and run, in this process and with your rights (needs
    torch); or a file, model.pt2 of torch.export.save or model.onnx (needs onnx), which runs nobody's code. What the
    language has no layer for is an error that names the operator, the module and the line.
    Example: cnnc import torchvision.models:resnet50 --input 3x224x224 -o resnet50.cnn
    """
    if weights is not None and not target.endswith(".onnx"):
        raise click.UsageError(
            "--weights is of a .onnx file: a module's own state dict has a module's weights"
        )
    if any(not part.isdigit() for _, size in sizes for part in size.split("x")):
        imported = _free_import(target, sizes, arguments, extern)
    else:
        with their_errors():
            traced = traced_target(target, sizes, arguments)
        imported = told_import(traced, extern=extern)
    text = imported.text if flat else imported.short()
    write(output, text, f"{len(imported.graph.layers)} layers")
    if weights is not None:
        _write_weights(traced, imported, weights)
    elif not target.endswith(".onnx") or mapping is not None:
        _tell_keys(imported, output, mapping)


def _free_import(
    target: str,
    sizes: tuple[tuple[str | None, str], ...],
    arguments: tuple[tuple[str, str], ...],
    extern: bool,
) -> Imported:
    """The import of a module whose sizes are letters."""
    from cnnc.importer.free import free_spec

    wanted = [tuple(int(n) if n.isdigit() else n for n in size.split("x")) for _, size in sizes]
    if any(isinstance(size[0], str) for size in wanted):
        raise click.UsageError("the channels of an input are a number, as in --input 3xHxW")

    seen: list[Traced] = []

    def trace(shapes: Sequence[Shape]) -> Traced:
        given = tuple((None, "x".join(map(str, shape))) for shape in shapes)
        seen.append(traced_target(target, given, arguments, told=not seen))
        return seen[-1]

    with their_errors():
        return free_spec(trace, lambda traced: told_import(traced, extern=extern), wanted)


def told_import(traced: Traced, *, extern: bool = False) -> Imported:
    """The flat spec of a trace; on a terminal how far it is."""
    from cnnc.importer.importing import flat_spec

    if not sys.stderr.isatty():
        return flat_spec(traced, extern=extern)
    try:
        return flat_spec(traced, _progress, extern=extern)
    finally:
        progress("")


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
    target: str, sizes: tuple[tuple[str | None, str], ...], arguments: tuple[tuple[str, str], ...],
    outputs: int | None = None, *, told: bool = True,
) -> Traced:  # fmt: skip
    """The trace of what the command line names, with so many outputs if it can be. Raises CnncError, TheirError."""
    if target.endswith((".pt2", ".onnx")):
        return _read_file(target, sizes, arguments)
    if ":" not in target:
        hint = "as in torchvision.models:resnet50, or a .pt2 or .onnx file"
        raise fail("E303", f"`{target}` is not package.module:factory", hint=hint)
    shapes = shapes_of(sizes)
    from cnnc.importer.torch_build import literal, torch_version, traced_factory

    given = {name: literal(text) for name, text in arguments}
    written = ", ".join(f"{name}={value!r}" for name, value in given.items())
    if told:
        say(f"running {target}({written}): its own code, in this process", err=True)
    origin = f"imported from {target}({written}), traced by torch {torch_version()}"
    traced: Traced = traced_factory(target, given, shapes, origin, outputs)
    return traced


def _read_file(
    target: str, sizes: tuple[tuple[str | None, str], ...], arguments: tuple[tuple[str, str], ...]
) -> Traced:
    """The trace that a file holds; none of anybody's code runs."""
    from cnnc.importer.onnx_file import read_onnx
    from cnnc.importer.pt2 import read_pt2

    if sizes or arguments:
        raise click.UsageError(f"--input and --arg are of a factory: `{target}` has its sizes in it")
    return (read_onnx if target.endswith(".onnx") else read_pt2)(Path(target))


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
            say(f"{error.doing}: this is its own code's exception", err=True)
            sys.exit(1)


def _write_weights(traced: Traced, imported: Imported, target: str) -> None:
    """The tensors that an output needs, by the spec's keys."""
    try:
        from safetensors.numpy import save
    except ModuleNotFoundError:
        raise fail("E802", "the package safetensors is missing", hint="pip install 'cnnc[onnx]'") from None
    found = {imported.names.get(key, key): array for key, array in traced.tensors.items()}
    kept = {key: array.copy(order="C") for key, array in found.items() if key not in imported.unused}
    write(target, save(kept), f"{len(kept)} tensors")


def _progress(done: int, of: int) -> None:
    if done % 50 == 0:
        progress(f"… {done} of {of} operators")


def _tell_keys(imported: Imported, output: str, mapping: str | None) -> None:
    """Write the map of the keys that differ, and tell of those that the spec lacks."""
    if imported.unused:
        shown = ", ".join(imported.unused[:3]) + (", …" if len(imported.unused) > 3 else "")
        say(f"no output needs {len(imported.unused)} of the module's tensors: {shown}", err=True)
    if mapping is None and imported.names and output != "-":
        mapping = str(Path(output).with_suffix(".map.json"))
    if mapping is not None:
        text = json.dumps(imported.names, indent=1) + "\n"
        write(mapping, text, f"{len(imported.names)} keys that differ, for cnnc weights --map")
    elif imported.names:
        say(f"{len(imported.names)} keys differ from the module's: --map FILE writes them", err=True)
