"""Tensors that are made from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnc.backends.pytorch.dry.register import TORCH, function, methods
from cnnc.backends.pytorch.dry.tensor import DType, Tensor, bool_, float32, int64, new


def _shape(args: Sequence[Any]) -> tuple[int, ...]:
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], tuple | list) else tuple(args)


@function("zeros", "ones", "rand", "randn", "empty")
def made(*shape: Any, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    return new(_shape(shape), dtype or float32)


@function("full")
def full(shape: Sequence[int], value: Any, *, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    return new(shape, dtype or (bool_ if isinstance(value, bool) else float32))


@function("zeros_like", "ones_like", "empty_like", "rand_like", "randn_like")
def made_like(x: Tensor, *, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    return new(x.shape, dtype or x.dtype)


@function("full_like")
def full_like(x: Tensor, value: Any, *, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    return new(x.shape, dtype or x.dtype)


@function("new_zeros", "new_ones", "new_empty", torch=False, method=True)
def new_like(x: Tensor, *shape: Any, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    return new(_shape(shape), dtype or x.dtype)


@function("new_full", torch=False, method=True)
def new_full(
    x: Tensor, shape: Sequence[int], value: Any, *, dtype: DType | None = None, **kwargs: Any
) -> Tensor:
    return new(shape, dtype or x.dtype)


@function("new_tensor", torch=False, method=True)
def new_tensor(x: Tensor, data: Any, *, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    return tensor(data, dtype=dtype or x.dtype)


@function("randint")
def randint(*args: Any, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    return new(next(a for a in args if isinstance(a, tuple | list)), dtype or int64)


@function("arange", "range")
def arange(*args: Any, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    count = len(range(*args)) if all(isinstance(a, int) for a in args) else 1
    whole = all(isinstance(a, int) for a in args)
    return new((count,), dtype or (int64 if whole else float32))


@function("linspace")
def linspace(start: Any, end: Any, steps: int, *, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    return new((steps,), dtype or float32)


@function("eye")
def eye(n: int, m: int | None = None, *, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    return new((n, n if m is None else m), dtype or float32)


@function("tensor", "as_tensor")
def tensor(data: Any, *, dtype: DType | None = None, **kwargs: Any) -> Tensor:
    shape: list[int] = []
    while isinstance(data, tuple | list):
        shape.append(len(data))
        data = data[0] if data else 0.0
    kind = bool_ if isinstance(data, bool) else int64 if isinstance(data, int) else float32
    return new(shape, dtype or kind)


@function("meshgrid")
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    found = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], tuple | list) else tensors
    shape = tuple(t.shape[0] for t in found)
    return tuple(t.viewed(shape, tuple(int(i == j) for j in range(len(shape)))) for i, t in enumerate(found))


@function("outer")
def outer(x: Tensor, y: Tensor) -> Tensor:
    return new((x.shape[0], y.shape[0]), x.dtype)


def _filled(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return x


methods(
    fill_=_filled,
    zero_=_filled,
    bernoulli_=_filled,
    uniform_=_filled,
    normal_=_filled,
    exponential_=_filled,
    random_=_filled,
    copy_=_filled,
    trunc_normal_=_filled,
    requires_grad_=_filled,
)
methods(
    dim=lambda x: len(x.shape),
    ndim=property(lambda x: len(x.shape)),
    ndimension=lambda x: len(x.shape),
    numel=lambda x: x.shape.numel(),
    size=lambda x, dim=None: x.shape if dim is None else x.shape[dim],
    is_contiguous=lambda x, **kwargs: x.is_contiguous_now,
    is_floating_point=lambda x: x.dtype.is_float,
    device=property(lambda x: "device"),
    is_cuda=property(lambda x: True),
    __len__=lambda x: x.shape[0],
    stride=lambda x, dim=None: x.strides if dim is None else x.strides[dim],
    bool=lambda x: new(x.shape, bool_),
    long=lambda x: new(x.shape, int64),
)
TORCH["manual_seed"] = lambda seed: None
