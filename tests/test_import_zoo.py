"""What cnnc compiles, imported again: the same network, labels aside, in a text as short as its author's."""

from __future__ import annotations

from pathlib import Path

import pytest
from handwritten import tokens
from sampling import sampled

import cnnc
from cnnc.importer.against import difference
from cnnc.importer.importing import flat_spec
from cnnc.importer.structure.shorten import Shortening
from cnnc.importer.structure.spell import size
from cnnc.importer.torch_trace import trace_with_heads
from tests.import_oracle import torch

SPECS = Path(cnnc.__file__).parent / "specs"
ZOO = sorted(path.stem for path in SPECS.glob("*.cnn") if path.stem != "std")
ANOTHER_WAY = {
    "ssd300_vgg16": "is concat, and permute in the module",  # boxes joined before they are turned
    "crnn": "is reshape, and squeeze in the module",  # a map of one row
    "mnist_800_dropout": "is dropout, and flatten in the module",  # a view is written where a layer needs it
    "yolov8n": "is wired otherwise",  # which half of a chunk is written first
}
"""Specs whose module says the same with other layers."""
WITH_VALUES = ("lenet5_1998",)
"""Specs whose module holds constants that the spec has: which map sees which."""
SHORTER = 1.25
"""How many times as many tokens as its author's an imported spec may have."""
LONG = [name for name in ZOO if "1001" in name or "1202" in name]


@pytest.mark.parametrize("name", sampled(ZOO, 40, slow=[*LONG, *ANOTHER_WAY]))
def test_a_compiled_spec_is_imported_as_it_was(name: str) -> None:
    net = cnnc.load(f"zoo:{name}")
    with torch.device("cpu" if name in WITH_VALUES else "meta"):
        module = net.module()
    shapes = [tuple(map(int, net.graph.nodes[i].out)) for i in net.graph.inputs.values()]
    made = flat_spec(trace_with_heads(module, shapes, name))
    found = difference(net.graph, made.graph)
    wanted = ANOTHER_WAY.get(name)
    assert found is None if wanted is None else found is not None and wanted in found
    shortening = Shortening(made.graph, "keys", made.classes)
    text = shortening.text()
    assert not shortening.problems
    assert size(text) <= SHORTER * tokens(SPECS / f"{name}.cnn")
