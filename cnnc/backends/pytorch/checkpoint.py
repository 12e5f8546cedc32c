"""The form for training in less memory, and which blocks are computed again."""

from __future__ import annotations

from cnnc.backends.pytorch.form import Form, Formed
from cnnc.compiler.graph import Graph, Scope
from cnnc.dsl.diagnostics import fail


class Checkpointed(Form):
    """The plain form with the inner values of its blocks computed again in the backward pass."""

    note = "blocks checkpointed"

    def of(self, graph: Graph) -> Formed:
        return Formed(graph, helpers=("Checkpointed",), checkpointed=checkpointed_blocks(graph))


def checkpointed_blocks(graph: Graph) -> frozenset[int]:
    """The `id` of each scope to checkpoint: innermost block calls of two or more weighted layers.

    A block of one layer would keep as much as it saves, and one around others would have
    them computed a third time. Raises CnncError (E801) where the spec has no such block.
    """
    found: set[int] = set()
    todo: list[tuple[Scope, bool]] = [(graph.root, False)]
    chosen_within: dict[int, bool] = {}
    while todo:  # the inner ones first
        scope, is_ready = todo.pop()
        inner = [child for child in scope.children if isinstance(child, Scope)]
        if not is_ready:
            todo += [(scope, True), *((child, False) for child in inner)]
            continue
        has_chosen = any(chosen_within[id(child)] for child in inner)
        weighted = sum(graph.nodes[i].op.weighted for i in scope.nodes())
        if scope.kind == "block" and not has_chosen and weighted > 1:
            found.add(id(scope))
            has_chosen = True
        chosen_within[id(scope)] = has_chosen
    if not found:
        hint = "write what repeats as a block: `block name(w) = [conv3-w -> conv3-w]`"
        raise fail("E801", "there is no block of two or more weighted layers to checkpoint", hint=hint)
    return frozenset(found)
