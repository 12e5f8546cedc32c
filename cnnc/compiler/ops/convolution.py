"""Convolutions that share their weights over all positions."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from math import gcd, prod
from typing import Annotated, Any

from cnnc.compiler.ops import base, connection, fields, geometry
from cnnc.compiler.ops.base import Brings, Op, OpError, Shape, Sides, Sizes, Window, WordSlots
from cnnc.compiler.ops.initial import BiasInit, WeightInit
from cnnc.compiler.ops.model import Field, PlainValidator, ValidationInfo
from cnnc.compiler.ops.reparam import Reparam, Weighted
from cnnc.compiler.sizes import is_free
from cnnc.dsl.record import record


def _conv_pad(value: Any, info: ValidationInfo) -> tuple[Sides, ...]:
    """`same`, `valid`, `same_tf` or numbers, to (before, after) pairs."""
    place, known = fields.place_of(info), info.data
    explicit = fields.sides(value, "pad", place.rank)
    if explicit is not None:
        return explicit
    if value == "valid":
        return ((0, 0),) * place.rank
    if value == "same":
        return geometry.same_padding(known["kernel"], known["dilation"], "pad")
    if value == "same_tf":
        sizes = place.ins[0][1:]
        return geometry.same_tf_padding(sizes, known["kernel"], known["stride"], known["dilation"])
    if value == "causal":
        return _causal(known["kernel"], known["dilation"])
    raise OpError(
        "E303", f"`pad` is {base.show(value)}; expected same, valid, same_tf, causal, a number, 1x2 (by axis) "
        "or (before, after)", arg="pad",
    )  # fmt: skip


def _causal(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> base.Causal:
    """All padding before the map, on its one axis (van den Oord et al. 2016, WaveNet, section 2.1)."""
    if len(kernel) != 1:
        raise OpError(
            "E401", f"`pad=causal` is for a map of one axis, and this has {len(kernel)}", arg="pad",
            hint="each axis its own: pad=((4, 0), (2, 2))",
        )  # fmt: skip
    return base.Causal(((geometry.effective(kernel[0], dilation[0]) - 1, 0),))


# Plain: the pairs may be expressions of a free size, which a validator of integers would drop.
ConvPad = Annotated[tuple[Sides, ...], PlainValidator(_conv_pad)]


REUSABLE = ("stride", "dilation", "pad")
"""Where a kernel goes, which says nothing of its weights."""


class Sliding(Weighted, ABC):
    """What all convolutions share: where the kernel goes, and what it sees."""

    family = "convolution"
    positional = 0
    brings = Brings()
    ranks = (1, 2, 3)

    def _sizes(self, shape: Shape) -> tuple[int, ...]:
        """The sizes of the output on each axis."""
        here: Any = self
        return geometry.slide(shape, here.kernel, here.stride, here.pad, here.dilation)

    @property
    def one_sided(self) -> bool:
        here: Any = self
        return isinstance(here.pad, base.Causal)

    def window(self, *ins: Shape) -> Window:
        here: Any = self
        return geometry.local(here.kernel, here.stride, here.pad, here.dilation)


def _mask(value: Any, info: ValidationInfo) -> str | None:
    """`a` or `b`; `none` takes a default of the file's back."""
    return None if value is None or value == "none" else fields.one_of(value, "mask", ("a", "b", "none"))


@record
class Standardised:
    """How filters are standardised: what is added to their variance, and whether each has a learnt gain, by which factor."""

    eps: float = 1e-5
    gain: bool = False
    scale: float = 1.0

    def __str__(self) -> str:
        scale = f", scale={self.scale!r}" if self.scale != 1 else ""
        return f"standardise(eps={self.eps!r}, gain={'yes' if self.gain else 'no'}{scale})"


_STANDARDISE = ("eps", "gain", "scale")


