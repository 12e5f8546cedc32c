"""Which tests execute a line, and how long each takes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.mutation.groups import GROUPS, ROOT, paths
from benchmarks.mutation.mutants import Mutant
from benchmarks.mutation.session import caches, fork, import_files, pytest_run, run

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True, slots=True)
class Reach:
    """What a group's tests execute: their processor time in seconds, and by file and line who gets there.

    None among the tests of a line means all of them: it runs while modules are imported.
    """

    seconds: dict[str, float]
    tests: dict[str, dict[int, list[str | None]]]

    def of(self, mutant: Mutant) -> tuple[bool, list[str]]:
        """Whether a mutant changes what an import does, and its tests, the quickest first."""
        lines = self.tests.get(mutant.path, {})
        found = {test for line in mutant.lines or lines for test in lines.get(line, [])}
        at_import = not mutant.lines or None in found
        chosen = [test for test in self.seconds if at_import or test in found]
        return at_import, sorted(chosen, key=lambda test: (test not in found, self.seconds[test]))


def reach(name: str, log: Path) -> Reach:
    """Run the tests of a group once, each with the lines that it executes; kept in the temporary folder."""
    files = [p for folder in ("cnnc", "tests") for p in sorted((ROOT / folder).rglob("*")) if p.is_file()]
    parts = [repr(GROUPS[name]).encode(), *(p.read_bytes() for p in files if "__pycache__" not in p.parts)]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / f"cnnc-mutation-{name}-{key}.json"
    if not kept.exists() and os.waitpid(fork(lambda: _measure(name, kept, log)), 0)[1]:
        sys.exit(f"{name}: the tests fail without a mutant, see {log}")
    told = json.loads(kept.read_text(encoding="utf8"))
    lines = {
        path: {
            int(line): [t if t is None else told["names"][t] for t in tests] for line, tests in one.items()
        }
        for path, one in told["lines"].items()
    }
    return Reach(dict(zip(told["names"], told["seconds"], strict=True)), lines)


def _measure(name: str, kept: Path, log: Path) -> int:
    """Write what `reach` returns."""
    import coverage

    tracer = coverage.Coverage(
        data_file=None, config_file=False, include=[str(ROOT / p) for p in paths(name)]
    )

    def measure(session: pytest.Session) -> None:
        import_files(name)
        clear = caches()
        seconds = {}
        for item in session.items:
            clear()  # what an earlier test has computed, this one would only look up
            tracer.switch_context(item.nodeid)
            start = time.process_time()
            run(session, [item])
            seconds[item.nodeid] = time.process_time() - start
        tracer.stop()
        data, names = tracer.get_data(), {test: i for i, test in enumerate(seconds)}
        lines = {
            str(Path(path).relative_to(ROOT)): {
                line: [names.get(test) for test in tests]
                for line, tests in data.contexts_by_lineno(path).items()
            }
            for path in data.measured_files()
        }
        if not session.testsfailed:
            told = {"names": list(names), "seconds": list(seconds.values()), "lines": lines}
            kept.write_text(json.dumps(told), encoding="utf8")

    tracer.start()
    return pytest_run(GROUPS[name].tests, measure, log)
