"""Room for calls that go deep: `@deep`.

CPython keeps the frames of Python functions in pieces of 16 KiB. A call that crosses the end of one takes a new piece
from the system, and its return gives it back, which costs a hundred times the call itself. A loop that happens to stand
at such an end pays this at every turn: analyses took up to twice as long, at some depths of the stack and not at others.
A frame that is itself large gets a piece as large as a power of 2 that holds it, and leaves the rest to what is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

_FRAMES = 20_000
"""Of Python's stack, for as deep as the limits on nesting allow. Python's own calls take none of the C stack."""
_WORDS = 70_000
"""Of the large frame, just above 2**16: of a piece of 1 MiB nearly half is left, and none of it is memory until used."""


def deep(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """A function from which calls may go as deep as the limits on nesting allow, at the same cost at any depth.

    >>> @deep
    ... def depth(n: int) -> int:
    ...     return 0 if n == 0 else 1 + plain(n - 1)
    >>> def plain(n: int) -> int:
    ...     return depth.__wrapped__(n)
    >>> depth(5_000)
    5000
    """

    @wraps(function)
    def roomy(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        # The limit is the whole process's: it is not lowered afterwards, for another thread may be deep in calls of its own.
        if sys.getrecursionlimit() < _FRAMES:
            sys.setrecursionlimit(_FRAMES)
        return function(*args, **kwargs)

    assert isinstance(roomy, FunctionType)
    roomy.__code__ = roomy.__code__.replace(co_stacksize=_WORDS)
    return roomy
