"""Recurrent layers over the positions of a map of one axis."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping
from typing import ClassVar

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import Op, OpError, Shape, Whole, Window, WordSlots


class _Recurrent(Op, ABC):
    """What both kinds share. The keys are PyTorch's: `weight_ih_l0`, `weight_hh_l0`, …, `_reverse` for the way back."""

    family = "recurrent"
    word = WordSlots(size="width", width="width")
    ranks = (1,)
    weighted = True
    nonlinear = True
    gates: ClassVar[int]
    """How many matrices there are for each of what comes in and what goes on."""

    width: fields.Positive
    bidirectional: fields.Flag = False
    layers: fields.Positive = 1
    bias: fields.Flag = True
    dropout: fields.Probability = 0.0

    def out_shape(self, *ins: Shape) -> Shape:
        if self.dropout and self.layers == 1:
            raise OpError(
                "E307", "`dropout` is applied between layers, and there is only one", arg="dropout",
                hint="layers=2, or `-> dropout` after it",
            )  # fmt: skip
        return (self.width * self.ways, ins[0][1])

    @property
    def ways(self) -> int:
        """How many times it runs over the positions: once, or there and back."""
        return 2 if self.bidirectional else 1

    def _parts(self, channels: int) -> Iterator[tuple[str, int]]:
        """For each layer and way the ending of its tensors' names, and how many channels come in."""
        for layer in range(self.layers):
            for ending in ("", "_reverse")[: self.ways]:
                yield f"_l{layer}{ending}", channels if layer == 0 else self.width * self.ways

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        rows = self.gates * self.width
        found: dict[str, Shape] = {}
        for ending, channels in self._parts(ins[0][0]):
            found[f"weight_ih{ending}"] = (rows, channels)
            found[f"weight_hh{ending}"] = (rows, self.width)
            if self.bias:
                found[f"bias_ih{ending}"] = found[f"bias_hh{ending}"] = (rows,)
        return found

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def macs(self, *ins: Shape) -> int:
        rows = self.gates * self.width
        return ins[0][1] * sum(rows * (channels + self.width) for _, channels in self._parts(ins[0][0]))

    def flops(self, *ins: Shape) -> int:
        adds = ins[0][1] * 2 * self.gates * self.width * self.ways * self.layers if self.bias else 0
        return 2 * self.macs(*ins) + adds

    def window(self, *ins: Shape) -> Window:
        return Whole()


@base.op
class LSTM(_Recurrent):
    """Long short-term memory along a map of one axis, channels x positions (Hochreiter and Schmidhuber 1997).

    What flows out is the hidden state at every position, which begins at 0. With `bidirectional=yes` a second
    one runs back, and its channels follow the first's (CRNN, Shi et al. 2015; DeepSpeech); `layers` stand on
    each other, with `dropout` between them.
    """

    kind = "lstm"
    positional = 0
    example = "lstm-256(bidirectional=yes)"
    gates = 4


@base.op
class GRU(_Recurrent):
    """Gated recurrent units along a map of one axis, channels x positions (Cho et al. 2014).

    What flows out is the hidden state at every position, which begins at 0. With `bidirectional=yes` a second
    one runs back, and its channels follow the first's; `layers` stand on each other, with `dropout` between them.
    """

    kind = "gru"
    positional = 0
    example = "gru-256"
    gates = 3
