"""Cropping."""

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
