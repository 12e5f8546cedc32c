"""Descriptions of networks in PyTorch, by none of the compiler's code.

`Independent` is the module itself. `Support` has weights of one in its place, so that
the gradient of an output tells which inputs it depends on. What PyTorch refuses, here
raises `Refused`; so does what it would only take by broadcasting, as `+` never does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from described import (
    Again,
    Axes,
    Chain,
    Item,
    Labelled,
    Layer,
    Listed,
    Maybe,
    Network,
    Pads,
    Repeat,
    Sides,
    Source,
    Use,
    WeightOf,
)
from further import Further, Refused, causal_pads, seen_before
from torch import Tensor, nn

Path = tuple[object, ...]
CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
MAX_POOL = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVG_POOL = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ACTS = {"relu": F.relu, "sigmoid": torch.sigmoid, "leaky": F.leaky_relu, "silu": F.silu}


FITTED = ("crop", "pad", "stretch", "resize")
SAME = Layer("shortcut", args=(("kind", "same"),))
"""The identity where shapes agree, and else no branch."""


class Unfollowed(Exception):
    """The support of a gradient does not show the field: a factor that leaves a part of a step."""


class Walk:
    """How values flow through a description; what a layer does is for the subclasses to say."""

    def __init__(self, shared: Mapping[str, Chain]) -> None:
        self.bodies = shared
        self.labels: dict[str, Tensor] = {}
        self.places: dict[str, tuple[Item, Path]] = {}
        """What each label is on, and where."""

    def source(self, item: Source, x: Tensor, path: Path) -> Tensor:
        raise NotImplementedError

    def again(self, item: Again, x: Tensor, path: Path) -> Tensor:
        raise NotImplementedError

    def weight(self, item: WeightOf, x: Tensor) -> Tensor:
        raise NotImplementedError

    def layer(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        raise NotImplementedError

    def join(self, how: str, ends: list[Tensor], axis: int = 0) -> Tensor:
        raise NotImplementedError

    def network(self, network: Network, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The value of every label."""
        self.labels = dict(inputs)
        for i, chain in enumerate(network.chains):
            self.chain(chain, next(iter(inputs.values())), (i,))
        return self.labels

    def chain(self, chain: Chain, x: Tensor, path: Path) -> Tensor:
        if chain.head is not None:
            x = self.labels[chain.head]
        for i, item in enumerate(chain.items):
            x = self.item(item, x, (*path, i))
        return x

    def item(self, item: Item, x: Tensor, path: Path) -> Tensor:
        match item:
            case Layer():
                return self.layer(item, x, path)
            case Source():
                return self.source(item, x, path)
            case Again():
                return self.again(item, x, path)
            case WeightOf():
                return self.weight(item, x)
            case Labelled(label, inner):
                self.places[label] = (inner, path)
                self.labels[label] = self.tap(self.item(inner, x, path))
                return self.labels[label]
            case Repeat(body, times):
                for turn in range(times):
                    x = self.chain(body, x, (*path, turn))
                return x
            case Use(name):
                return self.chain(self.bodies[name], x, (name,))
            case Sides():
                return self.sides(item, x, path)
            case Maybe(flag, body, otherwise):
                return self.chain(body if flag else otherwise, x, (*path, bool(flag)))
            case Listed(_, layer, widths):
                for turn, width in enumerate(widths):
                    x = self.item(replace(layer, width=width), x, (*path, turn))
                return x

    def tap(self, x: Tensor) -> Tensor:
        """A tensor of its own for a label, where its layer passes on what it is given."""
        return x.clone()

    def sides(self, item: Sides, x: Tensor, path: Path) -> Tensor:
        ends, fitted = [], []
        for i, branch in enumerate(item.branches):
            items = branch.items
            last = items[-1] if items else None
            if isinstance(last, Layer) and last.kind in FITTED and last.size is None and not last.data:
                items = items[:-1]
                fitted.append((i, last.kind))
            if last == SAME:
                straight = self.stride(x, item.branches[1 - i]) == (1,) * rank_of(x)
                if x.shape != ends[1 - i].shape or not straight:
                    return self.join("+", [ends[1 - i]])
                ends.append(x)
            elif items == (Layer("shortcut"),):
                ends.append(self.shortcut(x, item.branches[1 - i], ends[1 - i], (*path, i)))
            else:
                ends.append(self.chain(Chain(items, branch.head), x, (*path, i)))
        for i, kind in fitted:
            (like,) = (end for j, end in enumerate(ends) if j != i)
            ends[i] = self.item(Layer(kind, size=tuple(like.shape[2:])), ends[i], (*path, i, kind))
        return self.join(item.how, ends, item.axis)

    @staticmethod
    def stride(x: Tensor, beside: Chain) -> Axes:
        """The product of the strides of some layers."""
        stride = (1,) * rank_of(x)
        for layer in beside.items:
            assert isinstance(layer, Layer)
            stride = tuple(a * b for a, b in zip(stride, given(layer, x)[1], strict=True))
        return stride

    def shortcut(self, x: Tensor, beside: Chain, like: Tensor, path: Path) -> Tensor:
        """The identity where it fits and nothing strides, else a 1x1 convolution as wide as its sibling and strided as it is."""
        stride = self.stride(x, beside)
        if x.shape == like.shape and set(stride) == {1}:
            return x
        return self.layer(Layer("conv", (1,) * rank_of(x), like.shape[1], stride), x, path)


