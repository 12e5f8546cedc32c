"""The one gate that all printed text passes: what is no printable character comes out as `·`.

A spec, a folder or a weights file may be called anything. `gate_streams` puts a `Gate` in the place of standard
output and standard error, which lets nothing through that moves a cursor, rings, turns text around or ends a line in the
middle of a name; `say` prints one line whatever is in it. What the program itself tells a terminal goes through
`control`, which no name can imitate. Files that a user asked for (`-o`) are written by `common.write`, each
format with the escapes of its own.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from typing import TextIO

from cnnc.dsl.printable import printable

_KEY = os.urandom(8).hex()
"""Of this process: a name cannot have it in."""
_CONTROL = rf"(\x1b{_KEY}[^\x1b]*\x1b)"


class Gate(io.TextIOWrapper):
    """A stream of text on which only printable characters, tabs and line feeds arrive, and what `control` made."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        # One of latin-1 or cp437 has no place for `≥` or a name. click would put a stream of its own in the place
        # of one that says it is ASCII.
        self._ascii = codecs.lookup(stream.encoding).name == "ascii"
        encoding = "utf8" if self._ascii else stream.encoding
        buffering, through = stream.line_buffering, stream.write_through
        raw = stream.detach()
        super().__init__(raw, encoding, "backslashreplace", line_buffering=buffering, write_through=through)

    def write(self, text: str) -> int:
        shown = "".join(map(_passed, re.split(_CONTROL, text))) if _KEY in text else _passed(text)
        super().write(shown.encode("ascii", "backslashreplace").decode("ascii") if self._ascii else shown)
        return len(text)


def _passed(part: str) -> str:
    if part.startswith(f"\x1b{_KEY}"):
        return part[1 + len(_KEY) : -1].replace("[", "\x1b[")
    return "\n".join(map(printable, part.split("\n")))


def gate_streams() -> None:
    """Let all that is printed from here on pass a gate."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, Gate):
            setattr(sys, name, Gate(stream))


def control(sequence: str, stream: TextIO | None) -> str:
    """Control characters of our own for a terminal, such as `\\r[K`; nothing where the stream is none."""
    if stream is None or not stream.isatty():
        return ""
    return f"\x1b{_KEY}{sequence}\x1b" if isinstance(stream, Gate) else sequence.replace("[", "\x1b[")


def say(line: str, *, err: bool = False) -> None:
    """Print one line, on standard output or standard error, whatever the names in it are."""
    stream = sys.stderr if err else sys.stdout
    if stream is not None:
        stream.write(printable(line) + "\n")
        stream.flush()


def progress(text: str) -> None:
    """A line on a terminal that the next one is written over; nothing elsewhere."""
    start = control("\r[K", sys.stderr)
    if start and sys.stderr is not None:
        sys.stderr.write(start + printable(text))
        sys.stderr.flush()
