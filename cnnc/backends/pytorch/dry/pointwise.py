"""Functions of each value by itself: activations, arithmetic, dropout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cnnc.backends.pytorch.dry.autograd import Formula, Node, done, fresh, full, passed, start
from cnnc.backends.pytorch.dry.ledger import STATE
from cnnc.backends.pytorch.dry.register import FUNCTIONAL, TORCH, cast, function, methods, raised
from cnnc.backends.pytorch.dry.tensor import DType, Tensor, bool_, float32, like, new, promoted

# What the backward pass of each needs: its input, its output, or neither. (tools/autograd/derivatives.yaml)
_INPUT = (
    "relu6",
    "hardtanh",
    "silu",
    "gelu",
    "hardswish",
    "hardsigmoid",
    "mish",
    "softplus",
    "elu",
    "leaky_relu",
    "selu",
    "celu",
    "log",
    "abs",
    "sin",
    "cos",
    "softsign",
    "logsigmoid",
    "hardshrink",
    "clamp",
    "clamp_min",
    "clamp_max",
    "log1p",
    "log2",
    "erf",
)
_OUTPUT = (
    "relu",
    "sigmoid",
    "tanh",
    "exp",
    "sqrt",
    "rsqrt",
    "reciprocal",
)
_NEITHER = (
    "neg",
    "floor",
    "ceil",
    "round",
    "sign",
)
_IN_PLACE_BY_OUTPUT = frozenset({"relu", "sigmoid", "tanh", "elu", "leaky_relu", "selu", "celu"})
"""Those whose backward pass can do with the output; of the others PyTorch keeps a copy of what they overwrite."""
_FULL_PRECISION = frozenset({"exp", "log", "rsqrt", "reciprocal", "softplus", "log1p", "log2"})


def _by_factor(factors: int) -> Formula:
    """A gradient that is multiplied by a slope; the slope takes this many tensors of its own to make."""

    def back(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
        held = [like(gradients[0]) for _ in range(factors)]
        return [like(gradients[0]) if len(held) == factors else None]

    return back


def _clamp_back(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
    """torch.where of a mask for each bound, and of a zero."""
    g = gradients[0]
    held = [new(g.shape, bool_), new(g.shape, bool_), new((), g.dtype)]
    return [like(g) if held else None]


# abs: grad * sgn(x); sin: grad * cos(x); cos: grad * -sin(x)
_BACK: dict[str, Formula] = {
    "abs": _by_factor(1), "sin": _by_factor(1), "cos": _by_factor(2), "clamp": _clamp_back,
}  # fmt: skip


def _unary(name: str) -> Callable[..., Tensor]:
    by_input, by_output, raises = name in _INPUT, name in _OUTPUT, name in _FULL_PRECISION

    def apply(x: Tensor, *args: Any, inplace: bool = False, **kwargs: Any) -> Tensor:
        if inplace:
            return overwrite(x)
        if raises:
            x = raised(x)
        node = start((x,), _BACK.get(name, full), (x,) if by_input else ())
        out = like(x)
        return done(node, out, (out,) if by_output else ())

    def overwrite(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result = by_output or name in _IN_PLACE_BY_OUTPUT
        node = start((x,), full)
        if node is not None and by_input and not result:
            copy = like(x)
            node.save((copy,))
        return done(node, x, (x,) if result else ())

    apply.__name__, overwrite.__name__ = name, f"{name}_"
    TORCH[name] = TORCH.get(name, apply)
    TORCH[f"{name}_"] = FUNCTIONAL[f"{name}_"] = overwrite
    FUNCTIONAL[name] = apply
    setattr(Tensor, name, apply)
    setattr(Tensor, f"{name}_", overwrite)
    return apply


UNARY = {name: _unary(name) for name in (*_INPUT, *_OUTPUT, *_NEITHER)}


@function("prelu", functional=True, method=True)
def prelu(x: Tensor, weight: Tensor) -> Tensor:
    node = start((x, weight), _prelu_back, (x, weight))
    return done(node, like(x))


def _prelu_back(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
    return [like(gradients[0]), like(gradients[0])]  # the weight's is summed after


# --- arithmetic -------------------------------------------------------------------------


def broadcast(shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    return tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*padded, strict=True))


def _binary(x: Any, y: Any, formula: Formula, saves: bool, dtype: DType | None = None) -> Tensor:
    tensors = [t for t in (x, y) if isinstance(t, Tensor)]
    saved: list[Tensor] = []
    if saves and len(tensors) == 2:  # each where the other's gradient needs it
        saved = ([y] if x.requires_grad else []) + ([x] if y.requires_grad else [])
    node = start(tensors, formula, saved)
    kind = dtype or promoted(tensors)
    alike = next((t for t in tensors if t.dtype is kind and not t.is_contiguous_now), None)
    if alike is not None and all(len(t.shape) == 0 or t.shape == alike.shape for t in tensors):
        return done(node, like(alike))
    if len(tensors) == 1 and isinstance(x if tensors[0] is y else y, float) and not kind.is_float:
        kind = float32
    return done(node, new(broadcast([t.shape for t in tensors]), kind))


def _in_place(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The overwriting form of a function of two operands."""

    def overwrite(x: Tensor, y: Any, *args: Any, **kwargs: Any) -> Tensor:
        other = [y] if isinstance(y, Tensor) else []
        node = start((x, *other), passed if f is add else full, other if f is not add else ())
        if node is not None and f in (mul, div) and any(t.requires_grad for t in other):
            node.save((like(x),))  # what is overwritten, for the other's gradient
        return done(node, x)

    return overwrite


