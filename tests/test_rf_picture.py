"""The picture of what one unit sees: exact numbers, planes and fields, and what cannot be drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations, pairwise
from math import prod
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from graphs import graph_of
from reruns import printed_under_seeds

from cnnc.backends import rf_picture
from cnnc.backends.rf_picture import Trail, trail_of
from cnnc.backends.rf_picture.planes import MOST_PLANES, chosen, is_fine, region_text, size_text
from cnnc.backends.rf_picture.trail import MOST_STEPS
from cnnc.backends.vector import Polygon, Scene, Text
from cnnc.backends.vector.scene import Group, bounds, every
from cnnc.cli.commands import cnnc
from cnnc.compiler.receptive_field import receptive_field
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.net import load

SVG = "{http://www.w3.org/2000/svg}"
STACK = "input 3x32x32\na: conv3-8\nb: conv3-8\nc: conv3-8"
DRAWN = (
    ("vgg16", "features", None), ("vgg16", "features.9", (0, 55)), ("vgg16", "classifier", None),
    ("googlenet", "inception_3b", None), ("googlenet", "inception_5b", (0, 6)), ("googlenet", "loss3", None),
    ("unet", "conv1", None), ("unet", "conv1", (10, 11)), ("resnet50", "layer3", None),
    ("two_stream", "temporal.conv2", None), ("lenet5", "C5", None), ("densenet121", "features", None),
)  # fmt: skip


def trail(name: str, label: str, position: tuple[int, ...] | None = None) -> Trail:
    return trail_of(load(f"zoo:{name}").graph, label, position)


def texts(scene: Scene) -> list[str]:
    return [item.text for item in every(scene.items) if isinstance(item, Text)]


def sizes(trail: Trail) -> list[str]:
    return [size_text(step.seen) for step in trail.steps]


# --- the numbers -------------------------------------------------------------------------


def test_three_3x3_see_as_far_as_one_7x7() -> None:
    found = trail_of(graph_of(STACK), "c", (16, 16))
    assert [step.name for step in found.steps] == ["input", "a", "b", "c"]
    assert sizes(found) == ["7×7", "5×5", "3×3", "1×1"]
    assert [step.seen for step in found.steps] == [
        ((r, s), (r, s)) for r, s in ((13, 19), (14, 18), (15, 17), (16, 16))
    ]
    assert [size_text(step.field) for step in found.steps] == ["1×1", "3×3", "5×5", "7×7"]


def test_vgg16_grows_to_212() -> None:
    """The fields of VGG-16's layers: 3, 5, 6, 10, 14, 16, … 212."""
    found = trail("vgg16", "features")
    fields = [step.field[0][1] - step.field[0][0] + 1 for step in found.steps if step.field[0] is not None]
    assert fields == [1, 3, 5, 6, 10, 14, 16, 24, 32, 40, 44, 60, 76, 92, 100, 132, 164, 196, 212]
    assert sizes(found)[0] == "212×212"
    assert found.position == (3, 3)


@pytest.mark.parametrize(("name", "label", "position"), DRAWN)
def test_regions_are_those_of_the_analysis(name: str, label: str, position: tuple[int, ...] | None) -> None:
    graph = load(f"zoo:{name}").graph
    found = trail_of(graph, label, position)
    unit = graph.labels[label]
    for step in found.steps[:-1]:
        field = receptive_field(graph, unit, step.node)
        assert field is not None
        where = found.position if not field.whole else (0,) * len(field.axes)
        assert step.seen == tuple(axis.at(i) for axis, i in zip(field.axes, where, strict=True))
    assert found.steps[-1].seen == tuple((i, i) for i in found.position)


@pytest.mark.parametrize(("name", "label", "position"), DRAWN)
def test_a_region_never_shrinks_on_the_way_back(
    name: str, label: str, position: tuple[int, ...] | None
) -> None:
    """Between maps of one size: what is seen of the earlier one holds what is seen of the later one."""
    for later, earlier in pairwise(reversed(trail(name, label, position).steps)):
        if later.sizes == earlier.sizes and not earlier.whole:
            for inner, outer in zip(later.seen, earlier.seen, strict=True):
                assert inner is not None and outer is not None
                assert outer[0] <= inner[0] and inner[1] <= outer[1]


def test_unet_depends_on_the_phase() -> None:
    found = trail("unet", "conv1", (194, 194))
    assert found.spread == ((188, 204), (188, 204))
    least, most = (size_text(trail("unet", "conv1", (i, i)).steps[0].seen) for i in (194, 202))
    assert {least, most} <= {f"{n}×{n}" for n in range(188, 205)}
    notes = " ".join(texts(rf_picture.scene(load("zoo:unet").graph, "conv1")))
    assert "depends on the position: 188 to 204, 188 to 204 by axis." in notes


def test_branches_are_followed_where_most_is_seen() -> None:
    found = trail("googlenet", "inception_3a")
    assert found.branches
    assert found.steps[-1].word == "concat"
    assert "inception_3a.conv5x5" in [step.name for step in found.steps]
    assert not any("conv1x1" in step.name for step in found.steps)


