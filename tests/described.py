"""Networks as descriptions, which are no specs: what a person would tell another.

`text` writes a description in the language; `independent.py` builds it in PyTorch
without any part of the compiler; `drawn.py` draws them at random.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Axes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Layer:
    """One layer word. `pad` is a word or (before, after) by axis; None stands for what a word leaves out."""

    kind: str
    kernel: Axes | None = None
    width: int | None = None
    stride: Axes | None = None
    dilation: Axes | None = None
    pad: str | Pads = "default"
    output_pad: Axes | None = None
    groups: int | None = None
    multiplier: int | None = None
    bias: bool | None = None
    ceil: bool = False
    norm: str | None = None
    act: str | None = None
    size: Axes | None = None
    args: tuple[tuple[str, str], ...] = ()
    """Further arguments as they are written, by their keys ("": none), of the layers of the second half."""
    data: tuple[Any, ...] = ()
    """What these say, for whoever does not read the language."""


@dataclass(frozen=True)
class Chain:
    """Items one after another; none is `id`. `head` is the label of a tensor that it begins with."""

    items: tuple[Item, ...] = ()
    head: str | None = None


@dataclass(frozen=True)
class Repeat:
    body: Chain
    times: int


@dataclass(frozen=True)
class Sides:
    """Branches on one input, joined by `|`, `+`, `&` or `@`; `|` along the channels, axis 0, or along another."""

    how: str
    branches: tuple[Chain, ...]
    axis: int = 0


class Knob(int):
    """A number of a description that is `factor` times a param of the file; so its text is."""

    name: str
    factor: int

    def __new__(cls, name: str, value: int, factor: int = 1) -> Knob:
        knob = super().__new__(cls, factor * value)
        knob.name, knob.factor = name, factor
        return knob

    def __str__(self) -> str:
        return f"{{{self.name}}}" if self.factor == 1 else f"{{{self.factor}*{self.name}}}"

    @property
    def value(self) -> int:
        return int(self) // self.factor


@dataclass(frozen=True)
class Maybe:
    """A chain that is there where a flag of the file says so, and else another."""

    flag: Knob
    body: Chain
    otherwise: Chain


@dataclass(frozen=True)
class Listed:
    """A layer for each width in a list of the file."""

    name: str
    layer: Layer
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Use:
    """A use of a shared module."""

    name: str


@dataclass(frozen=True)
class Source:
    """A learnt tensor of the network's own, channels first."""

    label: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Again:
    """What a label has, once more with the same weights; `changes` are fields of its layer, `transpose` its weights' other way."""

    label: str
    stride: Axes | None = None
    dilation: Axes | None = None
    norm: str | None = None
    act: str | None = None
    transpose: bool = False
    output_pad: Axes | None = None
    bias: bool = False


@dataclass(frozen=True)
class WeightOf:
    """The weight of a labelled layer, as a tensor."""

    label: str


@dataclass(frozen=True)
class Labelled:
    label: str
    item: Item


Item = Layer | Repeat | Sides | Use | Labelled | Source | Again | WeightOf | Maybe | Listed


@dataclass(frozen=True)
class Network:
    """`outputs` are labels; the last item's is among them."""

    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    shared: tuple[tuple[str, Chain], ...]
    chains: tuple[Chain, ...]
    outputs: tuple[str, ...]
    plain: bool
    """Whether no default activation is left for the language to place."""
    fields: bool = True
    """Whether the support of a gradient shows the receptive field of every layer."""


# --- as text ----------------------------------------------------------------------------


def text(network: Network, sizes: str | None = None) -> str:
    """The description as a spec; `sizes`, such as "HxW", replaces the spatial sizes of its inputs."""
    letters = "C" + "DHW"[4 - len(network.inputs[0][1]) :]
    lines = [f"param {name} = {value}" for name, value in settings_of(network).items()]
    for name, shape in network.inputs:
        size = "x".join(map(str, shape)) if sizes is None else f"{shape[0]}x{sizes}"
        lines.append(f"input {name}: {size}")
    if network.plain:
        lines += ["default conv(act=none)", "default fc(act=none)"]
    lines += [f"shared {name} = {_chain(body, letters)}" for name, body in network.shared]
    for chain in network.chains:
        words = [_item(item, letters) for item in chain.items]
        lines += [f"{chain.head} -> {words[0]}", *words[1:]]
    return "\n".join([*lines, f"output {', '.join(network.outputs)}", ""])


