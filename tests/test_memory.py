"""The simulated memory against torch's MemTracker, published figures, and itself."""

from __future__ import annotations

from typing import Any

import pytest
from graphs import graph_of, graph_on
from sampling import sampled
from stopwatch import slowness, stopwatch

import cnnc
from cnnc.backends.pytorch.memory import Question, Simulator, memory_plan
from cnnc.dsl.diagnostics import CnncError

torch = pytest.importorskip("torch")

from memory_oracle import tracked_peak  # noqa: E402
from ops.test_compiled import RANKED, USES, _example  # noqa: E402

from cnnc.backends.pytorch.class_names import model_name  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

NETWORKS = (
    "alexnet", "capsnet", "densenet121", "densenet40_k12", "fcn8s", "googlenet", "googlenet_torchvision",
    "inception_v3", "lenet5_1998", "mnist_800_dropconnect", "mobilenet_v1", "mobilenet_v2", "nasnet_a_mobile",
    "resnet18", "resnet50", "shufflenet_g3", "siamese", "two_stream", "unet", "vgg16", "zfnet_deconvnet",
)  # fmt: skip
WITHOUT_BLOCKS = (
    "alexnet", "capsnet", "lenet5_1998", "mnist_800_dropconnect", "siamese", "vgg16", "zfnet_deconvnet",
)  # fmt: skip
"""Those without a block of two or more weighted layers, which cannot be checkpointed by blocks."""
QUICK = ("lenet5_1998", "resnet18", "siamese")


def compared(
    graph: Any, train: str | None, *, checkpoint: bool = False, batch: int = 4, **options: Any
) -> tuple[int, int]:
    """The peak as simulated, and as MemTracker counts it."""
    simulator = Simulator(graph, checkpoint=checkpoint)
    question = Question(
        batch=batch, train=train, checkpoint=checkpoint, device="cpu", watched=True, **options
    )
    shapes = [tuple(map(int, graph.nodes[i].out)) for i in graph.inputs.values()]
    amp = torch.bfloat16 if options.get("amp") else None
    dtype = getattr(torch, options.get("dtype", "float32")) if not amp else torch.float32
    tracked = tracked_peak(simulator.source, model_name(graph), shapes, batch, train, dtype=dtype, amp=amp)
    return simulator.peak(question), tracked


def close(found: tuple[int, int], share: float = 0.02) -> bool:
    return abs(found[0] - found[1]) <= share * found[1]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("train", [None, "sgd", "adam"])
def test_small_networks_are_as_memtracker_counts_them(name: str, train: str | None) -> None:
    found = compared(cnnc.load(f"zoo:{name}").graph, train)
    assert close(found, 0.001), found


def test_checkpointed_blocks() -> None:
    found = compared(cnnc.load("zoo:resnet18").graph, "sgd", checkpoint=True)
    assert close(found, 0.001), found


@pytest.mark.parametrize("options", [{"amp": True}, {"dtype": "bfloat16"}])
def test_half_precision(options: dict[str, Any]) -> None:
    found = compared(cnnc.load("zoo:resnet18").graph, "sgd", **options)
    assert close(found), found


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("form", ["inference", "training", "checkpointed"])
def test_networks_are_as_memtracker_counts_them(name: str, form: str) -> None:
    graph = cnnc.load(f"zoo:{name}").graph
    if form == "checkpointed" and name in WITHOUT_BLOCKS:
        with pytest.raises(CnncError, match="no block of two or more"):
            Simulator(graph, checkpoint=True)
        return
    found = compared(graph, None if form == "inference" else "sgd", checkpoint=form == "checkpointed")
    assert close(found), found


LARGEST_RANK = {kind: max(rank for k, rank in RANKED if k == kind and rank < 3) for kind, _ in RANKED}


def with_layer(kind: str) -> Any:
    """A small network of a weighted layer and a layer of this kind."""
    size = {"reshape": 1, "crop": 57, "stretch": 1}.get(kind, 8)
    rank = LARGEST_RANK[kind]
    shape = (2 if kind == "crop" else 64, *(size,) * rank)
    first = f"conv1-{shape[0]}(act=none)" if rank else f"fc-{shape[0]}(act=none)"
    return graph_on(shape, f"{first} -> {_example(kind, rank)}")