def _standardise(value: Any, info: ValidationInfo) -> bool | Standardised:
    """`yes`, `no`, or `standardise(eps=1e-6, gain=yes)`; at its usual numbers it is just yes."""
    if isinstance(value, bool | Standardised):
        return value
    if isinstance(value, str):
        if value in ("yes", "no"):
            return value == "yes"
    elif getattr(value, "name", None) == "standardise":
        given: dict[str, Any] = {}
        for i, (key, number) in enumerate(value.args):
            name = key.lower() if key else _STANDARDISE[i] if i < len(_STANDARDISE) else ""
            if name not in _STANDARDISE or name in given:
                raise OpError("E303", "`standardise` takes eps, gain and scale, each once", arg="standardise")
            given[name] = number
        eps, scale = (
            fields.real(given.get(key, usual), "standardise")
            for key, usual in (("eps", 1e-5), ("scale", 1.0))
        )
        gain = given.get("gain", False)
        if not eps > 0:
            raise OpError(
                "E303", f"the eps of `standardise` (={eps!r}) must be more than 0", arg="standardise"
            )
        if gain not in (True, False, "yes", "no") or (isinstance(gain, int) and not isinstance(gain, bool)):
            raise OpError(
                "E303",
                f"the gain of `standardise` is {base.show(gain)}; expected yes or no",
                arg="standardise",
            )
        found = Standardised(eps, gain in (True, "yes"), scale)
        if scale != 1 and not found.gain:
            raise OpError("E307", "the scale of `standardise` goes with `gain=yes`", arg="standardise")
        return True if found == Standardised() else found
    raise OpError(
        "E303", f"`standardise` is {base.show(value)}; expected yes, no or standardise(eps=…, gain=…, scale=…)", arg="standardise",
        hint="for instance: conv3-64(standardise(eps=1e-6, gain=yes))",
    )  # fmt: skip


def _pad_mode(value: Any, info: ValidationInfo) -> str | None:
    """What the border repeats; `zeros` takes a default of the file's back."""
    modes = ("zeros", "reflect", "replicate", "circular")
    return None if value is None or fields.one_of(value, "pad_mode", modes) == "zeros" else str(value)


def _check_border(mode: str | None, pads: tuple[Sides, ...], shape: Shape) -> None:
    """Whether the map has enough to repeat. Raises OpError where not, or where two sides differ."""
    if mode is None:
        return
    if any(is_free(n) or before != after for before, after in pads for n in (before, after)):
        raise OpError(
            "E307", f"`pad_mode={mode}` pads both sides alike", arg="pad_mode",
            hint=f"for instance: pad((0, 1), mode={mode}) -> conv3-64(pad=0)",
        )  # fmt: skip
    for n, (before, _) in zip(shape[1:], pads, strict=True):
        most = {"reflect": n - 1, "circular": n}.get(mode)
        if most is not None and before > most:
            raise OpError(
                "E403", f"`pad_mode={mode}` has {most} to repeat on an axis of {n}, and `pad` asks for {before}",
                arg="pad_mode",
            )  # fmt: skip


PadMode = Annotated[str | None, PlainValidator(_pad_mode)]


def _dividing(groups: int, number: int, what: str) -> str:
    """What fits: a width that is a multiple of the groups, or else groups that divide the channels."""
    if what == "width":
        return f"take a multiple of {groups}, for instance {max(1, round(number / groups)) * groups}"
    most = gcd(groups, number)
    return (
        f"groups={most} divides them"
        if most > 1
        else f"make them a multiple of {groups}, for instance {groups * -(-number // groups)}"
    )


def check_divides(groups: int, channels: int, width: int) -> None:
    """Raises OpError (E402) where groups do not divide the channels and the width."""
    for what, number in (("input channels", channels), ("width", width)):
        if number % groups:
            raise OpError(
                "E402", f"`groups` (={groups}) must divide the {what} (={number})", arg="groups",
                hint=_dividing(groups, number, what),
            )  # fmt: skip


