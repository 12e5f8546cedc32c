"""One run of the fuzzer: inputs made, tried within their limits, findings told apart by where they arise."""

from __future__ import annotations

import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType, TracebackType

from .mutate import mutated
from .targets import TARGETS

MAX_SECONDS = 2.0
"""Processor time of one input."""
MAX_BYTES = 512 * 2**20
"""Of data memory of the whole process."""


class Hang(BaseException):
    """An input took longer than MAX_SECONDS; not an Exception, so that nothing on the way swallows it."""


@dataclass
class Report:
    """What a run came to."""

    inputs: int = 0
    accepted: int = 0
    slowest: float = 0.0
    """Seconds of processor time that one input took."""
    findings: dict[str, str] = field(default_factory=dict)
    """The first text for each kind of finding."""

    @property
    def peak(self) -> int:
        """The most memory that the process had, in bytes."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak

    def __str__(self) -> str:
        return (
            f"{self.inputs:,} inputs, {self.accepted:,} of them specs, {len(self.findings)} findings, "
            f"slowest {self.slowest:.2f} s, peak {self.peak / 2**20:.0f} MiB"
        )


def run(
    target: str, inputs: int, *, seed: int = 0, seconds: float | None = None, save: Path | None = None,
    progress: Callable[[Report], None] | None = None,
) -> Report:  # fmt: skip
    """Try so many inputs, the same ones for the same seed and corpus; stop early after `seconds`."""
    rng = Random(seed)
    report = Report()
    begun = time.monotonic()
    for i in range(inputs):
        if seconds is not None and time.monotonic() - begun > seconds:
            break
        text = mutated(rng, gently=target == "whole")
        kind = tried(target, text, report)
        if kind is not None and kind not in report.findings:
            report.findings[kind] = text
            if save is not None:
                save.mkdir(parents=True, exist_ok=True)
                (save / f"{target}-{seed}-{i}.cnn").write_text(f"{text}\n\n#!! {kind}\n", encoding="utf8", errors="replace")  # fmt: skip
        if progress is not None and (i + 1) % 10_000 == 0:
            progress(report)
    return report


def tried(target: str, text: str, report: Report) -> str | None:
    """Put one text through a target: None, or the kind of what went wrong."""
    report.inputs += 1
    start = time.process_time()
    kind = None
    try:
        with limited_time():
            report.accepted += TARGETS[target](text)
    except Hang as error:
        kind = f"Hang {_place(error.__traceback__)}"
    except Exception as error:
        kind = f"{type(error).__name__} {_place(error.__traceback__)}"
    report.slowest = max(report.slowest, time.process_time() - start)
    return kind


def _place(trace: TracebackType | None) -> str:
    """Where an exception arose: the last two frames, by file and function."""
    frames = traceback.extract_tb(trace)[-2:]
    return " < ".join(f"{Path(f.filename).name}:{f.name}:{f.lineno}" for f in reversed(frames))


@contextmanager
def limited_time() -> Iterator[None]:
    """Raise Hang in what takes too long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def limit_memory() -> None:
    """Let this process have no more than MAX_BYTES of data; more is a MemoryError, and a finding."""
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
