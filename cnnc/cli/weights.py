"""`cnnc weights`: a file of weights held against a spec, and its names made to fit."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from cnnc.backends.pytorch.fitting import as_written, unfitting
from cnnc.backends.pytorch.runtime_weights import map_text, read_map, read_shapes, write_renamed
from cnnc.backends.pytorch.weights import (
    STAGES,
    Comparison,
    common_prefix,
    compare,
    guess_map,
    wanted_tensors,
    with_axis,
)
from cnnc.cli.common import Sizes, Values, guarded, load, spec_options, tell, write
from cnnc.cli.out import say
from cnnc.compiler.ops import Shape, by_x
from cnnc.dsl.diagnostics import Diagnostic, did_you_mean, fail
from cnnc.dsl.printable import printable


@click.command()
@spec_options
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--map",
    "mapping",
    type=click.Path(path_type=Path),
    metavar="MAP",
    help="Rename FILE's tensors by MAP first.",
)
@click.option(
    "--write-map",
    "guess",
    metavar="MAP",
    help="Guess a map for the names that differ and write it (.json or .txt).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the weights under the names of --map.",
)
@click.option(
    "--strip",
    metavar="PREFIX",
    help="Take PREFIX off FILE's names first, as in --strip module., or --strip stage*. with any number.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@guarded
def weights(
    spec: str, sizes: Sizes, params: Values, file: Path, mapping: Path | None, guess: str | None,
    output: Path | None, strip: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare the tensors of FILE with SPEC: those missing, extra, or of another shape. Exit code 1 if any.

    FILE is .safetensors, which needs no torch, or a state dict saved by torch. A map's lines are
    `theirs -> ours`. With --head or --input, FILE is compared with SPEC as written, and the tensors
    that the network so changed leaves out are named. Example: cnnc weights zoo:resnet50 resnet50.pth
    """
    if output is not None and mapping is None and strip is None:
        raise click.UsageError("-o requires --map or --strip: without new names there is nothing to write")
    if mapping is not None and strip is not None:
        raise click.UsageError("--map and --strip both rename: give one of them")
    net = load(spec, sizes, params)
    written = as_written(net.graph)
    wanted, unknown = wanted_tensors(written)
    found = read_shapes(file)
    names: dict[str, str] = {}
    if mapping is not None:
        names = read_map(mapping)
        found = _renamed(found, names, str(mapping))
    elif strip is not None:
        names = _stripped(found, strip, file)
        found = _renamed(found, names, f"--strip {strip}")
    compared = compare(wanted, found, unknown)
    left_out = unfitting(net.graph, found) if written is not net.graph and compared.holds else {}
    record = {**_record(compared), "left_out": left_out}
    click.echo(json.dumps(record, indent=1) if as_json else _told(compared, file, left_out))
    prefix = common_prefix(wanted, found)
    if prefix is not None and not as_json:
        made = "a module in stages has them" if prefix == STAGES else "a wrapper leaves them"
        say(f"every name begins with `{prefix}`, as {made}: try --strip {shlex.quote(prefix)}", err=True)
    if unknown and not as_json:
        tell(
            [Diagnostic("N702", f"the tensors of {', '.join(unknown)} are known to their package only", None)]
        )
    if guess is not None:
        pairs = guess_map(wanted, found)
        write(guess, map_text(pairs, Path(guess)), f"{len(pairs)} names, a guess by order and shape")
    if output is not None:
        write(str(output), write_renamed(file, output, names), f"{len(found)} tensors")
    sys.exit(not compared.holds)


def _stripped(found: Mapping[str, Shape], prefix: str, file: Path) -> dict[str, str]:
    """The names without a prefix, by those that have it. Raises CnncError (E203) where none has."""
    pattern = re.compile(re.escape(prefix).replace(r"\*", r"\d+"))
    names = {name: name[match.end() :] for name in found if (match := pattern.match(name))}
    if not names:
        raise fail("E203", f"no tensor of `{file}` begins with `{prefix}`", hint=did_you_mean(prefix, found))
    return names


def _renamed(found: Mapping[str, Shape], names: Mapping[str, str], mapping: str) -> dict[str, Shape]:
    """The tensors under their new names. Raises CnncError (E203) where the map names none, or two get one name."""
    for name in names:
        if name not in found:
            hint = did_you_mean(name, found)
            raise fail("E203", f"`{mapping}` renames `{name}`, which is not in the file", hint=hint)
    renamed = {
        names.get(name, name): with_axis(name, shape) if name in names else shape
        for name, shape in found.items()
    }
    if len(renamed) < len(found):
        kept = {name for name in found if name not in names}
        twice = next(new for new in names.values() if new in kept)
        raise fail("E204", f"`{mapping}` calls a second tensor `{twice}`")
    return renamed


def _told(compared: Comparison, file: Path, left_out: Mapping[str, str | None]) -> str:
    """The differences, one a line, and the count; those that another head or input leaves out."""
    lines = [f"missing  {name}  {_size(shape)}" for name, shape in compared.missing]
    lines += [f"extra    {name}  {_size(shape)}" for name, shape in compared.extra]
    lines += [
        f"shape    {name}  {_size(ours)} in the spec, {_size(theirs)} in the file"
        for name, ours, theirs in compared.shapes
    ]
    counts = f"{len(compared.missing)} missing, {len(compared.extra)} extra, {len(compared.shapes)} of another shape"
    verdict = "all of the spec's" if compared.holds else counts
    lines += [f"left out {name}  {shape} here" for name, shape in left_out.items()]
    rest = f"; {len(left_out)} left out here" if left_out else ""
    return "\n".join(map(printable, [*lines, f"{file}: {compared.fitting} tensors fit, {verdict}{rest}"]))


def _size(shape: Shape) -> str:
    return by_x(shape) or "a number"


def _record(compared: Comparison) -> dict[str, object]:
    return {
        "fitting": compared.fitting,
        "missing": dict(compared.missing),
        "extra": dict(compared.extra),
        "shapes": {name: {"spec": ours, "file": theirs} for name, ours, theirs in compared.shapes},
    }
