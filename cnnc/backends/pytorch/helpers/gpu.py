"""How the inference form runs on GPUs: what is there, which of several ways is the fastest, graphs of calls."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnc.backends.pytorch.helpers.kernels import finish_kernel, scale_kernel, triton


def takes_kernels(x: Tensor, *more: Tensor) -> bool:
    """Whether a call may go to kernels that PyTorch cannot trace or differentiate."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    device = x.device
    if device.type == "cuda":
        if device.index != torch.cuda.current_device():
            return False
    elif device.type != "cpu":
        return False
    for each in (x, *more):
        if each.numel() == 0 or (each.requires_grad and torch.is_grad_enabled()):
            return False
    return not torch.is_autocast_enabled(device.type)


class InGraph:
    """The thread that makes a graph of oneDNN's, in which some layers differ.

    They are called twice, to prepare and to be traced, and `ready` is what they keep.
    """

    thread: ClassVar[int | None] = None


def in_graph() -> bool:
    """Whether this call is a part of a graph of oneDNN's that is being made."""
    return InGraph.thread is not None and InGraph.thread == threading.get_ident()


def takes_triton(x: Tensor) -> bool:
    """Whether Triton's kernels can be called with maps of two axes."""
    floats = (torch.float32, torch.bfloat16, torch.float16)
    kernels = triton is not None and x.is_cuda and x.dim() == 4 and x.dtype in floats
    return kernels and takes_kernels(x)


def cudnn_has_sums() -> bool:
    """Whether cuDNN's convolutions with relu, and with a sum before it, are there."""
    return (
        torch.version.hip is None
        and torch.backends.cudnn.is_available()
        and bool(torch.backends.cudnn.enabled)
        and hasattr(torch, "cudnn_convolution_relu")
        and hasattr(torch, "cudnn_convolution_add_relu")
    )