def cut(x: Tensor, size: Axes) -> Tensor:
    """The centre of a map; an odd rest is cut after."""
    for axis, n in enumerate(size, start=2):
        rest = x.shape[axis] - n
        if rest < 0:
            raise Refused(f"{n} cut out of {x.shape[axis]}")
        x = x.narrow(axis, rest // 2, n)
    return x


# --- geometry, from the definitions -------------------------------------------------------


def rank_of(x: Tensor) -> int:
    return x.dim() - 2


def given(layer: Layer, x: Tensor) -> tuple[Axes, Axes, Axes]:
    """Kernel, stride and dilation of a sliding layer; a pool's are 2 and its kernel unless written."""
    ones = (1,) * rank_of(x)
    pool = layer.kind.endswith("pool")
    kernel = layer.kernel or (2,) * rank_of(x)
    return kernel, layer.stride or (kernel if pool else ones), layer.dilation or ones


def pads(layer: Layer, x: Tensor) -> Pads:
    kernel, stride, dilation = given(layer, x)
    word = layer.pad
    if word == "default":
        word = "same" if layer.kind in ("conv", "dwconv", "sepconv") else "valid"
    if not isinstance(word, str):
        return word
    out = []
    for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        extent = (k - 1) * d + 1
        if word == "valid":
            out.append((0, 0))
        elif word == "causal":
            return causal_pads(kernel, dilation)
        elif word == "same":
            out.append((extent // 2, extent // 2))
        else:  # same_tf, after the guide of tf.nn: as many outputs as n/s, rounded up; the odd one is after
            total = max((-(-n // s) - 1) * s + extent - n, 0)
            out.append((total // 2, total - total // 2))
    return tuple(out)


def bordered(x: Tensor, sides: Pads, value: float = 0.0) -> Tensor:
    return F.pad(x, [n for pair in reversed(sides) for n in pair], value=value)


def ends_of(layer: Layer, x: Tensor) -> tuple[int, int, int]:
    """The axis of a slice, its first and its last place; a negative bound counts from the end."""
    at, low, high = layer.data
    n = x.shape[at + 1]
    first = 0 if low is None else low + n * (low < 0)
    last = n - 1 if high is None else high + n * (high < 0)
    if not 0 <= first <= last < n:
        raise Refused(f"{first} to {last} of {n}")
    return at + 1, first, last


class Own(nn.Module):
    """A tensor of the network's own."""

    def __init__(self, item: Source) -> None:
        super().__init__()
        self.register_parameter(item.label, nn.Parameter(torch.randn(item.shape)))


class Shift(nn.Module):
    """A bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


# --- the module ---------------------------------------------------------------------------


class Independent(nn.Module, Further, Walk):
    """A description as a module; layers are made the first time that values reach them."""

    def __init__(self, shared: Mapping[str, Chain]) -> None:
        nn.Module.__init__(self)
        Walk.__init__(self, shared)
        self.made: dict[Path, nn.Module] = {}
        self.labels: dict[str, Tensor] = {}
        self.is_closed = False
        """While something is used again, of which no module is made anew."""

    def forward(self, network: Network, *inputs: Tensor) -> dict[str, Tensor]:
        names = (name for name, _ in network.inputs)
        return self.network(network, dict(zip(names, inputs, strict=True)))

    def make(self, path: Path, build: Callable[[], nn.Module]) -> Any:
        if path not in self.made:
            if self.is_closed:
                raise Refused("a module that its first use did not have")
            self.made[path] = build().eval()
            place = f"{path[0]}_" if isinstance(path[0], str) else ""  # a shared module's
            self.add_module(f"{place}{len(self.made)}", self.made[path])
        return self.made[path]

    # --- used again ---

    def source(self, item: Source, x: Tensor, path: Path) -> Tensor:
        own = self.make(("own", item.label), lambda: Own(item))
        return own.get_parameter(item.label).expand(len(x), *item.shape)

    def weight(self, item: WeightOf, x: Tensor) -> Tensor:
        _, path = self.places[item.label]
        weight = self.made[path].get_parameter("weight")
        return weight.expand(len(x), *weight.shape)

    def again(self, item: Again, x: Tensor, path: Path) -> Tensor:
        """The first use once more, with the modules of its path; another stride or dilation by functions of its weights."""
        first, place = self.places[item.label]
        closed, self.is_closed = self.is_closed, True
        try:
            if isinstance(first, Layer) and item != Again(item.label):
                return self._otherwise(item, first, x, place, path)
            return self.item(first, x, place)
        except RuntimeError as error:
            raise Refused(str(error)) from None
        finally:
            self.is_closed = closed

    def _otherwise(self, item: Again, first: Layer, x: Tensor, place: Path, path: Path) -> Tensor:
        conv: Any = self.made[place]
        if item.transpose:
            y = self._other_way(item, first, x, conv)
            if item.bias:
                self.is_closed = False
                shift = self.make((*path, "bias"), lambda: Shift(y.shape[1]))
                y = y + shift.bias.view(-1, *[1] * (y.dim() - 2))
            norm, act = item.norm, item.act
        else:
            changed = replace(
                first, stride=item.stride or first.stride, dilation=item.dilation or first.dilation
            )
            if first.kind == "linear":
                y = self._linear(first, x, place)
            else:
                _, stride, dilation = given(changed, x)
                function = (F.conv1d, F.conv2d, F.conv3d)[rank_of(x) - 1]
                padded = bordered(x, pads(changed, x))
                y = function(padded, conv.weight, conv.bias, stride, 0, dilation, conv.groups)
            norm = first.norm if item.norm is None else item.norm
            act = first.act if item.act is None else item.act
        if norm not in (None, "none"):
            is_own = item.norm is not None
            self.is_closed = not is_own
            y = self._bn(first, y, (*path, "norm") if is_own else (*place, "norm"))
        return ACTS[act](y) if act not in (None, "none") else y

    def _other_way(self, item: Again, first: Layer, x: Tensor, conv: Any) -> Tensor:
        if first.kind == "linear":
            if x.shape[1] != conv.weight.shape[0]:
                raise Refused("channels")
            return F.linear(x.movedim(1, -1), conv.weight.t()).movedim(
                -1, 1
            )  # einsum of size 1 counts nothing
        _, stride, dilation = given(replace(first, stride=item.stride or first.stride), x)
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank_of(x) - 1]
        more = item.output_pad or 0
        y = function(x, conv.weight, None, stride, 0, more, conv.groups, dilation)
        for axis, (before, after) in enumerate(pads(first, x), start=2):
            y = y.narrow(axis, before, y.shape[axis] - before - after)
        if 0 in y.shape:
            raise Refused("nothing is left")
        return y

    # --- the layers of the second half ---

    def _linear(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        bias = layer.norm is None if layer.bias is None else layer.bias
        return self.make(path, lambda: nn.Linear(x.shape[1], layer.width or 0, bias))(
            x.movedim(1, -1)
        ).movedim(-1, 1)

    def _slice(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        axis, first, last = ends_of(layer, x)
        return x.narrow(axis, first, last - first + 1)

    def _attend(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        heads, inner, outer, causal = layer.data
        kinds = zip("qkv", (inner, inner, outer), strict=True)
        q, k, v = (self._linear(Layer("linear", width=w), x, (*path, name)).flatten(2) for name, w in kinds)
        if q.shape[1] % heads or v.shape[1] % heads:
            raise Refused("heads")
        mixed = []
        for a, b, c in zip(q.chunk(heads, 1), k.chunk(heads, 1), v.chunk(heads, 1), strict=True):
            scores = torch.bmm(a.transpose(1, 2), b) / a.shape[1] ** 0.5
            if causal:
                later = torch.ones_like(scores[0]).triu(1).bool()
                scores = scores.masked_fill(later, -torch.inf)
            mixed.append(torch.bmm(c, torch.softmax(scores, 2).transpose(1, 2)))
        return torch.cat(mixed, 1).unflatten(2, x.shape[2:])

    def _lstm(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        cell = self.make(path, lambda: nn.LSTM(x.shape[1], layer.width or 0, bidirectional=layer.data[0]))
        return self._run(cell, x, self._lstm_step, 2)

    def _gru(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        cell = self.make(path, lambda: nn.GRU(x.shape[1], layer.width or 0, bidirectional=layer.data[0]))
        return self._run(cell, x, self._gru_step, 1)

    @staticmethod
    def _run(cell: Any, x: Tensor, step: Any, states: int) -> Tensor:
        """One position after another; the second direction from the end."""
        ways = []
        for back in (False, True) if cell.bidirectional else (False,):
            end = "_reverse" if back else ""
            w_in, w_h, b_in, b_h = (
                getattr(cell, f"{name}_l0{end}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            state = (x.new_zeros(len(x), w_h.shape[1]),) * states
            out = []
            for t in reversed(range(x.shape[2])) if back else range(x.shape[2]):
                state = step(F.linear(x[:, :, t], w_in, b_in), F.linear(state[0], w_h, b_h), state)
                out.append(state[0])
            ways.append(torch.stack(out[::-1] if back else out, 2))
        return torch.cat(ways, 1)

    @staticmethod
    def _lstm_step(a: Tensor, b: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        i, f, g, o = (a + b).chunk(4, 1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    @staticmethod
    def _gru_step(a: Tensor, b: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (ar, az, an), (br, bz, bn) = a.chunk(3, 1), b.chunk(3, 1)
        z = torch.sigmoid(az + bz)
        return ((1 - z) * torch.tanh(an + torch.sigmoid(ar + br) * bn) + z * state[0],)

    def join(self, how: str, ends: list[Tensor], axis: int = 0) -> Tensor:
        try:
            if how == "|":
                return torch.cat(ends, 1 + axis)
            if how == "@":
                return torch.bmm(*ends)
            if how == "&":
                return prod(ends[1:], start=ends[0])
        except RuntimeError as error:
            raise Refused(str(error)) from None
        if any(end.shape != ends[0].shape for end in ends):
            raise Refused("shapes added")
        return sum(ends[1:], start=ends[0])

    def layer(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        try:
            y = getattr(self, f"_{layer.kind}", self._act)(layer, x, path)
            if layer.norm is not None:
                y = self._bn(layer, y, (*path, "norm"))
            return ACTS[layer.act](y) if layer.act not in (None, "none") else y
        except (RuntimeError, ValueError) as error:
            raise Refused(str(error)) from None

    def _act(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return ACTS[layer.kind](x)

    def _slid(self, layer: Layer, x: Tensor, path: Path, width: int, groups: int, *, bias: bool) -> Tensor:
        kernel, stride, dilation = given(layer, x)
        sides = pads(layer, x)
        # TensorFlow's padding is another at each size that a shared module is used at.
        even = layer.pad != "same_tf" and not layer.data and all(before == after for before, after in sides)
        padding = tuple(before for before, _ in sides) if even else 0
        conv = self.make(path, lambda: CONV[rank_of(x) - 1](
            x.shape[1], width, kernel, stride, padding, dilation, groups, bias
        ))  # fmt: skip
        if not layer.data:
            return conv(x if even else bordered(x, sides))
        form, word = layer.data
        if form == "pad_mode":
            return conv(
                F.pad(x, [n for pair in reversed(sides) for n in pair], mode=word)
                if word != "zeros"
                else bordered(x, sides)
            )
        weight = conv.weight
        if form == "mask":
            weight = weight * seen_before(kernel, itself=word == "b")
        else:  # Qiao et al. 2019: each filter's mean and variance
            axes = tuple(range(1, weight.dim()))
            centred = weight - weight.mean(axes, keepdim=True)
            weight = centred / (centred.pow(2).mean(axes, keepdim=True) + 1e-5).sqrt()
        function = (F.conv1d, F.conv2d, F.conv3d)[rank_of(x) - 1]
        return function(bordered(x, sides), weight, conv.bias, stride, 0, dilation, groups)

    def _has_bias(self, layer: Layer) -> bool:
        return layer.norm is None if layer.bias is None else layer.bias

    def _conv(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return self._slid(layer, x, path, layer.width or 0, layer.groups or 1, bias=self._has_bias(layer))

    def _dwconv(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        width = x.shape[1] * (layer.multiplier or 1)
        return self._slid(layer, x, path, width, x.shape[1], bias=self._has_bias(layer))

    def _sepconv(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        middle = x.shape[1] * (layer.multiplier or 1)
        y = self._slid(layer, x, (*path, "depthwise"), middle, x.shape[1], bias=False)
        last = Layer("conv", (1,) * rank_of(x), pad="valid")
        return self._slid(last, y, (*path, "pointwise"), layer.width or 0, 1, bias=self._has_bias(layer))

    def _tconv(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        kernel, stride, dilation = given(layer, x)
        sides = pads(layer, x)
        even = all(before == after for before, after in sides)
        padding = tuple(before for before, _ in sides) if even else 0
        conv = self.make(path, lambda: TRANSPOSED[rank_of(x) - 1](
            x.shape[1], layer.width or 0, kernel, stride, padding, layer.output_pad or 0, layer.groups or 1,
            self._has_bias(layer), dilation,
        ))  # fmt: skip
        y = conv(x)
        if not even:
            for axis, (before, after) in enumerate(sides, start=2):
                y = y.narrow(axis, before, y.shape[axis] - before - after)
        if 0 in y.shape:
            raise Refused("nothing is left")
        return y

    def _pooled(self, layer: Layer, x: Tensor, kinds: Any, border: float) -> Tensor:
        kernel, stride, _ = given(layer, x)
        sides = pads(layer, x)
        even = all(before == after for before, after in sides)
        if kinds is AVG_POOL and rank_of(x) == 3:  # this one takes no kernel larger than the bare map
            even = even and all(n >= k for n, k in zip(x.shape[2:], kernel, strict=True))
        if layer.dilation is not None:  # of a max-pool
            y = MAX_POOL[rank_of(x) - 1](kernel, stride, 0, layer.dilation)(bordered(x, sides, border))
            if y.isinf().any():
                raise Refused("a window that holds nothing")
            return y
        padding = tuple(before for before, _ in sides) if even else 0
        if not even:
            x = bordered(x, sides, border)
        return kinds[rank_of(x) - 1](kernel, stride, padding, ceil_mode=layer.ceil)(x)

    def _maxpool(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return self._pooled(layer, x, MAX_POOL, -torch.inf)

    def _avgpool(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return self._pooled(layer, x, AVG_POOL, 0.0)

    def _bn(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return self.make(path, lambda: BATCH_NORM[max(rank_of(x), 1) - 1](x.shape[1]))(x)

    def _gn(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return self.make(path, lambda: nn.GroupNorm(layer.groups or 0, x.shape[1]))(x)

    def _dropout(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x

    def _shuffle(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        groups = layer.groups or 0
        if x.shape[1] % groups:
            raise Refused(f"{x.shape[1]} channels in {groups} groups")
        return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)

    def _upsample(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return F.interpolate(x, scale_factor=tuple(map(float, layer.size or ())))

    def _crop(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return cut(x, layer.size or ())

    def _gap(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        return x.mean(tuple(range(2, x.dim())), keepdim=True)

    def _fc(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        x = x.flatten(1)
        bias = self._has_bias(layer)
        return self.make(path, lambda: nn.Linear(x.shape[1], layer.width or 0, bias))(x)


# --- the support of its gradient ----------------------------------------------------------


class Support(Walk):
    """The same flow on one channel, with weights of one: what an output depends on has a gradient.

    Pools are means, norms and activations pass on. All values of padding are `edge`, so that
    where its gradient is not 0, a position sees beyond a border. Without `gates`, a branch
    that pools the whole map is left out where it meets others that do not.
    """

    def __init__(self, shared: Mapping[str, Chain], edge: Tensor, *, gates: bool) -> None:
        super().__init__(shared)
        self.edge = edge
        self.gates = gates
        self.whole: list[Tensor] = []
        """What comes from pooling a whole map."""

    def item(self, item: Item, x: Tensor, path: Path) -> Tensor:
        y = super().item(item, x, path)
        return self.marked(y) if isinstance(item, Layer) and self.is_whole(x) else y

    def tap(self, x: Tensor) -> Tensor:
        return self.marked(x.clone()) if self.is_whole(x) else x.clone()

    def marked(self, x: Tensor) -> Tensor:
        self.whole.append(x)
        return x

    def is_whole(self, x: Tensor) -> bool:
        return any(x is other for other in self.whole)

    def join(self, how: str, ends: list[Tensor], axis: int = 0) -> Tensor:
        local = [end for end in ends if not self.is_whole(end)]
        if not self.gates and local:
            ends = local
        y = prod(ends[1:], start=ends[0]) if how == "&" else sum(ends[1:], start=ends[0])
        return y if local else self.marked(y)

    def layer(self, layer: Layer, x: Tensor, path: Path) -> Tensor:
        match layer.kind:
            case "conv" | "dwconv" | "sepconv" | "maxpool" | "avgpool":
                return self._slid(layer, x)
            case "tconv":
                return self._spread(layer, x)
            case "upsample":
                for axis, times in enumerate(layer.size or (), start=2):
                    x = x.repeat_interleave(times, axis)
                return x
            case "crop":
                return cut(x, layer.size or ())
            case "slice":
                axis, first, last = ends_of(layer, x) if layer.data[0] else (0, 0, 0)
                return x.narrow(axis, first, last - first + 1) if axis else x
            case "pad":
                return self._edged(x, layer.data[0])
            case "resize":
                return self._resized(layer, x)
            case "mean" | "sum" | "max":
                axes = tuple(axis + 1 for axis in layer.data if axis)
                y = x.mean(axes, keepdim=True) if axes else x.clone()
                return self.marked(y) if len(axes) == rank_of(x) > 0 else y
            case "gap" | "fc":
                axes = tuple(range(2, x.dim()))
                return self.marked(x.mean(axes, keepdim=layer.kind == "gap") if axes else x.clone())
        return x

    def _edged(self, x: Tensor, sides: Pads) -> Tensor:
        for axis, lengths in enumerate(sides, start=2):
            shape = list(x.shape)
            parts = []
            for shape[axis] in lengths:
                parts.append(self.edge.expand(shape))
            x = torch.cat([parts[0], x, parts[1]], axis)
        return x

    def _slid(self, layer: Layer, x: Tensor) -> Tensor:
        kernel, stride, dilation = given(layer, x)
        sides = pads(layer, x)
        if layer.ceil:  # the last window may overhang
            half = [before for before, _ in sides]
            out = MAX_POOL[rank_of(x) - 1](kernel, stride, half, ceil_mode=True)(x.detach()).shape[2:]
            geometry = zip(out, kernel, stride, sides, x.shape[2:], strict=True)
            sides = tuple((b, max(a, (m - 1) * s + k - n - b)) for m, k, s, (b, a), n in geometry)
        conv = (F.conv1d, F.conv2d, F.conv3d)[rank_of(x) - 1]
        weight = torch.ones(1, 1, *kernel, dtype=x.dtype) / prod(kernel)
        return conv(self._edged(x, sides), weight, stride=stride, dilation=dilation)

    def _resized(self, layer: Layer, x: Tensor) -> Tensor:
        """By whole steps, of a map that goes on beyond its borders."""
        up, down, mode, anti = layer.data
        size = [n * up // down for n in x.shape[2:]]
        if any(m * up != n * down for m, n in zip(x.shape[2:], size, strict=True)):
            raise Unfollowed
        wide = self._edged(x, ((4 * down, 4 * down),) * rank_of(x))
        y = F.interpolate(wide, [n * up // down for n in wide.shape[2:]], mode=mode, antialias=anti)
        for axis, n in enumerate(size, start=2):
            y = y.narrow(axis, 4 * up, n)
        return y

    def source(self, item: Source, x: Tensor, path: Path) -> Tensor:
        return torch.ones(1, 1, *item.shape[1:], dtype=x.dtype)

    def weight(self, item: WeightOf, x: Tensor) -> Tensor:
        raise NotImplementedError

    def again(self, item: Again, x: Tensor, path: Path) -> Tensor:
        first, place = self.places[item.label]
        if isinstance(first, Layer) and item.transpose:
            kind = "linear" if first.kind == "linear" else "tconv"
            first = replace(
                first,
                kind=kind,
                pad=pads(first, x) if kind == "tconv" else "default",
                output_pad=item.output_pad,
            )
        if isinstance(first, Layer):
            first = replace(
                first, stride=item.stride or first.stride, dilation=item.dilation or first.dilation
            )
        return self.item(first, x, place)

    def _spread(self, layer: Layer, x: Tensor) -> Tensor:
        kernel, stride, _ = given(layer, x)
        sides, more = pads(layer, x), layer.output_pad or (0,) * rank_of(x)
        conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank_of(x) - 1]
        y = conv(
            self._edged(x, tuple((k, k) for k in kernel)),
            torch.ones(1, 1, *kernel, dtype=x.dtype),
            stride=stride,
        )
        geometry = zip(x.shape[2:], kernel, stride, sides, more, strict=True)
        for axis, (n, k, s, (before, after), extra) in enumerate(geometry, start=2):
            y = y.narrow(axis, k * s + before, s * (n - 1) + k - before - after + extra)
        return y
