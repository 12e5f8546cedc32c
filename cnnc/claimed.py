"""What `memory(…)` claims is answered by a backend: who asks for figures imports this."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.compiler.graph import Graph
from cnnc.compiler.queries import provide_memory


def _memory(graph: Graph, asked: Mapping[str, object]) -> int:
    """What `memory(train, batch=32)` claims: the peak in bytes. Raises CnncError, ValueError."""
    from cnnc.backends.pytorch.memory import claimed_peak

    return claimed_peak(graph, asked)


provide_memory(_memory)
