"""A file's declarations: params, defaults, blocks, shared modules, externs, and what it uses from others."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping

from cnnc.compiler.bounds import bounds_of, choices_of, outside
from cnnc.compiler.ops import op_words
from cnnc.compiler.since import hint as renaming
from cnnc.compiler.since import since
from cnnc.compiler.symbolic import FILE, Const, Param, Sourced, kind_of
from cnnc.compiler.walk.again import REUSING
from cnnc.compiler.walk.arguments import argument_names, worded
from cnnc.compiler.walk.evaluate import argument as argument_value
from cnnc.compiler.walk.evaluate import evaluate
from cnnc.compiler.walk.fit import FITTED
from cnnc.compiler.walk.library import Library
from cnnc.compiler.walk.lists import same
from cnnc.compiler.walk.operations import FUNCTIONS
from cnnc.compiler.walk.values import SIZE_NAMES, BlockDef, Closure, ExternDef, FileScope, SharedDef, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic, did_you_mean, fail
from cnnc.dsl.source import Span


def declare(
    spec: s.Spec,
    overrides: Mapping[str, Value],
    library: Library,
    *,
    stem: str | None = None,
    settings: Mapping[str, Sourced[Value]] | None = None,
) -> FileScope:
    """What a file declares. Raises CnncError with everything that is wrong with its declarations.

    `overrides` replace the values of its params. With `stem`, the file is used by
    another one, which may give `settings` for its params, and its chain of layers is a block of its model's name.
    """
    file = FileScope()
    declarer = _Declarer(file, overrides, library, settings or {}, is_main=stem is None)
    problems: list[Diagnostic] = []
    for statement in spec.statements:
        try:
            declarer.statement(statement)
        except CnncError as error:
            problems += error.diagnostics
    for name in overrides:
        if name not in file.params:
            hint = did_you_mean(name, file.params)
            problems.append(Diagnostic("E206", f"the spec has no param `{name}`", None, hint=hint))
    if stem is not None:
        _stem_block(file, spec, stem)
    if problems:
        raise CnncError(problems)
    return file


class _Declarer:
    def __init__(
        self,
        file: FileScope,
        overrides: Mapping[str, Value],
        library: Library,
        settings: Mapping[str, Sourced[Value]],
        *,
        is_main: bool,
    ) -> None:
        """The params of the file that is compiled can be given other values; those of files that it uses cannot."""
        self.is_main = is_main
        self.settings = settings
        self.file = file
        self.overrides = overrides
        self.library = library
        self.taken: dict[str, Span] = {}
        self.models = 0

    def statement(self, statement: s.Statement) -> None:
        if isinstance(statement, s.Model):
            self.models += 1
            if self.models > 1:
                raise fail("E110", "there are two `model` statements", statement.span)
        elif isinstance(statement, s.Param):
            self._param(statement)
        elif isinstance(statement, s.Block):
            self._take(statement.name, statement.name_span, "a block")
            _parameters(statement.name, statement.params)
            self.file.blocks[statement.name] = BlockDef(statement, self.file)
        elif isinstance(statement, s.Shared):
            self._take(statement.name, statement.name_span, "a shared module")
            self.file.shareds[statement.name] = SharedDef(statement, self.file)
        elif isinstance(statement, s.Extern):
            self._take(statement.name, statement.name_span, "an extern")
            _parameters(statement.name, statement.params)
            _extern(statement)
            self.file.externs[statement.name] = ExternDef(statement, self.file)
        elif isinstance(statement, s.Use):
            for used in statement.names:
                _free(used.alias, used.span, "a used block")
            self.library.bring(statement, self.file, self.taken)
        elif isinstance(statement, s.Default):
            _default(self.file, statement)

    def _take(self, name: str, span: Span, what: str) -> None:
        _free(name, span, what)
        if name in self.taken:
            hint = f"line {self.taken[name].line} declares it already"
            raise fail("E204", f"`{name}` is declared twice", span, hint=hint)
        self.taken[name] = span

    def _param(self, statement: s.Param) -> None:
        self._take(statement.name, statement.span, "a param")
        name = statement.name
        found = self.settings.get(name) or evaluate(statement.value, self.file.env())
        value, source = found.value, found.source
        if name in self.overrides:
            value, source = self.overrides[name], Const(None)
            if not same(value, found.value):
                self.file.changed[name] = value
        self.file.params[name] = value
        if statement.bounds is not None:
            self._bounds(statement, statement.bounds)
        if isinstance(source, Const) and self.is_main:
            real = isinstance(statement.value, s.Number) and "." in statement.value.digits
            kind = kind_of(self.file.params[name])
            source = Param(name, FILE, "float" if real and kind == "int" else kind)
        self.file.sources[name] = source

    def _bounds(self, statement: s.Param, written: s.Expr) -> None:
        """The range of a param, which its value must lie in."""
        env, name = self.file.env(), statement.name
        value = self.file.params[name]
        if isinstance(written, s.Range) and written.low is not None and written.high is not None:
            ends = [evaluate(end, env).value for end in (written.low, written.high)]
            default = evaluate(statement.value, env).value
            bounds = bounds_of(ends[0], ends[1], default, written.span)
        elif isinstance(written, s.Tuple):
            bounds = choices_of([evaluate(item, env).value for item in written.items], written.span)
        else:
            hint = "for instance: within 0.25..2, or within (3, 5, 7)"
            raise fail(
                "E303",
                f"`within` takes a range or a list, and not {written.span.text}",
                written.span,
                hint=hint,
            )
        if value not in bounds:
            raise outside(name, value, bounds, statement.span)
        self.file.bounds[name] = bounds


def _free(name: str, span: Span, what: str) -> None:
    """Whether a name can be taken at all. Raises E204."""
    if name.lower() in op_words() or name.lower() in (*FITTED, "id"):
        message = f"`{name}` is a layer{since(name)}, and {what} cannot take its name"
        raise fail("E204", message, span, hint=renaming(name))
    if name in SIZE_NAMES or name in FUNCTIONS or name.lower() in REUSING:
        message = f"`{name}` has a meaning of its own{since(name)}, and {what} cannot take it"
        raise fail("E204", message, span, hint=renaming(name))


def _parameters(owner: str, parameters: tuple[s.Parameter, ...]) -> None:
    seen: set[str] = set()
    for parameter in parameters:
        name, span = parameter.name, parameter.span
        if parameter.rest and parameter is not parameters[-1]:
            hint = "move it to the end"
            raise fail(
                "E110", f"`*{name}` takes the arguments that are left, and is the last", span, hint=hint
            )
        if name in seen:
            raise fail("E204", f"`{owner}` has two parameters `{name}`", span)
        if name in SIZE_NAMES or name in FUNCTIONS or name.lower() in ("shortcut", "id"):
            message = f"`{name}` has a meaning of its own{since(name)} and cannot be a parameter"
            raise fail("E204", message, span, hint=renaming(name))
        seen.add(name)


_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_FACTS = ("ins", "shape", "params", "macs")


def _extern(statement: s.Extern) -> None:
    """The form of an extern's declaration; nothing is imported."""
    parts = re.split(r"[.:]", statement.target)
    if not _TARGET.fullmatch(statement.target) or any(keyword.iskeyword(part) for part in parts):
        hint = 'write it as "package.module:Class"'
        raise fail("E110", f"`{statement.target}` names no class", statement.span, hint=hint)
    given = set()
    for fact in statement.facts:
        if fact.key not in _FACTS:
            hint = did_you_mean(fact.key or "", _FACTS) or f"it has {', '.join(_FACTS)}"
            raise fail("E301", f"`{fact.span.text}` is not a fact of an extern", fact.span, hint=hint)
        if fact.key in given:
            raise fail("E304", f"`{fact.key}` is given twice", fact.span)
        if isinstance(fact.value, s.Bracket):
            raise fail("E303", f"`{fact.key}` takes no pipeline", fact.span)
        given.add(fact.key)
    if "shape" not in given:
        hint = "add (shape=same), or (shape=(64, H, W))"
        raise fail(
            "E302", f"the extern `{statement.name}` does not say its shape", statement.name_span, hint=hint
        )


