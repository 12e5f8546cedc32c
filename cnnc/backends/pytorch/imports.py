"""The imports of a generated file, in the order and layout of the common formatters."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

MATH = "import math"
ORDERED_DICT = "from collections import OrderedDict"
FRACTION = "from fractions import Fraction"
NAMED_TUPLE = "from typing import NamedTuple"
FUNCTIONAL = "import torch.nn.functional as F"
TORCH = ("import torch", "from torch import Tensor", "from torch import nn")
"""What every generated file imports."""


def import_lines(statements: Iterable[str]) -> list[str]:
    """Statements that import a name each, as lines: Python's own, PyTorch's, other packages', and those under `try`.

    >>> import_lines(["from typing import Any", "import torch", "from torch import nn", "from torch import Tensor"])
    ['from typing import Any', '', 'import torch', 'from torch import Tensor, nn']
    """
    groups: list[list[str]] = [[], [], [], []]
    names: dict[str, list[str]] = {}
    for statement in sorted(set(statements), key=_order):
        if statement.startswith("try:"):
            groups[3] += statement.split("\n")
            continue
        package = _module(statement)
        group = groups[_group(package)]
        if statement.startswith("import "):
            group.append(statement)
            continue
        if package not in names:
            names[package] = []
            group.append(package)
        names[package].append(statement.partition(" import ")[2])
    written = [[_from(line, names) for line in group] for group in groups if group]
    return [line for i, group in enumerate(written) for line in ([""] if i else []) + group]


def _from(line: str, names: dict[str, list[str]]) -> str:
    return f"from {line} import {', '.join(names[line])}" if line in names else line


def _order(statement: str) -> tuple[bool, str, str]:
    """`import …` before `from …`; then modules, then names, in the order of the alphabet, capitals first."""
    return statement.startswith("from "), _module(statement), statement


def _module(statement: str) -> str:
    found = re.match(r"(?:from|import) ([\w.]+)", statement)
    return found[1] if found else ""


def _group(module: str) -> int:
    package = module.partition(".")[0]
    return 0 if package in sys.stdlib_module_names else 1 if package == "torch" else 2
