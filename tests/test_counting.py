"""`cnnc summary --count`: the totals of other tools, held against the tools themselves and what they printed."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cnnc
from benchmarks import differences
from cnnc.cli.commands import cnnc as command
from cnnc.compiler.counting import TOOLS, count_as

RECORD = json.loads((Path(differences.__file__).parent / "differences.json").read_text())
NAMES = {
    "torchinfo": "torchinfo", "thop": "thop", "ptflops": "ptflops (aten)",
    "ptflops-pytorch": "ptflops (pytorch)", "fvcore": "fvcore",
}  # fmt: skip
"""Ours to those of the stored record."""
WORDS = (
    "conv3-8(act=none)", "conv3-8/2(act=none, bias=no)", "dwconv3(act=none)", "sepconv3-8(act=none)", "tconv2-8/2",
    "fc-10", "linear-8", "bn", "gn(2)", "instancenorm", "lrn5", "relu", "relu6", "leaky(0.1)", "prelu", "elu", "gelu", "silu",
    "softmax", "maxpool3/2(pad=1)", "avgpool2", "gap", "gmp", "adaptiveavgpool2", "upsample(2)", "upsample(2, mode=bilinear)",
    "bias", "scale(1.0)", "local3-8(act=none)", "dropout(0.5)", "[id + conv1-4(act=none)]", "[id & gap]", "sigmoid", "pad(1)",
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_one_layer_as_the_tools_count_it(word: str) -> None:
    """Those that are installed; fvcore and torchinfo are in CI."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchinfo")
    try:
        differences.torchvision_models()  # ptflops imports torchvision
    except ModuleNotFoundError:
        pytest.skip("torchvision is not installed")
    net = cnnc.parse(f"input 4x8x8\n{word}\n")
    tried = 0
    for ours, theirs in NAMES.items():
        module = net.module().eval()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                figures = differences.TOOLS[theirs](module, [torch.zeros(1, 4, 8, 8)])
            except ModuleNotFoundError:
                continue
        tried += 1
        found = count_as(net.graph, ours)
        assert found.unknown == ()
        assert found.operations == figures["macs"], ours
    assert tried


@pytest.mark.parametrize("tool", NAMES)
@pytest.mark.parametrize("name", ["U-Net", "Siamese"])
def test_whole_networks_as_the_tools_printed_them(name: str, tool: str) -> None:
    stored = RECORD["nets"][name][NAMES[tool]]
    found = count_as(differences.net_of(name).graph, tool)
    assert (found.params, found.operations) == (stored["params"], stored["macs"])
    assert found.operations == found.macs + sum(found.beside.values())


@pytest.mark.parametrize("tool", ["torchinfo", "thop", "ptflops", "fvcore"])
def test_resnet_50_is_one_module_here_and_in_torchvision(tool: str) -> None:
    stored = RECORD["nets"]["ResNet-50"][NAMES[tool]]
    assert count_as(cnnc.load("zoo:resnet50").graph, tool).operations == stored["macs"]


def test_keras_has_statistics_among_its_parameters() -> None:
    stored: dict[str, Any] = RECORD["nets"]["MobileNetV2"]["Keras"]
    found = count_as(cnnc.load("zoo:mobilenet_v2").graph, "keras")
    assert (found.params, found.operations) == (stored["params"], None)


def test_the_command() -> None:
    done = CliRunner().invoke(command, ["summary", "zoo:resnet50", "--count", "thop"], catch_exceptions=False)
    assert done.output == (
        "as thop 0.1.1 counts: 25,557,032 parameters, 4,133,742,592 MACs\n"
        "MACs by cnnc: 4,089,184,256\n"
        "  bn: +44,455,936\n"
        "  gap: +102,400\n"
    )
    done = CliRunner().invoke(command, ["summary", "zoo:resnet50", "--count", "thop2"])
    assert done.exit_code == 2
    assert "did you mean `thop`?" in done.output
    done = CliRunner().invoke(
        command, ["summary", "zoo:vgg16", "--count", "fvcore", "--json"], catch_exceptions=False
    )
    assert json.loads(done.output)["operations"] == 15_470_264_320


def test_what_is_not_known_is_said() -> None:
    net = cnnc.parse("input 1x8x8\nconv3-8 -> capsule2-4(of=8)\n")
    assert count_as(net.graph, "thop").unknown == ("capsule",)
    with pytest.raises(cnnc.CnncError, match="E407"):
        count_as(cnnc.parse("input 1xHxW\nconv3-8\n").graph, "thop")


def test_every_tool_is_in_the_help() -> None:
    text = CliRunner().invoke(command, ["summary", "--help"]).output
    assert all(name in text for name in TOOLS)
