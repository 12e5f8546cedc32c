"""The page's questions where it has no server: Python runs in the browser, and no file is there but the zoo's."""

from __future__ import annotations

import cnnc.page.tabs  # noqa: F401  imported before the first question, which waits for it
from cnnc.page.answers import Answers

# The text lies in a folder that is not there, so that it can use no file beside it.
_ANSWERS = Answers("/nowhere/net.cnn")


def reply(text: str) -> tuple[int, str]:
    """The answer to a question, as `cnnc.page.answers.Answers.reply`."""
    return _ANSWERS.reply(text)
