"""How fast a network runs: repeats after a warm-up, beside what the device's matrix units can do."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from cnnc.backends.pytorch.form import form_of
from cnnc.backends.pytorch.runtime import module
from cnnc.backends.pytorch.runtime_peers import peer
from cnnc.compiler.cards import Card
from cnnc.compiler.cost import costs
from cnnc.compiler.graph import Graph
from cnnc.compiler.roofline import roofline
from cnnc.dsl.diagnostics import CnncError, fail

if TYPE_CHECKING:
    import torch

DTypeName = Literal["float32", "bfloat16", "float16"]
Progress = Callable[[str], None]

_LEAST, _MOST = 5, 200
"""Repeats of each measurement, however long or short one takes."""

_BACKWARD = 3
"""A forward and backward have about three times the multiply-adds of a forward: the gradients by the input
and by the weights cost as much each. (The first layer has none by its input; norms and the like count nowhere.)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is run, and where. `seconds` bounds the repeats of each measurement.

    `graph` runs the inference form by its `capture`; `versus` names what else is timed, in turn with it.
    """

    device: str = "cpu"
    batch: int = 8
    dtype: DTypeName = "float32"
    compile: bool = False
    channels_last: bool = False
    inference: bool = False
    seconds: float = 3.0
    graph: bool = False
    versus: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of one run over the repeats, and what follows from the median.

    `peak_share` is of the matrix peak, by multiply-adds; `memory` is in bytes, None where it is not known.
    `roofline_share` is of the speed at which each layer would be bound by its bytes or its multiply-adds alone;
    `ratio` is the time over that of what it is timed beside: the median and the quartiles of the rounds.
    """

    what: str
    repeats: int
    median: float
    low: float
    high: float
    images_per_second: float
    peak_share: float
    memory: int | None
    roofline_share: float | None = None
    ratio: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """All that was measured. `peak` is in FLOP/s, of a square matrix product in the same dtype; `bandwidth` in
    bytes/s, of a copy, read and written."""

    device_name: str
    threads: int | None
    peak: float
    bandwidth: float
    timings: tuple[Timing, ...]


def bench(graph: Graph, setting: Setting, progress: Progress = lambda _: None) -> Bench:
    """Measure the forward in evaluation under no_grad, and (not for the inference form) forward and backward.

    Raises CnncError: E407 for free sizes, E802 where torch or the device is missing, E901 where memory ends.
    """
    if graph.free:
        hint = "give it with --input, such as --input 3x224x224"
        raise fail("E407", f"the size {', '.join(graph.free)} must be known to run the network", hint=hint)
    try:
        import torch
    except ImportError:
        hint = "pip install torch"
        raise fail("E802", "a benchmark needs torch, which is not installed", hint=hint) from None
    device = _device(setting.device)
    try:
        return _Runner(graph, setting, device, progress).run()
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        message = "a batch norm sees one value of each channel, and trains with batches of 2 or more only"
        raise fail("E408", message, hint="--batch 2, or --for inference") from None
    except torch.OutOfMemoryError:
        raise _too_large(setting) from None
    except RuntimeError as error:
        if "alloc" in str(error) and "memory" in str(error):  # the CPU's allocator has no class of its own
            raise _too_large(setting) from None
        raise


def _too_large(setting: Setting) -> CnncError:
    return fail(
        "E901", f"a batch of {setting.batch} does not fit the memory of {setting.device}", hint="--batch 1"
    )


def _device(name: str) -> torch.device:
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise fail("E802", f"torch has no device `{name}` here", hint="--device cpu") from None
    return device


