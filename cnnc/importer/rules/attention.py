"""Attention, and products of matrices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cnnc.importer.arrange import laid, relaid
from cnnc.importer.flat import Node
from cnnc.importer.layout import Atom, Axes, Axis, Value, flat, size_of
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Step
from cnnc.importer.translate import Translation, rule


@rule("scaled_dot_product_attention")
def attention(work: Translation, step: Step) -> Value:
    """`attend`: q, k and v as heads x positions x channels of a head become (heads * channels) x positions."""
    q, k, v = (work.value(step.args[key]) for key in ("query", "key", "value"))
    if step.args.get("attn_mask") is not None:
        raise Refusal("attention with a mask or a bias")
    if work.traced.evaluation and step.args.get("dropout_p"):
        raise Refusal("a dropout that drops in evaluation too")
    if step.args.get("enable_gqa"):
        raise Refusal("attention in which heads share keys")
    args: dict[str, Any] = {}
    if step.args.get("is_causal"):
        args["causal"] = True
    if step.args.get("scale") is not None and step.args["scale"] != q.shape[-1] ** -0.5:
        args["scale"] = step.args["scale"]
    return attended(work, (q, k, v), args)


def attended(work: Translation, qkv: tuple[Value, Value, Value], args: dict[str, Any]) -> Value:
    """The layer, of values whose last two axes are positions and channels of a head, and whose heads come before.

    Where positions are folded into the batch, each of these windows is a head of its own.
    """
    q, v = qkv[0], qkv[2]
    batch = q.batch
    if batch is None or any(x.batch is not batch for x in qkv):
        raise Refusal("attention with a query, key or value that no input reaches")
    if any(x.axes[0] != (batch,) for x in qkv):
        folded = attended(work, (_unfolded(qkv[0]), _unfolded(qkv[1]), _unfolded(qkv[2])), args)
        first, windows, *rest = folded.axes
        return replace(folded, axes=(first + windows, *rest))
    heads = size_of(flat(q.axes[1:-2]))
    qkv = (q, *(_for_each_head(work, x, heads) for x in qkv[1:]))  # type: ignore[assignment]
    v = qkv[2]
    if any(size_of(flat(x.axes[1:-2])) != heads for x in qkv):
        raise Refusal("attention in which heads share keys")
    nodes = [_as_map(work, x) for x in qkv]
    given = {key: Node(node) for key, node in zip("qkv", nodes, strict=True)}
    if heads > 1:
        given["heads"] = heads  # type: ignore[assignment]
    node = work.layer("attend", (nodes[0],), args={**given, **args})
    head_axes: Axes = tuple((Atom(size_of(axis)),) if axis else () for axis in q.axes[1:-2])
    positions = work.spec.lines[nodes[0]] is work.spec.lines[q.node] and len(q.lang) > 2
    places: Axis = q.axes[-2] if positions else (Atom(size_of(q.axes[-2])),) if q.axes[-2] else ()
    depth: Axis = (Atom(size_of(v.axes[-1])),) if v.axes[-1] else ()
    lang = q.lang[1:] if positions else (places,)
    return Value(node, (flat(head_axes) + depth, *lang), ((batch,), *head_axes, places, depth), batch)


def _unfolded(value: Value) -> Value:
    """A value whose windows, which were folded into the batch, have an axis of their own."""
    assert value.batch is not None
    first, *rest = value.axes
    if first[:1] != (value.batch,):
        raise Refusal("attention in windows that come before the images of the batch")
    return replace(value, axes=(first[:1], first[1:], *rest))


def _as_map(work: Translation, value: Value) -> int:
    """The line with the heads' channels first, then positions: of as many axes as there are, for they are one sequence."""
    channels, places = flat(value.axes[1:-2]) + value.axes[-1], value.axes[-2]
    if value.lang[0] == channels and len(value.lang) > 2 and flat(value.lang[1:]) == places:
        return value.node
    return laid(work, value, (channels, places))


def _for_each_head(work: Translation, value: Value, heads: int) -> Value:
    """A key or value that all heads share, repeated for each."""
    if heads == 1 or size_of(flat(value.axes[1:-2])) != 1:
        return value
    one: Axis = (Atom(heads, True),)
    value = replace(value, axes=(value.axes[0], one, *value.axes[-2:]))
    return relaid(work, value, (one, *(axis for axis in value.axes[-2:] if axis)))


@rule("matmul", "bmm", "mm")
def matmul(work: Translation, step: Step) -> Value:
    a, b = (work.value(v) for v in list(step.args.values())[:2])
    if len(a.axes) < 2 or len(b.axes) < 2:
        raise Refusal("a product with a vector")
    lead = flat(a.axes[:-2]), flat(b.axes[:-2])
    if any(atom is not a.batch for atom in lead[0]) or any(atom is not b.batch for atom in lead[1]):
        raise Refusal("a product of stacks of matrices, by heads or windows")
    if (a.batch is not None and (a.batch in flat(a.axes[-2:]))) or (
        b.batch is not None and b.batch in flat(b.axes[-2:])
    ):
        raise Refusal("a product along the batch")
    first, second = laid(work, a, a.axes[-2:]), laid(work, b, b.axes[-2:])
    node = work.layer("matmul", (first, second))
    rows, columns = _fresh(a.axes[-2]), _fresh(b.axes[-1])
    batch = a.batch or b.batch
    rank = max(len(a.axes), len(b.axes))
    leading: Axes = ((),) * (rank - 2)
    if batch is not None and rank > 2:
        leading = ((batch,), *leading[1:])
    return Value(node, (rows, columns), (*leading, rows, columns), batch)


def _fresh(axis: Axis) -> Axis:
    return (Atom(size_of(axis)),) if axis else ()
