"""docs/differences.md: its tables, what they are explained by, and the tools themselves."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from benchmarks import differences

STORED: dict[str, Any] = json.loads(differences.STORED.read_text())
NETS: dict[str, Any] = STORED["nets"]
LAYERS = [name for name in NETS if name != "Functional"]


def test_the_page_has_the_tables_of_the_record() -> None:
    text = differences.DOC.read_text()
    assert differences.page(STORED, text) == text
    for name in NETS:
        assert f"<!-- {name} -->" in text


@pytest.mark.parametrize("name", NETS)
def test_our_figures_in_the_record_are_those_of_today(name: str) -> None:
    assert NETS[name]["cnnc"] == differences.ours(name)


def values(name: str) -> dict[str, int]:
    """How many values flow out of relus, and into and out of pools."""
    graph = differences.net_of(name).graph
    out = dict.fromkeys(("relu", "pooled", "global", "global_out"), 0)
    for node in graph.layers:
        size = 1
        for n in graph.nodes[node.inputs[0]].out:
            size *= n
        match node.op.kind:
            case "relu" | "relu6":
                out["relu"] += size
            case "maxpool" | "avgpool":
                out["pooled"] += size
            case "gap":
                out["global"] += size
                out["global_out"] += node.out[0]
    if name == "VGG-16":  # torchvision's own: from 512x7x7 to itself
        out["global"] += 25_088
        out["global_out"] += 25_088
    return out


CALLED = {"GoogLeNet": ["relu"], "MobileNetV2": ["relu", "global"]}
"""What ptflops counts once: what torchvision's module does by calling a function, and relu6."""


@pytest.mark.parametrize("name", LAYERS)
def test_each_difference_is_what_the_page_says(name: str) -> None:
    row, of = NETS[name], values(name)
    ours = row["cnnc"]
    more = {tool: figures["macs"] - ours["macs"] for tool, figures in row.items() if "macs" in figures}
    bias, norms = ours["bias_adds"], ours["norm_values"]
    assert more["torchinfo"] == bias + ours["norm_params"] + 3 * ours["transposed_macs"]
    pools = 0 if "global" in CALLED.get(name, []) else of["global"] + of["global_out"]
    assert more["thop"] == 4 * norms + 3 * ours["transposed_macs"] + pools
    assert more["ptflops (aten)"] == bias
    assert more["fvcore"] == 2 * norms + of["global"]
    assert more["torch FlopCounterMode"] == ours["macs"]
    twice = sum(
        of[what] * (1 if what in CALLED.get(name, []) else 2) for what in ("relu", "pooled", "global")
    )
    assert more["ptflops (pytorch)"] == bias + 2 * norms + twice


def test_parameters_differ_in_keras_alone_and_where_there_are_no_modules() -> None:
    for name, row in NETS.items():
        for tool, figures in row.items():
            if tool != "Keras" and (name, tool) != ("Functional", "thop"):
                assert figures["params"] == row["cnnc"]["params"]
    norm_params = {name: row["cnnc"]["norm_params"] for name, row in NETS.items()}
    keras = {name: row["Keras"] for name, row in NETS.items() if "Keras" in row}
    for name, figures in keras.items():
        assert figures["params"] - figures["trainable"] == norm_params[name]
    assert keras["VGG-16"]["trainable"] == NETS["VGG-16"]["cnnc"]["params"]
    assert keras["MobileNetV2"]["trainable"] == NETS["MobileNetV2"]["cnnc"]["params"]
    extra = keras["ResNet-50"]["trainable"] - NETS["ResNet-50"]["cnnc"]["params"]
    assert extra == 26_560 == norm_params["ResNet-50"] // 2


def test_functions_are_not_seen_by_all() -> None:
    row = NETS["Functional"]
    assert row["torchinfo"]["macs"] == row["thop"]["macs"] == row["thop"]["params"] == 0
    assert row["fvcore"]["macs"] == row["cnnc"]["macs"]
    assert row["ptflops (aten)"]["macs"] == row["cnnc"]["macs"] + row["cnnc"]["bias_adds"] - 10
    relus, pool = 16 * 32 * 32 + 32 * 16 * 16, 16 * 32 * 32
    assert row["ptflops (pytorch)"]["macs"] == relus + pool


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_the_tools_print_what_the_record_says(name: str) -> None:
    """With the tools installed, at whatever version: a figure that changed is for the page to tell."""
    missing = [p for p in differences.PACKAGES if importlib.util.find_spec(p) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    assert differences.measure([name])["nets"][name] == NETS[name]
