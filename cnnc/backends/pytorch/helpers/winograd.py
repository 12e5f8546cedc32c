"""Convolutions of 3x3 as matrix products of tiles: Winograd's F(4x4, 3x3)."""

import torch
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


def tiled_filters(weight: Tensor, parts: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """For `winograd`: filters (out, in, 3, 3) as 36 matrices (in, out), transforms.

    Each of the parts that maps are taken in has its own copy.
    """
    outs, ins = weight.shape[:2]
    rows = weight.detach().double().permute(2, 3, 1, 0).reshape(9, -1)
    tile, kernel, output = tile_transforms()
    filters = (kernel @ rows).view(36, ins, outs)
    return (
        filters.to(weight.dtype).repeat(parts, 1, 1),
        tile.to(weight.dtype).repeat(parts, 1, 1),
        output.to(weight.dtype).repeat(parts, 1, 1),
    )


def winograd(
    x: Tensor,
    tiled: tuple[Tensor, Tensor, Tensor],
    bias: Tensor | None,
    relu: bool,
) -> Tensor:
    """A convolution of 3x3, stride 1 and padding 1, by a fourth of the products.

    It takes as many tiles of 6x6 at a time as stay in a cache. Parts of them, images or
    rows, are the outermost axis of each step, so that a thread goes on with its own.
    """
    filters, of_tile, of_output = tiled
    n, c, h, w = map(int, x.shape)
    parts, outs = len(of_tile), filters.size(2)
    rows, columns = -(-h // 4), -(-w // 4)
    fit = 2**21 // (36 * columns * (c + outs))  # rows of tiles in 8 MiB
    by_images = n % parts == 0 and fit >= parts * rows
    if by_images:
        many, high = fit // rows // parts * parts, rows
    else:
        rows += -rows % parts
        many, high = 1, max(1, min(rows, fit) // parts) * parts
    # How far apart pixels, rows and images are: of the maps, and of the result.
    a, b = c * (4 * columns + 2), c * (4 * columns + 2) * (4 * rows + 2)
    d, e = outs * 4 * columns, outs * 4 * columns * 4 * rows
    maps = x.new_empty((n, 4 * rows + 2, 4 * columns + 2, c))
    maps[:, 1 : h + 1, 1 : w + 1] = x.permute(0, 2, 3, 1)
    for border in (maps[:, 0], maps[:, h + 1 :], maps[:, :, 0], maps[:, :, w + 1 :]):
        border.zero_()
    y = x.new_empty((n, 4 * rows, 4 * columns, outs))
    for first in range(0, n, many):
        for top in range(0, rows, high):
            i, j = min(many, n - first), min(high, rows - top)
            i, j = (i // parts, j) if by_images else (1, j // parts)
            part = (i * b, i * e) if by_images else (j * 4 * a, j * 4 * d)
            tiles = maps.as_strided(
                (parts, 6, 6, i, j, columns, c),
                (part[0], a, c, b, 4 * a, 4 * c, 1),
                first * b + 4 * top * a,
            )
            values = torch.bmm(of_tile, tiles.reshape(parts, 36, -1))
            products = torch.bmm(values.view(parts * 36, -1, c), filters)
            if bias is not None:  # which is in each of the 16 outputs once
                products[7::36].add_(bias)
            made = torch.bmm(of_output, products.view(parts, 36, -1))
            made = made.view(parts, 4, 4, i, j, columns, outs)
            made = made.permute(0, 3, 4, 1, 5, 2, 6)
            out = y.as_strided(
                (parts, i, j, 4, columns, 4, outs),
                (part[1], e, 4 * d, d, 4 * outs, outs, 1),
                first * e + 4 * top * d,
            )
            if relu:
                torch.clamp_min(made, 0, out=out)
            else:
                out.copy_(made)
    y = y[:, :h, :w].permute(0, 3, 1, 2)
    return y.contiguous(memory_format=torch.channels_last)
