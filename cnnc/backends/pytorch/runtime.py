"""The live module: the generated source, executed. The one part of the compiler that needs torch."""

from __future__ import annotations

import hashlib
import linecache
import sys
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from cnnc.backends.pytorch.class_names import model_name
from cnnc.backends.pytorch.form import PLAIN, Form
from cnnc.backends.pytorch.weights import with_axis
from cnnc.backends.pytorch.write import to_pytorch
from cnnc.compiler.graph import Graph
from cnnc.dsl.diagnostics import fail

if TYPE_CHECKING:
    import torch


def module(
    graph: Graph, form: Form = PLAIN, state: Mapping[str, torch.Tensor] | None = None
) -> torch.nn.Module:
    """An instance of the model's class in a form, with fresh weights or those of the plain form's `state`.

    The classes live in a module of `sys.modules` named after the source, so that
    tracebacks show it and instances can be pickled within the process.
    Raises CnncError (E802) where torch is not installed, (E801) where PyTorch or the form cannot
    express the graph, KeyError or RuntimeError where `state` is not the plain form's.
    """
    loaded = _loaded(to_pytorch(graph, form))
    built = cast("torch.nn.Module", getattr(loaded, model_name(graph))())
    if state is not None:
        shaped = {key: tensor.reshape(with_axis(key, tuple(tensor.shape))) for key, tensor in state.items()}
        form.load(loaded, built, shaped)
    return built.train(form.trains)


def _loaded(source: str) -> types.ModuleType:
    """The source, executed once in a process."""
    try:
        import torch  # noqa: F401
    except ImportError:
        hint = "pip install torch"
        raise fail("E802", "running a module needs torch, which is not installed", hint=hint) from None
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    name = f"cnnc_compiled_{digest}"
    loaded = sys.modules.get(name)
    if loaded is None:
        loaded = types.ModuleType(name)
        filename = f"<cnnc {digest}>"
        loaded.__file__ = filename
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        try:
            exec(compile(source, filename, "exec"), loaded.__dict__)
        except ImportError as error:  # a class that an `extern` names
            missing = f"the module of an `extern` cannot be imported: {error}"
            hint = "install its package, or run where Python finds it (PYTHONPATH)"
            raise fail("E802", missing, hint=hint) from None
        sys.modules[name] = loaded
    return loaded
