"""One emitter for every op, one file a family; importing this registers them all."""

from cnnc.backends.pytorch.emitters import (  # noqa: F401  (each registers its emitters)
    activation,
    again,
    arithmetic,
    attention,
    bias,
    capsule,
    convolution,
    extern,
    inference,
    linear,
    merge,
    normalisation,
    pooling,
    recurrent,
    reduction,
    regularisation,
    reshape,
    resize,
    sampling,
    tensor,
)