@base.op
class Conv(Sliding):
    """Convolution (cross-correlation) with `width` filters.

    out = floor((N + p - k_eff)/s) + 1 on each axis, k_eff = k + (k - 1)(dilation - 1).
    `table` names the input maps that each output map sees (LeCun et al. 1998, Table I):
    a row of 0 and 1 for each input map, or `lenet5_c3`. `standardise=yes` gives every
    filter mean 0 and variance 1 before it is used (Qiao et al. 2019); `standardise(eps=1e-6)` says what is added to the variance,
    and with `gain=yes` each filter is multiplied by a learnt gain, 1 at first, over the root of the number of values it sums
    and times `scale` (Brock et al. 2021, NFNet, eq. 1 and section 4.1). `mask=b` lets a position see those
    before it, row by row, and itself; `mask=a` those before it alone (van den Oord et al. 2016, PixelRNN, section 3.4).
    The weights that the mask hides are parameters and are multiplied all the same. `pad_mode=reflect`, `replicate`
    and `circular` repeat the map in its border; what they repeat there is not followed.
    """

    kind = "conv"
    example = "conv3-64/2"
    word = WordSlots(size="kernel", width="width", stride="stride")
    reusable = REUSABLE
    worded = ("standardise",)

    kernel: fields.PositiveAxes
    width: fields.Positive
    stride: fields.PositiveAxes = Field(1, validate_default=True)
    dilation: fields.PositiveAxes = Field(1, validate_default=True)
    pad: ConvPad = Field("same", validate_default=True)
    groups: fields.Positive = 1
    bias: fields.Flag = True
    table: connection.Table = None
    standardise: Annotated[bool | Standardised, PlainValidator(_standardise)] = False
    init: WeightInit = None
    bias_init: BiasInit = None
    reparam: Reparam = None
    mask: Annotated[str | None, PlainValidator(_mask)] = None
    pad_mode: PadMode = None

    def out_shape(self, *ins: Shape) -> Shape:
        check_divides(self.groups, ins[0][0], self.width)
        if self.pad_mode is not None and (
            self.mask is not None or self.standardise or self.table is not None
        ):
            raise OpError(
                "E307", "`pad_mode` cannot be combined with `mask`, `standardise` or `table`", arg="pad_mode"
            )
        _check_border(self.pad_mode, self.pad, ins[0])
        if self.table is not None:
            self._check_table(self.table, ins[0][0])
        if self.mask is not None:
            self._check_mask()
        return (self.width, *self._sizes(ins[0]))

    def _check_mask(self) -> None:
        if self.table is not None or self.standardise:
            raise OpError("E307", "`mask` cannot be combined with `table` or `standardise`", arg="mask")
        even = next((k for k in self.kernel if k % 2 == 0), None)
        if even is not None:
            raise OpError(
                "E307", f"a kernel of {even} has no middle for a mask", arg="kernel", hint="take an odd one"
            )
        if self.mask == "a" and prod(self.kernel) == 1:
            raise OpError("E307", "a kernel of 1 sees nothing under `mask=a`", arg="mask", hint="mask=b")

    @property
    def one_sided(self) -> bool:
        return self.mask is not None or super().one_sided

    def window(self, *ins: Shape) -> Window:
        """Under a mask the first axis of the kernel ends at its middle: the rows above are seen whole."""
        if self.mask is None:
            return super().window(*ins)
        first = next((i for i, k in enumerate(self.kernel) if k > 1), len(self.kernel) - 1)
        alone = prod(self.kernel) == self.kernel[first]
        seen = list(self.kernel)
        seen[first] = self.kernel[first] // 2 + (self.mask == "b" or not alone)
        return geometry.local(tuple(seen), self.stride, self.pad, self.dilation)

    def _check_table(self, table: tuple[str, ...], channels: int) -> None:
        other = "groups" if self.groups > 1 else "standardise" if self.standardise else "reparam"
        if other != "reparam" or self.reparam is not None:
            raise OpError(
                "E307",
                f"`table` cannot be combined with `{other}`: its kernels are kept in one list",
                arg="table",
            )
        if self.init is not None and self.init.has_fan:
            raise OpError(
                "E307", f"`init` (={self.init}) depends on the fan, which a table makes unequal", arg="init"
            )
        connection.fits(table, channels, self.width)

    def tensors_of(self, *ins: Shape) -> Mapping[str, Shape]:
        if self.table is not None:
            weight = {"weight": (connection.links(self.table), *self.kernel)}
        else:
            weight = {"weight": (self.width, ins[0][0] // self.groups, *self.kernel)}
        found: dict[str, Shape] = {**weight, "bias": (self.width,)} if self.bias else weight
        if isinstance(self.standardise, Standardised) and self.standardise.gain:
            found["gain"] = (self.width, 1, *[1] * len(self.kernel))
        return found

    def transposed(self, *ins: Shape) -> tuple[type[Op], Mapping[str, Any]] | None:
        if self.table is not None or self.mask is not None or self.standardise or self.pad_mode is not None:
            return None
        return _other_way(self, self.groups)

    def weight_of(self, *ins: Shape) -> Shape | None:
        is_plain = self.table is None and self.mask is None and not self.standardise
        return super().weight_of(*ins) if is_plain else None

    def macs(self, *ins: Shape) -> int:
        positions, area = prod(self._sizes(ins[0])), prod(self.kernel)
        if self.table is not None:
            return positions * connection.links(self.table) * area
        return positions * self.width * (ins[0][0] // self.groups) * area


@base.op
class DepthwiseConv(Sliding):
    """Depthwise convolution: each map has `multiplier` filters of its own (Howard et al. 2017, section 3.1)."""

    kind = "dwconv"
    kin = "conv"
    example = "dwconv3/2"
    word = WordSlots(size="kernel", stride="stride")
    reusable = REUSABLE

    kernel: fields.PositiveAxes
    stride: fields.PositiveAxes = Field(1, validate_default=True)
    dilation: fields.PositiveAxes = Field(1, validate_default=True)
    pad: ConvPad = Field("same", validate_default=True)
    multiplier: fields.Positive = 1
    bias: fields.Flag = True
    init: WeightInit = None
    bias_init: BiasInit = None
    reparam: Reparam = None
    pad_mode: PadMode = None

    def out_shape(self, *ins: Shape) -> Shape:
        _check_border(self.pad_mode, self.pad, ins[0])
        return (ins[0][0] * self.multiplier, *self._sizes(ins[0]))

    def tensors_of(self, *ins: Shape) -> Mapping[str, Shape]:
        width = ins[0][0] * self.multiplier
        weight = {"weight": (width, 1, *self.kernel)}
        return {**weight, "bias": (width,)} if self.bias else weight

    def transposed(self, *ins: Shape) -> tuple[type[Op], Mapping[str, Any]] | None:
        return None if self.pad_mode is not None else _other_way(self, ins[0][0])

    def macs(self, *ins: Shape) -> int:
        return prod(self.out_shape(*ins)) * prod(self.kernel)


@base.op
class SeparableConv(Sliding):
    """Depthwise separable convolution: a depthwise one, then 1x1 to `width` maps (Chollet 2017, section 3).

    There is nothing between the two, and the bias is the second's; with a norm
    between them write `dwconv3(norm=bn) -> conv1-64(norm=bn)`.
    """

    kind = "sepconv"
    kin = "conv"
    example = "sepconv3-64/2"
    word = WordSlots(size="kernel", width="width", stride="stride")
    weights = ("depthwise.weight", "pointwise.weight")

    kernel: fields.PositiveAxes
    width: fields.Positive
    stride: fields.PositiveAxes = Field(1, validate_default=True)
    dilation: fields.PositiveAxes = Field(1, validate_default=True)
    pad: ConvPad = Field("same", validate_default=True)
    multiplier: fields.Positive = 1
    bias: fields.Flag = True
    init: WeightInit = None
    bias_init: BiasInit = None
    reparam: Reparam = None

    def out_shape(self, *ins: Shape) -> Shape:
        return (self.width, *self._sizes(ins[0]))

    def tensors_of(self, *ins: Shape) -> Mapping[str, Shape]:
        middle, ones = ins[0][0] * self.multiplier, (1,) * len(self.kernel)
        weights = {
            "depthwise.weight": (middle, 1, *self.kernel),
            "pointwise.weight": (self.width, middle, *ones),
        }
        return {**weights, "pointwise.bias": (self.width,)} if self.bias else weights

    def macs(self, *ins: Shape) -> int:
        middle = ins[0][0] * self.multiplier
        return prod(self._sizes(ins[0])) * middle * (prod(self.kernel) + self.width)

    def flops(self, *ins: Shape) -> int:
        return 2 * self.macs(*ins) + (prod(self.out_shape(*ins)) if self.bias else 0)


def _other_way(op: Conv | DepthwiseConv, groups: int) -> tuple[type[Op], Mapping[str, Any]] | None:
    """The transposed convolution with the weights of a convolution; None where its padding hangs on a free size."""
    from cnnc.compiler.ops.transposed import TransposedConv

    if isinstance(op.pad, base.SameTF):
        return None
    given = {"kernel": Sizes(op.kernel), "stride": Sizes(op.stride), "dilation": Sizes(op.dilation)}
    return TransposedConv, {**given, "pad": tuple(op.pad), "groups": groups, "bias": False}
