"""What other tools print for the same networks: the tables of docs/differences.md.

    python -m benchmarks.differences            measure; needs torch, torchvision and the tools
    python -m benchmarks.differences --doc      write the tables from differences.json alone

Everything is measured on one image on the CPU, in evaluation. A tool's figure is what it returns,
unrounded; where it fails on a network, its words stand there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cnnc
from benchmarks.peers import torchvision_models

HERE = Path(__file__).parent
STORED = HERE / "differences.json"
DOC = HERE.parent / "docs" / "differences.md"

FUNCTIONAL = """\
model functional
input 3x32x32
conv3-16 -> maxpool -> conv3-32 -> gap -> fc-10
"""

SPECS: Mapping[str, tuple[str, str | None]] = {
    "VGG-16": ("zoo:vgg16", None),
    "ResNet-50": ("zoo:resnet50", None),
    "GoogLeNet": ("zoo:googlenet_torchvision", None),
    "MobileNetV2": ("zoo:mobilenet_v2", None),
    "U-Net": ("zoo:unet", "1x188x188"),
    "Siamese": ("zoo:siamese", None),
    "Functional": (FUNCTIONAL, None),
}
"""The networks: a spec, and the size of the input where it is not the spec's own."""

TORCHVISION = {
    "VGG-16": "vgg16",
    "ResNet-50": "resnet50",
    "GoogLeNet": "googlenet",
    "MobileNetV2": "mobilenet_v2",
}
"""Those that torchvision has are measured on its module; the others on the one that cnnc writes."""
KERAS = {"VGG-16": "VGG16", "ResNet-50": "ResNet50", "MobileNetV2": "MobileNetV2"}
PACKAGES = ("torch", "torchvision", "torchinfo", "thop", "ptflops", "fvcore", "keras")

Figures = dict[str, Any]
"""`params` and `macs` as a tool prints them, or `error`."""


def net_of(name: str) -> cnnc.Net:
    spec, size = SPECS[name]
    if spec.startswith("zoo:"):
        return cnnc.load(spec, input=size)
    return cnnc.parse(spec, name=f"{name}.cnn")


def ours(name: str) -> Figures:
    """What cnnc says, and the parts that explain what the others say."""
    net = net_of(name)
    total = net.costs.total
    transposed = sum(
        cost.macs
        for node, cost in zip(net.graph.nodes, net.costs.nodes, strict=True)
        if node.op.kind == "tconv"
    )
    norms = [node for node in net.graph.nodes if node.op.kind == "bn"]
    return {
        "params": total.params,
        "macs": total.macs,
        "bias_adds": total.flops - 2 * total.macs,
        "transposed_macs": transposed,
        "norm_params": sum(net.costs.nodes[node.index].params for node in norms),
        "norm_values": sum(net.costs.nodes[node.index].activations for node in norms),
    }


# --- the modules ------------------------------------------------------------------------


def functional_module() -> Any:
    """The spec of FUNCTIONAL without layers: weights on one module, and functions."""
    import torch
    import torch.nn.functional as F

    class Functional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            parameter = torch.nn.Parameter
            self.w1, self.b1 = parameter(torch.randn(16, 3, 3, 3)), parameter(torch.zeros(16))
            self.w2, self.b2 = parameter(torch.randn(32, 16, 3, 3)), parameter(torch.zeros(32))
            self.w3, self.b3 = parameter(torch.randn(10, 32)), parameter(torch.zeros(10))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.max_pool2d(F.relu(F.conv2d(x, self.w1, self.b1, padding=1)), 2)
            x = F.relu(F.conv2d(x, self.w2, self.b2, padding=1))
            return x.mean((2, 3)) @ self.w3.T + self.b3

    return Functional()


def module_of(name: str) -> Any:
    if name in TORCHVISION:
        options = {"aux_logits": False, "init_weights": False} if name == "GoogLeNet" else {}
        return getattr(torchvision_models(), TORCHVISION[name])(weights=None, **options)
    return functional_module() if name == "Functional" else net_of(name).module()


# --- the tools --------------------------------------------------------------------------


def by_torchinfo(module: Any, inputs: list[Any]) -> Figures:
    import torchinfo

    found = torchinfo.summary(module, input_data=inputs, verbose=0)
    return {"params": found.total_params, "macs": found.total_mult_adds}


