"""The numbers of a trail in words: a headline, a table of the maps, and what the numbers mean."""

from __future__ import annotations

from math import fsum

from cnnc.backends.diagram.words import cut
from cnnc.backends.rf_picture.planes import SMALL, Look, region_text, size_text
from cnnc.backends.rf_picture.trail import Step, Trail
from cnnc.backends.vector.scene import Group, Item, Line, Polygon, Text, text_width, wrapped

_ROW = 9.0
_HEAD = ("map", "layer", "size", "of it, the unit sees", "one position sees of the input")

CONVENTION = (
    "Exact, by the layers' kernels, strides, padding and dilation: the hull over all branches, padding included "
    "and not clipped at the border; statistics of norms are ignored. Positions count from 0."
)


def headline(trail: Trail, look: Look) -> list[Item]:
    """What is drawn, and how large the field is."""
    source = trail.steps[0]
    unit = (
        f"unit ({', '.join(map(str, trail.position))}) of {cut(trail.name)}"
        if trail.position
        else cut(trail.name)
    )
    size = "\N{MULTIPLICATION SIGN}".join(map(str, source.sizes))
    seen = f"the whole input of {size}" if trail.whole_by else f"{size_text(source.seen)} of {size}"
    if not trail.whole_by and any(
        span is not None and (span[0] < 0 or span[1] >= n)
        for span, n in zip(source.seen, source.sizes, strict=True)
    ):
        seen = f"{size_text(source.seen)}, beyond the border of {size}"
    text = f"{cut(trail.model)}: what {unit} sees: {seen}"
    return [Text((0, 0), text, look.theme.ink, SMALL + 2, "start", bold=True)]


def table(trail: Trail, look: Look) -> list[Item]:
    """A row for each map, the unit's first, as the field grows on the way back."""
    rows = [_HEAD, *(_cells(step) for step in reversed(trail.steps))]
    widths = [max(text_width(row[i], SMALL, bold=row is _HEAD) for row in rows) for i in range(len(_HEAD))]
    items: list[Item] = []
    total = 14 + fsum(widths) + 9 * (len(widths) - 1)
    number = len(trail.steps)
    for place, row in enumerate(rows):
        y = place * _ROW
        x = 14.0
        texts: list[Item] = []
        for cell, width in zip(row, widths, strict=True):
            if cell:
                texts.append(Text((x, y), cell, look.theme.ink, SMALL, "start", bold=place == 0))
            x += width + 9
        if place == 0:
            items += [*texts, Line(((0, y + 2.6), (total, y + 2.6)), look.theme.faint, 0.5)]
            continue
        shade = look.unit if place == 1 else look.shade(number - place, number)
        square = ((2, y - 5), (8, y - 5), (8, y + 1), (2, y + 1))
        items.append(Group("row", (Polygon(square, shade), *texts)))
    return items


def _cells(step: Step) -> tuple[str, ...]:
    size = "\N{MULTIPLICATION SIGN}".join(map(str, (step.channels, *step.sizes)))
    seen = "all of it" if step.whole else size_text(step.seen)
    seen += "" if step.whole or not step.sizes else f": {region_text(step.seen)}"
    field = "itself" if step.word == "input" else size_text(step.field)
    return cut(step.name), step.word, size, seen, field


def _concentric(trail: Trail) -> bool:
    """Whether the fields of all maps on the way have the same middle."""
    fields = [step.field for step in trail.steps[1:]]
    known = [field for field in fields if not any(interval is None for interval in field)]
    return len({tuple(sum(interval) for interval in field if interval) for field in known}) <= 1


def caption(trail: Trail, look: Look, width: float) -> list[Item]:
    """What the numbers mean, and what is special here."""
    notes = []
    if trail.whole_by is not None:
        notes.append(f"From {cut(trail.whole_by)} on, a unit sees all that flows in, and so the whole input.")
    if any(least != most for least, most in trail.spread):
        sizes = ", ".join(
            str(most) if least == most else f"{least} to {most}" for least, most in trail.spread
        )
        notes.append(f"After up-sampling the field's size depends on the position: {sizes} by axis.")
    if trail.gated:
        notes.append("By a gate it sees the whole input; drawn is the field without the gate.")
    if any(n % 2 == 0 for n in trail.steps[-1].sizes) and trail.centred:
        notes.append("The map has no middle unit: shown is the last of those around its middle.")
    elif not _concentric(trail):
        notes.append(
            "Frames lie to one side where a map has an even size: the field of the last of its middle positions is shown."
        )
    if trail.branches:
        notes.append("Where branches meet, the maps shown are those of the branch that sees most.")
    if trail.layers > len(trail.steps):
        notes.append(f"{trail.layers - len(trail.steps)} of {trail.layers} maps on the way are left out.")
    items: list[Item] = []
    for i, line in enumerate(wrapped(" ".join([*notes, CONVENTION]), max(width, 300), SMALL)):
        items.append(Text((0, i * 8.4), line, look.theme.faint, SMALL, "start"))
    return items
