"""The units that a number may be written in: `138M`, `200 MB`, `4GiB`."""

from __future__ import annotations

from collections.abc import Mapping

POWERS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
"""Behind a number anywhere, without a blank."""

UNITS: Mapping[str, tuple[str, int]] = {
    "B": ("bytes", 1),
    **{f"{power}B": ("bytes", size) for power, size in POWERS.items()},
    **{f"{power}iB": ("bytes", 2 ** (10 * i)) for i, power in enumerate(POWERS, 1)},
}
"""What each measures, and its size; behind a number of an `expect` line, with or without a blank."""


def parted(digits: str) -> tuple[str, int, str]:
    """A number as written, parted: its mantissa, the size of its unit, and what that measures.

    >>> parted("1_000"), parted("138M"), parted("1.5 GiB")
    (('1000', 1, ''), ('138', 1000000, ''), ('1.5', 1073741824, 'bytes'))
    """
    mantissa = digits.rstrip("BKMGTi").rstrip()
    name = digits[len(mantissa) :].lstrip()
    measured, size = UNITS.get(name) or ("", POWERS.get(name, 1))
    return mantissa.replace("_", ""), size, measured
