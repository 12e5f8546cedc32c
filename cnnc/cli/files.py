"""Files written whole or not at all, whatever ends the process; streams that take no more."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from cnnc.cli.signals import unfinished
from cnnc.dsl.diagnostics import fail


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out while a file is read, changed and written.

    The folder is what is locked, so that nothing is left behind; the system lets go of it however the process
    ends. Where folders cannot be locked (Windows), writers are not kept apart.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        folder = os.open(os.path.dirname(os.path.realpath(path)) or ".", os.O_RDONLY)
    except OSError as error:
        raise fail("E703", f"`{path}` cannot be written: {error.strerror or error}") from None
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def replace_file(path: Path, raw: bytes) -> None:
    """Give a file new contents, whole or not at all; links are followed, permissions kept.

    Raises CnncError (E703) where it cannot be written.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(raw)  # a device or a pipe, which has no other name: /dev/stdout
            return
        target = Path(os.path.realpath(path))
        if target.is_symlink():  # a link that goes round in a circle has no end
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.is_dir():
            raise fail("E703", f"`{path}` is a folder; expected a file")
        if target.exists() and not target.is_file():
            target.write_bytes(raw)  # a device or pipe cannot be replaced
            return
        if target.exists() and not os.access(target, os.W_OK):
            raise fail("E703", f"`{path}` cannot be written: it is read-only")
        with _beside(target) as temporary:
            temporary.write_bytes(raw)
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
            temporary.replace(target)
    except OSError as error:
        raise fail("E703", f"`{path}` cannot be written: {error.strerror or error}") from None


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A fresh file in the target's folder, gone at the end unless it was moved.

    Its name is noted before the file is there: a signal between the two would leave it.
    """
    temporary = target.with_name(f".cnnc-{os.urandom(8).hex()}")
    unfinished.add(str(temporary))
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink()
        unfinished.discard(str(temporary))


def is_of_a_stream(error: OSError) -> bool:
    """Whether standard output or standard error takes no more: the disk is full, or the reader has gone.

    Such an error names no file; those of files become CnncErrors where they arise.
    """
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE)
    return error.filename is None and error.errno in full


def turn_to_nowhere(stream: TextIO | None) -> None:
    """Let Python's own flush of a lost stream, at exit, find nothing to complain of."""
    if stream is not None:
        with suppress(OSError):
            stream.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
