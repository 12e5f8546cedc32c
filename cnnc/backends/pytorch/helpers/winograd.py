"""Convolutions of 3x3 as matrix products of tiles: Winograd's F(2x2) and F(4x4, 3x3)."""

from typing import NamedTuple

import torch
from torch import Tensor


class Tiles(NamedTuple):
    """What `winograd` needs of a convolution: its filters and transforms.

    The transforms of a block's rows and columns are matrices, into whose tiles of
    `size` + 2 values they cut an axis.
    """

    size: int
    filters: Tensor
    rows: Tensor
    columns: Tensor
    outputs: Tensor


def tile_transforms(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lavin and Gray's along an axis, for tiles of 2 or 4 outputs, in float64.

    They make `size` + 2 values of as many pixels and of 3 weights, and the outputs of
    as many products.
    """
    if size == 2:
        of_tile = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]
        of_filter = [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
        of_output = [[1, 1, 1, 0], [0, 1, -1, -1]]
    else:
        of_tile = [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ]
        of_filter = [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ]
        of_output = [
            [1, 1, 1, 1, 1, 0],
            [0, 1, -1, 2, -2, 0],
            [0, 1, 1, 4, 4, 0],
            [0, 1, -1, 8, -8, 1],
        ]
    tile, kernel, output = (
        torch.tensor(rows, dtype=torch.float64)
        for rows in (of_tile, of_filter, of_output)
    )
    return tile, kernel, output


def tiles_of(weight: Tensor, size: int, height: int, width: int) -> Tiles:
    """Filters (out, in, 3, 3) as matrices (in, out), for maps of a height and width.

    Maps of up to 7 tiles along each axis are one block, whose matrices leave the zeros
    around the maps out. Larger ones are blocks of 2 by 2 tiles.
    """
    outs, ins = weight.shape[:2]
    tile, kernel, output = tile_transforms(size)
    values = size + 2
    taps = weight.detach().double().permute(3, 2, 1, 0).reshape(9, -1)
    filters = (torch.kron(kernel, kernel) @ taps).view(values**2, ins, outs)
    is_one = max(height, width) <= 7 * size
    axes = []
    for pixels in (height, width):
        count = -(-pixels // size) if is_one else 2
        matrix = tile.new_zeros(values, count, size * count + 2)
        for i in range(count):
            matrix[:, i, size * i : size * i + values] = tile
        seen = matrix[:, :, 1 : pixels + 1] if is_one else matrix
        axes.append(seen.flatten(0, 1))
    made = (filters, *axes, torch.kron(output, output)[None])
    return Tiles(size, *(each.to(weight.dtype).contiguous() for each in made))


def winograd(x: Tensor, tiles: Tiles, bias: Tensor | None, relu: bool) -> Tensor:
    """A convolution of 3x3, stride 1, padding 1 by a fourth of the products, or 4/9.

    It takes as many blocks at a time as stay in a cache. Along the steps a block's axes
    are cut into (value, tile): first its columns, in each row, then its rows.
    """
    size, filters, rows, columns, outputs = tiles
    n, c, h, w = map(int, x.shape)
    values, outs = size + 2, int(filters.size(2))
    tall, broad = int(rows.size(1)), int(columns.size(1))  # pixels that a block sees
    a, b = int(rows.size(0)) // values, int(columns.size(0)) // values
    down, across = -(-h // (a * size)), -(-w // (b * size))
    seen = x.permute(2, 3, 0, 1).view(h, w, n, 1, 1, c)
    if (tall, broad) != (h, w):
        size_of = (n, down * a * size + 2, across * b * size + 2, c)
        maps = x.new_empty(size_of)
        maps[:, 1 : h + 1, 1 : w + 1] = x.permute(0, 2, 3, 1)
        for border in (
            maps[:, 0],
            maps[:, h + 1 :],
            maps[:, :, 0],
            maps[:, :, w + 1 :],
        ):
            border.zero_()
        row = size_of[2] * c
        seen = maps.as_strided(
            (tall, broad, n, down, across, c),
            (row, c, size_of[1] * row, a * size * row, b * size * c, 1),
        )
    y = x.new_empty((n, down, a, size, across, b, size, outs))
    fit = 2**22 // (values**2 * a * b * (c + outs)) // across  # rows in 16 MiB
    many, high = (fit // down, down) if fit >= down else (1, max(1, fit))
    for first in range(0, n, many):
        for top in range(0, down, high):
            images, lines = min(many, n - first), min(high, down - top)
            part = narrowed(narrowed(seen, 2, first, images), 3, top, lines)
            made = torch.bmm(
                columns.expand(tall, -1, -1), part.reshape(tall, broad, -1)
            )
            made = made.view(tall, values, -1).transpose(0, 1)
            made = torch.bmm(rows.expand(values, -1, -1), made)
            products = torch.bmm(made.view(values**2, -1, c), filters)
            if bias is not None:  # which is in each output of a tile once
                products[values + 1].add_(bias)
            made = torch.bmm(outputs, products.view(1, values**2, -1))
            made = made.view(size, size, a, b, images, lines, across, outs)
            made = made.permute(4, 5, 2, 1, 6, 3, 0, 7)
            out = narrowed(narrowed(y, 0, first, images), 1, top, lines)
            if relu:
                torch.clamp_min(made, 0, out=out)
            else:
                out.copy_(made)
    y = y.view(n, down * a * size, across * b * size, outs)
    y = narrowed(narrowed(y, 1, 0, h), 2, 0, w).permute(0, 3, 1, 2)
    return y.contiguous(memory_format=torch.channels_last)


def narrowed(x: Tensor, dim: int, first: int, count: int) -> Tensor:
    """`x.narrow`, which a graph does without where all is taken."""
    return x if count == int(x.size(dim)) else x.narrow(dim, first, count)
