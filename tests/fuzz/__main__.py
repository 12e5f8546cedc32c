"""`python -m tests.fuzz`: the command line of the fuzzer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Report


def main() -> int:
    """Exit code 1 where anything was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Mutated specs through the compiler."
    )
    parser.add_argument(
        "--target", choices=["front", "whole"], default="front", help="parse and format, or everything"
    )
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write each kind of finding there")
    parser.add_argument(
        "--atheris", action="store_true", help="let atheris choose inputs by what code they reach"
    )
    options = parser.parse_args()
    if options.atheris:
        from .guided import fuzz

        return fuzz(options.target, options.inputs, options.seed, options.save)
    from .run import limit_memory, run  # after atheris, which must see cnnc being imported

    limit_memory()
    report = run(
        options.target,
        options.inputs,
        seed=options.seed,
        seconds=options.seconds,
        save=options.save,
        progress=_tell,
    )
    print(f"{options.target}, seed {options.seed}: {report}")
    for kind, text in report.findings.items():
        print(f"\n{kind}\n{text}")
    return 1 if report.findings else 0


def _tell(report: Report) -> None:
    print(report, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
