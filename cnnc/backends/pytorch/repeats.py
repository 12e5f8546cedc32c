"""Instances of a block that differ in how often something in it is repeated: the turns as a loop, so that they are alike.

before: x = cat([x, self.unit1(x)])        x = cat([x, self.unit1(x)])    x = cat([x, self.unit2(x)])
after:  for i in range(self.n): x = cat([x, getattr(self, f"unit{i + 1}")(x)])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from cnnc.backends.pytorch.classes import HandedNew, Instance, LayerNew, LoopNew, New, ShortcutNew
from cnnc.backends.pytorch.forward import Loop, Step
from cnnc.backends.pytorch.layer import Val
from cnnc.backends.pytorch.loops import are_alike, strides_of, turns_between
from cnnc.compiler.walk.values import Turn
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

Count = Callable[[Turn, Instance], Val]
"""How many turns a repeat has in an instance, with its source."""


@record
class _Repeat:
    """A repeat in an instance: its first child and how many children a turn has, its first step and how many steps a turn has."""

    child: int
    children: int
    step: int
    steps: int
    turn: Turn


_OWN, _CARRIED, _OUTER = "own", "carried", "outer"


@record
class _Shape:
    """How the turns of a repeat hang together, as two of them show.

    `reads` says of each input of a turn's steps which output of the turn it is, or of the one before, or that it
    is none of these. `strides` is how far the number in each child's name grows. `gathered` are the outputs that
    a step after the loop joins, of all turns: by it, counted from the end of the loop, and what it joins before them.
    """

    reads: tuple[tuple[tuple[str, int], ...], ...]
    strides: tuple[int, ...]
    gathered: Mapping[tuple[int, int], int]

    @property
    def carried(self) -> list[int]:
        """The outputs of a turn that the next one reads."""
        return list(dict.fromkeys(k for ins in self.reads for kind, k in ins if kind == _CARRIED))


class _Irregular(Exception):
    """The turns of a repeat are not alike, or more of them is read than a loop leaves."""


def with_loops(groups: Sequence[list[Instance]], count: Count) -> list[list[Instance]]:
    """For each group its instances with what is repeated more often in others as a loop; the group itself where that
    cannot be."""
    repeats = {
        id(instance): _repeats(instance) for group in groups for instance in group if not instance.sequential
    }
    totals: dict[Span, dict[int, Instance]] = {}
    for group in groups:
        for loop, repeat in repeats.get(id(group[0]), {}).items():
            totals.setdefault(loop, {})[repeat.turn.total] = group[0]
    shapes: dict[Span, _Shape] = {}
    for loop, instances in totals.items():
        if len(instances) > 1:
            longest = instances[max(instances)]
            shapes[loop] = _shape(longest, repeats[id(longest)][loop])
    found: list[list[Instance]] = []
    for group in groups:
        loops = {loop: shapes[loop] for loop in repeats.get(id(group[0]), ()) if loop in shapes}
        try:
            folds = [_Folding(i, repeats[id(i)], loops, count).instance() for i in group if loops]
        except _Irregular:
            folds = []
        found.append(folds or group)
    return found


def _repeats(instance: Instance) -> dict[Span, _Repeat]:
    """The repeats whose turns have as many children and steps each, one after the other."""
    children = [instance.turns.get(name, ())[:1] for name, _ in instance.children]
    steps = [turns_between(trace, instance.scope.trace)[:1] for trace in instance.traces]
    found: dict[Span, _Repeat] = {}
    for turn in (turns[0] for turns in steps if turns):
        if turn.loop not in found:
            placed, done = (_even(turns, turn) for turns in (children, steps))
            if placed is not None and done is not None:
                found[turn.loop] = _Repeat(*placed, *done, turn)
    return found


def _even(places: Sequence[Sequence[Turn]], turn: Turn) -> tuple[int, int] | None:
    """Where the turns of a repeat begin among things in a row, and how many things each has."""
    at = [(i, turns[0].index) for i, turns in enumerate(places) if turns and turns[0].loop == turn.loop]
    size, rest = divmod(len(at), turn.total)
    if not size or rest or at != [(at[0][0] + k, k // size) for k in range(len(at))]:
        return None
    return at[0][0], size


def _turns(instance: Instance, repeat: _Repeat) -> list[list[Step]]:
    """The steps of each turn."""
    starts = range(repeat.step, repeat.step + repeat.turn.total * repeat.steps, repeat.steps)
    return [instance.steps[start : start + repeat.steps] for start in starts]


def _outs(turn: Iterable[Step]) -> list[int]:
    return [value for step in turn for value in step.outs]


def _shape(instance: Instance, repeat: _Repeat) -> _Shape:
    """How the turns of a repeat hang together, by the first two."""
    turns = _turns(instance, repeat)
    before, own = _outs(turns[0]), _outs(turns[1])

    def read(value: int) -> tuple[str, int]:
        if value in own:
            return _OWN, own.index(value)
        return (_CARRIED, before.index(value)) if value in before else (_OUTER, 0)

    names = [name for name, _ in instance.children[repeat.child :][: 2 * repeat.children]]
    strides = strides_of(names[: repeat.children], names[repeat.children :])
    assert strides is not None
    gathered: dict[tuple[int, int], int] = {}
    for k, outs in enumerate(zip(*map(_outs, turns), strict=False)):
        for offset, step in enumerate(instance.steps[repeat.step + len(turns) * repeat.steps :]):
            for at in range(len(step.ins) if "[{all}]" in step.template else 0):
                if step.ins[at : at + len(outs)] == outs:
                    gathered[offset, k] = at
    return _Shape(tuple(tuple(map(read, step.ins)) for step in turns[1]), strides, gathered)


class _Folding:
    """Writes one instance with loops; its values are numbered anew."""

    def __init__(
        self, instance: Instance, repeats: Mapping[Span, _Repeat], shapes: Mapping[Span, _Shape], count: Count
    ) -> None:
        self.old = instance
        self.count = count
        for loop, shape in shapes.items():
            if loop not in repeats or repeats[loop].steps != len(shape.reads):
                raise _Irregular
            if repeats[loop].children != len(shape.strides):
                raise _Irregular
        self.repeats = [(repeats[loop], shape) for loop, shape in shapes.items()]
        self.number = {value: value for value in range(len(instance.inputs))}
        self.steps: list[Step] = []
        self.values: list[dict[str, Val]] = []
        self.joins: dict[int, tuple[int, int, int]] = {}
        """Of the steps that join what all turns give: where that begins, of how many turns, and its new number."""

    def instance(self) -> Instance:
        """The instance with loops. Raises _Irregular."""
        skipped: set[int] = set()
        loops = {repeat.step: (repeat, shape) for repeat, shape in self.repeats}
        for at, (step, values) in enumerate(zip(self.old.steps, self.old.values, strict=True)):
            if at in loops:
                repeat, shape = loops[at]
                skipped.update(range(at, at + repeat.steps * repeat.turn.total))
                self._loop(repeat, shape)
            elif at not in skipped:
                self._step(at, step, values)
        return replace(
            self.old, children=self._children(), steps=self.steps, values=self.values,
            returns=self._numbers(self.old.returns), nodes={}, turns={}, traces=[],
        )  # fmt: skip

    def _new(self, values: Sequence[int]) -> tuple[int, ...]:
        """Numbers for values that are made."""
        first = len(self.old.inputs) + sum(len(step.outs) for step in self.steps)
        self.number |= {value: first + i for i, value in enumerate(values)}
        return tuple(range(first, first + len(values)))

    def _numbers(self, values: Iterable[int]) -> tuple[int, ...]:
        if any(value not in self.number for value in values):
            raise _Irregular
        return tuple(self.number[value] for value in values)

    def _step(self, at: int, step: Step, values: dict[str, Val]) -> None:
        ins, template = step.ins, step.template
        if at in self.joins:
            first, length, joined = self.joins[at]
            after = self._numbers(ins[first + length :])
            items = ", ".join(["*{0}", *(f"{{{i}}}" for i in range(1, len(after) + 1))])
            template = template.replace("[{all}]", f"[{items}]" if after else "{0}")
            numbers = (joined, *after)
        else:
            numbers = self._numbers(ins)
        self.steps.append(replace(step, template=template, ins=numbers, outs=self._new(step.outs)))
        self.values.append(values)

    def _loop(self, repeat: _Repeat, shape: _Shape) -> None:
        turns = _turns(self.old, repeat)
        starts, outer = self._inputs(turns, shape)
        carried = shape.carried
        first = turns[0]
        body: list[Step] = []
        base = len(carried) + len(outer)
        own = {value: base + k for k, value in enumerate(_outs(first))}
        for step, reads in zip(first, shape.reads, strict=True):
            ins = tuple(
                base + k if kind == _OWN else carried.index(k) if kind == _CARRIED
                else len(carried) + outer.index(value)
                for (kind, k), value in zip(reads, step.ins, strict=True)
            )  # fmt: skip
            outs = tuple(own[value] for value in step.outs)
            body.append(replace(step, ins=ins, outs=outs, labels=(None,) * len(outs)))
        loop = Loop(
            name=self.old.children[repeat.child][0],
            body=tuple(body),
            keys=tuple(tuple(sorted(v)) for v in self.old.values[repeat.step : repeat.step + repeat.steps]),
            strides=tuple(
                zip((name for name, _ in self.old.children[repeat.child :]), shape.strides, strict=False)
            ),
            carried=len(carried),
            ends=tuple(base + k for k in carried),
            gathered=tuple(base + k for _, k in shape.gathered),
            firsts=tuple(self._firsts(repeat, turns, shape)),
        )
        ins = (*self._numbers(starts), *self._numbers(outer), *(v for values in loop.firsts for v in values))
        last = _outs(turns[-1])
        lists = [-1 - len(self.joins) - i for i in range(len(shape.gathered))]
        outs = self._new([*(last[k] for k in carried), *lists])
        after = repeat.step + len(turns) * repeat.steps
        for ((offset, _), at), value in zip(shape.gathered.items(), outs[len(carried) :], strict=True):
            if after + offset in self.joins:
                raise _Irregular
            self.joins[after + offset] = (at, len(turns), value)
        self.steps.append(Step(None, "", ins, outs, True, (None,) * len(outs), loop=loop))
        self.values.append({})

    def _inputs(self, turns: Sequence[Sequence[Step]], shape: _Shape) -> tuple[list[int], list[int]]:
        """What the carried values are at first, and what else the turns read. Raises _Irregular."""
        starts: dict[int, int] = {}
        outer: dict[tuple[int, int], int] = {}
        before: list[int] = []
        for turn in turns:
            own = _outs(turn)
            for s, (step, like, reads) in enumerate(zip(turn, turns[0], shape.reads, strict=True)):
                alike = replace(like, target=step.target, ins=step.ins, outs=step.outs, labels=step.labels)
                if step != alike or len(step.ins) != len(reads) or len(step.outs) != len(like.outs):
                    raise _Irregular
                for at, ((kind, k), value) in enumerate(zip(reads, step.ins, strict=True)):
                    known = {_OWN: own, _CARRIED: before}.get(kind)
                    if known is None:
                        wanted = outer.setdefault((s, at), value)
                    elif known:
                        wanted = known[k]
                    else:
                        wanted = starts.setdefault(k, value)
                    if value != wanted:
                        raise _Irregular
            before = own
        return [starts[k] for k in shape.carried], list(dict.fromkeys(outer.values()))

    def _firsts(
        self, repeat: _Repeat, turns: Sequence[Sequence[Step]], shape: _Shape
    ) -> Iterable[tuple[int, ...]]:
        """What the joins of what all turns give join before it."""
        after = repeat.step + len(turns) * repeat.steps
        for (offset, k), at in shape.gathered.items():
            ins = self.old.steps[after + offset].ins if after + offset < len(self.old.steps) else ()
            if ins[at : at + len(turns)] != tuple(_outs(turn)[k] for turn in turns):
                raise _Irregular
            yield self._numbers(ins[:at])

    # --- the constructor -----------------------------------------------------------------------

    def _children(self) -> list[tuple[str, New]]:
        children = list(self.old.children)
        for repeat, shape in sorted(self.repeats, key=lambda pair: -pair[0].child):
            end = repeat.child + repeat.children * repeat.turn.total
            loop = self._made(repeat, shape)
            children[repeat.child : end] = [(children[repeat.child][0], loop)]
        return children

    def _made(self, repeat: _Repeat, shape: _Shape) -> LoopNew:
        """The children of all turns. Raises _Irregular."""
        turns: list[tuple[tuple[str, New], ...]] = []
        targets: list[list[int | str | None]] = []
        more: list[tuple[Val, ...]] = []
        for turn, steps in enumerate(_turns(self.old, repeat)):
            start = repeat.child + turn * repeat.children
            turns.append(tuple(self.old.children[start : start + repeat.children]))
            names = [name for name, _ in turns[-1]]
            targets.append([s.target and names.index(s.target) for s in steps if s.target in (None, *names)])
            at = repeat.step + turn * repeat.steps
            values = self.old.values[at : at + repeat.steps]
            more.append(tuple(given[key] for given in values for key in sorted(given)))
        if (
            any(found != targets[0] for found in targets)
            or len(targets[0]) < repeat.steps
            or any(_stands_apart(new) for turn in turns for _, new in turn)
            or not are_alike(turns, shape.strides)
        ):
            raise _Irregular
        return LoopNew(tuple(turns), self.count(repeat.turn, self.old), shape.strides, tuple(more))


def _stands_apart(new: New) -> bool:
    """Whether a child is none that a loop can give: handed in, a tensor, or there for some numbers only."""
    is_tensor = isinstance(new, LayerNew) and new.module.kept is not None
    return is_tensor or isinstance(new, ShortcutNew | HandedNew)
