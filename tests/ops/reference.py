"""Slow references of the layers that PyTorch lacks: loops over every output, written from the papers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import ceil

import torch
from torch import Tensor

Sides = Sequence[tuple[int, int]]


def positions(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return product(*map(range, sizes))


def padded(x: Tensor, sides: Sides, value: float = 0.0) -> Tensor:
    """A copy of x with a border, value by value."""
    sizes = [n + before + after for n, (before, after) in zip(x.shape[2:], sides, strict=True)]
    rows = []
    for at in positions(sizes):
        source = tuple(i - before for i, (before, _) in zip(at, sides, strict=True))
        inside = all(0 <= i < n for i, n in zip(source, x.shape[2:], strict=True))
        rows.append(x[(..., *source)] if inside else torch.full_like(x[..., *(0,) * len(source)], value))
    return torch.stack(rows, -1).reshape(*x.shape[:2], *sizes)


def out_sizes(x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Windows that fit, counted one by one."""
    sizes = []
    for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        sizes.append(sum(1 for start in range(0, n, s) if start + (k - 1) * d < n))
    return sizes


def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], sides: Sides,
    dilation: Sequence[int], groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation: for each filter and position, the sum over channels and offsets."""
    x = padded(x, sides)
    kernel = weight.shape[2:]
    sizes = out_sizes(x, kernel, stride, dilation)
    per_in, per_out = x.shape[1] // groups, weight.shape[0] // groups
    out = []
    for o in range(weight.shape[0]):
        first = o // per_out * per_in
        for at in positions(sizes):
            total = torch.zeros_like(x[:, 0, *(0,) * len(kernel)])
            for c in range(per_in):
                for j in positions(kernel):
                    source = tuple(a * s + i * d for a, s, i, d in zip(at, stride, j, dilation, strict=True))
                    total = total + x[:, first + c, *source] * weight[o, c, *j]
            out.append(total if bias is None else total + bias[o])
    return torch.stack(out, 1).reshape(x.shape[0], weight.shape[0], *sizes)


def local(
    x: Tensor, weight: Tensor, bias: Tensor | None, width: int, stride: Sequence[int], sides: Sides,
    dilation: Sequence[int],
) -> Tensor:  # fmt: skip
    """A convolution that takes another filter at each position."""
    x = padded(x, sides)
    kernel = weight.shape[2:]
    sizes = out_sizes(x, kernel, stride, dilation)
    out = []
    for filter_of, (o, *at) in zip(weight, positions([width, *sizes]), strict=True):
        total = torch.zeros_like(x[:, 0, *(0,) * len(kernel)])
        for c in range(x.shape[1]):
            for j in positions(kernel):
                source = tuple(a * s + i * d for a, s, i, d in zip(at, stride, j, dilation, strict=True))
                total = total + x[:, c, *source] * filter_of[c, *j]
        out.append(total if bias is None else total + bias[o, *at])
    return torch.stack(out, 1).reshape(x.shape[0], width, *sizes)


def transposed(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], sides: Sides,
    dilation: Sequence[int], more: Sequence[int],
) -> Tensor:  # fmt: skip
    """Every input scattered over the outputs it reaches."""
    kernel = weight.shape[2:]
    sizes = [
        s * (n - 1) + (k - 1) * d + 1 - before - after + extra
        for n, k, s, d, (before, after), extra in zip(
            x.shape[2:], kernel, stride, dilation, sides, more, strict=True
        )
    ]  # fmt: skip
    out: dict[tuple[int, ...], Tensor] = {}
    for c, o in product(range(x.shape[1]), range(weight.shape[1])):
        for i in positions(x.shape[2:]):
            for j in positions(kernel):
                at = tuple(
                    a * s - before + b * d
                    for a, s, b, d, (before, _) in zip(i, stride, j, dilation, sides, strict=True)
                )
                if all(0 <= a < n for a, n in zip(at, sizes, strict=True)):
                    key = (o, *at)
                    out[key] = out.get(key, 0) + x[:, c, *i] * weight[c, o, *j]
    zero = torch.zeros_like(x[:, 0, *(0,) * len(kernel)])
    rows = []
    for key in positions([weight.shape[1], *sizes]):
        value = out.get(key, zero)
        rows.append(value if bias is None else value + bias[key[0]])
    return torch.stack(rows, 1).reshape(x.shape[0], weight.shape[1], *sizes)


def windows(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], sides: Sides, *, ceiling: bool = False
) -> tuple[list[int], Iterator[tuple[list[Tensor], int]]]:
    """Output sizes, and for each output the values of the map in its window and how many places it has.

    The places are those in the map and its padding; with `ceiling` a window may
    reach beyond them, but begins in the map or in the padding before it.
    """
    sizes = []
    for n, k, s, (before, after) in zip(x.shape[2:], kernel, stride, sides, strict=True):
        room = n + before + after - k
        count = ceil(room / s) + 1 if ceiling else room // s + 1
        if ceiling and (count - 1) * s >= n + before:
            count -= 1
        sizes.append(count)

    def each() -> Iterator[tuple[list[Tensor], int]]:
        for at in positions(sizes):
            values, places = [], 0
            for j in positions(kernel):
                source = [a * s - b + i for a, s, i, (b, _) in zip(at, stride, j, sides, strict=True)]
                in_padding = all(
                    -b <= i < n + a for i, n, (b, a) in zip(source, x.shape[2:], sides, strict=True)
                )
                places += in_padding
                if all(0 <= i < n for i, n in zip(source, x.shape[2:], strict=True)):
                    values.append(x[:, :, *source])
            yield values, places

    return sizes, each()


def gathered(x: Tensor, sizes: Sequence[int], values: Sequence[Tensor]) -> Tensor:
    """One value of shape (batch, channels) for each output position, as a map."""
    return torch.stack(list(values), -1).reshape(*x.shape[:2], *sizes)
