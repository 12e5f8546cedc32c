"""The columns of the table, and what stands in a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from cnnc.backends.table.rows import Row
from cnnc.compiler.cost import FIGURES, Figure
from cnnc.compiler.ops import Op, by_x
from cnnc.compiler.receptive_field import AxisField, ReceptiveField
from cnnc.compiler.sizes import is_free
from cnnc.compiler.summary import Summary, arguments


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `text` is the cell for people, `data` the one for programs, `total` the footer.

    `least` is the width that a column of words may be cut to; None for numbers, which
    are never cut. Of the usual columns the one with the lowest `weight` is left out first.
    """

    title: str
    text: Callable[[Row, Summary], str]
    data: Callable[[Row, Summary], str]
    total: Callable[[Summary], str]
    least: int | None = None
    weight: int = 0


def columns_named(names: Sequence[str]) -> Mapping[str, Column]:
    """Columns by their keys, in the order given. Raises ValueError for one that there is not."""
    chosen: dict[str, Column] = {}
    for name in names:
        key = name.strip().lower()
        if key not in COLUMNS:
            near = get_close_matches(key, COLUMNS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COLUMNS)}"
            raise ValueError(f"no column {name!r}: {hint}")
        chosen[key] = COLUMNS[key]
    if not chosen:
        raise ValueError(f"no columns: there are {', '.join(COLUMNS)}")
    return chosen


def _nothing(_: Summary) -> str:
    return ""


def _words(title: str, cell: Callable[[Row, Summary], str], least: int, weight: int) -> Column:
    return Column(title, cell, cell, _nothing, least, weight)


def _counts(figure: Figure) -> Column:
    """A column of a count: thousands separated for people, plain for programs."""
    count = figure.key

    def separated(number: int) -> str:
        return f"{number:,}" if number else ""

    def total(summary: Summary) -> str:
        """Left out where it is an expression: it stands below in full, and would be wider than its column."""
        number = getattr(summary.totals, count)
        return "" if is_free(number) else f"{number:,}"

    return Column(
        figure.heading,
        lambda row, _: separated(getattr(row.cost, count)),
        lambda row, _: str(getattr(row.cost, count)),
        total,
        weight={"params": 90, "macs": 80}.get(count, 0),
    )


# --- shapes and arguments -------------------------------------------------------------


def _output(row: Row, _: Summary) -> str:
    return "" if row.layer is None else by_x(row.layer.out)


def _arguments(row: Row, _: Summary) -> str:
    return arguments_text(row.layer.op) if row.layer is not None and row.is_layer else ""


def arguments_text(op: Op) -> str:
    """An op's arguments much as a layer word has them: `3x3/2 pad=1`.

    Left out are defaults, and the width, which the output shows.
    """
    fields = arguments(op)
    slots = op.word
    text = ""
    if op.rest is not None:
        del fields[op.rest]  # a shape, which the output shows
    if slots.width is not None:
        del fields[slots.width]
    if slots.size is not None and slots.size != slots.width:
        text += _by_axis(fields.pop(slots.size))
    if slots.stride is not None:
        stride = agreed(fields.pop(slots.stride))
        text += f"/{_by_axis(stride)}" if stride != 1 else ""
    extra = []
    for name, value in fields.items():
        short = agreed(value)
        if short != agreed(_default(op, name)):
            extra.append(f"{name}={_show(short)}")
    return " ".join([text, *extra] if text else extra)


def _default(op: Op, name: str) -> Any:
    """What an argument is when it is left out; the words for paddings have become numbers."""
    default = type(op).model_fields[name].default
    if default == "valid":
        return 0
    if default == "same":
        fields = arguments(op)
        reach = [(k - 1) * d for k, d in zip(fields["kernel"], fields["dilation"], strict=True)]
        return None if any(n % 2 for n in reach) else [[n // 2] * 2 for n in reach]  # none for even kernels
    return default


def agreed(value: Any) -> Any:
    """[[1, 1], [1, 1]] and [1, 1] as 1: what all axes, and both sides, agree on is said once."""
    if isinstance(value, list) and value:
        parts = [agreed(part) for part in value]
        return parts[0] if all(part == parts[0] for part in parts) else parts
    return value


def _by_axis(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"({','.join(map(_show, value))})"
    return str(value)


# --- shares and receptive fields ------------------------------------------------------


def _share(row: Row, summary: Summary) -> str:
    whole = summary.totals.macs
    if is_free(whole):
        return ""  # a share would depend on the size
    return f"{100 * row.cost.macs / whole:.1f}%" if whole and row.cost.macs else ""


def _whole_share(summary: Summary) -> str:
    return "100%" if summary.totals.macs and not is_free(summary.totals.macs) else ""


def _share_data(row: Row, summary: Summary) -> str:
    whole = summary.totals.macs
    if is_free(whole):
        return ""
    return f"{row.cost.macs / whole:.6f}" if whole else "0"


def _same(parts: Sequence[str]) -> str:
    """One for all axes where they agree, else joined by x."""
    return parts[0] if parts and len(set(parts)) == 1 else "x".join(parts)


def _field(row: Row) -> ReceptiveField | None:
    return None if row.layer is None else row.layer.rf


def _rf(row: Row, _: Summary) -> str:
    field = _field(row)
    if field is None:
        return ""
    if field.undefined is not None:
        return "?"
    if not field.whole:
        return _same([_sizes(axis) for axis in field.axes])
    return "all" if field.ungated is None else f"all ({_same([_sizes(axis) for axis in field.ungated])})"


def _sizes(axis: AxisField) -> str:
    """The size, or the least and the largest where it depends on the phase."""
    least, largest = min(axis.sizes), max(axis.sizes)
    return str(largest) if least == largest else f"{least}-{largest}"


def _stride(row: Row, _: Summary) -> str:
    field = _field(row)
    if field is None or field.undefined is not None or (field.whole and field.ungated is None):
        return ""
    return _same([_rational(stride) for stride in field.stride])


def _start(row: Row, _: Summary) -> str:
    field = _field(row)
    if field is None or field.undefined is not None:
        return ""
    return _same(["none" if start is None else str(start) for start in field.start])


def _rational(stride: Fraction | None) -> str:
    return "mixed" if stride is None else str(stride)


COLUMNS: Mapping[str, Column] = {
    "name": Column("name", lambda row, _: row.name, lambda row, _: row.path, lambda _: "total", 20, 100),
    "op": _words("op", lambda row, _: row.op, 13, 70),
    "output": _words("output", _output, 13, 60),
    "arguments": _words("arguments", _arguments, 9, 30),
    **{key: _counts(figure) for key, figure in FIGURES.items()},
    "share": Column("share", _share, _share_data, _whole_share, weight=20),
    "rf": Column("RF", _rf, _rf, _nothing, weight=50),
    "stride": Column("stride", _stride, _stride, _nothing, weight=10),
    "start": Column("start", _start, _start, _nothing),
}

DEFAULT_COLUMNS = ("name", "op", "output", "arguments", "params", "macs", "share", "rf", "stride")
