"""`Plan`: what `net.plan(…)` and `cnnc plan` say of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnc.backends.planning.calibrate import Calibration
from cnnc.backends.planning.memory_text import FORMAT, memory_json, memory_text
from cnnc.backends.pytorch.memory import MemoryPlan
from cnnc.compiler.roofline import Roofline, by_kind
from cnnc.dsl.record import record


@record
class Plan:
    """The memory of a network; with a card its roofline, and what measured networks say of its time."""

    memory: MemoryPlan
    roofline: Roofline | None = None
    calibration: Calibration | None = None

    def text(self, *, width: int = 60, rows: int | None = 20) -> str:
        """What `cnnc plan` prints: `width` characters of memory over time, `rows` layers of the roofline (None: all)."""
        from cnnc.backends.planning.roofline_text import calibration_text, roofline_text

        parts = [memory_text(self.memory, width)]
        if self.roofline is not None:
            parts.append(roofline_text(self.roofline, rows=rows))
            if self.calibration is not None:
                parts.append(calibration_text(self.calibration, self.roofline))
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The record of `cnnc plan --json`."""
        from cnnc.backends.planning.roofline_text import roofline_json

        out = {"format": FORMAT, **memory_json(self.memory)}
        if self.roofline is not None:
            out["roofline"] = roofline_json(self.roofline)
            if self.calibration is not None:
                found = self.calibration
                out["calibration"] = {
                    "networks": list(found.networks), "device": found.device, "efficiency": dict(found.efficiency),
                    "error": found.error, "worst": found.worst, "seconds": found.seconds(self.roofline),
                }  # fmt: skip
        return out

    def __str__(self) -> str:
        return self.text()


def measured_calibration(specs: Sequence[str], roof: Roofline, device: str) -> Calibration:
    """Time networks on this machine, and fit efficiencies to them. Needs torch.

    Raises CnncError where a network cannot be loaded or run, ValueError for fewer than three.
    """
    from typing import cast

    from cnnc.backends.planning.calibrate import calibrated
    from cnnc.backends.pytorch.runtime_bench import DTypeName, Setting, bench
    from cnnc.compiler.roofline import roofline
    from cnnc.net import load

    floors, times, where = [], [], device
    for spec in specs:
        graph = load(spec).graph
        setting = Setting(
            device=device,
            batch=roof.batch,
            dtype=cast("DTypeName", roof.dtype),
            inference=roof.fused,
            seconds=1.0,
        )
        result = bench(graph, setting)
        where = result.device_name
        times.append(result.timings[0].median)
        floor = roofline(graph, roof.card, batch=roof.batch, dtype=roof.dtype, fused=roof.fused)
        floors.append(by_kind(floor.rows))
    return calibrated(specs, floors, times, where)
