"""Texts in colours by Pygments: classes in the text, and one style sheet for both themes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.lexer import Lexer

LIGHT, DARK = "default", "github-dark"
"""Pygments styles."""


def python_html(text: str) -> str:
    """Python, coloured."""
    from pygments.lexers.python import PythonLexer

    return coloured(text, PythonLexer())


def coloured(text: str, lexer: Lexer) -> str:
    """A text as HTML, each token in an element of its class."""
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter

    html: str = highlight(text, lexer, HtmlFormatter(nowrap=True))
    return html


def code_css() -> str:
    """A rule for each kind of token, its colour that of the page's theme."""
    from pygments.styles import get_style_by_name
    from pygments.token import STANDARD_TYPES

    light, dark = get_style_by_name(LIGHT), get_style_by_name(DARK)
    rules = []
    for token, name in sorted(STANDARD_TYPES.items(), key=lambda entry: entry[1]):
        if name:
            colours = [style.style_for_token(token)["color"] for style in (light, dark)]
            one, two = (f"#{colour}" if colour else "inherit" for colour in colours)
            rules.append((name, one, two, light.style_for_token(token)["bold"]))
    return "\n".join(
        f".code .{name} {{ color: light-dark({one}, {two});{' font-weight: bold;' if bold else ''} }}"
        for name, one, two, bold in rules
        if "inherit" not in (one, two)
    )
