"""The page's questions where it has no server: Python runs in the browser, and no file is there but the zoo's."""

from __future__ import annotations

import cnnc.page.tabs  # noqa: F401  imported before the first question, which waits for it
from cnnc.page.answers import Answers

# In the browser's memory; what lies there is what a link brought along.
_ANSWERS = Answers("/page/net.cnn", takes_files=True)


def reply(text: str) -> tuple[int, str]:
    """The answer to a question, as `cnnc.page.answers.Answers.reply`."""
    return _ANSWERS.reply(text)