def _default(file: FileScope, statement: s.Default) -> None:
    call = statement.call
    op = op_words().get(call.name.lower())
    if op is None:
        span = Span(call.span.source, call.span.start, call.span.start + len(call.name))
        hint = did_you_mean(call.name, op_words()) or "`cnnc ops` lists the layers"
        raise fail("E201", f"no layer is called `{call.name}`", span, hint=hint)
    table = file.defaults.setdefault(op.kind, {})
    names = argument_names(op)
    for argument in call.args:
        key = worded(op, argument) or (argument.key or "").lower()
        key = op.former.get(key, key)
        if key not in names:
            hint = did_you_mean(key, names) or f"default {op.kind}({names[-1] if names else ''}=…)"
            raise fail(
                "E301",
                f"`{argument.span.text}` is not a named argument of `{op.kind}`",
                argument.span,
                hint=hint,
            )
        if key in table:
            raise fail("E304", f"the default {key} of `{op.kind}` is given twice", argument.span)
        if (
            isinstance(argument_value(op, key, argument.value, file.env()).value, Closure)
            or key in op.tensors
        ):
            raise fail("E303", f"a default cannot give `{key}`", argument.span)
        table[key] = argument


def _stem_block(file: FileScope, spec: s.Spec, stem: str) -> None:
    """A used file's network as a block: `use vgg16 from "vgg16.cnn"`."""
    model = next((st for st in spec.statements if isinstance(st, s.Model)), None)
    flows = [statement.pipeline for statement in spec.statements if isinstance(statement, s.Flow)]
    name = stem if model is None else model.name
    if name in file.blocks:
        return
    call = model.call.core if model is not None and model.call is not None else None
    if not flows and isinstance(call, s.Word) and call.literal in file.blocks:
        called = file.blocks[call.literal]
        file.blocks[name] = BlockDef(called.syntax, called.file, is_model=True, call=call, home=file)
    if not flows:
        return
    items = tuple(item for flow in flows for item in flow.items)
    breaks = tuple(i == 0 or b for flow in flows for i, b in enumerate(flow.breaks))
    body = s.Pipeline(items, (False, *breaks[1:]), flows[0].span.to(flows[-1].span))
    block = s.Block(name, (), body, body.span, body.span)
    file.blocks[name] = BlockDef(block, file, is_model=True)