def test_the_whole_input_is_said_and_by_which_layer() -> None:
    found = trail("vgg16", "classifier")
    assert found.whole_by == "classifier.0"
    assert [step.whole for step in found.steps] == [True] * (len(found.steps) - 1) + [False]
    scene = rf_picture.scene(load("zoo:vgg16").graph, "classifier")
    assert "vgg16: what classifier sees: the whole input of 224×224" in texts(scene)
    assert any(
        text.startswith("From classifier.0 on, a unit sees all that flows in") for text in texts(scene)
    )


def test_a_gate_is_told_and_drawn_without() -> None:
    text = "input 3x32x32\nconv3-8\ng: [id & gap -> conv1-4 -> conv1-8(act=sigmoid)]\nconv3-8"
    graph = graph_of(text)
    found = trail_of(graph, "conv2", (10, 10))
    assert found.gated and found.whole_by is None
    assert sizes(found)[0] == "5×5"
    assert "By a gate it sees the whole input; drawn is the field without the gate." in " ".join(
        texts(rf_picture.scene(graph, "conv2", (10, 10)))
    )


def test_a_deep_net_tells_the_maps_where_the_size_changes() -> None:
    found = trail("resnet152", "layer4")
    assert len(found.steps) == MOST_STEPS < found.layers
    assert {step.sizes for step in found.steps} == {(n, n) for n in (224, 112, 56, 28, 14, 7)}
    left_out = found.layers - MOST_STEPS
    caption = " ".join(texts(rf_picture.scene(load("zoo:resnet152").graph, "layer4")))
    assert f"{left_out} of {found.layers} maps on the way are left out." in caption


def test_regions_in_words() -> None:
    assert region_text(((3, 5), (-1, -1))) == "rows 3..5, column -1"
    assert region_text(((0, 9),)) == "positions 0..9"
    assert region_text(((0, 1), (2, 3), (4, 4))) == "frames 0..1, rows 2..3, column 4"
    assert region_text(((0, 1), None)) == "nothing"
    assert (size_text(()), size_text(((2, 4), None))) == ("1", "3×0")


# --- the drawing -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "label", "position"), DRAWN)
def test_planes_fields_and_rows_stand_clear_of_each_other(
    name: str, label: str, position: tuple[int, ...] | None
) -> None:
    graph = load(f"zoo:{name}").graph
    found = trail_of(graph, label, position)
    scene = rf_picture.scene(graph, label, position)
    written = [item for item in every(scene.items) if isinstance(item, Text)]
    over = [(a.text, b.text) for a, b in combinations(written, 2) if bounds(a).overlaps(bounds(b))]
    assert over == []
    planes = [bounds(i) for g in groups(scene, "plane") for i in every(g.items) if isinstance(i, Polygon)]
    struck = [text.text for text in written if any(bounds(text).overlaps(plane) for plane in planes)]
    assert struck == []
    assert scene.width < 600
    assert len(groups(scene, "plane")) == len(chosen(found)) <= MOST_PLANES
    assert len(groups(scene, "row")) == len(found.steps)
    assert len(groups(scene, "field")) == sum(None not in step.field for step in found.steps[1:])


def groups(scene: Scene, role: str) -> list[Group]:
    return [item for item in scene.items if isinstance(item, Group) and item.role == role]


def test_fields_over_the_input_grow_with_the_layers() -> None:
    scene = rf_picture.scene(graph_of(STACK), "c")
    areas = []
    for group in groups(scene, "field"):
        box = bounds(next(i for i in every(group.items)))
        areas.append((box.right - box.left) * (box.bottom - box.top))
    assert [round(area / areas[-1] * 9) for area in areas] == [49, 25, 9]


def test_a_small_field_is_drawn_cell_by_cell_and_a_large_one_to_scale() -> None:
    assert is_fine(trail_of(graph_of(STACK), "c"))
    assert not is_fine(trail("vgg16", "features"))
    assert not is_fine(trail("vgg16", "classifier"))


def test_padding_is_drawn_dashed() -> None:
    inside, outside = (rf_picture.scene(graph_of(STACK), "c", (i, i)) for i in (16, 0))

    def dashed(scene: Scene) -> int:
        return sum(
            bool(i.dash) for g in groups(scene, "plane") for i in every(g.items) if isinstance(i, Polygon)
        )

    assert (dashed(inside), dashed(outside)) == (0, 3)
    assert "net: what unit (0, 0) of c sees: 7×7, beyond the border of 32×32" in texts(outside)


def test_signals_and_volumes_of_three_axes_are_drawn() -> None:
    for text, position, size in (
        ("input 1x256\nconv9-8 -> pool -> c: conv9-16", (7,), "26"),
        ("input 3x8x32x32\nconv3-8 -> c: conv3-16", (2, 3, 4), "5×5×5"),
    ):
        graph = graph_of(text)
        assert size_text(trail_of(graph, "c", position).steps[0].seen) == size
        assert ET.fromstring(rf_picture.svg(graph, "c", position)).tag == f"{SVG}svg"


