"""The answers to an editor's requests: what the engine knows, in the protocol's words."""

from __future__ import annotations

from typing import Any

from cnnc.dsl.diagnostics import CnncError
from cnnc.live.colours import colours
from cnnc.live.complete import complete
from cnnc.live.figures import inlay
from cnnc.live.fixes import fixes
from cnnc.live.hover import hover as card_at
from cnnc.live.outline import Entry, folds, outline
from cnnc.live.signature import signature
from cnnc.lsp.diagnostics import diagnostics, range_of
from cnnc.lsp.places import definition_of, other_uses
from cnnc.lsp.server import TOKEN_MODIFIERS, TOKEN_TYPES, Refused
from cnnc.lsp.workspace import Open, Workspace

Answer = dict[str, Any] | list[Any] | None

_SYMBOLS = {
    "model": 2, "input": 11, "param": 14, "block": 12, "shared": 19, "extern": 5, "used": 3, "label": 8,
}  # fmt: skip
_COMPLETIONS = {
    "word": 14, "layer": 7, "block": 3, "label": 18, "param": 6, "argument": 10, "value": 12, "file": 17, "spec": 15,
    "figure": 10, "function": 3,
}  # fmt: skip


def _markdown(text: str) -> dict[str, str]:
    return {"kind": "markdown", "value": text}


def _offset(held: Open, params: Any) -> int:
    return held.text.offset(params["position"])


def _understood(held: Open) -> bool:
    """Whether positions of the newest text are those of an analysis with names."""
    return held.analysis.tree is not None


def hover(space: Workspace, held: Open, params: Any) -> Answer:
    """The card for what stands under the pointer."""
    offset = _offset(held, params)
    if not _understood(held):
        return None
    card = card_at(held.analysis, offset)
    if card is None:
        return None
    return {"contents": _markdown(card.text), "range": held.text.range(card.span.start, card.span.end)}


def inlays(space: Workspace, held: Open, params: Any) -> Answer:
    """What stands at the ends of the lines asked for."""
    first, last = params["range"]["start"]["line"], params["range"]["end"]["line"]
    good = held.document.good
    if good is None:
        return []
    found = []
    for line in held.document.lines():
        number = held.text.line_of(line.number)
        label = inlay(good, line, space.shown) if first <= number <= last else ""
        if label:
            place = held.text.end_of_line(number)
            found.append({
                "position": place, "label": label, "paddingLeft": True,
                "tooltip": inlay(good, line, ("shape", "params", "macs", "field")),
            })  # fmt: skip
    return found


def completion(space: Workspace, held: Open, params: Any) -> Answer:
    """What can be written next."""
    offset = _offset(held, params)
    items = []
    for i, found in enumerate(complete(held.document, held.text.text, offset)):
        item: dict[str, Any] = {
            "label": found.label,
            "kind": _COMPLETIONS[found.kind],
            "sortText": f"{i:05}",
            "textEdit": {"range": held.text.range(found.start, offset), "newText": found.text},
        }
        if found.detail:
            item["detail"] = found.detail
        if found.kind == "spec":
            item["filterText"] = found.label
        items.append(item)
    return {"isIncomplete": False, "items": items}


def signature_help(space: Workspace, held: Open, params: Any) -> Answer:
    """The signature of the call that is being written."""
    found = signature(held.document, held.text.text, _offset(held, params))
    if found is None:
        return None
    told: dict[str, Any] = {
        "label": found.label,
        "documentation": found.text,
        "parameters": [{"label": label, "documentation": takes} for label, takes in found.parameters],
    }
    return {"signatures": [told], "activeSignature": 0, "activeParameter": found.active}


def definition(space: Workspace, held: Open, params: Any) -> Answer:
    """Where a name is declared; for what another file or std declares, there."""
    place = held.analysis.names.at(_offset(held, params))
    if place is None:
        return None
    return definition_of(held, place.symbol)


def references(space: Workspace, held: Open, params: Any) -> Answer:
    """Every place of a name in its text."""
    place = held.analysis.names.at(_offset(held, params))
    if place is None:
        return []
    whole = (params.get("context") or {}).get("includeDeclaration", True)
    places = [p for p in held.analysis.names.of(place.symbol) if whole or not p.declares]
    return [{"uri": held.uri, "range": held.text.range(p.span.start, p.span.end)} for p in places]


def highlights(space: Workspace, held: Open, params: Any) -> Answer:
    """The places of the name under the cursor: 3 where it is declared, 2 where it is used."""
    place = held.analysis.names.at(_offset(held, params))
    places = () if place is None else held.analysis.names.of(place.symbol)
    return [
        {"range": held.text.range(p.span.start, p.span.end), "kind": 3 if p.declares else 2} for p in places
    ]


def symbols(space: Workspace, held: Open, params: Any) -> Answer:
    """The outline."""
    return [_symbol(held, entry) for entry in outline(held.analysis.names)]


