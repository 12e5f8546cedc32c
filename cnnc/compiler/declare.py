"""A file's declarations: params, defaults, blocks; what names may be taken and which are."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.compiler.elaborate import argument_names
from cnnc.compiler.evaluate import FUNCTIONS, evaluate
from cnnc.compiler.fit import FITTED
from cnnc.compiler.ops import op_words
from cnnc.compiler.values import SIZE_NAMES, BlockDef, Closure, FileScope, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic, did_you_mean, fail
from cnnc.dsl.source import Span


def declare(spec: s.Spec, overrides: Mapping[str, Value]) -> FileScope:
    """What a file declares. Raises CnncError with everything that is wrong with its declarations.

    `overrides` replace the values of its params.
    """
    file = FileScope()
    problems: list[Diagnostic] = []
    models = 0
    for statement in spec.statements:
        try:
            if isinstance(statement, s.Model):
                models += 1
                if models > 1:
                    raise fail("E110", "there are two `model` statements", statement.span)
            elif isinstance(statement, s.Param):
                _param(file, statement, overrides)
            elif isinstance(statement, s.Block):
                _free(statement.name, statement.name_span, file, "a block")
                _parameters(statement)
                file.blocks[statement.name] = BlockDef(statement, file)
            elif isinstance(statement, s.Default):
                _default(file, statement)
        except CnncError as error:
            problems += error.diagnostics
    for name in overrides:
        if name not in file.params:
            hint = did_you_mean(name, file.params)
            problems.append(Diagnostic("E206", f"the spec has no param `{name}`", None, hint=hint))
    if problems:
        raise CnncError(problems)
    return file


def _free(name: str, span: Span, file: FileScope, what: str) -> None:
    """Whether a name can be taken. Raises E204."""
    if name.lower() in op_words() or name.lower() in (*FITTED, "id"):
        raise fail("E204", f"`{name}` is a layer, and {what} cannot take its name", span)
    if name in SIZE_NAMES or name in FUNCTIONS:
        raise fail("E204", f"`{name}` has a meaning of its own, and {what} cannot take it", span)
    if name in file.params or name in file.blocks:
        raise fail("E204", f"`{name}` is declared twice", span)


def _param(file: FileScope, statement: s.Param, overrides: Mapping[str, Value]) -> None:
    span = statement.span
    _free(statement.name, span, file, "a param")
    value = overrides.get(statement.name)
    if value is None:
        value = evaluate(statement.value, file.env())
    file.params[statement.name] = value


def _parameters(block: s.Block) -> None:
    seen: set[str] = set()
    for parameter in block.params:
        if parameter.name in seen:
            raise fail("E204", f"`{block.name}` has two parameters `{parameter.name}`", parameter.span)
        if parameter.name in SIZE_NAMES or parameter.name in FUNCTIONS:
            raise fail("E204", f"`{parameter.name}` has a meaning of its own and cannot be a parameter", parameter.span)
        if parameter.name.lower() in (*FITTED, "id"):
            raise fail("E204", f"`{parameter.name}` is a layer and cannot be a parameter", parameter.span)
        seen.add(parameter.name)


def _default(file: FileScope, statement: s.Default) -> None:
    call = statement.call
    op = op_words().get(call.name.lower())
    if op is None:
        raise fail("E201", f"no layer is called `{call.name}`", call.span, hint=did_you_mean(call.name, op_words()))
    table = file.defaults.setdefault(op.kind, {})
    names = argument_names(op)
    for argument in call.args:
        if argument.key is None or argument.key.lower() not in names:
            hint = did_you_mean(argument.key or "", names) or f"default {op.kind}({names[-1]}=…)"
            raise fail("E301", f"`{argument.span.text}` is no argument of `{op.kind}` by name", argument.span, hint=hint)
        if argument.key.lower() in table:
            raise fail("E304", f"the default {argument.key} of `{op.kind}` is given twice", argument.span)
        if isinstance(argument.value, s.Bracket) or isinstance(evaluate(argument.value, file.env()), Closure):
            raise fail("E303", "a default takes no pipeline", argument.span)
        table[argument.key.lower()] = argument
