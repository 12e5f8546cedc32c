"""The contract every layer answers to, and the types its arguments are made of.

A layer is one final frozen class. Its fields are its validated arguments in
positional order; its methods answer what every analysis asks. Shapes are
`(channels, *spatial)` for maps and `(features,)` for vectors, batch left out.
An op raises `OpError`, the bare fact and the argument's name; the walk adds
position, trace and hint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import field
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from cnnc.compiler.ops.model import Model
from cnnc.dsl.record import record

if TYPE_CHECKING:
    pass

Shape = tuple[int, ...]
MAX_SIZE = 2**31 - 1
"""Of every axis, and of every argument that counts something."""
MAX_REAL = (2 - 2**-23) * 2.0**127
"""Of every other number: the largest of float32."""
COUNTER = "num_batches_tracked"
"""The state of a batch norm that counts its training steps: one integer, which inference does not read."""
Family = Literal[
    "input", "convolution", "linear", "pooling", "normalisation", "activation",
    "regularisation", "arithmetic", "merge", "reshape", "recurrent", "attention", "head",
]  # fmt: skip


class OpError(Exception):
    """A fact about one argument of an op, or (with `arg` None) about the op at its place."""

    def __init__(self, code: str, message: str, *, arg: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.arg = arg
        self.hint = hint


class Sizes(tuple[int, ...]):
    """Numbers joined by x in the text, one per axis: `1x7`."""

    __slots__ = ()


@record
class OpenRange:
    """A stretch `low..high`, both ends included; None where it is open, and negative where it counts from the end."""

    low: int | None
    high: int | None

    def __str__(self) -> str:
        low, high = ("" if end is None else str(end) for end in (self.low, self.high))
        return f"{low}..{high}"


# --- geometry as data ---------------------------------------------------------------


@record
class Axis:
    """What output i sees on one axis: inputs i*stride - before + j*dilation, j = 0..kernel-1."""

    kernel: int
    stride: int
    before: int
    dilation: int = 1


@record
class Spread:
    """The transposed case: input i reaches outputs i*stride - before + j*dilation, j = 0..kernel-1."""

    kernel: int
    stride: int
    before: int
    dilation: int = 1


@record
class Shares:
    """Outputs that share the map: output i sees the inputs from floor(i*n/m) up to ceil((i + 1)*n/m) - 1."""

    n: int
    m: int


@record
class Local:
    """Each axis has a window of its own, in the order of the map's axes."""

    axes: tuple[Axis | Spread | Shares, ...]


@record
class Pointwise:
    """Output position i sees input position i alone."""


@record
class Whole:
    """Every output sees the whole input."""


@record
class Undefined:
    """What an output sees is not fixed by the layer; `reason` says why."""

    reason: str


Window = Local | Pointwise | Whole | Undefined


# --- where an op is put, and how values are shown ------------------------------------


@record
class Place:
    """Where an op is being put: the shapes that flow in. Passed to validators as context."""

    ins: tuple[Shape, ...]
    given: tuple[str, ...] = ()
    """The arguments that brought the inputs after the first, in their order."""
    makers: Mapping[str, Op] = field(default_factory=dict)
    """The op behind each argument that is a tensor."""

    @property
    def rank(self) -> int:
        """The number of spatial axes of the first input."""
        return len(self.ins[0]) - 1


def by_x(shape: Iterable[int]) -> str:
    """A shape as it is written: `64x56x56`."""
    return "x".join(map(str, shape))


Sides = tuple[int, int]


class SameTF(tuple[Sides, ...]):
    """TensorFlow's padding where it goes by a free size: (before, after) pairs of expressions.

    Kept apart from other pairs, so that what writes layers can write the rule.
    """

    __slots__ = ()


class Causal(tuple[Sides, ...]):
    """Padding before the map alone, as far as the kernel reaches: what comes later is not seen.

    Kept apart from other pairs, so that a field to one side is meant.
    """

    __slots__ = ()


