"""Checkpointing, as `torch.utils.checkpoint` does it without reentrant calls.

In the forward pass what a block saves is replaced by placeholders. The first that is asked for in
the backward pass runs the block again, up to the last value that is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, ref

from cnnc.backends.pytorch.dry.autograd import grad_mode
from cnnc.backends.pytorch.dry.ledger import STATE
from cnnc.backends.pytorch.dry.tensor import Tensor


class _Stop(Exception):
    """All that is needed has been computed again."""


class _Handle:
    __slots__ = ("__weakref__",)


class _Placeholder:
    """Where a saved tensor would be."""

    __slots__ = ("__weakref__", "frame", "handle")

    def __init__(self, frame: _Frame) -> None:
        self.frame = frame
        self.handle: _Handle | None = None

    def inputs(self) -> list[Any]:
        """The storages of the block's inputs, which are kept in place of this."""
        return [a.storage for a in self.frame.args if isinstance(a, Tensor)]

    def unpack(self) -> Any:
        frame = self.frame
        if not frame.ran:
            frame.run_again()
        assert self.handle is not None
        storage = frame.recomputed[self.handle]
        self.handle = None
        return storage


class _Frame:
    """One call of a checkpointed block: its inputs, and its placeholders in the order in which they were made."""

    def __init__(
        self, run: Callable[..., Any], args: tuple[Any, ...], contexts: Callable[[], Any] | None
    ) -> None:
        self.run, self.args, self.contexts = run, args, contexts
        self.amp = STATE.amp
        self.where = STATE.ledger.where
        self.holders: list[ref[_Placeholder]] = []
        self.recomputed: WeakKeyDictionary[_Handle, Any] = WeakKeyDictionary()
        self.ran = False

    def pack(self, tensor: Tensor) -> _Placeholder:
        holder = _Placeholder(self)
        self.holders.append(ref(holder))
        return holder

    def run_again(self) -> None:
        self.ran = True
        ledger = STATE.ledger
        phase, where = ledger.phase, ledger.where
        ledger.phase = "forward"  # what is computed again is activations again
        ledger.where = self.where
        count = 0

        def pack(tensor: Tensor) -> Any:
            nonlocal count
            holder = self.holders[count]()
            count += 1
            if holder is not None:
                holder.handle = _Handle()
                self.recomputed[holder.handle] = tensor.storage
            if count == len(self.holders):
                raise _Stop
            return tensor.storage

        try:
            with grad_mode(True), packing(pack), autocast(self.amp):
                self.run(*self.args)
        except _Stop:
            pass
        ledger.phase, ledger.where = phase, where


def checkpoint(run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`torch.utils.checkpoint.checkpoint(run, *args, use_reentrant=False)`."""
    frame = _Frame(run, args, kwargs.get("context_fn"))
    with packing(frame.pack):
        return run(*args)


@contextmanager
def packing(pack: Callable[[Tensor], Any]) -> Iterator[None]:
    was, STATE.pack = STATE.pack, pack
    try:
        yield
    finally:
        STATE.pack = was


@contextmanager
def autocast(dtype: Any) -> Iterator[None]:
    """Products in `dtype`; the copies of parameters are dropped at the end."""
    was, cast = STATE.amp, STATE.cast
    STATE.amp, STATE.cast = dtype, None if dtype is None else {}
    try:
        yield
    finally:
        STATE.amp, STATE.cast = was, cast
