"""Pools and changes of size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnc.backends.pytorch.dry.autograd import done, fresh, start
from cnnc.backends.pytorch.dry.ledger import STATE
from cnnc.backends.pytorch.dry.pointwise import UNARY, mul, power
from cnnc.backends.pytorch.dry.products import tuple_of
from cnnc.backends.pytorch.dry.reduce import mean
from cnnc.backends.pytorch.dry.register import FUNCTIONAL, function
from cnnc.backends.pytorch.dry.tensor import Tensor, int64, new


def _pooled(n: int, k: int, s: int, p: int, d: int, ceil: bool) -> int:
    span = n + 2 * p - d * (k - 1) - 1
    windows = (-(-span // s) if ceil else span // s) + 1
    return windows - 1 if ceil and (windows - 1) * s >= n + p else windows


def _sizes(x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> list[int]:
    rank = len(x.shape) - 2
    kernels = tuple_of(kernel, rank)
    strides = kernels if stride is None or stride == [] or stride == () else tuple_of(stride, rank)
    axes = zip(x.shape[2:], kernels, strides, tuple_of(padding, rank), tuple_of(dilation, rank), strict=True)
    return [_pooled(*axis, ceil) for axis in axes]


def max_pool(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The places of the largest values are 8 bytes each, kept where there is a gradient."""
    shape = (*x.shape[:2], *_sizes(x, kernel_size, stride, padding, dilation, ceil_mode))
    return _with_indices(x, shape, return_indices)


def _with_indices(x: Tensor, shape: Sequence[int], return_indices: bool) -> Any:
    node = start((x,), fresh, (x,))
    out = new(shape, x.dtype)
    if (
        node is None
        and not return_indices
        and STATE.device == "cpu"
        and not STATE.watched
        and len(shape) == 3
    ):
        return out  # on CPUs one axis has a kernel without
    indices = new(shape, int64)
    done(node, out, (indices,))
    return (out, indices) if return_indices else out


def avg_pool(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, *args: Any,
    **kwargs: Any,
) -> Tensor:  # fmt: skip
    shape = (*x.shape[:2], *_sizes(x, kernel_size, stride, padding, 1, ceil_mode))
    return done(start((x,), fresh, (x,)), new(shape, x.dtype))


def adaptive_avg_pool(x: Tensor, output_size: Any) -> Tensor:
    rank = len(x.shape) - 2
    sizes = [n if o is None else o for o, n in zip(tuple_of(output_size, rank), x.shape[2:], strict=True)]
    if all(n == 1 for n in sizes):
        return mean(x, tuple(range(2, rank + 2)), keepdim=True)
    return done(start((x,), fresh, (x,)), new((*x.shape[:2], *sizes), x.dtype))


def adaptive_max_pool(x: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    sizes = tuple_of(output_size, len(x.shape) - 2)
    node = start((x,), fresh, (x,))
    out, indices = new((*x.shape[:2], *sizes), x.dtype), new((*x.shape[:2], *sizes), int64)
    done(node, out, (indices,))
    return (out, indices) if return_indices else out


def fractional_max_pool(
    x: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, *args: Any, **kwargs: Any
) -> Tensor:
    rank = len(x.shape) - 2
    if output_size is None:
        ratios = tuple_of(output_ratio, rank)
        output_size = [int(n * r) for n, r in zip(x.shape[2:], ratios, strict=True)]
    samples = new((*x.shape[:2], rank), x.dtype)
    out: Tensor = _with_indices(x, (*x.shape[:2], *tuple_of(output_size, rank)), True)[0]
    return out if samples is not out else x


def lp_pool(
    x: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    rank = len(x.shape) - 2
    area = 1
    for k in tuple_of(kernel_size, rank):
        area *= k
    out = avg_pool(power(x, norm_type), kernel_size, stride, 0, ceil_mode)
    signed = mul(UNARY["sign"](out), UNARY["relu"](UNARY["abs"](out)))
    return power(mul(signed, area), 1.0 / norm_type)


for _rank in (1, 2, 3):
    function(f"max_pool{_rank}d", functional=True)(max_pool)
    function(f"avg_pool{_rank}d", functional=True)(avg_pool)
    FUNCTIONAL[f"adaptive_avg_pool{_rank}d"] = adaptive_avg_pool
    FUNCTIONAL[f"adaptive_max_pool{_rank}d"] = adaptive_max_pool
    FUNCTIONAL[f"fractional_max_pool{_rank}d"] = fractional_max_pool
    FUNCTIONAL[f"lp_pool{_rank}d"] = lp_pool


@function("interpolate", torch=False, functional=True)
def interpolate(
    x: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *args: Any, **kwargs: Any
) -> Tensor:
    rank = len(x.shape) - 2
    if size is None:
        factors = tuple_of(scale_factor, rank)
        size = [int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
    if mode == "area":
        return adaptive_avg_pool(x, tuple_of(size, rank))
    return done(start((x,), fresh), new((*x.shape[:2], *tuple_of(size, rank)), x.dtype))
