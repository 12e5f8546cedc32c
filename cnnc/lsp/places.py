"""Where names are declared and used beyond the text at hand: in std, and in other files of the workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnc.compiler.walk.library import STD
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.parse import parse
from cnnc.dsl.read import read_source
from cnnc.live.names import Symbol, names_of
from cnnc.lsp.text import Text
from cnnc.lsp.workspace import Open, uri_of

if TYPE_CHECKING:
    from cnnc.lsp.workspace import Workspace

_FILES = 2_000
"""Files of a workspace that are looked through."""


def definition_of(held: Open, symbol: Symbol) -> dict[str, Any] | None:
    """The place that declares a symbol."""
    if symbol.kind == "used":
        found = _declared_elsewhere(held, symbol)
        if found is not None:
            return found
    return {"uri": held.uri, "range": held.text.range(symbol.span.start, symbol.span.end)}


def _declared_elsewhere(held: Open, symbol: Symbol) -> dict[str, Any] | None:
    """Where a used name is declared, in std or in a file that may be used."""
    paths = sorted(STD.glob("*.cnn"))
    if symbol.origin != "std" or not _is_library(held, symbol):
        if any(d.code == "E705" for d in held.analysis.findings):
            return None  # not looked at, whether it is there included
        paths = [Path(held.document.name).parent / (symbol.origin or "")]
    for path in paths:
        try:
            tree = parse(read_source(path))
        except CnncError:
            continue
        for found in names_of(tree).symbols:
            if found.name == symbol.original and found.kind in ("block", "shared", "extern", "model"):
                return {
                    "uri": uri_of(str(path)),
                    "range": Text(tree.source.text).range(found.span.start, found.span.end),
                }
    return None


def _is_library(held: Open, symbol: Symbol) -> bool:
    tree = held.analysis.tree
    uses = [st for st in tree.statements if isinstance(st, s.Use)] if tree is not None else []
    return any(not use.is_file and use.origin == symbol.origin for use in uses)


def other_uses(space: Workspace, held: Open, symbol: Symbol, name: str) -> dict[str, list[dict[str, Any]]]:
    """Edits in the workspace's other files that use a block whose name changes: `use new as old` there."""
    if symbol.kind not in ("block", "shared", "extern"):
        return {}
    found = {}
    for path in _specs(space.folder):
        uri = uri_of(path)
        if os.path.realpath(path) == os.path.realpath(held.document.name):
            continue
        text = space.open[uri].text if uri in space.open else None
        edits = _uses_in(path, text, held.document.name, symbol.name, name)
        if edits:
            found[uri] = edits
    return found


def _specs(folder: str) -> list[str]:
    found: list[str] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [n for n in folders if not n.startswith(".") and n != "node_modules"]
        found += [os.path.join(root, n) for n in names if n.endswith(".cnn")]
        if len(found) > _FILES:
            break
    return found[:_FILES]


def _uses_in(path: str, text: Text | None, file: str, old: str, new: str) -> list[dict[str, Any]]:
    """The edits in one file."""
    try:
        source = read_source(path)
        text = text or Text(source.text)
        if old not in text.text or "use" not in text.text:
            return []
        tree = parse(source if text.text == source.text else type(source)(path, text.text))
    except CnncError:
        return []
    edits = []
    for use in tree.statements:
        if not isinstance(use, s.Use) or not use.is_file:
            continue
        if os.path.realpath(Path(path).parent / use.origin) != os.path.realpath(file):
            continue
        for used in use.names:
            if used.name == old:
                start = used.span.start
                as_before = "" if used.alias != used.name else f" as {old}"
                edits.append({"range": text.range(start, start + len(old)), "newText": new + as_before})
    return edits
