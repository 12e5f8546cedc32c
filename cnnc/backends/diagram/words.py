"""What stands on a box: a layer's word, a block call, a shape, as the user would write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.ops import Sizes, show

MERGE_WORDS = {"add": "+", "mul": "\N{MULTIPLICATION SIGN}", "matmul": "@"}
"""Merges that are drawn with their sign; the others with their name."""
MAX_TEXT = 44
"""A longer line is cut: a box must not be wider than the column it is printed in."""
MAX_CALL = 30
"""A call over the words of what it does is cut sooner: the words tell most of it."""


SMALL = frozenset({"normalisation", "activation", "regularisation"})
"""Families that share a box with the layer before (or, at a chain's head, after) them."""


def is_small(node: Node) -> bool:
    """Whether a layer needs no box of its own."""
    return node.op.family in SMALL or node.role == "flatten"


def cut(text: str, most: int = MAX_TEXT) -> str:
    """At most so many characters on one line, nothing unprintable; of a call, the arguments that fit.

    >>> cut("shuffle_path(240, 2, 3, 1, 216, bn, relu)", 30)
    'shuffle_path(240, 2, 3, 1, …)'
    """
    text = "".join(ch if ch.isprintable() else " " for ch in text)
    if len(text) <= most:
        return text
    head, comma, _ = text[: most - 2].rpartition(", ")
    if comma and text.endswith(")") and head.count("(") == head.count(")") + 1:
        return f"{head}, …)"
    return text[: most - 1] + "…"


def shape_text(shape: Sequence[object]) -> str:
    """`64x56x56`; a vector is its length."""
    return "x".join(map(str, shape))


def _compact(value: Any) -> str:
    """An argument per axis as one number where the axes agree: (3, 3) is 3, ((1, 1), (1, 1)) is 1."""
    while isinstance(value, tuple) and value and all(part == value[0] for part in value):
        value = value[0]
    if isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        return show(Sizes(value))
    return f"{value:g}" if isinstance(value, float) else show(value)


def layer_text(node: Node) -> str:
    """A layer's word: `conv3-64/2`, `maxpool3/2`, `dropout(0.5)`.

    What the text says at the layer itself is shown; what a file-wide default says is not.
    """
    op = node.op
    if op.kind in MERGE_WORDS:
        return MERGE_WORDS[op.kind]
    slots = op.word
    text = op.kind
    if slots.size is not None and slots.size != slots.width:
        text += _compact(getattr(op, slots.size))
    if slots.width is not None:
        text += f"-{_compact(getattr(op, slots.width))}"
    if slots.stride is not None:
        stride = _compact(getattr(op, slots.stride))
        usual = _compact(type(op).model_fields[slots.stride].default)
        text += f"/{stride}" if stride != usual else ""
    fields = list(type(op).model_fields)
    slotted = {slots.size, slots.width, slots.stride}
    extra: list[str] = []
    keyed = op.rest is not None or op.operands or op.pipelines  # what stands first without a key
    if op.rest is not None:
        extra += map(_compact, getattr(op, op.rest))
        fields.remove(op.rest)
    for place, field in enumerate(fields):
        if field in node.written and field not in slotted:
            value = _compact(getattr(op, field))
            extra.append(value if place == len(extra) and not keyed else f"{field}={value}")
    return text + (f"({', '.join(extra)})" if extra else "")


def call_text(scope: Scope) -> str | None:
    """A block call as written, `bottleneck(64, 2)`; None where the scope is no block's."""
    if scope.block is None:
        return None
    given: list[str] = []
    for place, parameter in enumerate(scope.block.params):
        if parameter in scope.given:
            text = show(scope.args[parameter].value)
            given.append(text if place == len(given) else f"{parameter}={text}")
    return scope.block.name + (f"({', '.join(given)})" if given else "")


def count_text(number: int) -> str:
    """A count in three digits: 25.6M, 4.09G, 123."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size:
            return f"{number / size:.3g}{unit}" if number < 999.5 * size else f"{round(number / size)}{unit}"
    return str(number)


def main_words(graph: Graph, scope: Scope, most: int = 5) -> tuple[str, ...]:
    """The main layers of a closed scope, one a line; nothing where they are more than `most` lines.

    Norms, activations, merges and projections on a shortcut are left out, as in the
    papers' tables.
    """
    lines: list[tuple[str, int]] = []
    for index in _main_nodes(scope):
        node = graph.nodes[index]
        if is_small(node) or node.op.family == "merge":
            continue
        text = layer_text(node)
        if lines and lines[-1][0] == text:
            lines[-1] = (text, lines[-1][1] + 1)
        else:
            lines.append((text, 1))
        if len(lines) > most:
            return ()
    return tuple(text if times == 1 else f"{text} x {times}" for text, times in lines)


def _main_nodes(scope: Scope) -> list[int]:
    nodes: list[int] = []
    stack: list[int | Scope] = [scope]
    while stack:
        item = stack.pop()
        if isinstance(item, int):
            nodes.append(item)
        elif item.kind != "shortcut":
            stack.extend(reversed(item.children))
    return nodes
