"""The body of `forward`: steps over values become lines over as few variables as read well."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import chain, count, pairwise

from cnnc.backends.pytorch.infix import filled
from cnnc.backends.pytorch.names import attribute, variable
from cnnc.backends.pytorch.wrap import WIDTH
from cnnc.dsl.record import record

INDENT = 8
"""How far the lines of a method are indented."""


@record
class Loop:
    """What each turn of a repeat does, in place of a step.

    The values of `body` are numbered for themselves: first those that are `carried` from turn to turn, then what else
    the turns read, then what the steps give. After a turn what is carried is `ends`; what is `gathered` is added to
    lists, which begin with `firsts`. The step reads what is carried as it is at first, the rest, and the `firsts`; it
    gives what is carried as it is at last, and the lists. Its template is the line that begins the loop.
    """

    name: str
    """The first child that the loop constructs."""
    body: tuple[Step, ...]
    keys: tuple[tuple[str, ...], ...]
    """The values in the template of each step."""
    strides: tuple[tuple[str, int], ...]
    """The children of the first turn, and how far the number in each one's name grows from turn to turn."""
    carried: int
    ends: tuple[int, ...]
    gathered: tuple[int, ...]
    firsts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that forward does.

    `target` is a child's name where a module is called, else None and `template`
    is the expression: `{0}` or `{all}` for inputs. `ins` and `outs` number the
    values of the scope: its inputs come first, then each step's outputs in order.
    """

    target: str | None
    template: str
    ins: tuple[int, ...]
    outs: tuple[int, ...]
    starts_line: bool
    labels: tuple[str | None, ...]
    modules: tuple[str, ...] = ()
    """Shared modules that are handed on to the child that is called."""
    _: KW_ONLY
    is_running: bool = False
    """Whether it adds to a running sum, on a line of its own."""
    loop: Loop | None = None
    key: str = ""
    """The expression that a child's name is, in a loop: `target` is its name in the first turn."""


def forward_lines(
    steps: Sequence[Step],
    inputs: Sequence[str],
    returns: Sequence[int],
    constructor: str | None = None,
    modules: Sequence[str] = (),
    comments: Mapping[int, str] | None = None,
) -> list[str]:
    """The lines of `forward` after its signature, not indented.

    `inputs` are the names of the parameters, `returns` the values to return;
    `constructor` wraps the returned values (a named tuple); `modules` are
    parameters that are shared modules; `comments` says of a value what follows the line that
    makes it, if there is room and the line before it does not say the same.
    """
    return _Writer(steps, inputs, returns, constructor, modules, comments or {}).lines()


def with_running_sums(steps: Sequence[Step]) -> list[Step]:
    """The steps, with what only a later sum of more than two reads added up as it is made, in the same order."""
    readers: dict[int, list[Step]] = {}
    for step in steps:
        for value in step.ins:
            readers.setdefault(value, []).append(step)
    makers = {value: at for at, step in enumerate(steps) for value in step.outs}
    number = 1 + max((value for step in steps for value in (*step.ins, *step.outs)), default=-1)
    added: dict[int, list[Step]] = {}
    left_out: set[int] = set()
    for step in steps:
        count = len(step.ins)
        made = [makers.get(value, -1) for value in step.ins]
        is_sum = count > 2 and step.template == " + ".join(f"{{{i}}}" for i in range(count))
        if not is_sum or made[0] < 0 or any(a >= b for a, b in pairwise(made)):
            continue
        if any(readers[value] != [step] for value in step.ins):
            continue
        left_out.add(id(step))
        total = step.ins[0]
        for i, value in enumerate(step.ins[1:], 2):
            outs = step.outs if i == count else (number,)
            adds = Step(None, "{0} + {1}", (total, value), outs, False, step.labels, is_running=i < count)
            added.setdefault(makers[value], []).append(adds)
            total, number = outs[0], number + 1
    out: list[Step] = []
    for at, step in enumerate(steps):
        out += [*([] if id(step) in left_out else [step]), *added.get(at, [])]
    return out


def end_of_maps(
    steps: Sequence[Step], returns: Sequence[int], is_map: Callable[[int], bool]
) -> tuple[int, int] | None:
    """After how many steps no value is a map, and the one value that is read from there on; None if it is not one."""
    first = 1 + max((i for i, step in enumerate(steps) if any(map(is_map, step.outs))), default=-1)
    for end in range(first, len(steps) + 1):
        made = {value for step in steps[:end] for value in step.outs}
        later = {value for step in steps[end:] for value in step.outs}
        read = {value for step in steps[end:] for value in step.ins} | set(returns)
        if len(read - later) == 1 and read - later <= made:
            (value,) = read - later
            return end, value
    return None


