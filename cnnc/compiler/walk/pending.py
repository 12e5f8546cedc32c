"""Forms that the grammar has and the compiler does not: each is refused by name until its meaning is there."""

from __future__ import annotations

from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.source import Span


def refuse_pending(spec: s.Spec) -> None:
    """Raises CnncError (E111) for every form of a spec that cannot be built yet."""
    problems = []
    for node in s.nodes_in(spec.statements):
        form = _pending(node)
        if form is not None:
            span: Span = node.span  # type: ignore[attr-defined]
            problems.append(Diagnostic("E111", f"{form} cannot be built yet by this version of cnnc", span))
    if problems:
        raise CnncError(problems)


def _pending(node: object) -> str | None:
    """The name of a form without a meaning; None for everything else."""
    match node:
        case s.Bracket(body=s.Pipeline() | s.Choice() | s.Loop(op=None)) if node.args is not None:
            return "a bracket with arguments, but for [a | b](axis=W),"
    return None
