"""Connection tables: which input maps each output map of a convolution sees."""

from __future__ import annotations

from typing import Annotated, Any

from cnnc.compiler.ops.base import OpError, show
from cnnc.compiler.ops.model import BeforeValidator, ValidationInfo

TABLES = {
    # LeCun, Bottou, Bengio and Haffner 1998, Table I: S2's maps down, C3's maps across.
    "lenet5_c3": (
        "1000111001111011",
        "1100011100111101",
        "1110001110010111",
        "0111001111001011",
        "0011100111101101",
        "0001110011110111",
    ),
}


def _table(value: Any, info: ValidationInfo) -> tuple[str, ...] | None:
    """A table's name, or its rows, in one text with commas between (`"110,011"`) or one by one."""
    if value is None:
        return None
    if isinstance(value, str) and value in TABLES:
        return TABLES[value]
    rows = tuple(row.strip() for row in value.split(",")) if isinstance(value, str) else value
    rows = rows if isinstance(rows, tuple) and all(isinstance(row, str) for row in rows) else ()
    if not rows or any(set(row) - {"0", "1"} or len(row) != len(rows[0]) or not row for row in rows):
        raise OpError(
            "E303", f"`table` is {show(value)}; expected a row of 0 and 1 for each input map", arg="table",
            hint=f'write the rows with commas between, "110,011", or a known table: {", ".join(TABLES)}',
        )  # fmt: skip
    return rows


Table = Annotated[tuple[str, ...] | None, BeforeValidator(_table)]


def fits(table: tuple[str, ...], channels: int, width: int) -> None:
    """Raises OpError where a table does not have a row for each input map and a column for each output map."""
    if (len(table), len(table[0])) != (channels, width):
        raise OpError(
            "E307",
            f"`table` has {len(table)} rows and {len(table[0])} columns, and there are {channels} input maps "
            f"and {width} output maps", arg="table",
        )  # fmt: skip


def links(table: tuple[str, ...]) -> int:
    """The number of pairs of maps that are connected.

    >>> links(TABLES["lenet5_c3"])
    60
    """
    return sum(row.count("1") for row in table)
