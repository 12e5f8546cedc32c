"""The rule that numbers follow as a count goes up: a sum, a power, or one of these of the rest of a division."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cnnc.dsl.record import record


@record
class Rule:
    """`first + step * n`, or where there is a base `first * base ** n`.

    `n` is the count less `shift`; where there is a period, the rest that this leaves when it divides that.
    """

    first: int
    step: int = 0
    base: int = 0
    shift: int = 0
    period: int = 0

    def text(self, name: str) -> str:
        """The rule as arithmetic of what counts.

        >>> rule_of([3, 5, 7, 9] * 2, range(8)).text("i"), rule_of([3, 6, 12], range(1, 4)).text("i")
        ('2 * (i % 4) + 3', '3 * 2 ** (i - 1)')
        """
        number = f"({name} - {self.shift})" if self.shift else name
        number = f"({number} % {self.period})" if self.period else number
        if self.base:
            return (
                f"{self.base} ** {number}" if self.first == 1 else f"{self.first} * {self.base} ** {number}"
            )
        if not self.step:
            return str(self.first)
        grown = number if self.step == 1 else f"{self.step} * {number}"
        return f"{grown} {'+' if self.first > 0 else '-'} {abs(self.first)}" if self.first else grown


def rule_of(values: Sequence[int], counts: Sequence[int]) -> Rule | None:
    """The rule by which the values follow from the counts, which go up evenly; None where there is none."""
    found = _straight(values, counts)
    if found is not None:
        return found
    for period in range(2, len(values) // 2 + 1) if counts[1] - counts[0] == 1 else ():
        if any(a != b for a, b in zip(values, values[period:], strict=False)):
            continue
        for shift in dict.fromkeys((0, counts[0])):
            rests = [(count - shift) % period for count in counts[:period]]
            found = _straight([values[rests.index(n)] for n in range(period)], range(period))
            if found is not None:
                return replace(found, shift=shift, period=period)
        return None
    return None


def _straight(values: Sequence[int], counts: Sequence[int]) -> Rule | None:
    """The sum or power that gives the values."""
    width = counts[1] - counts[0]
    step, rest = divmod(values[1] - values[0], width)
    first = values[0] - step * counts[0]
    if not rest and all(v == first + step * c for v, c in zip(values, counts, strict=True)):
        return Rule(first, step)
    base, rest = divmod(values[1], values[0]) if values[0] > 0 and width == 1 else (0, 0)
    if base < 2 or rest or any(v != values[0] * base**i for i, v in enumerate(values)):
        return None
    first, rest = divmod(values[0], base ** counts[0]) if counts[0] in range(64) else (0, 1)
    return Rule(values[0], base=base, shift=counts[0]) if rest else Rule(first, base=base)
