"""The pictures of the documentation: there, fresh, small, and fit for a column of A4."""

from __future__ import annotations

import importlib.util
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

import cnnc
from cnnc.backends.diagram import picture, render, to_dot

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"
COLUMN = 482
"""The text of an A4 page with margins of 2 cm, in points."""
SMALLEST = 7
"""Letters below so many points are hard to read on paper."""


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pictures", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


make = _maker()
every = pytest.mark.parametrize("name", make.NETS)


@every
def test_a_picture_is_fresh(name: str) -> None:
    assert make.kept_digests()[name] == make.digest(make.dot_of(name)), "stale: run `make pictures`"


def test_no_picture_is_left_over() -> None:
    assert list(make.kept_digests()) == list(make.NETS)
    assert sorted(path.stem for path in FOLDER.glob("*.svg")) == sorted(make.NETS)


def test_the_page_shows_every_picture() -> None:
    page = (FOLDER.parent / "pictures.md").read_text(encoding="utf8")
    assert set(re.findall(r"\(pictures/(\w+)\.svg\)", page)) == set(make.NETS)


@every
def test_a_picture_holds_what_its_dot_text_says(name: str) -> None:
    """The stored file, by whatever Graphviz it was made: the boxes and words of today's picture."""
    drawn = picture(cnnc.load(f"zoo:{name}").graph)
    root = ET.fromstring((FOLDER / f"{name}.svg").read_bytes())
    ids = {g.get("id") for g in root.iter(f"{SVG}g") if g.get("class") == "node"}
    assert {box.id for box in drawn.nodes} <= ids
    said = " ".join("".join(t.itertext()) for t in root.iter(f"{SVG}text"))
    for box in drawn.nodes:
        for text in filter(None, (box.title, box.count)):
            assert text in said


@every
def test_a_picture_is_small_and_readable_in_a_column(name: str) -> None:
    path = FOLDER / f"{name}.svg"
    assert path.stat().st_size < 50_000
    root = ET.fromstring(path.read_bytes())
    width = float((root.get("width") or "").removesuffix("pt"))
    letters = min(float(t.get("font-size") or 0) for t in root.iter(f"{SVG}text"))
    assert letters * min(1, COLUMN / width) >= SMALLEST


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "googlenet"])
def test_deep_networks_have_few_boxes(name: str) -> None:
    assert len(picture(cnnc.load(f"zoo:{name}").graph).nodes) < 35


Rectangle = tuple[float, float, float, float]


def _boxes(group: ET.Element) -> Rectangle:
    """What an SVG node's outline covers: left, top, right, bottom."""
    shape = next(e for e in group.iter() if e.tag in (f"{SVG}polygon", f"{SVG}path", f"{SVG}ellipse"))
    if shape.tag == f"{SVG}ellipse":
        x, y, rx, ry = (float(shape.get(key) or 0) for key in ("cx", "cy", "rx", "ry"))
        return x - rx, y - ry, x + rx, y + ry
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", shape.get("points") or shape.get("d") or "")]
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def _words(group: ET.Element, wide: float) -> list[Rectangle]:
    """What the texts of a group cover, by a letter's usual width."""
    found = []
    for text in group.iter(f"{SVG}text"):
        size, x, y = (float(text.get(key) or 0) for key in ("font-size", "x", "y"))
        width = wide * size * len("".join(text.itertext()).strip())
        left = x - {"middle": width / 2, "end": width}.get(text.get("text-anchor") or "start", 0)
        found.append((left, y - 0.7 * size, left + width, y))
    return found


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@every
def test_labels_do_not_overlap(name: str) -> None:
    """Drawn now, so that the layout of this machine's Graphviz is judged as well."""
    root = ET.fromstring(render(to_dot(cnnc.load(f"zoo:{name}").graph), "svg"))
    groups = {
        kind: [g for g in root.iter(f"{SVG}g") if g.get("class") == kind]
        for kind in ("node", "edge", "cluster")
    }
    boxes = [_boxes(g) for g in groups["node"]]
    arrows = [word for g in groups["edge"] for word in _words(g, 0.5)]
    headings = [word for g in groups["cluster"] for word in _words(g, 0.5)]
    for i, one in enumerate(arrows):
        assert not any(_overlap(one, other) for other in (*arrows[i + 1 :], *boxes, *headings)), one
    for i, one in enumerate(boxes):
        assert not any(_overlap(one, other) for other in (*boxes[i + 1 :], *headings)), one


@every
def test_no_arrow_runs_through_a_heading(name: str) -> None:
    root = ET.fromstring(render(to_dot(cnnc.load(f"zoo:{name}").graph), "svg"))
    headings = [w for g in root.iter(f"{SVG}g") if g.get("class") == "cluster" for w in _words(g, 0.5)]
    for group in root.iter(f"{SVG}g"):
        if group.get("class") == "edge":
            path = next(group.iter(f"{SVG}path")).get("d") or ""
            points = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", path)]
            for x, y in _along(points):
                assert not any(_overlap((x, y, x + 0.1, y + 0.1), word) for word in headings), (x, y)


def test_what_keeps_an_arrow_from_a_heading_stands_left_of_it_in_every_graphviz() -> None:
    """Graphviz 2.43 forgets the order of a flat edge of weight 0, and puts the pad on the right."""
    pads = re.findall(r"pad_\w+ -> \w+ \[(.*)\]", to_dot(cnnc.load("zoo:vgg16").graph).source)
    assert pads == ["style=invis weight=1"] * 2


def _along(points: list[float]) -> list[tuple[float, float]]:
    """Points on a path of cubic curves, twenty on each."""
    pairs = list(zip(points[::2], points[1::2], strict=True))
    found = []
    for i in range(0, len(pairs) - 3, 3):
        a, b, c, d = pairs[i : i + 4]
        for step in range(21):
            t = step / 20
            w = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            found.append(
                tuple(sum(k * p[axis] for k, p in zip(w, (a, b, c, d), strict=True)) for axis in (0, 1))
            )
    return [(x, y) for x, y in found]