@pytest.mark.parametrize("kind", LARGEST_RANK)
def test_every_layer_has_its_memory(kind: str) -> None:
    """A layer whose functions the simulation does not know fails here."""
    found = compared(with_layer(kind), "sgd")
    assert close(found), found


@pytest.mark.parametrize("kind", sampled(tuple(LARGEST_RANK), 5))
def test_every_layer_has_its_memory_in_inference(kind: str) -> None:
    found = compared(with_layer(kind), None)
    assert close(found), found


@pytest.mark.parametrize("helper", USES)
def test_every_helper_has_its_memory(helper: str) -> None:
    text, shape = USES[helper]
    Simulator(graph_on(shape, text)).peak(Question(batch=2, train="sgd"))


# Distinct storages saved for backward, input in, parameters out; float32, batch 32; MiB.
@pytest.mark.parametrize(("name", "kept"), [("resnet50", 2622), ("vgg16", 2236), ("densenet121", 3979)])
def test_activations_known_from_hooks_on_saved_tensors(name: str, kept: int) -> None:
    plan = memory_plan(cnnc.load(f"zoo:{name}").graph, Question(batch=32, train="sgd", device="cpu"))
    assert round(plan.kept / 2**20) == kept


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "inception_v3"])
def test_a_peak_takes_a_tenth_of_a_second_at_most(name: str) -> None:
    simulator = Simulator(cnnc.load(f"zoo:{name}").graph)
    times = []
    for _ in range(3):
        with stopwatch() as watch:
            simulator.peak(Question(batch=32, train="sgd"))
        times.append(watch.seconds)
    assert min(times) < 0.1 * slowness()


def test_the_parts_are_the_peak_and_the_curve_reaches_it() -> None:
    plan = memory_plan(cnnc.load("zoo:resnet18").graph, Question(batch=8, train="adamw"))
    assert sum(plan.parts.values()) == plan.peak == max(plan.curve)


def test_the_biggest_batch_fits_and_the_next_does_not() -> None:
    simulator = Simulator(cnnc.load("zoo:resnet18").graph)
    limit, question = 4 << 30, Question(train="sgd")
    plan = simulator.plan(question, limit=limit, reserve=0.06)
    assert plan.biggest is not None
    room = int(limit * 0.94)
    assert simulator.peak(Question(batch=plan.biggest, train="sgd")) <= room
    assert simulator.peak(Question(batch=plan.biggest + 1, train="sgd")) > room
    assert simulator.plan(question, limit=1 << 20).biggest == 0


def test_a_free_size_asks_for_the_input() -> None:
    with pytest.raises(CnncError, match="E407"):
        Simulator(graph_of("input 3xHxW\nconv3-4\n"))


@pytest.mark.parametrize("layer", [
    "lstm-16(bidirectional=yes, layers=2)", "gru-16(bidirectional=yes, layers=2)", "gru-16(bias=no)", "lstm-16(layers=3, dropout=1/4)",
    "gru-24(layers=2, dropout=1/2)",
])  # fmt: skip
@pytest.mark.parametrize("train", [None, "adam"])
def test_recurrent_layers(layer: str, train: str | None) -> None:
    found = compared(graph_of(f"input 12x20\nconv3-16 -> {layer} -> conv1-4\n"), train)
    assert close(found), found


def test_what_cudnn_keeps_of_a_recurrent_layer_is_unknown() -> None:
    graph = graph_of("input 12x20\nconv3-16 -> a: lstm-16 -> b: gru-8\n")
    assert memory_plan(graph, Question(batch=2, train="sgd")).unknown == ("a", "b")
    assert memory_plan(graph, Question(batch=2, train="sgd", device="cpu")).unknown == ("a",)
    assert memory_plan(graph, Question(batch=2, device="cpu")).unknown == ()


def test_an_extern_counts_what_it_declares() -> None:
    spec = 'extern att(k=3) = "pkg.mod:Att" (shape=same, params=2*k*k, macs=0)\ninput 3x8x8\nconv3-4 -> att -> gap'
    plan = memory_plan(graph_of(spec), Question(batch=2, train="sgd"))
    assert plan.unknown == ("extern1",)


def test_a_batch_must_hold_an_image() -> None:
    net = cnnc.load("zoo:lenet5")
    with pytest.raises(ValueError, match=r"batch \(=0\)"):
        net.plan(batch=0)
    with pytest.raises(ValueError, match="one of"):
        net.plan(train="lion")
