"""Lines of Python at 88 columns, laid out as the common formatters would."""

from __future__ import annotations

import re

WIDTH = 88
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_STATEMENT = re.compile(r"return |\w+(, \w+)* = ")
_ONE_A_LINE = ("nn.Sequential(", "super().__init__(", "OrderedDict(")


def lay_out(line: str, indent: int) -> list[str]:
    """One logical line as one or more lines, each indented by `indent` spaces or more.

    >>> lay_out("x = f(a, b)", 4)
    ['    x = f(a, b)']
    """
    pad = " " * indent
    if indent + len(line) <= WIDTH:
        return [pad + line]
    if (values := _values(line)) is not None:
        lines = [part for value in values[1:] for part in lay_out(f"{value},", indent + 4)]
        return [f"{pad}{values[0]}(", *lines, f"{pad})"]
    if (operands := _operands(line)) is not None:
        return _in_parentheses(*operands, indent)
    bracket = _first_bracket(line) if line.startswith("def ") else _last_bracket(line)
    if bracket is None:
        return [pad + line]
    start, end = bracket
    head, body, tail = line[: start + 1], line[start + 1 : end], line[end:]
    parts = _split(body)
    one_a_line = len(parts) > 1 and (head.endswith(_ONE_A_LINE) or not _follows(head[:-1]))
    if not one_a_line and indent + 4 + len(body) <= WIDTH:
        return [pad + head, f"{pad}    {body}", *_closing(tail, indent)]
    # A comprehension is one element and each `for`, with no comma after any.
    clauses = _clauses(parts[0]) if len(parts) == 1 else parts
    # So is what brackets hold that only group.
    comma = "" if clauses != parts or _groups(head, body, parts) else ","
    lines = [pad + head]
    for part in clauses:
        lines += lay_out(part + comma, indent + 4)
    return [*lines, *_closing(tail, indent)]


def _closing(tail: str, indent: int) -> list[str]:
    """What follows the contents of a bracket, from its closing half on: the result's type of a `def` may be long."""
    first, *rest = lay_out("_" + tail[1:], indent)
    return [" " * indent + tail[0] + first[indent + 1 :], *rest]


def _values(line: str) -> list[str] | None:
    """`x = ` or `return `, and the values of the bare tuple after it; None where there is no tuple."""
    statement = _STATEMENT.match(line)
    values = [] if statement is None else _split(line[statement.end() :])
    return None if statement is None or len(values) == 1 else [statement[0], *values]


def _operands(line: str) -> tuple[str, list[str]] | None:
    """`x = ` or `return ` and the terms of the sum after it, each but the first with its sign before it.

    None where there are fewer than three terms: then a bracket of the last one is opened instead.
    """
    statement = _STATEMENT.match(line)
    if statement is None:
        return None
    depth, start, terms = 0, statement.end(), []
    for i, char in _code(line):
        depth += (char in _PAIRS) - (char in ")]}")
        if depth == 0 and i > start and char == ",":
            return None
        if depth == 0 and i > start and line.startswith((" + ", " - "), i):
            terms.append(line[start:i])
            start = i + 1
    terms.append(line[start:])
    return (statement[0], terms) if len(terms) > 2 else None


def _in_parentheses(head: str, terms: list[str], indent: int) -> list[str]:
    """A sum too long for its line: on a line of its own, or a term a line."""
    pad = " " * indent
    if indent + 4 + len(" ".join(terms)) <= WIDTH:
        body = [f"{pad}    {' '.join(terms)}"]
    else:
        body = [part for term in terms for part in lay_out(term, indent + 4)]
    return [f"{pad}{head}(", *body, f"{pad})"]


def _groups(head: str, body: str, parts: list[str]) -> bool:
    """Whether a bracket groups one expression, and neither calls nor makes a tuple."""
    return (
        len(parts) == 1 and not body.rstrip().endswith(",") and head.endswith("(") and not _follows(head[:-1])
    )


def _follows(before: str) -> bool:
    """Whether a bracket after this calls or subscripts what is before it, and is no tuple, list or group."""
    return re.search(r"[\w)\]}\"']$", before) is not None


def _clauses(part: str) -> list[str]:
    """The element of a comprehension, and each `for` after it; of anything else, itself."""
    depth, start, clauses = 0, 0, []
    for i, char in _code(part):
        depth += (char in _PAIRS) - (char in ")]}")
        if depth == 0 and part.startswith(" for ", i):
            clauses.append(part[start:i])
            start = i + 1
    return [*clauses, part[start:]]


def _first_bracket(line: str) -> tuple[int, int] | None:
    """The outermost bracket pair that begins first: the parameters of a `def`.

    >>> _first_bracket("(a(b)) + c()"), _first_bracket("f(a)(b)")
    ((0, 5), (1, 3))
    """
    depth, start = 0, -1
    for i, char in _code(line):
        if char in _PAIRS:
            start = i if start < 0 else start
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                return start, i
    return None


def _last_bracket(line: str) -> tuple[int, int] | None:
    """The outermost bracket pair that ends last, and has something in it.

    >>> _last_bracket("f(a)()"), _last_bracket("f(a)(b)"), _last_bracket("f()")
    ((1, 3), (4, 6), None)
    """
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
