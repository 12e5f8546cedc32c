"""`capture` on CPUs: oneDNN's graphs compute what the form computes, or are not used."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cnnc

torch = pytest.importorskip("torch")

from test_inference import off, shaken, tensors  # noqa: E402

NETWORKS = {
    "densenet_bc100_k12": "3x32x32",
    "googlenet_torchvision_aux": "3x64x64",
    "inception_v3": "3x107x91",
    "mobilenet_v2": "3x64x64",
    "preact_resnet164": "3x32x32",
    "resnet50": "3x65x65",
    "shufflenet_g3": "3x64x64",
    "unet": "1x188x188",
}


def prepared(name: str, size: str, *, takes_graphs: bool = True) -> tuple[Any, Any, Any]:
    """The form, its file as a module, and a batch of three images; its graphs are taken even where they are slower."""
    net = cnnc.load(f"zoo:{name}", input=size)
    form = net.module(optimize="inference", state=shaken(net.module()).state_dict())
    file = sys.modules[type(form).__module__]
    file.seconds = lambda way, inputs: float((way is form) == takes_graphs)
    torch.manual_seed(1)
    return form, file, torch.randn(3, *map(int, size.split("x")))


def graphs(run: Any) -> list[Any]:
    return list(run.graphs.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_graphs_compute_the_same(name: str) -> None:
    form, file, x = prepared(name, NETWORKS[name])
    run = file.capture(form, x)
    for batch in (x, x[:1].contiguous(), x.contiguous(memory_format=torch.channels_last)):
        with torch.no_grad():
            wanted = copy.deepcopy(form).double()(batch.double())
        got = run(batch)
        assert type(got).__name__ == type(wanted).__name__
        for mine, exact in zip(tensors(got), tensors(wanted), strict=True):
            assert off(mine, exact) < 1e-4
    assert len(run.graphs) == (3 if x.size(1) > 1 else 2)  # one channel is laid out in one way
    assert all(graph is not form for graph in graphs(run))
    assert not torch.jit.onednn_fusion_enabled()


def test_norms_that_fall_or_are_flat() -> None:
    """A norm before a convolution is a bound of the maps and a part of the weights, whatever its factors."""
    form, file, x = prepared("densenet_bc100_k12", "3x32x32")
    for module in form.modules():
        if isinstance(module, file.ScaleShift):
            module.weight[1::3] *= -1
            module.weight[2::7] = 0
            module.weight[3::7] = 1e-35
    run = file.capture(form, x)
    with torch.no_grad():
        assert off(run(x), copy.deepcopy(form).double()(x.double())) < 1e-4
    (graph,) = graphs(run)
    text = str(graph.inlined_graph)
    assert "aten::maximum" in text and "aten::minimum" in text
    assert text.count("aten::addcmul") == 1  # of the last, which no convolution reads
    assert "aten::masked_fill" not in text  # the weights are made once


@pytest.mark.parametrize("name", ["resnet18", "googlenet_torchvision_aux", "vgg11"])
@pytest.mark.parametrize("size", [2, 4])
def test_convolutions_by_tiles(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    form, file, x = prepared(name, "3x75x70")
    monkeypatch.setattr(file.FusedConv2d, "known", {})
    convolutions = [layer.on_cpu for layer in form.modules() if hasattr(layer, "on_cpu")]

    def seconds(way: Any, inputs: Any) -> float:
        """Tiles of the size are the fastest, and so are graphs."""
        sizes = [tiles.size for tiles in getattr(way, "args", []) if isinstance(tiles, file.Tiles)]
        return float(sizes not in ([], [size]) or way is form or getattr(way, "func", way) in convolutions)

    file.seconds = seconds
    run = file.capture(form, x)
    with torch.no_grad():
        wanted = copy.deepcopy(form).double()(x.double())
        for mine, exact in zip(tensors(run(x)), tensors(wanted), strict=True):
            assert off(mine, exact) < 1e-4
    (graph,) = graphs(run)
    graph = getattr(graph, "args", [graph])[-1]
    assert "aten::bmm" in str(graph.inlined_graph)
    small, large = (
        {size for key, size in file.FusedConv2d.known.items() if (max(key[2][2:]) <= 16) == is_small}
        for is_small in (True, False)
    )
    assert (small, large) == ({size}, {4 if size == 4 else 0})  # 2x2 is for small maps alone
    assert all(layer.ready is None for layer in form.modules() if hasattr(layer, "ready"))


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 1),
        (2, 3, 4, 5),
        (3, 16, 13, 9),
        (5, 8, 28, 27),
        (2, 8, 29, 8),
        (6, 96, 90, 80),
        (9, 64, 40, 41),
        (1, 128, 250, 261),
    ],
)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size", [2, 4])
def test_tiles_give_the_convolution(shape: tuple[int, ...], relu: bool, size: int) -> None:
    """Of one block and of many, more than are taken at once too; in both layouts, with and without a bias."""
    _, file, _ = prepared("mobilenet_v2", "3x64x64")
    torch.manual_seed(0)
    x, weight = torch.randn(shape), torch.randn(5, shape[1], 3, 3)
    tiles = file.tiles_of(weight, size, *shape[2:])
    for bias in (None, torch.randn(5)):
        wanted = torch.nn.functional.conv2d(
            x.double(), weight.double(), None if bias is None else bias.double(), padding=1
        )
        for layout in (torch.contiguous_format, torch.channels_last):
            maps = x.contiguous(memory_format=layout)
            got = file.winograd(maps, tiles, bias, relu)
            assert got.shape == wanted.shape
            assert got.is_contiguous(memory_format=torch.channels_last)
            assert off(got, wanted.relu() if relu else wanted) < 1e-5


HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HEAP_FLAGS = """
import re
from pathlib import Path
import torch
from cnnc.backends.pytorch.helpers.captured import use_huge_pages

