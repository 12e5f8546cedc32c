"""`stretch` against torch's broadcasting, with a size, a tensor and its siblings'; the hints of branches that do not fit."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import cnnc  # noqa: E402
from cnnc.dsl.diagnostics import CnncError  # noqa: E402

PLACES = (
    "[mean(axis=(H, W)) -> stretch + maxpool]",
    "[maxpool | mean(axis=H) -> maxpool(1x2) -> stretch]",
    "x: id\np: maxpool\nx -> mean(axis=H) -> maxpool(1x2) -> s: stretch(to=p)\n[p + s]",
)


def _by_torch(place: int, x: torch.Tensor) -> torch.Tensor:
    pooled = torch.nn.functional.max_pool2d(x, 2)
    if place == 0:
        return pooled + x.mean((2, 3), keepdim=True)
    row = torch.nn.functional.max_pool2d(x.mean(2, keepdim=True), (1, 2))
    return torch.cat([pooled, row.repeat(1, 1, pooled.shape[2], 1)], 1) if place == 1 else pooled + row


@pytest.mark.parametrize("height", ["H", "8"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_as_torch_broadcasts(place: int, height: str) -> None:
    net = cnnc.parse(f"input 2x{height}xW\n{PLACES[place]}")
    module = net.module().double()
    for size in (8, 12):
        x = torch.rand(3, 2, 8 if height == "8" else size, size, dtype=torch.float64, requires_grad=True)
        wanted = _by_torch(place, x)
        found = module(x)
        torch.testing.assert_close(found, wanted)
        weights = torch.rand_like(found)
        (a,) = torch.autograd.grad((found * weights).sum(), x, retain_graph=True)
        (b,) = torch.autograd.grad((wanted * weights).sum(), x)
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ("gap", "stretch"), ("maxpool2", "upsample(2)"), ("maxpool(2x4)", "upsample(2x4)"), ("mean(axis=H)", "stretch"),
        ("pad(1)", "crop"),
    ],
)  # fmt: skip
def test_the_word_that_a_hint_names_fits(other: str, word: str) -> None:
    with pytest.raises(CnncError) as caught:
        cnnc.parse(f"input 2x8x8\n[conv1-2 + {other}]")
    (hint,) = [d.hint for d in caught.value.diagnostics]
    end, does = (
        ("the larger in", "which cuts") if word == "crop" else ("end the smaller in", "which makes it")
    )
    assert f"{end} `{word}`, {does} 2x8x8" in (hint or "")
    net = cnnc.parse(f"input 2x8x8\nout: [conv1-2 + {other} -> {word}]")
    assert net.graph.layers[-1].out == (2, 8, 8)
