"""The roofline: bytes against the traffic figure, and rates, cards and calibration."""

from __future__ import annotations

from math import prod

import pytest
from graphs import graph_of

import cnnc
from cnnc.backends.planning.calibrate import calibrated
from cnnc.compiler.cards import Card, load_card, shipped_cards
from cnnc.compiler.cost import costs
from cnnc.compiler.roofline import roofline
from cnnc.dsl.diagnostics import CnncError

CARD = Card(
    name="toy", rates="measured", source="a test", bandwidth=1e9, last_level_cache=1, peak={"float32": 1e12, "float16": 2e12}
)  # fmt: skip
NETWORKS = ("resnet50", "densenet121", "unet", "googlenet", "mobilenet_v2", "vgg16")


@pytest.mark.parametrize("name", NETWORKS)
def test_bytes_are_the_traffic_of_every_layer_that_moves_any(name: str) -> None:
    graph = cnnc.load(f"zoo:{name}").graph
    rows = costs(graph).nodes
    moved = sum(rows[node.index].traffic for node in graph.layers if not node.op.is_view)
    found = roofline(graph, CARD)
    assert found.bytes == moved == sum(row.bytes for row in found.rows)
    assert found.macs == costs(graph).total.macs


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_multiplies_the_maps_and_not_the_weights(name: str) -> None:
    graph = cnnc.load(f"zoo:{name}").graph
    one, two, three = (roofline(graph, CARD, batch=n).bytes for n in (1, 2, 3))
    assert three - two == two - one < one
    assert roofline(graph, CARD, batch=2, dtype="float16").bytes * 2 == two


def test_a_convolution_takes_in_norm_activation_and_sum() -> None:
    graph = graph_of(
        "input 8x16x16\n[id + conv3-8(bias=no, act=none) -> bn] -> relu\nlast: conv1-4(bias=no, act=none)\n"
    )
    found = roofline(graph, CARD, batch=5, fused=True)
    assert [row.kinds for row in found.rows] == [("conv", "bn", "add", "relu"), ("conv",)]
    maps, norm = 8 * 16 * 16, 4 * 8
    # The sum's other operand is the input, read once.
    first = 4 * (5 * (maps + maps) + 8 * 8 * 9 + norm)
    assert found.rows[0].bytes == first
    assert found.rows[1].bytes == 4 * (5 * (maps + prod((4, 16, 16))) + 8 * 4)


def by_hand(bandwidth: float, peak: float, batch: int) -> tuple[float, float]:
    """The seconds of torchvision's ResNet-50 in bfloat16 from its modules: the floor, and the usual kernels' time."""
    torch = pytest.importorskip("torch")
    from torchvision_oracle import torchvision_models

    with torch.device("meta"):
        model = torchvision_models().resnet50().eval()
        seen: list[tuple[str, torch.nn.Module, tuple[int, ...], tuple[int, ...]]] = []
        for name, module in model.named_modules():
            if isinstance(
                module, torch.nn.Conv2d | torch.nn.MaxPool2d | torch.nn.AdaptiveAvgPool2d | torch.nn.Linear
            ):
                module.register_forward_hook(
                    lambda m, i, o, name=name: seen.append((name, m, i[0].shape[1:], o.shape[1:]))
                )  # fmt: skip
        model(torch.zeros(1, 3, 224, 224))
    floor = serial = 0.0
    for name, module, ins, out in seen:
        weights = sum(p.numel() for p in module.parameters())
        whole, operand = 2 * (batch * (prod(ins) + prod(out)) + weights), 0
        read = 1.0
        macs = 0 if "pool" in name else batch * weights
        if isinstance(module, torch.nn.Conv2d):
            whole += 2 * 4 * out[0]  # the norm's scale, shift, mean and variance
            macs *= prod(out[1:])
            operand = 2 * batch * prod(out) if name.endswith(".conv3") else 0
            read = (1 / 4) if module.stride == (2, 2) and module.kernel_size == (1, 1) else 1.0
        elif isinstance(module, torch.nn.Linear):
            macs -= batch * out[0]  # the biases
        skipped = (1 - read) * 2 * batch * prod(ins)
        floor += max((whole - skipped + operand) / bandwidth, 2 * macs / peak)
        serial += max(whole / bandwidth, 2 * macs / peak) + operand / bandwidth
    return floor, serial


@pytest.mark.parametrize(
    ("bandwidth", "peak", "known"), [(3.35e12, 989e12, 52_531), (3.0e12, 798e12, 45_909)]
)
def test_resnet50_by_hand(bandwidth: float, peak: float, known: int) -> None:
    card = Card(
        name="x",
        rates="measured",
        source="",
        bandwidth=bandwidth,
        last_level_cache=1,
        peak={"bfloat16": peak},
    )
    found = cnnc.load("zoo:resnet50").plan(batch=256, dtype="bfloat16", fused=True, card=card)
    roof = found.roofline
    assert roof is not None
    floor, serial = by_hand(bandwidth, peak, 256)
    assert roof.seconds == pytest.approx(floor, rel=1e-12)
    assert roof.serial_seconds == pytest.approx(serial, rel=1e-12)
    assert roof.serial_images_per_second == pytest.approx(known, abs=1)
    assert f"after the products: {roof.serial_seconds * 1e3:.3g} ms, {known:,} images a second." in str(found)
    # A sum's operand can be read while the convolution computes, and a strided 1x1 convolution skips most of its input.
    whole = sum(max(row.bytes / bandwidth, 2 * row.macs / peak) for row in roof.rows)
    assert roof.seconds < whole < roof.serial_seconds


