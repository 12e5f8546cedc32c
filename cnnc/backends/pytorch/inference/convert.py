"""`convert`, the function of an inference file that makes its state dict from the plain form's."""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.backends.pytorch.inference.match import FoldedNorm, ScaledNorm
from cnnc.backends.pytorch.names import literal
from cnnc.backends.pytorch.wrap import lay_out
from cnnc.compiler.graph import Graph


def converter(graph: Graph, norms: Sequence[FoldedNorm | ScaledNorm]) -> tuple[tuple[str, ...], list[str]]:
    """The helpers that the function calls, and its lines: tables of the norms, then the function."""
    order = {node.name: node.index for node in graph.nodes}
    by_place = sorted(norms, key=lambda norm: order[norm.norm])
    folded = [norm for norm in by_place if isinstance(norm, FoldedNorm)]
    scaled = [norm for norm in by_place if isinstance(norm, ScaledNorm)]
    lines: list[str] = []
    calls: list[str] = []
    helpers: list[str] = []
    if folded:
        rows = [(n.layer, n.norm, n.eps, *([n.transposed] if n.transposed else [])) for n in folded]
        lines += _table("FOLDED", "layer, the norm that goes into its weights, eps", rows)
        helpers.append("fold_norm")
        calls += ["    for row in FOLDED:", "        fold_norm(state, *row)"]
    if scaled:
        rows = [(n.norm, n.eps, n.rank) for n in scaled]
        lines += _table("SCALED", "norm that stays as a factor and an offset, eps, axes of its maps", rows)
        helpers.append("set_scale")
        calls += ["    for row in SCALED:", "        set_scale(state, *row)"]
    if helpers:
        helpers.append("scale_and_shift")
    lines += [
        "",
        "def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:",
        '    """The state dict of this form from that of the plain form.',
        "",
        "    Raises KeyError where a tensor of a norm or its layer is missing.",
        '    """',
        "    state = dict(state)",
        *calls,
        "    return state",
    ]
    return tuple(helpers), lines[1:] if lines[0] == "" else lines


def _table(name: str, what: str, rows: Sequence[tuple[object, ...]]) -> list[str]:
    lines = [f"# {what[0].upper()}{what[1:]}.", f"{name} = ["]
    for row in rows:
        lines += lay_out(f"{literal(row)},", 4)
    return [*lines, "]", ""]
