"""two_stream: 181,335,594 parameters, 4,277,888,928 multiply-adds for each image.

in   frame: 3x224x224, flow: 20x224x224
out  output: 101

Written by cnnc 0.1.0.
"""

import torch
from torch import Tensor, nn


class CnnM(nn.Sequential):
    """The block `cnn_m(norm2, classes)`."""

    def __init__(self, in_channels: int, norm2: str, classes: int = 101) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 96, 7, stride=2)
        self.conv1_relu = nn.ReLU(inplace=True)
        self.add_module("0", nn.LocalResponseNorm(5, alpha=0.0005, k=2.0))
        self.add_module("1", nn.MaxPool2d(3, stride=2, ceil_mode=True))
        self.conv2 = nn.Conv2d(96, 256, 5, stride=2, padding=1)
        self.conv2_relu = nn.ReLU(inplace=True)
        if norm2 == "lrn":
            self.add_module("2", nn.LocalResponseNorm(5, alpha=0.0005, k=2.0))
            self.add_module("3", nn.MaxPool2d(3, stride=2, ceil_mode=True))
            self.conv3 = nn.Conv2d(256, 512, 3, padding=1)
            self.conv3_relu = nn.ReLU(inplace=True)
            self.conv4 = nn.Conv2d(512, 512, 3, padding=1)
            self.conv4_relu = nn.ReLU(inplace=True)
            self.conv5 = nn.Conv2d(512, 512, 3, padding=1)
            self.conv5_relu = nn.ReLU(inplace=True)
            self.add_module("4", nn.MaxPool2d(3, stride=2, ceil_mode=True))
            self.flatten = nn.Flatten()
            self.full6 = nn.Linear(18432, 4096)
            self.full6_relu = nn.ReLU(inplace=True)
            self.add_module("5", nn.Dropout(0.9))
            self.full7 = nn.Linear(4096, 2048)
            self.full7_relu = nn.ReLU(inplace=True)
            self.add_module("6", nn.Dropout(0.9))
            self.score = nn.Linear(2048, classes)
            self.add_module("7", nn.Softmax(dim=1))
        else:
            self.add_module("2", nn.MaxPool2d(3, stride=2, ceil_mode=True))
            self.conv3 = nn.Conv2d(256, 512, 3, padding=1)
            self.conv3_relu = nn.ReLU(inplace=True)
            self.conv4 = nn.Conv2d(512, 512, 3, padding=1)
            self.conv4_relu = nn.ReLU(inplace=True)
            self.conv5 = nn.Conv2d(512, 512, 3, padding=1)
            self.conv5_relu = nn.ReLU(inplace=True)
            self.add_module("3", nn.MaxPool2d(3, stride=2, ceil_mode=True))
            self.flatten = nn.Flatten()
            self.full6 = nn.Linear(18432, 4096)
            self.full6_relu = nn.ReLU(inplace=True)
            self.add_module("4", nn.Dropout(0.9))
            self.full7 = nn.Linear(4096, 2048)
            self.full7_relu = nn.ReLU(inplace=True)
            self.add_module("5", nn.Dropout(0.9))
            self.score = nn.Linear(2048, classes)
            self.add_module("6", nn.Softmax(dim=1))


class TwoStream(nn.Module):
    """`two_stream`: 3x224x224 and 20x224x224 to 101."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = CnnM(3, "lrn")
        self.temporal = CnnM(20, "none")

    def forward(self, frame: Tensor, flow: Tensor) -> Tensor:
        return self.spatial(frame) + self.temporal(flow)  # 101


if __name__ == "__main__":
    model = TwoStream().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224), torch.randn(1, 20, 224, 224))
    print(tuple(output.shape))
