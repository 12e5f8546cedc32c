"""Sets of nodes as text: `0-3 7`, short enough to stand on every row of a page."""

from __future__ import annotations

from collections.abc import Iterable


def ranges_text(numbers: Iterable[int]) -> str:
    """Numbers as ascending ranges.

    >>> ranges_text([7, 1, 0, 2, 3])
    '0-3 7'
    """
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
