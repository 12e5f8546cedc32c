"""Where a compiled network looks: saliency and Grad-CAM, by the labels of its spec.

    python examples/explain.py                  # train on digits in corners, and print where it looks

A spec's labels are the names of the module's parts, so that `grad_cam(model, "last", image)` needs no search
for layers. `saliency` is the gradient of a class's score by the pixels (Simonyan et al. 2013, section 3);
Grad-CAM weighs the maps of a layer by the mean gradient of the score (Selvaraju et al. 2017, eq. 1 and 2).
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

import cnnc

SPEC = """\
input 1x48x48
default conv(norm=bn)
conv3-16 -> pool
conv3-32 -> pool
last: conv3-64
gap -> fc-10
"""


def saliency(model: nn.Module, image: Tensor, kind: int | None = None) -> Tensor:
    """How much each pixel of `image` (C x H x W) moves the score of class `kind` (None: the class it sees): H x W.

    The model is left in evaluation, and its gradients as they were.
    """
    model.eval()
    pixels = image.detach()[None].clone().requires_grad_()
    scores = model(pixels)[0]
    (gradient,) = torch.autograd.grad(scores[int(scores.argmax()) if kind is None else kind], pixels)
    return gradient[0].abs().amax(0)


def grad_cam(model: nn.Module, label: str, image: Tensor, kind: int | None = None) -> Tensor:
    """The part of the layer `label` that speaks for class `kind`, enlarged to the image: H x W, from 0 to 1.

    Raises AttributeError for a label that names no module.
    """
    model.eval()
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        """Hand on a copy: an activation that follows may overwrite its input."""
        seen.append(out.clone())
        return seen[0]

    hook = model.get_submodule(label).register_forward_hook(keep)
    try:
        scores = model(image[None])[0]
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(scores[int(scores.argmax()) if kind is None else kind], seen[0])
    weights = gradient.mean((2, 3), keepdim=True)
    cam = torch.relu((weights * seen[0]).sum(1, keepdim=True))
    cam = interpolate(cam, size=image.shape[-2:], mode="bilinear")[0, 0].detach()
    return cam / cam.max().clamp(min=1e-12)


def digits_in_corners(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """`count` images of 48 x 48 with a digit of 24 x 24 in one corner; their classes, and the corners (0 to 3)."""
    found = load_digits()
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(found.target), generator=generator)[:count]
    digits = torch.tensor(found.images, dtype=torch.float32)[chosen, None] / 16
    digits = interpolate(digits, size=(24, 24), mode="bilinear")
    corners = torch.randint(4, (count,), generator=generator)
    images = torch.zeros(count, 1, 48, 48)
    for image, digit, corner in zip(images, digits, corners.tolist(), strict=True):
        top, left = 24 * (corner // 2), 24 * (corner % 2)
        image[:, top : top + 24, left : left + 24] = digit
    return images, torch.tensor(found.target)[chosen], corners


def trained(epochs: int = 6, count: int = 1200) -> nn.Module:
    """The network of SPEC, trained on digits in corners; some seconds on a CPU."""
    torch.manual_seed(0)
    model = cnnc.parse(SPEC).module()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    images, classes, _ = digits_in_corners(count)
    for _ in range(epochs):
        model.train()
        for chosen in torch.randperm(count).split(64):
            optimiser.zero_grad()
            cross_entropy(model(images[chosen]), classes[chosen]).backward()
            optimiser.step()
    return model.eval()


def share_in_corner(where: Tensor, corner: int) -> float:
    """How much of a map of 48 x 48 lies in a corner, from 0 to 1."""
    top, left = 24 * (corner // 2), 24 * (corner % 2)
    return float(where[top : top + 24, left : left + 24].sum() / where.sum().clamp(min=1e-12))


def main() -> None:
    """Train, and print where saliency and Grad-CAM point."""
    model = trained()
    images, classes, corners = digits_in_corners(40, seed=1)
    right = model(images).argmax(1) == classes
    print(f"{int(right.sum())} of {len(images)} digits are read right")
    for name, find in (("saliency", saliency), ("Grad-CAM", lambda m, x: grad_cam(m, "last_relu", x))):
        shares = [share_in_corner(find(model, x), c) for x, c in zip(images, corners.tolist(), strict=True)]
        print(f"{name}: {sum(shares) / len(shares):.0%} lies in the digit's corner, 25% by chance")


if __name__ == "__main__":
    main()
