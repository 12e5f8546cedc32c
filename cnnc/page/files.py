"""The one file that the page shows: read, watched while it is saved by whatever means, and written when asked."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from cnnc.cli.files import replace_file
from cnnc.cli.watching import Stamp, files_of, stamp_of
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.read import read_source

_PAUSE = 0.15
"""Seconds between two looks at the files."""


class Watched:
    """A spec's file and those that it uses. `version` goes up with each save of one of them."""

    def __init__(self, path: str, *, allow_outside: bool) -> None:
        self.path = path
        self.allow_outside = allow_outside
        self.version = 1
        self._changed = threading.Condition()
        self._seen = self._look()

    def text(self) -> str:
        """What the file says now. Raises CnncError where it cannot be read."""
        return read_source(self.path, allow_outside=self.allow_outside).text

    def _look(self) -> dict[str, Stamp]:
        return {file: stamp_of(file) for file in files_of(self.path)}

    def watch(self) -> None:
        """Look at the files for ever; in a thread of its own."""
        while True:
            time.sleep(_PAUSE)
            if any(stamp_of(file) != stamp for file, stamp in self._seen.items()):
                time.sleep(0.05)  # many editors empty the file first
                self._seen = self._look()
                if self._seen[self.path] is None:
                    continue  # between the removal and the renaming of a new file to its name
                with self._changed:
                    self.version += 1
                    self._changed.notify_all()

    def wait(self, version: int, seconds: float) -> int:
        """The newest version, waited for while it is the one that is known."""
        with self._changed:
            self._changed.wait_for(lambda: self.version != version, timeout=seconds)
            return self.version

    def save(self, text: str, before: str) -> str | None:
        """Write the file where it still says what was before; else why not."""
        try:
            if self.text() != before.removeprefix("\ufeff"):
                return "the file was changed elsewhere in the meantime; it was not written"
            replace_file(Path(self.path), text.encode("utf8"))
        except CnncError as error:
            return error.diagnostics[0].message
        return None
