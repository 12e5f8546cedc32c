"""The mutation score of the analyses: `python -m benchmarks.mutation [GROUP…] [--sample N] [--seed S]`.

The mutants are cosmic-ray's (`pip install cosmic-ray`), which makes one small change each: a number by
one, an operator for its neighbour, a condition turned round, a loop that does not run. Each is run in a
process forked off one that has imported pytest, hypothesis and torch, and is served to the import system
from memory: the files stay as they are, and a mutant costs its tests and not the imports.

Not mutated, since no behaviour that is promised hangs on it: annotations and `|` between types, decorators
(frozen records, registration), asserts, and what a `raise` or `fail(…)` says (its wording has its own tests,
tests/cases/errors). Operators are exchanged within their kind alone, arithmetic for arithmetic and order for
order: `<<` for `+` would be killed by anything.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parent.parent
SECONDS = 60
"""A mutant that runs longer is killed, and counts as found: its tests do not end."""


@dataclass(frozen=True, slots=True)
class Group:
    """Files, and the tests that should find what is wrong with them, the quick ones first."""

    files: str
    tests: tuple[str, ...]


GROUPS = {
    "sizes": Group(
        "cnnc/compiler/sizes.py cnnc/compiler/limits.py",
        ("cnnc/compiler/sizes.py", "tests/test_size_algebra.py", "tests/test_same_tf.py"),
    ),
    "field": Group(
        "cnnc/compiler/lattice.py cnnc/compiler/receptive_field.py",
        ("tests/test_field_lattice.py", "cnnc/compiler/receptive_field.py", "tests/test_facts_receptive_field.py"),
    ),
    "cost": Group("cnnc/compiler/cost.py", ("tests/test_cost_properties.py", "tests/test_figures.py", "tests/test_cost.py")),
    "evaluate": Group(
        "cnnc/compiler/walk/evaluate.py cnnc/compiler/walk/operations.py",
        ("tests/test_arithmetic.py", "tests/test_sources.py"),
    ),
    "ops": Group("cnnc/compiler/ops/*.py", (
        "tests/test_op_model.py", "tests/test_op_contract.py", "tests/test_op_arguments.py", "tests/ops",
    )),
    "pytorch": Group(
        " ".join(f"cnnc/backends/pytorch/{name}.py" for name in (
            "plan", "checks", "body", "branches", "class_names", "classes", "context", "forward", "in_place", "infix", "layer", "loops", "names",
            "sym", "tensors", "trace", "unify", "uses", "variants", "wrap", "write", "emitters/*",
        )),
        tuple(f"tests/test_{name}.py" for name in (
            "golden", "plain_lines", "in_place", "pytorch_structure", "constructor_params", "reading", "pytorch",
        )),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the whole mutated text, and where and what it is."""

    path: str
    where: str
    change: str
    text: str


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
        if _marks_aside(mutated) == _marks_aside(text):
            return None
    except SyntaxError:
        return None
    pairs = zip(text.splitlines(), mutated.splitlines(), strict=False)
    line = next((new.strip() for old, new in pairs if old != new), "")
    return Mutant(path, f"{path}:{row}:{column + 1}", f"{name.removeprefix('core/')}: {line}", mutated)


def _marks_aside(text: str) -> str:
    """The program, but for the `*` of keyword-only arguments, which is changed as if it were an operator."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
            node.defaults = [*node.defaults, *(value for value in node.kw_defaults if value is not None)]
            node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
    return ast.dump(tree)


# --- running them ------------------------------------------------------------------------


def _serve(mutant: Mutant) -> None:
    """Let the import of the mutant's module run its text."""
    path, get_code = str(ROOT / mutant.path), SourceFileLoader.get_code

    def mutated(self: SourceFileLoader, fullname: str) -> CodeType | None:
        if str(self.path) == path:
            return compile(mutant.text, path, "exec", dont_inherit=True)
        return get_code(self, fullname)

    SourceFileLoader.get_code = mutated  # type: ignore[method-assign, assignment]


def _child(mutant: Mutant | None, tests: tuple[str, ...], log: Path) -> int:
    """Run the tests here, in a process of their own: pytest's exit status."""
    import pytest

    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    if mutant is not None:
        _serve(mutant)
    options = (
        "--assert=plain -o addopts= -p no:cacheprovider -x -q --doctest-modules --tb=line -W ignore".split()  # noqa: SIM905
    )
    return int(pytest.main([*options, "-m", "not slow", *tests]))


def _start(mutant: Mutant | None, tests: tuple[str, ...], log: Path) -> int:
    """The process that runs the tests of a mutant (None: of the program as it is)."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        status = 1
        try:
            status = _child(mutant, tests, log)
        finally:
            os._exit(status)
    return pid


def outcomes(
    chosen: list[Mutant], tests: tuple[str, ...], jobs: int, log: Path
) -> Iterator[tuple[Mutant, str]]:
    """`killed`, `survived` or `timeout` for each mutant, as they end."""
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = chosen[::-1]
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[_start(mutant, tests, log.with_suffix(f".{len(waiting)}"))] = mutant, time.monotonic()
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            mutant, _ = running.pop(pid)
            how = "timeout" if os.WIFSIGNALED(status) else "killed" if os.WEXITSTATUS(status) else "survived"
            yield mutant, how
            continue
        for pid, (_, since) in running.items():
            if time.monotonic() - since > SECONDS:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


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
    )  # fmt: skip
    hypothesis.settings.load_profile("mutation")


def _drawn(group: Group, sample: int, seed: int) -> tuple[list[Mutant], int]:
    """Mutants of a group, drawn at random (0: all), and how many there are to draw from."""
    paths = [str(p.relative_to(ROOT)) for one in group.files.split() for p in sorted(ROOT.glob(one))]
    every = [candidate for path in paths for candidate in candidates(path)]
    drawn = random.Random(seed).sample(every, min(sample or len(every), len(every)))
    return [mutant for mutant in map(made, drawn) if mutant is not None], len(every)


def main() -> None:
    parser = argparse.ArgumentParser(description="The mutation score of the analyses.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--sample", type=int, default=150, help="mutants of a group, drawn at random; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("mutation.json"), help="what became of each mutant")
    parser.add_argument("--again", type=Path, help="run the survivors that such a file tells of once more")
    args = parser.parse_args()
    _prepare()
    before = json.loads(args.again.read_text(encoding="utf8")) if args.again else {}
    results: dict[str, dict[str, str]] = {}
    for name in args.groups or GROUPS:
        tests, log = GROUPS[name].tests, args.out.with_suffix(".log")
        chosen, size = _drawn(GROUPS[name], args.sample, args.seed)
        found = results[name] = dict(before.get(name, {}))
        if found:
            chosen = [m for m in chosen if found.get(f"{m.where} {m.change}") == "survived"]
        if os.waitpid(_start(None, tests, log), 0)[1]:
            sys.exit(f"{name}: the tests fail without a mutant, see {log}")
        for mutant, how in outcomes(chosen, tests, args.jobs, log):
            found[f"{mutant.where} {mutant.change}"] = how
            args.out.write_text(json.dumps(results, indent=1), encoding="utf8")
            if how == "survived":
                print(f"{mutant.where} {mutant.change}", flush=True)
        lived = sum(how == "survived" for how in found.values())
        score = f"{1 - lived / len(found):.1%} found" if found else "none"
        print(
            f"{name}: {len(found)} of {size} mutants, {len(found) - lived} of them found: {score}", flush=True
        )


if __name__ == "__main__":
    main()
