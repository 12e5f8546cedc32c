"""How large a volume is drawn: from its real shape, on scales that all boxes of a picture share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, prod

from cnnc.backends.volumes.plan import Volume

TALLEST = 84.0
"""The height of the largest map, in points."""
LOWEST = 6.0
THINNEST, THICKEST = 2.6, 9.0
"""The thickness of one slab: the fewest and the most channels of the picture."""
BAR = 4.0
"""The thickness of a vector's bar."""
SIGN = 5.0
"""The radius of a merge's circle."""
SLABS = 6
"""A map that stands here more often is drawn as three slabs, dots, and one more."""
LINEAR_UP_TO = 5.0
"""Sizes whose largest is no more than this many times the smallest are drawn in proportion."""
_BETWEEN, _DOTS = 1.4, 9.0


@dataclass(frozen=True, slots=True)
class Measure:
    """A volume's drawn size: each slab's thickness and height, the shift to its back, where slabs begin."""

    thickness: float
    height: float
    dx: float
    dy: float
    slabs: tuple[float, ...]
    dots: float | None
    """Where, among the slabs, the dots stand."""

    @property
    def width(self) -> float:
        """From the first slab's front to the last one's, without the shift."""
        return self.slabs[-1] + self.thickness


class Ruler:
    """A scale from a positive number to a length; logarithmic where the numbers are far apart."""

    def __init__(self, numbers: Sequence[int], least: float, most: float) -> None:
        self.low, self.high = min(numbers, default=1), max(numbers, default=1)
        self.least, self.most = least, most
        self.is_log = self.high > LINEAR_UP_TO * self.low

    def __call__(self, number: int) -> float:
        if self.high == self.low:
            return self.most
        if not self.is_log:
            return max(self.least, self.most * number / self.high)
        length = self.least + (self.most - self.least) * log(number / self.low) / log(self.high / self.low)
        return round(length, 6)  # the last bits of a logarithm are the machine's own


class Scale:
    """The scales of one picture."""

    def __init__(self, volumes: Sequence[Volume], tallest: float = TALLEST) -> None:
        maps = [v for v in volumes if not v.is_vector and v.sign is None]
        bars = [v for v in volumes if v.is_vector and v.sign is None]
        self.sides = Ruler([n for v in maps for n in _sides(v)], LOWEST, tallest)
        self.channels = Ruler([_channels(v) for v in maps], THINNEST, THICKEST)
        self.features = Ruler([int(v.out[0]) for v in bars], 0.25 * tallest, 0.9 * tallest)

    def measure(self, volume: Volume) -> Measure:
        """A volume's drawn size."""
        if volume.sign is not None:
            return Measure(2 * SIGN, 2 * SIGN, 0, 0, (0.0,), None)
        if volume.is_vector:
            return self._slabs(volume.times, BAR, self.features(int(volume.out[0])), 2.0, 1.5)
        height, depth = map(self.sides, _sides(volume))
        if len(volume.out) == 2:  # a signal: its length is drawn upright, and it has no depth
            depth = 0.12 * TALLEST
        return self._slabs(volume.times, self.channels(_channels(volume)), height, 0.26 * depth, 0.19 * depth)

    def _slabs(self, times: int, thickness: float, height: float, dx: float, dy: float) -> Measure:
        step = thickness + _BETWEEN
        if times <= SLABS:
            return Measure(thickness, height, dx, dy, tuple(step * i for i in range(times)), None)
        places = (0.0, step, 2 * step)
        return Measure(
            thickness, height, dx, dy, (*places, 3 * step + _DOTS), 3 * step + _DOTS / 2 - _BETWEEN
        )

    def caption(self) -> str:
        """What the sizes mean."""
        sides = "log scale" if self.sides.is_log else "in proportion"
        channels = "log scale" if self.channels.is_log else "in proportion"
        return f"Height and depth of a box: height and width of the map, {sides}; thickness: channels, {channels}."


def _sides(volume: Volume) -> tuple[int, int]:
    """Height and width of a map; the length twice, of a signal."""
    return int(volume.out[-2 if len(volume.out) > 2 else -1]), int(volume.out[-1])


def _channels(volume: Volume) -> int:
    """The channels; of a map of three axes, times its first."""
    return int(prod(map(int, volume.out[:-2]))) if len(volume.out) > 2 else int(volume.out[0])