def has_huge_pages():
    heap = Path("/proc/self/smaps").read_text().split("[heap]")[1]
    return "hg" in re.search("VmFlags: (.*)", heap)[1].split()

before = has_huge_pages()
use_huge_pages()
print(before, has_huge_pages())
"""


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text(),
    reason="the system gives none when asked",
)
def test_the_heap_is_put_on_huge_pages() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", HEAP_FLAGS], capture_output=True, text=True, check=True, timeout=100
    )
    assert ran.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("setting", [None, "always madvise [never]"])
def test_no_huge_pages_where_the_system_has_none(
    setting: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, file, _ = prepared("mobilenet_v2", "3x64x64")
    given = tmp_path / "enabled"
    if setting is not None:
        given.write_text(setting)
    asked: list[str] = []
    monkeypatch.setattr(file, "pathlib", SimpleNamespace(Path=lambda path: asked.append(path) or given))
    file.use_huge_pages()
    assert asked == [str(HUGE_PAGES)]


def test_what_is_slow_is_called_less_often() -> None:
    """Ways take turns; one that is slow is called less often, and the more so where it is far behind."""
    _, file, _ = prepared("mobilenet_v2", "3x64x64")
    times = {"a": [0.02, 0.01, 0.03, 0.02, 0.02], "b": [0.04, 0.03, 0.012, 0.03, 0.03], "c": [0.06] * 5}
    called: list[str] = []

    def seconds(way: str, inputs: Any) -> float:
        called.append(way)
        return times[way][called.count(way) - 1]

    file.seconds = seconds
    spoiled = torch.ones(3)
    assert file.least_seconds(["a", "b", "c"], [], spoiled) == [0.01, 0.03, 0.06]
    assert called == [*"abc", *"ab", *"aaa"]
    assert not spoiled.any()
    called.clear()
    times["a"] = times["b"] = [0.11, 0.11]
    file.least_seconds(["a", "b"], [])
    assert called == ["a", "b", "a", "b"]


def test_slices_have_graphs_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the model takes a few images at a time, of those; the rest of the batch is of another shape."""
    form, file, x = prepared("mobilenet_v2", "3x64x64")
    by_slices = file.by_slices
    monkeypatch.setattr(file, "by_slices", lambda maps, x, images: by_slices(maps, x, 2))
    file.seconds = lambda way, inputs: float(way is form or isinstance(way, torch.jit.ScriptModule))
    run = file.capture(form, x)
    (way,) = graphs(run)
    assert way is not form and way.maps is not form.maps
    with torch.no_grad():
        wanted = copy.deepcopy(form).double()(x.double())
        assert off(run(x), wanted) < 1e-4
        for parameter in form.parameters():
            parameter.mul_(1.05)
        assert off(run(x), form(x)) < 1e-5 < off(run(x), wanted)
    assert "maps" not in vars(form)


