"""A layer's arguments: their names and places, and what is known of them before the layer is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from functools import cache

from cnnc.compiler.ops import Op, op_words
from cnnc.compiler.symbolic import Items, Sourced, opaque
from cnnc.compiler.walk import words
from cnnc.compiler.walk.draft import Draft
from cnnc.compiler.walk.values import Closure, LayerWord, Value, describe, ordinal
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span


@record(frozen=False)
class Arguments:
    """A layer's arguments as evaluated, with where each was written."""

    values: dict[str, Sourced[Value]] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    """Those that the text at the layer gives."""
    tensors: dict[str, Draft] = field(default_factory=dict)
    pipelines: dict[str, Closure] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    """Where the text at the layer's own place gives them."""
    defaults: dict[str, s.Argument] = field(default_factory=dict)
    """The `default` statements' arguments behind those that the layer does not give itself."""

    def copy(self) -> Arguments:
        """The same, to be completed apart from this one; of what no tensor or pipeline is among."""
        return Arguments(dict(self.values), [*self.written], spans=dict(self.spans))

    def forget(self, name: str) -> None:
        """Remove an argument, so that it can be given again."""
        for known in (self.values, self.tensors, self.pipelines, self.spans, self.defaults):
            known.pop(name, None)
        if name in self.written:
            self.written.remove(name)


@cache
def argument_names(op: type[Op]) -> tuple[str, ...]:
    """A layer's argument keys in positional order, those for what it brings last."""
    brought = () if op.brings is None else ("norm", "act") if op.brings.norm else ("act",)
    return (*op.operands, *op.pipelines, *op.model_fields, *op.tensors, *brought)


def worded(op: type[Op], given: s.Argument) -> str | None:
    """The argument that a word with arguments is without a key: `standardise(eps=1e-6)`."""
    if given.key is not None or not isinstance(given.value, s.Call):
        return None
    name = given.value.name.lower()
    return name if name in op.worded else None


def field_of(op: type[Op], key: str | None, index: int, span: Span, bare: Sequence[Value]) -> str:
    """The argument that a key or a position means; `bare` are the values without keys, for a hint."""
    names = argument_names(op)
    if key is None:
        if op.positional is not None and op.positional <= index < len(names):
            raise fail("E301", _by_key_only(op, index), span, hint=words.without_positions(op, bare))
        if index >= len(names):
            message = f"`{op.kind}` takes no arguments"
            if names:
                takes = f"{len(names)} {'argument' if len(names) == 1 else 'arguments'}"
                message = f"`{op.kind}` takes {takes}, and this is the {ordinal(index + 1)}"
            raise fail("E301", message, span, hint=_signature_hint(op))
        return names[index]
    if key.lower() == "to" and "to" not in names and op.tensors:
        return next(iter(op.tensors))
    name = op.former.get(key.lower(), key.lower())
    if name not in names:
        raise fail("E301", f"`{op.kind}` has no argument `{key}`", span, hint=_key_hint(op, key, span))
    return name


def _key_hint(op: type[Op], key: str, span: Span) -> str | None:
    """The argument that was meant by a key of another library, or a misspelt one."""
    from cnnc.dsl import foreign

    value = span.text.partition("=")[2]
    return foreign.argument(key, value) or did_you_mean(key, argument_names(op)) or _signature_hint(op)


def _by_key_only(op: type[Op], index: int) -> str:
    if not op.positional:
        return f"`{op.kind}` takes its arguments by key"
    return f"`{op.kind}` takes its {ordinal(index + 1)} argument by key"


def _signature_hint(op: type[Op]) -> str | None:
    names = argument_names(op)
    return f"`{op.kind}` takes {', '.join(names)}" if names else None


def op_of_value(found: Sourced[Value], span: Span) -> tuple[type[Op], Arguments]:
    """The layer that a word means which stands as a value, and its arguments. Raises E201, E303 or E304."""
    value = found.value
    if not isinstance(value, str | LayerWord):
        raise fail("E303", f"{describe(value)} is no layer", span)
    name = value if isinstance(value, str) else value.name
    op = op_words().get(name.lower())
    if op is None:
        from cnnc.dsl import foreign

        hint = foreign.value(name) or foreign.layer_hint(name) or did_you_mean(name, op_words())
        raise fail("E201", f"no layer is called `{name}`", span, hint=hint)
    args = Arguments()
    if isinstance(value, LayerWord):
        sources = found.source.items if isinstance(found.source, Items) else ()
        for i, (key, arg) in enumerate(value.args):
            field_name = field_of(op, key, i, span, [x for k, x in value.args if k is None])
            if field_name in args.values:
                raise fail("E304", f"`{field_name}` is given twice", span)
            source = sources[i] if i < len(sources) else opaque(arg, found.source).source
            args.values[field_name] = Sourced(arg, source)
            args.spans[field_name] = span
    return op, args


def brought_layer(
    name: str, family: str, value: Sourced[Value], args: Arguments, span: Span
) -> tuple[type[Op], Arguments]:
    """The layer that `norm=` or `act=` names, or the file's default for it."""
    where = args.spans.get(name, span)
    try:
        op, brought = op_of_value(value, where)
        if op.family != family:
            raise fail("E303", f"`{op.kind}` is no {family}", where)
    except CnncError as error:
        first = error.diagnostics[0]
        raise CnncError([replace(first, span=where, trace=by_default(args, name))]) from None
    if name in args.defaults:
        brought.defaults = dict.fromkeys(brought.values, args.defaults[name])
    return op, brought


def by_default(args: Arguments, name: str) -> tuple[str, ...]:
    """The step of a trace that leads to the `default` which gave an argument."""
    default = args.defaults.get(name)
    return () if default is None else (f"the default {default.span.text}, line {default.span.line}",)


def is_plain(expr: s.Expr | s.Bracket) -> bool:
    """Whether an argument is a number or numbers joined by x, whatever is known where it stands."""
    if isinstance(expr, s.Dims):
        return all(isinstance(part, int) for part in expr.parts)
    return isinstance(expr, s.Number)
