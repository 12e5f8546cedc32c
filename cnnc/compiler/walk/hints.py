"""Hints for words that mean nothing here, and something elsewhere: another library, std, a block's parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from cnnc.compiler.ops import Shape, op_words
from cnnc.compiler.walk.library import STD
from cnnc.dsl import foreign
from cnnc.dsl import syntax as s
from cnnc.dsl.foreign_words import word_of
from cnnc.dsl.source import Span

_STD_BLOCK = re.compile(r"^block (\w+)", re.MULTILINE)


def for_layer(word: s.Word, names: Iterable[str]) -> str | None:
    """What a layer word that is unknown, or has a form no layer has, was meant to be.

    `names` are those that arithmetic knows in its place.
    """
    text = word.literal or word.head_span.text
    return (
        of_another_library(word)
        or _of_a_module(text)
        or _of_std(text)
        or _without_braces(text, set(names))
        or spelled(word)
    )


def spelled(given: s.Word) -> str | None:
    """`conv_3_16`, `conv3x3x16`, `max_pool2`, `dense-10`: sizes and names in another spelling."""
    text = given.literal or given.head_span.text
    word = word_of(text) or word_of(text.replace("_", ""))
    if word is None and (match := re.fullmatch(r"([A-Za-z_]+)[-_]?(\d+)", text)) is not None:
        if match[1].lower() in op_words():
            return None
        sizes = [("units", match[2]), ("kernel_size", match[2])]
        word = foreign.layer(match[1], sizes) or foreign.layer(match[1].capitalize(), sizes)
        word = None if word is not None and foreign.is_more_than_a_word(word) else word
    return f"write `{word}`" if word is not None else None


def of_another_library(word: s.Word) -> str | None:
    """How cnnc writes a layer of another library; names there have their case."""
    given = [(a.key, a.value.span.text) for a in word.args or ()]
    if len(given) == 1 and word.args and isinstance(word.args[0].value, s.Call):
        inner = word.args[0].value  # model.add(Conv2D(16, 3))
        hint = foreign.layer_hint(inner.name, [(a.key, a.value.span.text) for a in inner.args])
        if hint is not None:
            return hint
    return foreign.layer_hint(word.literal or word.head_span.text, given)


def _of_a_module(text: str) -> str | None:
    """`tf.nn.relu`: a layer that has the name it has here, behind its module's."""
    name = text.rpartition(".")[2].lower()
    return f"write `{name}`" if foreign.of_a_module(text) and name in op_words() else None


def _of_std(text: str) -> str | None:
    """`se`, `bottleneck`: blocks that ship, and are to be brought first."""
    blocks = {
        name for path in STD.glob("*.cnn") for name in _STD_BLOCK.findall(path.read_text(encoding="utf8"))
    }
    return f"it is a block of the library: use {text} from std" if text in blocks else None


def _without_braces(text: str, names: set[str]) -> str | None:
    """`convk-w` in a block of k and w: a name inside a word stands in braces."""
    for kind in sorted(op_words(), key=len, reverse=True):
        match = re.fullmatch(rf"({kind})([A-Za-z_]\w*)(-.*|/.*)?", text)
        if match is not None and match[2] in names:
            return f"write `{match[1]}{{{match[2]}}}{match[3] or ''}`: a name inside a word needs braces"
    return None


def of_what_flows(where: Span, shapes: Sequence[Shape]) -> str | None:
    """A hint for an argument that is written `C`, `H` or `W` and does not fit: how much that is here."""
    match = re.search(r"= *([CHW])$", where.text)
    if match is None or len(shapes) != 1 or len(shapes[0]) <= "CHW".index(match[1]):
        return None
    size = shapes[0]["CHW".index(match[1])]
    axis = {"C": "channels", "H": "height", "W": "width"}[match[1]]
    told = f"`{match[1]}` is {size} here, the {axis} of the layer's input"
    if where.text.startswith("groups") and match[1] == "C":
        told += ": the width must be a multiple of it, or write dwconv for filters of each map"
    return told
