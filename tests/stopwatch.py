"""The time of a processor that a piece of work takes, whatever else lives in the process."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


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
