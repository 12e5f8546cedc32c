"""Attention on maps with their channels first."""

import torch.nn.functional as F
from torch import Tensor


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int = 1,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """For each position of q a mean of v, weighted by k (Vaswani et al. 2017)."""
    shape = q.shape[2:]
    q, k, v = (x.flatten(2).unflatten(1, (heads, -1)).mT for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, bias, is_causal=causal, scale=scale)
    return y.mT.flatten(1, 2).unflatten(2, shape)
