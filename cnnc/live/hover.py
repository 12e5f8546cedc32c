"""What is said of the word under the pointer: a layer's card, what it costs here, its tensors' names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cnnc.compiler.graph import Node, key_of
from cnnc.compiler.ops import by_x, show
from cnnc.compiler.walk.values import CallStep, Trace
from cnnc.compiler.walk.words import layer_named
from cnnc.dsl import syntax as s
from cnnc.dsl.record import record
from cnnc.dsl.source import Span
from cnnc.live.engine import Analysis
from cnnc.live.figures import cost_of, field_text
from cnnc.live.names import Symbol

if TYPE_CHECKING:
    from cnnc.reference import Layer

_TENSORS = 8
"""The names of tensors that are listed."""


@record
class Card:
    """What is said, in Markdown, and of which stretch of the text."""

    text: str
    span: Span


def hover(analysis: Analysis, offset: int) -> Card | None:
    """The card for what stands at an offset; None where there is nothing to say.

    >>> from cnnc.dsl.source import Source
    >>> from cnnc.live.engine import analyse
    >>> card = hover(analyse(Source("net.cnn", "input 3x8x8\\nc: conv3-4 -> pool")), 16)
    >>> print(card.text.splitlines()[0])
    ```cnnc
    """
    place = analysis.names.at(offset)
    word = word_at(analysis, offset)
    at_head = word is not None and word.head_span.start <= offset <= word.head_span.end
    if word is not None and at_head and (place is None or place.span == word.head_span):
        return _word(analysis, word)
    if place is not None:
        return Card(_symbol(analysis, place.symbol), place.span)
    return None if word is None else _word(analysis, word)


def word_at(analysis: Analysis, offset: int) -> s.Word | None:
    """The innermost layer word or call around an offset."""
    found = None
    for node in s.nodes_in(analysis.tree.statements) if analysis.tree is not None else ():
        if isinstance(node, s.Word) and node.span.start <= offset <= node.span.end:
            found = node
    return found


def _word(analysis: Analysis, word: s.Word) -> Card | None:
    place = analysis.names.at(word.head_span.start)
    thing = place.symbol if place is not None and place.span == word.head_span else None
    card = None if thing is not None else layer_card(word.head_span.text)
    parts = [_symbol(analysis, thing)] if thing is not None else [card] if card is not None else []
    parts += list(_figures(analysis, word.span))
    return Card("\n\n".join(parts), word.head_span) if parts else None


def layer_card(text: str) -> str | None:
    """The reference card of a layer word; None where it is none."""
    from cnnc.reference import WORDS

    if text.lower() in WORDS:
        return f"**{text}**: {WORDS[text.lower()]}"
    record = layer_of(text)
    if record is None:
        return None
    lines = [f"```cnnc\n{record.signature}\n```", record.summary]
    if record.brings:
        lines.append(f"It brings {record.brings}.")
    return "\n\n".join(lines)


def layer_of(text: str) -> Layer | None:
    """The reference record of the layer that a word names, whatever numbers stand in it."""
    from cnnc.reference import layer

    op = layer_named(text)
    return None if op is None or op.internal else layer(op.kind)


def _symbol(analysis: Analysis, symbol: Symbol) -> str:
    """What is said of a name: what declares it, and its value."""
    kind = {"used": "block", "shared": "shared module", "variable": "of a comprehension"}.get(
        symbol.kind, symbol.kind
    )
    if symbol.kind == "used":
        text = _used_text(analysis, symbol)
        return text or f"**{symbol.name}**: from {symbol.origin}"
    if symbol.kind == "block":
        head = (
            symbol.whole.text.partition("=")[0]
            if "(" not in symbol.whole.text.partition("=")[0]
            else _head(symbol)
        )
        return f"```cnnc\n{' '.join(head.split())}\n```" + _comment(analysis, symbol)
    if symbol.kind == "param" and analysis.graph is not None and symbol.name in analysis.graph.params:
        value = show(analysis.graph.params[symbol.name].value)
        return f"```cnnc\n{symbol.whole.text}\n```\n\nIt is {value} here."
    if symbol.kind == "label":
        shape = _label_shape(analysis, symbol)
        return f"label **{symbol.name}**" + (f": {shape}" if shape else "")
    line = symbol.whole.text.partition("\n")[0]
    return f"{kind} **{symbol.name}**\n\n```cnnc\n{line}\n```"


def _head(symbol: Symbol) -> str:
    """A block's name with its parameters."""
    text, depth = symbol.whole.text, 0
    for i, ch in enumerate(text):
        depth += (ch in "([") - (ch in ")]")
        if ch == "=" and depth == 0:
            return text[:i]
    return text.partition("\n")[0]


def _comment(analysis: Analysis, symbol: Symbol) -> str:
    """The comment above a declaration."""
    lines = analysis.source.text[: symbol.whole.start].split("\n")[:-1]
    found: list[str] = []
    while lines and lines[-1].lstrip().startswith("#"):
        found.insert(0, lines.pop().lstrip("# "))
    return "\n\n" + " ".join(found) if found else ""


def _used_text(analysis: Analysis, symbol: Symbol) -> str | None:
    from cnnc.reference import blocks

    if symbol.origin != "std":
        return None
    block = next((block for block in blocks() if block.name == symbol.original), None)
    return None if block is None else f"```cnnc\nblock {block.signature}\n```\n\n{block.text}"


def _label_shape(analysis: Analysis, symbol: Symbol) -> str | None:
    graph = analysis.graph
    if graph is None or symbol.owner is not None or symbol.name not in graph.labels:
        return None
    return by_x(graph.nodes[graph.labels[symbol.name]].out)


# --- the figures of a word --------------------------------------------------------------


def _figures(analysis: Analysis, span: Span) -> Iterator[str]:
    """What a word's layers are here, the first time and the last."""
    if analysis.net is None:
        return
    times = placed(analysis, span)
    if not times:
        return
    for title, nodes in _first_and_last(times):
        yield title + _of_nodes(analysis, nodes)
    names = [
        key_of(node.module, key) for nodes in times[:1] for node in nodes for key in _tensors(analysis, node)
    ]
    if names:
        more = f" and {len(names) - _TENSORS} more" if len(names) > _TENSORS else ""
        yield "state_dict: " + ", ".join(f"`{name}`" for name in names[:_TENSORS]) + more


def _first_and_last(times: Sequence[Sequence[Node]]) -> Iterator[tuple[str, Sequence[Node]]]:
    if len(times) == 1:
        yield "", times[0]
    else:
        yield f"first of {len(times)}: ", times[0]
        yield "last: ", times[-1]


def placed(analysis: Analysis, span: Span) -> list[list[Node]]:
    """The layers that a stretch of the text places, for each time that it is placed."""
    assert analysis.net is not None
    times: dict[int, list[Node]] = {}
    known: dict[int, int | None] = {}
    for node in analysis.net.graph.nodes:
        if node.role == "input":
            continue
        if _is(node.span, span):
            times.setdefault(id(node.trace), []).append(node)
        else:
            step = _step(node.trace, span, known)
            if step is not None:
                times.setdefault(step, []).append(node)
    return list(times.values())


def _is(one: Span, other: Span) -> bool:
    return one.start == other.start and one.end == other.end and one.source is other.source


def _step(trace: Trace | None, span: Span, known: dict[int, int | None]) -> int | None:
    """The call at a place that a way leads through, by its identity."""
    if trace is None:
        return None
    key = id(trace)
    if key not in known:
        here = isinstance(trace, CallStep) and _is(trace.span, span)
        known[key] = key if here else _step(trace.parent, span, known)
    return known[key]


def _of_nodes(analysis: Analysis, nodes: Sequence[Node]) -> str:
    """Shape, cost and field of some layers, exact."""
    assert analysis.net is not None
    graph = analysis.net.graph
    first, last = nodes[0], nodes[-1]
    ins = " and ".join(by_x(shape) for shape in graph.ins(first)) or "nothing"
    cost = cost_of(analysis, (node.index for node in nodes))
    parts = [f"{ins} -> **{by_x(last.out)}**", f"{cost.params:,} parameters", f"{cost.macs:,} MACs"]
    field = field_text(analysis.fields[last.index])
    if field is not None:
        parts.append(f"field {field}")
    parts.append(f"`{first.name}`" if len(nodes) == 1 else f"`{first.name}` to `{last.name}`")
    return ", ".join(parts)


def _tensors(analysis: Analysis, node: Node) -> list[str]:
    assert analysis.net is not None
    if node.module != node.name:
        return []
    ins = analysis.net.graph.ins(node)
    return [*node.op.params(*ins), *node.op.state(*ins)]
