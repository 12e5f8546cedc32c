"""Tests run in processes: a session of pytest in a process of its own, others forked off it."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.mutation.groups import ROOT, paths

if TYPE_CHECKING:
    import pytest

MEMORY = 6 << 30
"""Bytes that a mutant may ask for."""


def prepare() -> None:
    """Import once, for all the processes to come, what every test imports; never cnnc."""
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import hypothesis
    import lark  # noqa: F401
    import pydantic_core  # noqa: F401
    import torch

    torch.set_num_threads(1)
    hypothesis.settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),  # a failure is not made smaller
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    hypothesis.settings.load_profile("mutation")


def pytest_run(tests: Sequence[str], loop: Callable[[pytest.Session], None], log: Path) -> int:
    """Collect the tests here, in a process of their own, and let `loop` run them: pytest's exit status."""
    import pytest

    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)

    class Plugin:
        def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
            if session.testsfailed:
                return None  # a module that cannot be imported: pytest tells it
            loop(session)
            return True

    options = "--assert=plain -o addopts= -p no:cacheprovider -q --doctest-modules --tb=short -W ignore"
    temporary = f"--basetemp={log.with_suffix('.tmp')}"
    return int(pytest.main([*options.split(), temporary, "-m", "not slow", *tests], plugins=[Plugin()]))


def run(
    session: pytest.Session, items: Sequence[pytest.Item], seconds: dict[str, float] | None = None
) -> None:
    """Run tests up to the first that fails. Where it is known how long they take, a signal ends a longer one."""
    for item, following in zip_longest(items, items[1:]):
        if seconds is not None:
            limit(5 + 10 * seconds[item.nodeid])
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            break


def limit(seconds: float) -> None:
    """End this process after so much processor time, or after ten times as long on the clock."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)


def fork(job: Callable[[], int]) -> int:
    """A process of its own group that does a job and ends with its status."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        status = 1
        try:
            status = job()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def import_files(name: str) -> None:
    """Import the files of a group, some of which cnnc imports where they are first needed."""
    for path in paths(name):
        importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def caches() -> Callable[[], None]:
    """Empties what functions of cnnc have kept of earlier calls."""
    wrapper = type(functools.cache(print))
    kept = [one for one in objects() if isinstance(one, wrapper) and one.__module__.startswith("cnnc.")]
    made = sys.modules.get("cnnc.compiler.walk.made")

    def clear() -> None:
        for one in kept:
            one.cache_clear()
        if made is not None:
            made._MADE.clear()

    return clear


def objects() -> list[object]:
    """What the garbage collector knows, with what it was told to leave alone."""
    gc.unfreeze()
    try:
        return gc.get_objects()
    finally:
        gc.freeze()
