"""Activations, norms, regularisers and layers along the channels that PyTorch lacks."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Maxout(nn.Module):
    """The largest of each `pieces` neighbouring channels (Goodfellow et al. 2013)."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.pieces)).amax(2)


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map, at each position."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ChannelLinear(nn.Linear):
    """A linear layer along the channels of a map, at each position."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class WithinMapNorm(nn.Module):
    """x / (k + alpha * mean of squares over a window of the same map)^beta.

    Zeiler and Fergus 2014, section 3; the window of `size` positions an axis is
    centred, and positions beyond the border count as 0.
    """

    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        rank = x.dim() - 2
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
        energy = pool(F.pad(x.square(), (self.size // 2,) * 2 * rank), self.size, 1)
        return x / (self.k + self.alpha * energy) ** self.beta


class ChannelScale(nn.Module):
    """x * weight, and + bias, for each channel (layer scale, Touvron et al. 2021)."""

    def __init__(self, channels: int, start: float = 1.0, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), start))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.dim() - 2)
        y = x * self.weight.view(shape)
        return y if self.bias is None else y + self.bias.view(shape)


class StochasticDepth(nn.Module):
    """Drops an image's values with probability `p` in training (Huang et al. 2016)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        keep = x.new_empty((x.shape[0],) + (1,) * (x.dim() - 1)).bernoulli_(1 - self.p)
        return x * keep / (1 - self.p)


class DropConnectLinear(nn.Linear):
    """Drops each weight and bias with probability `p` in training (Wan et al. 2013).

    One mask is drawn for a batch; what stays is divided by 1 - p.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        p: float,
        bias: bool = True,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        weight = F.dropout(self.weight, self.p, self.training)
        if self.bias is None:
            return F.linear(x, weight)
        return F.linear(x, weight, F.dropout(self.bias, self.p, self.training))


class RBF(nn.Module):
    """y_i = sum_j (x_j - w_ij)^2, the output of LeNet-5 (LeCun et al. 1998, eq. 7).

    The codes are +1 and -1 at random until others are loaded.
    """

    weight: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        trainable: bool = False,
    ) -> None:
        super().__init__()
        codes = torch.randint(2, (out_features, in_features)) * 2.0 - 1.0
        if trainable:
            self.weight = nn.Parameter(codes)
        else:
            self.register_buffer("weight", codes)

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(1) - self.weight).square().sum(2)


def initialised(module: nn.Module, **rules: tuple[str | float, ...]) -> nn.Module:
    """`module`, started by torch.nn.init: `weight=("normal_", 0.0, 0.01)`.

    He's and Glorot's rules depend on how many values one output sums: within one group,
    and for a transposed convolution over its inputs, of which a stride skips some.
    """
    for name, (rule, *numbers) in rules.items():
        tensor = module.get_parameter(name).detach()
        owner: Any = module.get_submodule(name.rpartition(".")[0])
        start = getattr(nn.init, str(rule))
        has_fan = str(rule).startswith(("kaiming", "xavier"))
        if not has_fan or not hasattr(owner, "groups"):
            start(tensor, *numbers)
            continue
        for part in tensor.chunk(owner.groups):
            start(part.transpose(0, 1) if owner.transposed else part, *numbers)
        if owner.transposed and "kaiming" in str(rule) and "fan_out" not in numbers:
            tensor.mul_(math.prod(owner.stride) ** 0.5)
    return module


def reparametrised(module: nn.Module, rule: Any, *parts: str) -> nn.Module:
    """A module of several layers, the weights of each made of others by `rule`."""
    for name in parts:
        rule(module.get_submodule(name))
    return module
