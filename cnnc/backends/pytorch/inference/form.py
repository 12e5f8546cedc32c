"""The inference form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnc.backends.pytorch.form import Form, Formed
from cnnc.backends.pytorch.inference.match import fusions
from cnnc.backends.pytorch.inference.rewrite import rewrite
from cnnc.backends.pytorch.inference.slices import slices
from cnnc.compiler.graph import Graph


class Inference(Form):
    """The network for inference, with `convert` for its weights and `capture` for its calls as graphs.

    Its results are the plain form's up to rounding, 1e-5 of them in float32.
    """

    note = "inference form"
    trains = False

    def of(self, graph: Graph) -> Formed:
        fused = rewrite(graph, fusions(graph))
        return Formed(fused, helpers=("convert", "capture"), slices=slices(fused))

    def load(self, module: Any, model: Any, state: Mapping[str, Any]) -> None:
        model.load_state_dict(module.convert(model, state), strict=True)
