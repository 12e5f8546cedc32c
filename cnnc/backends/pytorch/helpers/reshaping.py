"""Reshaping."""

from torch import Tensor


def reshaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The values of each image in another shape, in which one size may be -1."""
    return x.reshape(len(x), *shape)


def reshaped_to(x: Tensor, like: Tensor) -> Tensor:
    """The values of each image on the positions of `like`, in the channels left."""
    return x.reshape(len(x), -1, *like.shape[2:])