class _Writer:
    def __init__(
        self,
        steps: Sequence[Step],
        inputs: Sequence[str],
        returns: Sequence[int],
        constructor: str | None,
        modules: Sequence[str],
        comments: Mapping[int, str],
        *,
        is_turn: bool = False,
    ) -> None:
        self.steps = steps
        self.inputs = inputs
        self.returns = returns
        self.constructor = constructor
        self.is_alone = len(returns) == 1 and constructor is None and not is_turn
        """Whether forward returns one tensor and no tuple; a turn of a loop leaves variables."""
        self.modules = frozenset(modules)
        self.comments = comments
        self.uses: dict[int, list[int]] = {}
        for i, step in enumerate(steps):
            for value in step.ins:
                self.uses.setdefault(value, []).append(i)
        for value in returns:
            self.uses.setdefault(value, []).append(len(steps))
        self.preferred: dict[int, str] = {}
        """The variables that values should have if these are free."""
        self.inlined: set[int] = set()
        self.length: dict[int, int] = {}
        self._choose_inlined()

    def _choose_inlined(self) -> None:
        """A value used once may stand inside the expression that uses it."""
        for i, step in enumerate(self.steps):
            size = 4 + sum(self.length.get(v, 1) if v in self.inlined else 6 for v in step.ins)
            size += (len(step.key) + 10 if step.key else len(step.target or step.template)) + 5
            for value in step.outs if not (step.is_running or step.loop) else ():
                self.length[value] = size
                users = self.uses.get(value, [])
                if len(step.outs) == 1 and len(users) == 1 and self._fits(i, users[0], size):
                    self.inlined.add(value)

    def _fits(self, maker: int, user: int, size: int) -> bool:
        if user == len(self.steps):
            return self.is_alone and size <= 72
        consumer = self.steps[user]
        if consumer.loop is not None:
            return False
        if len(consumer.ins) > 1:
            return size <= 44 or (consumer.template == "torch.cat([{all}], 1)" and size <= 64)
        return user == maker + 1 and not consumer.starts_line and size <= 60

    def lines(self) -> list[str]:
        name = dict(enumerate(self.inputs))
        lines, made, text = self._statements(name)
        values = [text.get(v) or name[v] for v in self.returns]
        if self.is_alone:
            result = values[0]
        else:
            result = (
                f"{self.constructor or ''}({', '.join(values)})" if self.constructor else ", ".join(values)
            )
        if lines and self.is_alone and lines[-1].startswith(f"{result} = "):
            lines[-1] = f"return {lines[-1].removeprefix(f'{result} = ')}"
        else:
            lines.append(f"return {result}")
            made.append(self.returns[0] if self.is_alone and result not in name.values() else None)
        return self._commented(lines, made)

    def _statements(self, name: dict[int, str]) -> tuple[list[str], list[int | None], dict[int, str]]:
        """The lines of the steps, what each makes, and the values that are none; `name` gets their variables."""
        last_use = self._last_uses()
        text: dict[int, str] = {}
        lines: list[str] = []
        made: list[int | None] = []
        for i, step in enumerate(self.steps):
            if step.loop is not None:
                lines += self._loop(step, step.loop, i, name, last_use)
                made += [None] * (len(lines) - len(made))
                continue
            expression = self._expression(step, name, text)
            if len(step.outs) == 1 and step.outs[0] in self.inlined:
                text[step.outs[0]] = expression
                continue
            targets: list[str] = []
            for value, label in zip(step.outs, step.labels, strict=True):
                chosen = self._variable(value, label, step, i, name, last_use, set(targets))
                targets.append(chosen)
            for value, chosen in zip(step.outs, targets, strict=True):
                name[value] = chosen
            lines.append(f"{', '.join(targets)} = {expression}")
            made.append(step.outs[0] if len(step.outs) == 1 else None)
        return lines, made, text

    def _loop(
        self, step: Step, loop: Loop, at: int, name: dict[int, str], last_use: Mapping[int, int]
    ) -> list[str]:
        """A loop: its variables as they begin, and the lines of a turn."""
        starts, rest = step.ins[: loop.carried], step.ins[loop.carried :]
        outer = rest[: len(rest) - sum(map(len, loop.firsts))]
        kept = (
            {n for v, n in name.items() if last_use.get(v, -1) > at} | {name[v] for v in outer} | self.modules
        )
        lines: list[str] = []
        variables: list[str] = []
        for start in starts:
            chosen = name[start]
            if chosen in kept or chosen in variables:
                chosen = _free({*kept, *variables, *(name[v] for v in step.ins)})
                lines.append(f"{chosen} = {name[start]}")
            variables.append(chosen)
        lists: list[str] = []
        for firsts in loop.firsts:
            lists.append(_free({*kept, *variables, *lists, *(name[v] for v in step.ins)}, ("ys", "zs")))
            lines.append(
                f"{lists[-1]} = [{', '.join(name[v] for v in firsts)}]" if firsts
                else f"{lists[-1]}: list[Tensor] = []"
            )  # fmt: skip
        inputs = [*variables, *(name[v] for v in outer)]
        returns = (*loop.ends, *loop.gathered, *range(loop.carried, len(inputs)))
        taken = tuple({*kept, *lists} - {*inputs})
        turn = _Writer(loop.body, inputs, returns, None, taken, {}, is_turn=True)
        turn.preferred = dict(zip(loop.ends, variables, strict=True))
        inner = dict(enumerate(inputs))
        body, _, _ = turn._statements(inner)
        body += [f"{into}.append({inner[v]})" for into, v in zip(lists, loop.gathered, strict=True)]
        moved = [(v, inner[end]) for v, end in zip(variables, loop.ends, strict=True) if v != inner[end]]
        if moved:
            body.append(f"{', '.join(v for v, _ in moved)} = {', '.join(end for _, end in moved)}")
        name.update(zip(step.outs, (*variables, *lists), strict=True))
        return [*lines, step.template, *(f"    {line}" for line in body)]

    def _commented(self, lines: Sequence[str], made: Sequence[int | None]) -> list[str]:
        """The lines with the comments on what they make."""
        out: list[str] = []
        last = ""
        for line, value in zip(lines, made, strict=True):
            comment = self.comments.get(value, "") if value is not None else ""
            fits = len(line) + len(comment) + 4 <= WIDTH - INDENT
            out.append(f"{line}  # {comment}" if comment and comment != last and fits else line)
            last = comment
        return out

    def _expression(self, step: Step, name: dict[int, str], text: dict[int, str]) -> str:
        operands = [text.get(v) or name[v] for v in step.ins]
        if step.target is not None:
            child = f"getattr(self, {step.key})" if step.key else attribute(step.target)
            return f"{child}({', '.join([*operands, *step.modules])})"
        return filled(step.template, operands)

    def _last_uses(self) -> dict[int, int]:
        """For each value, the last line (by step) that still reads its variable."""
        written_at: dict[int, int] = {}
        for i in range(len(self.steps) - 1, -1, -1):
            for value in self.steps[i].outs:
                if value in self.inlined:
                    user = self.uses[value][0]
                    written_at[i] = written_at.get(user, user)
                else:
                    written_at[i] = i
        return {
            value: max(written_at.get(user, user) for user in users) for value, users in self.uses.items()
        }

    def _is_line(self, i: int) -> bool:
        return any(value not in self.inlined for value in self.steps[i].outs) and not self.steps[i].is_running

    def _variable(
        self, value: int, label: str | None, step: Step, at: int, name: dict[int, str],
        last_use: dict[int, int], also: set[str],
    ) -> str:  # fmt: skip
        """The variable for a value: its label if it is kept, else one that is free from here on."""
        live = {n for v, n in name.items() if last_use.get(v, -1) > at} | also | self.modules
        between = range(at + 1, min(last_use.get(value, 0), len(self.steps)))
        kept = len(self.uses.get(value, [])) > 1 or any(self._is_line(i) for i in between)
        kept = kept or (not self.is_alone and value in self.returns)
        preferred = self.preferred.get(value)
        if preferred is not None and preferred not in live:
            return preferred
        if label is not None and kept:
            chosen = variable(label)
            if chosen not in live and chosen not in self.inputs:
                return chosen
        for source in step.ins:
            if source in name and name[source] not in live and len(step.outs) == 1:
                return name[source]
        return _free(live)


def _free(live: Collection[str], names: tuple[str, ...] = ("x", "y", "z")) -> str:
    """A variable that is not live."""
    numbered = (f"{names[-2]}{number}" for number in count(2))
    return next(name for name in chain(names, numbered) if name not in live)