def pixel_step(x: Tensor) -> int:
    """How far apart pixels are in maps with their channels innermost; else 0."""
    n, c, h, w = x.shape
    if x.is_contiguous(memory_format=torch.channels_last):
        return c
    sides = ((w, x.stride(3), 1), (h, x.stride(2), w), (n, x.stride(0), h * w))
    step = next((stride // each for size, stride, each in sides if size > 1), c)
    inner = c == 1 or x.stride(1) == 1
    rows = all(size == 1 or stride == each * step for size, stride, each in sides)
    return step if inner and rows and step >= c else 0


def in_rows(x: Tensor) -> tuple[Tensor, int]:
    """Maps with their channels innermost, and how far apart their pixels are."""
    step = pixel_step(x)
    if step:
        return x, step
    return x.contiguous(memory_format=torch.channels_last), x.size(1)


def empty_rows(x: Tensor, *shape: int) -> Tensor:
    """New maps of a shape with their channels innermost, otherwise as `x`."""
    last = torch.channels_last
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=last)


def power_of_2(n: int) -> int:
    """The first that is not less."""
    return 1 << (n - 1).bit_length()


def blocks(pixels: int, channels: int, size: int) -> tuple[tuple[int, int], int, int]:
    """A grid over the pixels and channels of maps, and the part of each program."""
    c = min(power_of_2(channels), 128)
    p = size // c
    return (-(-pixels // p), -(-channels // c)), p, c


def scale_maps(x: Tensor, factor: Tensor, offset: Tensor, act: str) -> Tensor:
    """Each channel times a factor, plus an offset, then `act`; maps may be parts."""
    x, step = in_rows(x)
    y = empty_rows(x, *x.shape)
    pixels = y.numel() // y.size(1)
    grid, p, c = blocks(pixels, y.size(1), 4096)
    sizes = (pixels, y.size(1), step)
    scale_kernel[grid](x, y, factor, offset, *sizes, act, p, c, num_warps=8)
    return y


def finish(
    y: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    act: str,
    slope: Sequence[float],
) -> Tensor:
    """Bias, sum and activation in place; one kernel where Triton is there."""
    y = y.contiguous(memory_format=torch.channels_last)
    if triton is None:
        if bias is not None:
            y += bias.view(-1, 1, 1)
        if other is not None:
            y += other
        return y if act == "none" else getattr(F, act)(y, *slope)
    finish_kernel[(-(-y.numel() // 2048),)](
        y,
        y if bias is None else bias,
        y if other is None else other,
        y.numel(),
        y.size(1),
        *(slope or [0.0]),
        ACT=act,
        BIAS=bias is not None,
        ADDS=other is not None,
        BLOCK=2048,
        num_warps=8,
    )
    return y


def fastest(ways: Sequence[Callable[..., Tensor]], *args: Any) -> int:
    """Which of several ways to compute the same takes the least time on the GPU.

    It is the first where no times can be taken: while a graph is captured, and where
    the same call is to give the same bits every time.
    """
    fixed = (
        len(ways) == 1
        or torch.cuda.is_current_stream_capturing()
        or torch.are_deterministic_algorithms_enabled()
        or torch.backends.cudnn.deterministic
    )
    if fixed:
        return 0
    searches = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        times = [milliseconds(way, *args) for way in ways]
    finally:
        torch.backends.cudnn.benchmark = searches
    return times.index(min(times))


def milliseconds(way: Callable[..., Tensor], *args: Any) -> float:
    """The least time of some calls on the GPU; infinite where it cannot be called."""
    try:
        way(*args)  # compiles and searches
    except RuntimeError:
        return float("inf")
    times = []
    for _ in range(4):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        if hasattr(torch.cuda, "_sleep"):
            torch.cuda._sleep(400_000)  # so that the launches are not what is timed
        begin.record()
        way(*args)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return min(times)


class CudaGraphs:
    """A model's calls as CUDA graphs, one for each shape."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.graphs: dict[tuple[object, ...], tuple[Any, list[Tensor], Any]] = {}
        self.pool = torch.cuda.graph_pool_handle()
        self.watched: list[tuple[Any, int, int]] = []

    def _watch(self) -> None:
        """Note where weights lie, and how often the sources of others have changed."""
        modules: list[Any] = list(self.model.modules())
        layers = [m for m in modules if isinstance(getattr(m, "weight", None), Tensor)]
        made = [m for m in layers if getattr(m, "made", None)]
        self.watched = [(m, m.weight.data_ptr(), -1) for m in layers[:1]]
        self.watched += [(m, m.weight.data_ptr(), m.weight._version) for m in made]

    def _is_current(self) -> bool:
        return all(
            layer.weight.data_ptr() == place and version in (-1, layer.weight._version)
            for layer, place, version in self.watched
        )

    def __call__(self, *inputs: Tensor) -> Any:
        if not self._is_current():
            self.graphs.clear()
        key = tuple((x.shape, x.dtype) for x in inputs)
        if key not in self.graphs:
            self.graphs[key] = self._captured(inputs)
            self._watch()
        graph, mine, outputs = self.graphs[key]
        for x, given in zip(mine, inputs, strict=True):
            x.copy_(given.detach())
        graph.replay()
        if isinstance(outputs, Tensor):
            return outputs.clone()
        return type(outputs)(*(output.clone() for output in outputs))

    @torch.no_grad()
    def _captured(self, inputs: Sequence[Tensor]) -> tuple[Any, list[Tensor], Any]:
        mine = []
        for x in inputs:
            last = torch.channels_last if x.dim() == 4 else torch.contiguous_format
            mine.append(x.detach().clone(memory_format=last))
        here = torch.cuda.current_stream()
        aside = torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(3):  # what a first call looks for is found before
                self.model(*mine)
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # cuBLAS's workspace is to lie in this graph's memory, which lives as long.
        forget = getattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None)
        forget()
        with torch.cuda.graph(graph, pool=self.pool):
            outputs = self.model(*mine)
        forget()
        return graph, mine, outputs
