"""Tensors without values: a shape, a dtype, and the storage they look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from cnnc.backends.pytorch.dry.ledger import STATE, Storage
from cnnc.dsl.record import record


@record
class DType:
    """A type of number: its name in torch, and its bytes."""

    name: str
    bytes: int
    is_float: bool = True

    @property
    def itemsize(self) -> int:
        return self.bytes

    @property
    def is_floating_point(self) -> bool:
        return self.is_float


float64, float32 = DType("float64", 8), DType("float32", 4)
float16, bfloat16 = DType("float16", 2), DType("bfloat16", 2)
int64, int32, int16 = DType("int64", 8, False), DType("int32", 4, False), DType("int16", 2, False)
uint8, int8, bool_ = DType("uint8", 1, False), DType("int8", 1, False), DType("bool", 1, False)
_RANK = {
    d: i for i, d in enumerate((bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64))
}


def promoted(tensors: Iterable[Tensor]) -> DType:
    """The dtype of a result of several tensors; a scalar tensor does not widen one of its own kind."""
    found = list(tensors)
    dims = [t for t in found if t.shape] or found
    best = max(dims, key=lambda t: _RANK[t.dtype]).dtype
    if {t.dtype for t in dims} >= {float16, bfloat16} and best in (float16, bfloat16):
        return float32
    if not best.is_float and any(t.dtype.is_float for t in found):
        return max((t.dtype for t in found if t.dtype.is_float), key=_RANK.__getitem__)
    return best


class Size(tuple[int, ...]):
    """A shape, as `torch.Size`."""

    __slots__ = ()

    def numel(self) -> int:
        return prod(self)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return tuple(strides)


class Tensor:
    """A view of a storage. The methods of `torch.Tensor` that layers use are added by the files of functions."""

    __slots__ = (
        "__weakref__",
        "dtype",
        "grad",
        "grad_fn",
        "leaf",
        "nr",
        "requires_grad",
        "shape",
        "storage",
        "strides",
    )

    def __init__(
        self, shape: Sequence[int], dtype: DType, storage: Storage, strides: tuple[int, ...] | None = None
    ) -> None:
        self.shape = Size(shape)
        self.dtype = dtype
        self.storage = storage
        self.strides = contiguous_strides(shape) if strides is None else strides
        self.grad_fn: Any = None
        self.nr = 0
        self.requires_grad = False
        self.grad: Tensor | None = None
        self.leaf: Any = None
        """The node that adds to this leaf's gradient, once there is one."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @property
    def is_contiguous_now(self) -> bool:
        expected = 1
        for n, s in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and s != expected:
                return False
            expected *= n
        return True

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def data(self) -> Tensor:
        return self.alias()

    @data.setter
    def data(self, other: Tensor) -> None:
        self.shape, self.dtype, self.storage, self.strides = (
            other.shape,
            other.dtype,
            other.storage,
            other.strides,
        )

    def alias(self) -> Tensor:
        """The same memory without history."""
        return Tensor(self.shape, self.dtype, self.storage, self.strides)

    def viewed(self, shape: Sequence[int], strides: tuple[int, ...] | None = None) -> Tensor:
        """The same memory with another shape, without history."""
        return Tensor(shape, self.dtype, self.storage, strides)


class Parameter(Tensor):
    """A learnable tensor."""

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        super().__init__(data.shape, data.dtype, data.storage, data.strides)
        self.requires_grad = requires_grad


def new(shape: Sequence[int], dtype: DType) -> Tensor:
    """A tensor of memory of its own."""
    return Tensor(shape, dtype, Storage(STATE.ledger, prod(shape) * dtype.bytes))


def like(tensor: Tensor) -> Tensor:
    """A new tensor of the shape, dtype and order of axes of another."""
    storage = Storage(STATE.ledger, prod(tensor.shape) * tensor.dtype.bytes)
    strides = None if tensor.is_contiguous_now or not _is_dense(tensor) else tensor.strides
    return Tensor(tensor.shape, tensor.dtype, storage, strides)


def _is_dense(tensor: Tensor) -> bool:
    """Whether its values fill its memory, in some order of the axes."""
    expected = 1
    for stride, n in sorted((s, n) for s, n in zip(tensor.strides, tensor.shape, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= n
    return True
