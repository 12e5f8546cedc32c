"""Capsules: vectors of `dim` neighbouring channels (Sabour, Frosst and Hinton 2017)."""

import torch
from torch import Tensor, nn


class Squash(nn.Module):
    """Each capsule made shorter than 1 (Sabour et al. 2017, eq. 1).

    |s|^2/(1 + |s|^2) * s/|s|
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (-1, self.dim))
        square = x.square().sum(2, keepdim=True)
        return (x * square / (1 + square) * torch.rsqrt(square + 1e-9)).flatten(1, 2)


class CapsuleLength(nn.Module):
    """The length of each capsule."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return (x.unflatten(1, (-1, self.dim)).square().sum(2) + 1e-9).sqrt()


class CapsuleMask(nn.Module):
    """All capsules but the longest at each position made 0."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (-1, self.dim))
        square = x.detach().square().sum(2, keepdim=True)
        longest = square.argmax(1, keepdim=True)
        mask = torch.zeros_like(square).scatter(1, longest, 1.0)
        return (x * mask).flatten(1, 2)


class Capsules(nn.Module):
    """Capsules fed by all those below through routing by agreement.

    Sabour et al. 2017, section 2 and Procedure 1; the gradient flows through all
    iterations. `below` capsules of `of` channels come in, `count` of `dim` go out.
    """

    def __init__(
        self,
        below: int,
        of: int,
        count: int,
        dim: int,
        routing: int = 3,
    ) -> None:
        super().__init__()
        self.of, self.routing = of, routing
        self.weight = nn.Parameter(torch.randn(below, count, dim, of) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        # batch, capsule below, its values
        u = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
        u = u.unflatten(1, (-1, self.of)).transpose(2, 3).flatten(1, 2)
        votes = torch.einsum("bio,ijdo->bijd", u, self.weight)
        logits = torch.zeros_like(votes[..., 0])
        outputs = self._outputs(votes, logits)
        for _ in range(self.routing - 1):
            logits = logits + torch.einsum("bijd,bjd->bij", votes, outputs)
            outputs = self._outputs(votes, logits)
        return outputs.flatten(1)

    def _outputs(self, votes: Tensor, logits: Tensor) -> Tensor:
        s = torch.einsum("bij,bijd->bjd", logits.softmax(2), votes)
        square = s.square().sum(2, keepdim=True)
        return s * square / (1 + square) * torch.rsqrt(square + 1e-9)
