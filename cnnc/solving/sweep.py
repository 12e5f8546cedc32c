"""A table of figures over a grid of params, and the points that no other beats."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from cnnc.compiler.bounds import Number, spelled
from cnnc.compiler.expect import plain
from cnnc.dsl.record import record
from cnnc.solving.evaluate import Evaluator, parse_figure, parse_where
from cnnc.solving.solution import ALWAYS, FORMAT, Progress, Setting, number

FRONT = ("macs", "params")
"""What the front is of: as little as can be of the first, as much as can be of the second."""


@record
class Line:
    """One point: its params, its figures (none where it cannot be built: then `problem`), whether it meets the wishes, and
    whether no other point has less of the front's first figure and as much of its second."""

    params: tuple[Number, ...]
    figures: tuple[Number, ...]
    meets: bool
    on_front: bool
    problem: str = ""


@record
class Sweep:
    """The points of a grid in order. `names` are the params, `figures` the columns, `front` the two figures it is of."""

    model: str
    names: tuple[str, ...]
    figures: tuple[str, ...]
    front: tuple[str, str]
    lines: tuple[Line, ...]

    def text(self, width: int = 60, height: int = 12) -> str:
        """The table, and the front drawn: `*` is on it, `o` is not."""
        head = [*self.names, *self.figures, ""]
        rows = [
            [
                *map(spelled, line.params),
                *(map(plain, line.figures) if line.figures else [line.problem]),
                ("*" if line.on_front else "") if line.meets or not line.figures else "does not fit",
            ]
            for line in self.lines
        ]
        widths = [
            max([len(head[i]), *(len(row[i]) for row in rows if len(row) > i and len(row) == len(head))])
            for i in range(len(head))
        ]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(head, widths, strict=True)).rstrip()]
        lines += [
            "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=False)).rstrip() for row in rows
        ]
        return "\n".join([*lines, "", *self.drawn(width, height)])

    def drawn(self, width: int, height: int) -> list[str]:
        """The points by the front's two figures."""
        x, y = (self.figures.index(name) for name in self.front)
        shown = [line for line in self.lines if line.figures and line.meets]
        if not shown:
            return ["no point meets the conditions"]
        xs, ys = [float(line.figures[x]) for line in shown], [float(line.figures[y]) for line in shown]
        cells = [[" "] * width for _ in range(height)]
        for line, a, b in sorted(zip(shown, xs, ys, strict=True), key=lambda item: item[0].on_front):
            column = round((a - min(xs)) / ((max(xs) - min(xs)) or 1) * (width - 1))
            row = round((b - min(ys)) / ((max(ys) - min(ys)) or 1) * (height - 1))
            cells[height - 1 - row][column] = "*" if line.on_front else "o"
        top, bottom = f"{max(ys):,.0f}", f"{min(ys):,.0f}"
        margin = max(len(top), len(bottom), len(self.front[1]))
        labels = [top, *[""] * (height - 2), bottom]
        lines = [f"{self.front[1]:>{margin}}"]
        lines += [
            f"{label:>{margin}} |{''.join(row)}".rstrip() for label, row in zip(labels, cells, strict=True)
        ]
        lines.append(f"{'':>{margin}} +{'-' * width}")
        left, right = f"{min(xs):,.0f}", f"{max(xs):,.0f} {self.front[0]}"
        lines.append(f"{'':>{margin}}  {left}{right:>{max(1, width - len(left))}}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The record of `cnnc solve --sweep … --json`."""
        return {
            "format": FORMAT, "model": self.model, "front": list(self.front),
            "points": [
                {
                    "params": {n: number(v) for n, v in zip(self.names, line.params, strict=True)},
                    "figures": {n: number(v) for n, v in zip(self.figures, line.figures, strict=False)},
                    "meets": line.meets, "on_front": line.on_front, "problem": line.problem or None,
                }
                for line in self.lines
            ],
        }  # fmt: skip

    def to_csv(self) -> str:
        """The table as comma-separated values."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*self.names, *self.figures, "meets", "on_front", "problem"])
        for line in self.lines:
            figures: list[object] = [number(v) for v in line.figures] or [""] * len(self.figures)
            marks = ["yes" if line.meets else "no", "yes" if line.on_front else "no", line.problem]
            writer.writerow([*(number(v) for v in line.params), *figures, *marks])
        return out.getvalue()


def swept(
    setting: Setting, where: Sequence[str] = (), *, front: tuple[str, str] = FRONT,
    progress: Progress = lambda count: None,
) -> Sweep:  # fmt: skip
    """The figures at every point of the space. Raises CnncError for a wish or figure that says nothing."""
    wishes = parse_where(where)
    names = list(dict.fromkeys([*ALWAYS, *front]))
    evaluator = Evaluator(
        setting.syntax, setting.space, [parse_figure(name) for name in names], wishes, options=setting.options,
        progress=progress,
    )  # fmt: skip
    points = [(point, evaluator.at(point)) for point in setting.space.points()]
    texts = [wish.figure.span.text for wish in wishes]
    columns = list(dict.fromkeys([*names, *texts]))
    at = [[*names, *texts].index(name) for name in columns]
    x, y = (names.index(name) for name in front)
    fitting = [(f.figures[x], f.figures[y]) for _, f in points if f.is_built and all(f.holds)]
    lines = []
    for point, found in points:
        meets = found.is_built and all(found.holds)
        beaten = meets and any(
            a <= found.figures[x] and b >= found.figures[y] and (a, b) != (found.figures[x], found.figures[y])
            for a, b in fitting
        )
        lines.append(Line(
            params=tuple(setting.space.params(point).values()),
            figures=tuple(found.figures[i] for i in at) if found.is_built else (),
            meets=meets, on_front=meets and not beaten, problem=found.problem.message if found.problem else "",
        ))  # fmt: skip
    return Sweep(
        model=setting.model, names=tuple(axis.name for axis in setting.space.axes), figures=tuple(columns),
        front=front, lines=tuple(lines),
    )  # fmt: skip
