"""What is held in memory, moment by moment: storages, and the ledger that counts them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Literal

from cnnc.backends.pytorch.dry.allocator import Event
from cnnc.dsl.record import record

Phase = Literal["build", "forward", "backward", "step"]
Kind = Literal["params", "buffers", "inputs", "activations", "gradients", "temporary", "optimiser"]
"""What a storage is: `temporary` is what a backward pass or an optimiser makes on the way."""

CUBLAS = 32 << 20
"""Bytes of cuBLAS's workspace, which PyTorch makes for the forward and for the backward pass, on Hopper's GPUs; less on others."""


@record(frozen=False)
class Entry:
    """One allocation: how many bytes, which layer made it and when, and when it was freed."""

    size: int
    kind: Kind
    where: str
    born: int
    died: int | None = None


class Storage:
    """Memory that one or more tensors look at. It is freed when the last of them goes, as in PyTorch."""

    __slots__ = ("entry", "ledger")

    def __init__(self, ledger: Ledger, size: int) -> None:
        self.ledger = ledger
        self.entry = ledger.allocated(size)

    def __del__(self) -> None:
        self.ledger.freed(self.entry)


class Ledger:
    """Counts every allocation and free of a run. `block` is what sizes are rounded up to, in bytes."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.phase: Phase = "build"
        self.where = ""
        self.live = 0
        self.peak = 0
        self.peak_at = 0
        """The moment of the peak; moments are counted by `curve`."""
        self.curve: list[int] = []
        self.starts: dict[Phase, int] = {}
        """The moment at which each phase began."""
        self.entries: list[Entry] = []
        self.end = 0
        """The moment at which the run was over."""
        self.unknown: set[str] = set()
        """The modules whose functions keep something of a size that is not known."""
        self.workspaces: list[tuple[int, int]] = []
        """When a layer takes one, and its bytes."""
        self.kept = 0
        """What the forward pass saved for the backward pass, in bytes."""

    def begin(self, phase: Phase) -> None:
        self.phase = phase
        self.starts[phase] = len(self.curve)
        if phase == "forward":
            self.peak = self.live
            self.peak_at = len(self.curve)
            self.curve.append(self.live)

    def allocated(self, size: int) -> Entry:
        size = -(-size // self.block) * self.block
        kind: Kind = "activations" if self.phase == "forward" else "temporary"
        entry = Entry(size=size, kind=kind, where=self.where, born=len(self.curve))
        self.live += size
        if self.live > self.peak:
            self.peak = self.live
            self.peak_at = len(self.curve)
        self.curve.append(self.live)
        self.entries.append(entry)
        return entry

    def freed(self, entry: Entry) -> None:
        entry.died = len(self.curve)
        self.live -= entry.size
        self.curve.append(self.live)

    def passes(self, size: int) -> None:
        """Note a workspace of so many bytes, which a layer takes and gives back; it counts in `steps` alone."""
        if size:
            self.workspaces.append((len(self.curve), size))

    def steps(self, count: int) -> Iterator[Event]:
        """The allocations and frees of building, and of `count` passes one after the other, with what is known of workspaces.

        The optimiser's states are made at the end of the first; what a pass leaves, such as gradients, goes after it.
        """
        moments: list[list[Event]] = [[] for _ in range(self.end + 1)]
        for at, size in self.workspaces:
            moments[at] += [("alloc", "workspace", size), ("free", "workspace", size)]
        states = [(i, entry.size) for i, entry in enumerate(self.entries) if entry.kind == "optimiser"]
        for i, entry in enumerate(self.entries):
            if entry.kind != "optimiser":
                moments[entry.born].append(("alloc", i, entry.size))
                if entry.died is not None and entry.died < self.end:
                    moments[entry.died].append(("free", i, entry.size))
        start, turn = self.starts["forward"], self.starts.get("backward", self.end)
        yield from chain.from_iterable(moments[:start])
        run = list(chain.from_iterable(moments[start:turn]))
        back = list(chain.from_iterable(moments[turn:]))
        made = {i: size for what, i, size in chain(run, back) if what == "alloc"}
        left = made.keys() - {i for what, i, _ in chain(run, back) if what == "free"}
        for step in range(count):
            yield from ((what, (step, i) if i in made else i, size) for what, i, size in run)
            if step == 0:
                yield from (("alloc", name, CUBLAS) for name in ("forward", "backward")[: 1 + bool(back)])
            yield from ((what, (step, i) if i in made else i, size) for what, i, size in back)
            if step == 0:
                yield from (("alloc", i, size) for i, size in states)
            yield from (("free", (step, i), made[i]) for i in sorted(left))

    def live_at(self, moment: int) -> list[Entry]:
        """What was held at a moment."""
        return [e for e in self.entries if e.born <= moment and (e.died is None or e.died > moment)]


class State(threading.local):
    """What PyTorch keeps for a thread: grad mode, autocast, hooks on saved tensors; and our ledger."""

    ledger: Ledger
    grad = True
    device: Literal["cpu", "cuda"] = "cuda"
    sequence = 0
    amp: Any = None
    """The half type of autocast, None outside it."""
    cast: dict[int, Any] | None = None
    """Autocast's copies of parameters, by the `id` of each."""
    pack: Callable[[Any], Any] | None = None
    """The hook on tensors saved for the backward pass."""
    watched = False
    """Whether a dispatch mode of torch watches, such as MemTracker: then no gradient is added to in place."""


STATE = State()
