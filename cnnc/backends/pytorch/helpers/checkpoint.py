"""Less memory for training, paid for with a second forward of each block."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    """A block whose inner values are computed again in the backward pass, not kept.

    Random numbers are drawn alike both times, and running statistics move once.
    `torch.compile`, which has its own way to choose what it keeps, runs it plainly.
    """

    def __call__(self, *inputs: Any) -> Any:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return super().__call__(*inputs)
        return checkpoint(
            super().__call__,
            *inputs,
            use_reentrant=False,
            preserve_rng_state=True,
            context_fn=lambda: (nullcontext(), self._again(inputs)),
        )

    @contextmanager
    def _again(self, inputs: tuple[Any, ...]) -> Iterator[None]:
        shared = [x for x in inputs if isinstance(x, nn.Module)]
        layers: Any = (
            layer for module in (self, *shared) for layer in module.modules()
        )
        norms = [
            layer for layer in layers if getattr(layer, "track_running_stats", False)
        ]
        kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        try:
            yield
        finally:
            for norm, momentum, count in kept:
                norm.momentum, norm.num_batches_tracked = momentum, count
