"""`Plan`: what `net.plan(…)` and `cnnc plan` say of a network."""

from __future__ import annotations

from typing import Any

from cnnc.backends.planning.memory_text import FORMAT, memory_json, memory_text
from cnnc.backends.pytorch.memory import MemoryPlan
from cnnc.dsl.record import record


@record
class Plan:
    """The memory of a network."""

    memory: MemoryPlan

    def text(self, *, width: int = 60) -> str:
        """What `cnnc plan` prints; `width` is that of the picture, in characters."""
        return memory_text(self.memory, width)

    def to_dict(self) -> dict[str, Any]:
        """The record of `cnnc plan --json`."""
        return {"format": FORMAT, **memory_json(self.memory)}

    def __str__(self) -> str:
        return self.text()
