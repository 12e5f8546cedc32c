"""Expressions set into expressions, with the parentheses that Python's precedence needs."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SUM, _PRODUCT, _SIGN, _ATOM = range(4)
_OPERATORS = {" + ": _SUM, " - ": _SUM, " * ": _PRODUCT, " / ": _PRODUCT}
_PLACE = re.compile(r"\{(\d+)\}")


def filled(template: str, operands: Sequence[str]) -> str:
    """A template with its operands in; `{all}` are all of them, by commas.

    A sum is never taken apart to save parentheses, so that numbers are added in the order of the text.

    >>> filled("{0} * {1}", ["a + b", "f(c + d)"]), filled("{0}[:, 1]", ["-a"]), filled("{0} + {1}", ["a", "-b"])
    ('(a + b) * f(c + d)', '(-a)[:, 1]', 'a - b')
    """
    template = template.replace("{all}", ", ".join(operands))
    own = _binding(_PLACE.sub("_", template))
    out, at = "", 0
    for found in _PLACE.finditer(template):
        out += template[at : found.start()]
        at = found.end()
        operand = operands[int(found[1])]
        least = _needed(template, found.start(), found.end(), own)
        if out.endswith(" + ") and operand.startswith("-") and _binding(operand) == _SIGN:
            out, operand = f"{out[:-3]} - ", operand[1:]
        elif _binding(operand) < least:
            operand = f"({operand})"
        out += operand
    return out + template[at:]


def _needed(template: str, start: int, end: int, own: int) -> int:
    """How tightly an operand must bind to stand at a place of a template as it is."""
    if template[end : end + 1] in ("[", "."):
        return _ATOM
    if _depth(template[:start]) or own == _ATOM:
        return _SUM
    if own == _SIGN:
        return _ATOM if start else _SIGN
    return own if start == 0 else own + 1


def _binding(text: str) -> int:
    """How tightly the loosest operator outside brackets binds."""
    loosest = _SIGN if text.startswith("-") else _ATOM
    for at in range(len(text)):
        binds = _OPERATORS.get(text[at : at + 3])
        if binds is not None and binds < loosest and not _depth(text[:at]):
            loosest = binds
    return loosest


def _depth(text: str) -> int:
    """How many brackets are open at the end of a text."""
    return sum(text.count(opening) for opening in "([{") - sum(text.count(closing) for closing in ")]}")
