"""Convolutions of 3x3 as matrix products of tiles: Winograd's F(4x4, 3x3)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def tile_transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Lavin and Gray's, of both axes at once, in float64.

    They make 36 values of the 36 of a tile, 36 of the 9 of a filter, and the 16 outputs
    of a tile of 36 products.
    """
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
    written = (of_tile, of_filter, of_output)
    one_axis = [torch.tensor(rows, dtype=torch.float64) for rows in written]
    tile, kernel, output = (torch.kron(each, each) for each in one_axis)
    return tile, kernel, output


def tiled_filters(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For `winograd`: filters (out, in, 3, 3) as 36 matrices (in, out), transforms."""
    outs, ins = weight.shape[:2]
    tile, kernel, output = tile_transforms()
    rows = weight.detach().double().permute(2, 3, 1, 0).reshape(9, -1)
    filters = (kernel @ rows).to(weight.dtype).view(36, ins, outs)
    return filters, tile.to(weight.dtype)[None], output.to(weight.dtype)[None]


def winograd(
    x: Tensor,
    tiled: tuple[Tensor, Tensor, Tensor],
    bias: Tensor | None,
    relu: bool,
) -> Tensor:
    """A convolution of 3x3, stride 1 and padding 1, by a fourth of the products.

    It takes as many tiles of 6x6 at a time as stay in a cache.
    """
    filters, of_tile, of_output = tiled
    n, c, h, w = map(int, x.shape)
    outs = filters.size(2)
    rows, columns = -(-h // 4), -(-w // 4)
    maps = x.permute(0, 2, 3, 1).contiguous()
    maps = F.pad(maps, (0, 0, 1, 4 * columns + 1 - w, 1, 4 * rows + 1 - h))
    y = maps.new_empty((n, rows, 4, columns, 4, outs))
    a, b, j = c * (4 * columns + 2) * (4 * rows + 2), c * (4 * columns + 2), c
    fit = 2**21 // (36 * columns * (c + outs))  # rows of tiles in 8 MiB
    many, high = max(1, fit // rows), max(1, min(rows, fit))
    for first in range(0, n, many):
        for top in range(0, rows, high):
            size = (min(many, n - first), min(high, rows - top), columns)
            tiles = maps.as_strided(
                (6, 6, *size, c),
                (b, j, a, 4 * b, 4 * j, 1),
                first * a + 4 * top * b,
            )
            values = torch.bmm(of_tile, tiles.reshape(1, 36, -1)).view(36, -1, c)
            products = torch.bmm(values, filters)
            if bias is not None:
                products[7] += bias  # which is in each of the 16 outputs once
            made = torch.bmm(of_output, products.view(1, 36, -1))
            made = made.view(4, 4, *size, outs).permute(2, 3, 0, 4, 1, 5)
            part = y[first : first + size[0], top : top + size[1]]
            if relu:
                torch.clamp_min(made, 0, out=part)
            else:
                part.copy_(made)
    y = y.view(n, 4 * rows, 4 * columns, outs)[:, :h, :w]
    return y.permute(0, 3, 1, 2)
