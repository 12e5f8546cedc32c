"""The time of a processor that a piece of work takes, whatever else lives in the process."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

USUAL = 0.04
"""Seconds that the loop in `slowness` takes on the machine on which limits of time were set."""


@cache
def slowness() -> float:
    """By how many times this machine, as it is now, is slower than that one; at least 1. Limits grow with it."""

    def taken() -> float:
        begun = time.process_time()
        sum(i * i for i in range(1_000_000))
        return time.process_time() - begun

    return max(1.0, min(taken() for _ in range(3)) / USUAL)


class Stopwatch:
    """Seconds of a processor, once the work is done."""

    seconds: float


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Times what is done inside; what other tests left in the process is not searched for garbage meanwhile."""
    watch = Stopwatch()
    gc.collect()
    gc.freeze()
    begun = time.process_time()
    try:
        yield watch
    finally:
        watch.seconds = time.process_time() - begun
