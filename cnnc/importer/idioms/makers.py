"""Which step made what: the questions that idioms ask of a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnc.importer.traced import Held, Ref, Shape, Step

VIEWS = (
    "view",
    "reshape",
    "reshape_as",
    "view_as",
    "flatten",
    "unsqueeze",
    "squeeze",
    "alias",
    "contiguous",
)
"""What leaves the values of a tensor in their order."""


@dataclass(frozen=True, slots=True)
class Makers:
    """Which step made a name, and which names are tensors of the module."""

    steps: Mapping[str, Step]
    held: Mapping[str, Held]
    inputs: Mapping[str, Shape]

    def by(self, argument: Any, *operators: str) -> Step | None:
        """The step that made an argument, where it is one of these operators."""
        step = self.steps.get(argument.name) if isinstance(argument, Ref) else None
        return step if step is not None and step.op in operators and not step.in_place else None

    def shape(self, argument: Any) -> Shape | None:
        """Of an argument that is a tensor."""
        if not isinstance(argument, Ref):
            return None
        if argument.name in self.inputs:
            return self.inputs[argument.name]
        step = self.steps.get(argument.name)
        return step.shapes[0] if step is not None else self.held[argument.name].shape

    def unviewed(self, argument: Any) -> Any:
        """What an argument is, without the views that leave its values in their order."""
        while (view := self.by(argument, *VIEWS)) is not None:
            argument = view.first
        return argument

    def own(self, argument: Any) -> Ref | None:
        """The tensor of the module that an argument shows the values of, all in their order."""
        found = self.unviewed(argument)
        return found if isinstance(found, Ref) and found.name in self.held else None


def numbers_of(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
