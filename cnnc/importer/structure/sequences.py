"""Values that change from turn to turn as arithmetic of a number that counts up: `2**(i%10)`, `cell{i-2}`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

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
    found = _sum(values, counts, name) or _power(values, counts, name)
    return found or _again(values, counts, name)


def _sum(values: Sequence[int], counts: Sequence[int], name: str) -> str | None:
    step, rest = divmod(values[1] - values[0], counts[1] - counts[0])
    start = values[0] - step * counts[0]
    is_sum = not rest and all(v == step * c + start for v, c in zip(values, counts, strict=True))
    if not is_sum or step < 1 or (step > 1 and len(values) < _FEWEST):
        return None
    text = name if step == 1 else f"{step}*{name}"
    return f"{text}{start:+}" if start else text


def _power(values: Sequence[int], counts: Sequence[int], name: str) -> str | None:
    if len(values) < _FEWEST or min(values) < 1 or counts[0] not in range(64):
        return None
    base, rest = divmod(values[1], values[0])
    is_power = not rest and base > 1 and all(b == base * a for a, b in pairwise(values))
    if not is_power or max(values) > _LARGEST:
        return None
    first, unit = values[0], base ** counts[0]
    if first % unit == 0:
        first, power = first // unit, f"{base}**{name}"
    else:
        power = f"{base}**({name}-{counts[0]})"
    return power if first == 1 else f"{first}*{power}"


def _again(values: Sequence[int], counts: Sequence[int], name: str) -> str | None:
    """Of values that come again after some turns: the arithmetic of the rest that a division by these leaves."""
    for period in range(_FEWEST, len(values) // 2 + 1):
        if any(a != b for a, b in zip(values, values[period:], strict=False)):
            continue
        for shift in (0, counts[0]):
            rest = f"({name}-{shift})%{period}" if shift else f"{name}%{period}"
            by_rest = dict(zip([(count - shift) % period for count in counts[:period]], values, strict=False))
            turn = [by_rest[i] for i in range(period)]
            found = _sum(turn, range(period), f"({rest})") or _power(turn, range(period), f"({rest})")
            if found is not None:
                return found.removeprefix("(").removesuffix(")") if found == f"({rest})" else found
        return None
    return None


def placed(formula: Formula, name: str, found: Formula) -> Formula:
    """A formula with another in the place of a name."""
    if formula.text == name:
        return found
    apart = re.fullmatch(r"\(?[\w, ]*\)?", formula.text) or re.fullmatch(r"\w+", found.text)
    text = found.text if apart else f"({found.text})"
    return Formula(re.sub(rf"\b{name}\b", lambda _: text, formula.text))
