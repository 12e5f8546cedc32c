"""Where things of a project are: the lock that holds for specs, and paths as its repository's host names them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cnnc.dsl.root import project_root, repository

LOCK = "cnnc.lock"
LOCK_HELP = "The lock file; else the nearest cnnc.lock from the specs' folder up to the project's root."


def lock_path(specs: Sequence[str], here: str | Path = ".") -> str:
    """The lock that holds for these specs: the nearest `cnnc.lock` from their folder up to the project's root.

    Where there is none yet, that of the root, or without a root that of `here`. Raises CnncError (E701) where
    a pyproject.toml names no root.
    """
    here = os.path.realpath(here)
    folders = [os.path.realpath(one if os.path.isdir(one) else os.path.dirname(one) or ".") for one in specs]
    start = Path(os.path.commonpath(folders)) if folders else Path(here)
    root = project_root(start)
    top = root or Path(here)
    above = [place for place in (start, *start.parents) if place.is_relative_to(top)]
    for place in (*above, top, Path(here)):
        if os.path.lexists(place / LOCK):
            return os.path.relpath(place / LOCK)
    return os.path.relpath(top / LOCK)


def from_repository(path: str) -> str:
    """A path as GitHub and code scanning take it: from the root of the repository, without `..`.

    The root is what the service says (`GITHUB_WORKSPACE`), else the nearest folder with a `.git`, else the
    current one. What lies outside stays as it is.
    """
    if path == "<stdin>":
        return path
    root = os.environ.get("GITHUB_WORKSPACE") or repository(".") or "."
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    return path if relative.startswith("..") else relative.replace(os.sep, "/")
