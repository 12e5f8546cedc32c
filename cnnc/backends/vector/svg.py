"""A scene as SVG. Every text goes through the XML library: none of a spec's text is markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from cnnc.backends.vector.scene import Group, Item, Line, Point, Polygon, Scene, Text, number

FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
_NAMESPACE = "http://www.w3.org/2000/svg"
_HEAD = 4.0
"""The length of an arrow's head."""


def to_svg(scene: Scene) -> str:
    """The drawing as a standalone SVG file, the same bytes for the same scene.

    Characters that XML cannot hold are written as `·`.
    """
    width, height = number(scene.width), number(scene.height)
    root = ET.Element("svg", {
        "xmlns": _NAMESPACE, "width": f"{width}pt", "height": f"{height}pt",
        "viewBox": f"0 0 {width} {height}", "role": "img", "font-family": FONT,
    })  # fmt: skip
    ET.SubElement(root, "title").text = _legal(scene.title)
    ET.SubElement(root, "desc").text = _legal(scene.description)
    ET.SubElement(root, "rect", {"width": width, "height": height, "fill": scene.paper})
    for item in scene.items:
        _write(root, item)
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode") + "\n"


def _write(parent: ET.Element, item: Item) -> None:
    match item:
        case Group():
            _write_group(parent, item)
        case Polygon():
            ET.SubElement(parent, "polygon", _polygon(item))
        case Text():
            _write_text(parent, item)
        case Line():
            ET.SubElement(parent, "path", _line(item))
            if item.arrow:
                points = " ".join(map(_pair, head(item)))
                ET.SubElement(parent, "polygon", {"points": points, "fill": item.stroke})


def _write_group(parent: ET.Element, group: Group) -> None:
    attributes = {"class": group.role}
    attributes.update((f"data-{name}", _legal(value)) for name, value in group.data.items())
    inner = ET.SubElement(parent, "g", attributes)
    if group.title is not None:
        ET.SubElement(inner, "title").text = _legal(group.title)
    for item in group.items:
        _write(inner, item)


def _polygon(item: Polygon) -> dict[str, str]:
    attributes = {"points": " ".join(map(_pair, item.points)), "fill": item.fill or "none"}
    if item.fill is not None and item.opacity < 1:
        attributes["fill-opacity"] = number(item.opacity)
    if item.stroke is not None:
        attributes |= _stroke(item.stroke, item.width, item.dash)
        attributes["stroke-linejoin"] = "round"
    return attributes


def _line(item: Line) -> dict[str, str]:
    first, *rest = item.points
    steps = [f"C {' '.join(map(_pair, rest))}"] if item.curved else [f"L {_pair(point)}" for point in rest]
    path = " ".join([f"M {_pair(first)}", *steps])
    return {"d": path, "fill": "none", **_stroke(item.stroke, item.width, item.dash)}


def _stroke(colour: str, width: float, dash: tuple[float, ...]) -> dict[str, str]:
    attributes = {"stroke": colour, "stroke-width": number(width)}
    if dash:
        attributes["stroke-dasharray"] = " ".join(map(number, dash))
    return attributes


def _write_text(parent: ET.Element, item: Text) -> None:
    x, y = item.at
    attributes = {"x": number(x), "y": number(y), "font-size": number(item.size), "fill": item.colour}
    if item.anchor != "start":
        attributes["text-anchor"] = item.anchor
    if item.bold:
        attributes["font-weight"] = "bold"
    ET.SubElement(parent, "text", attributes).text = _legal(item.text)


def head(line: Line) -> tuple[Point, Point, Point]:
    """The arrow head at a line's end: a triangle along its last direction."""
    (x0, y0), (x1, y1) = line.points[-2:]
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 or 1.0
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    bx, by, half = x1 - _HEAD * ux, y1 - _HEAD * uy, _HEAD * 0.4
    return (x1, y1), (bx - half * uy, by + half * ux), (bx + half * uy, by - half * ux)


def _pair(point: Point) -> str:
    return f"{number(point[0])},{number(point[1])}"


def _legal(text: str) -> str:
    """Without characters that may not stand in XML even as references."""
    return "".join(ch if ch.isprintable() else "·" for ch in text)
