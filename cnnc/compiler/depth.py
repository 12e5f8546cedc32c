"""How deep a network is: the number that stands in names such as ResNet-50."""

from __future__ import annotations

from cnnc.compiler.graph import Graph, Scope


def depth(graph: Graph) -> int:
    """Weighted layers (convolutions, fully-connected) on the longest path to an output.

    Layers of `shortcut` projections are not counted, as in the papers' names.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> depth(build(parse(Source("net.cnn", "input 3x8x8\\n[conv3-3]*4 -> fc-10"))))
    5
    """
    projections = _in_shortcuts(graph.root)
    longest: list[int] = []
    for node in graph.nodes:
        before = max((longest[i] for i in node.inputs), default=0)
        counts = node.op.weighted and node.index not in projections
        longest.append(before + counts)
    return max((longest[i] for i in graph.outputs.values()), default=0)


def _in_shortcuts(root: Scope) -> set[int]:
    return {node for scope in root.scopes() if scope.kind == "shortcut" for node in scope.nodes()}
