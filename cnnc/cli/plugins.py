"""No plugins of pydantic: looking for them takes a tenth of a short run."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_LOADER = "pydantic.plugin._loader"


def skip_plugins() -> None:
    """Tell pydantic that it has no plugins, before it asks.

    It asks when the first class is built, and reads the metadata of every package that is
    installed. PYDANTIC_DISABLE_PLUGINS would stop the reading, but not the import of
    importlib.metadata, and of email and sockets by it. What the stand-in does not have is
    taken from the real module, so that another pydantic finds what it looks for.
    """
    stand_in = ModuleType(_LOADER)
    stand_in.get_plugins = tuple  # type: ignore[attr-defined]
    stand_in.__getattr__ = _from_the_real_one  # type: ignore[method-assign]
    sys.modules.setdefault(_LOADER, stand_in)


def _from_the_real_one(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    del sys.modules[_LOADER]
    return getattr(import_module(_LOADER), name)