def test_the_svg_is_valid_and_tells_the_regions_on_hovering() -> None:
    root = ET.fromstring(rf_picture.svg(load("zoo:vgg16").graph, "features", (3, 3)))
    titles = [
        t.text for g in root.iter(f"{SVG}g") if g.get("class") == "plane" for t in g.iter(f"{SVG}title")
    ]
    assert titles[0] == "input: 3x224x224, seen rows 6..217, columns 6..217"
    assert titles[-1] == "features.30: 512x7x7, seen row 3, column 3"


EVIL = 'input 3x16x16\n"<script>a_b&%#$~^": conv3-8\npool'


def test_labels_are_inert() -> None:
    graph = graph_of(EVIL)
    svg = rf_picture.svg(graph, "<script>a_b&%#$~^")
    assert "<script" not in svg
    headline = next(text.text for text in ET.fromstring(svg).iter(f"{SVG}text"))
    assert headline == "net: what unit (8, 8) of <script>a_b&%#$~^ sees: 3×3 of 16×16"
    tex = rf_picture.tikz(graph, "<script>a_b&%#$~^")
    assert r"\textless{}script\textgreater{}a\_b\&\%\#\$\textasciitilde{}\textasciicircum{}" in tex


def test_bytes_are_the_same_for_every_hash_seed() -> None:
    program = (
        "from cnnc.net import load; from cnnc.backends import rf_picture as r; "
        "g = load('zoo:googlenet').graph; print(r.svg(g, 'inception_4e'), r.tikz(g, 'inception_4e'))"
    )
    assert len(set(printed_under_seeds(program))) == 1


# --- what cannot be drawn ----------------------------------------------------------------


def refused(text: str, label: str, position: tuple[int, ...] | None = None) -> Diagnostic:
    with pytest.raises(CnncError) as caught:
        trail_of(graph_of(text), label, position)
    (found,) = caught.value.diagnostics
    return found


def test_an_unknown_label_is_told_with_the_nearest() -> None:
    found = refused("input 3x8x8\nfeatures: conv3-8\nfc-2", "fatures")
    assert (found.code, found.message) == ("E203", "the model has no label or layer `fatures`")
    assert found.hint == "did you mean `features`?"


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ((32, 0), "the position in `c`, which is 8x32x32, has 32 where positions go from 0 to 31"),
        ((0, -1), "the position in `c`, which is 8x32x32, has -1 where positions go from 0 to 31"),
        ((3,), "the position in `c`, which is 8x32x32, has 1 numbers, and its map has 2 axes"),
    ],
)
def test_a_position_off_the_map_is_told(position: tuple[int, ...], message: str) -> None:
    found = refused(STACK, "c", position)
    assert (found.code, found.message) == ("E303", message)


def test_a_vector_has_no_field_to_draw() -> None:
    found = refused("input 784\nfc-10", "fc1")
    assert (found.code, found.message) == ("E801", "the input is a vector, over which no field can be drawn")


def test_a_field_that_the_data_decide_is_told() -> None:
    with pytest.raises(
        CnncError, match="has no receptive field to draw: the places sampled depend on the data"
    ):
        trail("stn_mnist", "logsoftmax1")


# --- the command -------------------------------------------------------------------------


def draw(*arguments: str) -> Result:
    return CliRunner().invoke(cnnc, ["draw", *arguments])


def test_the_command_takes_a_label_and_a_position(folder: Path) -> None:
    done = draw("--rf", "features,2,3", "zoo:vgg16")
    assert (done.exit_code, done.stderr) == (0, "wrote vgg16.svg (receptive field)\n")
    graph = load("zoo:vgg16").graph
    assert (folder / "vgg16.svg").read_text() == rf_picture.svg(graph, "features", (2, 3))
    assert draw("--rf", "features", "zoo:vgg16", "-o", "a.tex").exit_code == 0
    assert (folder / "a.tex").read_text() == rf_picture.tikz(graph, "features")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--rf", "fatures", "zoo:vgg16"), 1, "error E203: the model has no label or layer `fatures`"),
        (("--rf", "features,7,0", "zoo:vgg16"), 1, "has 7 where positions go from 0 to 6"),
        (("--rf", "features,7", "zoo:vgg16"), 1, "has 1 numbers, and its map has 2 axes"),
        (
            ("--rf", "features", "zoo:vgg16", "-o", "a.gif"),
            2,
            "the extension must be svg, png, pdf or tex for a receptive field",
        ),
        (
            ("--rf", "features", "--direction", "LR", "zoo:vgg16"),
            2,
            "--direction is for diagrams, not for --rf",
        ),
        (
            ("--rf", "features", "--style", "volumes", "zoo:vgg16"),
            2,
            "cannot be combined with --style volumes",
        ),
    ],
)
def test_what_the_command_refuses(folder: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = draw(*arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert not list(folder.iterdir())


def test_a_region_covers_what_it_says() -> None:
    for step in trail("vgg16", "features").steps:
        spans = [span for span in step.seen if span is not None]
        assert prod(last - first + 1 for first, last in spans) == prod(
            map(int, size_text(step.seen).split("×"))
        )
