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
from described import Axes, Chain, Item, Labelled, Layer, Network, Pads, Repeat, Sides, Use
from independent import Independent, Path, Refused
from torch import nn

Inputs = tuple[tuple[str, tuple[int, ...]], ...]

SIZES = {1: (12, 40), 2: (7, 16), 3: (4, 8)}
CHANNELS = 24
"""No more are concatenated; counts are as well tested on few."""


class Draw:
    """One random network, and the networks that PyTorch refused on the way.

    With `free` nothing in it fixes a size: no cut to a number, no fully-connected layer on a map.
    """

    def __init__(self, seed: int, *, free: bool = False) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.free = free
        self.refused: list[Network] = []
        self.labels: dict[str, torch.Tensor] = {}
        self.shared: dict[str, Chain] = {}
        self.plain = self.random.random() < 0.7
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
        used = {part.name for chain in chains for part in _within(chain) if isinstance(part, Use)}
        shared = tuple((name, body) for name, body in self.shared.items() if name in used)
        return Network(inputs, shared, chains, outputs, self.plain)

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
                item = Labelled(label, item)
            items.append(item)
            x = y
        return items, x

    def _flow(self, item: Item, x: torch.Tensor) -> torch.Tensor:
        """What flows out of an item; shared modules stay from one item to the next."""
        run = Independent(self.shared)
        run.made.update(self.kept)
        run.labels = dict(self.labels)
        y = run.item(item, x, ("item",))
        self.kept = {path: module for path, module in run.made.items() if path[0] != "item"}
        return y

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
        placed = sorted({str(path[0]) for path in self.kept})
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


def _refers(item: Item) -> bool:
    """Whether an item names a tensor or a shared module."""
    return any(isinstance(i, Use) or (isinstance(i, Chain) and i.head is not None) for i in _within(item))


def _within(item: Item | Chain) -> Iterator[Item | Chain]:
    yield item
    inner: tuple[Item | Chain, ...] = ()
    match item:
        case Chain(items):
            inner = items
        case Repeat(body):
            inner = (body,)
        case Sides(_, branches):
            inner = branches
        case Labelled(_, one):
            inner = (one,)
    for part in inner:
        yield from _within(part)
