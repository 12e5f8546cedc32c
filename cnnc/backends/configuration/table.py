"""Networks side by side: their stages lined up in rows, with output sizes, parameters and MACs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from cnnc.backends.configuration.stages import Entry, Stage, stages_of
from cnnc.backends.diagram.words import count_text, cut
from cnnc.compiler.cost import Costs, costs
from cnnc.compiler.depth import depth
from cnnc.compiler.graph import Graph


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a label if the networks agree on it, the output size, and each network's entries."""

    label: str
    output: str
    cells: tuple[tuple[Entry, ...], ...]

    @property
    def is_common(self) -> bool:
        """Whether all networks have the same here."""
        return len(self.cells) > 1 and len(set(self.cells)) == 1


@dataclass(frozen=True, slots=True)
class Table:
    """A whole table. `head` and `foot` are rows of one text for each network."""

    names: tuple[str, ...]
    head: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[Row, ...]
    foot: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def has_labels(self) -> bool:
        """Whether any row has a label."""
        return any(row.label for row in self.rows)


def table_of(graphs: Sequence[Graph]) -> Table:
    """The table of these networks. Raises ValueError where there are none.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> table = table_of([build(parse(Source("net.cnn", "input 3x8x8\\n[conv3-4]*2 -> pool -> fc-2")))])
    >>> [(row.output, [entry.text for entry in row.cells[0]]) for row in table.rows]
    [('8x8', ['conv3-4', 'conv3-4']), ('4x4', ['maxpool2/2']), ('2', ['fc-2'])]
    """
    if not graphs:
        raise ValueError("a table needs at least one network")
    totals = [costs(graph) for graph in graphs]
    columns = [stages_of(graph) for graph in graphs]
    return Table(
        names=tuple(cut(graph.name) for graph in graphs),
        head=(("weight layers", tuple(str(depth(graph)) for graph in graphs)),),
        rows=tuple(_row(stages) for stages in _lined_up(columns)),
        foot=(
            ("params", tuple(_at_least(one, "params") + count_text(one.total.params) for one in totals)),
            ("MACs", tuple(_at_least(one, "macs") + count_text(one.total.macs) for one in totals)),
        ),
    )


def _at_least(one: Costs, what: str) -> str:
    return "at least " if what in one.unknown else ""


def gaps(graphs: Sequence[Graph]) -> str | None:
    """The sentence about networks too unlike for one table; None where most rows have a cell of each."""
    rows = table_of(graphs).rows
    alone = sum(not all(row.cells) for row in rows)
    if len(graphs) < 2 or 2 * alone <= len(rows):
        return None
    return f"{alone} of {len(rows)} rows lack one of the networks: they have few stages in common"


Lined = tuple[Stage | None, ...]


def _row(stages: Lined) -> Row:
    present = [stage for stage in stages if stage is not None]
    labels = {stage.label for stage in present}
    label = labels.pop() if len(labels) == 1 else None
    outputs = dict.fromkeys(stage.output for stage in present)
    cells = tuple(() if stage is None else stage.entries for stage in stages)
    return Row(cut(label or ""), " / ".join(outputs), cells)


def _lined_up(columns: Sequence[Sequence[Stage]]) -> list[Lined]:
    """The stages of all networks in rows: by their places where they have the same kinds of stages in the
    same order, else by what they are and their sizes."""
    kinds = {tuple(stage.kind for stage in column) for column in columns}
    if len(kinds) == 1:
        return list(zip(*columns, strict=True))
    rows: list[Lined] = [(stage,) for stage in columns[0]]
    for number, column in enumerate(columns[1:], 1):
        rows = _joined(rows, column, number)
    return rows


def _joined(rows: Sequence[Lined], column: Sequence[Stage], number: int) -> list[Lined]:
    """Rows with one more network: where stages match they share a row."""
    keys = [next((stage.kind, stage.size) for stage in row if stage is not None) for row in rows]
    matcher = SequenceMatcher(None, keys, [(stage.kind, stage.size) for stage in column], autojunk=False)
    empty: Lined = (None,) * number
    found: list[Lined] = []
    for _, first, last, start, end in matcher.get_opcodes():
        same = keys[first:last] == [(stage.kind, stage.size) for stage in column[start:end]]
        if same:
            found += [(*row, stage) for row, stage in zip(rows[first:last], column[start:end], strict=True)]
        else:
            found += [(*row, None) for row in rows[first:last]]
            found += [(*empty, stage) for stage in column[start:end]]
    return found
