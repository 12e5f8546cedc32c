"""The specs that ship, as files: where they lie, or a copy where the package is imported from a zip."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def specs() -> Path:
    """The folder of the networks that ship; `std` and `blocks` are in it. Links are followed.

    A package in a zip has no folder that could be opened: its specs are copied to one that is removed when the
    process ends.
    """
    folder = Path(os.path.realpath(__file__)).parents[1] / "specs"
    return folder if folder.is_dir() else _copied()


def _copied() -> Path:
    import atexit
    import shutil
    import tempfile
    from importlib.resources import files
    from importlib.resources.abc import Traversable

    def copy(source: Traversable, target: Path) -> None:
        target.mkdir()
        for item in source.iterdir():
            if item.is_dir():
                copy(item, target / item.name)
            else:
                (target / item.name).write_bytes(item.read_bytes())

    home = Path(os.path.realpath(tempfile.mkdtemp(prefix="cnnc-")))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    copy(files("cnnc") / "specs", home / "specs")
    return home / "specs"
