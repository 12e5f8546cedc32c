"""The line of the user's code in a stack trace that torch keeps with an operator."""

from __future__ import annotations

import linecache
import re

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in .*\n?\s*(.*)')
_TORCH = re.compile(r"[/\\]torch[/\\](nn|_|utils|fx|export)")


def line_of(trace: str) -> str:
    """The innermost line that is not torch's own.

    >>> line_of('File "/home/me/nets.py", line 7, in forward\\n    return self.c(x)\\n')
    'nets.py:7: return self.c(x)'
    """
    frames = [m for m in _FRAME.finditer(trace) if not _TORCH.search(m[1])]
    if not frames:
        return ""
    path, number, code = frames[-1].groups()
    short = path.replace("\\", "/").rpartition("/")[2]
    return f"{short}:{number}: {code.strip() or linecache.getline(path, int(number)).strip()}"
