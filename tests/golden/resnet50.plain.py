"""resnet50: 25,557,032 parameters, 4,089,184,256 multiply-adds for each image.

in   input: 3x224x224
out  output: 1000

Written by cnnc 0.1.0.
"""

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """The block `bottleneck(w, s)`."""

    def __init__(self, in_channels: int, w: int, s: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, w, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(w, w, 3, stride=s, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(w)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(w, 4 * w, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * w)
        if s == 1 and in_channels == 4 * w:
            self.downsample = nn.Identity()
        else:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, 4 * w, 1, stride=s, bias=False),
                nn.BatchNorm2d(4 * w),
            )
        self.relu3 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        x = self.bn3(self.conv3(y)) + self.downsample(x)
        return self.relu3(x)


class Resnet50(nn.Module):
    """`resnet50`: 3x224x224 to 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu1 = nn.ReLU(inplace=True)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64),
            Bottleneck(256, 64),
            Bottleneck(256, 64),
        )
        self.layer2 = nn.Sequential(
            Bottleneck(256, 128, 2),
            *[Bottleneck(512, 128) for _ in range(3)],
        )
        self.layer3 = nn.Sequential(
            Bottleneck(512, 256, 2),
            *[Bottleneck(1024, 256) for _ in range(5)],
        )
        self.layer4 = nn.Sequential(
            Bottleneck(1024, 512, 2),
            Bottleneck(2048, 512),
            Bottleneck(2048, 512),
        )
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool1(self.relu1(self.bn1(self.conv1(x))))  # 64x56x56
        x = self.layer1(x)  # 256x56x56
        x = self.layer2(x)  # 512x28x28
        x = self.layer3(x)  # 1024x14x14
        x = torch.flatten(self.gap1(self.layer4(x)), 1)  # 2048
        return self.fc(x)  # 1000


if __name__ == "__main__":
    model = Resnet50().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
