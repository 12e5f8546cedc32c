"""The layers: one family a file, every layer in one place."""

from cnnc.compiler.ops import (  # noqa: F401  (each registers its ops)
    activation,
    convolution,
    linear,
    merge,
    normalisation,
    pooling,
    regularisation,
    reshape,
)
from cnnc.compiler.ops.base import (
    Brings,
    Op,
    OpError,
    Place,
    Shape,
    Sizes,
    WordSlots,
    all_ops,
    count,
    op_words,
    show,
)

__all__ = [
    "Brings", "Op", "OpError", "Place", "Shape", "Sizes", "WordSlots",
    "all_ops", "count", "op_words", "show",
]  # fmt: skip
