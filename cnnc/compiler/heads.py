"""Which layers a new number of classes goes to: `head=10`, `head={"fc": 10}`."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.compiler.features import node_named
from cnnc.compiler.graph import Graph, Node
from cnnc.dsl.diagnostics import CnncError, fail

Heads = Mapping[str | None, int]
"""Widths by label; None is the last weighted layer before the only output."""


def head_widths(graph: Graph, heads: Heads) -> dict[int, int]:
    """The new widths by the number of the draft that each is for (`Graph.placed`), a shared module's at all uses.

    Raises CnncError: E203 for a label that is not there, E303 for a width that cannot be, E801 where no one layer
    is meant.
    """
    widths: dict[int, int] = {}
    for label, width in heads.items():
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise fail(
                "E303", f"a head cannot have the width {width!r}", hint="a number of classes, from 1 up"
            )
        node = _of_output(graph) if label is None else _of_label(graph, label)
        if node.op.word.width != "width":
            what = "reaches the output last" if label is None else f"`{label}` names"
            raise fail("E801", f"`{node.name}`, which {what}, has no width to replace", hint=_HINT)
        for use in (n for n in graph.nodes if n.module == node.module):
            widths[graph.placed.index(use.index)] = width
    return widths


_HINT = 'name the layer by its label: --head fc=10, or head={"fc": 10}'


def _of_output(graph: Graph) -> Node:
    if len(graph.outputs) > 1:
        found = {name: _last(graph, i) for name, i in graph.outputs.items()}
        ends = ", ".join(f"`{name}` by {_listed(nodes)}" for name, nodes in found.items())
        message = f"the model has {len(graph.outputs)} outputs, and --head without a label needs exactly one"
        raise fail("E801", message, hint=f"name layers by their labels: {ends}")
    (end,) = graph.outputs.values()
    return _one(_last(graph, end), "the output")


def _of_label(graph: Graph, label: str) -> Node:
    """The layer called so, or the last one in the bracket or block called so."""
    named = node_named(graph, label)
    found = [n for n in _last(graph, named.index) if n.name == label or n.name.startswith(f"{label}.")]
    if not found:
        raise fail("E801", f"`{label}` names no layer with weights whose width could be replaced", hint=_HINT)
    return _one(found, f"`{label}`")


def _one(nodes: list[Node], what: str) -> Node:
    if not nodes:
        raise fail("E801", f"no layer with weights reaches {what}", hint=_HINT)
    if len(nodes) > 1:
        raise _several(nodes, what)
    return nodes[0]


def _several(nodes: list[Node], what: str) -> CnncError:
    name = nodes[0].name
    hint = f'name the one you mean: --head {name}=10, or head={{"{name}": 10}}'
    return fail("E801", f"several layers reach {what} last: {_listed(nodes)}", hint=hint)


def _listed(nodes: list[Node]) -> str:
    names = [node.name for node in nodes]
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "") if names else "none"


def _last(graph: Graph, end: int) -> list[Node]:
    """The weighted layers from which a tensor is reached through layers without, each module once, in order."""
    found: dict[str, Node] = {}
    seen: set[int] = set()
    todo = [end]
    while todo:
        index = todo.pop()
        if index in seen:
            continue
        seen.add(index)
        node = graph.nodes[index]
        if node.op.weighted:
            found.setdefault(node.module, node)
        else:
            todo += graph.values_into(node)
    return sorted(found.values(), key=lambda node: node.index)
