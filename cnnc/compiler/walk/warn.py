"""What is legal but likely a mistake."""

from __future__ import annotations

import re
from math import prod

from cnnc.compiler.ops import Op, show
from cnnc.compiler.sizes import is_free
from cnnc.compiler.walk.default_activations import Consumers
from cnnc.compiler.walk.draft import Draft
from cnnc.compiler.walk.elaborate import Walked
from cnnc.compiler.walk.values import FileScope, render_trace
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import Diagnostic
from cnnc.dsl.source import Span
from cnnc.dsl.tokens import STATEMENTS


def warnings(walked: Walked, file: FileScope, consumers: Consumers) -> list[Diagnostic]:
    """Unused declarations, biases before batch norms, weighted layers with no activation between them."""
    found = [*_unused(walked.spec, file), *_unused_taps(walked), *_unused_parameters(walked.spec)]
    found += [*_statement_words(walked.spec), *_biases(walked), *_linear_pairs(walked, consumers)]
    found += _single_values(walked)
    seen: set[tuple[str, int, str]] = set()
    out = []
    for problem in sorted(found, key=lambda d: d.span.start if d.span else 0):
        key = (problem.code, problem.span.start if problem.span else 0, problem.message)
        if key not in seen:
            seen.add(key)
            out.append(problem)
    return out


def _unused(spec: s.Spec, file: FileScope) -> list[Diagnostic]:
    names: list[tuple[str, str, Span]] = []
    for statement in spec.statements:
        if isinstance(statement, s.Param):
            names.append(("param", statement.name, statement.span))
        elif isinstance(statement, s.Block):
            names.append(("block", statement.name, statement.name_span))
        elif isinstance(statement, s.Shared):
            names.append(("shared module", statement.name, statement.name_span))
        elif isinstance(statement, s.Extern):
            names.append(("extern", statement.name, statement.name_span))
    names += [("used block", name, span) for name, span in file.brought.items()]
    if not any(isinstance(st, s.Flow) or (isinstance(st, s.Model) and st.call) for st in spec.statements):
        return []
    return [
        Diagnostic("W101", f"the {what} `{name}` is never used", span, hint="remove it, or use it")
        for what, name, span in names
        if name not in file.used
    ]


def _unused_taps(walked: Walked) -> list[Diagnostic]:
    """A label on `id` names no module: it is there to be used, in a block by one of its calls."""
    claimed = " ".join(st.span.text for st in walked.spec.statements if isinstance(st, s.Expect))
    used = {entry.span for text, entry, _ in walked.taps if entry.used or _mentions(claimed, text)}
    unused = {
        entry.span: (text, trace) for text, entry, trace in reversed(walked.taps) if entry.span not in used
    }
    return [
        Diagnostic(
            "W101", f"the label `{text}` is never used", span, render_trace(trace, span),
            hint="remove it, or use it",
        )
        for span, (text, trace) in reversed(unused.items())
    ]  # fmt: skip


def _statement_words(spec: s.Spec) -> list[Diagnostic]:
    """W102: `output: fc-10` begins a line as the statement would, and is a layer with a label."""
    found = []
    for statement in spec.statements:
        if not isinstance(statement, s.Flow):
            continue
        for i, item in enumerate(statement.pipeline.items):
            label = item.label
            word = label.parts[0] if label is not None and len(label.parts) == 1 else None
            begins = i == 0 or statement.pipeline.breaks[i]
            if label is None or label.quoted or not begins or word not in STATEMENTS:
                continue
            message = f"`{word}:` makes `{word}` the label of a layer, and no statement"
            hint = f'remove the `:` for the statement; quote the label if you mean one: "{word}": …'
            found.append(Diagnostic("W102", message, label.span, hint=hint))
    return found


