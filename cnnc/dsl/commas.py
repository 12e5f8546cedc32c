"""Text between commas, without a parse: of an option, or of what is being typed."""

from __future__ import annotations


def at_commas(text: str) -> list[str]:
    """The parts between commas that no bracket holds, as they are.

    >>> at_commas("8, pad=(1, 2),")
    ['8', ' pad=(1, 2)', '']
    """
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]
