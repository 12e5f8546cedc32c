"""How much memory the written module takes, moment by moment: simulated on the module itself, without torch.

The Python that is written for a network is run on tensors without values (`dry/`), so what lives how
long follows from the very text that will run: variables, in-place activations, checkpointed blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from cnnc.backends.pytorch.class_names import model_name
from cnnc.backends.pytorch.dry.allocator import CachingAllocator, DoesNotFitError
from cnnc.backends.pytorch.dry.externs import extern_modules
from cnnc.backends.pytorch.dry.ledger import Entry, Ledger
from cnnc.backends.pytorch.dry.run import Optimiser, Program, Run
from cnnc.backends.pytorch.form import form_of
from cnnc.backends.pytorch.write import to_pytorch
from cnnc.compiler.graph import Graph
from cnnc.compiler.sizes import is_free
from cnnc.dsl.deep import deep
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record

DTypeName = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[str, ...] = get_args(DTypeName)
OPTIMISERS: tuple[str, ...] = get_args(Optimiser)
RESERVE = 0.06
"""The share of memory left for the workspace of cuDNN and cuBLAS, for the CUDA context and fragmentation."""
KINDS = {
    "params": "parameters", "buffers": "buffers", "gradients": "gradients", "optimiser": "optimiser",
    "inputs": "inputs", "activations": "activations", "temporary": "temporary",
}  # fmt: skip


@record
class Held:
    """Memory that one layer made and that is held at the peak, in bytes."""

    layer: str
    kind: str
    size: int


@record(kw_only=True)
class MemoryPlan:
    """The memory of a forward pass, or of a step of training, in bytes.

    `parts` are what is held at the peak, by kind; `kept` what the forward pass saves for the
    backward pass (inputs in, parameters out), `curve` what is held at each allocation and free, `phases`
    where in it each phase begins. `biggest` is the largest batch that leaves `reserve` of `limit`
    free, None where no limit was given, 0 where not even one image fits; `biggest_reserved` is what PyTorch takes of
    the GPU for it, which is more than its peak `biggest_peak` by what it caches. `unknown` names the layers of which only
    a part is counted: externs, and recurrent layers that cuDNN or oneDNN runs.
    """

    model: str
    batch: int
    train: str | None
    dtype: str
    amp: bool
    checkpointed: bool
    device: str
    peak: int
    peak_layer: str
    peak_phase: str
    parts: Mapping[str, int]
    kept: int
    largest: tuple[Held, ...]
    curve: tuple[int, ...]
    phases: Mapping[str, int]
    unknown: tuple[str, ...] = ()
    limit: int | None = None
    reserve: float = RESERVE
    biggest: int | None = None
    biggest_peak: int | None = None
    biggest_reserved: int | None = None


@record
class Question:
    """What is asked about a network's memory. `train` is an optimiser, None for inference."""

    batch: int = 1
    train: str | None = None
    dtype: str = "float32"
    amp: bool = False
    checkpoint: bool = False
    device: str = "cuda"
    block: int | None = None
    """What an allocation is rounded up to, in bytes: 512 on GPUs, 1 on CPUs, unless given."""
    watched: bool = False
    """As under a dispatch mode of torch (MemTracker), where no gradient is added to in place."""

    def check(self) -> None:
        """Raise ValueError where an answer would mean nothing."""
        if self.batch < 1:
            raise ValueError(f"batch (={self.batch}) must be at least 1")
        for name, value, choices in (
            ("train", self.train, (None, *OPTIMISERS)),
            ("dtype", self.dtype, DTYPES),
            ("device", self.device, ("cuda", "cpu")),
        ):
            if value not in choices:
                raise ValueError(f"{name} (={value!r}) must be one of {', '.join(str(c) for c in choices)}")
        if self.checkpoint and self.train is None:
            raise ValueError("checkpoint is for training: name an optimiser, for instance train='sgd'")