def _unused_parameters(spec: s.Spec) -> list[Diagnostic]:
    """Parameters that nothing in their block names; those that begin with `_` may go unused."""
    found: list[s.Parameter] = []
    for statement in spec.statements:
        if isinstance(statement, s.Block):
            body = re.sub(r"#[^\n]*", "", statement.body.span.text)
            for i, parameter in enumerate(statement.params):
                later = " ".join(p.span.text for p in statement.params[i + 1 :])
                if not parameter.name.startswith("_") and not _mentions(f"{later} {body}", parameter.name):
                    found.append(parameter)
    hint = "remove it, or use it"
    return [Diagnostic("W101", f"the parameter `{p.name}` is never used", p.span, hint=hint) for p in found]


def _mentions(text: str, name: str) -> bool:
    """Whether a name stands in a text as a whole word, also as a piece of a layer word (`conv3-w/s`)."""
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", text) is not None


def _biases(walked: Walked) -> list[Diagnostic]:
    """W201: the norm's own shift makes the bias before it redundant."""
    found = []
    for draft in walked.drafts:
        if draft.op is None or draft.op.kind != "bn" or draft.dropped:
            continue
        before = draft.inputs[0].settled()
        if before.plain_bias and "bias" in _params(before):
            hint = "write bias=no, or norm=bn in place of the separate bn; bias=yes if you mean it"
            message = "the bias before a batch norm has no effect: the norm subtracts it"
            trace = render_trace(before.trace, before.span)
            found.append(Diagnostic("W201", message, before.span, trace, hint))
    return found


def _single_values(walked: Walked) -> list[Diagnostic]:
    """N104: over one position, a batch norm in training has as many values of a channel as there are images."""
    for draft in walked.drafts:
        if draft.op is None or draft.op.kind != "bn" or draft.dropped:
            continue
        shape = draft.shape
        if not any(is_free(n) for n in shape) and prod(shape[1:]) == 1:
            message = "it trains with batches of 2 or more: this batch norm sees one value of each channel in an image"
            return [Diagnostic("N104", message, draft.span, render_trace(draft.trace, draft.span))]
    return []


def _params(draft: Draft) -> dict[str, tuple[int, ...]]:
    return dict(draft.op.params(*(x.shape for x in draft.inputs))) if draft.op is not None else {}


def _linear_pairs(walked: Walked, consumers: Consumers) -> list[Diagnostic]:
    """W202: a default activation was left out, and the next weighted layer follows without any other."""
    reaches = [False] * len(walked.drafts)
    found = []
    for draft in reversed(walked.drafts):
        linear = False
        for taker in consumers.counted(draft):
            assert taker.op is not None
            if taker.op.weighted:
                linear = True
            elif not (taker.op.family == "activation" or taker.op.nonlinear) or taker.dropped:
                linear = linear or reaches[taker.number]
        reaches[draft.number] = linear
        if draft.dropped and linear and not draft.alone:
            message, hint = _left_out(draft, consumers)
            found.append(Diagnostic("W202", message, draft.span, render_trace(draft.trace, draft.span), hint))
    return found


def _left_out(draft: Draft, consumers: Consumers) -> tuple[str, str]:
    """What to say of a default activation that was left out where none follows, and what mends it."""
    if consumers.is_added(draft):
        act = _word(draft.op)
        message = f"the default {act} is left out before a `+`, and no activation follows"
        return message, f"write act={act} to keep it, act=none to leave it out"
    hint = "write norm=bn or -> relu where the activation belongs; act=none if you want none"
    return "two weighted layers follow each other with no activation between them", hint


def _word(op: Op | None) -> str:
    """An activation as `act=` takes it: `leaky(0.1)`."""
    assert op is not None
    given: list[str] = []
    for place, (name, field) in enumerate(type(op).model_fields.items()):
        value = getattr(op, name)
        if value != field.default:
            text = f"{value:g}" if isinstance(value, float) else show(value)
            given.append(text if place == len(given) else f"{name}={text}")
    return op.kind + (f"({', '.join(given)})" if given else "")
