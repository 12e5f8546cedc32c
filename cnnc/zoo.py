"""The networks that ship with cnnc: who wrote of them, what they cost, and the files that they are made of.

A spec of the zoo begins with two comment lines. The first names the network, its
paper and its idea in one form:

    # VGG-16 (Simonyan and Zisserman 2014, configuration D): nothing but 3x3 convolutions.
    # Two see as far as one 5x5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cnnc.dsl import syntax as s
from cnnc.dsl.data import specs
from cnnc.dsl.parse import parse
from cnnc.dsl.read import read_source
from cnnc.given import ZOO, resolve
from cnnc.net import Net, load

SPECS = specs()

_HEAD = re.compile(
    r"# (?P<title>[^:]+?) \((?P<authors>[^()]*[^() \d,;]) (?P<year>(?:19|20)\d\d)(?:[,;] (?P<place>[^()]+))?\)"
    r": (?P<idea>\S.*\.)"
)


@dataclass(frozen=True, slots=True)
class Head:
    """What the first two lines of a spec say. `place` is where in the paper, or whose version; it may be empty."""

    title: str
    authors: str
    year: int
    place: str
    idea: str
    more: str


def head_of(text: str) -> Head:
    """The head of a spec's text. Raises ValueError where its first two lines have another form.

    >>> head = head_of("# LeNet-5 (LeCun et al. 1998, Figure 2): learnt features.\\n# Of digits.\\nmodel lenet5")
    >>> head.title, head.authors, head.year, head.place
    ('LeNet-5', 'LeCun et al.', 1998, 'Figure 2')
    """
    first, second = [*text.splitlines(), "", ""][:2]
    match = _HEAD.fullmatch(first)
    if match is None:
        raise ValueError(f"{first!r} is not of the form `# Title (Authors 1998, place): idea.`")
    if not second.startswith("# ") or not second.endswith("."):
        raise ValueError(f"{second!r} is not a comment of a sentence")
    return Head(
        match["title"], match["authors"], int(match["year"]), match["place"] or "", match["idea"],
        second.removeprefix("# "),
    )  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A network of the zoo. Its figures are worked out when they are asked for."""

    name: str

    @property
    def path(self) -> Path:
        return Path(resolve(f"{ZOO}{self.name}"))

    @cached_property
    def text(self) -> str:
        """The spec as it is written."""
        return read_source(self.path).text

    @cached_property
    def head(self) -> Head:
        return head_of(self.text)

    @cached_property
    def net(self) -> Net:
        return load(self.path)

    @property
    def paper(self) -> str:
        """Authors and year: `LeCun et al. 1998`."""
        return f"{self.head.authors} {self.head.year}"

    @property
    def size(self) -> str:
        """The input's size, `3x224x224`; several with their names."""
        return ", ".join(_sizes(self.net.inputs))

    def to_dict(self) -> dict[str, Any]:
        """The record of `cnnc zoo --json`."""
        head, net = self.head, self.net
        return {
            "name": self.name, "title": head.title, "authors": head.authors, "year": head.year,
            "place": head.place, "idea": head.idea,
            "params": net.params, "macs": net.macs, "depth": net.depth,
            "inputs": {name: list(shape) for name, shape in net.inputs.items()},
            "outputs": {name: list(shape) for name, shape in net.outputs.items()},
        }  # fmt: skip


def _sizes(inputs: dict[str, tuple[int, ...]]) -> list[str]:
    sizes = {name: "x".join(map(str, shape)) for name, shape in inputs.items()}
    return list(sizes.values()) if len(sizes) == 1 else [f"{name} {size}" for name, size in sizes.items()]


def entries() -> tuple[Entry, ...]:
    """Every network that ships, by name.

    >>> [entry.name for entry in entries() if entry.head.year == 1998]
    ['lenet5', 'lenet5_1998']
    """
    return tuple(Entry(path.stem) for path in sorted(SPECS.glob("*.cnn")))


def entry(name: str) -> Entry:
    """The network of a name, with or without `zoo:`. Raises CnncError (E701) where there is none."""
    found = Entry(name.removeprefix(ZOO))
    resolve(f"{ZOO}{found.name}")
    return found


def files_of(name: str) -> dict[str, str]:
    """The spec of a name and all files that it uses, by their paths in the zoo; std ships with cnnc and is not one.

    >>> list(files_of("vgg19"))
    ['vgg19.cnn', 'blocks/vgg.cnn']
    """
    found: dict[str, str] = {}
    waiting = [entry(name).path]
    while waiting:
        path = waiting.pop(0).resolve()
        key = path.relative_to(SPECS.resolve()).as_posix()
        if key in found:
            continue
        source = read_source(path)
        found[key] = source.text
        used = [
            st
            for st in parse(source).statements
            if isinstance(st, s.Use) and st.is_file and not st.origin.startswith(ZOO)
        ]
        waiting += [path.parent / use.origin for use in used]
    return found
