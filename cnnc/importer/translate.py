"""A trace to a flat spec: operator by operator, by the rules of `rules/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from cnnc.importer import arrange
from cnnc.importer.flat import Flat, Node
from cnnc.importer.layout import Atom, Axes, Value
from cnnc.importer.refusal import Refusal, at
from cnnc.importer.traced import VIEWS, Held, Ref, Step, Traced, pruned

Rule = Callable[["Translation", Step], "Any"]
RULES: dict[str, Rule] = {}


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register what becomes of operators: a function that returns a Value, a tuple of them, or what the step stands for."""

    def register(made: Rule) -> Rule:
        for name in operators:
            assert name not in RULES, f"two rules for {name}"
            RULES[name] = made
        return made

    return register


@dataclass(slots=True, kw_only=True)
class Translation:
    """The state of a translation: what every name of the trace stands for, and the spec so far."""

    traced: Traced
    spec: Flat = field(default_factory=Flat)
    known: dict[str, Any] = field(default_factory=dict)
    """Steps and tensors: a Value, a tuple of values, a Held, or a plain number."""
    steps: tuple[Step, ...] = ()
    memory: dict[str, str] = field(default_factory=dict)
    """For what is a view: the name whose memory it is."""
    twins: dict[str, str] = field(default_factory=dict)
    """For what came about in place: the name of the first value in its place."""
    readers: dict[str, list[int]] = field(default_factory=dict)
    """The places among the steps that read a name."""
    step: Step | None = None
    place: int = 0
    """Of the step at hand among the steps."""
    emitted: dict[str, Value] = field(default_factory=dict)
    """The held tensors that have a line of their own."""
    moved: dict[Any, int] = field(default_factory=dict)
    """Conversions that there are already, by tensor and layers."""
    used: dict[str, int] = field(default_factory=dict)
    """The keys of weights that a layer has already, and which line that is."""

    # --- reading a step --------------------------------------------------------------------

    def get(self, argument: Any) -> Any:
        """What an argument stands for; numbers and texts stand for themselves."""
        if isinstance(argument, Ref):
            return self.known[argument.name]
        if isinstance(argument, list | tuple):
            return [self.get(inner) for inner in argument]
        return argument

    def value(self, argument: Any) -> Value:
        """An argument as a tensor that flows; a held tensor gets a line of its own."""
        found = self.get(argument)
        if isinstance(found, Held):
            return self.held(found)
        if not isinstance(found, Value):
            raise Refusal(f"expected a tensor, found {found!r}"[:200])
        return found

    def weight(self, argument: Any, what: str) -> Held:
        """An argument that must be a tensor of the module as it is."""
        found = self.get(argument)
        if not isinstance(found, Held):
            raise Refusal(f"its {what} is computed, and the language has no such weights")
        if found.role == "constant" or not found.kept:
            raise Refusal(f"its {what} is a constant that the state dict does not have")
        if (found.role == "buffer") != what.startswith("running_"):
            kind = "a parameter" if found.role == "parameter" else "a buffer, which nobody learns"
            raise Refusal(f"its {what} is {kind}")
        return found

    def held(self, held: Held) -> Value:
        """A parameter or buffer as a tensor of its own."""
        if held.name not in self.emitted:
            from cnnc.importer.rules.tensors import own_tensor

            self.emitted[held.name] = own_tensor(self, held)
        return self.emitted[held.name]

    # --- writing -----------------------------------------------------------------------------

    def layer(
        self, kind: str, inputs: tuple[int, ...], *, head: str = "", args: Mapping[str, Any] | None = None,
        weights: Mapping[str, Held | None] | None = None,
    ) -> int:  # fmt: skip
        """A new line for the step at hand."""
        assert self.step is not None
        keys = {ours: held.key for ours, held in (weights or {}).items() if held is not None}
        if keys and self.used.keys() & set(keys.values()):
            return self._again(kind, inputs, head or kind, dict(args or {}), keys)
        made = self.spec.add(kind, inputs, self.step.where, head=head, args=args, weights=keys)
        self.used |= dict.fromkeys(keys.values(), made)
        return made

    def _again(
        self, kind: str, inputs: tuple[int, ...], head: str, args: dict[str, Any], keys: dict[str, str]
    ) -> int:
        """A layer with the weights of an earlier one, which must be the same in all else but how a kernel is moved."""
        assert self.step is not None
        first = self.spec.lines[self.used.get(next(iter(keys.values())), 0)]
        mine, theirs = _moves(kind, head, args), _moves(first.kind, first.head, first.args)
        if (first.kind, mine[0], dict(first.weights)) != (kind, theirs[0], keys):
            raise Refusal("its weights are those of an earlier layer that has other arguments")
        changed = {key: value for key, value in mine[1].items() if value != theirs[1][key]}
        return self.spec.add("again", inputs, self.step.where, args={"": Node(first.index), **changed})

    def laid(self, value: Value, want: Axes) -> int:
        """The line whose tensor has the value's numbers with these axes."""
        return arrange.laid(self, value, want)

    def positional(self, value: Value) -> int:
        """The line with torch's own axes: channels second, then positions."""
        self.own_batch(value)
        return self.laid(value, value.axes[1:])

    def own_batch(self, value: Value) -> None:
        """Refuse a value whose batch is not an axis of its own."""
        if value.batch is None or not value.axes or value.axes[0] != (value.batch,):
            raise Refusal(
                "its batch is not an axis of its own: positions or channels are folded into it, which the language cannot say"
            )

    def fresh(self, node: int, shape: tuple[int, ...], batch: Atom) -> Value:
        """The value of a line whose axes are torch's, `shape` without the batch."""
        axes = tuple((Atom(n),) if n > 1 else () for n in shape)
        return Value(node, axes, ((batch,), *axes), batch)

    def output_shape(self) -> tuple[int, ...]:
        """Of the step at hand, without the batch."""
        assert self.step is not None and self.step.shapes[0] is not None
        return self.step.shapes[0][1:]


