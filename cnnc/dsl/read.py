"""Specs from files and standard input; what cannot be read is a diagnostic."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from cnnc.dsl.diagnostics import fail
from cnnc.dsl.source import Source

MAX_BYTES = 4 * 1024 * 1024


def read_source(
    path: str | os.PathLike[str],
    *,
    allow_outside: bool = False,
    homes: tuple[str, ...] = (),
    most: int = MAX_BYTES,
) -> Source:
    """The text of a spec; `-` reads standard input. `allow_outside` lets it `use` files outside its folder,
    `homes` those in these folders too.

    Raises CnncError: E701 for a file that is missing or unreadable, E702 for one
    that is not UTF-8 text, E901 for one that is too large.
    """
    name = os.fspath(path)
    if name == "-":
        try:
            data = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_BYTES + 1)
        except OSError as error:  # it is a folder, say
            raise fail("E701", f"standard input cannot be read: {error.strerror}") from None
        return decode(data, "<stdin>", allow_outside=allow_outside)
    try:
        _refuse_irregular(name, os.stat(name))  # before opening: that alone can make a device do something
        with open(name, "rb", opener=_open_at_once) as file:
            _refuse_irregular(name, os.fstat(file.fileno()))
            data = file.read(most + 1)
    except FileNotFoundError:
        raise fail("E701", f"there is no file `{name}`", hint=_near(name)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise fail("E701", f"`{name}` cannot be read: {reason}") from None
    return decode(data, name, allow_outside=allow_outside, homes=homes, most=most)


def _refuse_irregular(name: str, status: os.stat_result) -> None:
    """Raises E701 for a folder, and for a pipe or a device, which could keep us waiting or have no end."""
    if stat.S_ISDIR(status.st_mode):
        raise fail("E701", f"`{name}` is a folder; expected a spec file")
    if not stat.S_ISREG(status.st_mode):
        hint = "to read a pipe, give `-` for standard input" if stat.S_ISFIFO(status.st_mode) else None
        raise fail("E701", f"`{name}` is not a regular file", hint=hint)


def _open_at_once(name: str, flags: int) -> int:
    """Open without waiting for the other end, should a pipe have taken the file's place."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def decode(
    data: bytes, name: str, *, allow_outside: bool = False, homes: tuple[str, ...] = (), most: int = MAX_BYTES
) -> Source:
    """Bytes to a source: UTF-8, with or without a byte order mark."""
    if len(data) > most:
        hint = "split it, and let one file `use` what the other declares"
        raise fail("E901", f"`{name}` has more than {most:,} bytes", hint=hint)
    if b"\0" in data:
        raise fail("E702", f"`{name}` is a binary file; a spec is text")
    try:
        return Source(name, data.decode("utf-8-sig"), allow_outside, homes)
    except UnicodeDecodeError as error:
        raise fail("E702", f"`{name}` is not UTF-8 text (byte {error.start:,})") from None


def _near(name: str) -> str | None:
    """A file of a similar name beside the missing one."""
    import difflib

    path = Path(name)
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix == ".cnn"]
    except (OSError, ValueError):
        return None
    near = difflib.get_close_matches(path.name, sorted(names), n=1)
    return f"did you mean `{path.parent / near[0]}`?" if near else None
