"""The mutation score of the analyses: `python -m benchmarks.mutation [GROUP…] [--sample N] [--seed S]`.

The mutants are cosmic-ray's (`pip install cosmic-ray`), which makes one small change each: a number by
one, an operator for its neighbour, a condition turned round, a loop that does not run. The files stay as they are.

First the tests of a group run once with coverage.py (`pip install coverage`), which tells the lines that each executes.
A mutant runs the tests that execute its line, the quickest first, up to the first that fails, in a process
forked off one that has collected the tests: there the function gets the mutant's code. What an import runs (a constant, the
body of a class, a default) is imported anew, in a process forked off one that has imported torch and not cnnc, and may run every test.
A test that takes ten times its own time and 5 s is ended; the mutant counts as found, and is counted apart.

Not mutated, since no behaviour that is promised hangs on it: annotations and `|` between types, decorators
(frozen records, registration), asserts, and what a `raise` or `fail(…)` says (its wording has its own tests,
tests/cases/errors). Operators are exchanged within their kind alone, arithmetic for arithmetic and order for
order: `<<` for `+` would be killed by anything. A mutant with the bytecode of the program is the program.

Hypothesis draws from a fixed seed, as many examples as each test asks for, and does not shrink what fails.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

from benchmarks.mutation.groups import GROUPS
from benchmarks.mutation.mutants import drawn
from benchmarks.mutation.reach import reach
from benchmarks.mutation.session import prepare
from benchmarks.mutation.trials import outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description="The mutation score of the analyses.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--sample", type=int, default=150, help="mutants of a group, drawn at random; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("mutation.json"), help="what became of each mutant")
    parser.add_argument(
        "--again", type=Path, help="run those that such a file tells of as not found once more"
    )
    args = parser.parse_args()
    before = json.loads(args.again.read_text(encoding="utf8")) if args.again else {}
    out = args.out.absolute()
    prepare()
    results: dict[str, dict[str, str]] = {}
    for name in args.groups or before or GROUPS:
        start, log = time.monotonic(), out.with_suffix(".log")
        log.unlink(missing_ok=True)
        chosen, size = drawn(name, args.sample, args.seed)
        found = results[name] = dict(before.get(name, {}))
        if found:
            chosen = [m for m in chosen if found.get(f"{m.where} {m.change}") in ("survived", "unreached")]
        known = reach(name, log)
        print(
            f"{name}: {len(known.seconds)} tests, {sum(known.seconds.values()):.0f} s of processor time",
            flush=True,
        )
        for mutant, how in outcomes(chosen, name, known, args.jobs, log):
            found[f"{mutant.where} {mutant.change}"] = how
            out.write_text(json.dumps(results, indent=1), encoding="utf8")
            if how not in ("killed", "timeout"):
                print(f"{how} {mutant.where} {mutant.change}", flush=True)
        count = Counter(found.values())
        score = f"{(count['killed'] + count['timeout']) / len(found):.1%} found" if found else "none"
        print(
            f"{name}: {score}: {len(found)} of {size} mutants: {count['killed']} killed, {count['timeout']} timed out, "
            f"{count['survived']} survived, {count['unreached']} that no test executes; "
            f"{(time.monotonic() - start) / 60:.1f} minutes",
            flush=True,
        )


if __name__ == "__main__":
    main()
