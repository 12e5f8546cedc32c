"""Convolutions, matrix products and attention."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

from cnnc.backends.pytorch.dry.autograd import Gradients, Node, done, fresh, full, start
from cnnc.backends.pytorch.dry.ledger import STATE
from cnnc.backends.pytorch.dry.pointwise import broadcast
from cnnc.backends.pytorch.dry.register import cast, function, lowered_all, methods, raised
from cnnc.backends.pytorch.dry.shapes import reshape
from cnnc.backends.pytorch.dry.tensor import Tensor, float32, new


def tuple_of(value: Any, rank: int) -> tuple[int, ...]:
    """One number for each axis."""
    return tuple(value) if isinstance(value, tuple | list) else (value,) * rank


# --- convolution ------------------------------------------------------------------------


def _slid(n: int, k: int, s: int, p: int, d: int) -> int:
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    x, weight, bias = lowered_all((x, weight, bias))
    rank = len(weight.shape) - 2
    strides, dilations = tuple_of(stride, rank), tuple_of(dilation, rank)
    kernel = weight.shape[2:]
    pads = (
        tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilations, strict=True)) if padding == "same"
        else (0,) * rank if padding == "valid" else tuple_of(padding, rank)
    )  # fmt: skip
    sizes = map(_slid, x.shape[2:], kernel, strides, pads, dilations)
    padded = _padded(x, weight) if groups == 1 and rank == 2 else 0
    formula = partial(_with_workspace, padded) if padded else fresh
    node = start((x, weight, *([bias] if bias is not None else [])), formula, (x, weight))
    out = done(node, new((x.shape[0], weight.shape[0], *sizes), x.dtype))
    STATE.ledger.passes(padded)
    return out


def _padded(x: Tensor, weight: Tensor) -> int:
    """The bytes of maps and filters with as many channels as cuDNN's half-precision kernels take: a multiple of 8."""
    channels = x.shape[1]
    if STATE.device != "cuda" or x.dtype.bytes != 2 or channels % 8 == 0:
        return 0
    numbers = prod(x.shape) // channels + prod(weight.shape) // channels
    return numbers * -(-channels // 8) * 8 * x.dtype.bytes


def _with_workspace(size: int, node: Node, gradients: Gradients) -> Gradients:
    found = fresh(node, gradients)
    STATE.ledger.passes(size)
    return found


def conv_transpose(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    x, weight, bias = lowered_all((x, weight, bias))
    rank = len(weight.shape) - 2
    axes = zip(x.shape[2:], weight.shape[2:], *(
        tuple_of(v, rank) for v in (stride, padding, output_padding, dilation)), strict=True)  # fmt: skip
    sizes = [(n - 1) * s - 2 * p + d * (k - 1) + more + 1 for n, k, s, p, more, d in axes]
    node = start((x, weight, *([bias] if bias is not None else [])), fresh, (x, weight))
    return done(node, new((x.shape[0], weight.shape[1] * groups, *sizes), x.dtype))


for _rank in (1, 2, 3):
    function(f"conv{_rank}d", functional=True)(conv)
    function(f"conv_transpose{_rank}d", functional=True)(conv_transpose)


# --- matrix products --------------------------------------------------------------------


def _each_for_other(x: Tensor, y: Tensor) -> list[Tensor]:
    """What the gradients of a product need: each operand for that of the other."""
    return ([y] if x.requires_grad else []) + ([x] if y.requires_grad else [])


@function("linear", torch=False, functional=True)
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, weight, bias = lowered_all((x, weight, bias))
    flat = x if len(x.shape) == 2 else reshape(x, (prod(x.shape[:-1]), x.shape[-1]))
    node = start((flat, weight, *([bias] if bias is not None else [])), fresh, _each_for_other(flat, weight))
    out = done(node, new((flat.shape[0], weight.shape[0]), flat.dtype))
    return out if len(x.shape) == 2 else reshape(out, (*x.shape[:-1], weight.shape[0]))


@function("matmul", "mm", "bmm", method=True)
def matmul(x: Tensor, y: Tensor) -> Tensor:
    x, y = lowered_all((x, y))
    node = start((x, y), fresh, _each_for_other(x, y))
    if len(x.shape) == 1 or len(y.shape) == 1:
        shape = (
            *x.shape[:-1],
            *(y.shape[:-2] if len(x.shape) == 1 else ()),
            *y.shape[-1:][: len(y.shape) - 1],
        )
    else:
        shape = (*broadcast((x.shape[:-2], y.shape[:-2])), x.shape[-2], y.shape[-1])
    return done(node, new(shape, x.dtype))


methods(
    __matmul__=matmul,
)


@function("baddbmm", "addmm", method=True)
def addmm(x: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    x, a, b = lowered_all((x, a, b))
    return done(start((x, a, b), fresh, _each_for_other(a, b)), new((*a.shape[:-1], b.shape[-1]), a.dtype))


@function("einsum")
def einsum(equation: str, *operands: Tensor) -> Tensor:
    """By way of one product: operands permuted (copied where that is no view) and multiplied in batches."""
    operands = tuple(lowered_all(operands))
    ins, out = equation.replace(" ", "").split("->")
    sizes: dict[str, int] = {}
    for letters, operand in zip(ins.split(","), operands, strict=True):
        sizes |= dict(zip(letters, operand.shape, strict=True))
    saved = [o for o in operands if any(p.requires_grad for p in operands if p is not o)]
    node = start(operands, fresh, saved)
    return done(node, new([sizes[letter] for letter in out], operands[0].dtype))


# --- attention --------------------------------------------------------------------------


@function("scaled_dot_product_attention", torch=False, functional=True)
def attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """Fused where the last axis of all three is contiguous and no bias is learnt; else by two products.

    The fused kernel keeps its output and the logarithm of a sum for each query, and no matrix of weights.
    """
    query, key, value = lowered_all((query, key, value))
    learnt = attn_mask is not None and attn_mask.requires_grad
    if learnt or any(t.strides[-1] != 1 and t.shape[-1] != 1 for t in (query, key, value)):
        return _by_products(query, key, value, attn_mask, is_causal)
    ins = (query, key, value, *([attn_mask] if attn_mask is not None else []))
    node = start(ins, fresh, ins)
    out = new((*query.shape[:-1], value.shape[-1]), query.dtype)
    sums = new(query.shape[:-1], float32)
    return done(node, out, (out, sums))


def _by_products(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, is_causal: bool) -> Tensor:
    """Query and key are scaled by the root of the scale each; half types are widened."""
    dtype = query.dtype
    if dtype.bytes == 2:
        query, key, value = (cast(t, float32) for t in (query, key, value))
    if is_causal:
        bias = new((query.shape[-2], key.shape[-2]), query.dtype)
    query = done(start((query,), full), new(query.shape, query.dtype))
    scores = matmul(query, done(start((key,), full), new(key.shape, key.dtype)).transpose(-1, -2))
    if bias is not None:
        scores = scores.__iadd__(bias)
    node = start((scores,), full)
    weights = new(scores.shape, scores.dtype)
    done(node, weights, (weights,))
    del scores
    return cast(matmul(weights, value), dtype)


@function("bilinear", torch=False, functional=True)
def bilinear(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, y, weight = lowered_all((x, y, weight))
    node = start((x, y, weight), fresh, (x, y, weight))
    return done(node, new((*x.shape[:-1], weight.shape[0]), x.dtype))


# --- sampling ---------------------------------------------------------------------------


@function("affine_grid", torch=False, functional=True)
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    return done(start((theta,), fresh), new((size[0], *size[2:], len(size) - 2), theta.dtype))


@function("grid_sample", torch=False, functional=True)
def grid_sample(x: Tensor, grid: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    x, grid = raised(x), raised(grid)
    node = start((x, grid), fresh, (x, grid))
    return done(node, new((*x.shape[:2], *grid.shape[1:-1]), x.dtype))


@function("embedding", torch=False, functional=True)
def embedding(index: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return done(
        start((weight,), _embedding_back, (index,)), new((*index.shape, weight.shape[1]), weight.dtype)
    )


def _embedding_back(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
    return [new(*node.shapes[0])]
