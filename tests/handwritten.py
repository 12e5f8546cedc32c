"""How long a spec is that somebody wrote: its tokens, with what it uses of other files."""

from __future__ import annotations

from pathlib import Path

from cnnc.dsl import syntax as s
from cnnc.dsl.format import format_statement
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.importer.structure.spell import size

SPECS = Path(__file__).parent.parent / "cnnc" / "specs"


def tokens(path: Path) -> int:
    """Of a spec and of the declarations it needs, claims and comments left out."""
    return _count(path, None, set())


def _count(path: Path, wanted: set[str] | None, seen: set[tuple[Path, str]]) -> int:
    spec = parse(Source(path.name, path.read_text(encoding="utf8")))
    declared = {st.name: st for st in spec.statements if isinstance(st, s.Block | s.Shared | s.Extern)}
    total, todo = 0, list[object]()
    if wanted is None or spec_name(spec) in wanted:
        todo += [
            st
            for st in spec.statements
            if not isinstance(st, s.Expect | s.Block | s.Shared | s.Extern | s.Use)
        ]
    else:
        todo += [st for st in spec.statements if isinstance(st, s.Default | s.Param)]
    todo += [declared[name] for name in wanted or () if name in declared]
    brought = {u.alias or u.name: (use, u.name) for use in _uses(spec) for u in use.names}
    further: dict[str, set[str]] = {}
    while todo:
        statement = todo.pop()
        total += size(format_statement(statement))  # type: ignore[arg-type]
        for node in s.nodes_in(statement):
            for name in _names(node):
                if (path, name) in seen:
                    continue
                if name in declared and declared[name] is not statement:
                    seen.add((path, name))
                    todo.append(declared[name])
                elif name in brought:
                    seen.add((path, name))
                    use, original = brought[name]
                    further.setdefault(use.origin, set()).add(original)
    for use in _uses(spec):
        names = further.get(use.origin)
        if names:
            origin = path.parent / use.origin if use.is_file else None
            for file in [origin] if origin else sorted((SPECS / "std").glob("*.cnn")):
                if origin or names & {
                    st.name
                    for st in parse(Source("", file.read_text())).statements
                    if isinstance(st, s.Block)
                }:
                    total += _count(file.resolve(), names, seen)
            further.pop(use.origin)
    return total


def spec_name(spec: s.Spec) -> str | None:
    return next((st.name for st in spec.statements if isinstance(st, s.Model)), None)


def _uses(spec: s.Spec) -> list[s.Use]:
    return [st for st in spec.statements if isinstance(st, s.Use)]


def _names(node: object) -> list[str]:
    if isinstance(node, s.Word) and node.literal is not None:
        return [node.literal]
    if isinstance(node, s.Name):
        return [node.id]
    return []
