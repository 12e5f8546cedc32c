"""`torch.nn.LSTM` and `GRU`.

On CPUs a GRU is made of products and activations, one position after another, and an LSTM of one function of oneDNN for each
layer and direction. On GPUs both are one function of cuDNN. What oneDNN and cuDNN keep for themselves between
the passes is not known: it is left out, and the layer is named as one whose memory is "at least".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnc.backends.pytorch.dry.autograd import done_all, fresh, start
from cnnc.backends.pytorch.dry.ledger import STATE
from cnnc.backends.pytorch.dry.modules import Module, known
from cnnc.backends.pytorch.dry.pointwise import add, dropout
from cnnc.backends.pytorch.dry.products import addmm, linear, matmul
from cnnc.backends.pytorch.dry.register import lowered_all
from cnnc.backends.pytorch.dry.shapes import cat, chunk, stack, t, transpose, unbind
from cnnc.backends.pytorch.dry.tensor import Parameter, Tensor, float32, new

Weights = tuple[Tensor, Tensor, "Tensor | None", "Tensor | None"]
"""Of the input, of what goes on, and the bias of each."""


class _Recurrent(Module):
    gates = 0

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.hidden_size, self.num_layers, self.dropout = hidden_size, num_layers, dropout
        self.batch_first, self.bidirectional = batch_first, bidirectional
        self.endings = ("", "_reverse")[: 1 + bidirectional]
        self._alive: dict[str, list[Any]] = {}  # what the directions of a layer hold until they are joined
        rows = self.gates * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * len(self.endings)
            for ending in self.endings:
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, width),
                    "weight_hh": (rows, hidden_size),
                }
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                for name, shape in shapes.items():
                    setattr(self, f"{name}_l{layer}{ending}", Parameter(new(shape, float32)))

    def _weights(self, layer: int, ending: str) -> Weights:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        found = [self.__dict__.get(f"{name}_l{layer}{ending}") for name in names]
        return found[0], found[1], found[2], found[3]  # type: ignore[return-value]

    def forward(self, input: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        x = transpose(input, 0, 1) if self.batch_first else input
        layers = [[self._weights(i, ending) for ending in self.endings] for i in range(self.num_layers)]
        y = self._fused(x, layers) if STATE.device == "cuda" else self._layers(x, layers)
        return transpose(y, 0, 1) if self.batch_first else y, None

    def _fused(self, x: Tensor, layers: Sequence[Sequence[Weights]]) -> Tensor:
        """One function of cuDNN for all layers: its output, and the last states."""
        STATE.ledger.unknown.add(self._path)
        x, *weights = lowered_all([x.contiguous(), *(w for ways in layers for way in ways for w in way)])
        ins = [x, *(w for w in weights if w is not None)]
        node = start(ins, fresh, ins)
        y = new((*x.shape[:2], self.hidden_size * len(self.endings)), x.dtype)
        last = [
            new((len(layers) * len(self.endings), x.shape[1], self.hidden_size), x.dtype)
            for _ in range(self._states)
        ]
        done_all(node, (y, *last), (y,))
        return y

    _states = 1
    """How many tensors go on from one position to the next."""
    _copied = False
    """Whether the input is laid out anew, for the whole time."""

    def _layers(self, x: Tensor, layers: Sequence[Sequence[Weights]]) -> Tensor:
        """One layer after another, each a direction after the other. The first and last states of all are held."""
        state = (len(layers) * len(self.endings), x.shape[1], self.hidden_size)
        first = [new(state, x.dtype) for _ in range(self._states)]
        held: list[Tensor] = []
        whole = x = x.contiguous() if self._copied else x
        for i, ways in enumerate(layers):
            outs: list[Tensor] = []
            for j, way in enumerate(ways):
                found = self._direction(x, way, first, backwards=j == 1)
                outs.append(found[0])
                held += found[1:]
                del found
            x = outs.pop() if len(outs) == 1 else cat(outs, 2)
            outs.clear()
            self._alive.clear()
            if self.dropout and i + 1 < len(layers):
                x = dropout(x, self.dropout, self.training)
        ends = [stack(held[i :: self._states]) for i in range(self._states)]
        del ends, whole
        return x

    def _direction(self, x: Tensor, weights: Weights, first: Sequence[Tensor], backwards: bool) -> Any:
        """The output of one layer in one direction, and its last states."""
        raise NotImplementedError


@known()
class LSTM(_Recurrent):
    gates, _states, _copied = 4, 2, True

    def _direction(self, x: Tensor, weights: Weights, first: Sequence[Tensor], backwards: bool) -> Any:
        if STATE.grad:
            STATE.ledger.unknown.add(self._path)
        rows = (self.gates * self.hidden_size,)
        full = [new(rows, x.dtype) if w is None else w for w in weights]
        state = (x.shape[1], self.hidden_size)
        node = start((x, *full), fresh, (x, *full, *first))
        outs = new((x.shape[0], *state), x.dtype), new(state, x.dtype), new(state, x.dtype)
        return done_all(node, outs, outs)


@known()
class GRU(_Recurrent):
    gates = 3

    def _direction(self, x: Tensor, weights: Weights, first: Sequence[Tensor], backwards: bool) -> Any:
        w, _, bias, _ = weights
        if bias is not None and not x.is_contiguous_now:
            ready = add(linear(x, w), bias)
        else:
            ready = linear(x, w, bias)
        steps = unbind(ready, 0)
        self._alive["inputs"] = [ready, steps]  # those of the other direction are freed only now
        hidden = first[0].viewed((x.shape[1], self.hidden_size))
        outs = []
        for step in reversed(steps) if backwards else steps:
            hidden = self._cell(step, hidden, weights)
            outs.append(hidden)
        self._alive.setdefault("outputs", []).append(outs)
        return stack(outs[::-1] if backwards else outs, 0), hidden

    def _cell(self, step: Tensor, hidden: Tensor, weights: Weights) -> Tensor:
        """Cho et al. 2014, in the order of PyTorch's native code: gates made over what is split off."""
        _, w, _, bias = weights
        reset, update, made = chunk(step, 3, 1)
        back = matmul(hidden, t(w)) if bias is None else addmm(bias, hidden, t(w))
        for_reset, for_update, for_new = chunk(back, 3, 1)
        reset = (for_reset.add_(reset)).sigmoid_()
        update = (for_update.add_(update)).sigmoid_()
        made = (made + for_new.mul_(reset)).tanh_()
        y: Tensor = (hidden - made).mul_(update).add_(made)
        return y
