"""The layers: one family a file, every layer in one place."""

from cnnc.compiler.ops.base import (
    Brings,
    Op,
    OpenRange,
    OpError,
    Place,
    Shape,
    Sizes,
    WordSlots,
    by_x,
    count,
    show,
)
from cnnc.compiler.ops.initial import RULES
from cnnc.compiler.ops.registry import all_ops, op_words

ARGUMENT_WORDS = frozenset({*RULES, "standardise"})
"""Words that take arguments and are no layers: `init=normal(0.01)`."""

__all__ = [
    "ARGUMENT_WORDS",
    "Brings",
    "Op",
    "OpError",
    "OpenRange",
    "Place",
    "Shape",
    "Sizes",
    "WordSlots",
    "all_ops",
    "by_x",
    "count",
    "op_words",
    "show",
]  # fmt: skip