def test_the_random_state_stays() -> None:
    form, file, x = prepared("mobilenet_v2", "3x64x64")
    before = torch.get_rng_state()
    file.capture(form, x)
    assert torch.equal(torch.get_rng_state(), before)


def test_new_weights_are_seen() -> None:
    form, file, x = prepared("mobilenet_v2", "3x64x64")
    run = file.capture(form, x)
    with torch.no_grad():
        before = run(x)
        for parameter in form.parameters():
            parameter.mul_(1.05)
        assert off(run(x), form(x)) < 1e-5 < off(run(x), before)
        state = {name: 0.9 * tensor for name, tensor in form.state_dict().items()}
        for assign in (False, True):
            form.load_state_dict(state, assign=assign)
            assert off(run(x), form(x)) < 1e-5
            state = {name: 1.1 * tensor for name, tensor in state.items()}
        run(x)
        made = graphs(run)
        run(x)
        assert graphs(run) == made


def test_half_the_bits() -> None:
    form, file, x = prepared("resnet50", "3x64x64")
    with torch.no_grad():
        wanted = copy.deepcopy(form).double()(x.double())
    form.to(torch.bfloat16)
    run = file.capture(form, x.to(torch.bfloat16))
    with torch.no_grad():
        assert off(run(x.bfloat16()), wanted) < 2 * off(form(x.bfloat16()), wanted)


@pytest.mark.parametrize("fault", ["off", "fails", "not finite"])
def test_a_graph_that_is_wrong_is_not_used(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    form, file, x = prepared("mobilenet_v2", "3x64x64")

    def graph(self: Any, model: Any, inputs: Any) -> Callable[..., Any]:
        if fault == "fails":
            raise RuntimeError("could not set attribute to the op")
        return lambda x: form(x) * (1.01 if fault == "off" else torch.nan)

    monkeypatch.setattr(file.OneDnnGraphs, "_graph", graph)
    run = file.capture(form, x)
    assert graphs(run) == [form]
    with torch.no_grad():
        assert torch.equal(run(x), form(x))


class Twice(torch.nn.Module):
    """What PyTorch's fusion gets wrong: a product in place of maps that are read again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(8, 8, 1), torch.nn.Conv2d(8, 8, 1)
        self.scale = torch.nn.Parameter(torch.rand(8, 1, 1) + 0.5)

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        return self.second((x * self.scale).relu()) + x


def test_faults_of_the_fusion_itself() -> None:
    _, file, _ = prepared("mobilenet_v2", "3x64x64")
    model, x = Twice().eval(), torch.randn(2, 8, 9, 9)
    run = file.capture(model, x)
    with torch.no_grad():
        assert off(run(x), model(x)) < 1e-5


def test_a_graph_that_is_slower_is_not_used() -> None:
    form, file, x = prepared("mobilenet_v2", "3x64x64", takes_graphs=False)
    assert graphs(file.capture(form, x)) == [form]


def test_what_has_no_graph_is_called() -> None:
    form, file, x = prepared("mobilenet_v2", "3x64x64")
    run = file.capture(form, x)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(x), form(x))
    form.double()
    assert run(x.double()).dtype == torch.float64
    assert len(run.graphs) == 1


def test_gradients_are_not_computed() -> None:
    form, file, x = prepared("mobilenet_v2", "3x64x64")
    assert not file.capture(form, x)(x.requires_grad_()).requires_grad


def test_what_capture_refuses() -> None:
    form, file, x = prepared("mobilenet_v2", "3x64x64")
    with pytest.raises(ValueError, match=r"in evaluation mode: model.eval\(\)"):
        file.capture(form.train(), x)
    with pytest.raises(ValueError, match="inputs on the CPU, or on the current GPU"):
        file.capture(form.eval(), x.to("meta"))


def test_without_graphs_the_model_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    form, file, x = prepared("mobilenet_v2", "3x64x64")
    monkeypatch.delattr(torch.jit, "enable_onednn_fusion")
    with torch.no_grad():
        wanted = form(x)
    got = file.capture(form, x)(x)
    assert torch.equal(got, wanted) and not got.requires_grad
