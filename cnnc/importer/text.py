"""A flat spec as text: a line for each layer, everything labelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnnc.compiler.expand import PLAIN_NAME, label_text
from cnnc.compiler.ops import by_x
from cnnc.importer.flat import JOINS, Chain, Flat, Line, Node

_BRINGS_ACT = ("conv", "dwconv", "fc")


def body(flat: Flat, name: str, sizes: dict[int, str]) -> str:
    """The spec of a flat graph whose lines are named. `sizes` are those of the input lines."""
    inputs = [line for line in flat.lines if line.kind == "input"]
    lines = [f"model {name}"] if PLAIN_NAME.fullmatch(name) and "." not in name else []
    for line in inputs:
        lines.append(
            f"input {sizes[line.index]}"
            if len(inputs) == 1
            else f"input {label_text(line.name)}: {sizes[line.index]}"
        )
    kinds = {line.kind for line in flat.lines}
    lines += [f"default {kind}(act=none)" for kind in _BRINGS_ACT if kind in kinds]
    lines += _externs(flat)
    lines += ["", *_body(flat, inputs)]
    outputs = list(flat.outputs.values())
    if outputs != [len(flat.lines) - 1]:
        names = {i: _of_level(flat, flat.lines[i].name) for i in outputs}
        for i, name in names.items():
            if name != flat.lines[i].name:
                lines.append(f"{label_text(flat.lines[i].name)} -> {label_text(name)}: id")
        lines += ["", f"output {', '.join(label_text(names[i]) for i in outputs)}"]
    return "\n".join(lines) + "\n"


def _of_level(flat: Flat, name: str) -> str:
    """An output's name: where it is the last of a level and has no name but a number there, the level's."""
    level, _, own = name.rpartition(".")
    inside = [line.name for line in flat.lines if line.name.startswith(f"{level}.")]
    return level if level and own.isdigit() and inside[-1] == name else name


def _externs(flat: Flat) -> list[str]:
    """The declarations of what is kept outside; each line gets the name of its own as its word."""
    names: dict[str, str] = {}
    for line in flat.lines:
        if line.outside is not None:
            facts = line.outside.declaration("_")
            names.setdefault(
                facts, f"{line.head}{len(names) + 1}" if line.head in names.values() else line.head
            )
            line.head = names[facts]
    return [facts.replace("extern _", f"extern {name}", 1) for facts, name in names.items()]


def _body(flat: Flat, inputs: list[Line]) -> Iterator[str]:
    before = inputs[0].index if len(inputs) == 1 else None
    taken = {line.name for line in flat.lines}
    for line in flat.lines:
        if line.kind != "input":
            yield _line(line, before, flat, taken)
            before = line.index


def _line(line: Line, before: int | None, flat: Flat, taken: set[str]) -> str:
    def reference(index: int) -> str:
        other = flat.lines[index]
        return '"input"' if other.kind == "input" and other.name == "input" else label_text(other.name)

    args = [_argument(key, value, reference) for key, value in line.args.items()]
    # Parentheses tell a layer from a tensor of its name.
    written = f"({', '.join(args)})" if args or line.head in taken else ""
    join = JOINS.get(line.kind)
    if join is not None:
        written = f"({', '.join(args)})" if args else ""
        return f"{label_text(line.name)}: [{f' {join} '.join(map(reference, line.inputs))}]{written}"
    head = "" if not line.inputs or line.inputs[0] == before else f"{reference(line.inputs[0])} -> "
    return f"{head}{label_text(line.name)}: {line.head}{written}"


def _argument(key: str, value: Any, reference: Any) -> str:
    spelled = reference(value.index) if isinstance(value, Node) else spell(value)
    spelled = f"[{spelled}]" if isinstance(value, Chain) else spelled
    return f"{key}={spelled}" if key else spelled


def spell(value: Any) -> str:
    """An argument's value as the language writes it.

    >>> spell(True), spell(0.1), spell((1, 1)), spell(((0, 1), (0, 1)))
    ('yes', '0.1', '(1, 1)', '((0, 1), (0, 1))')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return f"({', '.join(map(spell, value))}{',' if len(value) == 1 else ''})"
    return repr(_plain(value)) if isinstance(value, float) else str(value)


def _plain(value: float) -> float:
    """A number without what arithmetic in double precision left at its end.

    >>> _plain(1 - 0.9997), _plain(1 / 3)
    (0.0003, 0.3333333333333333)
    """
    short = float(f"{value:.10g}")
    return short if abs(short - value) <= 2e-16 * max(1, abs(value)) else value


def over(stride: tuple[int, ...], usual: tuple[int, ...] | None = None) -> str:
    """A stride as a layer's word has it; nothing where it is the usual one, 1 unless given.

    >>> over((2, 2)), over((1, 1)), over((2, 1), (2, 1))
    ('/2', '', '')
    """
    is_usual = set(stride) == {1} if usual is None else stride == usual
    return "" if is_usual else f"/{sizes(stride)}"


def sizes(values: tuple[int, ...]) -> str:
    """A kernel or stride: `3`, or `3x1`."""
    return str(values[0]) if len(set(values)) == 1 else by_x(values)
