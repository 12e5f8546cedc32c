"""torchvision's models, imported without its compiled operators.

Its classification networks need none of them, but importing the package describes
two of them to torch's compiler, which fails where the wheel's operators do not fit the
torch that is installed (a CPU build of torch beside the wheel from PyPI, for
instance). Their names are then registered here first, without any kernel.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

_LIBRARIES = []
"""Kept alive: torch forgets what a library registered when it is collected."""


def torchvision_models() -> ModuleType:
    """`torchvision.models`; skips the test where torchvision is not installed."""
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError as error:
        pytest.skip(f"torchvision is not installed: {error}", allow_module_level=True)
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        _register_operators()
    return pytest.importorskip("torchvision.models")


def _register_operators() -> None:
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARIES.append(library)


def give_spread(model: Any) -> None:
    """Weights under which signals keep their size, and statistics that differ from their first values."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
