"""nasnet_a_mobile: 5,271,939 parameters, 563,638,816 multiply-adds for each image.

in   input: 3x224x224
out  output: 1000

Written by cnnc 0.1.0, inference form.
"""

import copy
import ctypes
import pathlib
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None


# helper takes_kernels


# helper Fused


# helper Tiles


# helper cudnn_has_sums


# helper empty_rows


# helper milliseconds


# helper fastest


# helper activate


# helper finish_kernel


# helper finish


# helper InGraph


# helper in_graph


# helper pixel_step


# helper in_rows


# helper seconds


# helper least_seconds


# helper power_of_2


# helper product_kernel


# helper row_kernel


# helper blocks


# helper scale_kernel


# helper scale_maps


# helper scaled


# helper sides


# helper tile_transforms


# helper tiles_of


# helper narrowed


# helper winograd


# helper FusedConv2d


# helper FusedLinear


# helper SameTF


# helper SameTFAvgPool2d


# helper scale_and_shift


# helper takes_triton


# helper ScaleShift


# helper SeparableConv2d


# helper pool_kernel


# helper SeparableMaxPool2d


# helper UnevenMaxPool2d


# helper by_slices


# helper CudaGraphs


# helper is_close


# helper named


# helper use_huge_pages


# helper OneDnnGraphs


# helper capture


# helper fold_norm


# helper convert


# helper folds


