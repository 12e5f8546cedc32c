"""What a call takes, and which of it is being written."""

from __future__ import annotations

import re

from cnnc.dsl.record import record
from cnnc.live.context import Context, context_at
from cnnc.live.engine import Document
from cnnc.live.hover import layer_of


@record
class Signature:
    """`label` is the whole signature, `parameters` each argument as it stands in it with what it takes."""

    label: str
    parameters: tuple[tuple[str, str], ...]
    active: int | None
    text: str = ""


def signature(document: Document, text: str, offset: int) -> Signature | None:
    """The signature of the call that is being written; None where none is.

    >>> from cnnc.live.engine import Document
    >>> found = signature(Document("net.cnn"), "conv3-4(pad=2, gro", 18)
    >>> found.label.partition(",")[0], found.parameters[found.active]
    ('conv(kernel', ('groups=1', 'an integer, at least 1'))
    """
    here = context_at(text, offset)
    if here.where != "call" or not here.callee:
        return None
    block = _block(document, here)
    if block is not None:
        return block
    layer = layer_of(here.callee)
    if layer is None:
        return None
    parameters = tuple((str(argument), argument.takes) for argument in layer.arguments)
    names = [argument.name for argument in layer.arguments]
    return Signature(layer.signature, parameters, _active(here, names, keyed=True), layer.summary)


def _block(document: Document, here: Context) -> Signature | None:
    """Of a block of the text, or one of std."""
    symbols = () if document.parsed is None else document.parsed.names.symbols
    thing = next(
        (x for x in symbols if x.name == here.callee and x.kind in ("block", "extern", "used")), None
    )
    if thing is None:
        return None
    if thing.kind == "used":
        return _of_std(here, thing.original or "", thing.name) if thing.origin == "std" else None
    pieces = [x for x in symbols if x.owner == thing.name and x.kind == "parameter"]
    label = f"{thing.name}({', '.join(x.whole.text for x in pieces)})"
    return Signature(
        label, tuple((x.whole.text, "") for x in pieces), _active(here, [x.name for x in pieces])
    )


def _of_std(here: Context, name: str, alias: str) -> Signature | None:
    from cnnc.reference import blocks

    found = next((block for block in blocks() if block.name == name), None)
    if found is None or "(" not in found.signature:
        return None
    inner = found.signature.partition("(")[2].rstrip(")")
    pieces = re.split(r",\s*(?![^(\[]*[)\]])", inner)
    names = [piece.partition("=")[0].strip("* ") for piece in pieces]
    return Signature(
        f"{alias}({inner})", tuple((piece, "") for piece in pieces), _active(here, names), found.text
    )


def _active(here: Context, names: list[str], *, keyed: bool = False) -> int | None:
    """Which argument is being written: by its key, by what is begun of one, or by its place."""
    if here.key is not None:
        return names.index(here.key) if here.key in names else None
    begun = [name for name in names if here.word and name.startswith(here.word)]
    if begun:
        return names.index(begun[0])
    return None if keyed or len(here.given) >= len(names) else len(here.given)
