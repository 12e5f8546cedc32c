"""A live module as an extern: its class made again from its attributes, and compared."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch

from cnnc.importer.outside import Outside
from cnnc.importer.refusal import Refusal
from cnnc.importer.torch_trace import counted_macs, trace
from cnnc.importer.traced import Shape, Traced


def described(live: Any, path: str, before: Shape, shape: Shape) -> Outside:
    """The module at a path as an extern: its class, made again, must have the same tensors and run the same operators."""
    module: torch.nn.Module = live.get_submodule(path)
    kind = type(module)
    if (
        getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind
        or kind.__module__ == "__main__"
    ):
        raise Refusal(f"its class `{kind.__qualname__}` cannot be imported by name")
    given = _constructor(module)
    with torch.device("meta"):
        try:
            again = kind(**given)
        except Exception as error:
            raise Refusal(f"`{kind.__name__}` cannot be made again: {error}"[:160]) from None
    if _tensors(again) != _tensors(module):
        raise Refusal(f"`{kind.__name__}` made again from its attributes has other tensors")
    try:
        ran = [trace(m.eval(), [before[1:]], "extern") for m in (again, _on_meta(module))]
    except Exception as error:
        raise Refusal(f"`{kind.__name__}` cannot be run alone: {error}"[:160]) from None
    if any(not held.kept for traced in ran for held in traced.held.values()):
        raise Refusal(f"`{kind.__name__}` has constants that its state dict lacks, which cannot be compared")
    if _operators(ran[0]) != _operators(ran[1]):
        raise Refusal(f"`{kind.__name__}` made again from its attributes computes something else")
    params = sum(p.numel() for p in module.parameters())
    return Outside(
        path,
        f"{kind.__module__}:{kind.__name__}",
        tuple(given.items()),
        shape[1:],
        params,
        counted_macs(again, before),
    )


def _constructor(module: torch.nn.Module) -> dict[str, Any]:
    """What its constructor was given, read off its attributes of the same names. Raises Refusal."""
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(module)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name in ("device", "dtype"):
            continue
        usual = parameter.default
        value = getattr(module, name, usual)
        if name == "bias" and isinstance(usual, bool):
            value = value is not None and value is not False
        value = tuple(value) if isinstance(value, list) else value
        if value is usual or (type(value) is type(usual) and value == usual):
            if value is parameter.empty:
                raise Refusal(f"it does not keep its argument `{name}`")
            continue
        if (isinstance(value, tuple) and all(isinstance(n, int) for n in value)) or isinstance(
            value, bool | int | float | str
        ):
            found[name] = value
        elif usual is parameter.empty or hasattr(module, name):
            raise Refusal(f"its argument `{name}` is no number, text or tuple of integers")
    return found


def _on_meta(module: torch.nn.Module) -> torch.nn.Module:
    return deepcopy(module).to("meta")


def _tensors(module: torch.nn.Module) -> Mapping[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


def _operators(traced: Traced) -> list[Any]:
    return [(step.op, step.args, step.shapes, step.in_place) for step in traced.steps]
