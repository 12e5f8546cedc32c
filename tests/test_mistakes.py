"""What people who know another tool type first: the message names what to write, and what it names compiles.

The list in data/mistakes.txt was written from README.md and docs/language.md, without a look at the table of foreign
forms. Mistakes whose message does not name the fix yet are in KNOWN; their number may only fall.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

import cnnc

KNOWN: frozenset[str] = frozenset()
"""Mistakes that are refused with a message that does not name the fix."""


class Mistake(NamedTuple):
    name: str
    wrong: str
    named: tuple[str, ...]
    right: str


def _mistakes() -> list[Mistake]:
    text = (Path(__file__).parent / "data" / "mistakes.txt").read_text(encoding="utf8")
    found = []
    for entry in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        match = re.fullmatch(r"(.+?)\n(.+)\n--- (.+?)\n(.+?)\s*", entry, re.DOTALL)
        assert match is not None, entry
        name, wrong, named, right = match.groups()
        found.append(Mistake(name, _whole(wrong), tuple(named.split(" & ")), _whole(right)))
    return found


def _whole(text: str) -> str:
    return f"{text}\n" if "input" in text.lower() else f"input 3x32x32\n{text}\n"


MISTAKES = _mistakes()


def _hints(text: str) -> list[str | None]:
    """The hints of what is refused, or else of what is warned of."""
    try:
        net = cnnc.parse(text)
        net.check()
    except cnnc.CnncError as error:
        return [problem.hint for problem in error.diagnostics]
    return [note.hint for note in net.warnings]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_the_message_names_the_fix(mistake: Mistake) -> None:
    hints = _hints(mistake.wrong)
    assert hints, "neither refused nor warned of"
    said = "\n".join(hint or "" for hint in hints)
    assert all(part in said for part in mistake.named) != (mistake.name in KNOWN), said


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_the_fix_compiles(mistake: Mistake) -> None:
    net = cnnc.parse(mistake.right)
    net.check()
    assert net.outputs


def test_all_but_the_known_name_the_fix() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 190
    assert {mistake.name for mistake in MISTAKES} >= KNOWN
    assert len(KNOWN) <= 0  # only ever lower this number
