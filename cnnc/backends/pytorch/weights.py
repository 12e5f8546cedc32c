"""A file of weights held against a spec: which tensors are missing, extra or of another shape. Needs no torch."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import Shape
from cnnc.compiler.ops.base import COUNTER

Tensors = Mapping[str, Shape]
"""Shapes by name, in the order of the network or the file."""


def wanted_tensors(graph: Graph) -> tuple[dict[str, Shape], tuple[str, ...]]:
    """The state dict of the compiled module, names to shapes, and the modules whose tensors nobody knows."""
    foreign = {node.name for node in graph.nodes if node.op.kind == "extern" and node.module == node.name}
    wanted = {k: tuple(map(int, shape)) for node, k, shape in graph.tensors() if node.name not in foreign}
    return wanted, tuple(node.name for node in graph.nodes if node.name in foreign)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs. Each of `missing` and `extra` is a name and shape, of `shapes` a name, the spec's and the file's."""

    fitting: int
    missing: tuple[tuple[str, Shape], ...]
    extra: tuple[tuple[str, Shape], ...]
    shapes: tuple[tuple[str, Shape, Shape], ...]

    @property
    def holds(self) -> bool:
        """Whether `load_state_dict(strict=True)` takes the file."""
        return not (self.missing or self.extra or self.shapes)


def with_axis(name: str, shape: Shape) -> Shape:
    """The shape that a renamed tensor gets: a parameter that is a single number has one axis in a spec.

    >>> with_axis("gain", ()), with_axis("bn.num_batches_tracked", ()), with_axis("bias", (3,))
    ((1,), (), (3,))
    """
    return shape if shape or name.rpartition(".")[2] == COUNTER else (1,)


def compare(wanted: Tensors, found: Tensors, unknown: Iterable[str] = ()) -> Comparison:
    """Tensors of the spec against those of a file; those of `unknown` modules are passed over.

    >>> compare({"a": (2,), "b": (3,)}, {"b": (4,), "c": (1,)}).shapes
    (('b', (3,), (4,)),)
    """
    prefixes = tuple(f"{name}." for name in unknown)
    both = [name for name in wanted if name in found]
    return Comparison(
        sum(wanted[name] == found[name] for name in both),
        tuple((n, s) for n, s in wanted.items() if n not in found and n.rpartition(".")[2] != COUNTER),
        tuple((n, s) for n, s in found.items() if n not in wanted and not n.startswith(prefixes or "\0")),
        tuple((n, wanted[n], found[n]) for n in both if wanted[n] != found[n]),
    )


STAGES = "stage*."
"""What `--stages` puts before the names of the plain form; `*` is the number of the stage."""


def common_prefix(wanted: Tensors, found: Tensors) -> str | None:
    """What wrappers put before every name of a file (`module.`, `_orig_mod.`, `model.`), where it fits without.

    >>> common_prefix({"conv.weight": (2, 1)}, {"module.conv.weight": (2, 1)})
    'module.'

    Of a module in stages, of which each has its number, it is `stage*.`.
    """
    names = list(found)
    if names and all(re.match(r"stage\d+\.", name) and name.partition(".")[2] in wanted for name in names):
        return STAGES
    if not names or any(name in wanted for name in names):
        return None
    steps = names[0].split(".")[:-1]
    for length in range(1, len(steps) + 1):
        prefix = ".".join(steps[:length]) + "."
        if not all(name.startswith(prefix) for name in names):
            return None
        if any(name.removeprefix(prefix) in wanted for name in names):
            return prefix
    return None


def guess_map(wanted: Tensors, found: Tensors) -> dict[str, str]:
    """Names of the file to names of the spec, for those that differ: paired by shape, in order.

    Tensors whose names end alike (`weight`, `running_mean`) are paired first. A guess,
    to be looked over: layers of one shape that the file has in another order are paired wrongly.

    >>> guess_map({"conv.weight": (2, 1), "conv.bias": (2,)}, {"0.weight": (2, 1), "0.bias": (2,)})
    {'0.weight': 'conv.weight', '0.bias': 'conv.bias'}
    """
    ours = {name: shape for name, shape in wanted.items() if name not in found}
    theirs = {name: shape for name, shape in found.items() if name not in wanted}
    pairs: dict[str, str] = {}
    for ending in (True, False):
        queues: dict[tuple[object, ...], list[str]] = defaultdict(list)
        used = set(pairs.values())
        for name, shape in ours.items():
            if name not in used:
                queues[shape, name.rpartition(".")[2] if ending else ""].append(name)
        for name, shape in theirs.items():
            queue = queues.get((shape, name.rpartition(".")[2] if ending else ""))
            if name not in pairs and queue:
                pairs[name] = queue.pop(0)
    return {name: pairs[name] for name in theirs if name in pairs}