@pytest.mark.parametrize("name", NETWORKS)
def test_the_usual_kernels_time_is_between_the_floor_and_bytes_then_products(name: str) -> None:
    graph = cnnc.load(f"zoo:{name}").graph
    for fused in (False, True):
        found = roofline(graph, CARD, batch=8, fused=fused)
        for row in found.rows:
            most = row.bytes / CARD.bandwidth + 2 * row.macs / CARD.peak["float32"]
            assert row.seconds <= row.serial <= most * (1 + 1e-12), row.name
            if "add" not in row.kinds:
                assert row.serial == max(row.bytes / CARD.bandwidth, 2 * row.macs / CARD.peak["float32"])


@pytest.mark.parametrize(
    ("layer", "share"),
    [("conv1-8/2", 1 / 4), ("conv1-8/(2, 1)", 1 / 2), ("conv3-8/4(pad=1)", 121 / 256), ("maxpool(2, stride=3)", 25 / 64),
     ("conv3-8", 1), ("conv2-8(pad=0, dilation=(1, 15))", 2 / 16), ("tconv1-8/2", 1), ("gap", 1)],
)  # fmt: skip
def test_what_no_window_touches_is_not_read(layer: str, share: float) -> None:
    torch = pytest.importorskip("torch")
    graph = graph_of(f"input 8x16x16\n{layer}\n".replace("conv1-8/(2, 1)", "conv1-8(stride=(2, 1))"))
    row = roofline(graph, CARD, batch=3).rows[0]
    assert row.skipped == 4 * 3 * 8 * 256 * (1 - share)
    # By autograd: an element that no gradient reaches is not read.
    x = torch.rand(1, 8, 16, 16, requires_grad=True)
    model = cnnc.Net(graph).module()
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    out = model(x)
    out.sum().backward()
    assert x.grad is not None
    if "pool" not in layer:
        assert (x.grad != 0).float().mean().item() == share


def test_fused_never_moves_more() -> None:
    for name in NETWORKS:
        graph = cnnc.load(f"zoo:{name}").graph
        assert roofline(graph, CARD, fused=True).bytes <= roofline(graph, CARD).bytes


def test_the_time_is_the_larger_floor() -> None:
    graph = graph_of("input 64x8x8\nconv3-64(act=none)\n")
    (row,) = roofline(graph, CARD, batch=4).rows
    assert row.bound == "memory" and row.seconds == row.bytes / 1e9
    fast = Card(
        name="x", rates="measured", source="", bandwidth=1e15, last_level_cache=1, peak={"float32": 1e12}
    )
    (row,) = roofline(graph, fast, batch=4).rows
    assert row.bound == "compute" and row.seconds == 2 * row.macs / 1e12


@pytest.mark.parametrize("name", shipped_cards())
def test_cards_say_where_their_rates_come_from(name: str) -> None:
    card = load_card(name)
    assert card.rates in ("datasheet", "measured")
    assert (
        card.source
        and card.bandwidth > 1e9
        and min(card.peak.values()) > 1e11
        and card.last_level_cache > 1 << 20
    )


def test_a_dtype_without_a_peak() -> None:
    with pytest.raises(CnncError, match=r"E804.*bfloat16"):
        roofline(graph_of("input 3x8x8\nconv3-4\n"), CARD, dtype="bfloat16")


def test_calibration_finds_efficiencies_that_made_the_times() -> None:
    truth = {"conv": 1 / 0.5, "bn": 1 / 0.25, "relu": 1 / 0.8}
    floors = [
        {"conv": 1.0, "bn": 0.2, "relu": 0.1}, {"conv": 0.5, "bn": 0.5, "relu": 0.1},
        {"conv": 0.2, "bn": 0.1, "relu": 0.6}, {"conv": 2.0, "bn": 0.1, "relu": 0.3},
    ]  # fmt: skip
    times = [sum(truth[k] * s for k, s in floor.items()) for floor in floors]
    found = calibrated(["a", "b", "c", "d"], floors, times, "here")
    for kind, factor in truth.items():
        assert found.efficiency[kind] == pytest.approx(1 / factor, rel=0.02)
    assert found.worst < 0.05
    with pytest.raises(ValueError, match="three networks"):
        calibrated(["a"], floors[:1], times[:1], "here")


def test_views_share_memory_in_pytorch() -> None:
    """An op that says it is a view makes no new memory in inference."""
    torch = pytest.importorskip("torch")
    from ops.test_compiled import RANKED, _example

    from cnnc.compiler.ops import all_ops

    views = {op.kind for op in all_ops() if op.is_view and not op.internal}
    assert views >= {"flatten", "reshape", "crop", "chunk", "dropout", "droppath"}
    for kind in views:
        rank = max(r for k, r in RANKED if k == kind)
        size = {"reshape": 1, "crop": 57, "stretch": 1}.get(kind, 8)
        shape = (2 if kind == "crop" else 64, *(size,) * rank)
        graph = graph_of(f"input {'x'.join(map(str, shape))}\n{_example(kind, rank)}\n")
        x = torch.zeros(2, *shape)
        out = cnnc.Net(graph).module().eval()(x)
        assert out.untyped_storage().data_ptr() == x.untyped_storage().data_ptr(), kind
