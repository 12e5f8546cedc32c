"""Layers that PyTorch lacks: small classes that are copied into the files that use them.

The files here import torch and are read as text, never imported by the compiler. Arithmetic that the
language has too is copied from its own function.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from inspect import getsource

from cnnc.compiler import symbolic


@lru_cache(maxsize=1)
def _sources() -> dict[str, str]:
    found = {"divisible": getsource(symbolic.divisible)}
    for path in sorted(files(__name__).iterdir(), key=lambda p: p.name):
        if path.name.endswith(".py") and path.name != "__init__.py":
            text = path.read_text(encoding="utf8")
            for match in re.finditer(
                r"^(?:class|def) (\w+).*?(?=^[^\s)]|\Z)", text, re.M | re.S
            ):
                found[match[1]] = match[0].rstrip() + "\n"
    return found


def helper_source(name: str) -> str:
    """The text of a helper class or function."""
    return _sources()[name]


def helper_names() -> tuple[str, ...]:
    return tuple(_sources())
