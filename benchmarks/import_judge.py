"""Checks of an import beyond its own: outputs, under weights and statistics that keep signals alive."""

from __future__ import annotations

from typing import Any

import torch

import cnnc
from cnnc.importer.importing import Imported


def enliven(module: Any, seed: int = 0) -> None:
    """Random weights and statistics, none of them a default, under which no signal dies."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Any, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for key, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if key.endswith("running_var") or (key.endswith("weight") and tensor.dim() == 1):
                uniform(tensor, 0.5, 1.5)
            elif tensor.dim() > 1:
                bound = (3 / max(tensor[0].numel(), 1)) ** 0.5 * 1.4
                uniform(tensor, -bound, bound)
            else:
                uniform(tensor, -0.2, 0.2)


def difference(
    module: Any, found: Imported, shapes: tuple[tuple[int, ...], ...], batch: int = 2, text: str = ""
) -> float:
    """The largest difference between the outputs of a module in evaluation and its spec's, by their size.

    The spec is the flat one, or a `text` with its names.

    In double precision where single leaves a doubt, since signals that grow let rounding grow too. Weights load
    strictly, under the map's names. The module must be on the CPU.
    """
    net = cnnc.parse(text or found.text)
    net.check()
    enliven(module.eval())
    state = {found.names.get(k, k): t for k, t in module.state_dict().items() if k not in found.unused}
    ours: Any = net.module(state=state).eval()
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.rand(batch, *shape, generator=generator) * 2 - 1 for shape in shapes]
    worst = _apart(module, ours, inputs)
    if worst > 1e-6:
        worst = _apart(module.double(), ours.double(), [x.double() for x in inputs])
    return worst


def _apart(module: Any, ours: Any, inputs: list[Any]) -> float:
    with torch.no_grad():
        wanted, made = _list(module(*inputs)), _list(ours(*inputs))
    worst = 0.0
    for one, two in zip(wanted, made, strict=False):  # auxiliary heads are the spec's alone in evaluation
        assert one.shape == two.shape, f"{tuple(one.shape)} in the module, {tuple(two.shape)} in the spec"
        assert float(one.std()) > 1e-6, "the signal has died"
        worst = max(worst, float((one - two).abs().max()) / float(one.abs().max()))
    return worst


def _list(output: Any) -> list[Any]:
    if isinstance(output, dict):
        return list(output.values())
    return [output] if torch.is_tensor(output) else list(output)
