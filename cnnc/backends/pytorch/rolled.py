"""A long repeat whose children are the class's own: a loop over their numbers, in the constructor and in forward.

before: self.u1 = Unit(2)    self.u2 = Unit(4)    …    x = self.u1(x)    x = self.u2(x)    …
after:  for i in range(1, 9): self.add_module(f"u{i}", Unit(2 ** i))    …    x = getattr(self, f"u{i}")(x)

The lines are compared as text, number by number, so that the loop does what the lines did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

from cnnc.backends.pytorch.loops import LEAST_SAVED, LEAST_TURNS, numeral, stem
from cnnc.compiler.progressions import rule_of
from cnnc.compiler.walk.values import Turn

MOST_PEELED = 2
"""So many turns at either end may differ from the others, and are written before and after the loop."""

_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|self\.(?P<child>[A-Za-z]\w*)|[A-Za-z_]\w*|\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+|(?P<int>\d+)|.'
)
_TARGET = re.compile(r"(\w+) = ")
_COMMENT = re.compile(r"  # [\dx]+$")
_NAMES = ("i", "j", "index", "turn")

Lines = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Turn:
    """The lines of one turn, `start` up to `end`: their text without its numbers, these, and their comments."""

    start: int
    end: int
    skeleton: tuple[object, ...]
    numbers: tuple[int, ...]
    comments: Lines


@dataclass(frozen=True, slots=True)
class _Counter:
    """What counts the turns of a loop."""

    name: str
    values: range

    @property
    def head(self) -> str:
        """`for i in range(…):`"""
        start, stop, step = self.values.start, self.values.stop, self.values.step
        given = (start, stop, step) if step != 1 else (start, stop) if start else (stop,)
        return f"for {self.name} in range({', '.join(map(str, given))}):"

    def formula(self, numbers: Sequence[int]) -> str | None:
        """The numbers of the turns as an expression of it; None where they follow no rule that a reader sees.

        >>> counter = _Counter("i", range(8))
        >>> counter.formula([5] * 8), counter.formula([3 + 2 * i for i in range(8)]), counter.formula([1, 2, 4, 8] * 2)
        ('5', '2 * i + 3', '2 ** (i % 4)')
        >>> counter.formula([3, 5] * 4), _Counter("i", range(5)).formula([1, 2, 4, 1, 2])
        ('2 * (i % 2) + 3', None)
        """
        rule = rule_of(numbers, self.values)
        return None if rule is None or rule.shift else rule.text(self.name)


def rolled(constructor: Lines, forward: Lines, turns: Mapping[str, Sequence[Turn]]) -> tuple[Lines, Lines]:
    """The lines that make children and those that call them, with the long repeats in them as loops.

    `turns` are the turns of the repeats in which each child is placed, by its name.
    """
    repeats = sorted(_repeats(turns), key=len, reverse=True)  # those around others first
    return _Roller(constructor, forward).rolled(repeats) if repeats else (constructor, forward)


def _repeats(turns: Mapping[str, Sequence[Turn]]) -> list[dict[str, int]]:
    """The children of each repeat that is long enough, with the number of their turn."""
    repeats: dict[object, dict[str, int]] = {}
    for name, around in turns.items():
        for turn in around if numeral(name) >= 0 else ():
            if turn.total >= LEAST_TURNS:
                repeats.setdefault((turn.loop, id(turn.parent)), {})[name] = turn.index
    return list(repeats.values())


@dataclass(frozen=True, slots=True)
class _Loop:
    """What is written in place of the lines from `start` up to `end`."""

    start: int
    end: int
    lines: Lines


class _Text:
    """Lines, and where each child is mentioned in them."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.tokens = [list(_TOKEN.finditer(line)) for line in lines]
        self.mentions: dict[str, list[int]] = {}
        for at, line in enumerate(self.tokens):
            for found in line:
                if found["child"]:
                    self.mentions.setdefault(found["child"], []).append(at)

    def turns(self, names: Mapping[str, int]) -> list[tuple[int, int]]:
        """Where each turn of a repeat begins and ends; none where they do not follow one another."""
        spoken = sorted((at, turn) for name, turn in names.items() for at in self.mentions.get(name, ()))
        begins: dict[int, int] = {}
        for at, turn in spoken:
            begins.setdefault(turn, at)
        starts = list(begins.values())
        if (
            len(starts) < LEAST_TURNS
            or list(begins) != list(range(len(starts)))
            or len({*starts}) < len(starts)
        ):
            return []
        ends = [*starts[1:], min(2 * starts[-1] - starts[-2], len(self.lines))]
        if any(not starts[turn] <= at < ends[turn] for at, turn in spoken):
            return []  # called again, in another turn
        return list(zip(starts, ends, strict=True))

    def turn(self, start: int, end: int, names: Mapping[str, int]) -> _Turn:
        """The lines of one turn."""
        skeleton: list[object] = []
        numbers: list[int] = []
        comments: list[str] = []
        for at in range(start, end):
            comment = _COMMENT.search(self.lines[at])
            comments.append(comment[0] if comment else "")
            code = len(self.lines[at]) - len(comments[-1])
            for found in self.tokens[at]:
                if found.start() >= code:
                    break
                if found["child"] in names:
                    skeleton.append((stem(found["child"]), "self.{}"))
                    numbers.append(numeral(found["child"]))
                elif found["int"]:
                    skeleton.append(("", "{}"))
                    numbers.append(int(found["int"]))
                else:
                    skeleton.append(found[0])
            skeleton.append("\n")
        return _Turn(start, end, tuple(skeleton), tuple(numbers), tuple(comments))


