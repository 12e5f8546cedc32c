"""The dry torch as modules, and a file that was written for PyTorch run with it."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import cnnc.backends.pytorch.dry.creation
import cnnc.backends.pytorch.dry.layers
import cnnc.backends.pytorch.dry.pools
import cnnc.backends.pytorch.dry.products
import cnnc.backends.pytorch.dry.recurrent
import cnnc.backends.pytorch.dry.reduce  # noqa: F401  (each registers its functions)
from cnnc.backends.pytorch.dry import tensor as tensors
from cnnc.backends.pytorch.dry.autograd import grad_mode
from cnnc.backends.pytorch.dry.checkpointing import checkpoint
from cnnc.backends.pytorch.dry.ledger import STATE
from cnnc.backends.pytorch.dry.modules import NN
from cnnc.backends.pytorch.dry.parametrized import spectral_norm, weight_norm
from cnnc.backends.pytorch.dry.register import FUNCTIONAL, TORCH
from cnnc.dsl.diagnostics import fail

STANDARD = frozenset({
    "__future__", "collections", "collections.abc", "contextlib", "copy", "dataclasses", "enum", "fractions", "functools",
    "itertools", "math", "numbers", "operator", "typing", "warnings",
})  # fmt: skip
"""What a written file may import from Python itself."""
OPTIONAL = frozenset({"triton"})
"""What it does without where it is missing, as it is here."""


class Namespace:
    """A module of the dry torch. What it lacks is an error that names it."""

    def __init__(self, name: str, found: Mapping[str, Any]) -> None:
        self.__dict__["__name__"] = name
        self.__dict__.update(found)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise fail(
            "E803", f"the memory of `{self.__dict__['__name__']}.{name}` is not known",
            hint="a layer of this network calls it; please report it",
        )  # fmt: skip


class _Guard:
    """`torch.no_grad` and its kin: called, then entered, or put before a function."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, f: Any = None) -> Any:
        if callable(f):

            def run(*args: Any, **kwargs: Any) -> Any:
                with grad_mode(self.on):
                    return f(*args, **kwargs)

            return run
        return grad_mode(self.on)


class _Device(str):
    """`torch.device`."""

    __slots__ = ()


def _initialisers() -> Namespace:
    names = "kaiming_normal_ kaiming_uniform_ xavier_uniform_ xavier_normal_ normal_ trunc_normal_ uniform_ constant_ zeros_ ones_ orthogonal_ dirac_ eye_"
    return Namespace("nn.init", {name: lambda tensor, *args, **kwargs: tensor for name in names.split()})


def _parametrizations() -> Namespace:
    found = {"weight_norm": weight_norm, "spectral_norm": spectral_norm}
    return Namespace("nn.utils.parametrizations", found)


def dry_torch() -> dict[str, Any]:
    """The modules of the dry torch by name."""
    functional = Namespace("F", FUNCTIONAL)
    utils = Namespace("nn.utils", {"parametrizations": _parametrizations()})
    nn = Namespace("nn", {**NN, "functional": functional, "init": _initialisers(), "utils": utils})
    again = Namespace("torch.utils.checkpoint", {"checkpoint": checkpoint})
    dtypes = {d.name: d for d in vars(tensors).values() if isinstance(d, tensors.DType)}
    top = Namespace("torch", {
        **TORCH, **dtypes, "long": tensors.int64, "float": tensors.float32, "half": tensors.float16,
        "Tensor": tensors.Tensor, "Size": tensors.Size, "nn": nn, "device": _Device, "dtype": tensors.DType,
        "no_grad": _Guard(False), "enable_grad": _Guard(True), "set_grad_enabled": grad_mode,
        "inference_mode": _Guard(False), "is_grad_enabled": lambda: STATE.grad,
        "is_autocast_enabled": lambda *args: STATE.amp is not None,
        "compiler": Namespace("torch.compiler", {"is_compiling": lambda: False}),
        "autocast": lambda *args, **kwargs: nullcontext(), "channels_last": "channels_last",
        "contiguous_format": "contiguous_format",
        "utils": Namespace("torch.utils", {"checkpoint": again}), "inf": float("inf"), "pi": 3.141592653589793,
        "jit": Namespace("torch.jit", {"ignore": lambda f: f, "is_scripting": lambda: False}),
        "linalg": Namespace("torch.linalg", {"vector_norm": TORCH["vector_norm"]}),
    })  # fmt: skip
    return {
        "torch": top, "torch.nn": nn, "torch.nn.functional": functional, "torch.nn.init": nn.init,
        "torch.utils": top.utils, "torch.utils.checkpoint": again, "torch.nn.utils": utils,
        "torch.nn.utils.parametrizations": utils.parametrizations,
    }  # fmt: skip


def executed(source: Any, others: Mapping[str, Any]) -> dict[str, Any]:
    """The names that a written file defines, run (its code compiled) with the dry torch.

    `others` are the modules of externs, by name. Nothing else can be imported.
    """
    found = {**dry_torch(), **others}

    def imported(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        if name in found:
            return found[name] if fromlist or "." not in name else found[name.partition(".")[0]]
        if name in STANDARD:
            return importlib.import_module(name) if fromlist else builtins.__import__(name)
        if name.partition(".")[0] in OPTIONAL:
            raise ImportError(name)
        raise fail("E803", f"a written file imports `{name}`, whose memory is not known")

    names: dict[str, Any] = {
        "__name__": "cnnc_dry",
        "__builtins__": {**vars(builtins), "__import__": imported},
    }
    exec(source, names)
    return names
