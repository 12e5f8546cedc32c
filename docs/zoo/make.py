"""Writes docs/zoo.md and the pictures in docs/zoo/: `make zoo`.

A picture is drawn anew where its DOT text has changed, and not because another
version of Graphviz lays it out differently: docs/zoo/digests.json keeps the DOT
texts' digests, and the tests hold those and the page against the specs.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cnnc.backends.diagram import render, to_dot
from cnnc.zoo import Entry, entries

PICTURES = Path(__file__).parent
PAGE = PICTURES.parent / "zoo.md"
DIGESTS = PICTURES / "digests.json"

_HEAD = """\
# The zoo

The {count} networks that ship with `cnnc`, by year. Each is a spec, to be used as `zoo:NAME` wherever a spec is; its
claims about parameters, multiply-adds, shapes and receptive fields are checked by `cnnc check zoo:NAME`.

`cnnc zoo` prints this table, `cnnc zoo vgg16` one spec, and `cnnc zoo vgg16 --copy FOLDER` copies it with the files
that it uses. Layers that are alike are drawn once, with how often they follow each other.

A new one is a file in `cnnc/specs` that begins `# Title (Authors 1998, place): idea.`, with a second comment below;
`make zoo` writes this page.

| network | paper | parameters | MACs | input | picture |
|---|---|--:|--:|---|---|
"""


def by_year() -> list[Entry]:
    """All networks, the oldest first."""
    return sorted(entries(), key=lambda entry: (entry.head.year, entry.name))


def page() -> str:
    """The text of docs/zoo.md."""
    found = by_year()
    return _HEAD.format(count=len(found)) + "".join(map(_row, found))


def _row(entry: Entry) -> str:
    head, net = entry.head, entry.net
    spec = f"[`{entry.name}`](../cnnc/specs/{entry.name}.cnn)"
    idea = f"{head.title}: {head.idea}".replace("|", "\\|")
    picture = (
        f'<a href="zoo/{entry.name}.svg"><img src="zoo/{entry.name}.svg" alt="{entry.name}" width="260"></a>'
    )
    sizes = entry.size.replace(", ", "<br>")
    return f"| {spec}<br>{idea} | {entry.paper} | {net.params:,} | {net.macs:,} | {sizes} | {picture} |\n"


def dots() -> dict[str, str]:
    """The DOT text of every network's picture, by name."""
    return {entry.name: to_dot(entry.net.graph, rankdir="LR").source for entry in entries()}


def digest(dot: str) -> str:
    """What stands for a DOT text in docs/zoo/digests.json."""
    return hashlib.sha256(dot.encode("utf8")).hexdigest()[:16]


def main() -> None:
    """Bring the page and the pictures up to date, and take away those of networks that are gone."""
    known = json.loads(DIGESTS.read_text(encoding="utf8")) if DIGESTS.exists() else {}
    wanted = dots()
    for name, dot in wanted.items():
        path = PICTURES / f"{name}.svg"
        if known.get(name) != digest(dot) or not path.exists():
            path.write_bytes(render(dot, "svg"))
    for path in PICTURES.glob("*.svg"):
        if path.stem not in wanted:
            path.unlink()
    record = {name: digest(dot) for name, dot in wanted.items()}
    DIGESTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    PAGE.write_text(page(), encoding="utf8")


if __name__ == "__main__":
    main()
