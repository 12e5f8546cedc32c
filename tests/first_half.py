"""What each of the first half's 88 networks was, layer by layer, before the language's second half was built.

`python tests/first_half.py NAMES… > tests/data/first_half.json` wrote the record, run with the package of commit 0176f39^,
the last with these networks alone, on `PYTHONPATH`. Arguments that layers got since are left out; they must be at what they
were before there was a word for it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

COMMIT = "0176f39^"
SINCE = {
    "conv": {"reparam": None, "mask": None, "pad_mode": None},
    "dwconv": {"reparam": None, "pad_mode": None},
    "sepconv": {"reparam": None}, "tconv": {"reparam": None}, "fc": {"reparam": None},
    "concat": {"axis": "C"}, "softmax": {"axis": "C"}, "logsoftmax": {"axis": "C"},
    "maxpool": {"dilation": None}, "bias": {"each": "position"},
}  # fmt: skip
"""The arguments that there were not, by layer, each with the value that changes nothing."""
RENAMED = {"stn_mnist": {"flatten_2": "flatten2"}}
"""Meant: the second flattening that is put in has a counter of its own, so that no two counters come to one name. It has no
weights."""


def record(net: Any) -> dict[str, object]:
    """The figures of a network, and a digest of all its layers."""
    from cnnc.compiler.cost import costs

    total = costs(net.graph).total
    figures = {
        name: int(getattr(total, name)) for name in ("params", "state", "macs", "flops", "activations")
    }
    return {**figures, "layers": len(net.graph.nodes), "digest": digest(net)}


def digest(net: Any) -> str:
    return sha256("\n".join(lines(net)).encode()).hexdigest()[:24]


def lines(net: Any) -> Iterator[str]:
    """One line a layer: names, arguments, what flows in and out, tensors."""
    graph = net.graph
    names = RENAMED.get(graph.name, {})
    for node in graph.nodes:
        since = SINCE.get(node.op.kind, {})
        args = {name: getattr(node.op, name) for name in type(node.op).model_fields if name not in since}
        ins = graph.ins(node)
        tensors = {
            **{name: tuple(map(int, shape)) for name, shape in node.op.params(*ins).items()},
            **{name: tuple(map(int, shape)) for name, shape in node.op.state(*ins).items()},
        }
        name, module = (names.get(text, text) for text in (node.name, node.module))
        out = tuple(map(int, node.out))
        yield f"{name} {module} {node.op.kind} {sorted(args.items())!r} {node.inputs} {out} {tensors!r}"
    yield repr(dict(graph.outputs))


def added(net: Any) -> list[str]:
    """Layers with an argument that there was not then, and is not at what changes nothing."""
    return [
        f"{node.name}: {name}={getattr(node.op, name)!r}"
        for node in net.graph.nodes
        for name, value in SINCE.get(node.op.kind, {}).items()
        if getattr(node.op, name) != value
    ]


if __name__ == "__main__":
    import cnnc

    found = {name: record(cnnc.load(f"zoo:{name}")) for name in sys.argv[1:]}
    rows = (f'  "{name}": {json.dumps(row)}' for name, row in found.items())
    print("{\n" + ",\n".join(rows) + "\n}")