@function("add", method=True)
def add(x: Any, y: Any, *, alpha: float = 1) -> Tensor:
    return _binary(x, y, passed, saves=False)


@function("sub", method=True)
def sub(x: Any, y: Any) -> Tensor:
    return _binary(x, y, _sub_back, saves=False)


def _sub_back(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
    g = gradients[0]
    return [g if node.needs[0] else None, *(like(g) if need else None for need in node.needs[1:])]


def _rsub(x: Any, y: Any) -> Tensor:
    return _binary(x, y, full, saves=False)


@function("mul", "multiply", method=True)
def mul(x: Any, y: Any) -> Tensor:
    return _binary(x, y, full, saves=True)


@function("div", "true_divide", method=True)
def div(x: Any, y: Any, **kwargs: Any) -> Tensor:
    tensors = [t for t in (x, y) if isinstance(t, Tensor)]
    saved = [t for t in tensors if len(tensors) == 2 and (t is y or y.requires_grad)]
    node = start(tensors, _div_back, saved)
    kind = promoted(tensors)
    return done(node, new(broadcast([t.shape for t in tensors]), kind if kind.is_float else float32))


def _div_back(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
    g = gradients[0]
    first = like(g) if node.needs[0] else None
    if len(node.needs) == 1 or not node.needs[1]:
        return [first, None]
    quotient, again = like(g), like(g)
    return [first, like(g) if quotient is not again else None]


@function("pow", method=True)
def power(x: Any, y: Any) -> Tensor:
    if isinstance(x, Tensor):
        x = raised(x)
    tensors = [t for t in (x, y) if isinstance(t, Tensor)]
    node = start(tensors, _pow_back, tensors)
    return done(node, new(broadcast([t.shape for t in tensors]), promoted(tensors)))


def _pow_back(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
    g = gradients[0]
    powers, scaled = like(g), like(g)
    return [like(g) if need and powers is not scaled else None for need in node.needs]


@function("square", method=True)
def square(x: Tensor) -> Tensor:
    return power(x, 2)


def _compare(x: Any, y: Any) -> Tensor:
    tensors = [t for t in (x, y) if isinstance(t, Tensor)]
    return new(broadcast([t.shape for t in tensors]), bool_)


@function("maximum", "minimum", method=True)
def maximum(x: Tensor, y: Tensor) -> Tensor:
    node = start((x, y), full, (x, y))
    return done(node, new(broadcast([x.shape, y.shape]), promoted((x, y))))


@function("where", method=False)
def where(condition: Tensor, x: Any, y: Any) -> Tensor:
    tensors = [t for t in (x, y) if isinstance(t, Tensor)]
    node = start(tensors, full, (condition,))
    shapes = [t.shape for t in (condition, *tensors)]
    return done(node, new(broadcast(shapes), promoted(tensors) if tensors else float32))


Tensor.where = lambda self, condition, other: where(condition, self, other)  # type: ignore[attr-defined]


@function("masked_fill", method=True)
def masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    node = start((x,), full, (mask,))
    return done(node, new(broadcast([x.shape, mask.shape]), x.dtype))


@function("masked_fill_", torch=False, method=True)
def masked_fill_(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    return done(start((x,), full, (mask,)), x)


@function("addcmul", method=True)
def addcmul(x: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
    node = start((x, a, b), full, (a, b))
    return done(node, new(broadcast([x.shape, a.shape, b.shape]), promoted((x, a, b))))


@function("lerp", method=True)
def lerp(x: Tensor, end: Tensor, weight: Any) -> Tensor:
    return done(start((x, end), full), like(x))


def _floor_divide(x: Any, y: Any) -> Tensor:
    tensors = [t for t in (x, y) if isinstance(t, Tensor)]
    return new(broadcast([t.shape for t in tensors]), promoted(tensors))


function("floor_divide", "remainder", "fmod", method=True)(_floor_divide)

for _name, _function in {
    "add": add, "radd": add, "sub": sub, "rsub": _rsub, "mul": mul, "rmul": mul, "truediv": div,
    "rtruediv": lambda x, y: done(start((x,), _pow_back, (x,)), like(x)), "pow": power,
    "floordiv": _floor_divide, "mod": _floor_divide, "lt": _compare, "le": _compare, "gt": _compare,
    "ge": _compare, "and": _compare, "or": _compare, "iadd": _in_place(add), "imul": _in_place(mul),
    "isub": _in_place(add), "itruediv": _in_place(div),
}.items():  # fmt: skip
    setattr(Tensor, f"__{_name}__", _function)
for _name, _function in {"add_": add, "sub_": add, "mul_": mul, "div_": div}.items():
    setattr(Tensor, _name, _in_place(_function))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"):
    function(_name, method=True)(_compare)
methods(
    lerp_=lambda x, end, weight: done(start((x,), full), x),
    __neg__=UNARY["neg"],
    __invert__=lambda x: like(x),
    __abs__=UNARY["abs"],
)
function("logical_not", "isnan", "isinf", method=True)(lambda x: new(x.shape, bool_))


# --- dropout ----------------------------------------------------------------------------


@function("dropout", functional=True)
def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """On GPUs the mask is a byte a value; on CPUs it is a number of the input's dtype."""
    if not training or p == 0:
        return x
    if STATE.device == "cuda":
        node = start((x,), full)
        out, mask = like(x), new(x.shape, bool_)
        return done(node, out, (mask,))
    noise = like(x)
    return mul(x, noise)


def _feature_dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or p == 0:
        return x
    return mul(x, new((*x.shape[:2], *(1,) * (len(x.shape) - 2)), x.dtype))


for _name in ("dropout1d", "dropout2d", "dropout3d"):
    FUNCTIONAL[_name] = _feature_dropout


# --- copies -----------------------------------------------------------------------------


@function("clone", method=True)
def clone(x: Tensor, **kwargs: Any) -> Tensor:
    return done(start((x,), passed), like(x))


@function("contiguous", torch=False, method=True)
def contiguous(x: Tensor, **kwargs: Any) -> Tensor:
    return x if x.is_contiguous_now or kwargs else done(start((x,), passed), new(x.shape, x.dtype))


@function("detach", method=True)
def detach(x: Tensor) -> Tensor:
    return x.alias()


@function("to", torch=False, method=True)
def to(x: Tensor, *args: Any, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    wanted = next((a for a in args if isinstance(a, DType)), dtype)
    wanted = next((a.dtype for a in args if isinstance(a, Tensor)), wanted)
    return x if wanted is None else cast(x, wanted)


@function("type_as", torch=False, method=True)
def type_as(x: Tensor, other: Tensor) -> Tensor:
    return cast(x, other.dtype)


@function("float", torch=False, method=True)
def as_float(x: Tensor) -> Tensor:
    return cast(x, float32)


@function("glu", functional=True)
def glu(x: Tensor, dim: int = -1) -> Tensor:
    node = start((x,), fresh, (x,))
    shape = list(x.shape)
    shape[dim] //= 2
    return done(node, new(shape, x.dtype))
