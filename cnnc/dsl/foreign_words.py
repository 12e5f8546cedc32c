"""A layer's sizes in another spelling, `conv_3_16`, `conv3@16`, `conv3-16s2`: the word to write."""

from __future__ import annotations

import re

_SPELLED = re.compile(
    r"(?P<kind>conv|dwconv|tconv|sepconv|maxpool|avgpool|pool|fc|linear)(?:_|-(?=\d+[x_@-]))?(?P<k>\d+)(?:x(?P<k2>\d+))?"
    r"(?:[x_@-](?P<w>\d+))?(?:(?:[_-]?s(?:tride)?_?|//|_)(?P<s>\d+))?",
    re.IGNORECASE,
)


def word_of(text: str) -> str | None:
    """A layer's word from another spelling of its sizes; None where it is none, or well spelt.

    >>> [word_of(text) for text in ("conv_3_16", "conv3x3x16", "conv3-16s2", "conv3@16", "maxpool_2", "conv3-16/2")]
    ['conv3-16', 'conv3-16', 'conv3-16/2', 'conv3-16', 'maxpool2', None]
    """
    match = _SPELLED.fullmatch(text)
    if match is None:
        return None
    kind, k, k2, width, stride = match.group("kind", "k", "k2", "w", "s")
    if kind.lower() in ("fc", "linear"):
        word = f"{kind.lower()}-{k}" if k2 is width is stride is None else text
    else:
        word = kind.lower() + (k if k2 in (None, k) else f"{k}x{k2}")
        word += (f"-{width}" if width else "") + (f"/{stride}" if stride else "")
    return None if word == text else word
