"""What cnnc compiles, imported again: the same network, labels aside."""

from __future__ import annotations

from pathlib import Path

import cnnc
from cnnc.importer.against import difference
from tests.import_oracle import torch

SPECS = Path(cnnc.__file__).parent / "specs"
ZOO = sorted(path.stem for path in SPECS.glob("*.cnn"))


def there_and_back(name: str) -> str | None:
    """The first difference between a shipped spec and what is imported of its compiled module."""
    net = cnnc.load(f"zoo:{name}")
    with torch.device("meta"):
        module = net.module()
    shapes = [net.graph.nodes[i].out for i in net.graph.inputs.values()]
    inputs = [torch.zeros((2, *map(int, shape)), device="meta") for shape in shapes]
    return difference(net.graph, cnnc.from_module(module, inputs).graph)
