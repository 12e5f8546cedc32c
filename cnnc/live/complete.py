"""What can be written next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from cnnc.compiler.cost import FIGURES
from cnnc.compiler.ops import by_x
from cnnc.compiler.queries import QUERIES, TOTALS
from cnnc.compiler.walk.operations import FUNCTIONS
from cnnc.compiler.walk.values import SIZE_NAMES
from cnnc.dsl.diagnostics import CODES
from cnnc.dsl.record import record
from cnnc.dsl.tokens import STATEMENTS
from cnnc.live.context import Context, context_at, enclosing_block
from cnnc.live.engine import Analysis, Document
from cnnc.live.names import Symbol

Kind = Literal[
    "word", "layer", "block", "label", "param", "argument", "value", "file", "spec", "figure", "function"
]


@record
class Completion:
    """One thing to write: `text` in place of what was begun, from `start` on."""

    label: str
    kind: Kind
    start: int
    text: str
    detail: str = ""
    card: str = ""
    """The layer whose card tells more."""


def complete(document: Document, text: str, offset: int) -> list[Completion]:
    """What can be written at an offset of the newest text. It may be broken: names are those of the last that parsed.

    >>> document = Document("net.cnn")
    >>> _ = document.put("input 3x8x8\\nconv3-4(gro")
    >>> [found.label for found in complete(document, "input 3x8x8\\nconv3-4(gro", 23)]
    ['groups']
    """
    here = context_at(text, offset)
    found = list(_found(document.parsed, document, text, offset, here))
    word = here.word.lower()
    seen: set[str] = set()
    kept = []
    for item in found:
        begun = text[item.start : offset].lower()
        if item.label.lower().startswith(begun or word) and item.label not in seen:
            seen.add(item.label)
            kept.append(item)
    return kept


def _found(
    parsed: Analysis | None, document: Document, text: str, offset: int, here: Context
) -> Iterator[Completion]:
    if not text.strip():
        yield from _zoo()
    if here.where == "comment":
        if re.search(r"#\s*allow\s+\w*$", here.line):
            yield from (_item(here, code, "value", CODES[code]) for code in CODES if code.startswith("W"))
        return
    of_line = _statement(document, text, here, offset)
    if of_line is not None:
        yield from of_line
    elif here.where == "call":
        yield from _call(parsed, text, offset, here)
    elif here.where == "arithmetic" or re.search(r"[\w}][-/]\w*$", here.line):
        yield from _arithmetic(parsed, text, offset, here)
    elif here.where == "chain":
        yield from _chain(parsed, text, offset, here)


def _item(
    here: Context, label: str, kind: Kind, detail: str = "", text: str = "", card: str = ""
) -> Completion:
    return Completion(label, kind, here.start, text or label, detail, card)


# --- statements ---------------------------------------------------------------------------


def _statement(document: Document, text: str, here: Context, offset: int) -> Iterable[Completion] | None:
    """What a statement asks for behind its word; None where it is no such place."""
    line = here.line
    quoted = re.match(r'\s*use\b.*\bfrom\s+"([^"]*)$', line)
    if quoted is not None:
        return _files(document.name, quoted[1], offset)
    if re.match(r"\s*use\b.*\bfrom\s+\w*$", line):
        return [
            _item(here, "std", "word", "the library that ships"),
            _item(here, '"', "word", "a file beside this one"),
        ]
    if re.match(r"\s*use\b[^\"]*$", line):
        return _library(here, text)
    if re.match(r"\s*default\s+\w*$", line):
        return _layers(here)
    if re.match(r"\s*output\b", line):
        return _labels(document.parsed, here, None)
    if re.match(r"\s*expect\b", line):
        return _claims(document.parsed, here)
    if re.match(r"\s*(model|input|block|shared|extern)\s+\w*$", line):
        return []
    return None


def _claims(parsed: Analysis | None, here: Context) -> Iterator[Completion]:
    if here.where != "call":
        for name in TOTALS:
            yield _item(here, name, "figure", FIGURES[name].title if name in FIGURES else "")
        for name in QUERIES:
            yield _item(here, name, "figure", f"{name}(LABEL)")
    yield from _labels(parsed, here, None)
    yield from _params(parsed, here)


def _library(here: Context, text: str) -> Iterator[Completion]:
    from cnnc.reference import blocks

    for block in blocks():
        bare = " from " not in here.line and not re.match(r"[^\n]*\bfrom\b", text[here.start :])
        yield _item(
            here, block.name, "block", block.signature, f"{block.name} from std" if bare else block.name
        )


def _files(name: str, begun: str, offset: int) -> Iterator[Completion]:
    """The .cnn files in the folder of a spec and the folders in it, by the path that `use` writes."""
    folder = Path(name).parent
    start = offset - len(begun)
    try:
        paths = sorted([*folder.glob("*.cnn"), *folder.glob("*/*.cnn")])[:200]
    except OSError:
        return
    for path in paths:
        if path != Path(name):
            shown = path.relative_to(folder).as_posix()
            yield Completion(shown, "file", start, shown)


@lru_cache(maxsize=1)
def _zoo() -> tuple[Completion, ...]:
    """The networks that ship and need no other file: for an empty text."""
    from cnnc.zoo import entries

    found = []
    for entry in entries():
        if not re.search(r'^use [^\n]*"', entry.text, re.MULTILINE):
            found.append(Completion(f"zoo:{entry.name}", "spec", 0, entry.text, entry.head.title))
    return tuple(found)


# --- chains --------------------------------------------------------------------------------


def _chain(parsed: Analysis | None, text: str, offset: int, here: Context) -> Iterator[Completion]:
    if re.fullmatch(r"\s*\w*", here.line) and here.opens < 0:
        for word in sorted(STATEMENTS):
            yield _item(here, word, "word", "statement", f"{word} ")
    block = enclosing_block(text, offset)
    if here.head:
        yield from _labels(parsed, here, None if block is None else block[0])
    yield from _things(parsed, here)
    yield from _layers(here)
    for word in ("id", "shortcut", "again", "weight", "crop", "stretch"):
        yield _item(here, word, "layer", card=word)
    if block is not None:
        yield from (_item(here, name, "param", f"parameter of {block[0]}") for name in block[1])
    if here.opens >= 0:
        yield from (_item(here, word, "word") for word in ("if", "else", "for", "in", "none"))


@lru_cache(maxsize=1)
def _layer_words() -> tuple[tuple[str, str], ...]:
    """Every layer word and what it is, kinds before their other names."""
    from cnnc.reference import layers

    kinds = [(layer.kind, layer.summary) for layer in layers()]
    others = [(alias, f"the same as {layer.kind}") for layer in layers() for alias in layer.aliases]
    return tuple(kinds + others)


def _layers(here: Context) -> Iterator[Completion]:
    yield from (
        _item(here, word, "layer", detail.split(". ")[0], card=word) for word, detail in _layer_words()
    )


def _things(parsed: Analysis | None, here: Context) -> Iterator[Completion]:
    """Blocks, shared modules, externs and what is used from elsewhere."""
    for symbol in _symbols(parsed):
        if symbol.kind in ("block", "shared", "extern", "used"):
            yield _item(here, symbol.name, "block", symbol.whole.text.partition("\n")[0][:80])


def _labels(parsed: Analysis | None, here: Context, owner: str | None) -> Iterator[Completion]:
    graph = None if parsed is None else parsed.graph
    for symbol in _symbols(parsed):
        if symbol.kind in ("label", "input") and symbol.owner == owner and not symbol.made:
            node = None if graph is None else graph.labels.get(symbol.name)
            shape = "" if graph is None or node is None else by_x(graph.nodes[node].out)
            yield _item(
                here, symbol.name, "label", shape, f'"{symbol.name}"' if symbol.quoted else symbol.name
            )


def _params(parsed: Analysis | None, here: Context) -> Iterator[Completion]:
    for symbol in _symbols(parsed):
        if symbol.kind == "param":
            yield _item(here, symbol.name, "param", symbol.whole.text.partition("\n")[0])


def _symbols(parsed: Analysis | None) -> tuple[Symbol, ...]:
    return () if parsed is None else parsed.names.symbols


# --- calls and arithmetic --------------------------------------------------------------------


def _call(parsed: Analysis | None, text: str, offset: int, here: Context) -> Iterator[Completion]:
    """Keys and values of arguments."""
    given = {piece.partition("=")[0].strip() for piece in here.given if "=" in piece}
    block = next(
        (x for x in _symbols(parsed) if x.name == here.callee and x.kind in ("block", "extern")), None
    )
    if block is not None:
        for symbol in _symbols(parsed):
            if (
                symbol.owner == block.name
                and symbol.kind == "parameter"
                and here.key is None
                and symbol.name not in given
            ):
                yield _item(here, symbol.name, "argument", symbol.whole.text, f"{symbol.name}=")
        yield from _arithmetic(parsed, text, offset, here)
        return
    from cnnc.live.hover import layer_of

    layer = None if here.callee == "" else layer_of(here.callee)
    if layer is None:
        yield from _arithmetic(parsed, text, offset, here)
    elif here.key is None:
        for argument in layer.arguments:
            if argument.name not in given:
                yield _item(
                    here, argument.name, "argument", f"{argument}: {argument.takes}", f"{argument.name}="
                )
    else:
        takes = next((x.takes for x in layer.arguments if x.name == here.key.lower()), "")
        yield from _values(takes, parsed, here)
        yield from _arithmetic(parsed, text, offset, here)


def _values(takes: str, parsed: Analysis | None, here: Context) -> Iterator[Completion]:
    """The words that an argument takes, by what it says itself."""
    families = [name for name in ("normalisation", "activation") if name in takes]
    for family in families:
        yield from (_item(here, word, "value", family, card=word) for word in _of_family(family))
    if "label" in takes:
        yield from _labels(parsed, here, None)
    words = re.sub(r"\([^)]*\)|an? \w+|at least \d+", "", takes)
    for word in re.findall(r"\b[a-z][a-z_]*\b", words) if not families else ["none"]:
        if word not in (
            "or",
            "and",
            "of",
            "on",
            "by",
            "axis",
            "number",
            "for",
            "each",
            "input",
            "row",
            "one",
            "the",
        ):
            yield _item(here, word, "value")


@lru_cache(maxsize=4)
def _of_family(family: str) -> tuple[str, ...]:
    from cnnc.reference import layers

    return tuple(layer.kind for layer in layers() if layer.family == family)


def _arithmetic(parsed: Analysis | None, text: str, offset: int, here: Context) -> Iterator[Completion]:
    """Params, the parameters of the block around, variables of comprehensions, functions and sizes."""
    block = enclosing_block(text, offset)
    if block is not None:
        yield from (_item(here, name, "param", f"parameter of {block[0]}") for name in block[1])
    yield from _params(parsed, here)
    for symbol in _symbols(parsed):
        if symbol.kind == "variable" and symbol.owner == (block and block[0]):
            yield _item(here, symbol.name, "param", "of a comprehension")
    if here.where != "chain":
        yield from (_item(here, name, "function") for name in sorted(FUNCTIONS))
        yield from (_item(here, name, "value", "of what flows in") for name in SIZE_NAMES)
