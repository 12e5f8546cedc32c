"""Claims of a setting: `expect params == 1_000 with width=0.5` speaks of the network with these params."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import show
from cnnc.compiler.walk.evaluate import evaluate
from cnnc.compiler.walk.values import FileScope, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic, did_you_mean, fail
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Span


def span_of(statement: s.Expect) -> Span:
    """The claim with its settings."""
    return (
        statement.claim.span.to(statement.settings[-1].span) if statement.settings else statement.claim.span
    )


def settings(statement: s.Expect, graph: Graph) -> dict[str, Value]:
    """The values that a claim gives to params. Raises E206 for an unknown one, E304 for one given twice."""
    params: dict[str, Value] = {}
    for setting in statement.settings:
        name = setting.key or ""
        if name not in graph.params:
            hint = did_you_mean(name, graph.params)
            raise fail("E206", f"the spec has no param `{name}`", setting.span, hint=hint)
        if name in params:
            raise fail("E304", f"`{name}` is given twice", setting.span)
        assert not isinstance(setting.value, s.Bracket)
        env = FileScope(params={name: given.value for name, given in graph.params.items()}).env()
        params[name] = evaluate(setting.value, env).value
    return params


def network_of(statement: s.Expect, params: Mapping[str, Value], graph: Graph) -> Graph:
    """The network of a claim's settings. Raises CnncError where there is none."""
    from cnnc.compiler.build import build

    try:
        return build(
            parse(graph.source),
            stem=graph.name,
            sizes=graph.sizes,
            params=params,
            max_layers=graph.max_layers,
        )
    except CnncError as error:
        step = f"the network of `{span_of(statement).text}`, line {statement.span.line}"
        raise CnncError(_replace_trace(found, (*found.trace, step)) for found in error.diagnostics) from None


def note(left_out: Sequence[s.Expect], changed: Mapping[str, Value], *, has_heads: bool) -> Diagnostic:
    """N103: how many claims were not looked at, and why. A claim can be made of a setting, and not of a head."""
    first = left_out[0].claim.span
    given = ", ".join(f"{name}={show(value)}" for name, value in changed.items())
    count = f"{len(left_out)} claims are" if len(left_out) > 1 else "this claim is"
    if has_heads:
        return Diagnostic(
            "N103", f"{count} about the network as it is written, and this one has {given}", first
        )
    message = f"{count} about the params' defaults, and the network has {given}"
    text = left_out[0].claim.span.text
    return Diagnostic("N103", message, first, hint=f"claim it of this setting: expect {text} with {given}")


def _replace_trace(found: Diagnostic, trace: tuple[str, ...]) -> Diagnostic:
    """The same finding with the way to it."""
    return Diagnostic(found.code, found.message, found.span, trace, found.hint)
