"""What may differ between the files that are written of one graph.

The plain form is the network as it is read. Another form says what the file says of it, which graph is
written, what classes derive from, and what the file holds besides its classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnc.backends.pytorch.body import Slices
from cnnc.compiler.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True, slots=True)
class Formed:
    """A graph in a form.

    `helpers` are those that the file has whatever its layers need. `checkpointed` has the `id` of each scope
    that is computed again in the backward pass; `slices` is how many images forward takes at a time;
    `staged` says that the model's children are stages of a pipeline.
    """

    graph: Graph
    helpers: tuple[str, ...] = ()
    checkpointed: Collection[int] = frozenset()
    slices: Slices | None = None
    staged: bool = False


class Form:
    """The plain form, and what the others replace of it."""

    note = ""
    trains = True
    """Whether the model is for training, so that it begins in that mode."""

    def of(self, graph: Graph) -> Formed:
        """What is written of a graph. Raises CnncError (E801) where the form has nothing for it."""
        return Formed(graph)

    def load(self, module: Any, model: Any, state: Mapping[str, Any]) -> None:
        """Give a model of this form the plain form's weights; `module` is the file, as it runs."""
        model.load_state_dict(state, strict=True)


PLAIN = Form()


def form_of(name: str | None, stages: int | None = None) -> Form:
    """A form by what `Net.pytorch` takes: None, `inference` or `checkpoint`, or how many stages."""
    if stages is not None:
        from cnnc.backends.pytorch.staged import Staged

        if name is not None:
            raise ValueError(f"stages are of the plain form: optimize={name!r} has none")
        return Staged(stages)
    if name == "inference":
        from cnnc.backends.pytorch.inference.form import Inference

        return Inference()
    if name == "checkpoint":
        from cnnc.backends.pytorch.checkpoint import Checkpointed

        return Checkpointed()
    if name is None:
        return PLAIN
    raise ValueError(f"there is no form `{name}`: inference or checkpoint")
