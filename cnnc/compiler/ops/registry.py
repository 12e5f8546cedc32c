"""Which file holds which layers: a run imports the files of the layers it meets, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from cnnc.compiler.ops.base import REGISTRY, Op

# The layer words of each file, aliases included; a test holds them to what the files register.
FILES: Mapping[str, tuple[str, ...]] = {
    "activation": (
        "relu", "relu6", "leaky", "leakyrelu", "prelu", "elu", "selu", "gelu", "silu", "swish", "mish",
        "sigmoid", "tanh", "hardsigmoid", "hardswish", "softplus", "softmax", "logsoftmax", "maxout",
    ),
    "attention": ("attend",),
    "arithmetic": (
        "times", "plus", "pow", "exp", "log", "abs", "sin", "cos", "clamp", "noise", "normalize",
    ),
    "bias": ("bias",),
    "capsule": ("squash", "capslength", "capsmask", "capsule"),
    "convolution": ("conv", "dwconv", "sepconv"),
    "transposed": ("tconv", "deconv", "upconv"),
    "extern": (),
    "linear": ("fc", "linear", "rbf"),
    "merge": (),
    "normalisation": (
        "bn", "batchnorm", "gn", "groupnorm", "ln", "layernorm", "instancenorm", "inorm", "lrn", "scale",
        "grn", "rmsnorm", "l2norm", "evonorm",
    ),
    "pooling": (
        "maxpool", "pool", "avgpool", "sumpool", "lppool", "stochasticpool", "subsample", "gap", "gmp",
        "adaptiveavgpool", "adaptivemaxpool", "fractionalmaxpool", "blurpool",
    ),
    "recurrent": ("lstm", "gru"),
    "reduction": ("mean", "max", "sum"),
    "regularisation": ("dropout", "spatialdropout", "droppath", "stochasticdepth"),
    "reshape": (
        "flatten", "crop", "stretch", "shortcut_pad", "shuffle", "chunk", "squeeze", "reshape", "permute", "slice",
    ),
    "resize": ("upsample", "resize", "pixelshuffle", "depthtospace", "spacetodepth", "pixelunshuffle", "pad"),
    "tensor": ("tensor",),
    "transformer": ("stn", "spatialtransformer"),
    "unpool": ("unpool",),
    "unshared": ("local",),
}  # fmt: skip


class _Words(Mapping[str, type[Op]]):
    """Every layer word; its file is imported when its layer is looked up."""

    def __init__(self) -> None:
        self._files = {word: file for file, words in FILES.items() for word in words}

    def __getitem__(self, word: str) -> type[Op]:
        found = REGISTRY.by_word.get(word)
        if found is None:
            _import(self._files[word])
            found = REGISTRY.by_word[word]
        return found

    def __contains__(self, word: object) -> bool:
        return word in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


_WORDS = _Words()


def op_words() -> Mapping[str, type[Op]]:
    """Every layer word, aliases included."""
    return _WORDS


def all_ops() -> tuple[type[Op], ...]:
    """Every op, file by file, in the order of each file."""
    modules = [_import(file) for file in FILES]
    return tuple(op for module in modules for op in REGISTRY.ops if op.__module__ == module)


def _import(file: str) -> str:
    """Import one file of layers; the name of its module."""
    return import_module(f"cnnc.compiler.ops.{file}").__name__
