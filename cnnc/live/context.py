"""Where in a text one is writing: told by the text before the cursor, for it need not parse."""

from __future__ import annotations

import re
from typing import Literal

from cnnc.dsl.commas import at_commas
from cnnc.dsl.record import record

Where = Literal["chain", "call", "arithmetic", "comment", "string"]

_FAR = 20_000
"""Characters looked back over for an open bracket."""


@record(kw_only=True)
class Context:
    """What is being written at an offset.

    `word` is the beginning of a word, from `start` on. In a call `callee` is the word before the parenthesis,
    `given` the text of each argument before the one being written, and `key` that of `key=`. `line` is the text of
    the line before the cursor.
    """

    where: Where
    word: str
    start: int
    line: str
    callee: str
    given: tuple[str, ...]
    key: str | None
    opens: int
    """Where the innermost open bracket is; -1 for none."""
    head: bool
    """Whether a chain begins here, so that a tensor can stand."""


def context_at(text: str, offset: int) -> Context:
    """The context at an offset.

    >>> here = context_at("conv3-64(norm=bn, act=re", 24)
    >>> here.where, here.callee, here.key, here.word, here.given
    ('call', 'conv3-64', 'act', 're', ('norm=bn',))
    """
    begins = text.rfind("\n", 0, offset) + 1
    line = text[begins:offset]
    found = re.search(r"[A-Za-z_][\w]*$", line)
    word = found[0] if found else ""
    start = offset - len(word)
    where, opens, callee, given, key = _around(text, start)
    if _in_comment(line):
        where = "comment"
    elif line.count('"') % 2:
        where = "string"
    head = not word or re.search(r"(^|->|[\[|+&@:])\s*$", text[begins:start]) is not None
    return Context(
        where=where,
        word=word,
        start=start,
        line=line,
        callee=callee,
        given=given,
        key=key,
        opens=opens,
        head=head,
    )


def _in_comment(line: str) -> bool:
    return "#" in re.sub(r'"[^"]*"', "", line)


def _around(text: str, at: int) -> tuple[Where, int, str, tuple[str, ...], str | None]:
    """The innermost bracket that is open at a place, and what it is of."""
    opens = open_bracket(text, at)
    if opens < 0 or text[opens] == "[":
        return "chain", opens, "", (), None
    if text[opens] == "{":
        return "arithmetic", opens, "", (), None
    match = re.search(r"[A-Za-z_][\w.\-/{}]*$", text[max(0, opens - 200) : opens])
    pieces = at_commas(text[opens + 1 : at])
    last = re.match(r"\s*(\w+)\s*=\s*(.*)", pieces[-1], re.DOTALL)
    return (
        "call",
        opens,
        match[0] if match else "",
        tuple(p.strip() for p in pieces[:-1]),
        last[1] if last else None,
    )


def open_bracket(text: str, at: int) -> int:
    """The innermost bracket that is open at a place; a statement at the head of a line ends the look back."""
    depth = 0
    for i in range(at - 1, max(-1, at - _FAR), -1):
        ch = text[i]
        if ch in ")]}":
            depth += 1
        elif ch in "([{":
            if depth == 0:
                return i
            depth -= 1
        elif ch == "\n" and re.match(
            r"(block|param|expect|use|input|model|default|output|shared)\b", text[i + 1 : i + 10]
        ):
            return -1
    return -1


def enclosing_block(text: str, offset: int) -> tuple[str, tuple[str, ...]] | None:
    """The block in whose body an offset is, and its parameters; told by the lines above.

    >>> enclosing_block("block b(w, s=1) = [\\n  conv3-\\n]", 28)
    ('b', ('w', 's'))
    """
    found = None
    for match in re.finditer(r"^[ \t]*block\s+(\w+)\s*(?:\(([^\n]*?)\))?\s*=", text[:offset], re.MULTILINE):
        found = match
    if found is None:
        return None
    depth, seen = 0, ""
    for line in text[found.end() : offset].split("\n")[:-1]:
        seen += line.partition("#")[0]
        depth += line.count("[") - line.count("]")
        if depth <= 0 and seen.strip():
            return None  # its body has ended
    names = [re.match(r"\s*\*?\s*(\w+)", piece) for piece in at_commas(found[2] or "")]
    return found[1], tuple(name[1] for name in names if name)
