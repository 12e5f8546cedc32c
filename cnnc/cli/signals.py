"""What SIGINT and its kin do to a run. Imports next to nothing: it is in force before the rest is loaded."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

unfinished: set[str] = set()
"""Temporary files that are being written now."""


def stop_cleanly() -> None:
    """Let SIGINT, SIGTERM and SIGHUP end the process at once, with no traceback and no file left behind.

    The process still dies by the signal, so that a shell, `make` or a supervisor sees why. An
    exception from a handler could surface inside any library; this cannot. A signal that the
    parent has set to be ignored (`nohup`, a job in the background) stays ignored.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    for path in list(unfinished):
        with suppress(OSError):  # it was not made yet, or has been moved to its place
            os.unlink(path)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
