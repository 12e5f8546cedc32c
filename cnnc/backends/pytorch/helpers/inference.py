"""What the inference form is made of beside its fused layers."""

from typing import Any

import torch
from torch import Tensor, nn

from cnnc.backends.pytorch.helpers.gpu import (
    blocks,
    empty_rows,
    in_graph,
    in_rows,
    scale_maps,
    takes_kernels,
    takes_triton,
)
from cnnc.backends.pytorch.helpers.kernels import pool_kernel


class SeparableMaxPool2d(nn.MaxPool2d):
    """Max pooling. On CPUs one axis after the other, as maxima of shifted maps."""

    def forward(self, x: Tensor) -> Tensor:
        on_gpu = takes_triton(x)
        if not on_gpu and not (x.is_cpu and x.dim() == 4 and takes_kernels(x)):
            return super().forward(x)
        axes: list[tuple[int, int, int, int]] = []
        for axis in (0, 1):
            sizes = (self.kernel_size, self.stride, self.padding)
            k, s, p = (n[axis] if isinstance(n, tuple) else n for n in sizes)
            n = x.size(axis + 2)
            windows = (n + 2 * p - k + (s - 1 if self.ceil_mode else 0)) // s + 1
            # Place p of each window is to be on the map, and on CPUs another after it.
            outside = n < k or k <= 2 * p or (windows - 1) * s >= n
            if outside or (k == 1 and not on_gpu):
                return super().forward(x)
            axes.append((k, s, p, windows))
        if on_gpu:
            return self.in_one(x, axes)
        for axis, geometry in enumerate(axes):
            x = self.along(x, axis - 2, *geometry)
        return x

    def in_one(self, x: Tensor, axes: list[tuple[int, int, int, int]]) -> Tensor:
        """One kernel of Triton's, which keeps no places as PyTorch's does."""
        x, step = in_rows(x)
        (k0, s0, p0, rows), (k1, s1, p1, columns) = axes
        y = empty_rows(x, x.size(0), x.size(1), rows, columns)
        pixels = y.numel() // y.size(1)
        grid, p, c = blocks(pixels, y.size(1), 2048)
        sizes = (pixels, y.size(1), *x.shape[2:], rows, columns, step)
        pool_kernel[grid](x, y, *sizes, k0, k1, s0, s1, p0, p1, p, c)
        return y

    def along(
        self, x: Tensor, dim: int, k: int, s: int, p: int, windows: int
    ) -> Tensor:
        """The maxima along one axis."""

        def taken(place: int, low: int, count: int) -> Tensor:
            """The values at a place of the windows from `low` on."""
            part = x.narrow(dim, low * s + place - p, (count - 1) * s + 1)
            return part[..., ::s, :] if dim == -2 else part[..., ::s]

        def on_map(place: int) -> tuple[int, int]:
            """The windows of which a place is on the map: the first, and how many."""
            low = max(0, -((place - p) // s))
            return low, min(windows, (x.size(dim) - 1 + p - place) // s + 1) - low

        begin = taken(p, 0, windows)
        y = torch.empty_like(begin)
        _, count = on_map(p + 1)  # from the first on, and at least one
        now = begin.narrow(dim, 0, count)
        torch.maximum(now, taken(p + 1, 0, count), out=y.narrow(dim, 0, count))
        rest = begin.narrow(dim, count, windows - count)
        y.narrow(dim, count, windows - count).copy_(rest)
        for place in (*range(p), *range(p + 2, k)):
            low, count = on_map(place)
            if count > 0:
                part = y.narrow(dim, low, count)
                torch.maximum(part, taken(place, low, count), out=part)
        return y


class ScaleShift(nn.Module):
    """A batch norm with fixed statistics: a factor and an offset for each channel.

    Where it `defers`, the 1x1 convolution that alone reads it does its work on GPUs: it
    gets the maps as they are, with the numbers beside them. In a graph of oneDNN's the
    convolution's weights take the factor and the offset.
    """

    def __init__(
        self,
        channels: int,
        rank: int = 2,
        relu: bool = False,
        eps: float = 1e-5,
        defers: bool = False,
    ) -> None:
        super().__init__()
        shape = (channels, *[1] * rank)
        self.eps = eps
        self.defers = defers
        self.weight = nn.Parameter(torch.ones(shape), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.relu = relu
        self.ready: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if takes_triton(x):
            before = (self.weight, self.bias, "relu" if self.relu else "none")
            if not self.defers or self._forward_hooks or x.dtype == torch.float32:
                return scale_maps(x, *before)
            ahead: Any = x.detach()
            ahead.before = before
            return ahead
        if self.defers and self.relu and in_graph():
            return self.bounded(x)
        x = torch.addcmul(self.bias, x, self.weight)
        return x.relu_() if self.relu else x

    def bounded(self, x: Tensor) -> Tensor:
        """`x` between bounds, with what is left to do: to multiply and to add.

        relu(a * x + b) is a * max(x, -b / a) + b where a > 0, with min where a < 0.
        """
        ready = self.ready
        if ready is None:
            none = self.weight.abs() < 1e-30
            bound = -self.bias / self.weight.masked_fill(none, 1.0)
            falls = self.weight < 0
            low = bound.masked_fill(falls, -torch.inf)
            high = bound.masked_fill(~falls, torch.inf) if falls.any() else None
            factor = self.weight.masked_fill(none, 0.0)
            offset = self.bias.where(~none, self.bias.relu())
            ready = self.ready = (low, high, factor, offset)
        low, high, *before = ready
        y: Any = torch.maximum(x, low)
        if high is not None:
            y = torch.minimum(y, high)
        y.before = before
        return y

    def take_norm(self, state: dict[str, Tensor], name: str) -> None:
        """Replace the tensors of the norm by its factor and offset."""
        kind = state[f"{name}.running_mean"].dtype
        scale, shift = scale_and_shift(state, name, self.eps)
        state[f"{name}.weight"] = scale.to(kind).view(self.weight.shape)
        state[f"{name}.bias"] = shift.to(kind).view(self.bias.shape)


def append(x: Tensor, *more: Tensor) -> Tensor:
    """`torch.cat([x, *more], 1)` that leaves room for what is appended next.

    In a dense block the maps so far are then not copied at each step. Maps that
    something has been appended to already are copied, so nobody's are overwritten.
    """
    if not (takes_kernels(x, *more) or in_graph()):
        return torch.cat([x, *more], 1)
    counts = [int(t.size(1)) for t in more]  # which are numbers in graphs, too
    have = int(x.size(1))
    wanted = have + sum(counts)
    # The memory that x is the beginning of, and how many of its channels are taken.
    room: dict[str, Any] = getattr(x, "room", {"taken": -1})
    if room["taken"] != have or room["buffer"].size(1) < wanted:
        size = (x.size(0), max(2 * have, wanted), *x.shape[2:])
        last = torch.channels_last
        buffer = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=last)
        buffer[:, :have] = x
        room = {"buffer": buffer, "taken": have}
    for new, count in zip(more, counts, strict=True):
        room["buffer"].narrow(1, room["taken"], count).copy_(new)
        room["taken"] += count
    joined: Any = room["buffer"].narrow(1, 0, wanted)
    joined.room = room
    return joined


def by_slices(maps: Any, x: Tensor, images: int) -> Tensor:
    """`maps(x)`; on CPUs of so many images at a time, whose maps then fit a cache."""
    plain = torch.jit.is_tracing() or torch.compiler.is_compiling()
    if plain or x.device.type != "cpu" or len(x) <= images:
        return maps(x)
    return torch.cat([maps(part) for part in x.split(images)])


def scale_and_shift(
    state: dict[str, Tensor],
    norm: str,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """A batch norm's factor and offset in float64; `state` loses its tensors."""
    state.pop(f"{norm}.num_batches_tracked", None)
    variance = state.pop(f"{norm}.running_var").double()
    scale = torch.rsqrt(variance + eps)
    if f"{norm}.weight" in state:
        scale = scale * state.pop(f"{norm}.weight").double()
    shift = -scale * state.pop(f"{norm}.running_mean").double()
    if f"{norm}.bias" in state:
        shift = shift + state.pop(f"{norm}.bias").double()
    return scale, shift


def fold_norm(
    state: dict[str, Tensor],
    layer: str,
    norm: str,
    eps: float,
    transposed: int = 0,
) -> None:
    """Fold a batch norm into the layer before; `transposed`: its groups, if so."""
    weight = state[f"{layer}.weight"]
    scale, shift = scale_and_shift(state, norm, eps)
    bias = state.get(f"{layer}.bias")
    if bias is not None:
        shift = shift + scale * bias.double()
    rest = [1] * (weight.dim() - (2 if transposed else 1))
    if transposed:  # (in, out / groups, ...): the filters of a group stand side by side
        groups = weight.double().unflatten(0, (transposed, -1))
        folded = (groups * scale.view(transposed, 1, -1, *rest)).flatten(0, 1)
    else:
        folded = weight.double() * scale.view(-1, *rest)
    state[f"{layer}.weight"] = folded.to(weight.dtype)
    state[f"{layer}.bias"] = shift.to(weight.dtype)


def folds(layer: Any, norm: str, eps: float = 1e-5, up: int = 1) -> Any:
    """The layer, whose weights have the plain form's batch norm `norm` in them.

    The norm's name is beside the layer's, which has `up` steps of its own.
    """
    layer.folded = (norm, eps, up)
    return layer


def convert(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of this form's `model` from that of the plain form.

    Raises KeyError where a tensor of a norm or its layer is missing.
    """
    state = dict(state)
    for name, module in model.named_modules():
        if hasattr(module, "take_norm"):
            module.take_norm(state, name)
        elif hasattr(module, "folded"):
            norm, eps, up = module.folded
            norm = ".".join([*name.split(".")[:-up], norm])
            groups = module.groups if getattr(module, "transposed", False) else 0
            layer = f"{name}.pointwise" if hasattr(module, "pointwise") else name
            fold_norm(state, layer, norm, eps, groups)
    return state
