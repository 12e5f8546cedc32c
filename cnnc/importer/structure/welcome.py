"""Where a default activation would be left out: the walk's own rule, asked of a finished graph."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import op_words
from cnnc.compiler.walk.default_activations import Consumers, settle_defaults
from cnnc.compiler.walk.draft import Draft
from cnnc.dsl.source import Source, Span
from cnnc.importer.structure.words import Unit, further_uses

_NOWHERE = Span(Source("", ""), 0, 0)


def welcomes(graph: Graph, units: Mapping[int, Unit]) -> dict[int, bool | None]:
    """For each unit that could bring an activation, by the index of its last node: whether a default one is left out."""
    drafts: list[Draft] = []
    flows: dict[int, Draft] = {}
    asked: dict[int, Draft] = {}
    last_of = {unit.last.index: unit for unit in units.values() if unit.own.op.brings is not None}
    relu = op_words()["relu"]()
    for node in graph.nodes:
        made = _draft(len(drafts), node, tuple(flows[i] for i in node.inputs))
        drafts.append(made)
        flows[node.index] = made
        unit = last_of.get(node.index)
        if unit is None:
            continue
        if unit.act is None:
            made = Draft(
                number=len(drafts), op=relu, inputs=(made,), shape=node.out, span=_NOWHERE, trace=None, role="act", label=None,
                scope=None, args={},
            )  # fmt: skip
            drafts.append(made)
            flows[node.index] = made
        made.tentative = True
        asked[node.index] = made
    consumers = Consumers(drafts, [flows[i] for i in graph.outputs.values()])
    settle_defaults(consumers)
    ends = {use.result for use in graph.shared_uses()}
    found = {index: None if index in ends else draft.dropped for index, draft in asked.items()}
    modules: dict[str, set[int]] = {}
    again = {node.module for node in further_uses(graph)}
    for index, unit in last_of.items():
        if unit.own.module in again:
            modules.setdefault(unit.own.module, set()).add(index)
    for uses in modules.values():
        if len({found[index] for index in uses}) > 1:
            found |= dict.fromkeys(uses)
    return found


def _draft(number: int, node: Node, inputs: tuple[Draft, ...]) -> Draft:
    return Draft(
        number=number, op=node.op, inputs=inputs, shape=node.out, span=_NOWHERE, trace=None, role=node.role,
        label=None, scope=None, args={},
    )  # fmt: skip