def by_thop(module: Any, inputs: list[Any]) -> Figures:
    import thop

    macs, params = thop.profile(module, inputs=tuple(inputs), verbose=False)
    return {"params": int(params), "macs": int(macs)}


def by_ptflops(backend: str) -> Callable[[Any, list[Any]], Figures]:
    def measure(module: Any, inputs: list[Any]) -> Figures:
        import inspect

        import ptflops

        names = inspect.signature(module.forward).parameters
        macs, params = ptflops.get_model_complexity_info(
            module, tuple(inputs[0].shape[1:]), as_strings=False, print_per_layer_stat=False, verbose=False,
            backend=backend, input_constructor=lambda _: dict(zip(names, inputs, strict=True)),
        )  # fmt: skip
        return {"params": params, "macs": macs}

    return measure


def by_fvcore(module: Any, inputs: list[Any]) -> Figures:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    found = FlopCountAnalysis(module, tuple(inputs))
    found.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return {"params": parameter_count(module)[""], "macs": int(found.total())}


def by_torch(module: Any, inputs: list[Any]) -> Figures:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return {"params": sum(p.numel() for p in module.parameters()), "macs": counter.get_total_flops()}


def by_keras(name: str) -> Figures:
    """keras.applications' network of that name; its `summary()` counts parameters only."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    model = getattr(keras.applications, KERAS[name])(weights=None)
    trainable = sum(int(weight.value.numel()) for weight in model.trainable_weights)
    return {"params": model.count_params(), "trainable": trainable}


TOOLS: Mapping[str, Callable[[Any, list[Any]], Figures]] = {
    "torchinfo": by_torchinfo,
    "thop": by_thop,
    "ptflops (pytorch)": by_ptflops("pytorch"),
    "ptflops (aten)": by_ptflops("aten"),
    "fvcore": by_fvcore,
    "torch FlopCounterMode": by_torch,
}


def measure(names: list[str] | None = None) -> dict[str, Any]:
    """The record that differences.json holds; of some networks only where `names` says so."""
    import torch

    nets: dict[str, Any] = {}
    for name in names or list(SPECS):
        row = {"cnnc": ours(name)}
        for tool, count in TOOLS.items():
            torch.manual_seed(0)
            module = module_of(name).eval()  # a fresh one: some tools leave their hooks behind
            inputs = [torch.zeros(1, *shape) for shape in net_of(name).inputs.values()]
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    row[tool] = count(module, inputs)
                except Exception as error:
                    row[tool] = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        if name in KERAS:
            row["Keras"] = by_keras(name)
        nets[name] = row
    return {"versions": {package: version(package) for package in PACKAGES}, "nets": nets}


# --- the page ---------------------------------------------------------------------------


def table(record: Mapping[str, Any], name: str) -> str:
    """A network's rows: parameters, the count that the tool calls MACs or FLOPs, and its distance from ours."""
    row = record["nets"][name]
    wanted = row["cnnc"]
    lines = ["| tool | parameters | count | more than the MACs |", "|---|--:|--:|--:|"]
    for tool, figures in row.items():
        if "error" in figures:
            lines.append(f"| {tool} | | {figures['error']} | |")
            continue
        macs = figures.get("macs")
        params = f"{figures['params']:,}"
        if figures.get("trainable", figures["params"]) != figures["params"]:
            params += f" ({figures['trainable']:,} trainable)"
        cells = [params, "" if macs is None else f"{macs:,}"]
        if macs is None:
            cells.append("")
        else:
            more = macs - wanted["macs"]
            cells.append(f"{more:+,}" if more else "0")
        lines.append("| " + " | ".join([tool, *cells]) + " |")
    return "\n".join(lines)


def versions(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{package} {number}" for package, number in record["versions"].items())


def page(record: Mapping[str, Any], text: str) -> str:
    """The page with its tables, between the marks that name them, as the record has them."""

    def put(mark: re.Match[str]) -> str:
        name = mark[1]
        body = versions(record) if name == "versions" else table(record, name)
        return f"<!-- {name} -->\n{body}\n<!-- end -->"

    return re.sub(r"<!-- ([^>]*?) -->\n.*?<!-- end -->", put, text, flags=re.DOTALL)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.differences", description=__doc__)
    parser.add_argument("--doc", action="store_true", help="measure nothing; write the tables anew")
    if not parser.parse_args(arguments).doc:
        STORED.write_text(json.dumps(measure(), indent=1) + "\n")
    DOC.write_text(page(json.loads(STORED.read_text()), DOC.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