def show(value: Any) -> str:
    """An argument's value as the user would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sizes):
        return by_x(value)
    if isinstance(value, SameTF):
        return "same_tf"
    if isinstance(value, Causal):
        return "causal"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(show, value)) + ")"
    return str(value)


# --- the contract -------------------------------------------------------------------


@record
class WordSlots:
    """Which fields the pieces of `name[size][-width][/stride]` fill; None where there is no such piece."""

    size: str | None = None
    width: str | None = None
    stride: str | None = None


@record
class Brings:
    """What a layer word brings besides the layer: a norm, and a default activation (None: none)."""

    norm: bool = True
    act: str | None = "relu"


class Op(Model, ABC):
    """One kind of layer with its arguments, placed on maps of known shape."""

    kind: ClassVar[str]
    family: ClassVar[Family]
    example: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    word: ClassVar[WordSlots] = WordSlots()
    positional: ClassVar[int | None] = None
    """How many of its arguments may stand without their key, the first ones (None: all of them).

    The rest are given by key: by position they would be read as what another library has there
    (`bn(64)` its channels, `conv(3, 64, 3)` its input channels).
    """
    brings: ClassVar[Brings | None] = None
    kin: ClassVar[str | None] = None
    """The layer whose `default` of the file holds for this one too."""
    ranks: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    """Numbers of spatial axes the layer works on; 0 is a vector."""
    flattens: ClassVar[bool] = False
    """Whether a map is flattened before it comes in."""
    pipelines: ClassVar[tuple[str, ...]] = ()
    """Arguments that are pipelines on the same input; what flows out of each is a further input."""
    operands: ClassVar[tuple[str, ...]] = ()
    """Arguments that are its inputs, in their order: a pipeline on what flows in, or a label; what
    flows in where one is left out."""
    input_names: ClassVar[tuple[str, ...]] = ()
    """What its inputs are called, where a picture must say which is which: query, key and value."""
    tensors: ClassVar[Mapping[str, Literal["output", "input"]]] = {}
    """Arguments that are labels; the further input is the labelled tensor, or what flowed into its layer."""
    nonlinear: ClassVar[bool] = False
    """Whether a weighted layer before it and one after it are more than one, as with an activation between them."""
    rest: ClassVar[str | None] = None
    """The field that takes all arguments without a key, as a tuple: `tensor(768, 1)`."""
    source: ClassVar[bool] = False
    """Whether nothing flows in: it stands at the head of a chain, and its label is needed."""
    is_view: ClassVar[bool] = False
    """Whether in inference its output is its input's memory, whole or seen in another way, so that nothing moves."""
    letters: ClassVar[tuple[str, ...]] = ()
    """Arguments that are axes: a bare `C`, `D`, `H` or `W` in them is no size, and is not looked up."""
    former: ClassVar[Mapping[str, str]] = {}
    """What arguments were called before, and are called now."""
    weighted: ClassVar[bool] = False
    """Whether it counts as a layer in `depth`."""
    transparent: ClassVar[bool] = False
    """Whether a search for the consumers of an activation looks through it."""
    takes_linear: ClassVar[bool] = False
    """Whether a default activation right before it is left out."""
    worded: ClassVar[tuple[str, ...]] = ()
    """Arguments that may stand without a key as a word with arguments of its own: `conv3-64(standardise(eps=1e-6))`."""
    reusable: ClassVar[tuple[str, ...]] = ()
    """Arguments that shape no weight, and may differ where `again` uses its weights another time."""
    aside: ClassVar[tuple[str, ...]] = ()
    """Arguments that a backend reads elsewhere than where it writes the layer."""
    only_sized: ClassVar[bool] = False
    """Whether of some inputs only the size matters: where `windows` is the class's own, which alone may say so."""
    internal: ClassVar[bool] = False
    """Whether no layer word names it: it comes from an operator or a rule."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.only_sized = cls.windows is not Op.windows

    @abstractmethod
    def out_shape(self, *ins: Shape) -> Shape:
        """The shape that flows out; raises OpError where the inputs do not fit."""

    @abstractmethod
    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        """The learnable tensors by name, with their shapes as PyTorch keeps them."""

    @abstractmethod
    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        """The tensors kept but not learned (running statistics), by name."""

    @abstractmethod
    def macs(self, *ins: Shape) -> int:
        """Multiply-adds of one image by the convention of docs/language.md: of convolutions, linear layers and products of matrices only."""

    @abstractmethod
    def window(self, *ins: Shape) -> Window:
        """What one output position sees of the input positions."""

    @property
    def by_position(self) -> tuple[Any, ...]:
        """What `rest` holds; empty where another argument gives it (`reshape(to=x)`)."""
        return () if self.rest is None else getattr(self, self.rest) or ()

    def transposed(self, *ins: Shape) -> tuple[type[Op], Mapping[str, Any]] | None:
        """The layer that uses the same weights the other way, with its arguments but for the width; None where none does."""
        return None

    def weight_of(self, *ins: Shape) -> Shape | None:
        """The shape of its one tensor of weights, as it is used; None where it has none or several."""
        return self.params(*ins).get("weight")

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        """`window` for each input in turn; None for an input of which only the size matters."""
        return (self.window(*ins),) * len(ins)

    @property
    def channels_over(self) -> int | None:
        """By what the channels that flow in are divided for those that flow out, however many; None where no such
        number is known."""
        return None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Which of params and macs nobody knows; they count as 0 and make totals "at least"."""
        return ()

    @property
    def one_sided(self) -> bool:
        """Whether its window lies to one side on purpose, so that merges after it draw no warning."""
        return False

    def flops(self, *ins: Shape) -> int:
        """2 x MACs, and one for each addition of a bias."""
        macs = self.macs(*ins)
        bias_adds = prod(self.out_shape(*ins)) if macs and "bias" in self.params(*ins) else 0
        return 2 * macs + bias_adds


class Weightless(Op, ABC):
    """A layer that learns nothing, keeps nothing and multiplies nothing that counts."""

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def macs(self, *ins: Shape) -> int:
        return 0


class PositionWise(Op, ABC):
    """A layer whose output at a place depends on its input at that place, with no multiply-adds that count."""

    def out_shape(self, *ins: Shape) -> Shape:
        return ins[0]

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def macs(self, *ins: Shape) -> int:
        return 0

    def window(self, *ins: Shape) -> Window:
        return Pointwise()


class SameShape(PositionWise, ABC):
    """A position-wise layer that learns nothing."""

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}


_OpT = TypeVar("_OpT", bound=type[Op])


@record(frozen=False)
class _Registry:
    by_word: dict[str, type[Op]] = field(default_factory=dict)
    ops: list[type[Op]] = field(default_factory=list)


REGISTRY = _Registry()
"""The ops of the files imported so far; registry.py asks it on behalf of everybody else."""


def op(cls: _OpT) -> _OpT:
    """Register a layer. Fails at import where the class leaves a question unanswered."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    missing += [name for name in ("kind", "family", "example") if not hasattr(cls, name)]
    if missing:
        raise TypeError(f"op {cls.__name__} does not answer: {', '.join(missing)}")
    REGISTRY.ops.append(cls)
    if not cls.internal:
        for word in (cls.kind, *cls.aliases):
            if word in REGISTRY.by_word:
                raise TypeError(f"two ops are called {word}")
            REGISTRY.by_word[word] = cls
    return cls


def count(shapes: Iterable[Shape]) -> int:
    """The number of elements in all the tensors of these shapes."""
    return sum(prod(shape) for shape in shapes)
