"""A name changed wherever it stands, checked to change nothing else."""

from __future__ import annotations

import re
from dataclasses import replace

from cnnc.compiler.graph import Graph
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span
from cnnc.dsl.tokens import RESERVED, STATEMENTS
from cnnc.live.engine import Analysis, Setting, analyse
from cnnc.live.fixes import Edit
from cnnc.live.names import Occurrence, Symbol

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")


@record
class Renaming:
    """The edits, and a note where tensors of the state dict are called something else after it."""

    edits: tuple[Edit, ...]
    note: str | None


def place_to_rename(analysis: Analysis, offset: int) -> Occurrence:
    """The name at an offset, where it can be changed. Raises CnncError (E111, E203) where it cannot."""
    place = analysis.names.at(offset)
    if place is None:
        raise fail("E203", "no name that the text declares is here")
    if place.symbol.made:
        raise fail("E111", f"`{place.symbol.span.text}` is many names, made by arithmetic: change it by hand")
    return place


def rename(analysis: Analysis, offset: int, name: str, setting: Setting | None = None) -> Renaming:
    """Every place of the name at an offset with another name.

    Raises CnncError where the name cannot be changed, or to this one: E101 for what is no name, E204 where the text
    would mean something else.

    >>> from cnnc.dsl.source import Source
    >>> found = analyse(Source("net.cnn", "input 3x8x8\\nc: conv3-4\\n[c | id]"))
    >>> renaming = rename(found, 12, "skip")
    >>> [(edit.start, edit.text) for edit in renaming.edits], renaming.note
    ([(12, 'skip'), (24, 'skip')], 'tensors change their names: c.bias and 1 more')
    """
    symbol = place_to_rename(analysis, offset).symbol
    _refuse(symbol, name)
    edits = tuple(_edit(place, symbol, name) for place in analysis.names.of(symbol))
    text = analysis.source.text
    for edit in reversed(edits):
        text = edit.applied(text)
    after = analyse(replace(analysis.source, text=text), setting)
    if analysis.graph is None:
        if [d.code for d in after.findings] != [d.code for d in analysis.findings]:
            raise fail("E204", f"with `{name}` the text would mean something else")
        return Renaming(edits, None)
    if after.graph is None or _meaning(after.graph) != _meaning(analysis.graph):
        why = next((f": {d.message}" for d in after.findings if d.severity == "error"), "")
        raise fail("E204", f"with `{name}` the text would mean something else{why}")
    return Renaming(edits, _note(analysis.graph, after.graph))


def _refuse(symbol: Symbol, name: str) -> None:
    wanted = name if not symbol.quoted else "x"
    if not _NAME.fullmatch(wanted) and not (symbol.kind == "label" and _PATH.fullmatch(name)):
        raise fail("E101", f"`{name}` is no name")
    if name in RESERVED or (name in STATEMENTS and symbol.kind == "label"):
        raise fail("E101", f"`{name}` is a word of the language")
    if symbol.quoted and ('"' in name or "\n" in name or not name.isprintable()):
        raise fail("E101", f"`{name}` cannot be quoted")


def _edit(place: Occurrence, symbol: Symbol, name: str) -> Edit:
    """One place with the new name. What `use a` brings keeps its name there: `use a as b`."""
    span: Span = place.span
    if place.declares and symbol.kind == "used" and symbol.whole.text == symbol.original:
        return Edit(span.start, span.end, f"{symbol.original} as {name}")
    return Edit(span.start, span.end, name)


def _meaning(graph: Graph) -> list[object]:
    """The network without its names."""
    return [
        (type(node.op), str(node.op), node.inputs, tuple(map(str, node.out)), node.role)
        for node in graph.nodes
    ] + [tuple(graph.inputs.values()), tuple(graph.outputs.values())]


def _note(before: Graph, after: Graph) -> str | None:
    """Which tensors have another name now."""
    pairs = zip(before.tensors(), after.tensors(), strict=True)
    changed = sorted({old for (_, old, _), (_, new, _) in pairs if old != new})
    if not changed:
        return None
    return f"tensors change their names: {changed[0]}" + (
        f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    )
