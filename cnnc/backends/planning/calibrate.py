"""How far real layers are from their floors: one efficiency for each kind, fitted to measured networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnc.compiler.roofline import Roofline, by_kind
from cnnc.dsl.record import record


@record
class Calibration:
    """Efficiencies by kind of layer (floor over time, at most 1), and how well they carry over.

    `error` and `worst` are relative, of networks each predicted by the others.
    """

    networks: tuple[str, ...]
    device: str
    efficiency: Mapping[str, float]
    error: float
    worst: float

    def seconds(self, roof: Roofline) -> float:
        """The estimated time of a network."""
        return sum(s / self.efficiency.get(kind, 1.0) for kind, s in by_kind(roof.rows).items())

    def unmeasured(self, roof: Roofline) -> list[str]:
        """The kinds of a network that no measured network has."""
        return [kind for kind in by_kind(roof.rows) if kind not in self.efficiency]


def calibrated(
    names: Sequence[str], floors: Sequence[Mapping[str, float]], times: Sequence[float], device: str
) -> Calibration:
    """Fit efficiencies to measured times. Raises ValueError for fewer than three networks."""
    if len(names) < 3:
        raise ValueError(
            "a calibration needs three networks at least, so that each is predicted by two others"
        )
    errors = []
    for i in range(len(names)):
        kept = [j for j in range(len(names)) if j != i]
        slowness = _fitted([floors[j] for j in kept], [times[j] for j in kept])
        guess = sum(s * slowness.get(kind, 1.0) for kind, s in floors[i].items())
        errors.append(abs(guess - times[i]) / times[i])
    slowness = _fitted(floors, times)
    return Calibration(
        networks=tuple(names), device=device, error=sum(errors) / len(errors), worst=max(errors),
        efficiency={kind: 1 / factor for kind, factor in slowness.items()},
    )  # fmt: skip


def _fitted(
    floors: Sequence[Mapping[str, float]], times: Sequence[float], rounds: int = 400
) -> dict[str, float]:
    """How many times its floor each kind takes, at least once: least squares of relative errors.

    One factor at a time is set to its best value; a small pull towards the common factor decides what the
    networks leave open.
    """
    kinds = sorted({kind for floor in floors for kind in floor})
    common = max(1.0, sum(t / sum(f.values()) for f, t in zip(floors, times, strict=True)) / len(times))
    factor = dict.fromkeys(kinds, common)
    rows = [({k: s / t for k, s in f.items()}) for f, t in zip(floors, times, strict=True)]
    pull = 1e-4 / common**2
    for _ in range(rounds):
        for kind in kinds:
            top, bottom = pull * common, pull
            for row in rows:
                share = row.get(kind, 0.0)
                if share:
                    rest = sum(factor[k] * s for k, s in row.items() if k != kind)
                    top += share * (1 - rest)
                    bottom += share * share
            factor[kind] = max(1.0, top / bottom)
    return factor
