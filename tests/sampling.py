"""What is slow because there is much of it: some of it in every run, the rest with `-m slow`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest


def sampled(names: Sequence[Any], every: int, slow: Collection[Any] = ()) -> list[Any]:
    """`names` as parameters of a test: one in `every` is always run, the others and those in `slow` are marked so."""
    kept = [name for name in names if name not in slow][::every]
    return [name if name in kept else pytest.param(name, marks=pytest.mark.slow) for name in names]
