"""A layer made of its arguments and the shapes on which it is put: validated, sized, mistakes positioned.

One that was made before is taken again: its class, its arguments and plain input shapes say all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import NoneType
from typing import TypeAlias

from cnnc.compiler.ops import Op, OpError, Place, Shape, Sizes, show
from cnnc.compiler.ops.base import MAX_SIZE
from cnnc.compiler.ops.model import ValidationError
from cnnc.compiler.recent import Recent
from cnnc.compiler.sizes import Ledger, is_free
from cnnc.compiler.symbolic import Sourced
from cnnc.compiler.walk.arguments import Arguments, by_default
from cnnc.compiler.walk.values import LayerWord, Value
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

_KEPT = 4_096
_MADE: Recent[object, tuple[Op, Shape]] = Recent(_KEPT)
"""Layers on inputs of known sizes, of all walks."""


@record(eq=False)
class Wanted:
    """A layer to be made: `given` are the arguments that brought the inputs after the first, `span` is its word."""

    op: type[Op]
    args: Arguments
    shapes: tuple[Shape, ...]
    given: tuple[str, ...]
    span: Span


def made(wanted: Wanted, ledger: Ledger, *, has_free: bool) -> tuple[Op, Shape]:
    """The layer, and the shape of what flows out. Raises CnncError where its arguments or inputs do not fit.

    `has_free` tells whether sizes may be free: what is assumed of them is noted in the ledger each time.
    """
    if has_free:
        return _validated(wanted, ledger)
    form = None if wanted.args.tensors else form_of(wanted.args.values)
    if form is None:
        return _validated(wanted, None)
    key = (wanted.op, wanted.given, wanted.shapes, form)
    found = _MADE.get(key)
    if found is None:
        found = _MADE[key] = _validated(wanted, None)
    return found


def form_of(values: Mapping[str, Sourced[Value]]) -> Form | None:
    """What tells a layer's arguments from any others: 1 from yes, `3x3` from (3, 3); None where nothing does."""
    form: list[tuple[str, object, Value]] = []
    for name, given in values.items():
        value = given.value
        kind: object = type(value)
        if kind not in _SCALARS:
            kind = _form(value)
            if kind is None:
                return None
        form.append((name, kind, value))
    return tuple(form)


Form: TypeAlias = tuple[tuple[str, object, Value], ...]
"""Arguments by name, with the types of their values."""
_SCALARS = frozenset({int, str, bool, Fraction, float, NoneType})


def _form(value: Value) -> object:
    """The types in a value, as deep as it goes; None where equal values of these types may differ."""
    kind = type(value)
    if kind in _SCALARS:
        return kind
    items = value.args if isinstance(value, LayerWord) else value
    if not isinstance(items, tuple):
        return None
    inner = tuple(map(_form, items))
    return None if None in inner else (kind, *inner)


def _validated(wanted: Wanted, ledger: Ledger | None) -> tuple[Op, Shape]:
    """The layer and its output's shape; `ledger` is None where no size is free, and nothing can be noted."""
    args, shapes, span = wanted.args, wanted.shapes, wanted.span
    if shapes and not wanted.op.operands:  # which tell of each
        _check_rank(wanted.op, shapes[0], span)
    _check_given(wanted.op, args, span)
    try:
        makers = {name: x.op for name, x in args.tensors.items() if x.op is not None}
        op = wanted.op.model_validate(
            {name: argument.value for name, argument in args.values.items()},
            context=Place(shapes, wanted.given, makers),
        )
        if ledger is not None:
            ledger.place = f"`{span.text}` of line {span.line}"
        shape = op.out_shape(*shapes)
        if ledger is not None:
            _refuse_free_weights(op, shapes)
    except OpError as error:
        from cnnc.compiler.walk.hints import of_what_flows

        where = args.spans.get(error.arg or "", span)
        trace = by_default(args, error.arg or "")
        raise fail(
            error.code, error.message, where, of_what_flows(where, shapes) or error.hint, trace
        ) from None
    except ValidationError as error:
        message = f"`{error.field}` of `{wanted.op.kind}` cannot be {show(error.value)}"
        raise fail("E303", message, args.spans.get(error.field, span)) from None
    if max(int(n) for n in shape) > MAX_SIZE:
        raise fail("E901", f"`{op.kind}` gives {show(Sizes(shape))}, a size of more than {MAX_SIZE:,}", span)
    return op, shape


def _check_rank(op: type[Op], shape: tuple[int, ...], span: Span) -> None:
    rank = len(shape) - 1
    if rank in op.ranks:
        return
    got = f"{'x'.join(map(str, shape))}, " + ("a vector" if rank == 0 else f"a map of {rank} axes")
    wants = "a map (channels x height x width)" if 0 not in op.ranks else "a vector"
    hint = (
        f"put layers on maps before the flattening, or make a map of it: reshape({shape[0]}x1x1)"
        if rank == 0
        else "flatten it first"
    )
    if op.ranks == (1,):
        wants = "a map of one axis (channels x positions)"
        hint = "`squeeze` takes axes of size 1 out, `reshape` makes positions of an axis"
    raise fail("E401", f"`{op.kind}` expects {wants}, and its input is {got}", span, hint=hint)


def _check_given(op: type[Op], args: Arguments, span: Span) -> None:
    """Raises E302 for an argument that is missing, before validators look at one another's."""
    for name in op.required:
        if name not in args.values:
            hint = f"for instance: {op.example}"
            raise fail("E302", f"`{op.kind}` needs its {name}", span, hint=hint)


def _refuse_free_weights(op: Op, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Weights need numbers: a free size cannot be a number of features."""
    free = [n for tensor in op.params(*shapes).values() for n in tensor if is_free(n)]
    if free:
        raise OpError(
            "E407", f"`{op.kind}` has weights for {free[0]} inputs, and that size is free",
            hint="average the map first, by `gap` or `adaptiveavgpool7`, or give the size with --input",
        )  # fmt: skip
