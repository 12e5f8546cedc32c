"""Draws the pictures of docs/pictures.md: `make pictures`.

A picture's SVG depends on the Graphviz and the fonts of the machine, its DOT text on the
spec and on cnnc alone. So `digests.txt` keeps the digest of each DOT text, by which a
test sees that a picture is stale.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cnnc
from cnnc.backends.diagram import render, to_dot

FOLDER = Path(__file__).parent
DIGESTS = FOLDER / "digests.txt"
NETS = ("vgg16", "resnet50", "googlenet", "densenet121", "unet", "shufflenet_g3", "two_stream")


def dot_of(name: str) -> str:
    """The DOT text of a network of the zoo, as `cnnc draw zoo:NAME` has it."""
    return to_dot(cnnc.load(f"zoo:{name}").graph).source


def digest(text: str) -> str:
    """The SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def kept_digests() -> dict[str, str]:
    """The digests of the DOT texts that the pictures were drawn from, by network."""
    lines = (line.split() for line in DIGESTS.read_text(encoding="utf8").splitlines())
    return {name: number for number, name in lines}


def main() -> None:
    """Draw every picture, and keep the digests beside them."""
    lines = []
    for name in NETS:
        text = dot_of(name)
        (FOLDER / f"{name}.svg").write_bytes(render(text, "svg"))
        lines.append(f"{digest(text)}  {name}\n")
    DIGESTS.write_text("".join(lines), encoding="utf8")


if __name__ == "__main__":
    main()