class _Roller:
    """Finds loops in the two methods of one class."""

    def __init__(self, constructor: Lines, forward: Lines) -> None:
        self.made, self.called = _Text(constructor), _Text(forward)
        words = {found[0] for text in (self.made, self.called) for line in text.tokens for found in line}
        names = chain(_NAMES, (f"turn{number}" for number in count(2)))
        self.name = next(name for name in names if name not in words)

    def rolled(self, repeats: Sequence[Mapping[str, int]]) -> tuple[Lines, Lines]:
        """Both with the repeats as loops that are none in a longer one."""
        loops: list[tuple[_Loop, _Loop]] = []
        taken: tuple[set[int], set[int]] = (set(), set())
        for names in repeats:
            loop = self._with_return_named(names) or self._longest(self.called, names)
            lines = () if loop is None else [range(part.start, part.end) for part in loop]
            if loop is not None and all(map(set.isdisjoint, taken, lines)):
                loops.append(loop)
                for known, part in zip(taken, lines, strict=True):
                    known.update(part)
        return (
            _with_loops(self.made.lines, [made for made, _ in loops]),
            _with_loops(self.called.lines, [called for _, called in loops]),
        )

    def _with_return_named(self, names: Mapping[str, int]) -> tuple[_Loop, _Loop] | None:
        """The loop whose last turn is what forward returns: that is given the name that the turns before give it."""
        lines = self.called.lines
        turns = self.called.turns(names)
        if not turns or turns[-1][1] < len(lines):
            return None
        target = _TARGET.match(lines[turns[-1][0] - 1])
        if target is None or not lines[-1].startswith("return "):
            return None
        named = _Text((*lines[:-1], f"{target[1]} = {lines[-1].removeprefix('return ')}"))
        loop = self._longest(named, names)
        if loop is None or loop[1].end < len(lines):
            return None
        made, called = loop
        return made, _Loop(called.start, called.end, (*called.lines, f"return {target[1]}"))

    def _longest(self, called: _Text, names: Mapping[str, int]) -> tuple[_Loop, _Loop] | None:
        """The loop over most turns of a repeat; None where it saves too little."""
        spans = (self.made.turns(names), called.turns(names))
        total = len(spans[0])
        if not total or len(spans[1]) != total:
            return None
        length = sum(span[1][1] - span[1][0] for span in spans)
        if (total - 1) * length < LEAST_SAVED:
            return None
        made, calls = (
            [text.turn(*ends, names) for ends in span]
            for text, span in zip((self.made, called), spans, strict=True)
        )
        peels = [(first, total - rest) for first in range(MOST_PEELED + 1) for rest in range(MOST_PEELED + 1)]
        for first, last in sorted(peels, key=lambda pair: pair[0] - pair[1]):
            parts = (made[first:last], calls[first:last])
            saved = sum((last - first - 1) * (part[0].end - part[0].start) for part in parts if part)
            if last - first < LEAST_TURNS or saved < LEAST_SAVED:
                continue
            if not all(turn.skeleton == part[0].skeleton for part in parts for turn in part):
                continue
            for counter in _counters(parts[0], self.name):
                making, calling = (_body(part, counter) for part in parts)
                if making is not None and calling is not None:
                    return (
                        _loop(parts[0], counter, tuple(map(_added, making))),
                        _loop(parts[1], counter, calling),
                    )
        return None


def _counters(turns: Sequence[_Turn], name: str) -> Iterator[_Counter]:
    """What could count some turns: the number of the first child that each makes, or the turns from 0."""
    first, second = turns[0].numbers[0], turns[1].numbers[0]
    if second > first:
        yield _Counter(name, range(first, first + len(turns) * (second - first), second - first))
    yield _Counter(name, range(len(turns)))


def _body(turns: Sequence[_Turn], counter: _Counter) -> Lines | None:
    """The lines of a loop over some turns; None where a number in them follows no rule."""
    formulas = [counter.formula(numbers) for numbers in zip(*(turn.numbers for turn in turns), strict=True)]
    written: list[str] = []
    numbers = iter(formulas)
    pieces = turns[0].skeleton
    for at, piece in enumerate(pieces):
        if isinstance(piece, str):
            written.append(piece)
            continue
        assert isinstance(piece, tuple)
        formula = next(numbers)
        if formula is None:
            return None
        name, form = piece
        if name or form != "{}":
            written.append(f'getattr(self, f"{name}{{{formula}}}")')
        else:
            before = "".join(written).rstrip()[-1:]
            is_bare = formula.isalnum() or (before in "(,=[" and pieces[at + 1] in (")", ",", "]"))
            written.append(formula if is_bare else f"({formula})")
    lines = "".join(written).removesuffix("\n").split("\n")
    rows = zip(*(turn.comments for turn in turns), strict=True)
    told = [row[0] if {*row} <= {row[0], ""} else "" for row in rows]
    return tuple(line + comment for line, comment in zip(lines, told, strict=True))


def _added(line: str) -> str:
    """`getattr(self, NAME) = CHILD` as it is written."""
    return re.sub(r'^( *)getattr\(self, (f"\w*\{[^"]*\}")\) = (.*)$', r"\1self.add_module(\2, \3)", line)


def _loop(turns: Sequence[_Turn], counter: _Counter, body: Lines) -> _Loop:
    lines = (counter.head, *(f"    {line}" for line in body))
    return _Loop(turns[0].start, turns[-1].end, lines)


def _with_loops(lines: Lines, loops: Sequence[_Loop]) -> Lines:
    out: list[str] = []
    at = 0
    for loop in sorted(loops, key=lambda loop: loop.start):
        out += [*lines[at : loop.start], *loop.lines]
        at = loop.end
    return (*out, *lines[at:])
