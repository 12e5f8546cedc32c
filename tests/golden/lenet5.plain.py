"""lenet5: 61,706 parameters, 416,520 multiply-adds for each image.

in   input: 1x32x32
out  output: 10

Written by cnnc 0.1.0.
"""

import torch
from torch import Tensor, nn


class Lenet5(nn.Module):
    """`lenet5`: 1x32x32 to 10."""

    def __init__(self) -> None:
        super().__init__()
        self.C1 = nn.Conv2d(1, 6, 5)
        self.C1_tanh = nn.Tanh()
        self.S2 = nn.AvgPool2d(2)
        self.C3 = nn.Conv2d(6, 16, 5)
        self.C3_tanh = nn.Tanh()
        self.S4 = nn.AvgPool2d(2)
        self.C5 = nn.Conv2d(16, 120, 5)
        self.C5_tanh = nn.Tanh()
        self.F6 = nn.Linear(120, 84)
        self.F6_tanh = nn.Tanh()
        self.OUTPUT = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.S2(self.C1_tanh(self.C1(x)))  # 6x14x14
        x = self.S4(self.C3_tanh(self.C3(x)))  # 16x5x5
        x = torch.flatten(self.C5_tanh(self.C5(x)), 1)  # 120
        x = self.F6_tanh(self.F6(x))  # 84
        return self.OUTPUT(x)  # 10


if __name__ == "__main__":
    model = Lenet5().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 1, 32, 32))
    print(tuple(output.shape))
