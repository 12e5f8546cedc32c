"""Random descriptions of networks, drawn layer by layer.

What flows where is asked of PyTorch while drawing, so that most networks fit
together; what it refuses on the way is kept as a network that is to be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import torch
from described import (
    Again,
    Axes,
    Chain,
    Item,
    Labelled,
    Layer,
    Network,
    Pads,
    Repeat,
    Sides,
    Source,
    Use,
    WeightOf,
    within,
)
from independent import Independent, Path, Refused
from torch import nn

Inputs = tuple[tuple[str, tuple[int, ...]], ...]

SIZES = {1: (12, 40), 2: (7, 16), 3: (4, 8)}
CHANNELS = 24
"""No more are concatenated; counts are as well tested on few."""


class Draw:
    """One random network, and the networks that PyTorch refused on the way.

    With `free` nothing in it fixes a size: no cut to a number, no fully-connected layer on a map. With `fields` every layer
    has a receptive field that the support of a gradient shows; without, attention, recurrent layers and axes in
    another order are drawn, too.
    """

    always_plain = False
    """Whether no default activation is ever left for the language to place."""

    def __init__(self, seed: int, *, free: bool = False, fields: bool = True) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.free = free
        self.fields = fields and not free
        self.owns = 0
        """How many tensors of its own there are."""
        self.firsts: dict[str, tuple[Item, torch.Tensor]] = {}
        """What can be used again: what each label is on, and what flowed into it."""
        self.refused: list[Network] = []
        self.labels: dict[str, torch.Tensor] = {}
        self.shared: dict[str, Chain] = {}
        self.plain = self.random.random() < 0.7 or self.always_plain
        self.rank = self.random.choice([1, 1, 2, 2, 2, 3])
        low, high = SIZES[self.rank]
        self.limit = 2 * high
        self.kept: dict[Path, nn.Module] = {}
        self.takes: dict[str, int] = {}
        shapes = [
            (self.random.choice([1, 2, 3, 4, 6]), *(self.random.randint(low, high) for _ in range(self.rank)))
            for _ in range(1 if free or self.random.random() < 0.85 else 2)
        ]
        self.inputs = tuple((f"x{i}", shape) for i, shape in enumerate(shapes))
        self.network = self._network()

    @property
    def networks(self) -> tuple[Network, ...]:
        """The network; with numbers for sizes also what was refused on the way."""
        return (self.network,) if self.free else (self.network, *self.refused)

    def _network(self) -> Network:
        chains: list[Chain] = []
        ends: list[str] = []
        for i, (name, shape) in enumerate(self.inputs):
            x = torch.zeros(2, *shape)
            items, x = self._chain(x, self.random.randint(3, 7), 2, top=(name, tuple(chains)))
            if not items:
                items = [Layer("conv", (1,) * self.rank, 2)]
            last = items[-1]
            last = last if isinstance(last, Labelled) else Labelled(f"end{i}", last)
            chains.append(Chain((*items[:-1], last), name))
            ends.append(last.label)
        spare = [label for label in self.labels if label not in ends]
        more = [self.random.choice(spare)] if spare and self.random.random() < 0.3 else []
        return self._made(self.inputs, (*chains,), (*dict.fromkeys([*ends, *more]),))

    def _made(self, inputs: Inputs, chains: tuple[Chain, ...], outputs: tuple[str, ...]) -> Network:
        used = {part.name for chain in chains for part in within(chain) if isinstance(part, Use)}
        shared = tuple((name, body) for name, body in self.shared.items() if name in used)
        return Network(inputs, shared, chains, outputs, self.plain, self.fields)

    def _chain(
        self, x: torch.Tensor, length: int, nesting: int, top: tuple[str, tuple[Chain, ...]] | None = None
    ) -> tuple[list[Item], torch.Tensor]:
        items: list[Item] = []
        for _ in range(length):
            if x.dim() == 2:
                break
            item = self._item(x, nesting)
            if item is None:
                continue
            try:
                y = self._flow(item, x)
            except Refused:
                self._keep_refused(items, item, x, top)
                continue
            if y.shape[1] > CHANNELS or max(y.shape[2:], default=1) > self.limit:
                continue
            if top is not None and self.random.random() < 0.4 and not isinstance(item, (Repeat, Use)):
                label = f"t{len(self.labels)}"
                self.labels[label] = y
                if self._can_be_again(item, x):
                    self.firsts[label] = (item, x)
                item = Labelled(label, item)
            items.append(item)
            x = y
        return items, x

    def _flow(self, item: Item, x: torch.Tensor) -> torch.Tensor:
        """What flows out of an item; shared modules stay from one item to the next."""
        run = Independent(self.shared)
        run.made.update(self.kept)
        run.labels = dict(self.labels)
        for label in self._needed(item):
            first, flow = self.firsts[label]
            run.item(Labelled(label, first), flow, ("item", "first", label))
        run.labels = dict(self.labels)
        y = run.item(item, x, ("item",))
        self.kept = {path: module for path, module in run.made.items() if path[0] != "item"}
        return y

    def _needed(self, item: Item) -> list[str]:
        """The labels whose modules an item uses, those that these need before them."""
        found: dict[str, None] = {}
        for label in _named_again(item):
            found |= dict.fromkeys([*self._needed(self.firsts[label][0]), label])
        return list(found)

    def _keep_refused(
        self, items: list[Item], item: Item, x: torch.Tensor, top: tuple[str, tuple[Chain, ...]] | None
    ) -> None:
        """The network that ends with what was refused: all of it at the top, else that item alone."""
        if top is not None:
            name, before = top
            chains = (*before, Chain((*items, Labelled("end", item)), name))
            ends = tuple(_end(chain) for chain in chains)
            self.refused.append(self._made(self.inputs[: len(chains)], chains, ends))
        elif not _refers(item):
            alone = Chain((Labelled("end", item),), "x0")
            self.refused.append(self._made((("x0", tuple(x.shape[1:])),), (alone,), ("end",)))

    # --- one item ---

    def _item(self, x: torch.Tensor, nesting: int) -> Item | None:
        kinds = ["conv"] * 5 + [
            "dwconv",
            "sepconv",
            "tconv",
            "tconv",
            "maxpool",
            "maxpool",
            "avgpool",
            "norm",
        ]
        kinds += ["act", "upsample", "shuffle", "dropout"] + ["crop"] * (not self.free)
        if nesting:
            kinds += [
                "repeat",
                "repeat",
                "concat",
                "concat",
                "add",
                "add",
                "dense",
                "gate",
                "shared",
                "residual",
            ]
            kinds += ["resize", "resize", "values", "values", "slice", "linear", "pad", "along"]
            kinds += ["softmax", "l2norm"] + ["own"] * (nesting == 2)
            kinds += (
                [] if self.fields else ["attend", "attend", "permute"] + ["recurrent"] * 2 * (self.rank == 1)
            )
            kinds += (["again"] * 4 + ["weight"]) * bool(self.firsts)
            kinds += ["head"] * (nesting == 2 and self.random.random() < 0.5)
            kinds += ["skip"] * 3 * bool(self.labels)
        kind = self.random.choice(kinds)
        if kind in ("tconv", "upsample") and max(x.shape[2:]) > self.limit // 2:
            return None
        return getattr(self, f"_{kind}")(x, nesting)

    def _axes(self, values: list[int]) -> Axes:
        if self.random.random() < 0.6:
            return (self.random.choice(values),) * self.rank
        return tuple(self.random.choice(values) for _ in range(self.rank))

    def _pads(self, most: int) -> Pads:
        """Paddings by axis, half of them unequal before and after."""
        values = range(most + 1)
        pairs = tuple((self.random.choice(values), self.random.choice(values)) for _ in range(self.rank))
        even = tuple((before, before) for before, _ in pairs)
        return self.random.choice([pairs, even, (pairs[0],) * self.rank])

    def _extras(self) -> dict[str, Any]:
        """Norm, activation and bias of a word; an activation is always named in a plain network."""
        norm = self.random.choice([None, None, None, "bn"])
        act = self.random.choice(["relu", "sigmoid", "none", None, None])
        return {"norm": norm, "act": act, "bias": self.random.choice([None, None, True, False])}

    def _divisor(self, n: int) -> int:
        """Mostly a divisor."""
        if self.random.random() < 0.05:
            return self.random.choice([2, 3, 5])
        return self.random.choice([d for d in range(1, n + 1) if n % d == 0])

    def _conv(self, x: torch.Tensor, nesting: int, kind: str = "conv") -> Layer:
        kernel = self._axes([1, 2, 3, 3, 5])
        stride = self._axes([1, 1, 1, 2, 3]) if self.random.random() < 0.5 else None
        dilation = self._axes([1, 2, 3]) if self.random.random() < 0.25 else None
        extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation or (1,) * self.rank, strict=True)]
        pads: list[str | Pads] = ["valid", self._pads(2), self._pads(2)]
        pads += ["same", "default", "default"] if all(e % 2 for e in extents) else []
        pads += ["same_tf"]
        groups, channels = None, x.shape[1]
        if kind == "conv" and self.random.random() < 0.3:
            groups = self._divisor(channels)
        width = None if kind == "dwconv" else (groups or 1) * self.random.randint(1, 4)
        if groups and self.random.random() < 0.05:
            width = groups + 1
        multiplier = self.random.choice([None, None, 1, 2]) if kind != "conv" else None
        pad = self.random.choice(pads)
        return Layer(
            kind, kernel, width, stride, dilation, pad, None, groups, multiplier, **self._extras()
        )  # fmt: skip

    def _dwconv(self, x: torch.Tensor, nesting: int) -> Layer:
        return self._conv(x, nesting, "dwconv")

    def _sepconv(self, x: torch.Tensor, nesting: int) -> Layer:
        return self._conv(x, nesting, "sepconv")

    def _tconv(self, x: torch.Tensor, nesting: int) -> Layer:
        stride = self._axes([1, 2, 2, 3])
        # Every output is reached by a tap on each axis; fields by axis do not tell of those that are not.
        kernel = tuple(s + self.random.choice([0, 0, 1, 2]) for s in stride)
        groups = self._divisor(x.shape[1]) if self.random.random() < 0.3 else None
        width = (groups or 1) * self.random.randint(1, 3)
        pad = self.random.choice(["default", "valid", self._pads(1), self._pads(1)])
        more = tuple(self.random.randrange(s) for s in stride) if self.random.random() < 0.2 else None
        if more is not None:
            kernel = tuple(map(max, kernel, (s + m for s, m in zip(stride, more, strict=True))))
        return Layer("tconv", kernel, width, stride, None, pad, more, groups, **self._extras())

    def _pool(self, kind: str) -> Layer:
        kernel = self._axes([2, 2, 3]) if self.random.random() < 0.9 else None
        stride = self._axes([1, 2, 2, 3]) if self.random.random() < 0.6 else None
        if kernel is None and stride is None:
            return Layer(kind)
        pads: list[str | Pads] = ["default", "default", self._pads(1)]
        pads += ["same"] if all(k % 2 for k in kernel or (2,)) else []
        pad = self.random.choice(pads)
        even = isinstance(pad, str) or all(before == after for before, after in pad)
        if self.rank == 3 and kind == "avgpool" and pad != "default":
            even = False  # see `independent.py`: it may have to be padded by hand
        return Layer(kind, kernel, None, stride, pad=pad, ceil=even and self.random.random() < 0.2)

    def _maxpool(self, x: torch.Tensor, nesting: int) -> Layer:
        return self._pool("maxpool")

    def _avgpool(self, x: torch.Tensor, nesting: int) -> Layer:
        return self._pool("avgpool")

    def _norm(self, x: torch.Tensor, nesting: int) -> Layer:
        if self.random.random() < 0.7:
            return Layer("bn")
        return Layer("gn", groups=self._divisor(x.shape[1]))

    def _act(self, x: torch.Tensor, nesting: int) -> Layer:
        return Layer(self.random.choice(["relu", "sigmoid", "leaky", "silu"]))

    def _dropout(self, x: torch.Tensor, nesting: int) -> Layer:
        return Layer("dropout")

    def _upsample(self, x: torch.Tensor, nesting: int) -> Layer:
        return Layer("upsample", size=self._axes([2, 2, 3]))

    def _shuffle(self, x: torch.Tensor, nesting: int) -> Layer:
        return Layer("shuffle", groups=self._divisor(x.shape[1]))

    def _crop(self, x: torch.Tensor, nesting: int) -> Layer:
        """To a little less, seldom to more than there is."""
        change = [0, 1, 1, 2] if self.random.random() < 0.9 else [-1]
        return Layer("crop", size=tuple(max(1, n - self.random.choice(change)) for n in x.shape[2:]))

    def _head(self, x: torch.Tensor, nesting: int) -> Layer:
        """The end of a classifier, or of its features."""
        if self.random.random() < 0.5 or self.free:
            return Layer("gap")
        return Layer("fc", width=self.random.randint(1, 10), bias=self.random.choice([None, True, False]))

    # --- the layers of the second half ---

    def _resize(self, x: torch.Tensor, nesting: int) -> Layer | None:
        """By a whole number or its inverse, so that each position sees as many; else by any fraction."""
        linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[self.rank]
        mode = self.random.choice(["nearest", linear, linear, "area"] + ["bicubic"] * (self.rank == 2))
        anti = mode in ("bilinear", "bicubic") and self.random.random() < 0.4
        up, down = self.random.choice([(2, 1), (3, 1), (1, 2), (1, 3), (3, 2), (2, 3), (7, 10), (1, 1)])
        if self.fields and (up != 1 != down or any(n % down for n in x.shape[2:]) or mode == "bicubic"):
            return None
        if up > down and max(x.shape[2:]) > self.limit // 2:
            return None
        text = str(up) if down == 1 else f"{up}/{down}"
        args = [
            ("", text),
            *([("mode", mode)] if mode != "nearest" else []),
            *([("antialias", "yes")] if anti else []),
        ]
        return Layer("resize", args=tuple(args), data=(up, down, mode, anti))

    def _values(self, x: torch.Tensor, nesting: int) -> Layer:
        """Arithmetic on each value."""
        kind = self.random.choice(["times", "times", "plus", "pow", "abs", "sin", "clamp"])
        match kind:
            case "times":
                numbers = [
                    self.random.choice([-1.5, 0.5, 2.0]) for _ in range(self.random.choice([1, x.shape[1]]))
                ]
                text = f"({', '.join(map(str, numbers))},)" if len(numbers) > 1 else str(numbers[0])
                return Layer("times", args=(("", text),), data=(numbers,))
            case "plus":
                return Layer("plus", args=(("", "0.5"),), data=(0.5,))
            case "pow":
                return Layer("pow", args=(("", "2"),), data=(2,))
            case "clamp":
                return Layer("clamp", args=(("", "-1"), ("", "0.5")), data=(-1.0, 0.5))
        return Layer(kind)

    def _slice(self, x: torch.Tensor, nesting: int) -> Layer:
        """A part of an axis, seldom of one that is too short."""
        at = self.random.randint(0, self.rank)
        n = x.shape[at + 1]
        low = self.random.choice([None, 0, 1, min(2, n - 1), -1, -max(1, n - 1)])
        high = self.random.choice([None, None, -1, -2, n - 1, max(0, n - 2), n])
        if self.free and at and high is not None and high > 0:
            high = 2
        axis = [] if at == 0 else [("axis", "DHW"[3 - self.rank :][at - 1])]
        text = f"{'' if low is None else low}..{'' if high is None else high}"
        if text == "..":
            low, text = 0, "0.."
        return Layer("slice", args=(("", text), *axis), data=(at, low, high))

    def _linear(self, x: torch.Tensor, nesting: int) -> Layer:
        extras = self._extras()
        if extras["act"] is None:
            extras["act"] = self.random.choice([None, "silu"])
        return Layer("linear", width=self.random.randint(1, 6), **extras)

    def _pad(self, x: torch.Tensor, nesting: int) -> Layer:
        sides = self._pads(2)
        mode = "zeros" if self.fields else self.random.choice(["zeros", "reflect", "replicate", "circular"])
        pairs = ", ".join(f"({a}, {b})" for a, b in sides)
        args = (
            ("", f"({pairs},)" if len(sides) == 1 else f"({pairs})"),
            *([("mode", mode)] if mode != "zeros" else []),
        )
        return Layer("pad", args=args, data=(sides, mode))

    def _along(self, x: torch.Tensor, nesting: int) -> Layer:
        letters = "CDHW"[0] + "DHW"[3 - self.rank :]
        axes = sorted(self.random.sample(range(self.rank + 1), self.random.choice([1, 1, self.rank])))
        names = [letters[axis] for axis in axes]
        text = names[0] if len(names) == 1 else f"({', '.join(names)})"
        return Layer(self.random.choice(["mean", "sum", "max"]), args=(("axis", text),), data=tuple(axes))

    def _softmax(self, x: torch.Tensor, nesting: int) -> Layer:
        at = 0 if self.fields else self.random.randint(0, self.rank)
        axis = [] if at == 0 else [("axis", "DHW"[3 - self.rank :][at - 1])]
        return Layer("softmax", args=tuple(axis), data=(at,))

    def _l2norm(self, x: torch.Tensor, nesting: int) -> Layer:
        return Layer("l2norm")

    def _permute(self, x: torch.Tensor, nesting: int) -> Layer | None:
        """The spatial axes in another order; the channels stay where they are, for what is free cannot be channels."""
        letters = "DHW"[3 - self.rank :]
        order = list(range(1, self.rank + 1))
        self.random.shuffle(order)
        names = ", ".join(["C", *(letters[i - 1] for i in order)])
        return Layer("permute", args=(("", names),), data=(0, *order))

    def _attend(self, x: torch.Tensor, nesting: int) -> Item:
        heads = self.random.choice([1, 1, 2, 3])
        inner, outer = heads * self.random.randint(1, 3), heads * self.random.randint(1, 3)
        if self.random.random() < 0.06:
            outer += 1
        causal = self.random.random() < 0.3
        args = [("q", f"[linear-{inner}]"), ("k", f"[linear-{inner}]"), ("v", f"[linear-{outer}]")]
        args += [("heads", str(heads))] * (heads > 1) + [("causal", "yes")] * causal
        return Layer("attend", args=tuple(args), data=(heads, inner, outer, causal))

    def _recurrent(self, x: torch.Tensor, nesting: int) -> Layer:
        both = self.random.random() < 0.5
        args = (("bidirectional", "yes"),) if both else ()
        return Layer(
            self.random.choice(["lstm", "gru"]), width=self.random.randint(1, 4), args=args, data=(both,)
        )

    def _own(self, x: torch.Tensor, nesting: int) -> Item:
        """A learnt tensor beside what flows: a factor or a term of its own for each channel, or a further map."""
        label, self.owns = f"own{self.owns}", self.owns + 1
        channels, ones = x.shape[1], (1,) * self.rank
        if self.random.random() < 0.5 or self.free:
            shape: tuple[int, ...] = (channels, *ones)
            how = "&"
        else:
            how = self.random.choice("|+")
            shape = tuple(x.shape[1:]) if how == "+" else (2, *x.shape[2:])
        if self.random.random() < 0.06:
            shape = (shape[0] + 1, *shape[1:])
        return Sides(how, (Chain(), Chain((Source(label, shape),))))

    def _can_be_again(self, item: Item, x: torch.Tensor) -> bool:
        """Whether a label can be used again, by what the language says: default activations of a bracket come out alike."""
        if isinstance(item, Layer):
            return item.kind in ("conv", "dwconv", "linear", "bn", "gn", "sepconv") or (
                item.kind in ("lstm", "gru", "attend")
            )
        if not isinstance(item, Sides) or not self.plain:
            return False
        if any(
            isinstance(p, Chain) and p.head is not None and self.labels[p.head] is x for p in within(item)
        ):
            return False  # one module cannot have what flows in as a tensor, too
        return not any(isinstance(part, Layer) and part.kind == "shortcut" for part in within(item))

    def _again(self, x: torch.Tensor, nesting: int) -> Item | None:
        """Mostly of something that takes as many channels."""
        fits = [label for label, (_, flow) in self.firsts.items() if flow.shape[1] == x.shape[1]]
        if not fits and self.random.random() < 0.8:
            return None
        label = self.random.choice(fits or list(self.firsts))
        first, _ = self.firsts[label]
        if not isinstance(first, Layer) or self.random.random() < 0.4:
            return Again(label)
        if first.kind not in ("conv", "dwconv", "linear"):
            return Again(label)
        norm = self.random.choice([None, None, "bn", "none"])
        act = self.random.choice([None, None, "relu", "none"])
        if self.random.random() < 0.4:
            return self._other_way(label, first, x)
        if first.kind == "linear" or first.pad == "same_tf":
            return Again(label, norm=norm, act=act)
        stride = self._axes([1, 2]) if self.random.random() < 0.4 else None
        dilation = self._axes([1, 2]) if self.random.random() < 0.4 else None
        if first.pad == "default" and any(k % 2 == 0 for k in first.kernel or ()):
            dilation = None
        return Again(label, stride, dilation, norm, act)

    def _other_way(self, label: str, first: Layer, x: torch.Tensor) -> Item | None:
        """The weights of a layer transposed, on something that has its outputs' channels."""
        if self.labels[label].shape[1] != x.shape[1] and self.random.random() < 0.8:
            return None
        bias, act = self.random.random() < 0.3, self.random.choice([None, "relu"])
        if first.kind == "linear":
            return Again(label, act=act, transpose=True, bias=bias)
        stride = first.stride or (1,) * self.rank
        covered = all(k >= s for k, s in zip(first.kernel or (), stride, strict=True))
        if first.pad == "same_tf" or first.dilation is not None or (self.fields and not covered):
            return None
        if max(x.shape[2:]) > self.limit // 2:
            return None
        return Again(label, act=act, transpose=True, bias=bias)

    def _weight(self, x: torch.Tensor, nesting: int) -> Item | None:
        """What flows, times the power of a layer's weights, channel by channel, as StyleGAN2 demodulates."""
        fits = [
            label for label, (first, _) in self.firsts.items()
            if isinstance(first, Layer) and first.kind in ("conv", "dwconv")
            and self.labels[label].shape[1] == x.shape[1]
        ]  # fmt: skip
        if not fits or self.rank == 3 or self.fields:
            return None
        letters = "DHW"[2 - self.rank :]
        power = Layer("pow", args=(("", "2"),), data=(2,))
        total = Layer("sum", args=(("axis", f"({', '.join(letters)})"),), data=tuple(range(1, self.rank + 2)))
        ones = Layer("reshape", args=(("", "_"), *[("", "1")] * self.rank), data=(self.rank,))
        return Sides("&", (Chain(), Chain((WeightOf(self.random.choice(fits)), power, total, ones))))

    # --- items of items ---

    def _body(self, x: torch.Tensor, length: int, nesting: int) -> tuple[Chain, torch.Tensor]:
        items, y = self._chain(x, length, nesting - 1)
        return Chain(tuple(items)), y

    def _repeat(self, x: torch.Tensor, nesting: int) -> Item | None:
        body, _ = self._body(x, self.random.randint(1, 3), nesting)
        return Repeat(body, self.random.choice([0, 1, 2, 2, 3])) if body.items else None

    def _dense(self, x: torch.Tensor, nesting: int) -> Item:
        same = replace(
            self._conv(x, 0), stride=None, pad="same", kernel=self._axes([1, 3]), groups=None, width=2
        )
        return Repeat(Chain((Sides("|", (Chain(), Chain((same,)))),)), self.random.choice([0, 1, 2, 3]))

    def _residual(self, x: torch.Tensor, nesting: int) -> Item:
        """With a `shortcut`, whose stride is told by the layers beside it."""
        layers: list[Item] = [
            replace(self._conv(x, 0), pad="same", dilation=None, groups=None, kernel=self._axes([1, 3, 5]))
            for _ in range(self.random.randint(1, 2))
        ]
        if self.random.random() < 0.3:
            layers.append(self._norm(x, 0))
        branches = [Chain(tuple(layers)), Chain((Layer("shortcut"),))]
        return Sides("+", tuple(branches))

    def _gate(self, x: torch.Tensor, nesting: int) -> Item:
        channels = x.shape[1]
        ones = (1,) * self.rank
        squeeze = Layer("conv", ones, self.random.randint(1, 4), act="relu")
        excite = Layer("conv", ones, self.random.choice([channels, channels, channels, 1]), act="sigmoid")
        if self.random.random() < 0.08:
            excite = replace(excite, width=channels + 1)
        return Sides("&", (Chain(), Chain((Layer("gap"), squeeze, excite))))

    def _shared(self, x: torch.Tensor, nesting: int) -> Item:
        """A use of a module that is there (seldom one that takes other channels), or of a new one."""
        placed = sorted({str(path[0]) for path in self.kept if path[0] != "own"})
        fits = [name for name in placed if self.takes[name] == x.shape[1]]
        if fits and self.random.random() < 0.7:
            return Use(self.random.choice(fits))
        if placed and self.random.random() < 0.2:
            return Use(self.random.choice(placed))
        name = f"shared{len(self.shared)}"
        first = replace(self._conv(x, 0), norm=None)
        more = [self._norm(x, 0)] if self.random.random() < 0.5 else [self._pool("maxpool")]
        self.shared[name], self.takes[name] = Chain((first, *more)), x.shape[1]
        return Use(name)

    def _concat(self, x: torch.Tensor, nesting: int) -> Item:
        return self._joined(
            "|",
            x,
            [self._body(x, self.random.randint(0, 3), nesting) for _ in range(self.random.choice([2, 2, 3]))],
        )

    def _add(self, x: torch.Tensor, nesting: int) -> Item:
        return self._joined("+", x, [self._body(x, self.random.randint(0, 3), nesting) for _ in range(2)])

    def _skip(self, x: torch.Tensor, nesting: int) -> Item:
        label = self.random.choice(list(self.labels))
        old = self.labels[label]
        if old.dim() == 2:
            return self._act(x, nesting)
        items, y = self._chain(old, self.random.randint(0, 1), 0)
        here = self._body(x, self.random.randint(0, 2), nesting)
        return self._joined(self.random.choice("|+"), x, [here, (Chain(tuple(items), label), y)])

    def _joined(self, how: str, x: torch.Tensor, branches: list[tuple[Chain, torch.Tensor]]) -> Sides:
        """The branches, mostly made to fit: channels by a 1x1 convolution, sizes by cutting."""
        chains = [chain for chain, _ in branches]
        ends = [y for _, y in branches]
        if any(y.dim() == 2 for y in ends) or self.random.random() < 0.07:
            return Sides(how, tuple(chains))
        if how == "+":
            width = max(y.shape[1] for y in ends)
            fit = Layer("conv", (1,) * self.rank, width, act="none")
            chains = [
                c if y.shape[1] == width else _longer(c, fit) for c, y in zip(chains, ends, strict=True)
            ]
        least = tuple(map(min, zip(*(y.shape[2:] for y in ends), strict=True)))
        off = [i for i, y in enumerate(ends) if tuple(y.shape[2:]) != least]
        if len(branches) == 2 and len(off) == 1 and (self.free or self.random.random() < 0.5):
            chains[off[0]] = _longer(chains[off[0]], Layer("crop"))
        elif not self.free:
            for i in off:
                chains[i] = _longer(chains[i], Layer("crop", size=least))
        return Sides(how, tuple(chains))


def _end(chain: Chain) -> str:
    last = chain.items[-1]
    assert isinstance(last, Labelled)
    return last.label


def _longer(chain: Chain, layer: Layer) -> Chain:
    return replace(chain, items=(*chain.items, layer))


def _named_again(item: Item) -> Iterator[str]:
    """The labels whose modules an item uses."""
    for part in within(item):
        if isinstance(part, Again | WeightOf):
            yield part.label


def _refers(item: Item) -> bool:
    """Whether an item names a tensor or a shared module."""
    return any(
        isinstance(i, Use | Again | WeightOf) or (isinstance(i, Chain) and i.head is not None)
        for i in within(item)
    )
