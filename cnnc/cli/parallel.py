"""One job over many specs, in processes where that pays."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import TypeVar

from cnnc.dsl.diagnostics import fail

_T = TypeVar("_T")

_WORTH = 0.6
"""Seconds of work left at which processes pay. Measured: two of them cost 0.06 to 0.15 s of CPU in all (what
starts them is imported, the forks copy what they touch), so that two free cores gain from 0.3 s on."""


def in_order(job: Callable[[str], _T], specs: Sequence[str], jobs: int | None = None) -> Iterator[_T]:
    """What `job` makes of each spec, in their order; the same whatever the number of processes.

    With `jobs` None the first specs are done here, and the rest in as many processes as there are cores
    once it is seen to be worth it. Standard input is read by this process alone.
    Raises CnncError (E901) where one of them is killed.
    """
    if "-" in specs:
        jobs = 1
    processes = jobs or _cores()
    start = perf_counter()
    for i, spec in enumerate(specs):
        left = len(specs) - i
        worth = (perf_counter() - start) / i * left > _WORTH if jobs is None and i else jobs is not None
        if processes > 1 and left > 1 and worth:
            yield from _spread(job, specs[i:], min(processes, left))
            return
        yield job(spec)


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _spread(job: Callable[[str], _T], specs: Sequence[str], processes: int) -> Iterator[_T]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # This process has one thread, so a fork is safe, and it starts with all that was imported and built
    # so far. Elsewhere than on Linux the system's own libraries may have threads.
    context = get_context("fork") if sys.platform == "linux" else get_context()
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_leave_with_parent)
    try:
        yield from pool.map(job, specs)
    except BrokenProcessPool:
        message, hint = (
            "a worker process was killed, most likely out of memory",
            "-j 1 takes one spec at a time",
        )
        raise fail("E901", message, hint=hint) from None
    finally:
        # Waits for what is being worked on: a pool that is left before its end complains at Python's exit.
        pool.shutdown(cancel_futures=True)


def _leave_with_parent() -> None:
    """End this worker when its parent ends, however that comes about.

    A parent that is killed cannot tell its workers, and these would wait for work for ever.
    """
    from multiprocessing import parent_process
    from threading import Thread

    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()
