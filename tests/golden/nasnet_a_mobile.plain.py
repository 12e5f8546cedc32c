"""nasnet_a_mobile: 5,289,978 parameters, 563,638,816 multiply-adds for each image.

in   input: 3x224x224
out  output: 1000

Written by cnnc 0.1.0.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SameTF(nn.Module):
    """Pads by TensorFlow's rule before the layer it is mixed into.

    ceil(n/s) windows on each axis, the smaller half of the padding before.
    """

    fill = 0.0

    def pad(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        options: Any = (self.kernel_size, self.stride, getattr(self, "dilation", 1))
        for i, n in enumerate(x.shape[2:]):
            k, s, d = (v[i] if isinstance(v, tuple) else v for v in options)
            last = n - (n - 1) // s * s  # what the last window must cover
            total = max((k - 1) * d + 1 - last, 0)
            sides = [total // 2, total - total // 2, *sides]
        return F.pad(x, sides, value=self.fill)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(self.pad(x))
        return y


class SameTFAvgPool2d(SameTF, nn.AvgPool2d):
    """Average-pool padded by TensorFlow's rule."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.count_include_pad:
            return y
        inside: Tensor = super().forward(torch.ones_like(x[:1, :1]))
        return y / inside


class SameTFMaxPool2d(SameTF, nn.MaxPool2d):
    """Max-pool padded by TensorFlow's rule; padding never wins."""

    fill = float("-inf")


class SeparableConv2d(nn.Module):
    """A depthwise convolution, then 1x1 over the channels (Chollet 2017, Xception).

    `padding` is by axis, or with 4 numbers by side in the order of `F.pad`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        multiplier: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        by_side = isinstance(padding, tuple) and len(padding) == 4
        self.sides = padding if by_side else None
        self.depthwise = nn.Conv2d(
            in_channels,
            in_channels * multiplier,
            kernel_size,
            stride=stride,
            padding=0 if by_side else padding,
            dilation=dilation,
            groups=in_channels,
            bias=False,
        )
        self.pointwise = nn.Conv2d(in_channels * multiplier, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        padded = x if self.sides is None else F.pad(x, self.sides)
        y: Tensor = self.pointwise(self.depthwise(padded))
        return y


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
        super().__init__(
            nn.ReLU(),
            SeparableConv2d(in_channels, f, k, stride=s, bias=False, padding=padding),
            nn.BatchNorm2d(f, eps=0.001, momentum=0.0003),
            nn.ReLU(inplace=True),
            SeparableConv2d(f, f, k, bias=False, padding=k // 2),
            nn.BatchNorm2d(f, eps=0.001, momentum=0.0003),
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
        self.conv1 = nn.Conv2d(in_channels, f // 2, 1, bias=False)
        self.pad1 = nn.ZeroPad2d((0, 2, 0, 2))
        self.avgpool2 = nn.AvgPool2d(1, stride=2, count_include_pad=False)
        self.conv2 = nn.Conv2d(in_channels, f // 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * (f // 2), eps=0.001, momentum=0.0003)

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
            nn.Conv2d(in_channels, f, 1, bias=False),
            nn.BatchNorm2d(f, eps=0.001, momentum=0.0003),
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

    def __init__(
        self, in_channels2: int, f: int, padding: int | tuple[int, int, int, int]
    ) -> None:
        super().__init__()
        self.maxpool1 = SameTFMaxPool2d(3, stride=2)
        self.sep1 = Sep(in_channels2, 7, f, 2, padding=padding)

    def forward(self, x: Tensor, cell0_bn: Tensor) -> Tensor:
        return self.maxpool1(x) + self.sep1(cell0_bn)


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
        self.maxpool1 = SameTFMaxPool2d(3, stride=2)

    def forward(self, x: Tensor, x2: Tensor) -> Tensor:
        return self.sep1(x) + self.maxpool1(x2)


class Normal(nn.Module):
    """The block `normal(f, before)`."""

    def __init__(self, in_channels: int, in_channels2: int, f: int) -> None:
        super().__init__()
        self.p = Fit(in_channels2, f)
        self.h = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(in_channels, f, 1, bias=False),
            nn.BatchNorm2d(f, eps=0.001, momentum=0.0003),
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
            nn.Conv2d(in_channels, f, 1, bias=False),
            nn.BatchNorm2d(f, eps=0.001, momentum=0.0003),
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
            nn.Conv2d(in_channels, f, 1, bias=False),
            nn.BatchNorm2d(f, eps=0.001, momentum=0.0003),
        )
        self.x1 = X1(f, in_channels, f, padding=2, padding2=3)
        self.x2 = X2(in_channels, f, padding=3)
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
            nn.Conv2d(in_channels, f, 1, bias=False),
            nn.BatchNorm2d(f, eps=0.001, momentum=0.0003),
        )
        self.x1 = X1(f, 2 * (g // 2), f, padding=(1, 2, 1, 2), padding2=(2, 3, 2, 3))
        self.x2 = X2(2 * (g // 2), f, padding=(2, 3, 2, 3))
        self.x3 = X3(2 * (g // 2), f, padding=(1, 2, 1, 2))
        self.x4 = X4()
        self.x5 = X5(f, f)

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
            nn.Conv2d(in_channels, f, 1, bias=False),
            nn.BatchNorm2d(f, eps=0.001, momentum=0.0003),
        )
        self.x1 = X1(f, g, f, padding=(1, 2, 1, 2), padding2=(2, 3, 2, 3))
        self.x2 = X2(g, f, padding=(2, 3, 2, 3))
        self.x3 = X3(g, f, padding=(1, 2, 1, 2))
        self.x4 = X4()
        self.x5 = X5(f, f)

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
        self.cell0 = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self.cell0_bn = nn.BatchNorm2d(32, eps=0.001, momentum=0.0003)
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
        self.fc = nn.Linear(1056, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cell0_bn(self.cell0(x))  # 32x111x111
        cell1 = self.cell1(x)  # 44x56x56
        cell2 = self.cell2(cell1, x)  # 88x28x28
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
        x = self.relu1(self.cell16(self.cell15(cell14, cell13), cell14))
        x = torch.flatten(self.gap1(x), 1)  # 1056
        return self.fc(x)  # 1000


if __name__ == "__main__":
    model = NasnetAMobile().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