def _symbol(held: Open, entry: Entry) -> dict[str, Any]:
    symbol = entry.symbol
    whole = held.text.range(symbol.whole.start, symbol.whole.end)
    return {
        "name": symbol.name or "_",
        "detail": symbol.kind,
        "kind": _SYMBOLS[symbol.kind],
        "range": whole,
        "selectionRange": held.text.range(symbol.span.start, symbol.span.end),
        "children": [_symbol(held, child) for child in entry.children],
    }


def folding(space: Workspace, held: Open, params: Any) -> Answer:
    """What can be folded."""
    tree = held.analysis.tree
    if tree is None:
        return []
    found = []
    for first, last, kind in folds(tree):
        lines = held.text.line_of(first), held.text.line_of(last)
        found.append({"startLine": lines[0], "endLine": lines[1], "kind": kind})
    return found


_TOKENS = {
    "keyword": "keyword", "number": "number", "string": "string", "comment": "comment", "layer": "function",
    "block": "class", "label": "variable", "param": "variable", "parameter": "parameter", "key": "property",
    "model": "namespace",
}  # fmt: skip
"""The protocol's type of each kind of word."""
_DECLARED, _READONLY = (1 << TOKEN_MODIFIERS.index(name) for name in ("declaration", "readonly"))


def semantic_tokens(space: Workspace, held: Open, params: Any) -> Answer:
    """What each word is: five numbers a word, its place told from the one before."""
    data: list[int] = []
    line, character = 0, 0
    for start, end, kind, declares in colours(held.analysis):
        place = held.text.range(start, end)
        at = place["start"]
        new = at["line"] != line
        length = place["end"]["character"] - at["character"]
        marks = (_DECLARED if declares else 0) | (_READONLY if kind == "param" else 0)
        data += [
            at["line"] - line,
            at["character"] - (0 if new else character),
            length,
            TOKEN_TYPES.index(_TOKENS[kind]),
            marks,
        ]
        line, character = at["line"], at["character"]
    return {"data": data}


def formatting(space: Workspace, held: Open, params: Any) -> Answer:
    """The canonical layout, as one change of what lies between the first and the last difference."""
    from cnnc.dsl.format import format_source

    try:
        after = format_source(held.analysis.source)
    except CnncError:
        return None
    before = held.text.text
    if before.partition("\n")[0].endswith("\r"):
        after = after.replace("\n", "\r\n")
    if before == after:
        return []
    return [{"range": held.text.range(0, len(before)), "newText": after}]


def code_actions(space: Workspace, held: Open, params: Any) -> Answer:
    """The hints of what was found in a stretch of the text, as edits."""
    start, end = held.text.offset(params["range"]["start"]), held.text.offset(params["range"]["end"])
    only = (params.get("context") or {}).get("only")
    if only is not None and not any("quickfix".startswith(kind) for kind in only):
        return []
    actions = []
    for finding, told in zip(held.analysis.findings, diagnostics(held), strict=True):
        place = range_of(held, finding)
        if held.text.offset(place["end"]) < start or held.text.offset(place["start"]) > end:
            continue
        for i, fix in enumerate(fixes(held.analysis, finding, held.document.setting)):
            edit = {"range": held.text.range(fix.edit.start, fix.edit.end), "newText": fix.edit.text}
            actions.append({
                "title": fix.title, "kind": "quickfix", "diagnostics": [told], "isPreferred": i == 0,
                "edit": {"changes": {held.uri: [edit]}},
            })  # fmt: skip
    return actions


def prepare_rename(space: Workspace, held: Open, params: Any) -> Answer:
    """The name under the cursor, where it can be changed."""
    from cnnc.live.rename import place_to_rename

    _refuse_broken(held)
    try:
        place = place_to_rename(held.analysis, _offset(held, params))
    except CnncError as error:
        raise Refused(error.diagnostics[0].message) from None
    return {"range": held.text.range(place.span.start, place.span.end), "placeholder": place.span.text}


def rename(space: Workspace, held: Open, params: Any) -> Answer:
    """A name changed wherever it stands, in the files that use it too; a note tells of tensors that change names."""
    from cnnc.live.rename import place_to_rename
    from cnnc.live.rename import rename as renamed

    _refuse_broken(held)
    offset, name = _offset(held, params), params["newName"]
    try:
        symbol = place_to_rename(held.analysis, offset).symbol
        renaming = renamed(held.analysis, offset, name, held.document.setting)
    except CnncError as error:
        raise Refused(error.diagnostics[0].message) from None
    changes = {
        held.uri: [{"range": held.text.range(e.start, e.end), "newText": e.text} for e in renaming.edits]
    }
    changes |= other_uses(space, held, symbol, name)
    if renaming.note is not None:
        space.server.notify("window/showMessage", {"type": 3, "message": renaming.note})
    return {"changes": changes}


def _refuse_broken(held: Open) -> None:
    if held.analysis.tree is None or held.analysis.is_wrong:
        raise Refused(
            "the spec has errors: fix them first, since names are changed only where the meaning stays the same"
        )
