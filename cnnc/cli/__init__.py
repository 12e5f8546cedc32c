"""The command line: `cnnc COMMAND SPEC`."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point. Exit codes: 0 fine, 1 the spec is wrong, 2 the command line is."""
    from cnnc.cli.commands import cnnc

    # A deep tree is walked by recursion; limits in the language keep it bounded.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))
    cnnc(prog_name="cnnc")
