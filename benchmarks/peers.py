"""torchvision's models, imported without its compiled operators, for measurements and tests.

Its classification networks need none of them, but importing the package describes
two of them to torch's compiler, which fails where the wheel's operators do not fit the
torch that is installed (a CPU build of torch beside the wheel from PyPI, for
instance). Their names are then registered first, without any kernel.
"""

from __future__ import annotations

from typing import Any

_LIBRARIES: list[object] = []
"""Kept alive: torch forgets what a library registered when it is collected."""


def torchvision_models() -> Any:
    """`torchvision.models`. Raises ModuleNotFoundError where torchvision is not installed."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)
    from torchvision import models

    return models
