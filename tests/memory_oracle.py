"""The peak memory of a written module as torch's own MemTracker counts it, on fake tensors."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from cnnc.backends.pytorch.runtime import _loaded

OPTIMISERS: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "sgd-momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, 0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 0.1),
}


def tracked_peak(
    source: str, name: str, shapes: Sequence[tuple[int, ...]], batch: int, optimiser: str | None, *,
    dtype: torch.dtype = torch.float32, amp: torch.dtype | None = None, fake: bool = True,
) -> int:  # fmt: skip
    """Bytes at the peak of a forward pass (`optimiser` None), or of a step of training after a first one."""
    loaded = _loaded(source)
    mode: Any = FakeTensorMode(allow_non_fake_inputs=False) if fake else _Nothing()
    with mode:
        torch.set_default_dtype(dtype)
        try:
            model = getattr(loaded, name)()
        finally:
            torch.set_default_dtype(torch.float32)
        inputs = [torch.empty(batch, *shape, dtype=dtype) for shape in shapes]
        optim = OPTIMISERS[optimiser](model.parameters()) if optimiser else None
        if optim is not None:
            for p in model.parameters():
                p.grad = torch.zeros_like(p)
            optim.step()
            optim.zero_grad(set_to_none=True)
        gc.collect()
        tracker = MemTracker()
        tracker.track_external(model, *inputs)
        if optim is not None and optim.state:
            tracker.track_external(optim)
        with tracker:
            if optim is None:
                model.eval()
                with torch.no_grad(), _autocast(amp):
                    outputs = model(*inputs)
            else:
                model.train()
                with _autocast(amp):
                    outputs = model(*inputs)
                outputs = [
                    o for o in (outputs if isinstance(outputs, tuple) else (outputs,)) if o.requires_grad
                ]
                gradients = [torch.ones_like(o) for o in outputs]
                torch.autograd.backward(outputs, gradients)
                del outputs, gradients
                optim.step()
        return int(tracker._peak_mem[torch.device("cpu")])


class _Nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...


def _autocast(amp: torch.dtype | None) -> Any:
    return torch.autocast("cpu", amp) if amp is not None else _Nothing()
