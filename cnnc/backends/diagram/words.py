"""What stands on a box: a layer's word, a block call, a shape, as the user would write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnc.compiler.graph import Node, Scope
from cnnc.compiler.ops import Op, Sizes, show

MERGE_WORDS = {"add": "+", "mul": "\N{MULTIPLICATION SIGN}", "matmul": "@"}
"""Merges that are drawn with their sign; the others with their name."""
MAX_TEXT = 44
"""A longer line is cut: a box must not be wider than the column it is printed in."""
SMALL_PRINT = frozenset({"bias", "init", "eps", "momentum", "affine", "ceil", "pad"})
"""Arguments that a short word leaves out: they are in the table of layers, and equal layers agree in them too."""
MAX_CALL = 30
"""A call over the words of what it does is cut sooner: the words tell most of it."""


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


def brief_text(node: Node) -> str:
    """A layer's word without the small print: `conv3-64/2(groups=2)`, `lrn5(k=2)`."""
    return layer_text(node, SMALL_PRINT if node.op.kind != "conv" else SMALL_PRINT - {"pad"})


def layer_text(node: Node, leaving: frozenset[str] = frozenset()) -> str:
    """A layer's word: `conv3-64/2`, `maxpool3/2`, `dropout(0.5)`.

    What the text says at the layer itself is shown, but for the arguments named in `leaving` and those that say
    what is so without them; what a file-wide default says is not.
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
        extra += map(_compact, op.by_position)
        fields.remove(op.rest)
    for place, field in enumerate(fields):
        if field in slotted or field in leaving:
            continue
        brought = node.role in ("norm", "act") and field not in SMALL_PRINT
        if (field in node.written or brought) and not _is_usual(op, field):
            value = _compact(getattr(op, field))
            extra.append(value if place == len(extra) and not keyed else f"{field}={value}")
    return text + (f"({', '.join(extra)})" if extra else "")


def _is_usual(op: Op, field: str) -> bool:
    """Whether an argument is what it is when nobody gives it: dilation 1, or the padding that keeps the size."""
    value, usual = getattr(op, field), type(op).model_fields[field].default
    if _compact(value) == _compact(usual):
        return True
    if field != "pad" or usual != "same":
        return False
    kernel, dilation = getattr(op, "kernel", ()), getattr(op, "dilation", ())
    kept = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    return all(k % 2 for k in kernel) and value == tuple((n, n) for n in kept)


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


def named_call(scope: Scope) -> tuple[str, ...]:
    """A block call with the names of its parameters, on as many lines as it takes; nothing where there is no call.

    It stands where a call alone says what a block does: `stage(n=3, s=2)` says more than `stage(3, 2)`.
    """
    if scope.block is None:
        return ()
    given = [f"{p}={show(scope.args[p].value)}" for p in scope.block.params if p in scope.given]
    if not given:
        return (scope.block.name,)
    lines = [f"{scope.block.name}({given[0]}"]
    for text in given[1:]:
        if len(f"{lines[-1]}, {text},") > MAX_CALL:
            lines[-1] += ","
            lines.append(text)
        else:
            lines[-1] += f", {text}"
    lines[-1] += ")"
    return tuple(lines)


def count_text(number: int) -> str:
    """A count in three digits: 25.6M, 4.09G, 123."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size:
            return f"{number / size:.3g}{unit}" if number < 999.5 * size else f"{round(number / size)}{unit}"
    return str(number)
