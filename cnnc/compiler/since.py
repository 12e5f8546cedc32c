"""Words that the language took after its first version: files that are older may call their own things so."""

from __future__ import annotations

from cnnc.compiler.ops import op_words
from cnnc.compiler.symbolic import FUNCTIONS as OF_NUMBERS
from cnnc.compiler.walk.again import REUSING
from cnnc.compiler.walk.fit import FITTED
from cnnc.compiler.walk.operations import FUNCTIONS

VERSION = "0.2"
"""The version that took the words beyond those of the first."""
_FIRST_LAYERS = frozenset(
    [
        "relu",
        "relu6",
        "leaky",
        "leakyrelu",
        "prelu",
        "elu",
        "selu",
        "gelu",
        "silu",
        "swish",
        "mish",
        "sigmoid",
        "tanh",
        "hardsigmoid",
        "hardswish",
        "softplus",
        "softmax",
        "logsoftmax",
        "maxout",
        "bias",
        "squash",
        "capslength",
        "capsmask",
        "capsule",
        "conv",
        "dwconv",
        "sepconv",
        "tconv",
        "deconv",
        "upconv",
        "fc",
        "rbf",
        "bn",
        "batchnorm",
        "gn",
        "groupnorm",
        "ln",
        "layernorm",
        "instancenorm",
        "inorm",
        "lrn",
        "scale",
        "maxpool",
        "pool",
        "avgpool",
        "sumpool",
        "lppool",
        "stochasticpool",
        "subsample",
        "gap",
        "gmp",
        "adaptiveavgpool",
        "adaptivemaxpool",
        "fractionalmaxpool",
        "dropout",
        "spatialdropout",
        "droppath",
        "stochasticdepth",
        "flatten",
        "crop",
        "shortcut_pad",
        "shuffle",
        "chunk",
        "squeeze",
        "reshape",
        "upsample",
        "pixelshuffle",
        "depthtospace",
        "spacetodepth",
        "pixelunshuffle",
        "pad",
        "stn",
        "spatialtransformer",
        "unpool",
        "local",
        "shortcut",
        "id",
    ]
)
"""The layers of version 0.1; complete for ever."""


def is_new_layer(name: str) -> bool:
    """Whether a name is a layer's that files of version 0.1 could take for a block, param or shared module."""
    word = name.lower()
    return (word in op_words() or word in (*FITTED, *REUSING)) and word not in _FIRST_LAYERS


def is_new_function(name: str) -> bool:
    """Whether a name is a function's that files of version 0.1 could take for anything."""
    return name in FUNCTIONS and name not in OF_NUMBERS


def since(name: str) -> str:
    """` since version 0.2` for a word that was free before; empty for those of the first version."""
    return f" since version {VERSION}" if is_new_layer(name) or is_new_function(name) else ""


def hint(name: str) -> str | None:
    """What to do about a name that was free before."""
    return "rename it, here and where it is used: cnnc fmt --upgrade" if since(name) else None
