"""What the inference form is made of."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Fused(nn.Module):
    """A layer with the activation `act` after it.

    On CPUs the two are one oneDNN kernel; elsewhere, and where the call is traced,
    compiled or differentiated, they are PyTorch's own operators. The weights are
    not for training.
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

    def has_kernel(self, x: Tensor, weight: Tensor) -> bool:
        return (
            x.is_cpu
            and weight.is_cpu
            and x.dtype == weight.dtype == torch.float32
            and x.dim() == weight.dim()
            and x.numel() > 0
            and torch.backends.mkldnn.is_available()
            and bool(torch.backends.mkldnn.enabled)
            and not (x.requires_grad and torch.is_grad_enabled())
            and not torch.is_autocast_enabled("cpu")
            and not torch.jit._trace.is_tracing()
            and not torch.compiler.is_compiling()
            and not weight.is_inference()
        )


class FusedConv2d(Fused, nn.Conv2d):
    """Convolution, then the sum with a second input if there is one, then `act`.

    oneDNN's weights are packed at the first call, and when they or the maps' shape
    have changed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.packed: tuple[tuple[object, ...], Tensor] | None = None
        self.weight.data = self.weight.contiguous(memory_format=torch.channels_last)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": None}

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        weight = self.weight
        if not self.has_kernel(x, weight):
            x = super().forward(x)
            return self.activated(x if other is None else x + other)
        name, numbers = self.kernel
        shape = (self.padding, self.stride, self.dilation, self.groups)
        version = (weight.data_ptr(), weight._version, x.shape)
        if self.packed is None or self.packed[0] != version:
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            self.packed = (version, reorder(weight.detach(), *shape, x.shape))
        weights = (self.packed[1], self.bias, *shape)
        run = torch.ops.mkldnn._convolution_pointwise
        if other is None:
            return run(x, *weights, name, numbers, None)
        other = other.contiguous(memory_format=torch.channels_last)
        then = None if name == "none" else name
        return run.binary(x, other, *weights, "add", 1.0, then, numbers, None)


class FusedLinear(Fused, nn.Linear):
    """Fully-connected layer, then `act`."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if not self.has_kernel(x, weight):
            return self.activated(super().forward(x))
        run = torch.ops.mkldnn._linear_pointwise
        return run(x, weight, self.bias, *self.kernel, "")


class SeparableMaxPool2d(nn.MaxPool2d):
    """Max pooling. On CPUs one axis after the other, as maxima of shifted maps."""

    def forward(self, x: Tensor) -> Tensor:
        plain = torch.jit._trace.is_tracing() or torch.compiler.is_compiling()
        if plain or not x.is_cpu or (x.requires_grad and torch.is_grad_enabled()):
            return super().forward(x)
        pooled = x
        for axis in (0, 1):
            sizes = (self.kernel_size, self.stride, self.padding)
            k, s, p = (n[axis] if isinstance(n, tuple) else n for n in sizes)
            n = x.size(axis - 2)
            windows = (n + 2 * p - k + (s - 1 if self.ceil_mode else 0)) // s + 1
            # Place p of each window is to be on the map, and another after it.
            if k == 1 or k <= 2 * p or n < k or (windows - 1) * s >= n:
                return super().forward(x)
            pooled = self._along(pooled, axis - 2, k, s, p, windows)
        return pooled

    def _along(
        self, x: Tensor, dim: int, k: int, s: int, p: int, windows: int
    ) -> Tensor:
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
    """A batch norm with fixed statistics: a factor and an offset for each channel."""

    def __init__(self, channels: int, rank: int = 2, relu: bool = False) -> None:
        super().__init__()
        shape = (channels, *[1] * rank)
        self.weight = nn.Parameter(torch.ones(shape), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = torch.addcmul(self.bias, x, self.weight)
        return x.relu_() if self.relu else x


def append(x: Tensor, *more: Tensor) -> Tensor:
    """`torch.cat([x, *more], 1)` that leaves room for what is appended next.

    In a dense block the maps so far are then not copied at each step. Maps that
    something has been appended to already are copied, so nobody's are overwritten.
    """
    plain = torch.jit._trace.is_tracing() or torch.compiler.is_compiling()
    if plain or (torch.is_grad_enabled() and any(t.requires_grad for t in (x, *more))):
        return torch.cat([x, *more], 1)
    have, wanted = x.size(1), x.size(1) + sum(t.size(1) for t in more)
    # The memory that x is the beginning of, and how many of its channels are taken.
    room: dict[str, Any] = getattr(x, "room", {"taken": -1})
    if room["taken"] != have or room["buffer"].size(1) < wanted:
        size = (x.size(0), max(2 * have, wanted), *x.shape[2:])
        last = torch.channels_last
        buffer = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=last)
        buffer[:, :have] = x
        room = {"buffer": buffer, "taken": have}
    for new in more:
        end = room["taken"] + new.size(1)
        room["buffer"][:, room["taken"] : end] = new
        room["taken"] = end
    joined: Any = room["buffer"][:, :wanted]
    joined.room = room
    return joined


def by_slices(maps: Any, x: Tensor, images: int) -> Tensor:
    """`maps(x)`; on CPUs of so many images at a time, whose maps then fit a cache."""
    plain = torch.jit._trace.is_tracing() or torch.compiler.is_compiling()
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


def set_scale(state: dict[str, Tensor], norm: str, eps: float, rank: int) -> None:
    """Replace a batch norm that stands alone by its factor and offset."""
    kind = state[f"{norm}.running_mean"].dtype
    scale, shift = scale_and_shift(state, norm, eps)
    state[f"{norm}.weight"] = scale.to(kind).view(-1, *[1] * rank)
    state[f"{norm}.bias"] = shift.to(kind).view(-1, *[1] * rank)
