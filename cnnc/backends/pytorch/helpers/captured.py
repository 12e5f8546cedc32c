"""The inference form's calls as graphs: CUDA's on GPUs, oneDNN's on CPUs."""

import copy
import ctypes
import pathlib
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cnnc.backends.pytorch.helpers.gpu import CudaGraphs, InGraph


class OneDnnGraphs:
    """A model's calls as graphs of oneDNN's, one for each shape, type and layout.

    A graph keeps the weights and maps in oneDNN's own layouts, and has no Python. It is
    tried on random inputs first: where it fails, is off or is no faster, the model is
    called. Graphs are made anew when weights have changed.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.graphs: dict[tuple[object, ...], Callable[..., Any]] = {}
        self.watched: list[tuple[dict[str, Any], str, int, int]] = []
        # Once it has had a block of this size back, glibc keeps memory for such maps
        # rather than to return it after each layer.
        torch.empty(2**25 - 2**13, dtype=torch.uint8)

    def _watch(self) -> None:
        """Note where the weights lie, and how often they have changed."""
        tensors = [
            (holder, name, tensor)
            for module in self.model.modules()
            for holder in (module._parameters, module._buffers)
            for name, tensor in holder.items()
            if tensor is not None
        ]
        self.watched = [(h, n, t.data_ptr(), t._version) for h, n, t in tensors]

    def _is_current(self) -> bool:
        for holder, name, place, version in self.watched:
            tensor = holder[name]
            if tensor._version != version or tensor.data_ptr() != place:
                return False
        return True

    def __call__(self, *inputs: Tensor) -> Any:
        key = tuple([(x.shape, x.stride(), x.dtype) for x in inputs])
        graph = self.graphs.get(key)
        if (
            graph is None
            or torch.is_grad_enabled()
            or torch.is_autocast_enabled("cpu")
            or not self._is_current()
        ):
            return self._checked(key, inputs)
        return graph(*inputs)

    @torch.no_grad()
    def _checked(self, key: tuple[object, ...], inputs: Sequence[Tensor]) -> Any:
        """The outputs, of a graph that is made where there is none yet."""
        kinds = (torch.float32, torch.bfloat16)
        has_graph = all(x.dtype in kinds and x.numel() for x in inputs)
        if not has_graph or torch.is_autocast_enabled("cpu"):
            return self.model(*inputs)
        if not self._is_current():
            self.graphs.clear()
        if key not in self.graphs:
            fixed = torch.Generator().manual_seed(0)
            tried = [torch.empty_like(x).normal_(generator=fixed) for x in inputs]
            self.graphs[key] = self._fastest(tried)
            self._watch()
        return self.graphs[key](*inputs)

    def _fastest(self, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        """The model, its graph, or the model with graphs of its slices."""
        wanted = self.model(*inputs)
        ways: list[Callable[..., Any]] = [self.model]
        for made in (self._whole, self._sliced):
            try:
                way = made(inputs, wanted)
                if way is not None and is_close(way(*inputs), wanted):
                    ways.append(way)
            except RuntimeError:  # of what oneDNN's builder does not know
                continue
        use_huge_pages()
        times = least_seconds(ways, inputs)
        return ways[times.index(min(times))]

    def _whole(self, inputs: Sequence[Tensor], wanted: Any) -> Callable[..., Any]:
        graph = self._graph(self.model, inputs)
        if isinstance(wanted, Tensor):
            return graph
        return partial(named, type(wanted), graph)

    def _sliced(self, inputs: Sequence[Tensor], wanted: Any) -> Any:
        """The model with graphs of its maps; None if it takes all images at once."""
        whole: Any = getattr(self.model, "maps", None)
        if whole is None:
            return None
        graphs: dict[Any, Callable[..., Any]] = {}
        part: Any = copy.copy(self.model)
        part.forward = whole

        def maps(x: Tensor) -> Any:
            if len(x) == len(inputs[0]):
                return whole(x)
            key = (x.shape, x.stride())
            if key not in graphs:
                graphs[key] = self._graph(part, [x])
            return graphs[key](x)

        model: Any = copy.copy(self.model)
        model.maps = maps
        model(*inputs)
        return model if graphs else None

    def _graph(self, model: nn.Module, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        switched = torch.jit.onednn_fusion_enabled()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that sizes are fixed, as they are to be
            torch.jit.enable_onednn_fusion(True)
            InGraph.thread = threading.get_ident()
            try:
                model(*inputs)
                traced = torch.jit.trace(model, tuple(inputs), check_trace=False)
                graph = torch.jit.freeze(traced)
                for _ in range(2):  # it is put together at the first calls
                    graph(*inputs)
            finally:
                InGraph.thread = None
                layers: list[Any] = list(model.modules())
                for layer in layers:
                    if hasattr(layer, "ready"):
                        layer.ready = None
                torch.jit.enable_onednn_fusion(switched)
        return graph


def use_huge_pages() -> None:
    """Have Linux put the heap, where weights and maps lie, on pages of 2 MiB.

    The processor then looks up fewer of them. Where the system has no such pages, or
    is set to never use them, nothing changes.
    """
    setting = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists() or "[never]" in setting.read_text():
        return
    now_and_later = (25, 14)  # MADV_COLLAPSE, which Linux has since 6.1; MADV_HUGEPAGE
    for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
        if line.endswith("[heap]"):
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
            heap = (ctypes.c_void_p(first), ctypes.c_size_t(last - first))
            for advice in now_and_later:
                ctypes.CDLL(None).madvise(*heap, advice)


def is_close(got: Any, wanted: Any) -> bool:
    """Whether outputs are the same but for what rounding may do."""
    one = isinstance(wanted, Tensor)
    pairs = [(got, wanted)] if one else list(zip(got, wanted, strict=True))
    limit = 1e-3 if pairs[0][1].dtype == torch.float32 else 0.1
    return all(bool((a - b).norm() <= limit * b.norm()) for a, b in pairs)


def named(kind: type, graph: Callable[..., Any], *inputs: Tensor) -> Any:
    """A graph's outputs as the named tuple that the model returns."""
    return kind(*graph(*inputs))


