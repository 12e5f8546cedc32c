"""Wrapped diagrams: nothing is lost at a cut, arrows go on, and the sheet has about the shape that was asked for."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from graphs import graph_of

from cnnc.backends.diagram import picture, wrapped_svg
from cnnc.backends.diagram.picture import Picture
from cnnc.backends.diagram.sheet import aspect_of
from cnnc.backends.diagram.wrap import cuts_of, pieces_of
from cnnc.cli.commands import cnnc
from cnnc.net import load

SVG = "{http://www.w3.org/2000/svg}"
SLIDE = 16 / 9
NETS = ("resnet50", "unet", "densenet121")


@cache
def of(name: str) -> Picture:
    return picture(load(f"zoo:{name}").graph)


def evenly(drawn: Picture) -> dict[str, tuple[float, float]]:
    return {box.id: (40.0 * i, 40.0 * i + 20) for i, box in enumerate(drawn.nodes)}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("pieces", [2, 3])
def test_every_box_and_every_arrow_is_in_a_piece_or_between_two(name: str, pieces: int) -> None:
    drawn = of(name)
    cuts = cuts_of(drawn, evenly(drawn), pieces)
    assert cuts is not None and len(cuts) == pieces - 1
    parts = pieces_of(drawn, cuts)
    boxes = [box.id for part in parts for box in part.picture.nodes if box.kind not in ("bend", "link")]
    assert boxes == [box.id for box in drawn.nodes]
    # Each end of each arrow has the name of its box, or of what stands for it in its piece.
    sources, targets = {e.source for e in drawn.edges}, [e.target for e in drawn.edges]
    arriving = Counter(e.target for part in parts for e in part.picture.edges if e.target in set(targets))
    assert arriving == Counter(targets)
    assert sources <= {e.source for part in parts for e in part.picture.edges}
    for before, after in pairwise(parts):
        assert (before.leaves is None) == (after.enters is None)


def test_a_skip_over_a_cut_goes_on_at_its_letter() -> None:
    drawn = of("unet")
    first, second = pieces_of(drawn, cuts_of(drawn, evenly(drawn), 2) or ())
    begun = {e.target.removeprefix("to"): e.shape for e in first.picture.edges if e.target.startswith("to")}
    gone_on = {
        e.source.removeprefix("from1"): e.shape for e in second.picture.edges if e.source.startswith("from")
    }
    assert begun and begun == gone_on


def test_a_frame_of_several_turns_is_never_cut() -> None:
    drawn = of("densenet121")
    counted = {c.id for c in drawn.clusters if c.count}
    for pieces in range(2, 9):
        cuts = cuts_of(drawn, evenly(drawn), pieces)
        for part in pieces_of(drawn, cuts) if cuts else ():
            for frame in part.picture.clusters:
                assert frame.id not in counted or not frame.lines[0].startswith("…")


@pytest.mark.parametrize(
    ("name", "rankdir"),
    [("vgg16", "TB"), ("vgg16", "LR"), ("resnet50", "TB"), ("resnet50", "LR"), ("unet", "TB")],
)
def test_a_sheet_has_about_the_shape_of_a_slide(name: str, rankdir: str) -> None:
    drawn = of(name)
    root = ET.fromstring(wrapped_svg(drawn, SLIDE, rankdir=rankdir))  # type: ignore[arg-type]
    assert SLIDE / 1.4 < aspect_of(root) < SLIDE * 1.4  # text is as wide as the fonts that are there
    ids = [g.get("id") for g in root.iter() if g.get("id")]
    assert len(ids) == len(set(ids))
    assert {box.id for box in drawn.nodes} <= set(ids)
    said = " ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))
    assert all(edge.shape in said for edge in drawn.edges if not edge.quiet)


def test_the_arrow_between_columns_meets_both_its_ends() -> None:
    root = ET.fromstring(wrapped_svg(of("vgg16"), SLIDE))
    turns = [path.get("d") or "" for path in root.iter(f"{SVG}path") if path.get("class") == "turn"]
    columns = [g for g in root if g.tag == f"{SVG}g"][:-1]
    assert len(turns) == len(columns) - 1
    for turn, left, right in zip(turns, columns, columns[1:], strict=False):
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", turn)]
        for column, at in ((left, numbers[:2]), (right, numbers[-2:])):
            points = [
                (float(e.get("cx", "0")), float(e.get("cy", "0")))
                for g in column.iter(f"{SVG}g")
                if re.fullmatch(r"(in|out)\d+", g.get("id") or "")
                for e in g.iter(f"{SVG}ellipse")
            ]
            moves = [g.get("transform") or "" for g in (column, next(column.iter(f"{SVG}g")), *column)]
            shift = [
                list(map(float, re.findall(r"translate\(([-\d.]+)[ ,]+([-\d.]+)", move)[0]))
                for move in dict.fromkeys(moves)
            ]
            dx, dy = (sum(part) for part in zip(*shift, strict=True))
            assert any(abs(x + dx - at[0]) < 0.1 and abs(y + dy - at[1]) < 0.1 for x, y in points)


def test_what_cannot_be_cut_stays_whole() -> None:
    drawn = picture(graph_of("input 3x8x8\nconv3-4\n"))
    assert "turn" not in wrapped_svg(drawn, 0.1)


def test_the_text_of_a_spec_is_inert() -> None:
    text = 'input 3x8x8\n"<script>alert(1)</script>": conv3-4 -> "a -->]]>&": conv3-4 -> conv3-5 -> conv3-6\n'
    root = ET.fromstring(wrapped_svg(picture(graph_of(text)), 3.0))
    assert not list(root.iter(f"{SVG}script"))


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    done = CliRunner().invoke(cnnc, ["draw", "zoo:vgg16", "--aspect", "4:3", "-o", str(file)])
    assert done.exit_code == 0, done.output
    width, height = struct.unpack(">II", file.read_bytes()[16:24])
    assert 1 < width / height < 1.8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--aspect", "16x9"], "'16x9' is not width:height, such as 16:9 or 4:3"),
        (["--aspect", "0:9"], "'0:9' is not width:height"),
        (["--wrap", "-o", "a.dot"], "--wrap is for svg, png and pdf"),
        (["--wrap", "--style", "table"], "--wrap is for diagrams, not for --style table"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(options: list[str], said: str) -> None:
    done = CliRunner().invoke(cnnc, ["draw", "zoo:vgg16", *options])
    assert done.exit_code == 2
    assert said in done.output


def test_from_python_a_text_is_not_wrapped() -> None:
    with pytest.raises(ValueError, match="a diagram is wrapped as svg, png or pdf, not as dot"):
        load("zoo:lenet5").draw("dot", aspect=2.0)
