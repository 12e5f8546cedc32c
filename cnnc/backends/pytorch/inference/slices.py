"""How many images the inference form takes at a time.

On a CPU the maps of a few images fit the cache, those of a batch do not. The fully-connected
layers at the end have few values for each image and many weights, which are read once for the batch.
"""

from __future__ import annotations

from math import prod

from cnnc.backends.pytorch.body import Slices
from cnnc.compiler.cost import peak_memory
from cnnc.compiler.graph import Graph

CACHE = 32 * 2**20
"""The bytes that maps may take: the last cache of common servers."""


def slices(graph: Graph) -> Slices | None:
    """A power of two, by the peak memory of the maps in float32; None where the batch is better left whole.

    So it is where sizes are free, where there are several inputs, and where there is no map.
    """
    maps = frozenset(node.index for node in graph.nodes if prod(node.out[1:]) > 1)
    if graph.free or len(graph.inputs) != 1 or not maps:
        return None
    fitting = CACHE // peak_memory(graph).inference
    return Slices(1 << max(fitting.bit_length() - 1, 0), maps)
