"""A module from the name of its factory: imports that code and runs it, and says whose mistake a failure is."""

from __future__ import annotations

import ast
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnc.dsl.diagnostics import fail
from cnnc.importer.traced import Shape, Traced

if TYPE_CHECKING:
    import torch


class TheirError(Exception):
    """An exception of the user's own code; `text` is its traceback without our frames."""

    def __init__(self, doing: str, error: BaseException) -> None:
        super().__init__(doing)
        self.doing = doing
        self.error = error
        frames = traceback.extract_tb(error.__traceback__)
        own = str(Path(__file__).parent)
        first = next(
            (
                i
                for i, f in enumerate(frames)
                if not f.filename.startswith(own) and "importlib" not in f.filename
            ),
            0,
        )
        shown = traceback.StackSummary.from_list(frames[first:])
        head = "Traceback (most recent call last):\n" if frames[first:] else ""
        self.text = head + "".join([*shown.format(), *traceback.format_exception_only(error)])


def torch_version() -> str:
    """Of the torch that is installed. Raises CnncError (E802) where none is."""
    try:
        import torch
    except ImportError:
        hint = "pip install torch"
        raise fail("E802", "importing a module needs torch, which is not installed", hint=hint) from None
    return str(torch.__version__).partition("+")[0]


def literal(text: str) -> object:
    """The value of an `--arg`: a literal of Python; a plain word is a text.

    >>> literal("3"), literal("(1, 2)"), literal("True"), literal("relu")
    (3, (1, 2), True, 'relu')
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if text.isidentifier():
            return text
        raise fail(
            "E303", f"`{text}` is no literal", hint="numbers, texts in quotes, True, None, lists and tuples"
        ) from None


def factory(target: str) -> Any:
    """What `package.module:name` names, the working directory importable. Raises CnncError, TheirError."""
    module_name, _, name = target.partition(":")
    if not module_name or not all(
        part.isidentifier() for part in [*module_name.split("."), *name.split(".")]
    ):
        raise fail(
            "E303", f"`{target}` is not package.module:factory", hint="as in torchvision.models:resnet50"
        )
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            hint = "it is searched for in the working directory and on Python's path"
            raise fail("E802", f"there is no Python module `{error.name}`", hint=hint) from None
        raise TheirError(f"importing `{module_name}` failed", error) from None
    except Exception as error:
        raise TheirError(f"importing `{module_name}` failed", error) from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise fail("E203", f"`{module_name}` has no `{name}`")
        found = getattr(found, part)
    return found


def built(target: str, arguments: Mapping[str, object], device: str = "meta") -> torch.nn.Module:
    """The module that a factory makes, on a device. Raises CnncError (E802, E303), TheirError."""
    import torch

    made = factory(target)
    if not isinstance(made, torch.nn.Module):
        if not callable(made):
            raise fail("E303", f"`{target}` is neither a module nor a function that makes one")
        with torch.device(device):
            try:
                made = made(**arguments)
            except Exception as error:
                raise TheirError(f"`{target}` failed", error) from None
    if not isinstance(made, torch.nn.Module):
        raise fail("E303", f"`{target}` gives {type(made).__name__}, not a torch.nn.Module")
    return made


def traced_factory(
    target: str,
    arguments: Mapping[str, object],
    shapes: Sequence[Shape],
    origin: str,
    outputs: int | None = None,
) -> Traced:
    """The trace of what a factory makes: built on meta, which holds no numbers, or where that fails on the CPU.

    With `outputs` in evaluation where that has so many, else in training.
    """
    from cnnc.importer.torch_trace import trace, trace_with_heads, with_values

    name = target.partition(":")[2].rpartition(".")[2]

    def traced(device: str) -> Traced:
        module = built(target, arguments, device)
        if outputs is None:
            return trace_with_heads(module, shapes, name, origin)
        plain = trace(module, shapes, name, origin)
        if len(plain.outputs) == outputs:
            return plain
        return trace(module, shapes, name, origin, training=True)

    try:
        return with_values(traced("meta"), lambda: built(target, arguments, "cpu"))
    except TheirError:
        return traced("cpu")
