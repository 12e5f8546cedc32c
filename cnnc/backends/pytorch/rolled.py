"""A long repeat whose children are the class's own: a loop over their numbers, in the constructor and in forward.

before: self.u1 = Unit(2)    self.u2 = Unit(4)    …    x = self.u1(x)    x = self.u2(x)    …
after:  for i in range(1, 9): self.add_module(f"u{i}", Unit(2 ** i))    …    x = getattr(self, f"u{i}")(x)

The lines are compared as text, number by number, so that the loop does what the lines did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cnnc.backends.pytorch.loops import numeral, stem
from cnnc.compiler.walk.values import Turn

LEAST_TURNS = 4
LEAST_SAVED = 12
"""A loop has so many turns at least, and so many lines fewer than its turns one by one."""
MOST_PEELED = 2
"""So many turns at either end may differ from the others, and are written before and after the loop."""

_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|self\.(?P<child>[A-Za-z]\w*)|[A-Za-z_]\w*|\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+|(?P<int>\d+)|.'
)
_TARGET = re.compile(r"(\w+) = ")
_COMMENT = re.compile(r"  # [\dx]+$")
_NAMES = ("i", "j", "index", "turn", "turn_")

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
        """
        if len(set(numbers)) == 1:
            return str(numbers[0])
        straight = _linear(self.name, self.values, numbers) or _geometric(self.name, self.values, numbers)
        if straight is not None:
            return straight
        for period in range(2, len(numbers) // 2 + 1) if self.values.step == 1 else ():
            rests = [i % period for i in self.values]
            rest = f"({self.name} % {period})"
            found = _linear(rest, rests, numbers) or _geometric(rest, rests, numbers)
            if found is not None:
                return found
        return None


def _linear(name: str, at: Sequence[int], numbers: Sequence[int]) -> str | None:
    step, left = divmod(numbers[1] - numbers[0], at[1] - at[0])
    first = numbers[0] - step * at[0]
    if left or not step or any(n != first + step * i for i, n in zip(at, numbers, strict=True)):
        return None
    grown = name if step == 1 else f"{step} * {name}"
    return grown if not first else f"{grown} {'+' if first > 0 else '-'} {abs(first)}"


def _geometric(name: str, at: Sequence[int], numbers: Sequence[int]) -> str | None:
    known = dict(zip(at, numbers, strict=True))
    low = min(known)
    if known[low] < 1 or low + 1 not in known:
        return None
    factor, left = divmod(known[low + 1], known[low])
    first, more = divmod(known[low], factor**low) if factor > 1 else (0, 1)
    if left or more or any(n != first * factor**i for i, n in zip(at, numbers, strict=True)):
        return None
    return f"{factor} ** {name}" if first == 1 else f"{first} * {factor} ** {name}"


def rolled(constructor: Lines, forward: Lines, turns: Mapping[str, Sequence[Turn]]) -> tuple[Lines, Lines]:
    """The lines that make children and those that call them, with the long repeats in them as loops.

    `turns` are the turns of the repeats in which each child is placed, by its name.
    """
    while True:
        found = [
            loop for names in _repeats(turns) for lines in _without_return(forward)
            if (loop := _longest(constructor, lines, names)) is not None
        ]  # fmt: skip
        if not found:
            return constructor, forward
        constructor, forward = min(found, key=lambda lines: len(lines[0]) + len(lines[1]))


def _repeats(turns: Mapping[str, Sequence[Turn]]) -> Iterator[dict[str, int]]:
    """The children of each repeat that is long enough, with the number of their turn."""
    repeats: dict[object, dict[str, int]] = {}
    for name, around in turns.items():
        for turn in around if numeral(name) >= 0 else ():
            if turn.total >= LEAST_TURNS:
                repeats.setdefault((turn.loop, id(turn.parent)), {})[name] = turn.index
    yield from repeats.values()


def _without_return(forward: Lines) -> Iterator[Lines]:
    """The lines of forward; and with what they return given a name that they use, before it is returned."""
    yield forward
    for name in dict.fromkeys(found[1] for line in forward if (found := _TARGET.match(line))):
        yield (*forward[:-1], f"{name} = {forward[-1].removeprefix('return ')}", f"return {name}")


def _longest(constructor: Lines, forward: Lines, names: Mapping[str, int]) -> tuple[Lines, Lines] | None:
    """The lines with most turns of a repeat as a loop; None where it saves too little."""
    made, called = _turns(constructor, names), _turns(forward, names)
    total = len(made)
    if len(called) != total:
        return None
    ends = [(first, total - rest) for first in range(MOST_PEELED + 1) for rest in range(MOST_PEELED + 1)]
    for first, last in sorted(ends, key=lambda pair: pair[0] - pair[1]):
        parts = (made[first:last], called[first:last])
        saved = sum((last - first - 1) * (part[0].end - part[0].start) for part in parts if part)
        if last - first < LEAST_TURNS or saved < LEAST_SAVED:
            continue
        if not all(turn.skeleton == part[0].skeleton for part in parts for turn in part):
            continue
        for counter in _counters(parts[0], (*constructor, *forward)):
            making, calling = (_body(part, counter) for part in parts)
            if making is not None and calling is not None:
                return (
                    _with_loop(constructor, parts[0], counter, tuple(map(_added, making))),
                    _with_loop(forward, parts[1], counter, calling),
                )
    return None


def _turns(lines: Lines, names: Mapping[str, int]) -> list[_Turn]:
    """The turns in some lines; none where they do not follow one another."""
    spoken = [[names[name] for name in _children(line) if name in names] for line in lines]
    starts: dict[int, int] = {}
    for at, found in enumerate(spoken):
        for turn in found:
            starts.setdefault(turn, at)
    if len(starts) < LEAST_TURNS or list(starts) != list(range(len(starts))):
        return []
    begins = list(starts.values())
    ends = [*begins[1:], min(2 * begins[-1] - begins[-2], len(lines))]
    for turn, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if any(other != turn for found in spoken[begin:end] for other in found):
            return []
    if any(spoken[ends[-1] :]):
        return []  # called again, after the others
    return [_turn(lines, begin, end, names) for begin, end in zip(begins, ends, strict=True)]


def _children(line: str) -> Iterator[str]:
    return (found["child"] for found in _TOKEN.finditer(line) if found["child"])


def _turn(lines: Lines, start: int, end: int, names: Mapping[str, int]) -> _Turn:
    skeleton: list[object] = []
    numbers: list[int] = []
    comments: list[str] = []
    for line in lines[start:end]:
        comment = _COMMENT.search(line)
        comments.append(comment[0] if comment else "")
        for found in _TOKEN.finditer(line.removesuffix(comments[-1])):
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


def _counters(turns: Sequence[_Turn], lines: Lines) -> Iterator[_Counter]:
    """What could count some turns: the number of the first child that each makes, or the turns from 0."""
    words = {found[0] for line in lines for found in _TOKEN.finditer(line)}
    name = next(name for name in _NAMES if name not in words)
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


def _with_loop(lines: Lines, turns: Sequence[_Turn], counter: _Counter, body: Lines) -> Lines:
    return (
        *lines[: turns[0].start],
        counter.head,
        *(f"    {line}" for line in body),
        *lines[turns[-1].end :],
    )
