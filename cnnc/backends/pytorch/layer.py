"""What an emitter sees and what it answers: a placed layer, and the PyTorch for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Literal, TypeVar

from cnnc.compiler.dependence import Dependence, union
from cnnc.compiler.graph import Node
from cnnc.compiler.ops import Op, Shape
from cnnc.compiler.ops.base import SameTF
from cnnc.compiler.reading import written_whole
from cnnc.compiler.sizes import is_free
from cnnc.compiler.symbolic import Const, Sym, binary, kind_of
from cnnc.dsl.diagnostics import CnncError, fail

REQUIRED = object()
"""The default of an argument that has none."""


@dataclass(frozen=True, slots=True)
class Val:
    """A value in generated code: the number (or flag, float, text, tuple), and its source where it has one.

    `default` is what it may be left out at; `name` says what the value is.
    """

    value: Any
    sym: Sym | None = None
    default: Any = REQUIRED
    name: str = ""

    @property
    def is_default(self) -> bool:
        """Whether it may be left out: it has no source of its own either."""
        unsourced = self.sym is None or isinstance(self.sym, Const)
        return unsourced and type(self.value) is type(self.default) and bool(self.value == self.default)


@dataclass(frozen=True, slots=True)
class Raw:
    """Python text that is the same for every instance: a name, a string, a keyword."""

    text: str


Argument = Val | Raw


@dataclass(frozen=True, slots=True)
class Module:
    """A child module: `cls(*args, **kwargs)`.

    `helper` names the class in helpers/ that is written into the output, `needs` what that
    class is made of. `init` says how tensors start that do not start as PyTorch has it: by name, the rule of
    torch.nn.init and its numbers, as text. `around` is what the expression is written into, at `{}`.
    `kept` says what the layer is where it is no module that is called, but a tensor.
    """

    cls: str
    args: tuple[Argument, ...] = ()
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    _: KW_ONLY
    helper: str | None = None
    needs: tuple[str, ...] = ()
    init: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    around: str = "{}"
    kept: Literal["parameter", "buffer"] | None = None

    @property
    def helpers(self) -> tuple[str, ...]:
        """All that is written into the output for it."""
        return (*([self.helper] if self.helper else []), *self.needs, *(["initialised"] if self.init else []))


@dataclass(frozen=True, slots=True)
class Function:
    """An expression without weights. `{0}`, `{1}`, … or `{all}` in the template are its inputs,
    `{name}` its values; `module` is the same as a module, for use in `nn.Sequential`."""

    template: str
    values: Mapping[str, Val] = field(default_factory=dict)
    module: Module | None = None
    imports: tuple[str, ...] = ()
    helper: str | None = None

    @property
    def helpers(self) -> tuple[str, ...]:
        """All that is written into the output for the expression."""
        return (self.helper,) if self.helper else ()


Code = Module | Function


class Reads:
    """What an emitter reads of a layer whose arguments or inputs depend on params of the file.

    A number that is read other than by its source is written as it is, or decides what is written: `fixed` are
    the params that then cannot change.
    """

    def __init__(self, node: Node, dependence: Dependence, fixed: set[str]) -> None:
        self.node = node
        self.dependence = dependence
        self.fixed = fixed
        self.unread = set(node.args)

    def within(self, op: Op) -> Reads:
        """The same for the op that a fused one began as."""
        inner = Reads(replace(self.node, op=op), self.dependence, self.fixed)
        inner.unread = self.unread
        return inner

    def argument(self, name: str, sym: Sym | None) -> None:
        """An argument is read by its source."""
        self.unread.discard(name)
        if sym is None:
            self.value(name)

    def value(self, name: str) -> None:
        """A field of the layer is read as it is; one that is not given may be worked out of those before it."""
        self.unread.discard(name)
        given = self.node.args.get(name)
        if given is not None:
            self.fixed |= self.dependence.of(given.source)
            if kind_of(given.value) != "str":
                return
        if fold(getattr(self.node.op, name)) != type(self.node.op).model_fields[name].default:
            for earlier in self._before(name):
                self.fixed |= self.dependence.of(self.node.args[earlier].source)
            if given is not None and given.value == "same_tf":  # the one rule that looks at the map's size
                self.fixed |= union(self.dependence.space[i] for i in self.node.inputs)

    def _before(self, name: str) -> Iterator[str]:
        """The arguments that the validator of a field can see, but for the width, on which no other depends."""
        for earlier in type(self.node.op).model_fields:
            if earlier == name:
                return
            if earlier in self.node.args and earlier != self.node.op.word.width:
                yield earlier

    def everything(self) -> None:
        """A size of an input is read as it is, or something that is worked out of all there is."""
        ins = self.node.inputs
        self.fixed |= self.dependence.of_layer(self.node)
        self.fixed |= union(
            (*(self.dependence.channels[i] for i in ins), *(self.dependence.space[i] for i in ins))
        )

    def done(self) -> None:
        """What was not read at all is not in the code."""
        for name in self.unread:
            self.fixed |= self.dependence.of(self.node.args[name].source)


class _Watched:
    """A layer's op that notes what is read of it."""

    def __init__(self, op: Op, reads: Reads) -> None:
        object.__setattr__(self, "_told", (op, reads))

    def __getattribute__(self, name: str) -> Any:
        op, reads = object.__getattribute__(self, "_told")
        if name == "__class__":
            return type(op)
        if name in type(op).model_fields:
            reads.value(name)
        elif hasattr(op, name) and not isinstance(getattr(type(op), name), str | bool | tuple):
            reads.everything()
        return getattr(op, name)


