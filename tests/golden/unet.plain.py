"""unet: 31,030,658 parameters, 150,428,424,448 multiply-adds for each image.

in   input: 1x572x572
out  output: 2x388x388

Written by cnnc 0.1.0.
"""

import torch
from torch import Tensor, nn


def centre_crop(x: Tensor, like: Tensor) -> Tensor:
    """The centre of each map of `x`, as large as `like`; an odd rest is cut after."""
    for axis in range(2, x.dim()):
        start = (x.shape[axis] - like.shape[axis]) // 2
        x = x.narrow(axis, start, like.shape[axis])
    return x


class Level(nn.Module):
    """The block `level(w, inner)`."""

    def __init__(
        self, in_channels: int, w: int, inner_channels: int, inner: nn.Module
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, w, 3)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(w, w, 3)
        self.relu2 = nn.ReLU(inplace=True)
        self.maxpool1 = nn.MaxPool2d(2)
        self.level1 = inner
        self.tconv1 = nn.ConvTranspose2d(inner_channels, w, 2, stride=2)
        self.conv3 = nn.Conv2d(2 * w, w, 3)
        self.relu3 = nn.ReLU(inplace=True)
        self.conv4 = nn.Conv2d(w, w, 3)
        self.relu4 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.conv2(x))
        y = self.maxpool1(x)
        y = self.level1(y)
        y = self.tconv1(y)
        y = torch.cat([centre_crop(x, y), y], 1)
        x = self.relu3(self.conv3(y))
        return self.relu4(self.conv4(x))


class Level2(nn.Module):
    """The block `level(w, inner)`."""

    def __init__(self, in_channels: int, w: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, w, 3)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(w, w, 3)
        self.relu2 = nn.ReLU(inplace=True)
        self.maxpool1 = nn.MaxPool2d(2)
        self.conv3 = nn.Conv2d(w, 1024, 3)
        self.relu3 = nn.ReLU(inplace=True)
        self.conv4 = nn.Conv2d(1024, 1024, 3)
        self.relu4 = nn.ReLU(inplace=True)
        self.tconv1 = nn.ConvTranspose2d(1024, w, 2, stride=2)
        self.conv5 = nn.Conv2d(2 * w, w, 3)
        self.relu5 = nn.ReLU(inplace=True)
        self.conv6 = nn.Conv2d(w, w, 3)
        self.relu6 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.conv2(x))
        y = self.maxpool1(x)
        y = self.relu3(self.conv3(y))
        y = self.relu4(self.conv4(y))
        y = self.tconv1(y)
        y = torch.cat([centre_crop(x, y), y], 1)
        x = self.relu5(self.conv5(y))
        return self.relu6(self.conv6(x))


class Unet(nn.Module):
    """`unet`: 1x572x572 to 2x388x388."""

    def __init__(self) -> None:
        super().__init__()
        self.level1 = Level(
            1, 64, 128, Level(64, 128, 256, Level(128, 256, 512, Level2(256, 512)))
        )
        self.conv1 = nn.Conv2d(64, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.level1(x)  # 64x388x388
        return self.conv1(x)  # 2x388x388


if __name__ == "__main__":
    model = Unet().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 1, 572, 572))
    print(tuple(output.shape))
