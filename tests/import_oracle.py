"""What an import is held to: keys, shapes, parameters, MACs, and outputs under weights that keep signals alive."""

from __future__ import annotations

from typing import Any

import pytest

import cnnc
from cnnc.importer.importing import Imported, flat_spec

torch = pytest.importorskip("torch")


def imported(module: Any, *shapes: tuple[int, ...], heads: bool = True) -> Imported:
    from cnnc.importer.torch_trace import trace, trace_with_heads

    return flat_spec((trace_with_heads if heads else trace)(module, shapes, "net"))


def enliven(module: Any, seed: int = 0) -> None:
    """Random weights and statistics, none of them a default, under which no signal dies."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Any, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for key, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if key.endswith(("running_var", "gain")) or (key.endswith("weight") and tensor.dim() == 1):
                uniform(tensor, 0.5, 1.5)
            elif tensor.dim() > 1:
                bound = (3 / tensor[0].numel()) ** 0.5 * 1.4
                uniform(tensor, -bound, bound)
            else:
                uniform(tensor, -0.2, 0.2)


def hold(module: Any, *shapes: tuple[int, ...], within: float = 1e-5) -> Imported:
    """Import a module on the CPU and compare what both compute. The spec holds its own claims."""
    module = module.eval()
    enliven(module)
    found = imported(module, *shapes)
    net = cnnc.parse(found.text)
    net.check()
    state = {
        found.names.get(key, key): tensor
        for key, tensor in module.state_dict().items()
        if key not in found.unused
    }
    ours = net.module()
    ours.load_state_dict(state, strict=True)
    ours.eval()
    inputs = [torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1 for shape in shapes]
    with torch.no_grad():
        a, b = module(*inputs), ours(*inputs)
    a, b = (
        list(x.values()) if isinstance(x, dict) else [x] if torch.is_tensor(x) else list(x) for x in (a, b)
    )
    for one, two in zip(a, b, strict=False):
        assert one.shape == two.shape
        assert float(one.std()) > 1e-4, "the signal has died"
        assert float((one - two).abs().max()) <= within * float(one.abs().max())
    return found
