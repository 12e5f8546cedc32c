"""Layers that PyTorch lacks: small classes that are copied into the files that use them.

The files here import torch and are read as text, never imported by the compiler. Arithmetic that the
language has too is copied from its own function. A file with `AXES` is read for as many, with `1d` and `3d`
in place of `2d`. What a helper needs follows from the names that it reads
and does not set: those that its file imports, and other helpers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from inspect import getsource
from symtable import SymbolTable, symtable

from cnnc.compiler import symbolic

_DEFINED = re.compile(r"^ {0,4}(?:class|def) (\w+)", re.M)
_IMPORTED = re.compile(r"^ *(?:from \S+ )?import ([^(\n]+)$", re.M)


@dataclass(frozen=True, slots=True)
class Helper:
    """A class, function or kernel as text, the imports that it needs, and the other helpers."""

    source: str
    imports: frozenset[str]
    needs: frozenset[str]


@lru_cache(maxsize=1)
def _places() -> Mapping[str, str]:
    """The name of each helper: the text of the file that holds it."""
    found = {"divisible": f"import math\n\n\n{getsource(symbolic.divisible)}"}
    for path in sorted(files(__name__).iterdir(), key=lambda p: p.name):
        if path.name.endswith(".py") and path.name != "__init__.py":
            text = path.read_text(encoding="utf8")
            for axes in (2, 1, 3) if "\nAXES = " in text else (2,):
                read = text.replace("2d", f"{axes}d") if axes != 2 else text
                found = {**dict.fromkeys(_top_level(read), read), **found}
    return found


def _top_level(text: str) -> Iterator[str]:
    """The names that a file defines for others: of classes and functions, and of kernels, which are under an `if`."""
    for match in _DEFINED.finditer(text):
        if not match[0].startswith(" ") or text[: match.start()].endswith(
            "    @triton.jit\n"
        ):
            yield match[1]


@lru_cache(maxsize=64)
def _file(text: str) -> Mapping[str, Helper]:
    """The helpers of a file."""
    lines = text.splitlines(keepends=True)
    body = ast.parse(text).body
    imported = dict(_imports(body))
    nodes: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.If):
            nodes |= {
                inner.name: node
                for inner in node.body
                if isinstance(inner, ast.FunctionDef)
            }
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            nodes[node.name] = node
    return {name: _helper(name, node, lines, imported) for name, node in nodes.items()}


def _imports(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The names that statements import, each with the statement that imports it alone, or what is tried."""
    for node in body:
        if isinstance(node, ast.Try):
            whole = ast.unparse(node)
            yield from ((name, whole) for name, _ in _imports(node.body))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, ast.unparse(ast.Import([alias]))
        elif isinstance(node, ast.ImportFrom):
            package, _, file = (node.module or "").rpartition(".")
            if package == __name__:  # another file here: its helpers are found by name
                text = files(__name__).joinpath(f"{file}.py").read_text(encoding="utf8")
                names = {alias.name for alias in node.names}
                yield from (
                    pair for pair in _imports(ast.parse(text).body) if pair[0] in names
                )
                continue
            for alias in node.names:
                statement = ast.ImportFrom(node.module, [alias], 0)
                yield alias.asname or alias.name, ast.unparse(statement)


def _helper(
    name: str, node: ast.stmt, lines: list[str], imported: Mapping[str, str]
) -> Helper:
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(d.lineno for d in decorators)])
    source = "".join(lines[first - 1 : node.end_lineno])
    used = {*_global_names(symtable(source, name, "exec")), *_annotating_names(node)}
    return Helper(
        source,
        frozenset(imported[n] for n in used & imported.keys()),
        frozenset((used & _places().keys()) - {name}),
    )


def _global_names(scope: SymbolTable) -> Iterator[str]:
    """The names that code reads from its file; a local variable may have the name of another helper."""
    here = scope.get_type() == "module"
    for symbol in scope.get_symbols():
        if symbol.is_referenced() and (here or symbol.is_global()):
            yield symbol.get_name()
    for inner in scope.get_children():
        yield from _global_names(inner)


def _annotating_names(node: ast.AST) -> Iterator[str]:
    """The names in annotations, which from Python 3.14 on are scopes that a symbol table does not tell of."""
    for each in ast.walk(node):
        for field in ("annotation", "returns"):
            annotation = getattr(each, field, None)
            if annotation is not None:
                yield from (
                    part.id
                    for part in ast.walk(annotation)
                    if isinstance(part, ast.Name)
                )


def helper(name: str) -> Helper:
    """A helper by its name."""
    return _file(_places()[name])[name]


def helper_source(name: str) -> str:
    """The text of a helper class or function."""
    return helper(name).source


def helper_names() -> tuple[str, ...]:
    return tuple(_places())


@lru_cache(maxsize=1)
def imported_names() -> frozenset[str]:
    """The names that files of helpers import, which a class of a network would hide."""
    imports = (
        match[1] for text in {*_places().values()} for match in _IMPORTED.finditer(text)
    )
    return frozenset(each.split()[-1] for names in imports for each in names.split(","))


def with_needs(names: Iterable[str]) -> list[str]:
    """The helpers and all that they need, each after what it needs; else in the order of the alphabet."""
    seen: set[str] = set()
    ordered: list[str] = []

    def add(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for needed in sorted(helper(name).needs):
                add(needed)
            ordered.append(name)

    for name in sorted(names):
        add(name)
    return ordered
