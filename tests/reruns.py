"""A program run anew under several hash seeds, for what must not depend on them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def printed_under_seeds(
    program: str,
    *,
    seeds: tuple[str, ...] = ("0", "1", "31337"),
    input: str | None = None,
    bare: bool = False,
) -> list[str]:
    """What a Python program prints under each seed; `bare` leaves it nothing else of the environment.

    Raises CalledProcessError where it fails.
    """
    around = {"PATH": ""} if bare else dict(os.environ)
    return [
        subprocess.run(
            [sys.executable, "-c", program], input=input, text=True, capture_output=True, check=True,
            cwd=ROOT, env={**around, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in seeds
    ]  # fmt: skip
