"""Maps brought to a size: cut, padded, interpolated."""

import torch.nn.functional as F
from torch import Tensor


def centre_crop(x: Tensor, like: Tensor) -> Tensor:
    """The centre of each map of `x`, as large as `like`; an odd rest is cut after."""
    for axis in range(2, x.dim()):
        start = (x.shape[axis] - like.shape[axis]) // 2
        x = x.narrow(axis, start, like.shape[axis])
    return x


def crop_to(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """The centre of each map, `size` large; an odd rest is cut after."""
    for axis, wanted in enumerate(size, start=2):
        x = x.narrow(axis, (x.shape[axis] - wanted) // 2, wanted)
    return x


def centre_pad(
    x: Tensor, like: Tensor, mode: str = "constant", value: float = 0
) -> Tensor:
    """Each map of `x` in the middle of one as large as `like`; an odd rest after."""
    sides = []
    for axis in range(x.dim() - 1, 1, -1):
        rest = like.shape[axis] - x.shape[axis]
        sides += [rest // 2, rest - rest // 2]
    return F.pad(x, sides, mode, value)


def resized(
    x: Tensor,
    up: int | tuple[int, ...],
    down: int | tuple[int, ...],
    mode: str = "nearest",
    align_corners: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Maps of n positions interpolated to `n * up // down`, which a float may miss."""
    sizes = x.shape[2:]
    ups = (up,) * len(sizes) if isinstance(up, int) else up
    downs = (down,) * len(sizes) if isinstance(down, int) else down
    size = [n * p // q for n, p, q in zip(sizes, ups, downs, strict=True)]
    return F.interpolate(
        x, size, mode=mode, align_corners=align_corners, antialias=antialias
    )
