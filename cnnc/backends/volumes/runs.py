"""Runs: equal units one after another as one box, and patterns of units that repeat."""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.backends.volumes.units import Unit, Wiring, near
from cnnc.compiler.graph import Graph

LONGEST = 12
"""The longest pattern that is looked for."""


def gathered(graph: Graph, units: Sequence[Unit]) -> list[list[Unit]]:
    """Runs of equal units of which each takes from the one before it alone, and all it gives goes to the next."""
    follows = _serial(graph, units)
    outputs = frozenset(graph.outputs.values())
    runs: list[list[Unit]] = []
    for place, unit in enumerate(units):
        before = runs[-1][-1] if runs else None
        alike = before is not None and unit.key == before.key and before.result not in outputs
        if alike and follows[place] and near(graph, runs[-1][0], unit):
            runs[-1].append(unit)
        else:
            runs.append([unit])
    return runs


def _serial(graph: Graph, units: Sequence[Unit]) -> list[bool]:
    """For each unit, whether it takes from the one before it alone, and all that one gives goes to it."""
    sources: dict[int, set[int]] = {}
    targets: dict[int, set[int]] = {}
    for source, target in Wiring(graph, tuple(units)).flows:
        sources.setdefault(target, set()).add(source)
        targets.setdefault(source, set()).add(target)
    return [sources.get(i) == {i - 1} and targets.get(i - 1) == {i} for i in range(len(units))]


def patterns(graph: Graph, runs: Sequence[Sequence[Unit]]) -> list[list[Unit]]:
    """Runs with the patterns that repeat, one after another, as one box of several layers."""
    units = [run_as_unit(run) for run in runs]
    follows = _serial(graph, units)
    sizes = [repr(graph.nodes[unit.result].out) for unit in units]
    keys = [(unit.key, len(run), size) for unit, run, size in zip(units, runs, sizes, strict=True)]
    outputs = frozenset(graph.outputs.values())
    found: list[list[Unit]] = []
    place = 0
    while place < len(runs):
        end = place + 1
        while end < len(runs) and follows[end] and units[end - 1].result not in outputs:
            end += 1
        length, times = _pattern(keys[place:end])
        if times > 1 and length > 1:
            turns = (units[place + i * length : place + (i + 1) * length] for i in range(times))
            found.append([_as_one(turn) for turn in turns])
            place += length * times
        else:
            found.append(list(runs[place]))
            place += 1
    return found


def _pattern(keys: Sequence[object]) -> tuple[int, int]:
    """The length of the pattern with which keys begin, and how often it stands there: what covers most.

    >>> _pattern("ababac")
    (2, 2)
    """
    best = (1, 1)
    for length in range(1, min(LONGEST, len(keys) // 2) + 1):
        end = length
        while end < len(keys) and keys[end] == keys[end - length]:
            end += 1
        if end // length > 1 and end // length * length > best[0] * best[1]:
            best = (length, end // length)
    return best


def _as_one(turn: Sequence[Unit]) -> Unit:
    """Units one after another as a closed one."""
    first, last = turn[0], turn[-1]
    nodes = tuple(n for unit in turn for n in unit.nodes)
    word = f"[{first.word} … {last.word}]"
    return Unit(nodes, last.result, "block", None, word, word, first.stage, closed=True)


def run_as_unit(run: Sequence[Unit]) -> Unit:
    """A run of equal units as one, of the last one's size."""
    first, last = run[0], run[-1]
    title = first.title
    if title is not None and last.title is not None and last.title != title:
        title = f"{title}…{last.title}"
    nodes = tuple(n for unit in run for n in unit.nodes)
    return Unit(nodes, last.result, first.kind, title, first.word, first.key, first.stage, first.closed)
