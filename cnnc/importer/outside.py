"""What the language lacks, kept as the module that it is in: an `extern` of the user's own class. Needs the live module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cnnc.dsl.diagnostics import CnncError
from cnnc.importer.refusal import Refusal, at
from cnnc.importer.text import spell
from cnnc.importer.traced import Ref, Shape, Step, Traced, Where, pruned


@dataclass(frozen=True, slots=True)
class Outside:
    """A module of the user's, as an `extern` declares it."""

    path: str
    target: str
    arguments: tuple[tuple[str, Any], ...]
    """Of its constructor, those that differ from its defaults."""
    shape: Shape
    """What it gives, without the batch."""
    params: int
    macs: int | None

    def declaration(self, name: str) -> str:
        """The statement.

        >>> Outside("pool", "nets:Pool", (("k", 3),), (8, 4, 4), 0, 0).declaration("pool")
        'extern pool(k=3) = "nets:Pool" (shape=(8, 4, 4), params=0, macs=0)'
        """
        given = ", ".join(f"{key}={_spelled(value)}" for key, value in self.arguments)
        facts = [f"shape={_spelled(self.shape)}", f"params={self.params}"]
        facts += [] if self.macs is None else [f"macs={self.macs}"]
        return f'extern {name}{f"({given})" if given else ""} = "{self.target}" ({", ".join(facts)})'


def _spelled(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else spell(value)


def kept_outside(traced: Traced, step: Step, refusal: Refusal) -> Traced:
    """The trace with the innermost module that holds a step as one step of its own.

    Raises CnncError (E805), the refusal and why it cannot be kept, where no module around the step can be.
    """
    path = step.where.path
    why = "the module itself is not at hand" if traced.live is None else "it is in no module inside the model"
    while path and traced.live is not None:
        try:
            return _joined(traced, path)
        except Refusal as other:
            why = f"`{path}` cannot be an extern: {other.what}"
        path = path.rpartition(".")[0]
    raise _told(step, refusal, why)


def _told(step: Step, refusal: Refusal, why: str) -> CnncError:
    return at(step, Refusal(f"{refusal.what}; {why}"))


def _joined(traced: Traced, path: str) -> Traced:
    """The trace with a module's steps as one. Raises Refusal."""
    steps = pruned(traced)
    places = [i for i, step in enumerate(steps) if f"{step.where.path}.".startswith(f"{path}.")]
    inside = steps[places[0] : places[-1] + 1]
    if len(inside) != len(places):
        raise Refusal("it is called more than once")
    rest = (*steps[: places[0]], *steps[places[-1] + 1 :])
    taken, given = _ends(traced, inside, rest)
    shape = next(step.shapes[0] for step in inside if step.name == given)
    before = _shape_of(traced, taken)
    if (
        shape is None
        or shape[0] != traced.batch
        or before is None
        or before[0] != traced.batch
        or not 2 <= len(shape) <= 5
    ):
        raise Refusal("what it takes or gives has no batch as its first axis")
    from cnnc.importer.torch_outside import described

    outside = described(traced.live, path, before, shape)
    made = Step(
        given,
        "cnnc_extern",
        {"input": Ref(taken), "outside": outside},
        (shape,),
        Where(path, traced.classes[path]),
    )
    return replace(traced, steps=(*steps[: places[0]], made, *steps[places[-1] + 1 :]))


def _ends(traced: Traced, inside: tuple[Step, ...], rest: tuple[Step, ...]) -> tuple[str, str]:
    """The one tensor that a module's steps take, and the one that they give. Raises Refusal."""
    own = {step.name for step in inside}
    read = [name for step in inside for name in step.refs() if name not in own]
    if any(step.in_place and next(step.refs(), None) not in own for step in inside):
        raise Refusal("it overwrites what it is given")
    held = {name for name in read if name in traced.held}
    taken = {*read} - held
    outer = {name for step in rest for name in step.refs()}
    given = own & (outer | {ref.name for ref in traced.outputs.values()})
    if len(taken) != 1 or len(given) != 1:
        raise Refusal(f"it takes {len(taken)} tensors and gives {len(given)}, and 1 of each is expected")
    if held & outer:
        raise Refusal("its tensors are used elsewhere too")
    return taken.pop(), given.pop()


def _shape_of(traced: Traced, name: str) -> Shape | None:
    if name in traced.inputs:
        return traced.inputs[name]
    return next(step.shapes[0] for step in traced.steps if step.name == name)
