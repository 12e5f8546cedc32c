"""Options of the test run."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import pytest

# The tests run in two processes; a thread each keeps them out of each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Triton reads this when it is imported, which PyTorch may do in any test: kernels run without a GPU.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
# A run in a shell's background has this ignored, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A mistake of ours is to be seen as what it is.
os.environ["CNNC_TRACEBACK"] = "1"
# A build raises the limit to this; Hypothesis warns where it changes in the middle of a test.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))


# PyTorch and the tests leave millions of objects that live to the end: a quarter of the time went into
# looking through them for garbage.
gc.set_threshold(20_000, 20, 20)


def pytest_collection_finish() -> None:
    """What is there before the first test is left alone by the collector."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the expected outputs under tests/cases and tests/golden with what the program prints now",
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether expected outputs are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))
