"""Amounts of memory as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

from cnnc.dsl.units import UNITS

BYTES = {name: size for name, (measured, size) in UNITS.items() if measured == "bytes"}


def bytes_of(text: str) -> int:
    """An amount of memory in bytes. Raises ValueError where it is none.

    >>> bytes_of("80GiB"), bytes_of("1.5 MB"), bytes_of("512")
    (85899345920, 1500000, 512)
    """
    match = re.fullmatch(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([KMGT]?i?B)?\s*", text)
    if match is None or (match[2] or "B") not in BYTES:
        raise ValueError(f"`{text}` is not an amount of memory, such as 80GiB, 512 MiB or 2 MB")
    return int(Fraction(match[1].replace("_", "")) * BYTES[match[2] or "B"])


def shown_bytes(size: int) -> str:
    """Bytes in the largest binary unit that leaves a whole number before the point.

    >>> shown_bytes(0), shown_bytes(2048), shown_bytes(2_749_312_640), shown_bytes(86 << 30)
    ('0 B', '2.00 KiB', '2.56 GiB', '86.0 GiB')
    """
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size >= BYTES[unit]:
            value = size / BYTES[unit]
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:,.{digits}f} {unit}"
    return f"{size} B"
