"""What becomes of torch's operators, a family a file; importing this registers them all."""

from cnnc.importer.rules import (  # noqa: F401
    attention,
    convolution,
    helpers,
    merge,
    norms,
    outside,
    pointwise,
    pools,
    reduction,
    resize,
    tensors,
    views,
)