@dataclass(frozen=True, slots=True)
class Layer:
    """A node as its emitter sees it. The `sym` of a value is filled in where the text allows.

    `shapes` flow in, `channel_syms` and `arg_syms` are the sources of their channels and of the arguments.
    """

    node: Node
    shapes: tuple[Shape, ...]
    channel_syms: tuple[Sym | None, ...]
    arg_syms: Mapping[str, Sym]
    reads: Reads | None = None
    varies: bool = False
    """Whether its module is used on maps of several sizes."""

    @property
    def op(self) -> Any:
        return self.node.op if self.reads is None else _Watched(self.node.op, self.reads)

    @property
    def ins(self) -> tuple[Shape, ...]:
        """The shapes that flow in, for whoever writes their numbers or decides by them."""
        if self.reads is not None:
            self.reads.everything()
        return self.shapes

    @property
    def rank(self) -> int:
        """The number of spatial axes of the first input."""
        return len(self.shapes[0]) - 1

    def channels(self, i: int = 0) -> Val:
        """The channels (or features) of input i."""
        return Val(self.shapes[i][0], self.channel_syms[i])

    def arg(self, name: str) -> Val:
        """An argument of the op; equal numbers on all axes fold to one."""
        sym = self.arg_syms.get(name)
        if self.reads is not None:
            self.reads.argument(name, sym)
        return Val(fold(getattr(self.node.op, name)), sym)

    def real(self, name: str) -> Val:
        """An argument that need not be whole; a param of the file that it depends on is written as a plain number."""
        if self.reads is not None:
            self.reads.value(name)
        return Val(getattr(self.node.op, name), self.arg_syms.get(name))

    def items(self, name: str, what: str) -> tuple[Val, ...]:
        """The items of an argument that is a tuple, each of them `what` in the code."""
        values = getattr(self.node.op, name)
        syms = [self.arg_syms.get(f"{name}.{i}") for i in range(len(values))]
        if self.reads is not None:
            self.reads.argument(name, None if None in syms else Const(None))
        return tuple(Val(value, sym, name=what) for value, sym in zip(values, syms, strict=True))

    def same_padding(self) -> Val:
        """d(k - 1)/2 for a symmetric padding that follows from kernel and dilation; their sources carry over."""
        op: Any = self.op
        pads = tuple(before for before, _ in op.pad)
        sizes = zip(pads, op.kernel, op.dilation, strict=True)
        follows = all(k % 2 and p == k // 2 * d for p, k, d in sizes)
        kernel, dilation = (
            self.arg_syms.get(name, Const(fold(getattr(op, name)))) for name in ("kernel", "dilation")
        )
        is_plain = isinstance(kernel, Const) and isinstance(dilation, Const)
        if is_plain or not follows or not all(isinstance(fold(n), int) for n in (op.kernel, op.dilation)):
            return Val(fold(pads))
        return Val(fold(pads), binary("*", binary("//", kernel, Const(2)), dilation))


def fold(value: Any) -> Any:
    """(3, 3) to 3; anything else as it is."""
    if isinstance(value, tuple) and value and all(v == value[0] for v in value):
        return value[0]
    return value


def kwargs(**given: tuple[Argument, Any]) -> dict[str, Argument]:
    """Keyword arguments, each with PyTorch's default, at which it is left out."""
    return {
        name: Val(arg.value, arg.sym, default, arg.name) if isinstance(arg, Val) else arg
        for name, (arg, default) in given.items()
    }


Emitter = Callable[[Layer], Code]
_E = TypeVar("_E", bound=Emitter)


def always(_: Any) -> bool:
    """The answer that is the same for every layer of a kind."""
    return True


def never(_: Any) -> bool:
    """The other such answer."""
    return False


@dataclass(frozen=True, slots=True)
class Emission:
    """How one op is written, and what its module does that others depend on.

    `spare(node)`: its output is memory of its own that its gradient does not read, so that an
    activation may overwrite it. `in_place`: its module takes `inplace`, and `in_place(op)` tells
    whether its gradient can do without the input. `same_tf`: it can pad by a size that is known as it runs. `counted(op)`:
    PyTorch's counter finds the multiply-adds that the analysis counts.
    """

    emitter: Emitter
    spare: Callable[[Node], bool]
    in_place: Callable[[Any], bool] | None
    same_tf: bool
    counted: Callable[[Any], bool]


_EMISSIONS: dict[type[Op], Emission] = {}


def emits(
    *ops: type[Op],
    spare: Callable[[Node], bool] = never,
    in_place: Callable[[Any], bool] | None = None,
    same_tf: bool = False,
    counted: Callable[[Any], bool] = always,
) -> Callable[[_E], _E]:
    """Register the emitter of one or more ops; the keys are those of `Emission`."""

    def register(emitter: _E) -> _E:
        for op in ops:
            if op in _EMISSIONS:
                raise TypeError(f"two emitters for {op.__name__}")
            _EMISSIONS[op] = Emission(emitter, spare, in_place, same_tf, counted)
        return emitter

    return register


def emission_of(op: type[Op]) -> Emission | None:
    """How an op is written; None where PyTorch's backend cannot."""
    return _EMISSIONS.get(op)


def is_written(op: type[Op], *, again: bool = False) -> bool:
    """Whether PyTorch's backend has an op; with `again`, whether as an expression of a module's tensors."""
    return op in _APPLIERS or (op in _EMISSIONS and not again)


def emit(layer: Layer) -> Code:
    """The code of a layer. Raises CnncError (E801) where PyTorch's backend has none."""
    emission = _EMISSIONS.get(type(layer.node.op))
    if emission is None:
        raise fail("E801", f"the PyTorch backend cannot write `{layer.op.kind}`", layer.node.span)
    if isinstance(getattr(layer.node.op, "pad", None), SameTF) and not emission.same_tf:
        raise cannot(
            layer,
            f"`{layer.op.kind}` with pad=same_tf and a stride where the input's size is free",
            hint="give the size with --input, or pad=same",
        )
    code = written_whole(
        "PyTorch", layer.node, lambda node: _code(emission.emitter, replace(layer, node=node))
    )
    if layer.reads is not None:
        layer.reads.done()
    if any(is_free(n) for value in _values(code) for n in _numbers(value)):
        what = f"`{layer.op.kind}` by numbers that depend on a free size"
        raise cannot(layer, what, hint="give the size with --input")
    return code


Applier = Callable[["Layer", str], Function]
_A = TypeVar("_A", bound=Applier)
_APPLIERS: dict[type[Op], Applier] = {}


def applies(*ops: type[Op]) -> Callable[[_A], _A]:
    """Register how the weights of some ops are used again otherwise than their module does: an expression of the module."""

    def register(applier: _A) -> _A:
        _APPLIERS.update(dict.fromkeys(ops, applier))
        return applier

    return register


def applied(layer: Layer, module: str) -> Function:
    """The code of a layer with the weights of `module`. Raises CnncError (E801) where PyTorch's backend has none."""
    applier = _APPLIERS.get(type(layer.node.op))
    if applier is None:
        raise cannot(layer, f"`{layer.op.kind}` with other arguments than its module has")
    if layer.reads is not None:
        layer.reads.everything()
    return applier(layer, module)  # what shapes the weights is written at the module


def _code(emitter: Emitter, layer: Layer) -> Code:
    return reparametrised(layer, emitter(layer))


def reparametrised(layer: Layer, code: Code) -> Code:
    """The code of a layer with its weights made of others, where its arguments say so."""
    rule = getattr(layer.op, "reparam", None)
    if rule is None:
        return code
    assert isinstance(code, Module)
    weights = layer.op.weights
    imports = (*code.imports, f"from torch.nn.utils.parametrizations import {rule}")
    if weights == ("weight",):
        return replace(code, around=code.around.replace("{}", f"{rule}({{}})"), imports=imports)
    parts = ", ".join(f'"{name.rpartition(".")[0]}"' for name in weights)
    return replace(
        code, around=f"reparametrised({{}}, {rule}, {parts})", needs=(*code.needs, "reparametrised"),
        imports=imports,
    )  # fmt: skip


def _values(code: Code) -> Iterator[Any]:
    """Every value that stands in the code as a number."""
    if isinstance(code, Function):
        arguments: Iterable[Argument] = code.values.values()
        if code.module is not None:
            yield from _values(code.module)
    else:
        arguments = (*code.args, *code.kwargs.values())
    yield from (argument.value for argument in arguments if isinstance(argument, Val))


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)
    else:
        yield value


def cannot(layer: Layer, what: str, hint: str | None = None) -> CnncError:
    """The error for something an emitter cannot express; the caller raises it."""
    return fail("E801", f"the PyTorch backend cannot write {what}", layer.node.span, hint=hint)
