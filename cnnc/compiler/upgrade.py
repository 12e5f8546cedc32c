"""Older files in the language of today: names that it has taken since are renamed, with `_` behind them.

before: block sum(w) = conv3-w      sum(64) -> conv3-8
after:  block sum_(w) = conv3-w     sum_(64) -> conv3-8
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnc.compiler.since import is_new_function, is_new_layer
from cnnc.dsl import syntax as s
from cnnc.dsl.lalr import Tok
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.dsl.tokens import CLOSERS, OPENERS, lay_out


def upgrade(source: Source) -> tuple[str, dict[str, str]]:
    """The text with new names for what may no longer be called so, and which names these are.

    Labels are kept, for they are names of weights; a block's uses without a label are counted under its new name.
    Raises CnncError where the text does not parse.
    """
    spec = parse(source)
    declared, local = _declared(spec), _local(spec)
    statements = lay_out(source).statements
    used = {str(token) for tokens in statements for token in tokens}
    names: dict[str, str] = {}
    for name in sorted(
        {n for n in declared if is_new_layer(n) or is_new_function(n)}
        | {n for n in local if is_new_function(n)}
    ):
        new = f"{name}_"
        while new in used:
            new += "_"
        names[name] = new
    text, at = [], 0
    for tokens in statements:
        for token in _places(tokens, names, keys=local & set(names)):
            text += [source.text[at : token.span.start], names[str(token)]]
            at = token.span.end
    return "".join([*text, source.text[at:]]), names


def _declared(spec: s.Spec) -> set[str]:
    """The names of blocks, params, shared modules, externs, and of what is used from other files."""
    found: set[str] = set()
    for statement in spec.statements:
        if isinstance(statement, s.Block | s.Shared | s.Extern | s.Param):
            found.add(statement.name)
        elif isinstance(statement, s.Use):
            found |= {name for used in statement.names for name in (used.name, used.alias)}
    return found


def _local(spec: s.Spec) -> set[str]:
    """The names of parameters and loop variables."""
    found: set[str] = set()
    for node in s.nodes_in(spec.statements):
        if isinstance(node, s.Parameter):
            found.add(node.name)
        elif isinstance(node, s.Loop):
            found |= set(node.targets)
    return found


def _places(tokens: Sequence[Tok], names: dict[str, str], *, keys: set[str]) -> Iterator[Tok]:
    """The tokens of a statement that mean one of the names: not labels, and not the keys of layers."""
    has_settings = tokens[0].type in ("USE", "EXPECT")
    depth = 0
    for i, token in enumerate(tokens):
        depth += (token.type in OPENERS) - (token.type in CLOSERS)
        after = tokens[i + 1].type if i + 1 < len(tokens) else ""
        if token.type != "NAME" or str(token) not in names or after == "COLON":
            continue
        is_key = after == "EQUAL" and (depth > 0 or tokens[i - 1].type in ("WITH", "COMMA"))
        is_setting = has_settings and depth < 2
        if not is_key or is_setting or str(token) in keys:
            yield token
