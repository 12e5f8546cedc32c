"""Train the module that a spec compiles to on scikit-learn's handwritten digits.

    python examples/train_digits.py --epochs 10 --spec zoo:lenet5

The 1,797 digits of 8x8 pixels are scaled up to the input size of the spec, which
takes one channel and gives ten classes. A third is held out. It takes seconds on a CPU.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

import cnnc


@dataclass(frozen=True)
class Digits:
    """Images N x 1 x H x W from -1 to 1 and their classes, in two parts."""

    train_images: Tensor
    train_classes: Tensor
    test_images: Tensor
    test_classes: Tensor


@dataclass(frozen=True)
class Result:
    """The mean loss of each epoch, and the share of held-out digits that are told right."""

    losses: list[float]
    accuracy: float


def digits(size: list[int], limit: int | None = None) -> Digits:
    """The digits at a size, `limit` of them where it is given; a third is for testing."""
    found = load_digits()
    images = torch.tensor(found.images[:limit], dtype=torch.float32).unsqueeze(1) / 8 - 1
    images = interpolate(images, size=size, mode="bilinear")
    classes = torch.tensor(found.target[:limit])
    train, test = train_test_split(
        torch.arange(len(classes)).numpy(), test_size=1 / 3, random_state=0, stratify=classes.numpy()
    )
    return Digits(images[train], classes[train], images[test], classes[test])


def train(spec: str, epochs: int, limit: int | None = None) -> Result:
    """Train the spec's module and test it."""
    net = cnnc.load(spec)
    net.check()
    (channels, *size), (classes,) = *net.inputs.values(), *net.outputs.values()
    if (channels, len(size), classes) != (1, 2, 10):
        raise SystemExit(f"{spec}: an input of 1 channel and an output of 10 classes are wanted")
    torch.manual_seed(0)
    data = digits(size, limit)
    model = net.module()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for epoch in range(1, epochs + 1):
        losses.append(one_epoch(model, optimiser, data))
        print(f"epoch {epoch:2}  loss {losses[-1]:.3f}  accuracy {accuracy(model, data):.3f}")
    return Result(losses, accuracy(model, data))


def one_epoch(model: nn.Module, optimiser: torch.optim.Optimizer, data: Digits, batch: int = 32) -> float:
    """Go once through the training digits in a random order; the mean loss."""
    model.train()
    total = 0.0
    for chosen in torch.randperm(len(data.train_classes)).split(batch):
        loss = cross_entropy(model(data.train_images[chosen]), data.train_classes[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += loss.item() * len(chosen)
    return total / len(data.train_classes)


@torch.no_grad()
def accuracy(model: nn.Module, data: Digits) -> float:
    """The share of held-out digits that the model tells right."""
    model.eval()
    told = model(data.test_images).argmax(1)
    return (told == data.test_classes).double().mean().item()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--spec", default="zoo:lenet5", help="the network to train")
    args = parser.parse_args()
    print(f"accuracy on held-out digits: {train(args.spec, args.epochs).accuracy:.3f}")


if __name__ == "__main__":
    main()