def translate(traced: Traced, progress: Callable[[int, int], None] | None = None) -> Flat:
    """The flat spec of a trace whose idioms are joined, its lines not named yet. Raises CnncError (E805) at what the language lacks."""
    import cnnc.importer.rules  # noqa: F401

    steps = pruned(traced)
    work = Translation(traced=traced)
    _inputs(work)
    work.steps = steps
    for number, step in enumerate(steps):
        for name in step.refs():
            work.readers.setdefault(name, []).append(number)
    for number, step in enumerate(steps):
        if progress is not None:
            progress(number, len(steps))
        work.step, work.place = step, number
        try:
            _one(work, step)
        except Refusal as refusal:
            raise at(step, refusal) from Refused(step, refusal)
    _outputs(work, steps)
    work.spec.join_sums()
    spec = work.spec.pruned()
    _hold_numbers(spec)
    return spec


class Refused(Exception):
    """Which step is refused; the cause of the error that says so."""

    def __init__(self, step: Step, refusal: Refusal) -> None:
        super().__init__(refusal.what)
        self.step, self.refusal = step, refusal


def _hold_numbers(spec: Flat) -> None:
    for line in spec.lines:
        for value in line.args.values():
            if isinstance(value, float) and not isfinite(value):
                step = Step(line.name, line.kind, {}, (None,), line.where)
                raise at(step, Refusal(f"it takes {value}, and the language has finite numbers only"))


def _moves(
    kind: str, head: str, args: Mapping[str, Any]
) -> tuple[tuple[str, dict[str, Any]], dict[str, Any]]:
    """A layer's word and arguments, and how its kernel is moved, which may differ where its weights are used again."""
    if kind not in ("conv", "dwconv"):
        return (head, dict(args)), {}
    word, _, stride = head.partition("/")
    moves = {"stride": stride or "1", "pad": args.get("pad", "same"), "dilation": args.get("dilation", 1)}
    return (word, {key: value for key, value in args.items() if key not in moves}), moves


def _inputs(work: Translation) -> None:
    from cnnc.importer.traced import Where

    work.known.update(work.traced.held)
    batch = Atom(work.traced.batch)
    several = len(work.traced.inputs) > 1
    for name, shape in work.traced.inputs.items():
        index = work.spec.add("input", (), Where())
        work.spec.lines[index].name = name if several else "input"
        work.known[name] = work.fresh(index, shape[1:], batch)


def _one(work: Translation, step: Step) -> None:
    made = RULES.get(step.op)
    if made is None:
        raise Refusal("the language has no layer for it")
    result = _settled(made(work, step))
    work.known[step.name] = result
    _remember_memory(work, step)
    if isinstance(result, Value) and step.shapes[0] is not None:
        assert result.shape == step.shapes[0], f"{step.op} gives {step.shapes[0]}, not {result.shape}"
    if step.in_place and step.op not in ("detach", "requires_grad"):
        _overwrite(work, step, result)


def _settled(result: Any) -> Any:
    """A value with a batch of 1 as its first axis where that is of size 1, else in no axis, whatever views made of it."""
    if not isinstance(result, Value) or result.batch is None or result.batch.size != 1:
        return result
    axes = [tuple(atom for atom in axis if atom is not result.batch) for axis in result.axes]
    if axes and axes[0] == ():
        axes[0] = (result.batch,)
    return replace(result, axes=tuple(axes))


def _remember_memory(work: Translation, step: Step) -> None:
    """Note whose memory a result is."""
    source = next(iter(step.refs()), None)
    if source is not None and (step.in_place or step.op in VIEWS):
        work.memory[step.name] = work.memory.get(source, source)
        if step.in_place:
            work.twins[step.name] = work.twins.get(source, source)


def _overwrite(work: Translation, step: Step, result: Any) -> None:
    """Let later readers of what was overwritten have the new value. Raises Refusal where a view of it is read later."""
    target = next(iter(step.refs()))
    if isinstance(work.known.get(target), Held):
        raise Refusal("it overwrites a tensor of the module")
    twin, memory = work.twins.get(target, target), work.memory.get(target, target)
    same = {twin, *(name for name, first in work.twins.items() if first == twin)}
    others = {memory, *(name for name, owner in work.memory.items() if owner == memory)} - same
    readers = [later for name in others for later in work.readers.get(name, ()) if later > work.place]
    if readers:
        reader = work.steps[min(readers)].op
        raise Refusal(f"it overwrites memory that `{reader}` reads later under another name")
    if others & {ref.name for ref in work.traced.outputs.values()}:
        raise Refusal("it overwrites memory that is an output under another name")
    for name in same:
        work.known[name] = result


def _outputs(work: Translation, steps: tuple[Step, ...]) -> None:
    """Lay every output as torch has it; what that takes belongs to the module that made the value."""
    made = {step.name: step for step in steps}
    for name, ref in work.traced.outputs.items():
        work.step = made.get(ref.name, work.step)
        try:
            node = work.positional(work.value(ref))
        except Refusal as refusal:
            assert work.step is not None, work.known[ref.name]
            raise at(work.step, refusal) from None
        work.spec.outputs[name] = node
