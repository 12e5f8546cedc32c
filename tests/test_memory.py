"""The simulated memory against torch's MemTracker, published figures, and itself."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from graphs import graph_of, graph_on
from sampling import sampled
from stopwatch import slowness, stopwatch

import cnnc
from cnnc.backends.pytorch.dry.allocator import CachingAllocator, DoesNotFitError
from cnnc.backends.pytorch.dry.ledger import CUBLAS
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
    assert (
        simulator.reserved(Question(batch=plan.biggest, train="sgd"), room) == plan.biggest_reserved <= room
    )
    with pytest.raises(DoesNotFitError):
        simulator.reserved(Question(batch=plan.biggest + 1, train="sgd"), room)
    on_cpu = simulator.plan(replace(question, device="cpu"), limit=limit, reserve=0.06)
    assert on_cpu.biggest is not None and on_cpu.biggest > plan.biggest  # nothing is cached there
    assert on_cpu.biggest_reserved == on_cpu.biggest_peak
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


# --- the allocator of GPUs ---------------------------------------------------------------


def test_parts_of_segments_are_used_again() -> None:
    """By hand, from torch's rules: 2 MiB segments for small tensors, 20 MiB for medium ones, else whole 2 MiB."""
    mib = 1 << 20
    allocator = CachingAllocator()
    small = allocator.allocate(1)
    assert (small.size, allocator.reserved) == (512, 2 * mib)
    allocator.allocate(mib)
    assert allocator.reserved == 2 * mib
    medium = allocator.allocate(6 * mib)
    assert (medium.size, allocator.reserved) == (6 * mib, 22 * mib)
    other = allocator.allocate(13 * mib)
    assert (other.size, allocator.reserved) == (
        14 * mib,
        22 * mib,
    )  # all that was left: a MiB is not split off
    last = allocator.allocate(13 * mib)
    assert (last.size, allocator.reserved) == (14 * mib, 36 * mib)


def test_neighbours_are_joined_and_whole_segments_given_back() -> None:
    mib = 1 << 20
    allocator = CachingAllocator(limit=50 * mib)
    parts = [allocator.allocate(10 * mib) for _ in range(3)]
    assert allocator.reserved == 30 * mib
    for part in (parts[0], parts[2], parts[1]):
        allocator.free(part)
    allocator.allocate(20 * mib)  # three segments of 10, none of them large enough
    assert allocator.reserved == 50 * mib
    allocator.allocate(24 * mib)  # for which the cached ones are given back
    assert (allocator.reserved, allocator.peak) == (44 * mib, 50 * mib)
    with pytest.raises(DoesNotFitError):
        allocator.allocate(8 * mib)


def test_parts_of_one_segment_become_one_again() -> None:
    mib = 1 << 20
    allocator = CachingAllocator()
    parts = [allocator.allocate(9 * mib), allocator.allocate(9 * mib)]
    assert allocator.reserved == 20 * mib
    for part in parts:
        allocator.free(part)
    allocator.allocate(20 * mib)
    assert allocator.reserved == 20 * mib


def test_what_is_known_of_workspaces_counts_against_a_limit() -> None:
    """3 channels are padded to 8 in half precision: on an H100, 98.05 MiB for this stem and 128 images."""
    graph = cnnc.parse("conv7-64/2(bias=no)", input="3x224x224").graph
    ledger = Simulator(graph).ledger(Question(batch=128, train="sgd", amp=True))
    padded = 128 * 224 * 224 * 8 * 2 + 64 * 7 * 7 * 8 * 2
    assert [size for _, size in ledger.workspaces] == [padded, padded]
    assert padded / 2**20 == pytest.approx(98.05, abs=0.01)
    events = list(ledger.steps(2))
    assert sum(what == "alloc" for what, _, _ in events) == sum(what == "free" for what, _, _ in events) + 4
    passing = [what for what, name, _ in events if name in ((0, "workspace"), (1, "workspace"))]
    assert passing == ["alloc", "free"] * 4
    assert not Simulator(graph).ledger(Question(batch=128, train="sgd")).workspaces
    assert not Simulator(graph).ledger(Question(batch=128, train="sgd", amp=True, device="cpu")).workspaces


def on_gpu(name: str, batch: int, *more: str) -> dict[str, Any]:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    script = Path(__file__).parent / "gpu_memory.py"
    words = [sys.executable, str(script), name, str(batch), *more]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    record: dict[str, Any] = json.loads(done.stdout)
    return record


@pytest.mark.gpu
@pytest.mark.parametrize("more", [(), ("--limit", str(13 << 27))])
def test_what_is_taken_of_a_gpu(more: tuple[str, ...]) -> None:
    """The events of real steps, given to our allocator; with a limit for which segments have to be given back.

    Of free parts of one size torch takes that of the lowest address, and where segments lie is not ours to know.
    """
    record = on_gpu("resnet50", 64, "--amp", "--checkpoint", "--events", *more)
    allocator = CachingAllocator(int(more[1]) if more else None)
    allocator.replay((what, address, size) for what, address, size in record["events"])
    assert record["fits"]
    assert close((allocator.peak, record["reserved"]), 0.02), record["reserved"]


@pytest.mark.gpu
@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", ["resnet50", "densenet121", "efficientnet_b0"])
def test_the_peak_is_a_gpus(name: str, checkpoint: bool) -> None:
    """With the workspaces that cuBLAS keeps from the first step on."""
    record = on_gpu(name, 128, "--amp", *(["--checkpoint"] if checkpoint else []))
    question = Question(batch=128, train="sgd", amp=True, checkpoint=checkpoint)
    simulator = Simulator(cnnc.load(f"zoo:{name}").graph, checkpoint=checkpoint)
    assert close((simulator.peak(question) + 2 * CUBLAS, record["peak"]), 0.05), record["peak"]


@pytest.mark.gpu
@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet_v2", "efficientnet_b0"])
def test_the_biggest_batch_runs_on_a_gpu_and_a_fourth_more_does_not(name: str, checkpoint: bool) -> None:
    limit = 8 << 30
    simulator = Simulator(cnnc.load(f"zoo:{name}").graph, checkpoint=checkpoint)
    plan = simulator.plan(Question(train="sgd", amp=True, checkpoint=checkpoint), limit=limit)
    assert plan.biggest
    more = ["--amp", "--limit", str(limit), *(["--checkpoint"] if checkpoint else [])]
    assert on_gpu(name, plan.biggest, *more)["fits"]
    assert not on_gpu(name, plan.biggest * 5 // 4 + 1, *more)["fits"]
