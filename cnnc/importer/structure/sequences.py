"""Values that change from turn to turn as arithmetic of a number that counts up: `2**(i%10)`, `cell{i-2}`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cnnc.compiler.progressions import rule_of
from cnnc.importer.structure.terms import Formula, Value

_FEWEST = 3
"""How many values there are at least where arithmetic is written for them; for `i` and a number, two are enough."""
_LARGEST = 1 << 40


def is_run(values: Sequence[Value]) -> bool:
    """Whether values count up by one."""
    first = values[0]
    return isinstance(first, int) and len(values) > 1 and [*values] == [*range(first, first + len(values))]


def follows(values: Sequence[Value], counts: Sequence[int], name: str) -> Formula | None:
    """The arithmetic of `name`, which counts up as `counts` say, that gives the values; None where none is known.

    Of numbers it is a sum, a power, or one of these of the rest of a division; of labels it is that of their
    number.

    >>> follows((1, 2, 4, 8), (0, 1, 2, 3), "i")
    Formula(text='2**i')
    >>> follows((1, 2, 4, 1, 2, 4, 1), range(7), "i")
    Formula(text='2**(i%3)')
    >>> follows(("cell4", "cell5", "cell6"), (6, 7, 8), "i")
    Formula(text='cell{i-2}')
    """
    if all(isinstance(value, int) for value in values):
        text = _arithmetic([int(str(value)) for value in values], counts, name)
        return None if text is None else Formula(text)
    pieces = [re.fullmatch(r"([A-Za-z_][\w.]*?)(\d+)((?:\.[A-Za-z_]\w*)*)", str(value)) for value in values]
    if not all(isinstance(value, str) for value in values) or not all(pieces):
        return None
    found = [piece.groups() for piece in pieces if piece is not None]
    stems = {(stem, rest) for stem, _, rest in found}
    if len(stems) > 1 or any(str(int(number)) != number for _, number, _ in found):
        return None
    text = _arithmetic([int(number) for _, number, _ in found], counts, name)
    return None if text is None else Formula(f"{found[0][0]}{{{text}}}{found[0][2]}")


def _arithmetic(values: Sequence[int], counts: Sequence[int], name: str) -> str | None:
    rule = rule_of(values, counts)
    if rule is None:
        return None
    length = rule.period or len(values)
    if rule.base:
        is_seen = length >= _FEWEST and counts[0] in range(64) and max(values) <= _LARGEST
    else:
        is_seen = rule.step >= 1 and (length >= _FEWEST or (rule.step == 1 and not rule.period))
    text = rule.text(name).replace(" ", "")
    is_rest = rule.period and rule.step == 1 and not rule.first  # needs no brackets alone
    return (text[1:-1] if is_rest else text) if is_seen else None


def placed(formula: Formula, name: str, found: Formula) -> Formula:
    """A formula with another in the place of a name."""
    if formula.text == name:
        return found
    apart = re.fullmatch(r"\(?[\w, ]*\)?", formula.text) or re.fullmatch(r"\w+", found.text)
    text = found.text if apart else f"({found.text})"
    return Formula(re.sub(rf"\b{name}\b", lambda _: text, formula.text))
