"""The PyTorch backend: a standalone file whose structure follows the blocks."""

from cnnc.backends.pytorch.write import to_pytorch

__all__ = ["to_pytorch"]
