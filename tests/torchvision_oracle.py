"""torchvision's models for tests, and weights under which outputs can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from benchmarks import peers

torch = pytest.importorskip("torch")


def torchvision_models() -> ModuleType:
    """`torchvision.models`; skips the test where torchvision is not installed."""
    try:
        models: ModuleType = peers.torchvision_models()
    except ModuleNotFoundError as error:
        pytest.skip(f"torchvision is not installed: {error}", allow_module_level=True)
    return models


@contextmanager
def regnets_on_meta() -> Iterator[None]:
    """RegNets work out their widths with tensors, which the meta device has no values of: on the CPU, then."""
    from torchvision.models.regnet import BlockParams

    original = BlockParams.__dict__["from_init_params"]

    def on_cpu(cls: type, *args: Any, **options: Any) -> Any:
        with torch.device("cpu"):
            return original.__func__(cls, *args, **options)

    BlockParams.from_init_params = classmethod(on_cpu)
    try:
        yield
    finally:
        BlockParams.from_init_params = original


def give_spread(model: Any) -> None:
    """Weights under which signals keep their size, and statistics that differ from their first values."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, torch.nn.LayerNorm):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
        elif hasattr(module, "layer_scale"):
            torch.nn.init.uniform_(module.layer_scale, -0.5, 0.5)  # near 0 at first
        elif isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
