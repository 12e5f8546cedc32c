"""Saliency and Grad-CAM by labels: both find the corner in which a digit is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import explain  # noqa: E402


@pytest.fixture(scope="module")
def model() -> Any:
    return explain.trained()


@pytest.fixture(scope="module")
def digits() -> Any:
    return explain.digits_in_corners(24, seed=1)


def test_the_digits_are_read(model: Any) -> None:
    images, classes, _ = explain.digits_in_corners(200, seed=2)
    assert (model(images).argmax(1) == classes).float().mean() > 0.6


@pytest.mark.parametrize(("how", "least"), [("saliency", 0.45), ("cam", 0.7)])
def test_what_is_found_lies_where_the_digit_is(model: Any, digits: Any, how: str, least: float) -> None:
    """A quarter would be chance, and the corner opposite has less than that."""
    images, _, corners = digits
    right, opposite = [], []
    for image, corner in zip(images, corners.tolist(), strict=True):
        found = (
            explain.saliency(model, image)
            if how == "saliency"
            else explain.grad_cam(model, "last_relu", image)
        )
        assert found.shape == (48, 48)
        right.append(explain.share_in_corner(found, corner))
        opposite.append(explain.share_in_corner(found, 3 - corner))
    assert sum(right) / len(right) > least
    assert sum(opposite) / len(opposite) < 0.2


def test_gradients_and_hooks_are_left_as_they_were(model: Any, digits: Any) -> None:
    images, _, _ = digits
    model.zero_grad()
    explain.grad_cam(model, "last_relu", images[0])
    assert all(weight.grad is None for weight in model.parameters())
    assert not model.get_submodule("last_relu")._forward_hooks
    with pytest.raises(AttributeError):
        explain.grad_cam(model, "lost", images[0])
