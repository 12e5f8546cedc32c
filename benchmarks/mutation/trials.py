"""What becomes of mutants: each in a process of its own, which runs the tests that execute its line."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

from benchmarks.mutation.groups import GROUPS, ROOT, paths
from benchmarks.mutation.mutants import Mutant
from benchmarks.mutation.reach import Reach
from benchmarks.mutation.session import caches, fork, import_files, limit, objects, pytest_run, run

if TYPE_CHECKING:
    import pytest

UNTRIED = 70
"""The status of a process that has found nothing to change."""


def outcomes(
    chosen: list[Mutant], name: str, known: Reach, jobs: int, log: Path
) -> Iterator[tuple[Mutant, str]]:
    """`killed`, `survived`, `timeout`, or `unreached` where no test executes it, for each mutant as they end."""
    work = [(mutant, *known.of(mutant)) for mutant in chosen]
    yield from ((mutant, "unreached") for mutant, _, tests in work if not tests)
    here, there = os.pipe()

    def tell(mutant: Mutant, how: str) -> None:
        os.write(there, f"{chosen.index(mutant)} {how}\n".encode())

    def worker(part: int) -> int:
        own = log.with_suffix(f".{part}.log")
        inside = [(mutant, tests) for mutant, at_import, tests in work[part::jobs] if tests and not at_import]
        pid = fork(lambda: _in_functions(inside, name, known, own, tell))
        failed = os.waitpid(pid, 0)[1] != 0
        for mutant, at_import, tests in work[part::jobs]:
            if at_import:
                tell(mutant, _at_import(mutant, tests, known, own))
        return int(failed)

    workers = [fork(functools.partial(worker, part)) for part in range(jobs)]
    os.close(there)
    with os.fdopen(here) as lines:
        for line in lines:
            index, how = line.split()
            yield chosen[int(index)], how
    ended = [os.waitpid(pid, 0)[1] for pid in workers]
    if any(ended):
        sys.exit(f"{name}: a run ended early, see {log.parent}/{log.stem}.*.log")


def _outcome(pid: int) -> str:
    """Wait for the process of a mutant: `killed`, `survived` or `timeout`."""
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == UNTRIED:
        raise RuntimeError("a mutant was not tried")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # processes that a test has left
    if os.WIFSIGNALED(status):  # a crash is found as a failure is
        return "timeout" if os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM) else "killed"
    return "killed" if os.WEXITSTATUS(status) else "survived"


def _at_import(mutant: Mutant, tests: list[str], known: Reach, log: Path) -> str:
    """What becomes of a mutant that an import runs: everything is imported anew.

    The file of the quickest test is tried alone before the others, since most of the time goes into imports.
    """

    def loop(session: pytest.Session) -> None:
        named = {item.nodeid: item for item in session.items}
        run(session, [named[test] for test in tests if test in named], known.seconds)

    def job(files: Sequence[str]) -> int:
        limit(120)
        _serve(mutant)
        return pytest_run(files, loop, log)

    first, *others = dict.fromkeys(test.partition("::")[0] for test in tests)
    how = _outcome(fork(functools.partial(job, [first])))
    return _outcome(fork(functools.partial(job, others))) if how == "survived" and others else how


def _serve(mutant: Mutant) -> None:
    """Let the import of the mutant's module run its text."""
    path, get_code = str(ROOT / mutant.path), SourceFileLoader.get_code

    def mutated(self: SourceFileLoader, fullname: str) -> CodeType | None:
        if str(self.path) == path:
            return compile(mutant.text, path, "exec", dont_inherit=True)
        return get_code(self, fullname)

    SourceFileLoader.get_code = mutated  # type: ignore[method-assign, assignment]


def _in_functions(
    work: list[tuple[Mutant, list[str]]],
    name: str,
    known: Reach,
    log: Path,
    tell: Callable[[Mutant, str], None],
) -> int:
    """Run mutants of functions: the tests are collected once, a mutant's process gets its functions' code."""

    def loop(session: pytest.Session) -> None:
        import_files(name)
        named, clear = {item.nodeid: item for item in session.items}, caches()
        files = {str(ROOT / path) for path in paths(name)}
        functions = [f for f in objects() if isinstance(f, FunctionType) and f.__code__.co_filename in files]

        def one(mutant: Mutant, tests: list[str]) -> int:
            clear()
            _exchange(mutant, functions)
            run(session, [named[test] for test in tests], known.seconds)
            return int(session.testsfailed > 0)

        for mutant, tests in work:
            tell(mutant, _outcome(fork(functools.partial(one, mutant, tests))))

    return pytest_run(GROUPS[name].tests, loop, log)


def _exchange(mutant: Mutant, functions: list[FunctionType]) -> None:
    """Give those functions that the mutant changes its code."""
    path = str(ROOT / mutant.path)
    old, new = (compile(text, path, "exec") for text in (Path(path).read_text(encoding="utf8"), mutant.text))
    changed = {a: b for a, b in zip(_functions(old), _functions(new), strict=True) if a != b}
    found = [f for f in functions if f.__code__ in changed]
    if not found:
        print(f"{mutant.where}: no function has the code that is changed", file=sys.stderr)
        os._exit(UNTRIED)
    for function in found:
        function.__code__ = changed[function.__code__]


def _functions(code: CodeType) -> list[CodeType]:
    """The functions of a module and of its classes, not those inside functions."""
    out: list[CodeType] = []
    for one in code.co_consts:
        if isinstance(one, CodeType):
            is_function = one.co_flags & inspect.CO_OPTIMIZED
            out += [one] if is_function else _functions(one)
    return out