class Simulator:
    """One network's written module, compiled once; `peak` and `plan` run it."""

    def __init__(self, graph: Graph, *, checkpoint: bool = False) -> None:
        """Raises CnncError (E407) where a size is free, (E801) where there is nothing to checkpoint."""
        if graph.free:
            sizes = " and ".join(f"`{name}`" for name in graph.free)
            sides = graph.nodes[next(iter(graph.inputs.values()))].out
            shape = "x".join("224" if is_free(n) else str(n) for n in sides)
            raise fail(
                "E407", f"the memory depends on {sizes}", hint=f"give the size, such as --input {shape}"
            )
        self.graph = graph
        self.checkpoint = checkpoint
        self.source = to_pytorch(graph, form_of("checkpoint" if checkpoint else None))
        self.program = Program(self.source, model_name(graph), lambda: extern_modules(graph))
        self.unknown = tuple(node.name for node in graph.nodes if node.op.kind == "extern")

    def ledger(self, question: Question) -> Ledger:
        """The ledger of one run."""
        question.check()
        shapes = tuple(tuple(int(n) for n in self.graph.nodes[i].out) for i in self.graph.inputs.values())
        default_block = 512 if question.device == "cuda" else 1
        half = question.dtype if question.dtype != "float32" else "bfloat16"
        run: Any = Run(
            shapes=shapes,
            batch=question.batch,
            optimiser=question.train,  # type: ignore[arg-type]
            dtype="float32" if question.amp else question.dtype,
            amp=half if question.amp else None,
            device=question.device,  # type: ignore[arg-type]
            block=question.block or default_block,
            watched=question.watched,
        )
        return self.program.run(run)

    def peak(self, question: Question) -> int:
        """The most bytes held at once."""
        return self.ledger(question).peak

    def plan(
        self, question: Question, *, limit: int | None = None, reserve: float = RESERVE, largest: int = 5
    ) -> MemoryPlan:
        """Everything that `cnnc plan` says about memory."""
        if not 0 <= reserve < 1:
            raise ValueError(f"reserve (={reserve}) must lie in [0, 1)")
        ledger = self.ledger(question)
        held = ledger.live_at(ledger.peak_at)
        parts = dict.fromkeys(KINDS.values(), 0)
        for entry in held:
            parts[KINDS[entry.kind]] += entry.size
        phase = max(
            (p for p in ledger.starts), key=lambda p: (ledger.starts[p] <= ledger.peak_at, ledger.starts[p])
        )
        biggest, at_biggest, taken = self._biggest(question, ledger, limit, reserve)
        return MemoryPlan(
            model=self.graph.name, batch=question.batch, train=question.train, dtype=question.dtype,
            amp=question.amp, checkpointed=self.checkpoint, device=question.device, peak=ledger.peak,
            peak_layer=_maker(ledger), peak_phase=phase, parts=parts, kept=ledger.kept,
            largest=_largest(held, largest), curve=tuple(ledger.curve[ledger.starts["forward"]:ledger.end]),
            phases={p: at - ledger.starts["forward"] for p, at in ledger.starts.items()},
            unknown=(*self.unknown, *sorted(ledger.unknown - {*self.unknown})), limit=limit, reserve=reserve, biggest=biggest, biggest_peak=at_biggest, biggest_reserved=taken,
        )  # fmt: skip

    def reserved(self, question: Question, limit: int | None = None) -> int:
        """The most bytes that PyTorch's allocator takes from a GPU in a few steps, with what it caches.

        Raises DoesNotFitError where that is more than `limit`. CPUs have no such cache.
        """
        return _reserved(self.ledger(question), limit)

    def _biggest(
        self, question: Question, ledger: Ledger, limit: int | None, reserve: float
    ) -> tuple[int | None, int | None, int | None]:
        """A batch that fits while the next does not, its peak, and what the allocator takes for it within the limit.

        What it takes grows with the batch all but linearly: by whole segments, and now and then a larger batch takes fewer.
        `ledger` is that of the question's own batch.
        """
        if limit is None:
            return None, None, None
        room = int(limit * (1 - reserve))
        peaks: dict[int, int] = {}
        taken: dict[int, int | None] = {}

        def fits(batch: int) -> bool:
            if batch not in taken:
                run = ledger if batch == question.batch else self.ledger(replace(question, batch=batch))
                peaks[batch] = run.peak
                taken[batch] = _taken(run, room, question.device)
            return taken[batch] is not None

        if not fits(1):
            return 0, peaks[1], None
        low, high = 1, None
        while high is None or high - low > 1:
            guess = _guess(peaks, low, high, room)
            if fits(guess):
                low = guess
            else:
                high = guess
            if low > 1 << 40:
                break
        return low, peaks[low], taken[low]


