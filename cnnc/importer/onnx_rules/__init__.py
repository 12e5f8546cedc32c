"""What each operator of ONNX is in PyTorch's operators, which the rules of `rules/` read."""

from cnnc.importer.onnx_rules import convolution, moving, norms, pointwise, pools  # noqa: F401  (each registers its rules)
from cnnc.importer.onnx_rules.steps import RULES

__all__ = ["RULES"]
