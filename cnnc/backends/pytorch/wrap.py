"""Lines of Python at 88 columns, laid out as the common formatters would."""

from __future__ import annotations

import re

WIDTH = 88
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_ONE_A_LINE = ("nn.Sequential(", "super().__init__(", "OrderedDict(")


def lay_out(line: str, indent: int) -> list[str]:
    """One logical line as one or more lines, each indented by `indent` spaces or more.

    >>> lay_out("x = f(a, b)", 4)
    ['    x = f(a, b)']
    """
    pad = " " * indent
    if indent + len(line) <= WIDTH:
        return [pad + line]
    bracket = _last_bracket(line)
    if bracket is None:
        return [pad + line]
    start, end = bracket
    head, body, tail = line[: start + 1], line[start + 1 : end], line[end:]
    parts = _split(body)
    one_a_line = head.endswith(_ONE_A_LINE) and len(parts) > 1
    if not one_a_line and indent + 4 + len(body) <= WIDTH:
        return [pad + head, f"{pad}    {body}", pad + tail]
    # A comprehension is one element and its `for`, with no comma after either.
    clause = _clause(parts[0]) if len(parts) == 1 else None
    # So is what brackets hold that only group.
    comma = "" if clause is not None or _groups(head, body, parts) else ","
    lines = [pad + head]
    for part in parts if clause is None else [parts[0][:clause], parts[0][clause + 1 :]]:
        lines += lay_out(part + comma, indent + 4)
    return [*lines, pad + tail]


def _groups(head: str, body: str, parts: list[str]) -> bool:
    """Whether a bracket groups one expression, and neither calls nor makes a tuple."""
    before = head[:-1]
    return (
        len(parts) == 1
        and not body.rstrip().endswith(",")
        and head.endswith("(")
        and not re.search(r"[\w)\]}\"']$", before)
    )


def _clause(part: str) -> int | None:
    """Where the `for` of a comprehension begins, with the blank before it; None where there is none."""
    depth = 0
    for i, char in _code(part):
        depth += (char in _PAIRS) - (char in ")]}")
        if depth == 0 and part.startswith(" for ", i):
            return i
    return None


def _last_bracket(line: str) -> tuple[int, int] | None:
    """The outermost bracket pair that ends last."""
    depth, start, found = 0, -1, None
    for i, char in _code(line):
        if char in _PAIRS:
            if depth == 0:
                start = i
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0 and i > start + 1:
                found = (start, i)
    return found


def _split(body: str) -> list[str]:
    """The pieces between the commas of the outermost level."""
    parts, depth, start = [], 0, 0
    for i, char in _code(body):
        if char in _PAIRS:
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(body[start:i].strip())
            start = i + 1
    parts.append(body[start:].strip())
    return [part for part in parts if part]


def _code(line: str) -> list[tuple[int, str]]:
    """The characters outside string literals, with their places."""
    out: list[tuple[int, str]] = []
    quote = ""
    skip = False
    for i, char in enumerate(line):
        if skip:
            skip = False
        elif quote:
            if char == "\\":
                skip = True
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        else:
            out.append((i, char))
    return out