class Sep(nn.Sequential):
    """The block `sep(k, f, s)`."""

    def __init__(
        self,
        in_channels: int,
        k: int,
        f: int,
        s: int = 1,
        padding: int | tuple[int, int, int, int] = 0,
    ) -> None:
        super().__init__()
        self.add_module("0", nn.ReLU())
        self.add_module(
            "1",
            folds(
                SeparableConv2d(in_channels, f, k, stride=s, padding=padding),
                "2",
                eps=0.001,
            ),
        )
        self.add_module("3", nn.ReLU(inplace=True))
        self.add_module(
            "4", folds(SeparableConv2d(f, f, k, padding=k // 2), "5", eps=0.001)
        )


class X4(nn.Module):
    """The bracket `x4`."""

    def __init__(self) -> None:
        super().__init__()
        self.avgpool1 = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x: Tensor, x2: Tensor) -> Tensor:
        return self.avgpool1(x) + x2


class Fit(nn.Module):
    """The block `fit(f, w)`."""

    def __init__(self, in_channels: int, f: int) -> None:
        super().__init__()
        self.relu1 = nn.ReLU()
        self.avgpool1 = nn.AvgPool2d(1, stride=2, count_include_pad=False)
        self.conv1 = FusedConv2d(in_channels, f // 2, 1, bias=False)
        self.pad1 = nn.ZeroPad2d((0, 2, 0, 2))
        self.avgpool2 = nn.AvgPool2d(1, stride=2, count_include_pad=False)
        self.conv2 = FusedConv2d(in_channels, f // 2, 1, bias=False)
        self.bn1 = ScaleShift(2 * (f // 2), eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(x)
        y = self.avgpool1(x)
        x = self.avgpool2(self.pad1(x)[..., 1:-1, 1:-1])
        x = torch.cat([self.conv1(y), self.conv2(x)], 1)
        return self.bn1(x)


class Fit2(nn.Sequential):
    """The block `fit(f, w)`."""

    def __init__(self, in_channels: int, f: int) -> None:
        super().__init__(
            nn.ReLU(),
            folds(FusedConv2d(in_channels, f, 1), "2", eps=0.001),
        )


class X1(nn.Module):
    """The bracket `x1`."""

    def __init__(
        self,
        in_channels: int,
        in_channels2: int,
        f: int,
        padding: int | tuple[int, int, int, int],
        padding2: int | tuple[int, int, int, int],
    ) -> None:
        super().__init__()
        self.sep1 = Sep(in_channels, 5, f, 2, padding=padding)
        self.sep2 = Sep(in_channels2, 7, f, 2, padding=padding2)

    def forward(self, x: Tensor, cell0_bn: Tensor) -> Tensor:
        return self.sep1(x) + self.sep2(cell0_bn)


class X2(nn.Module):
    """The bracket `x2`."""

    def __init__(self, in_channels2: int, f: int) -> None:
        super().__init__()
        self.maxpool1 = SeparableMaxPool2d(3, stride=2, padding=1)
        self.sep1 = Sep(in_channels2, 7, f, 2, padding=3)

    def forward(self, x: Tensor, cell0_bn: Tensor) -> Tensor:
        return self.maxpool1(x) + self.sep1(cell0_bn)


class X22(nn.Module):
    """The bracket `x2`."""

    def __init__(self, in_channels2: int, f: int) -> None:
        super().__init__()
        self.maxpool1 = UnevenMaxPool2d(3, stride=2, padding=(0, 1, 0, 1))
        self.sep1 = Sep(in_channels2, 7, f, 2, padding=(2, 3, 2, 3))

    def forward(self, x: Tensor, x2: Tensor) -> Tensor:
        return self.maxpool1(x) + self.sep1(x2)


class X3(nn.Module):
    """The bracket `x3`."""

    def __init__(
        self, in_channels2: int, f: int, padding: int | tuple[int, int, int, int]
    ) -> None:
        super().__init__()
        self.avgpool1 = SameTFAvgPool2d(3, stride=2, count_include_pad=False)
        self.sep1 = Sep(in_channels2, 5, f, 2, padding=padding)

    def forward(self, x: Tensor, cell0_bn: Tensor) -> Tensor:
        return self.avgpool1(x) + self.sep1(cell0_bn)


class X5(nn.Module):
    """The bracket `x5`."""

    def __init__(self, in_channels: int, f: int) -> None:
        super().__init__()
        self.sep1 = Sep(in_channels, 3, f, padding=1)
        self.maxpool1 = SeparableMaxPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor, x2: Tensor) -> Tensor:
        return self.sep1(x) + self.maxpool1(x2)


class X52(nn.Module):
    """The bracket `x5`."""

    def __init__(self, in_channels: int, f: int) -> None:
        super().__init__()
        self.sep1 = Sep(in_channels, 3, f, padding=1)
        self.maxpool1 = UnevenMaxPool2d(3, stride=2, padding=(0, 1, 0, 1))

    def forward(self, x: Tensor, x2: Tensor) -> Tensor:
        return self.sep1(x) + self.maxpool1(x2)


class Normal(nn.Module):
    """The block `normal(f, before)`."""

    def __init__(self, in_channels: int, in_channels2: int, f: int) -> None:
        super().__init__()
        self.p = Fit(in_channels2, f)
        self.h = nn.Sequential(
            nn.ReLU(),
            folds(FusedConv2d(in_channels, f, 1), "2", eps=0.001),
        )
        self.sep1 = Sep(f, 5, f, padding=2)
        self.sep2 = Sep(2 * (f // 2), 3, f, padding=1)
        self.sep3 = Sep(2 * (f // 2), 5, f, padding=2)
        self.sep4 = Sep(2 * (f // 2), 3, f, padding=1)
        self.avgpool1 = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.avgpool2 = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.avgpool3 = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.sep5 = Sep(f, 3, f, padding=1)

    def forward(self, x: Tensor, x2: Tensor) -> Tensor:
        p = self.p(x2)
        h = self.h(x)
        return torch.cat(
            [
                p,
                self.sep1(h) + self.sep2(p),
                self.sep3(p) + self.sep4(p),
                self.avgpool1(h) + p,
                self.avgpool2(p) + self.avgpool3(p),
                self.sep5(h) + h,
            ],
            1,
        )


class Normal2(nn.Module):
    """The block `normal(f, before)`."""

    def __init__(self, in_channels: int, in_channels2: int, f: int) -> None:
        super().__init__()
        self.p = Fit2(in_channels2, f)
        self.h = nn.Sequential(
            nn.ReLU(),
            folds(FusedConv2d(in_channels, f, 1), "2", eps=0.001),
        )
        self.sep1 = Sep(f, 5, f, padding=2)
        self.sep2 = Sep(f, 3, f, padding=1)
        self.sep3 = Sep(f, 5, f, padding=2)
        self.sep4 = Sep(f, 3, f, padding=1)
        self.avgpool1 = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.avgpool2 = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.avgpool3 = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.sep5 = Sep(f, 3, f, padding=1)

    def forward(self, x: Tensor, x2: Tensor) -> Tensor:
        p = self.p(x2)
        h = self.h(x)
        return torch.cat(
            [
                p,
                self.sep1(h) + self.sep2(p),
                self.sep3(p) + self.sep4(p),
                self.avgpool1(h) + p,
                self.avgpool2(p) + self.avgpool3(p),
                self.sep5(h) + h,
            ],
            1,
        )


class Reduction(nn.Module):
    """The block `reduction(f, before, g)`."""

    def __init__(self, in_channels: int, f: int) -> None:
        super().__init__()
        self.h = nn.Sequential(
            nn.ReLU(),
            folds(FusedConv2d(in_channels, f, 1), "2", eps=0.001),
        )
        self.x1 = X1(f, in_channels, f, padding=2, padding2=3)
        self.x2 = X2(in_channels, f)
        self.x3 = X3(in_channels, f, padding=2)
        self.x4 = X4()
        self.x5 = X5(f, f)

    def forward(self, x: Tensor) -> Tensor:
        h = self.h(x)
        x1 = self.x1(h, x)
        x2 = self.x2(h, x)
        return torch.cat([x2, self.x3(h, x), self.x4(x1, x2), self.x5(x1, h)], 1)


class Reduction2(nn.Module):
    """The block `reduction(f, before, g)`."""

    def __init__(self, in_channels: int, in_channels2: int, f: int, g: int) -> None:
        super().__init__()
        self.p = Fit(in_channels2, g)
        self.h = nn.Sequential(
            nn.ReLU(),
            folds(FusedConv2d(in_channels, f, 1), "2", eps=0.001),
        )
        self.x1 = X1(f, 2 * (g // 2), f, padding=(1, 2, 1, 2), padding2=(2, 3, 2, 3))
        self.x2 = X22(2 * (g // 2), f)
        self.x3 = X3(2 * (g // 2), f, padding=(1, 2, 1, 2))
        self.x4 = X4()
        self.x5 = X52(f, f)

    def forward(self, x: Tensor, cell0_bn: Tensor) -> Tensor:
        p = self.p(cell0_bn)
        h = self.h(x)
        x1 = self.x1(h, p)
        x2 = self.x2(h, p)
        return torch.cat([x2, self.x3(h, p), self.x4(x1, x2), self.x5(x1, h)], 1)


class Reduction3(nn.Module):
    """The block `reduction(f, before, g)`."""

    def __init__(self, in_channels: int, in_channels2: int, f: int, g: int) -> None:
        super().__init__()
        self.p = Fit2(in_channels2, g)
        self.h = nn.Sequential(
            nn.ReLU(),
            folds(FusedConv2d(in_channels, f, 1), "2", eps=0.001),
        )
        self.x1 = X1(f, g, f, padding=(1, 2, 1, 2), padding2=(2, 3, 2, 3))
        self.x2 = X22(g, f)
        self.x3 = X3(g, f, padding=(1, 2, 1, 2))
        self.x4 = X4()
        self.x5 = X52(f, f)

    def forward(self, x: Tensor, x2: Tensor) -> Tensor:
        p = self.p(x2)
        h = self.h(x)
        x1 = self.x1(h, p)
        x = self.x2(h, p)
        return torch.cat([x, self.x3(h, p), self.x4(x1, x), self.x5(x1, h)], 1)


class NasnetAMobile(nn.Module):
    """`nasnet_a_mobile`: 3x224x224 to 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.cell0 = folds(FusedConv2d(3, 32, 3, stride=2), "cell0_bn", eps=0.001)
        self.cell1 = Reduction(32, 11)
        self.cell2 = Reduction2(44, 32, 22, 22)
        self.cell3 = Normal(88, 44, 44)
        self.cell4 = Normal2(264, 88, 44)
        self.cell5 = Normal2(264, 264, 44)
        self.cell6 = Normal2(264, 264, 44)
        self.cell7 = Reduction3(264, 264, 88, 88)
        self.cell8 = Normal(352, 264, 88)
        self.cell9 = Normal2(528, 352, 88)
        self.cell10 = Normal2(528, 528, 88)
        self.cell11 = Normal2(528, 528, 88)
        self.cell12 = Reduction3(528, 528, 176, 176)
        self.cell13 = Normal(704, 528, 176)
        self.cell14 = Normal2(1056, 704, 176)
        self.cell15 = Normal2(1056, 1056, 176)
        self.cell16 = Normal2(1056, 1056, 176)
        self.relu1 = nn.ReLU(inplace=True)
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.fc = FusedLinear(1056, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.gap1(by_slices(self.maps, x, 4)), 1)  # 1056
        return self.fc(x)  # 1000

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # 3x224x224
        cell0_bn = self.cell0(x)  # 32x111x111
        cell1 = self.cell1(cell0_bn)  # 44x56x56
        cell2 = self.cell2(cell1, cell0_bn)  # 88x28x28
        cell3 = self.cell3(cell2, cell1)  # 264x28x28
        cell4 = self.cell4(cell3, cell2)
        cell5 = self.cell5(cell4, cell3)
        cell6 = self.cell6(cell5, cell4)
        cell7 = self.cell7(cell6, cell5)  # 352x14x14
        cell8 = self.cell8(cell7, cell6)  # 528x14x14
        cell9 = self.cell9(cell8, cell7)
        cell10 = self.cell10(cell9, cell8)
        cell11 = self.cell11(cell10, cell9)
        cell12 = self.cell12(cell11, cell10)  # 704x7x7
        cell13 = self.cell13(cell12, cell11)  # 1056x7x7
        cell14 = self.cell14(cell13, cell12)
        return self.relu1(self.cell16(self.cell15(cell14, cell13), cell14))


if __name__ == "__main__":
    model = NasnetAMobile().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