class _Runner:
    def __init__(self, graph: Graph, setting: Setting, device: torch.device, progress: Progress) -> None:
        import torch

        self.torch = torch
        self.graph = graph
        self.setting = setting
        self.device = device
        self.progress = progress
        self.dtype: torch.dtype = getattr(torch, setting.dtype)
        self.macs = costs(graph).total.macs * setting.batch

    def run(self) -> Bench:
        self.progress("matrix peak")
        peak = self._peak()
        model, inputs = self._model(), self._inputs()
        bandwidth = self._bandwidth()
        timings = self._forwards(model, inputs, peak, bandwidth)
        if not self.setting.inference and any(p.requires_grad for p in model.parameters()):
            timings.append(self._timing("forward+backward", self._step(model, inputs), _BACKWARD, peak))
        cuda = self.device.type == "cuda"
        name = self.torch.cuda.get_device_name(self.device) if cuda else self.device.type
        threads = self.torch.get_num_threads() if self.device.type == "cpu" else None
        return Bench(name, threads, peak, bandwidth, tuple(timings))

    def _forwards(
        self, model: Any, inputs: list[torch.Tensor], peak: float, bandwidth: float
    ) -> list[Timing]:
        """The forward, and what it is timed beside, in turn."""
        runs = {"forward": self._forward(model, inputs)}
        if self.setting.graph:
            captured = sys.modules[type(model).__module__].capture(model.eval(), *inputs)
            runs["forward"] = lambda: captured(*inputs)
        if self.setting.versus is not None:
            self.progress(f"{self.setting.versus}: builds")
            other = peer(self.setting.versus, self.graph, self.state, inputs)
            runs[self.setting.versus] = self._forward(other, inputs)
        self._reset_memory()
        times = self._rounds(runs)
        card = Card("here", "measured", "this run", bandwidth, 0, {self.setting.dtype: peak})
        least = roofline(
            self.graph, card, batch=self.setting.batch, dtype=self.setting.dtype, fused=self.setting.inference
        ).seconds
        timings = []
        for what, spent in times.items():
            timing = self._told(what, spent, 1, peak)
            timings.append(replace(timing, roofline_share=least / timing.median))
        if self.setting.versus is not None:
            pairs = zip(times["forward"], times[self.setting.versus], strict=True)
            low, middle, high = statistics.quantiles([mine / theirs for mine, theirs in pairs], n=4)
            timings[0] = replace(timings[0], ratio=(middle, low, high))
        return timings

    def _rounds(self, runs: Mapping[str, Callable[[], None]]) -> dict[str, list[float]]:
        """The seconds of each run, one after the other in every round, so that all meet the same machine.

        Each is called once before it is timed: the threads of the one before wait for work a while yet.
        """
        for run in runs.values():
            for _ in range(2):
                self._seconds(run)
        times: dict[str, list[float]] = {what: [] for what in runs}
        done = times["forward"]
        while len(done) < _LEAST or (
            sum(map(sum, times.values())) < self.setting.seconds and len(done) < _MOST
        ):
            for what, run in runs.items():
                if len(runs) > 1:
                    run()
                times[what].append(self._seconds(run))
            self.progress(f"forward: {len(done)} rounds")
        return times

    def _bandwidth(self) -> float:
        """Bytes/s that a copy reads and writes."""
        size = 2**30 if self.device.type == "cuda" else 2**26
        a = self.torch.ones(size, dtype=self.torch.uint8, device=self.device)
        b = self.torch.empty_like(a)

        def run() -> None:
            b.copy_(a)

        return 2 * size / min(self._seconds(run) for _ in range(6))

    def _model(self) -> Any:
        self.torch.manual_seed(0)
        plain = module(self.graph)
        self.state = plain.state_dict()
        built: Any = module(self.graph, form_of("inference"), self.state) if self.setting.inference else plain
        built = built.to(self.device, self.dtype)
        if self.setting.channels_last:
            built = built.to(memory_format=self.torch.channels_last)
        return self.torch.compile(built) if self.setting.compile else built

    def _inputs(self) -> list[torch.Tensor]:
        inputs = []
        for index in self.graph.inputs.values():
            shape = (self.setting.batch, *map(int, self.graph.nodes[index].out))
            x = self.torch.randn(shape, device=self.device, dtype=self.dtype)
            if self.setting.channels_last and x.dim() == 4:
                x = x.contiguous(memory_format=self.torch.channels_last)
            inputs.append(x)
        return inputs

    def _forward(self, model: Any, inputs: list[torch.Tensor]) -> Callable[[], None]:
        if hasattr(model, "eval"):
            model.eval()

        def run() -> None:
            with self.torch.no_grad():
                model(*inputs)

        return run

    def _step(self, model: Any, inputs: list[torch.Tensor]) -> Callable[[], None]:
        def run() -> None:
            model.train()
            model.zero_grad(set_to_none=True)
            output = model(*inputs)
            outputs = output if isinstance(output, tuple) else (output,)
            self.torch.stack([o.float().mean() for o in outputs]).sum().backward()

        return run

    def _timing(self, what: str, run: Callable[[], None], passes: int, peak: float) -> Timing:
        self.progress(f"{what}: warm-up")
        self._reset_memory()
        return self._told(
            what, self._repeat(run, lambda done: self.progress(f"{what}: {done} runs")), passes, peak
        )

    def _told(self, what: str, times: Sequence[float], passes: int, peak: float) -> Timing:
        median = statistics.median(times)
        return Timing(
            what=what, repeats=len(times), median=median, low=min(times), high=max(times),
            images_per_second=self.setting.batch / median, peak_share=2 * self.macs * passes / median / peak,
            memory=self._memory(),
        )  # fmt: skip

    def _repeat(self, run: Callable[[], None], told: Callable[[int], None]) -> list[float]:
        for _ in range(2):
            self._seconds(run)
        times: list[float] = []
        while len(times) < _LEAST or (sum(times) < self.setting.seconds and len(times) < _MOST):
            times.append(self._seconds(run))
            told(len(times))
        return times

    def _seconds(self, run: Callable[[], None]) -> float:
        self._wait()
        begin = time.perf_counter()
        run()
        self._wait()
        return time.perf_counter() - begin

    def _wait(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)

    def _peak(self) -> float:
        """FLOP/s of the best of several square matrix products."""
        n = 8192 if self.device.type == "cuda" else 2048
        a, b = (self.torch.randn(n, n, device=self.device, dtype=self.dtype) for _ in range(2))
        product = self.torch.empty_like(a)

        def run() -> None:
            self.torch.mm(a, b, out=product)

        return 2 * n**3 / min(self._seconds(run) for _ in range(6))

    def _reset_memory(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.reset_peak_memory_stats(self.device)

    def _memory(self) -> int | None:
        """The most that was allocated on a CUDA device, or the most that this process ever held."""
        if self.device.type == "cuda":
            return int(self.torch.cuda.max_memory_allocated(self.device))
        try:
            import resource
        except ImportError:
            return None
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
