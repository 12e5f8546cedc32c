"""PyTorch modules, `.pt2` and `.onnx` files to specs."""
