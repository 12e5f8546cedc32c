"""Colours for spec texts: a Pygments lexer, found by its entry point as `cnnc`.

It knows the form of the language, not its layers: a word at the head of a chain
and one in the middle look the same. The TextMate grammar in `editors/` draws
the same lines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pygments.lexer import RegexLexer, bygroups, include, words
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Text,
    Whitespace,
)

from cnnc.dsl.tokens import RESERVED, STATEMENTS

_groups: Callable[..., Any] = bygroups  # has no annotations of its own
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NUMBER = r"\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?(?:[KMGT](?!\w)|[ \t]?(?:[KMGT]i?)?B(?!\w))?"
_DIMS = r"\d+(?:x(?:\d+|[A-Z]))+"


class CnncLexer(RegexLexer):
    """Tokens of a `.cnn` file for Pygments."""

    name = "cnnc"
    aliases: ClassVar[list[str]] = ["cnnc"]
    filenames: ClassVar[list[str]] = ["*.cnn"]

    tokens: ClassVar = {
        "root": [
            # A statement word is a keyword only first on its line and not before `:`.
            (
                rf"^([ \t]*)(model|block|shared|extern|param)([ \t]+)({_NAME})",
                _groups(Whitespace, Keyword.Declaration, Whitespace, Name.Class),
            ),
            (
                rf"^([ \t]*)({'|'.join(sorted(STATEMENTS))})\b(?![ \t]*:)",
                _groups(Whitespace, Keyword.Declaration),
            ),
            include("line"),
        ],
        "line": [
            (r"\s+", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (r'("[^"\n]*")([ \t]*)(:)', _groups(Name.Label, Whitespace, Punctuation)),
            (r'"[^"\n]*"', String.Double),
            (rf"({_NAME}(?:\.[A-Za-z0-9_]+)*)([ \t]*)(:)", _groups(Name.Label, Whitespace, Punctuation)),
            (r"\.(?=\{)|(?<=\})(?:\.[A-Za-z0-9_]+)+", Name.Function),
            (words(sorted(RESERVED), prefix=r"\b", suffix=r"\b"), Keyword.Reserved),
            (r"\b(?:from|as|with|within)\b", Keyword.Namespace),
            (rf"({_NAME})([ \t]*)(=)(?!=)", _groups(Name.Attribute, Whitespace, Operator)),
            (rf"{_NAME}(?:\.[A-Za-z0-9_]+)*", Name.Function),
            (_DIMS, Number.Integer),
            (_NUMBER, Number),
            (r"->|\*\*|//|\.\.|==|!=|<=|>=|~=|[-+*/%<>=|&@]", Operator),
            (r"\{", String.Interpol, "hole"),
            (r"[\[\](),:}]", Punctuation),
            (r".", Text),
        ],
        # Arithmetic inside a layer word: names there are variables.
        "hole": [
            (r"\}", String.Interpol, "#pop"),
            (r"\n", Whitespace),
            (words(sorted(RESERVED), prefix=r"\b", suffix=r"\b"), Keyword.Reserved),
            (rf"{_NAME}(?=[ \t]*\()", Name.Function),
            (_NAME, Name.Variable),
            include("line"),
        ],
    }
