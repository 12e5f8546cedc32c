"""Random descriptions beyond `drawn.py`: with more of the second half's layers, and families that params vary."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from described import Chain, Item, Knob, Layer, Listed, Maybe, Network, Repeat, Sides, Source, settings_of
from drawn import Draw
from independent import SAME


class Wide(Draw):
    """Networks in which every other layer is one that `Draw` has not, or one of its layers with other arguments."""

    def __init__(self, seed: int, *, free: bool = False) -> None:
        super().__init__(seed, free=free, fields=False)

    def _item(self, x: torch.Tensor, nesting: int) -> Item | None:
        if self.random.random() < 0.5:
            return super()._item(x, nesting)
        kinds = ["arithmetic", "normalised", "affine", "filters", "sampled", "halved", "sides", "same"]
        kinds += ["fitted"] * 3 + ["matrix", "causal", "deep"] * (self.rank == 1)
        item: Item | None = getattr(self, f"_{self.random.choice(kinds)}")(x, nesting)
        return item

    def _can_be_again(self, item: Item, x: torch.Tensor) -> bool:
        """Not what makes something else of its weights."""
        return super()._can_be_again(item, x) and not (
            isinstance(item, Layer) and item.kind == "conv" and item.data
        )

    # --- values ---

    def _numbers(self, count: int) -> tuple[float, ...]:
        return tuple(self.random.choice([0.5, 1.0, 2.0]) for _ in range(count))

    def _arithmetic(self, x: torch.Tensor, nesting: int) -> Item:
        kind = self.random.choice(["exp", "log", "cos", "normalize"])
        if kind == "normalize":
            given = (self._numbers(x.shape[1]), self._numbers(x.shape[1]))
            args = tuple((key, f"{numbers}") for key, numbers in zip(("mean", "std"), given, strict=True))
            return Layer("normalize", args=args, data=given)
        words = {"exp": ["sigmoid", "exp"], "log": ["sigmoid", "log"], "cos": ["cos"]}[kind]
        return Repeat(Chain(tuple(Layer(word) for word in words)), 1)

    def _affine(self, x: torch.Tensor, nesting: int) -> Layer:
        each = self.random.choice(["one", "channel"] + ["position"] * (not self.free))
        if self.random.random() < 0.4:
            return Layer("bias", args=(("each", each),), data=(each,))
        has_bias = self.random.random() < 0.5
        args = (("each", each), *([("bias", "yes")] if has_bias else []))
        return Layer("scale", args=args, data=(each, has_bias))

    def _normalised(self, x: torch.Tensor, nesting: int) -> Layer:
        kind = self.random.choice(["grn", "rmsnorm", "ln", "l2norm"])
        if kind != "ln":
            return Layer(kind)
        has_bias = self.random.random() < 0.5
        return Layer("ln", args=() if has_bias else (("bias", "no"),), data=(has_bias,))

    # --- windows ---

    def _filters(self, x: torch.Tensor, nesting: int) -> Layer:
        """A convolution with borders of its own, masked, or standardised."""
        form = self.random.choice(["pad_mode", "mask", "standardise"])
        word = {
            "pad_mode": self.random.choice(["reflect", "replicate", "circular"]),
            "mask": self.random.choice("ab"), "standardise": "yes",
        }[form]  # fmt: skip
        kernel = self._axes([3, 3, 5]) if form == "mask" else self._axes([1, 2, 3, 5])
        pads = ["default"] if all(k % 2 for k in kernel) else ["valid"]
        return Layer(
            "conv", kernel, self.random.randint(1, 4), self._axes([1, 1, 2]), pad=self.random.choice(pads),
            args=((form, word),), data=(form, word), **self._extras(),
        )  # fmt: skip

    def _causal(self, x: torch.Tensor, nesting: int) -> Layer:
        dilation = self._axes([1, 2, 3])
        return replace(
            self._conv(x, 0),
            pad="causal",
            dilation=dilation,
            stride=self._axes([1, 1, 2]),
            groups=None,
            width=2,
        )

    def _sampled(self, x: torch.Tensor, nesting: int) -> Layer:
        if self.random.random() < 0.5:
            kernel = (self.random.choice([2, 3, 5]),) * self.rank
            return Layer("blurpool", kernel, stride=(self.random.choice([1, 2]),) * self.rank)
        kernel, dilation = self._axes([2, 3]), self._axes([1, 2])
        return Layer("maxpool", kernel, stride=self._axes([1, 2]), dilation=dilation, pad=self._pads(1))

    # --- shapes ---

    def _halved(self, x: torch.Tensor, nesting: int) -> Item | None:
        """A part of the channels, or half an axis among them."""
        channels, *sizes = x.shape[1:]
        if self.random.random() < 0.5:
            n = self._divisor(channels)
            i = self.random.randrange(n)
            return Layer("chunk", args=(("", str(n)), ("", str(i))), data=(n, i))
        even = [i for i, n in enumerate(sizes) if n % 2 == 0 and n > 2]
        if not even or self.free:
            return None
        axis = self.random.choice(even)
        new = [2 * channels, *(n // 2 if i == axis else n for i, n in enumerate(sizes))]
        words = [str(n) for n in new]
        words[self.random.randrange(len(words))] = "_"
        return Layer("reshape", args=tuple(("", word) for word in words), data=(self.rank, *new))

    def _fitted(self, x: torch.Tensor, nesting: int) -> Item:
        kind = self.random.choice(["stretch", "pad", "resize"])
        fit = Layer(kind)
        same = replace(self._conv(x, 0), stride=None, pad="valid", groups=None, dilation=None, width=2)
        other = Layer("resize", args=(("", "1/2"),), data=(1, 2, "nearest", False))
        before: dict[str, list[Item]] = {
            "stretch": [Layer("gap")],
            "pad": [same],
            "resize": [other] if self.random.random() < 0.5 else [same],
        }
        return Sides("|", (Chain(), Chain((*before[kind], fit))))

    def _sides(self, x: torch.Tensor, nesting: int) -> Item:
        """Joined along any axis."""
        axis = self.random.randint(0, self.rank)
        pieces: list[Item] = [self._values(x, 0), self._normalised(x, 0)]
        return Sides("|", tuple(Chain((piece,)) for piece in pieces), axis)

    def _same(self, x: torch.Tensor, nesting: int) -> Item:
        width = self.random.choice([x.shape[1], x.shape[1], 3])
        layer = replace(self._conv(x, 0), width=width, pad="same", groups=None, dilation=None)
        layer = replace(layer, kernel=self._axes([1, 3]))
        return Sides("+", (Chain((layer,)), Chain((SAME,))))

    def _matrix(self, x: torch.Tensor, nesting: int) -> Item:
        label, self.owns = f"own{self.owns}", self.owns + 1
        if self.random.random() < 0.5 or self.free:
            own = Source(label, (self.random.randint(1, 4), x.shape[1]))
            return Sides("@", (Chain((own,)), Chain()))
        return Sides("@", (Chain(), Chain((Source(label, (x.shape[2], self.random.randint(1, 6))),))))

    def _deep(self, x: torch.Tensor, nesting: int) -> Layer:
        """Recurrent layers, as `Draw` has them: here beside the others."""
        return self._recurrent(x, nesting)


class Family(Draw):
    """Networks whose widths, counts, lists and choices are params of the file."""

    always_plain = True

    def __init__(self, seed: int) -> None:
        self.knobs: dict[str, int] = {}
        super().__init__(seed, fields=False)

    @property
    def networks(self) -> tuple[Network, ...]:
        return (self.network,)

    def _knob(self, kind: str, value: int) -> Knob:
        """A number that is a new param, or a multiple of one that is there."""
        if kind == "w" and self.random.random() < 0.4:
            for name, n in self.knobs.items():
                if name.startswith("w") and value % n == 0:
                    return Knob(name, n, value // n)
        name = f"{kind}{len(self.knobs)}"
        self.knobs[name] = value
        return Knob(name, value)

    def _item(self, x: torch.Tensor, nesting: int) -> Item | None:
        if nesting and self.random.random() < 0.3:
            return self._maybe(x, nesting) if self.random.random() < 0.6 else self._listed(x)
        item = super()._item(x, nesting)
        if isinstance(item, Layer) and item.width is not None and self.random.random() < 0.5:
            return replace(item, width=self._knob("w", item.width))
        if isinstance(item, Repeat) and self.random.random() < 0.6:
            return replace(item, times=self._knob("n", item.times))
        return item

    def _maybe(self, x: torch.Tensor, nesting: int) -> Item:
        body, _ = self._body(x, self.random.randint(1, 2), nesting)
        other = Chain()
        if self.random.random() < 0.4:
            other, _ = self._body(x, 1, nesting)
        if not body.items:
            body = Chain((Layer("relu"),))
        return Maybe(self._knob("f", self.random.choice([0, 1])), body, other)

    def _listed(self, x: torch.Tensor) -> Item:
        layer = replace(self._conv(x, 0), groups=None, stride=None, pad="same", kernel=self._axes([1, 3]))
        name = f"l{len(self.knobs)}"
        self.knobs[name] = 0
        return Listed(
            name, layer, tuple(self.random.randint(1, 4) for _ in range(self.random.choice([0, 1, 2, 3])))
        )

    def other(self, among: Container[str] | None = None) -> dict[str, Any]:
        """Some of the params (of these alone) with other values."""
        names = sorted(name for name in settings_of(self.network) if among is None or name in among)
        some = self.random.sample(names, self.random.randint(min(1, len(names)), min(3, len(names))))
        values: dict[str, Any] = {}
        for name in some:
            match name[0]:
                case "w":
                    values[name] = self.random.randint(1, 5)
                case "n":
                    values[name] = self.random.randint(0, 3)
                case "f":
                    values[name] = not self.knobs[name]
                case _:
                    values[name] = tuple(self.random.randint(1, 4) for _ in range(self.random.randint(0, 3)))
        return values


def with_settings(part: Any, values: Mapping[str, Any]) -> Any:
    """A description with other values of its params."""
    match part:
        case Knob():
            return Knob(part.name, int(values.get(part.name, part.value)), part.factor)
        case Listed(name, layer, widths):
            return Listed(name, with_settings(layer, values), values.get(name, widths))
        case tuple():
            return tuple(with_settings(one, values) for one in part)
    if is_dataclass(part) and not isinstance(part, type):
        new = {field.name: with_settings(getattr(part, field.name), values) for field in fields(part)}
        return replace(part, **new)
    return part
