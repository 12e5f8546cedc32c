"""The inference form as a file."""

from __future__ import annotations

from cnnc.backends.pytorch.inference.convert import converter
from cnnc.backends.pytorch.inference.match import fusions
from cnnc.backends.pytorch.inference.rewrite import rewrite
from cnnc.backends.pytorch.inference.slices import slices
from cnnc.backends.pytorch.write import to_pytorch
from cnnc.compiler.graph import Graph


def to_inference(graph: Graph) -> str:
    """A Python file that defines the model for inference, and `convert` for its weights; it imports torch only.

    Its results are the plain form's up to rounding, 1e-5 of them in float32.
    Raises CnncError (E801) where PyTorch cannot express the graph.
    """
    import cnnc.backends.pytorch.emitters  # noqa: F401  (registers the emitters)

    def fused(graph: Graph) -> Graph:
        return rewrite(graph, fusions(graph))

    found = fusions(graph)
    helpers, lines = converter(graph, [fusion.norm for fusion in found if fusion.norm is not None])
    return to_pytorch(
        graph, form=fused, note="inference form", helpers=helpers, tail=lines, slices=slices(fused(graph))
    )