def _reserved(ledger: Ledger, limit: int | None) -> int:
    allocator = CachingAllocator(limit)
    allocator.replay(ledger.steps(3))
    return allocator.peak


def _taken(ledger: Ledger, room: int, device: str) -> int | None:
    """What is taken of the memory, None where there is not enough."""
    if ledger.peak > room:
        return None
    if device == "cpu":
        return ledger.peak
    try:
        return _reserved(ledger, room)
    except DoesNotFitError:
        return None


def _guess(peaks: Mapping[int, int], low: int, high: int | None, room: int) -> int:
    """The batch where the line through two known peaks meets the limit, and halfway once that has not fitted."""
    batches = sorted(peaks)
    if len(batches) < 2:
        return max(2, 2 * batches[0])
    if high is not None and peaks[high] <= room:  # what is cached decides
        return (low + high) // 2
    a = low
    b = high if high is not None else max(n for n in batches if n != low)
    slope = (peaks[b] - peaks[a]) / (b - a)
    guess = a + int((room - peaks[a]) / slope) if slope > 0 else 2 * a
    if high is None:
        return max(guess, low + 1) if guess <= 2 * low else max(guess, 2 * low)
    return min(max(guess, low + 1), high - 1) if high - low > 2 else low + 1


def _maker(ledger: Ledger) -> str:
    """The layer whose allocation made the peak."""
    made = next((e for e in reversed(ledger.entries) if e.born <= ledger.peak_at), None)
    return "" if made is None else made.where


def _largest(held: Sequence[Entry], count: int) -> tuple[Held, ...]:
    """What takes most at the peak: activations and what else a layer made, by layer and kind."""
    sums: dict[tuple[str, str], int] = {}
    for entry in held:
        key = (entry.where, KINDS[entry.kind])
        sums[key] = sums.get(key, 0) + entry.size
    found = sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:count]
    return tuple(Held(layer, kind, size) for (layer, kind), size in found)


@deep
def memory_plan(
    graph: Graph, question: Question, *, limit: int | None = None, reserve: float = RESERVE
) -> MemoryPlan:
    """The memory of one forward pass or training step. Raises CnncError (E407, E801), ValueError."""
    question.check()
    return Simulator(graph, checkpoint=question.checkpoint).plan(question, limit=limit, reserve=reserve)


def claimed_peak(graph: Graph, asked: Mapping[str, object]) -> int:
    """The peak that `memory(train, batch=32)` is about, in float32 with SGD for one image unless it says otherwise.

    Raises ValueError for what cannot be asked, CnncError (E407, E801).
    """
    known: dict[str, Any] = {
        "train": "sgd",
        "batch": 1,
        "dtype": "float32",
        "amp": False,
        "checkpoint": False,
    }
    for key, value in asked.items():
        if key not in known:
            raise ValueError(f"`memory` is asked by {', '.join(known)}, and not by `{key}`")
        if key in ("amp", "checkpoint"):
            value = (
                {"yes": True, "no": False, "blocks": True}.get(value, value)
                if isinstance(value, str)
                else value
            )
            if not isinstance(value, bool):
                raise ValueError(f"{key} (={value}) must be yes or no")
        elif key == "batch" and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValueError(f"batch (={value}) must be a whole number")
        known[key] = value
    question = Question(**known)
    question.check()
    return Simulator(graph, checkpoint=question.checkpoint).peak(question)
