"""docs/design.md names every file, so that the room of any line can be found; and no file that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import cnnc

PACKAGE = Path(cnnc.__file__).parent
PAGE = Path(__file__).parent.parent / "docs" / "design.md"
FAMILIES = ("emitters", "helpers")
"""Folders of one file a family, named as folders."""


def rows() -> dict[str, set[str]]:
    """The files that the map names, by room."""
    table = PAGE.read_text(encoding="utf8").partition("## The map")[2].partition("## Contracts")[0]
    found: dict[str, set[str]] = {}
    for line in table.splitlines():
        cells = line.split(" | ")
        if len(cells) == 3 and not cells[0].startswith(("| room", "|---")):
            room = re.sub(r"[|` ]|, analyses|^\\| the face", "", cells[0])
            names = {
                name for name in re.findall(r"`([^`]+)`", cells[2]) if "." not in name and "/" not in name
            }
            found.setdefault("" if room == "theface" else room, set()).update(names)
    return found


def test_the_map_names_every_file_and_no_other() -> None:
    there: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.parent.relative_to(PACKAGE).as_posix()
        if path.name != "__init__.py" and not set(FAMILIES) & set(path.parts):
            there.setdefault("" if room == "." else room, set()).add(path.stem)
    assert rows() == there


def test_every_file_says_first_what_it_is_for() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf8")
        assert text.startswith(('"""', "#!")), path
