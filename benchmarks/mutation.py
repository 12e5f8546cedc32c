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
import ast
import contextlib
import functools
import gc
import hashlib
import importlib
import inspect
import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent
MEMORY = 6 << 30
"""Bytes that a mutant may ask for."""
UNTRIED = 70
"""The status of a process that has found nothing to change."""


@dataclass(frozen=True, slots=True)
class Group:
    """Files, and the tests that should find what is wrong with them."""

    files: str
    tests: tuple[str, ...]


GROUPS = {
    "sizes": Group(
        "cnnc/compiler/sizes.py cnnc/compiler/limits.py",
        ("cnnc/compiler/sizes.py", "tests/test_size_algebra.py", "tests/test_same_tf.py"),
    ),
    "field": Group(
        "cnnc/compiler/lattice.py cnnc/compiler/receptive_field.py",
        (
            "tests/test_field_lattice.py", "cnnc/compiler/receptive_field.py", "tests/test_receptive_field.py",
            "tests/test_facts_receptive_field.py",
        ),
    ),
    "cost": Group("cnnc/compiler/cost.py", ("tests/test_cost_properties.py", "tests/test_figures.py", "tests/test_cost.py")),
    "evaluate": Group(
        "cnnc/compiler/walk/evaluate.py cnnc/compiler/walk/operations.py",
        ("tests/test_arithmetic.py", "tests/test_sources.py", "tests/test_errors.py"),
    ),
    "ops": Group("cnnc/compiler/ops/*.py", (
        "tests/test_op_model.py", "tests/test_op_contract.py", "tests/test_op_arguments.py", "tests/test_reference.py",
        "tests/test_docs.py::test_layers_page_is_fresh", "tests/test_errors.py", "tests/test_size_algebra.py", "tests/test_same_tf.py",
        "cnnc/compiler/ops/geometry.py",
        *(f"tests/ops/test_{name}.py" for name in (
            "axes", "attention", "borders", "causal", "join", "matmul", "refusals", "resize", "reparam", "standardised", "stretch", "tensors",
            "round_trip", "windows",
        )),
    )),
    "pytorch": Group(
        " ".join(f"cnnc/backends/pytorch/{name}.py" for name in (
            "plan", "checks", "body", "branches", "class_names", "classes", "context", "forward", "in_place", "infix", "layer", "loops", "names", "repeats", "rolled",
            "scope_ends", "sym", "tensors", "trace", "unify", "uses", "variants", "wrap", "write", "emitters/*",
        )),
        (
            *(f"cnnc/backends/pytorch/{name}.py" for name in ("infix", "names", "rolled", "wrap")),
            *(f"tests/test_{name}.py" for name in (
                "golden", "plain_lines", "in_place", "pytorch_structure", "constructor_params", "reading", "pytorch", "shortcut",
                "second_half",
            )),
            "tests/ops/test_tensors.py", "tests/ops/test_again.py",
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the whole mutated text, where and what it is, and the lines of its statement.

    No lines: an import runs it.
    """

    path: str
    where: str
    change: str
    text: str
    lines: tuple[int, ...]


# --- the mutants -----------------------------------------------------------------------

ARITHMETIC = {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"}
ORDER = {"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"}
OTHERS = {
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop",
    "ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not",
    "ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceComparisonOperator_In_NotIn", "ReplaceComparisonOperator_NotIn_In",
}  # fmt: skip


def _is_used(operator: str) -> bool:
    """Whether one of cosmic-ray's operators is among ours."""
    if operator in OTHERS:
        return True
    match = re.fullmatch(r"Replace(Binary|Comparison)Operator_(\w+)_(\w+)", operator)
    return match is not None and any({match[2], match[3]} <= kind for kind in (ARITHMETIC, ORDER))


Place = tuple[int, int]


def _left_out(tree: ast.AST) -> list[tuple[Place, Place]]:
    """What is not mutated, from where to where."""
    nodes: list[ast.AST | None] = []
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef():
                nodes += [*node.decorator_list, node.returns]
            case ast.ClassDef():
                nodes += node.decorator_list
            case ast.keyword(arg="strict"):
                nodes.append(node)
            case ast.arg() | ast.AnnAssign():
                nodes.append(node.annotation)
            case ast.Assert() | ast.Raise():
                nodes.append(node)
            case ast.If(body=[*_, ast.Raise()]):  # with what only prepares its message
                nodes += node.body
            case ast.Call(func=ast.Name(id="fail" | "OpError" | "Diagnostic")):
                nodes.append(node)
    return [
        ((n.lineno, n.col_offset), (n.end_lineno or 0, n.end_col_offset or 0)) for n in nodes
        if isinstance(n, ast.expr | ast.stmt | ast.keyword)
    ]  # fmt: skip


Candidate = tuple[str, str, int, Place]
"""A file, an operator, its occurrence in the file, and where that stands."""


def candidates(path: str) -> Iterator[Candidate]:
    """Every place of a file that an operator can change."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    text = (ROOT / path).read_text(encoding="utf8")
    holes, nodes = _left_out(ast.parse(text)), list(ast_nodes(get_ast(text)))
    for name in sorted(operator_names()):
        if _is_used(name.removeprefix("core/")):
            operator = get_operator(name)()
            places = [start for node in nodes for start, _ in operator.mutation_positions(node)]
            for occurrence, start in enumerate(places):
                if not any(low <= start < high for low, high in holes):
                    yield path, name, occurrence, start


def made(candidate: Candidate) -> Mutant | None:
    """The mutant; None where it is the program itself, or no program (the `*` of keyword-only arguments)."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    path, name, occurrence, (row, column) = candidate
    text = (ROOT / path).read_text(encoding="utf8")
    mutated = mutate_code(text, get_operator(name)(), occurrence)
    try:
        if _marks_aside(mutated) == _unmarked(text) or compile(mutated, path, "exec") == _compiled(
            text, path
        ):
            return None
    except SyntaxError:
        return None
    pairs = zip(text.splitlines(), mutated.splitlines(), strict=False)
    line = next((new.strip() for old, new in pairs if old != new), "")
    lines = _own_lines(_parsed(text), (row, column))
    return Mutant(path, f"{path}:{row}:{column + 1}", f"{name.removeprefix('core/')}: {line}", mutated, lines)


_parsed = functools.cache(ast.parse)


@functools.cache
def _compiled(text: str, path: str) -> CodeType:
    """The program that a mutant must differ from."""
    return compile(text, path, "exec")


def _marks_aside(text: str) -> str:
    """The program, but for the `*` of keyword-only arguments, which is changed as if it were an operator."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
            node.defaults = [*node.defaults, *(value for value in node.kw_defaults if value is not None)]
            node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
    return ast.dump(tree)


_unmarked = functools.cache(_marks_aside)


# --- which tests execute a line --------------------------------------------------------


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


def _own_lines(tree: ast.Module, place: Place) -> tuple[int, ...]:
    """The lines of the statement (or `case`) of a function that a place is in; none where an import runs it."""
    inside, node, grown = False, None, True
    children: list[ast.AST] = list(tree.body)
    while grown:
        grown = False
        for child in children:
            if isinstance(child, ast.stmt | ast.match_case | ast.excepthandler) and _holds(child, place):
                inside = inside or isinstance(node, ast.FunctionDef)
                node, children, grown = child, list(ast.iter_child_nodes(child)), True
                break
    if node is None or not inside or isinstance(node, ast.FunctionDef | ast.ClassDef):
        return ()
    first, last = _extent(node)
    parts = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt | ast.match_case)]
    theirs = {line for low, high in map(_extent, parts) for line in range(low[0], high[0] + 1)}
    return tuple(sorted({first[0], *range(first[0], last[0] + 1)} - (theirs - {first[0]})))


def _extent(node: ast.AST) -> tuple[Place, Place]:
    """From where to where a node of the syntax tree goes."""
    first, last = (node.pattern, node.body[-1]) if isinstance(node, ast.match_case) else (node, node)
    return (first.lineno, first.col_offset), (last.end_lineno or 0, last.end_col_offset or 0)  # type: ignore[attr-defined]


def _holds(node: ast.AST, place: Place) -> bool:
    low, high = _extent(node)
    return low <= place < high


def reach(name: str, log: Path) -> Reach:
    """Run the tests of a group once, each with the lines that it executes; kept in the temporary folder."""
    files = [p for folder in ("cnnc", "tests") for p in sorted((ROOT / folder).rglob("*")) if p.is_file()]
    parts = [repr(GROUPS[name]).encode(), *(p.read_bytes() for p in files if "__pycache__" not in p.parts)]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / f"cnnc-mutation-{name}-{key}.json"
    if not kept.exists() and os.waitpid(_fork(lambda: _measure(name, kept, log)), 0)[1]:
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
        data_file=None, config_file=False, include=[str(ROOT / p) for p in _paths(name)]
    )

    def measure(session: pytest.Session) -> None:
        _import(name)
        clear = _caches()
        seconds = {}
        for item in session.items:
            clear()  # what an earlier test has computed, this one would only look up
            tracer.switch_context(item.nodeid)
            start = time.process_time()
            _run(session, [item])
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
    return _pytest(GROUPS[name].tests, measure, log)


def _import(name: str) -> None:
    """Import the files of a group, some of which cnnc imports where they are first needed."""
    for path in _paths(name):
        importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def _caches() -> Callable[[], None]:
    """Empties what functions of cnnc have kept of earlier calls."""
    wrapper = type(functools.cache(print))
    kept = [one for one in _objects() if isinstance(one, wrapper) and one.__module__.startswith("cnnc.")]
    made = sys.modules.get("cnnc.compiler.walk.made")

    def clear() -> None:
        for one in kept:
            one.cache_clear()
        if made is not None:
            made._MADE.clear()

    return clear


def _objects() -> list[object]:
    """What the garbage collector knows, with what it was told to leave alone."""
    gc.unfreeze()
    try:
        return gc.get_objects()
    finally:
        gc.freeze()


# --- running the mutants -----------------------------------------------------------------


def _pytest(tests: Sequence[str], loop: Callable[[pytest.Session], None], log: Path) -> int:
    """Collect the tests here, in a process of their own, and let `loop` run them: pytest's exit status."""
    import pytest

    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)

    class Plugin:
        def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
            if session.testsfailed:
                return None  # a module that cannot be imported: pytest tells it
            loop(session)
            return True

    options = "--assert=plain -o addopts= -p no:cacheprovider -q --doctest-modules --tb=short -W ignore"
    temporary = f"--basetemp={log.with_suffix('.tmp')}"
    return int(pytest.main([*options.split(), temporary, "-m", "not slow", *tests], plugins=[Plugin()]))


def _run(
    session: pytest.Session, items: Sequence[pytest.Item], seconds: dict[str, float] | None = None
) -> None:
    """Run tests up to the first that fails. Where it is known how long they take, a signal ends a longer one."""
    for item, following in zip_longest(items, items[1:]):
        if seconds is not None:
            _limit(5 + 10 * seconds[item.nodeid])
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            break


def _limit(seconds: float) -> None:
    """End this process after so much processor time, or after ten times as long on the clock."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)


def _fork(job: Callable[[], int]) -> int:
    """A process of its own group that does a job and ends with its status."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        status = 1
        try:
            status = job()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


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
        _run(session, [named[test] for test in tests if test in named], known.seconds)

    def job(files: Sequence[str]) -> int:
        _limit(120)
        _serve(mutant)
        return _pytest(files, loop, log)

    first, *others = dict.fromkeys(test.partition("::")[0] for test in tests)
    how = _outcome(_fork(functools.partial(job, [first])))
    return _outcome(_fork(functools.partial(job, others))) if how == "survived" and others else how


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
        _import(name)
        named, clear = {item.nodeid: item for item in session.items}, _caches()
        paths = {str(ROOT / path) for path in _paths(name)}
        functions = [f for f in _objects() if isinstance(f, FunctionType) and f.__code__.co_filename in paths]

        def one(mutant: Mutant, tests: list[str]) -> int:
            clear()
            _exchange(mutant, functions)
            _run(session, [named[test] for test in tests], known.seconds)
            return int(session.testsfailed > 0)

        for mutant, tests in work:
            tell(mutant, _outcome(_fork(functools.partial(one, mutant, tests))))

    return _pytest(GROUPS[name].tests, loop, log)


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
        pid = _fork(lambda: _in_functions(inside, name, known, own, tell))
        failed = os.waitpid(pid, 0)[1] != 0
        for mutant, at_import, tests in work[part::jobs]:
            if at_import:
                tell(mutant, _at_import(mutant, tests, known, own))
        return int(failed)

    workers = [_fork(functools.partial(worker, part)) for part in range(jobs)]
    os.close(there)
    with os.fdopen(here) as lines:
        for line in lines:
            index, how = line.split()
            yield chosen[int(index)], how
    ended = [os.waitpid(pid, 0)[1] for pid in workers]
    if any(ended):
        sys.exit(f"{name}: a run ended early, see {log.parent}/{log.stem}.*.log")


def _prepare() -> None:
    """Import once, for all the processes to come, what every test imports; never cnnc."""
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import hypothesis
    import lark  # noqa: F401
    import pydantic_core  # noqa: F401
    import torch

    torch.set_num_threads(1)
    hypothesis.settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),  # a failure is not made smaller
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    hypothesis.settings.load_profile("mutation")


def _paths(name: str) -> list[str]:
    """The files of a group."""
    return [str(p.relative_to(ROOT)) for one in GROUPS[name].files.split() for p in sorted(ROOT.glob(one))]


def _drawn(name: str, sample: int, seed: int) -> tuple[list[Mutant], int]:
    """Mutants of a group, drawn at random (0: all), and how many there are to draw from."""
    every = [candidate for path in _paths(name) for candidate in candidates(path)]
    drawn = random.Random(seed).sample(every, min(sample or len(every), len(every)))
    return [mutant for mutant in map(made, drawn) if mutant is not None], len(every)


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
    _prepare()
    results: dict[str, dict[str, str]] = {}
    for name in args.groups or before or GROUPS:
        start, log = time.monotonic(), out.with_suffix(".log")
        log.unlink(missing_ok=True)
        chosen, size = _drawn(name, args.sample, args.seed)
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
