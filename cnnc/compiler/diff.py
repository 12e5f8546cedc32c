"""What sets two networks apart, by name: layers, arguments, shapes, wiring and totals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cnnc.compiler.cost import Cost, costs
from cnnc.compiler.depth import depth
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import Shape
from cnnc.compiler.summary import FORMAT, arguments
from cnnc.dsl.record import record

Pair = tuple[Any, Any]
"""A value in the first network and in the second, as JSON values; None where there is none."""


@record
class Side:
    """A layer that only one network has."""

    name: str
    op: str
    args: Mapping[str, Any]
    out: Shape


@record
class Change:
    """A layer of both networks that is not the same in them; None where that part is.

    `module` is the owner of the weights, which differs where one network shares them.
    """

    name: str
    op: Pair | None
    args: Mapping[str, Pair]
    out: Pair | None
    inputs: Pair | None
    module: Pair | None

    @property
    def follows(self) -> bool:
        """Whether only its size differs, which follows from a change before it."""
        return self.out is not None and not (self.op or self.args or self.inputs or self.module)


@record
class Diff:
    """All differences, in the order of the first network, what was added in that of the second."""

    names: tuple[str, str]
    removed: tuple[Side, ...]
    added: tuple[Side, ...]
    changed: tuple[Change, ...]
    outputs: Pair | None
    depths: tuple[int, int]
    totals: tuple[Cost, Cost]

    @property
    def equal(self) -> bool:
        """Whether the networks are the same layer by layer; the models' own names do not count."""
        return not (self.removed or self.added or self.changed or self.outputs)

    def figures(self) -> Iterator[tuple[str, int, int]]:
        """The total of each figure in the first network and in the second."""
        return (
            (key, old, new)
            for (key, old), new in zip(self.totals[0].items(), self.totals[1].values(), strict=True)
        )


def diff(a: Graph, b: Graph) -> Diff:
    """What it takes to get from network a to network b.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> a, b = (build(parse(Source("net.cnn", f"input 3x8x8\\nconv3-{w}"))) for w in (4, 8))
    >>> change, = diff(a, b).changed
    >>> change.name, change.args, change.out
    ('conv1', {'width': (4, 8)}, ([4, 8, 8], [8, 8, 8]))
    """
    left, right = ({node.name: node for node in graph.nodes} for graph in (a, b))
    changes = (_change(a, b, node, right[name]) for name, node in left.items() if name in right)
    outputs = tuple({key: graph.nodes[i].name for key, i in graph.outputs.items()} for graph in (a, b))
    return Diff(
        names=(a.name, b.name),
        removed=tuple(_side(node) for name, node in left.items() if name not in right),
        added=tuple(_side(node) for name, node in right.items() if name not in left),
        changed=tuple(change for change in changes if change is not None),
        outputs=_pair(*outputs),
        depths=(depth(a), depth(b)),
        totals=(costs(a).total, costs(b).total),
    )


def _side(node: Node) -> Side:
    return Side(node.name, node.op.kind, arguments(node.op), node.out)


def _pair(old: Any, new: Any) -> Pair | None:
    """Both values where they read differently: free sizes differ where their expressions do."""
    return None if repr(old) == repr(new) else (old, new)


def _change(a: Graph, b: Graph, old: Node, new: Node) -> Change | None:
    one, two = arguments(old.op), arguments(new.op)
    if old.op.kind != new.op.kind:
        args = {}
    else:
        args = {key: (one.get(key), two.get(key)) for key in {**one, **two} if one.get(key) != two.get(key)}
    change = Change(
        name=old.name,
        op=_pair(old.op.kind, new.op.kind),
        args=args,
        out=_pair(list(old.out), list(new.out)),
        inputs=_pair([a.nodes[i].name for i in old.inputs], [b.nodes[i].name for i in new.inputs]),
        module=_pair(old.module, new.module),
    )
    same = not (change.op or change.args or change.out or change.inputs or change.module)
    return None if same else change


def to_json(difference: Diff) -> dict[str, Any]:
    """The difference as the JSON object that `cnnc diff --json` prints.

    Every pair is [in a, in b]; each of the totals is [in a, in b, b - a].
    """
    return {
        "format": FORMAT,
        "a": difference.names[0],
        "b": difference.names[1],
        "equal": difference.equal,
        "removed": [_side_json(side) for side in difference.removed],
        "added": [_side_json(side) for side in difference.added],
        "changed": [_change_json(change) for change in difference.changed],
        "outputs": None if difference.outputs is None else list(difference.outputs),
        "depth": list(difference.depths),
        "totals": {key: [old, new, new - old] for key, old, new in difference.figures()},
    }


def _side_json(side: Side) -> dict[str, Any]:
    return {"name": side.name, "op": side.op, "args": dict(side.args), "out": list(side.out)}


def _change_json(change: Change) -> dict[str, Any]:
    out: dict[str, Any] = {"name": change.name}
    for key in ("op", "out", "inputs", "module"):
        pair = getattr(change, key)
        if pair is not None:
            out[key] = list(pair)
    if change.args:
        out["args"] = {key: list(pair) for key, pair in change.args.items()}
    return out
