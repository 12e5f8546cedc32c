"""The live module: the generated source, executed. The one part of the compiler that needs torch."""

from __future__ import annotations

import hashlib
import linecache
import sys
import types
from typing import TYPE_CHECKING, cast

from cnnc.backends.pytorch.plan import model_name
from cnnc.backends.pytorch.write import to_pytorch
from cnnc.compiler.graph import Graph
from cnnc.dsl.diagnostics import fail

if TYPE_CHECKING:
    import torch


def module(graph: Graph) -> torch.nn.Module:
    """An instance of the model's class with fresh weights.

    The classes live in a module of `sys.modules` named after the source, so that
    tracebacks show it and instances can be pickled within the process.
    Raises CnncError (E802) where torch is not installed.
    """
    return cast("torch.nn.Module", _loaded(to_pytorch(graph), model_name(graph)))


def _loaded(source: str, model: str) -> object:
    try:
        import torch  # noqa: F401
    except ImportError:
        hint = "pip install 'cnnc[torch]'"
        raise fail("E802", "running a module needs torch, which is not installed", hint=hint) from None
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    name = f"cnnc_compiled_{digest}"
    loaded = sys.modules.get(name)
    if loaded is None:
        loaded = types.ModuleType(name)
        filename = f"<cnnc {digest}>"
        loaded.__file__ = filename
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        exec(compile(source, filename, "exec"), loaded.__dict__)
        sys.modules[name] = loaded
    return getattr(loaded, model)()
