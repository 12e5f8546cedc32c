"""Convolutions with what PyTorch's own lack."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AXES = (1, 2, 3)
"""What is written here for maps of two axes is read for one and three axes too."""


class UnevenConv2d(nn.Conv2d):
    """Convolution padded by side: `padding` as `F.pad` has it, last axis first."""

    def __init__(self, *args: Any, padding: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sides = padding

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.sides))


class UnevenConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution cut by side: `padding` as `F.pad` has it."""

    def __init__(self, *args: Any, padding: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cut = tuple(-n for n in padding)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return F.pad(super().forward(x, output_size), self.cut)


class MaskedConv2d(nn.Conv2d):
    """Convolution over what comes before a position, row by row; mask "b" adds itself.

    van den Oord et al. 2016, PixelRNN. `padding` is ordered as in `F.pad`.
    """

    def __init__(
        self, *args: Any, padding: tuple[int, ...], mask: str, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.sides = padding
        self.seen = math.prod(self.kernel_size) // 2 + (mask == "b")

    def forward(self, x: Tensor) -> Tensor:
        taps = self.weight.flatten(2)
        hidden = taps.shape[2] - self.seen
        weight = F.pad(taps[:, :, : self.seen], (0, hidden)).view_as(self.weight)
        return self._conv_forward(F.pad(x, self.sides), weight, self.bias)


class StandardisedConv2d(nn.Conv2d):
    """Convolution by filters of mean 0 and variance 1 (Qiao et al. 2019).

    With `gain` each is multiplied by `scale` and a learnt gain over the root of the
    number of its values (Brock et al. 2021). `padding` is in the order of `F.pad`,
    last axis first.
    """

    def __init__(
        self,
        *args: Any,
        padding: tuple[int, ...],
        eps: float = 1e-5,
        gain: bool = False,
        scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.sides = padding
        self.eps = eps
        self.scale = scale * self.weight[0].numel() ** -0.5
        shape = (self.out_channels, *[1] * (self.weight.dim() - 1))
        self.gain = nn.Parameter(torch.ones(shape)) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(1, self.weight.dim()))
        var, mean = torch.var_mean(self.weight, axes, correction=0, keepdim=True)
        weight = (self.weight - mean) * torch.rsqrt(var + self.eps)
        if self.gain is not None:
            weight = weight * (self.gain * self.scale)
        return self._conv_forward(F.pad(x, self.sides), weight, self.bias)


class TableConv(nn.Module):
    """Convolution by a table of connections between maps (LeCun et al. 1998, Table I).

    `table` has a row for each input map, a 1 for each output map that sees it; there
    is one filter a connection, in the order of the output maps. `padding` is in the
    order of `F.pad`, last axis first.
    """

    links: Tensor

    def __init__(
        self,
        table: tuple[str, ...],
        kernel_size: tuple[int, ...],
        *,
        padding: tuple[int, ...],
        stride: tuple[int, ...] | int = 1,
        dilation: tuple[int, ...] | int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        width, channels = len(table[0]), len(table)
        sees = [[row[o] == "1" for row in table] for o in range(width)]
        every = [(o, i) for o in range(width) for i in range(channels)]
        pairs = [o * channels + i for o, i in every if sees[o][i]]
        links = torch.tensor(pairs, dtype=torch.long)
        self.register_buffer("links", links, persistent=False)
        self.shape = (width * channels, *kernel_size)
        self.stride, self.dilation, self.sides = stride, dilation, padding
        area = torch.Size(kernel_size).numel()
        # As torch.nn starts its own: uniform within 1/sqrt of the values summed.
        bound = (torch.tensor(sees).sum(1) * area).clamp(min=1).rsqrt()
        start = torch.rand(len(pairs), *kernel_size) * 2 - 1
        spread = bound[links // channels].view(-1, *(1 for _ in kernel_size))
        self.weight = nn.Parameter(start * spread)
        self.bias = nn.Parameter((torch.rand(width) * 2 - 1) * bound) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.new_zeros(self.shape)
        weight = weight.index_copy(0, self.links, self.weight)
        weight = weight.unflatten(0, (-1, x.shape[1]))
        conv = (F.conv1d, F.conv2d, F.conv3d)[x.dim() - 3]
        x = F.pad(x, self.sides)
        return conv(x, weight, self.bias, self.stride, 0, self.dilation)


class LocallyConnected(nn.Module):
    """A convolution with filters and biases of its own at each of `size` positions.

    Taigman et al. 2014, section 3.2. `padding` is in the order of `F.pad`, last axis
    first.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, ...],
        kernel_size: tuple[int, ...],
        *,
        padding: tuple[int, ...],
        stride: tuple[int, ...],
        dilation: tuple[int, ...],
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.kernel_size = size, kernel_size
        self.stride, self.dilation, self.sides = stride, dilation, padding
        filters = out_channels * torch.Size(size).numel()
        bound = (in_channels * torch.Size(kernel_size).numel()) ** -0.5
        start = torch.empty(filters, in_channels, *kernel_size).uniform_(-bound, bound)
        self.weight = nn.Parameter(start)
        self.bias = None
        if bias:
            start = torch.empty(out_channels, *size).uniform_(-bound, bound)
            self.bias = nn.Parameter(start)

    def forward(self, x: Tensor) -> Tensor:
        rank = len(self.size)
        x = F.pad(x, self.sides)
        for axis in range(rank):
            k, d = self.kernel_size[axis], self.dilation[axis]
            x = x.unfold(2 + axis, (k - 1) * d + 1, self.stride[axis])[..., ::d]
        # batch, channel, position, value in the window: one matrix product a position
        x = x.flatten(-rank).flatten(2, -2).permute(2, 1, 3, 0).flatten(1, 2)
        weight = self.weight.unflatten(0, (-1, x.shape[0])).transpose(0, 1).flatten(2)
        y = torch.bmm(weight, x).permute(2, 1, 0).unflatten(2, self.size)
        return y if self.bias is None else y + self.bias
