"""Recurrent layers on maps with their channels first."""

from typing import Any

from torch import Tensor, nn


class LSTM(nn.LSTM):
    """An LSTM over the positions of a map: the hidden state at each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, batch_first=True, **kwargs)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return super().forward(x.mT, state)[0].mT


class GRU(nn.GRU):
    """Gated recurrent units over the positions of a map: the hidden state at each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, batch_first=True, **kwargs)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return super().forward(x.mT, state)[0].mT
