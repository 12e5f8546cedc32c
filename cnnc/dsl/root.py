"""The root of a project: the folder in which its specs may use each other, and below which its lock is found."""

from __future__ import annotations

import os
from pathlib import Path

from cnnc.dsl.diagnostics import fail

MOST_FOLDERS = 64
"""How far up a root is looked for."""


def project_root(folder: str | os.PathLike[str]) -> Path | None:
    """The root of the project that a folder lies in; None where it lies in none.

    That is the nearest folder, from this one upwards, whose pyproject.toml has a table `[tool.cnnc]` (there
    `root = "specs"` names another folder, relative to the file), or which has a `.git`. Links are followed.
    Raises CnncError (E701) where the table names no folder.
    """
    here = Path(os.path.realpath(folder))
    for place in [here, *here.parents][:MOST_FOLDERS]:
        named = _named(place / "pyproject.toml")
        if named is not None:
            return named
        if os.path.lexists(place / ".git"):
            return place
    return None


def repository(folder: str | os.PathLike[str]) -> Path | None:
    """The nearest folder with a `.git`, from this one upwards; None where there is none."""
    here = Path(os.path.realpath(folder))
    return next(
        (place for place in [here, *here.parents][:MOST_FOLDERS] if os.path.lexists(place / ".git")), None
    )


def _named(pyproject: Path) -> Path | None:
    """The root that a pyproject.toml names; None where it has no table of ours."""
    try:
        text = pyproject.read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError):
        return None
    if "[tool.cnnc" not in text:
        return None
    import tomllib

    try:
        table = tomllib.loads(text).get("tool", {}).get("cnnc")
    except tomllib.TOMLDecodeError:
        return None  # its other readers say so
    if not isinstance(table, dict):
        return None
    root = table.get("root", ".")
    found = Path(os.path.realpath(pyproject.parent / root)) if isinstance(root, str) else None
    if found is None or not found.is_dir():
        raise fail("E701", f"`root` of [tool.cnnc] in {pyproject} names no folder")
    return found
