"""Steps of training on a GPU, in a process of their own: what they hold, what is taken for it, and in which order.

    python tests/gpu_memory.py resnet50 128 --amp --checkpoint --limit 8589934592 --events

prints a record. The images are in float32 with their channels innermost; with `--limit` the process may take so many bytes.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

import cnnc

STEPS = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("batch", type=int)
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--checkpoint", action="store_true")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--events", action="store_true")
    options = parser.parse_args()
    if options.limit is not None:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(options.limit / total)
    if options.events:
        torch.cuda.memory._record_memory_history("all", context=None, max_entries=1_000_000)
    record: dict[str, Any] = {"fits": True, "peak": 0}
    try:
        for peak in _steps(options):
            record["peak"] = max(record["peak"], peak)
    except torch.OutOfMemoryError:
        record["fits"] = False
    record["reserved"] = torch.cuda.max_memory_reserved()
    if options.events:
        (traced,) = torch.cuda.memory._snapshot()["device_traces"]
        kinds = {"alloc": "alloc", "free_completed": "free"}
        record["events"] = [
            (kinds[event["action"]], event["addr"], event["size"])
            for event in traced
            if event["action"] in kinds
        ]
    print(json.dumps(record))


def _steps(options: argparse.Namespace) -> Any:
    """The most bytes held in each step."""
    net = cnnc.load(f"zoo:{options.name}")
    last = torch.channels_last
    model = (
        net.module(optimize="checkpoint" if options.checkpoint else None)
        .cuda()
        .to(memory_format=last)
        .train()
    )
    optimiser = torch.optim.SGD(model.parameters(), 1e-4)
    (shape,) = net.inputs.values()
    for _ in range(STEPS):
        torch.cuda.reset_peak_memory_stats()
        x = torch.randn(options.batch, *shape, device="cuda").contiguous(memory_format=last)
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=options.amp):
            output = model(x)
        output.backward(torch.ones_like(output))
        del output
        optimiser.step()
        torch.cuda.synchronize()
        yield torch.cuda.max_memory_allocated()
        del x


if __name__ == "__main__":
    main()
