"""Sums, means, extremes, softmax and norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from cnnc.backends.pytorch.dry.autograd import Formula, Node, done, fresh, full, start
from cnnc.backends.pytorch.dry.ledger import STATE
from cnnc.backends.pytorch.dry.pointwise import UNARY, contiguous, div, mul, power
from cnnc.backends.pytorch.dry.register import FUNCTIONAL, function, raised
from cnnc.backends.pytorch.dry.shapes import _pad, repeat, reshape, squeeze, unsqueeze
from cnnc.backends.pytorch.dry.tensor import DType, Tensor, bool_, float32, int64, like, new


def _without(shape: Sequence[int], dim: Any, keepdim: bool) -> list[int]:
    rank = len(shape)
    dims = (
        range(rank) if dim is None else [d % rank for d in (dim if isinstance(dim, tuple | list) else (dim,))]
    )
    return [1 if i in dims else n for i, n in enumerate(shape) if i not in dims or keepdim]


def _stretched(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
    """The gradient of a sum is a view that repeats it."""
    shape = node.shapes[0][0]
    return [gradients[0].viewed(shape, (0,) * len(shape))]


def _reduction(formula: Formula, saves_in: bool = False, saves_out: bool = False) -> Callable[..., Tensor]:
    def apply(
        x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None, **kwargs: Any
    ) -> Tensor:
        node = start((x,), formula, (x,) if saves_in else ())
        kind = dtype or (int64 if x.dtype is bool_ else x.dtype)
        out = new(_without(x.shape, dim, keepdim), kind)
        return done(node, out, (out,) if saves_out else ())

    return apply


total = function("sum", "nansum", method=True)(_reduction(_stretched))
mean = function("mean", method=True)(_reduction(fresh))


def _extreme_back(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
    """Shared equally among all that are as large."""
    (shape, dtype), g = node.shapes[0], gradients[0]
    held = [new(shape, bool_), new(g.shape, int64), like(g)]  # who is largest, how many are, each one's share
    return [new(shape, dtype) if held else None]


function("amax", "amin", method=True)(_reduction(_extreme_back, saves_in=True, saves_out=True))
function("norm", "prod", "logsumexp", "std", "var", method=True)(
    _reduction(fresh, saves_in=True, saves_out=True)
)
function("all", "any", method=True)(
    lambda x, dim=None, keepdim=False: new(_without(x.shape, dim, keepdim), bool_)
)


@function("linalg_vector_norm", "vector_norm")
def vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Tensor:
    node = start((x,), fresh, (x,))
    out = new(_without(x.shape, dim, keepdim), x.dtype)
    return done(node, out, (out,))


@function("max", "min", method=True)
def extreme(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return _reduction(fresh, True, True)(x)
    node = start((x,), fresh)
    shape = _without(x.shape, dim, keepdim)
    out, where = new(shape, x.dtype), new(shape, int64)
    return done(node, out, (where,)), where


@function("argmax", "argmin", method=True)
def argmax(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    return new(_without(x.shape, dim, keepdim), int64)


@function("var_mean")
def var_mean(
    x: Tensor, dim: Any = None, *args: Any, keepdim: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    shape = _without(x.shape, dim, keepdim)
    var = done(start((x,), fresh, (x,)), new(shape, x.dtype))
    return var, done(start((x,), fresh), new(shape, x.dtype))


@function("cumsum", "cumprod", method=True)
def cumulative(x: Tensor, dim: int, **kwargs: Any) -> Tensor:
    return done(start((x,), fresh), like(x))


@function("softmax", "log_softmax", "softmin", method=True, functional=True)
def softmax(x: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Tensor:
    x = raised(x)
    node = start((x,), full)
    out = like(x)
    return done(node, out, (out,))


# --- norms ------------------------------------------------------------------------------


@function("batch_norm", functional=True)
def batch_norm(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """The statistics of the batch, in float32, are kept beside the input."""
    affine = (weight, bias) if weight is not None and bias is not None else ()
    node = start((x, *affine), fresh, (x,))
    out = like(x)
    statistics = [new((x.shape[1],), float32) for _ in range(2)] if training else []
    return done(node, out, statistics)


def _normed(x: Tensor, rows: int, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    affine = [p for p in (weight, bias) if p is not None]
    node = start((x, *affine), fresh, (x,))
    out = new(x.shape, x.dtype)
    statistics = [new((rows,), float32 if x.dtype.bytes == 2 else x.dtype) for _ in range(2)]
    return done(node, out, statistics)


@function("layer_norm", functional=True)
def layer_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    return _normed(raised(x), prod(x.shape) // prod(normalized_shape), weight, bias)


@function("group_norm", functional=True)
def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    return _normed(raised(x), x.shape[0] * num_groups, weight, bias)


@function("rms_norm", functional=True)
def rms_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: Any = None
) -> Tensor:
    if STATE.device != "cuda":
        return _rms_norm_in_parts(x, normalized_shape, weight)
    rows = prod(x.shape) // prod(normalized_shape)
    node = start((x, *([weight] if weight is not None else [])), fresh, (x,))
    out = new(x.shape, x.dtype)
    return done(node, out, (new((rows,), float32),))


def _rms_norm_in_parts(x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None) -> Tensor:
    """On CPUs, function by function: aten/src/ATen/native/layer_norm.cpp."""
    axes = tuple(range(-len(normalized_shape), 0))
    scale = UNARY["rsqrt"](mean(power(x, 2), axes, True))
    out = mul(x, scale)
    if weight is not None:
        out = mul(out, weight)
    return contiguous(out)


@function("instance_norm", functional=True)
def instance_norm(
    x: Tensor, running_mean: Any = None, running_var: Any = None, weight: Tensor | None = None,
    bias: Tensor | None = None, *args: Any, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """By way of a batch norm of every map of every image."""
    n, c = x.shape[:2]
    flat = reshape(x, (1, n * c, *x.shape[2:]))
    many = [None if p is None else repeat(p, n) for p in (weight, bias)]
    return reshape(batch_norm(flat, None, None, many[0], many[1], True), tuple(x.shape))


@function("local_response_norm", torch=False, functional=True)
def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    pool: Any = FUNCTIONAL["avg_pool2d"] if len(x.shape) == 3 else FUNCTIONAL["avg_pool3d"]
    energy = mul(x, x)
    if len(x.shape) == 3:
        energy = unsqueeze(energy, 1)
        energy = _pad(energy, (0, 0, size // 2, (size - 1) // 2))
        energy = squeeze(pool(energy, (size, 1), 1), 1)
    else:
        energy = reshape(energy, (x.shape[0], 1, x.shape[1], x.shape[2], -1))
        energy = _pad(energy, (0, 0, 0, 0, size // 2, (size - 1) // 2))
        energy = squeeze(pool(energy, (size, 1, 1), 1), 1)
        energy = reshape(energy, tuple(x.shape))
    energy = mul(energy, alpha).add(k).pow(beta)
    return div(x, energy)


@function("normalize", torch=False, functional=True)
def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    length = vector_norm(x, p, dim, True)
    return div(x, done(start((length,), full, (length,)), like(length)).expand(tuple(x.shape)))
