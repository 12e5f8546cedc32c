"""What an import is held to: keys, shapes, parameters, MACs, and outputs under weights that keep signals alive."""

from __future__ import annotations

from typing import Any

import pytest

from cnnc.importer.importing import Imported, flat_spec

torch = pytest.importorskip("torch")


def hold(module: Any, *shapes: tuple[int, ...], within: float = 1e-5) -> Imported:
    """Import a module on the CPU and compare what both compute. The import itself checks keys, shapes and counts."""
    from benchmarks.import_judge import difference
    from cnnc.importer.torch_trace import trace_with_heads

    found = flat_spec(trace_with_heads(module.eval(), shapes, "net"))
    assert difference(module, found, shapes) <= within
    return found
