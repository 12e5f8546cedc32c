"""mobilenet_v3_small: 2,542,856 parameters, 56,510,400 multiply-adds for each image.

in   input: 3x224x224
out  output: 1000

Written by cnnc 0.1.0.
"""

import math

import torch
from torch import Tensor, nn


def divisible(size: float, by: int) -> int:
    """The multiple of `by` nearest to `size`.

    At least `by`, and not under 90 % of `size`.
    """
    nearest = max(by, math.floor((2 * size + by) // (2 * by)) * by)
    return nearest + by if 10 * nearest < 9 * size else nearest


class Cna(nn.Sequential):
    """The block `cna(k, w, s, act)`."""

    def __init__(
        self, in_channels: int, k: int, w: int, s: int = 1, act: str = "hardswish"
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, w, k, stride=s, padding=k // 2, bias=False),
            nn.BatchNorm2d(w, eps=0.001, momentum=0.01),
        ]
        if act == "hardswish":
            layers.append(nn.Hardswish(inplace=True))
        elif act == "relu":
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Dw(nn.Sequential):
    """The block `dw(k, s, act, d)`."""

    def __init__(self, in_channels: int, k: int, s: int, act: str, d: int) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(
                in_channels,
                in_channels,
                k,
                stride=s,
                padding=k // 2 * d,
                dilation=d,
                groups=in_channels,
                bias=False,
            ),
            nn.BatchNorm2d(in_channels, eps=0.001, momentum=0.01),
        ]
        if act == "relu":
            layers.append(nn.ReLU(inplace=True))
        else:
            layers.append(nn.Hardswish(inplace=True))
        super().__init__(*layers)


class Excite(nn.Module):
    """The block `excite(r)`."""

    def __init__(self, in_channels: int, r: int) -> None:
        super().__init__()
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(in_channels, r, 1)
        self.fc1_relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(r, in_channels, 1)
        self.fc2_hardsigmoid = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        y = self.gap1(x)
        y = self.fc1_relu(self.fc1(y))
        return x * self.fc2_hardsigmoid(self.fc2(y))


class Path(nn.Sequential):
    """The block `path(k, e, c, s, gate, act, d)`."""

    def __init__(
        self,
        in_channels: int,
        k: int,
        e: int,
        c: int,
        s: int,
        gate: str,
        act: str,
        d: int,
    ) -> None:
        if e == in_channels:
            super().__init__(
                Dw(in_channels, k, s, act, d),
                Excite(in_channels, divisible(e // 4, 8)),
                Cna(in_channels, 1, c, act="none"),
            )
        elif gate == "se":
            super().__init__(
                Cna(in_channels, 1, e, act=act),
                Dw(e, k, s, act, d),
                Excite(e, divisible(e // 4, 8)),
                Cna(e, 1, c, act="none"),
            )
        else:
            super().__init__(
                Cna(in_channels, 1, e, act=act),
                Dw(e, k, s, act, d),
                Cna(e, 1, c, act="none"),
            )


class Inverted(nn.Module):
    """The block `inverted(k, e, c, s, gate, act, d)`."""

    def __init__(
        self,
        in_channels: int,
        k: int,
        e: int,
        c: int,
        s: int,
        gate: str,
        act: str,
        d: int = 1,
    ) -> None:
        super().__init__()
        self.adds = s == 1 and in_channels == c
        self.block = Path(in_channels, k, e, c, s, gate, act, d)

    def forward(self, x: Tensor) -> Tensor:
        if self.adds:
            return self.block(x) + x
        return self.block(x)


class MobilenetV3Small(nn.Module):
    """`mobilenet_v3_small`: 3x224x224 to 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Cna(3, 3, 16, 2),
            Inverted(16, 3, 16, 16, 2, "se", "relu"),
            Inverted(16, 3, 72, 24, 2, "none", "relu"),
            Inverted(24, 3, 88, 24, 1, "none", "relu"),
            Inverted(24, 5, 96, 40, 2, "se", "hardswish"),
            Inverted(40, 5, 240, 40, 1, "se", "hardswish"),
            Inverted(40, 5, 240, 40, 1, "se", "hardswish"),
            Inverted(40, 5, 120, 48, 1, "se", "hardswish"),
            Inverted(48, 5, 144, 48, 1, "se", "hardswish"),
            Inverted(48, 5, 288, 96, 2, "se", "hardswish"),
            Inverted(96, 5, 576, 96, 1, "se", "hardswish"),
            Inverted(96, 5, 576, 96, 1, "se", "hardswish"),
            Cna(96, 1, 576),
        )
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(576, 1024),
            nn.Hardswish(inplace=True),
            nn.Dropout(0.2),
            nn.Linear(1024, 1000),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.gap1(self.features(x)), 1)  # 576
        return self.classifier(x)  # 1000


if __name__ == "__main__":
    model = MobilenetV3Small().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
