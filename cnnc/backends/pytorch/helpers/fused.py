"""The inference form's layers with an activation of their own."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnc.backends.pytorch.helpers.captured import least_seconds
from cnnc.backends.pytorch.helpers.gpu import (
    blocks,
    cudnn_has_sums,
    empty_rows,
    fastest,
    finish,
    in_graph,
    in_rows,
    power_of_2,
    scale_maps,
    takes_kernels,
)
from cnnc.backends.pytorch.helpers.kernels import (
    depthwise_kernel,
    product_kernel,
    row_kernel,
    triton,
)
from cnnc.backends.pytorch.helpers.winograd import Tiles, tiles_of, winograd


class Fused(nn.Module):
    """A layer with the activation `act` after it.

    It has kernels for CPUs and GPUs. Where the call is traced, compiled, differentiated
    or under autocast, it is PyTorch's own operators. The weights are not for training.
    """

    def __init__(
        self,
        *args: Any,
        act: str = "none",
        slope: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.act = act
        self.slope = [] if slope is None else [slope]
        # What oneDNN calls the activation, and its numbers.
        names = {"relu6": ("hardtanh", [0.0, 6.0]), "silu": ("swish", [])}
        self.kernel = names.get(act, (act, self.slope))
        self.requires_grad_(False)

    def activated(self, x: Tensor) -> Tensor:
        return x if self.act == "none" else getattr(F, self.act)(x, *self.slope)

    def has_kernel(self, name: str, weight: Tensor, *inputs: Tensor) -> bool:
        """Whether the call can go to a GPU's kernels, or to oneDNN's kernel `name`."""
        x = inputs[0]
        if not takes_kernels(*inputs) or x.dim() != weight.dim():
            return False
        if x.dtype != weight.dtype or x.device != weight.device:
            return False
        if x.is_cuda:
            return x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        return (
            x.is_cpu
            and x.dtype == torch.float32
            and not weight.is_inference()
            and torch.backends.mkldnn.is_available()
            and bool(torch.backends.mkldnn.enabled)
            and hasattr(torch.ops.mkldnn, name)
        )


def scaled(way: Any, x: Any, *args: Any) -> Tensor:
    """A way to run a layer after the norm whose work it does: see `ScaleShift`."""
    return way(scale_maps(x, *x.before), *args)


class FusedConv2d(Fused, nn.Conv2d):
    """Convolution, then the sum with a second input if there is one, then `act`.

    On CPUs it is one oneDNN kernel, whose weights are packed at the first call, and
    when they or the maps' shape have changed. On GPUs it is the fastest of several
    ways, by their times at the first call with maps of a shape.
    """

    known: ClassVar[dict[tuple[object, ...], int]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.packed: tuple[tuple[object, ...], Tensor] | None = None
        self.made: tuple[tuple[object, ...], Tensor] | None = None
        self.chosen: dict[tuple[object, ...], Any] = {}
        self.ready: Any = None
        self.weight.data = self.weight.contiguous(memory_format=torch.channels_last)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": None, "made": None, "chosen": {}}

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        inputs = (x,) if other is None else (x, other)
        if in_graph():
            return self.of_graph(x, other)
        if not self.has_kernel("_convolution_pointwise", self.weight, *inputs):
            return self.plain(x, other, self.weight)
        if other is not None:
            other = other.contiguous(memory_format=torch.channels_last)
        return self.on_gpu(x, other) if x.is_cuda else self.on_cpu(x, other)

    def plain(self, x: Tensor, other: Tensor | None, weight: Tensor) -> Tensor:
        x = self._conv_forward(x, weight, self.bias)
        return self.activated(x if other is None else x + other)

    def of_graph(self, x: Tensor, other: Tensor | None) -> Tensor:
        """What oneDNN's graphs are made of."""
        ready = self.ready
        if ready is None:
            ready = self.ready = self.prepared(x)
        weight, bias, tiled = ready
        if tiled is None:
            y = self._conv_forward(x, weight, bias)
        else:
            relu = other is None and self.act == "relu"
            y = winograd(x, tiled, bias, relu)
            if relu:
                return y
        return self.activated(y if other is None else y + other)

    def prepared(self, x: Any) -> tuple[Tensor, Tensor | None, Any]:
        """Weights and bias with the rest of a norm before, filters if tiles pay."""
        weight, bias = self.weight, self.bias
        if hasattr(x, "before"):
            factor, offset = x.before
            more = weight.flatten(1) @ offset.flatten()
            return weight * factor, more if bias is None else bias + more, None
        pairs = (self.stride, self.padding, self.dilation)
        dense = self.kernel_size == (3, 3) and self.groups == 1
        has_kernel = self.has_kernel("_convolution_pointwise", weight, x)
        if not (dense and has_kernel and all(pair == (1, 1) for pair in pairs)):
            return weight, bias, None
        key = ("tiles", self.extra_repr(), x.shape)
        if key not in self.known:
            self.known[key] = self.size_of_tiles(x)
        size = self.known[key]
        return weight, bias, self.tiles(x, size) if size else None

    def tiles(self, x: Tensor, size: int) -> Tiles:
        return tiles_of(self.weight, size, *map(int, x.shape[2:]))

    def size_of_tiles(self, x: Tensor) -> int:
        """Of what size tiles are the fastest, 0 if the convolution itself is.

        A few images tell, on weights that no cache has, as in a network. Tiles of 2x2
        have fewer weights, which counts where a map has few tiles.
        """
        few = x[: 1 + 2**21 // x[0].numel()]
        sizes = [2, 4] if max(map(int, x.shape[2:])) <= 16 else [4]
        ways: list[Any] = [partial(self.on_cpu, other=None)]
        ways += [partial(self.by_tiles, self.tiles(few, size)) for size in sizes]
        for way in ways:  # weights are packed, and memory is there, from now on
            way(few)
        usual, *tiles = least_seconds(ways, [few], torch.empty(2**23))
        return sizes[tiles.index(min(tiles))] if min(tiles) < 0.8 * usual else 0

    def by_tiles(self, tiles: Tiles, x: Tensor) -> Tensor:
        return winograd(x, tiles, self.bias, self.act == "relu")

    def on_cpu(self, x: Tensor, other: Tensor | None) -> Tensor:
        weight = self.weight
        shape = (self.padding, self.stride, self.dilation, self.groups)
        version = (weight.data_ptr(), weight._version, x.shape)
        if self.packed is None or self.packed[0] != version:
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            self.packed = (version, reorder(weight.detach(), *shape, x.shape))
        weights = (self.packed[1], self.bias, *shape)
        name, numbers = self.kernel
        run = torch.ops.mkldnn._convolution_pointwise
        if other is None:
            return run(x, *weights, name, numbers, None)
        then = None if name == "none" else name
        return run.binary(x, other, *weights, "add", 1.0, then, numbers, None)

    def on_gpu(self, x: Tensor, other: Tensor | None) -> Tensor:
        before = getattr(x, "before", None)
        key = (x.shape, x.stride(), x.dtype, x.device, other is None, before is None)
        way = self.chosen.get(key)
        if way is None:
            ways = self.ways(x, other)
            kind = (type(self), self.extra_repr(), self.act, *self.slope, *key)
            best = self.known.get(kind)
            if best is None:
                best = fastest(ways, x, other, self.weight)
            way = ways[best]
            if not torch.cuda.is_current_stream_capturing():
                self.known[kind] = best
                self.chosen[key] = way
        return way(x, other, self.weight)

    def ways(self, x: Tensor, other: Tensor | None) -> list[Any]:
        """How a GPU can run it, the usual way first."""
        ways: list[Any] = [self.finished]
        if self.act == "none" and other is None:
            ways.insert(0, self.plain)
        if self.act == "relu" and self.bias is not None and cudnn_has_sums():
            ways.insert(0, self.with_relu)
        one = self.kernel_size == (1, 1) and self.padding == (0, 0) and self.groups == 1
        if one and self.stride == (1, 1):
            ways.append(self.multiplied)
        if hasattr(x, "before"):
            ways = [partial(scaled, way) for way in ways]
        if triton is None or x.dtype == torch.float32:
            return ways
        if one:
            few = x.numel() // x.size(1) <= 4096
            tiles = (
                ((16, 32, 128, 4, 4), (32, 64, 64, 4, 4))
                if few
                else ((128, 64, 64, 4, 4), (128, 128, 64, 8, 3))
            )
            return ways + [partial(self.product, tile) for tile in tiles]
        run = self.kernel_size[1] * x.size(1)
        usual = self.groups == 1 and self.dilation == (1, 1) and other is None
        if (
            usual
            and run <= 64
            and self.kernel_size[0] <= 11
            and not hasattr(x, "before")
        ):
            ways += [partial(self.by_rows, tile) for tile in ((32, 4), (128, 8))]
        return ways

    def with_relu(self, x: Tensor, other: Tensor | None, weight: Tensor) -> Tensor:
        """One call of cuDNN's."""
        shape: Any = (self.stride, self.padding, self.dilation, self.groups)
        if other is None:
            return torch.cudnn_convolution_relu(x, weight, self.bias, *shape)
        run = torch.cudnn_convolution_add_relu
        return run(x, weight, other, 1.0, self.bias, *shape)

    def finished(self, x: Tensor, other: Tensor | None, weight: Tensor) -> Tensor:
        """The convolution alone, then the rest in place."""
        y = self._conv_forward(x, weight, None)
        return finish(y, self.bias, other, self.act, self.slope)

    def by_rows(
        self, tile: tuple[int, int], x: Tensor, other: Tensor | None, weight: Tensor
    ) -> Tensor:
        """A kernel of Triton's for few channels; `tile` is its pixels and warps."""
        x = x.contiguous(memory_format=torch.channels_last)
        y = self.empty_output(x)
        outs, places = weight.size(0), y.numel() // weight.size(0)
        o = min(64, max(16, power_of_2(outs)))
        run = self.kernel_size[1] * weight.size(1)
        row_kernel[(-(-places // tile[0]) * -(-outs // o),)](
            *(x, weight, y if self.bias is None else self.bias, y),
            *(places, outs, *x.shape[2:], *y.shape[2:]),
            *(self.slope or [0.0]),
            *(weight.size(1), *self.kernel_size, *self.stride, *self.padding),
            ACT=self.act,
            BIAS=self.bias is not None,
            PIXELS=tile[0],
            OUTS=o,
            RUN=max(16, power_of_2(run)),
            num_warps=tile[1],
        )
        return y

    def multiplied(self, x: Tensor, other: Tensor | None, weight: Tensor) -> Tensor:
        """A matrix product of cuBLAS's, with relu where nothing is added."""
        n, c, h, w = x.shape
        rows, by = x.permute(0, 2, 3, 1).reshape(-1, c), weight.flatten(1).t()
        bias, act = self.bias, self.act
        if bias is None or other is not None:
            y = torch.mm(rows, by)
        elif act == "relu" and hasattr(torch, "_addmm_activation"):
            y, bias, act = torch._addmm_activation(bias, rows, by), None, "none"
        else:
            y, bias = torch.addmm(bias, rows, by), None
        y = y.view(n, h, w, -1).permute(0, 3, 1, 2)
        done = bias is None and other is None and act == "none"
        return y if done else finish(y, bias, other, act, self.slope)

    def product(
        self,
        tile: tuple[int, int, int, int, int],
        x: Tensor,
        other: Tensor | None,
        weight: Tensor,
    ) -> Tensor:
        """A matrix product of Triton's with all that follows; `tile` is its part of it.

        That is pixels, output and input channels, and how many warps and stages.
        """
        before = getattr(x, "before", None)
        x, step = in_rows(x)
        y = self.empty_output(x)
        outs, ins = weight.size(0), weight.size(1)
        p, o, i = tile[:3]
        o = min(o, max(16, power_of_2(outs)))
        i = min(i, max(16, power_of_2(ins)))
        pixels = y.numel() // outs
        product_kernel[(-(-pixels // p) * -(-outs // o),)](
            *(x, weight, y if self.bias is None else self.bias),
            *(y if other is None else other, y, *(before[:2] if before else (y, y))),
            *(pixels, outs, ins, *x.shape[2:], *y.shape[2:], step),
            *(self.slope or [0.0]),
            *self.stride,
            BEFORE=before[2] if before else "",
            ACT=self.act,
            BIAS=self.bias is not None,
            ADDS=other is not None,
            EVEN=ins % i == 0,
            PIXELS=p,
            OUTS=o,
            INS=i,
            num_warps=tile[3],
            num_stages=tile[4],
        )
        return y

    def empty_output(self, x: Tensor) -> Tensor:
        """New maps for what comes out."""
        geometry = (self.kernel_size, self.stride, self.padding, self.dilation)
        return empty_rows(
            x, x.size(0), self.out_channels, *sides(x.shape[2:], *geometry)
        )


@lru_cache(maxsize=1024)
def sides(size: Any, *geometry: Any) -> tuple[int, ...]:
    """The height and width of a convolution's output."""
    axes = zip(size, *geometry, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)


def taps_first(weight: Tensor) -> Tensor:
    """The weights of a filter for each channel, with the channels innermost."""
    return weight.flatten(1).t().contiguous()


class FusedDepthwiseConv2d(FusedConv2d):
    """The same with a filter for each channel; on GPUs Triton has a kernel for it."""

    def ways(self, x: Tensor, other: Tensor | None) -> list[Any]:
        ways = super().ways(x, other)
        small = self.kernel_size[0] * self.kernel_size[1] <= 49
        alone = self.out_channels == self.in_channels and not self.weight.is_inference()
        if triton is None or not alone or not small:
            return ways
        return ways + [partial(self.by_channel, size) for size in (1024, 4096)]

    def made_of(self, weight: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        """The weights in another layout; made again when they have changed."""
        version = (make.__name__, weight.data_ptr(), weight._version, weight.dtype)
        if self.made is None or self.made[0] != version:
            self.made = (version, make(weight.detach()))
        return self.made[1]

    def by_channel(
        self, size: int, x: Tensor, other: Tensor | None, weight: Tensor
    ) -> Tensor:
        """A kernel of Triton's with all that follows; a program has `size` values."""
        x, step = in_rows(x)
        y = self.empty_output(x)
        pixels = y.numel() // y.size(1)
        grid, p, c = blocks(pixels, y.size(1), size)
        taps = self.made_of(weight, taps_first)
        depthwise_kernel[grid](
            *(x, taps, y if self.bias is None else self.bias),
            *(y if other is None else other, y),
            *(pixels, y.size(1), *x.shape[2:], *y.shape[2:], step),
            *(self.slope or [0.0]),
            *(*self.kernel_size, *self.stride, *self.padding, *self.dilation),
            ACT=self.act,
            BIAS=self.bias is not None,
            ADDS=other is not None,
            PIXELS=p,
            CHANNELS=c,
            num_warps=4 if size < 4096 else 8,
        )
        return y


class PooledConv2d(FusedConv2d):
    """A 1x1 convolution, then means of windows of `pool`, which stand side by side.

    On CPUs it is that of the means: the same with fewer products.
    """

    def __init__(self, *args: Any, pool: int | tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pool = pool

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        if not x.is_cpu:
            return F.avg_pool2d(super().forward(x, other), self.pool, self.pool)
        means: Any = F.avg_pool2d(x, self.pool, self.pool)
        if hasattr(x, "before"):
            means.before = x.before
        return super().forward(means, other)


class FusedLinear(Fused, nn.Linear):
    """Fully-connected layer, then `act`."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if not self.has_kernel("_linear_pointwise", weight, x):
            return self.activated(super().forward(x))
        if not x.is_cuda:
            run = torch.ops.mkldnn._linear_pointwise
            return run(x, weight, self.bias, *self.kernel, "")
        relu = self.act == "relu" and self.bias is not None
        if relu and hasattr(torch, "_addmm_activation"):
            return torch._addmm_activation(self.bias, x, weight.t())
        return self.activated(super().forward(x))
