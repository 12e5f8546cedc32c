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
from cnnc.dsl.tokens import lay_out


def upgrade(source: Source) -> tuple[str, dict[str, str]]:
    """The text with new names for what may no longer be called so, and which names these are.

    Labels are kept, for they are names of weights; a block's uses without a label are counted under its new name.
    Raises CnncError where the text does not parse.
    """
    spec = parse(source)
    declared, local = _declared(spec), _local(spec)
    tokens = [token for statement in lay_out(source).statements for token in statement]
    used = {str(token) for token in tokens}
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
    for token in _places(tokens, names, keys=local & set(names), params=_params(spec)):
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


def _params(spec: s.Spec) -> set[str]:
    return {statement.name for statement in spec.statements if isinstance(statement, s.Param)}


def _local(spec: s.Spec) -> set[str]:
    """The names of parameters and loop variables."""
    found: set[str] = set()
    for node in s.nodes_in(spec.statements):
        if isinstance(node, s.Parameter):
            found.add(node.name)
        elif isinstance(node, s.Loop):
            found |= set(node.targets)
    return found


def _places(
    tokens: Sequence[Tok], names: dict[str, str], *, keys: set[str], params: set[str]
) -> Iterator[Tok]:
    """The tokens that mean one of the names: not labels, and not the keys of layers."""
    opened: list[Tok | None] = []  # for each open bracket, what it is the argument list of
    statement = tokens[0] if tokens else None
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else None
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        if token.type.isupper() and token.type == str(token).upper() and not opened:
            statement = token  # a statement word
        if token.type in ("LPAR", "LSQB", "LBRACE", "INDEX"):
            opened.append(before if token.type == "LPAR" else None)
        elif token.type in ("RPAR", "RSQB", "RBRACE"):
            opened.pop()
        if token.type != "NAME" or str(token) not in names or (after is not None and after.type == "COLON"):
            continue
        if (
            after is not None
            and after.type == "EQUAL"
            and (opened or (before is not None and before.type == "WITH"))
        ):
            kind = "" if statement is None else statement.type
            is_setting = kind in ("USE", "EXPECT") and len(opened) < 2
            if not (str(token) in keys or (is_setting and str(token) in params | set(names))):
                continue
        yield token