def settings_of(network: Network) -> dict[str, str]:
    """The params that a description depends on, with their values as they are written."""
    found: dict[str, str] = {}
    for part in within(network):
        match part:
            case Maybe(flag):
                found[flag.name] = "yes" if flag else "no"
            case Listed(name, _, widths):
                found[name] = "()" if not widths else f"({', '.join(map(str, widths))},)"
            case Repeat(_, Knob() as knob) | Layer(width=Knob() as knob):
                found[knob.name] = str(knob.value)
    return found


def within(part: Network | Item | Chain) -> Iterator[Item | Chain]:
    """Every item and chain in a description."""
    inner: tuple[Item | Chain, ...] = ()
    match part:
        case Network(_, shared, chains):
            inner = (*chains, *(body for _, body in shared))
        case Chain(items):
            inner = items
        case Repeat(body):
            inner = (body,)
        case Sides(_, branches):
            inner = branches
        case Labelled(_, one):
            inner = (one,)
        case Maybe(_, body, otherwise):
            inner = (body, otherwise)
    if not isinstance(part, Network):
        yield part
    for one in inner:
        yield from within(one)


def _chain(chain: Chain, letters: str) -> str:
    words = [*([chain.head] if chain.head else []), *(_item(item, letters) for item in chain.items)]
    return " -> ".join(words) or "id"


def _item(item: Item, letters: str) -> str:
    match item:
        case Labelled(label, inner):
            return f"{label}: {_item(inner, letters)}"
        case Repeat(body, times):
            return f"[{_chain(body, letters)}]*{times}"
        case Sides(how, branches, axis):
            along = "" if axis == 0 else f"(axis={letters[axis]})"
            return f"[{f' {how} '.join(_branch(b, letters) for b in branches)}]{along}"
        case Maybe(_, _, otherwise):
            return _choice(item, letters, is_whole=bool(otherwise.items))
        case Listed(name, layer):
            return f"[{_word(replace(layer, width=Knob('w', 1)))} for w in {name}]"
        case Use(name):
            return name
        case Source(label, shape):
            return f"{label}: tensor({', '.join(map(str, shape))}, init=normal(1))"
        case WeightOf(label):
            return f"weight({label})"
        case Again():
            return _again(item)
        case Layer():
            return _word(item)


def _branch(chain: Chain, letters: str) -> str:
    match chain:
        case Chain((Maybe() as only,), None):
            return _choice(only, letters, is_whole=True)
    return _chain(chain, letters)


def _choice(item: Maybe, letters: str, *, is_whole: bool) -> str:
    """A choice, which needs an `else` where it is a whole branch."""
    rest = f" else {_chain(item.otherwise, letters)}" if is_whole else ""
    return f"[{_chain(item.body, letters)} if {item.flag.name}{rest}]"


def _word(layer: Layer) -> str:
    word = layer.kind
    if layer.kernel is not None:
        word += _by_x(layer.kernel)
    if layer.width is not None:
        word += f"-{layer.width}"
    if layer.stride is not None:
        word += f"/{_by_x(layer.stride)}"
    args = []
    if layer.dilation is not None:
        args.append(f"dilation={_by_x(layer.dilation)}")
    if layer.pad != "default":
        args.append(f"pad={layer.pad if isinstance(layer.pad, str) else _pairs(layer.pad)}")
    if layer.output_pad is not None:
        args.append(f"output_pad={_by_x(layer.output_pad)}")
    for key in ("groups", "multiplier", "norm", "act"):
        value = getattr(layer, key)
        args += [] if value is None else [f"{key}={value}"]
    if layer.bias is not None:
        args.append(f"bias={'yes' if layer.bias else 'no'}")
    if layer.ceil:
        args.append("ceil=yes")
    if layer.size is not None:
        args.append(_by_x(layer.size))
    args += [f"{key}={value}" if key else value for key, value in layer.args]
    return word + (f"({', '.join(args)})" if args else "")


def _again(item: Again) -> str:
    args = [item.label]
    for key in ("stride", "dilation", "output_pad"):
        axes = getattr(item, key)
        args += [] if axes is None else [f"{key}={_by_x(axes)}"]
    for key in ("norm", "act"):
        word = getattr(item, key)
        args += [] if word is None else [f"{key}={word}"]
    args += [f"{key}=yes" for key in ("transpose", "bias") if getattr(item, key)]
    return f"again({', '.join(args)})"


def _by_x(axes: Axes) -> str:
    return str(axes[0]) if len(set(axes)) == 1 else "x".join(map(str, axes))


def _pairs(pads: Pads) -> str:
    if len(set(pads)) == 1:
        before, after = pads[0]
        return str(before) if before == after else f"({before}, {after})"
    return "(" + ", ".join(f"({before}, {after})" for before, after in pads) + ")"
