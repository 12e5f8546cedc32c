"""The mutants: one small change each of a file, by the operators of cosmic-ray."""

from __future__ import annotations

import ast
import functools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

from benchmarks.mutation.groups import ROOT, paths


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


def drawn(name: str, sample: int, seed: int) -> tuple[list[Mutant], int]:
    """Mutants of a group, drawn at random (0: all), and how many there are to draw from."""
    every = [candidate for path in paths(name) for candidate in candidates(path)]
    chosen = random.Random(seed).sample(every, min(sample or len(every), len(every)))
    return [mutant for mutant in map(made, chosen) if mutant is not None], len(every)
