"""grammar.lark to tables.py: what the parser needs to know, worked out once by lark.

Run by `make tables`. lark reads the grammar and computes the LALR(1) states; a
run of cnnc imports the result and neither lark nor the grammar.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Lark
    from lark.grammar import Rule

_HEAD = '''"""The tables of grammar.lark. Made by `make tables`; a change belongs in the grammar."""

# fmt: off
'''


def source() -> str:
    """The text of tables.py; the same for the same grammar, whatever order lark met the states in."""
    from lark import Lark

    grammar = files("cnnc.dsl").joinpath("grammar.lark").read_text(encoding="utf8")
    lark = Lark(grammar, parser="lalr", lexer="basic", keep_all_tokens=True, maybe_placeholders=False)
    states, accepting = _states(lark)
    lines = [
        f"TOKENS = {_pattern(lark)!r}\n",
        f"BLANK = {sorted(_lexer(lark).ignore_types)[0]!r}\n",
        f"ACCEPTING = {accepting}\n",
        "# (what it makes, how many it takes, its callback, whether one child stands for it, which children",
        "# are lists that join their parent's)",
        "RULES: tuple[tuple[str, int, str | None, bool, tuple[int, ...]], ...] = (",
        *(f"    {_rule(rule)}," for rule in _rules(lark)),
        ")\n",
        "# For each state: the next one by what comes in, or ~n to reduce by rule n.",
        "STATES: tuple[dict[str, int], ...] = (",
        *(f"    {row}," for row in states),
        ")",
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _lexer(lark: Lark) -> Any:
    return lark.parser.lexer


def _pattern(lark: Lark) -> str:
    """All terminals in one expression, in lark's order of precedence; the group that matched names the kind."""
    return "|".join(f"(?P<{t.name}>{t.pattern.to_regexp()})" for t in _lexer(lark).terminals)


def _rules(lark: Lark) -> list[Rule]:
    """The rules of the grammar; the first is that of the whole."""
    return sorted(lark.rules, key=lambda rule: (rule.origin.name != "start", rule.origin.name, rule.order))


def _rule(rule: Rule) -> tuple[str, int, str | None, bool, tuple[int, ...]]:
    """A rule as the parser wants it. Rules that begin with `_` make lists, which join their parent's children."""
    name = rule.alias or rule.origin.name
    transparent = rule.options.expand1 and not rule.alias
    joined = [i for i, s in enumerate(rule.expansion) if not s.is_term and s.name.startswith("_")]
    return (
        str(rule.origin.name),
        len(rule.expansion),
        None if name.startswith("_") or (transparent and len(rule.expansion) == 1) else str(name),
        bool(transparent),
        tuple(joined),
    )


def _states(lark: Lark) -> tuple[list[dict[str, int]], int]:
    """The states numbered from the start in the order of a walk by name, and the one that accepts."""
    from lark.parsers.lalr_analysis import Shift

    table = lark.parser.parser._parse_table
    numbers = {rule: i for i, rule in enumerate(_rules(lark))}
    order: dict[int, int] = {table.start_states["start"]: 0}
    rows: list[dict[str, int]] = []
    walk = list(order)
    for state in walk:  # which grows as it goes
        row: dict[str, int] = {}
        for name, (action, target) in sorted(table.states[state].items()):
            if action is Shift:
                if target not in order:
                    order[target] = len(order)
                    walk.append(target)
                row[str(name)] = order[target]
            else:
                row[str(name)] = ~numbers[target]
        rows.append(row)
    return rows, order[table.end_states["start"]]


if __name__ == "__main__":
    print(source(), end="")
