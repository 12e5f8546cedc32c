"""Layers of the second half in PyTorch, by none of the compiler's code: a part of `independent.py`."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import torch
import torch.nn.functional as F
from described import Axes, Layer
from torch import Tensor, nn

Path = tuple[object, ...]


class Refused(Exception):
    """The network cannot be built or run."""


def by_channel(numbers: Tensor, x: Tensor) -> Tensor:
    return numbers.view(-1, *[1] * (x.dim() - 2))


class Learnt(nn.Module):
    """Parameters by name."""

    def __init__(self, **values: Tensor) -> None:
        super().__init__()
        for name, value in values.items():
            self.register_parameter(name, nn.Parameter(value))


class Further:
    """What each layer computes; modules are made by `make`."""

    make: Callable[[Path, Callable[[], nn.Module]], Any]

    # --- values ---

    def _times(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        (factor,) = layer.data
        if len(factor) not in (1, x.shape[1]):
            raise Refused(f"{len(factor)} factors for {x.shape[1]} channels")
        return x * by_channel(torch.tensor(factor, dtype=x.dtype), x)

    def _plus(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x + layer.data[0]

    def _pow(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x ** layer.data[0]

    def _exp(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x.exp()

    def _log(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x.log()

    def _cos(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x.cos()

    def _abs(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return torch.where(x < 0, -x, x)

    def _sin(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x.sin()

    def _clamp(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        low, high = layer.data
        return torch.where(
            x < low, torch.full_like(x, low), torch.where(x > high, torch.full_like(x, high), x)
        )

    def _normalize(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        mean, std = (by_channel(torch.tensor(n, dtype=x.dtype), x) for n in layer.data)
        return (x - mean) / std

    def _learnt_shape(self, each: str, x: Tensor) -> tuple[int, ...]:
        return {"one": (1,), "channel": (x.shape[1],), "position": tuple(x.shape[1:])}[each]

    def _spread_out(self, value: Tensor, each: str, x: Tensor) -> Tensor:
        return by_channel(value, x) if each == "channel" else value

    def _scale(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        each, has_bias = layer.data
        shape = self._learnt_shape(each, x)
        names = ("weight", "bias") if has_bias else ("weight",)
        own = self.make(path, lambda: Learnt(**{name: torch.rand(shape) for name in names}))
        y = x * self._spread_out(own.weight, each, x)
        return y + self._spread_out(own.bias, each, x) if has_bias else y

    def _bias(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        (each,) = layer.data
        shape = self._learnt_shape(each, x)
        own = self.make(path, lambda: Learnt(bias=torch.rand(shape)))
        return x + self._spread_out(own.bias, each, x)

    # --- norms ---

    def _grn(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        """Woo et al. 2023, ConvNeXt V2, algorithm 1."""
        zeros = torch.zeros(x.shape[1])
        own = self.make(path, lambda: Learnt(weight=zeros, bias=zeros.clone()))
        lengths = x.pow(2).sum(tuple(range(2, x.dim())), keepdim=True).sqrt()
        share = lengths / (lengths.mean(1, keepdim=True) + 1e-6)
        return x + by_channel(own.bias, x) + by_channel(own.weight, x) * x * share

    def _rmsnorm(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        own = self.make(path, lambda: Learnt(weight=torch.ones(x.shape[1])))
        return x / (x.pow(2).mean(1, keepdim=True) + 1e-6).sqrt() * by_channel(own.weight, x)

    def _ln(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        (has_bias,) = layer.data
        norm = self.make(path, lambda: nn.LayerNorm(x.shape[1], bias=has_bias))
        return norm(x.movedim(1, -1)).movedim(-1, 1)

    def _l2norm(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x / x.pow(2).sum(1, keepdim=True).sqrt().clamp(min=1e-12)

    def _blurpool(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        """Zhang 2019: a binomial filter on reflected borders; one place more before an even kernel."""
        (size,), (stride,) = set(layer.kernel or ()), set(layer.stride or ())
        rank = x.dim() - 2
        x = F.pad(x, ((size - 1) // 2, size // 2) * rank, mode="reflect")
        for axis in range(2, x.dim()):
            places = torch.arange(0, x.shape[axis] - size + 1, stride)
            x = sum(
                (comb(size - 1, i) / 2 ** (size - 1) * x.index_select(axis, places + i) for i in range(size)),
                start=torch.zeros((), dtype=x.dtype),
            )
        return x

    # --- along axes ---

    def _mean(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        for axis in layer.data:
            x = x.sum(axis + 1, keepdim=True) / x.shape[axis + 1]
        return x

    def _sum(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        for axis in layer.data:
            x = x.sum(axis + 1, keepdim=True)
        return x

    def _max(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        for axis in layer.data:
            x = x.sort(axis + 1).values.narrow(axis + 1, x.shape[axis + 1] - 1, 1)
        return x

    def _softmax(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        (axis,) = layer.data
        powers = (x - x.max()).exp()
        return powers / powers.sum(axis + 1, keepdim=True)

    def _permute(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x.permute(0, *(1 + axis for axis in layer.data))

    def _reshape(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        rank, *whole = layer.data
        if whole:
            return x.reshape(len(x), *whole)
        return x.reshape(len(x), x.shape[1], *(1,) * rank)

    def _chunk(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        n, i = layer.data
        if x.shape[1] % n:
            raise Refused(f"{x.shape[1]} channels in {n} parts")
        return x[:, i * x.shape[1] // n : (i + 1) * x.shape[1] // n]

    # --- sizes ---

    def _stretch(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x.expand(len(x), x.shape[1], *(layer.size or ()))

    def _resize(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        if layer.size is not None:
            return F.interpolate(x, layer.size)
        up, down, mode, anti = layer.data
        size = [n * up // down for n in x.shape[2:]]
        if 0 in size:
            raise Refused("nothing is left")
        # PyTorch's filters compute something else of maps in channels-last layout where they become 1 wide.
        return F.interpolate(x.contiguous(), size, mode=mode, antialias=anti)

    def _pad(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        if layer.size is not None:
            more = [m - n for m, n in zip(layer.size, x.shape[2:], strict=True)]
            if min(more) < 0:
                raise Refused("larger than what it is to fit")
            return F.pad(x, [k for n in reversed(more) for k in (n // 2, n - n // 2)])
        sides, mode = layer.data
        flat = [n for pair in reversed(sides) for n in pair]
        return F.pad(x, flat) if mode == "zeros" else F.pad(x, flat, mode=mode)


def causal_pads(kernel: Axes, dilation: Axes) -> tuple[tuple[int, int], ...]:
    """All of a kernel's reach before the map."""
    return tuple(((k - 1) * d, 0) for k, d in zip(kernel, dilation, strict=True))


def seen_before(kernel: Axes, *, itself: bool) -> Tensor:
    """1 where a masked convolution looks: row by row up to the middle (van den Oord et al. 2016), and at it itself."""
    mask = torch.zeros(kernel)
    middle = mask.numel() // 2
    mask.view(-1)[: middle + itself] = 1
    return mask
