"""`cnnc compile`, `cnnc expand` and `cnnc fold`: a spec as a program, a record, its flat core, or as short as can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnc.cli.common import Sizes, Values, file_name, guarded, load, spec_options, tell, write
from cnnc.dsl.diagnostics import fail

if TYPE_CHECKING:
    from cnnc.net import Net


@click.command()
@spec_options
@click.option("-o", "--output", metavar="FILE", help="Where to write; - for standard output.")
@click.option(
    "--to", "target", default="pytorch", show_default=True,
    type=click.Choice(["pytorch", "onnx", "dot", "svg", "png", "pdf", "json", "core"]), help="What to write.",
)  # fmt: skip
@click.option(
    "--for", "purpose", type=click.Choice(["training", "inference"]),
    help="inference: the second form, faster and not for training, which loads the same weights by its "
    "function `convert`. training: the plain form.",
)  # fmt: skip
@click.option(
    "--checkpoint",
    type=click.Choice(["blocks"]),
    help="With --for training: compute the blocks' inner values again in the backward pass; less memory.",
)
@click.option(
    "--features", metavar="LABEL,…",
    help="Return the tensors at these labels as a named tuple, and compute nothing beyond them: --features layer2,layer4",
)  # fmt: skip
@click.option(
    "--stages", type=click.IntRange(min=1), metavar="N",
    help="Cut into N stages of equal work, with `pipeline` and `shard` for several GPUs.",
)  # fmt: skip
@click.option(
    "--weights", type=click.Path(path_type=Path), metavar="FILE",
    help="With --to onnx: the weights to write, .safetensors or a state dict saved by torch; else fresh ones.",
)  # fmt: skip
@guarded
def compile(
    spec: str, sizes: Sizes, params: Values, output: str | None, target: str, purpose: str | None,
    checkpoint: str | None, features: str | None, stages: int | None, weights: Path | None,
) -> None:  # fmt: skip
    """Write the PyTorch module of SPEC as NAME.py in the current folder.

    The file is standalone: it imports torch only. Example: cnnc compile vgg16.cnn -o models/vgg16.py
    """
    if purpose is not None and target != "pytorch":
        raise click.UsageError(f"--for requires --to pytorch, not --to {target}")
    if checkpoint is not None and purpose != "training":
        raise click.UsageError("--checkpoint requires --for training")
    if stages is not None and (target != "pytorch" or purpose == "inference" or checkpoint):
        raise click.UsageError("--stages requires --to pytorch, without --for inference or --checkpoint")
    if weights is not None and target != "onnx":
        raise click.UsageError("--weights requires --to onnx: other files contain no weights")
    net = load(spec, sizes, params)
    tell(net.warnings)
    if features is not None:
        net = net.features(*(label.strip() for label in features.split(",") if label.strip()))
    endings = {"pytorch": "py", "core": "core.cnn"}
    path = output or f"{file_name(net.name)}.{endings.get(target, target)}"
    if target == "pytorch":
        from cnnc.backends.pytorch.form import form_of
        from cnnc.backends.pytorch.write import written
        from cnnc.compiler.cost import costs

        form = form_of(
            "inference" if purpose == "inference" else "checkpoint" if checkpoint else None, stages
        )
        formed = form.of(net.graph)
        source, counted = written(formed, form.note), costs(formed.graph)
        counts = f"{counted.told('params')} parameters, {counted.told('macs')} MACs"
        saving = _saving(net) if checkpoint else ""
        write(path, source, f"{counts}, {source.count(chr(10))} lines{saving}")
    elif target == "onnx":
        _write_onnx(net, path, weights)
    elif target == "json":
        write(path, json.dumps(net.to_dict(), indent=1) + "\n", "summary")
    elif target == "core":
        write(path, net.expand(), "flat core")
    else:
        write(path, net.draw(target), "diagram")


def _saving(net: Net) -> str:
    """What checkpointing spares, which is nothing where the largest block stands last; empty where it is not known."""
    if net.graph.free:
        return ""
    plain, again = (net.plan(batch=32, train="sgd", checkpoint=way).memory for way in (False, True))
    if plain.unknown:
        return ""
    return (
        f"; a step of training (SGD, batch 32) holds {again.peak / plain.peak:.2f} of the plain form's memory"
    )


def _write_onnx(net: Net, path: str, weights: Path | None) -> None:
    """The ONNX file; where onnxruntime is installed its outputs are compared with the module's first."""
    from cnnc.backends.pytorch.runtime_onnx import difference, to_onnx
    from cnnc.backends.pytorch.runtime_weights import read_tensors

    state = None
    if weights is not None:
        fitting = net.fit(read_tensors(weights))
        if fitting.fresh:
            click.echo(f"{weights}: {fitting}", err=True)
        state = {**net.module().state_dict(), **fitting.state}
    data = to_onnx(net.graph, state)
    found = difference(net.graph, data, state)
    told = "not compared: onnxruntime is not installed" if found is None else "as the module in onnxruntime"
    if found is not None and not found <= MOST_DIFFERENCE:
        message = f"onnxruntime's outputs differ from the module's by {found:.1e} of the largest value"
        raise fail("E801", message, hint="please report it with the spec")
    write(path, data, f"{net.costs.told('params')} parameters, {len(data):,} bytes, {told}")


MOST_DIFFERENCE = 1e-4
"""Between onnxruntime and torch, in shares of an output's largest value: sums in float32 in another order."""


@click.command()
@spec_options
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Where to write; standard output if not given."
)
@guarded
def expand(spec: str, sizes: Sizes, params: Values, output: str) -> None:
    """Print SPEC as its flat core: every layer named and explicit.

    The output is itself a spec with the same meaning. Example: cnnc expand zoo:resnet50
    """
    net = load(spec, sizes, params)
    tell(net.warnings)
    write(output, net.expand(), "flat core")


@click.command()
@spec_options
@click.option(
    "--names", default="keys", show_default=True, type=click.Choice(["keys", "none"]),
    help="keys: the same keys in the state dict, so that the same weights load. none: only inputs and outputs keep "
    "their names.",
)  # fmt: skip
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Where to write; standard output if not given."
)
@guarded
def fold(spec: str, sizes: Sizes, params: Values, names: str, output: str) -> None:
    """Print SPEC as short as it can be written: the way back from its flat core.

    Repeats, blocks, comprehensions, shortcuts and defaults are found in the network, not in the text, and what is
    printed has the same graph, layer by layer. Params have the values that they have; comments and claims are left
    out. Example: cnnc fold vgg16.cnn
    """
    net = load(spec, sizes, params)
    write(output, net.fold(names="none" if names == "none" else "keys"), "folded spec")
