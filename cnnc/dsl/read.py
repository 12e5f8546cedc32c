"""Specs from files and standard input; what cannot be read is a diagnostic."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from cnnc.dsl.diagnostics import fail
from cnnc.dsl.source import Source

MAX_BYTES = 4 * 1024 * 1024


def read_source(path: str | os.PathLike[str]) -> Source:
    """The text of a spec; `-` reads standard input.

    Raises CnncError: E701 for a file that is missing or unreadable, E702 for one
    that is not UTF-8 text, E901 for one that is too large.
    """
    name = os.fspath(path)
    if name == "-":
        try:
            data = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_BYTES + 1)
        except OSError as error:  # it is a folder, say
            raise fail("E701", f"standard input cannot be read: {error.strerror}") from None
        return decode(data, "<stdin>")
    try:
        mode = Path(name).stat().st_mode
        if stat.S_ISDIR(mode):
            raise fail("E701", f"`{name}` is a folder, and a spec file is wanted")
        if not stat.S_ISREG(mode):
            raise fail("E701", f"`{name}` is no regular file")
        with open(name, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise fail("E701", f"there is no file `{name}`", hint=_near(name)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise fail("E701", f"`{name}` cannot be read: {reason}") from None
    return decode(data, name)


def decode(data: bytes, name: str) -> Source:
    """Bytes to a source: UTF-8, with or without a byte order mark."""
    if len(data) > MAX_BYTES:
        raise fail("E901", f"`{name}` has more than {MAX_BYTES:,} bytes")
    if b"\0" in data:
        raise fail("E702", f"`{name}` is a binary file, and a spec is text")
    try:
        return Source(name, data.decode("utf-8-sig"))
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
