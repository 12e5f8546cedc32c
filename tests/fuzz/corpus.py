"""What fuzzing starts from: every spec that ships or is tested, and every error case."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from pathlib import Path
from runpy import run_path

ROOT = Path(__file__).parent.parent.parent
MAX_SEED = 1_500
"""Characters of a seed. Longer specs are seeds in pieces: what is short is tried more often."""

_SECTION = re.compile(r"^---- (?P<name>\S+)(?: \((?P<mark>\w+)\))?\n", re.MULTILINE)


@lru_cache(maxsize=1)
def specs() -> tuple[str, ...]:
    """The specs that are meant to be right, each once, in a fixed order; long ones in pieces."""
    found: dict[str, None] = {}
    for folder in ("cnnc/specs", "examples", "tests/cases", "tests/specs_std"):
        for path in sorted((ROOT / folder).rglob("*.cnn")):
            found.update(dict.fromkeys(_pieces(path.read_text(encoding="utf8"))))
    forms = run_path(str(ROOT / "tests" / "language_2.py"))
    for some in forms["FORMS"].values():
        found.update(dict.fromkeys(map(forms["text_of"], some)))
    return tuple(found)


@lru_cache(maxsize=1)
def mistakes() -> tuple[str, ...]:
    """The specs of the error cases."""
    found: dict[str, None] = {}
    for path in sorted((ROOT / "tests" / "cases").rglob("*.case")):
        for text in specs_of_case(path.read_text(encoding="utf8")):
            found.update(dict.fromkeys(_pieces(text)))
    return tuple(found)


def specs_of_case(text: str) -> list[str]:
    """The specs in an error case, those written in hexadecimal or with escapes included."""
    head = text.partition("---- output\n")[0]
    parts = _SECTION.split(head)[1:]
    found = []
    for name, mark, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if mark == "escaped":
            found.append(codecs.decode(body.removesuffix("\n"), "unicode_escape"))
        elif mark is None and (name.endswith(".cnn") or name == "stdin"):
            found.append(body)
    return found


def _pieces(text: str) -> list[str]:
    """A text in pieces of at most MAX_SEED characters, cut at empty lines or line ends."""
    pieces, current = [], ""
    for line in text.splitlines(keepends=True):
        if current and len(current) + len(line) > MAX_SEED:
            pieces.append(current)
            current = ""
        current += line[:MAX_SEED]
    return [*pieces, current] if current.strip() else pieces
