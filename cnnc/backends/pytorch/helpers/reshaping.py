"""Reshaping."""

from torch import Tensor


def reshaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The values of each image in another shape, in which one size may be -1."""
    return x.reshape(len(x), *shape)