def seconds(way: Callable[..., Any], inputs: Sequence[Tensor]) -> float:
    """The time of a call on the CPU."""
    begin = time.perf_counter()
    way(*inputs)
    return time.perf_counter() - begin


def least_seconds(
    ways: Sequence[Callable[..., Any]],
    inputs: Sequence[Tensor],
    spoiled: Tensor | None = None,
) -> list[float]:
    """For each way the least time of some calls, which are in turn.

    A way is left after 0.2 s, one that is far behind after 0.05 s. To write into a
    large tensor before each call drives out of the caches what calls leave there.
    """
    times = [torch.inf for _ in ways]
    for calls in range(5):
        far = 1.5 * min(times)
        for i, way in enumerate(ways):
            if calls and calls * times[i] > (0.05 if times[i] > far else 0.2):
                continue
            if spoiled is not None:
                spoiled.zero_()
            times[i] = min(times[i], seconds(way, inputs))
    return times


def capture(model: nn.Module, *example: Tensor) -> Callable[..., Any]:
    """The model's calls as graphs, which spare what each layer's call costs.

    They are CUDA's, or on CPUs oneDNN's where these are faster. The model is in
    evaluation mode. The graph of the example is made at once, those of other shapes at
    their first call; on CPUs each takes about a second for one image, and as long as
    some thirty calls for many. New values of the weights are seen; graphs are made anew
    after `to` and `load_state_dict` with `assign=True`, on CPUs after any change.
    Gradients are not computed. Raises ValueError where the example is neither on the
    current GPU nor on the CPU.
    """
    if model.training:
        raise ValueError("a graph needs a model in evaluation mode: model.eval()")
    captured: Callable[..., Any]
    if all(x.is_cpu for x in example):
        has_graphs = hasattr(torch.jit, "enable_onednn_fusion")
        if not has_graphs or not torch.backends.mkldnn.is_available():
            return torch.no_grad()(model.__call__)
        captured = OneDnnGraphs(model)
    elif all(
        x.is_cuda and x.get_device() == torch.cuda.current_device() for x in example
    ):
        captured = CudaGraphs(model)
    else:
        raise ValueError("a graph needs inputs on the CPU, or on the current GPU")
    captured(*example)
    return captured
