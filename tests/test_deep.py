"""`@deep`: calls cost the same at any depth of Python's stack."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

import cnnc
from cnnc.dsl.deep import deep

resource = pytest.importorskip("resource", reason="counts the pages that a process was given, on Unix")

DEPTHS = range(240)
"""More than a piece of stack, one frame after another: a loop is at the end of a piece at one of them."""


def turns() -> None:
    for _ in range(2_000):
        leaf(1, 2, 3)


def leaf(a: int, b: int, c: int) -> int:
    return a


def at(depth: int, act: Callable[[], object]) -> object:
    return act() if depth == 0 else at(depth - 1, act)


def pages(depth: int, act: Callable[[], object]) -> int:
    """The pages of memory that the system gives while something is done at a depth."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    at(depth, act)
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def most(act: Callable[[], object]) -> int:
    """The most pages over all depths, the second time, at which nothing is taken for the first time."""
    return max([pages(depth, act) for depth in (*DEPTHS, *DEPTHS)][len(DEPTHS) :])


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="others keep frames in other ways")
def test_a_loop_at_the_end_of_a_piece_of_stack_takes_no_piece_at_each_turn() -> None:
    assert most(turns) > 1_000, "this Python keeps the piece: `deep` may go"
    assert most(deep(turns)) < 50


def test_a_build_takes_no_more_at_one_depth_than_at_another() -> None:
    def built() -> None:
        cnnc.parse("input 3x32x32\n[[conv3-8 -> [conv3-8 + id] -> bn]*3 -> pool]*2 -> gap -> fc-10")

    assert most(built) < 500


def test_the_limit_on_recursion_is_raised_and_never_lowered() -> None:
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(1_000)
        assert deep(sys.getrecursionlimit)() >= 20_000
        sys.setrecursionlimit(30_000)
        assert deep(sys.getrecursionlimit)() == 30_000
    finally:
        sys.setrecursionlimit(before)


def test_what_is_raised_passes() -> None:
    @deep
    def wrong() -> None:
        """What it says."""
        raise cnnc.CnncError([])

    with pytest.raises(cnnc.CnncError):
        wrong()
    assert wrong.__doc__ == "What it says."
