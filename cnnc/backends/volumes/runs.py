"""Runs: equal units one after another as one box, and patterns of units that repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnc.backends.outline import LONGEST, Outline
from cnnc.backends.volumes.units import Unit, near
from cnnc.compiler.graph import Graph


def gathered(outline: Outline, units: Sequence[Unit], *, patterns: bool = False) -> list[list[Unit]]:
    """Runs of equal units; with `patterns`, of equal stretches of units too, each stretch as one unit."""
    found: list[list[Unit]] = []
    nodes = [unit.nodes for unit in units]
    keys = [
        (unit.key, unit.stage, level)
        for unit, level in zip(units, _levels(outline.graph, units), strict=True)
    ]
    for run in outline.runs(nodes, keys, longest=LONGEST if patterns else 1):
        turns = [[units[place] for place in turn] for turn in run.turns()]
        found += (
            [[unit] for turn in turns for unit in turn]
            if run.parallel
            else [[_as_one(turn) for turn in turns]]
        )
    return found


def _levels(graph: Graph, units: Sequence[Unit]) -> Iterator[int]:
    """For each unit a number that changes where the size does: convolutions without padding take off a little."""
    level, first = 0, None
    for unit in units:
        if first is None:
            first = unit
        elif not near(graph, first, unit):
            level, first = level + 1, unit
        yield level


def _as_one(turn: Sequence[Unit]) -> Unit:
    """Units one after another as a closed one."""
    if len(turn) == 1:
        return turn[0]
    last = turn[-1]
    nodes = tuple(n for unit in turn for n in unit.nodes)
    word = f"[{turn[0].word} … {last.word}]"
    return Unit(nodes, last.result, "block", None, word, turn[0].key, turn[0].stage, closed=True)


def run_as_unit(run: Sequence[Unit]) -> Unit:
    """A run of equal units as one, of the last one's size."""
    first, last = run[0], run[-1]
    title = first.title
    if title is not None and last.title is not None and last.title != title:
        title = f"{title}…{last.title}"
    nodes = tuple(n for unit in run for n in unit.nodes)
    return Unit(nodes, last.result, first.kind, title, first.word, first.key, first.stage, first.closed)
