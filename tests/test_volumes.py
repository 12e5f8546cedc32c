"""Feature maps as boxes in space: which boxes, how large, what is written on them, in SVG and TikZ."""

from __future__ import annotations

import shutil
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from graphs import graph_of
from reruns import printed_under_seeds

from cnnc.backends import volumes
from cnnc.backends.vector import Line, Polygon, Scene, Text, escape_latex, to_svg, to_tikz
from cnnc.backends.vector.scene import Group, bounds, every, framed, moved, text_width
from cnnc.backends.volumes.place import place
from cnnc.backends.volumes.plan import Plan, plan_of
from cnnc.backends.volumes.scale import LOWEST, TALLEST, Ruler, Scale
from cnnc.backends.volumes.ushape import place_as_u
from cnnc.cli.commands import cnnc
from cnnc.dsl.diagnostics import CnncError
from cnnc.net import load

SVG = "{http://www.w3.org/2000/svg}"
SHOWN = (
    "lenet5", "alexnet", "vgg16", "resnet50", "googlenet", "googlenet_aux", "densenet121", "unet", "fcn8s",
    "shufflenet_g3", "two_stream", "siamese", "inception_v3_aux", "mobilenet_v2", "capsnet", "resnet110",
)  # fmt: skip

EVIL = """
input 3x32x32
"<script>alert(1)</script>": conv3-8
"a_b & 50% #1 $x ~^": [conv3-8 -> pool]
"back\\\\slash ж": fc-10
"""


def plan(name: str) -> Plan:
    return plan_of(load(f"zoo:{name}").graph)


def texts(scene: Scene) -> list[Text]:
    return [item for item in every(scene.items) if isinstance(item, Text)]


def words(scene: Scene) -> list[str]:
    return [text.text for text in texts(scene)]


def told(plan: Plan) -> list[tuple[str, int, tuple[int, ...]]]:
    return [(volume.word, volume.times, volume.out) for volume in plan.volumes]


# --- which boxes there are ---------------------------------------------------------------


def test_vgg16_has_a_box_for_each_run_and_each_pool() -> None:
    assert told(plan("vgg16")) == [
        ("input", 1, (3, 224, 224)),
        ("conv3-64", 2, (64, 224, 224)), ("maxpool2/2", 1, (64, 112, 112)),
        ("conv3-128", 2, (128, 112, 112)), ("maxpool2/2", 1, (128, 56, 56)),
        ("conv3-256", 3, (256, 56, 56)), ("maxpool2/2", 1, (256, 28, 28)),
        ("conv3-512", 3, (512, 28, 28)), ("maxpool2/2", 1, (512, 14, 14)),
        ("conv3-512", 3, (512, 14, 14)), ("maxpool2/2", 1, (512, 7, 7)),
        ("fc-4096", 2, (4096,)), ("fc-1000", 1, (1000,)),
    ]  # fmt: skip
    assert [v.stage for v in plan("vgg16").volumes] == [None, *["features"] * 10, *["classifier"] * 2]


def test_resnet50_folds_its_stages_and_marks_what_goes_around() -> None:
    blocks = [v for v in plan("resnet50").volumes if v.kind == "block"]
    assert [(v.stage, v.word, v.times) for v in blocks] == [
        ("layer1", "bottleneck", 1), ("layer1", "bottleneck", 2),  # the first has a projection on its shortcut
        ("layer2", "bottleneck", 1), ("layer2", "bottleneck", 3),
        ("layer3", "bottleneck", 1), ("layer3", "bottleneck", 5),
        ("layer4", "bottleneck", 1), ("layer4", "bottleneck", 2),
    ]  # fmt: skip
    assert {v.around for v in blocks} == {"+"}


def test_an_inception_shows_its_branches_as_stripes() -> None:
    """Szegedy et al. 2015, table 1: 3a gives 64 + 128 + 32 + 32 channels."""
    found = next(v for v in plan("googlenet").volumes if v.title == "inception_3a")
    assert [stripe.channels for stripe in found.stripes] == [64, 128, 32, 32]
    assert sum(stripe.channels for stripe in found.stripes) == found.out[0]
    assert len([v for v in plan("googlenet").volumes if v.word == "inception"]) == 9


def test_a_dense_block_shows_what_it_copies_and_what_it_adds() -> None:
    found = next(v for v in plan("densenet121").volumes if v.title == "denseblock1")
    assert [stripe.channels for stripe in found.stripes] == [64, *[32] * 6]
    assert [stripe.copied for stripe in found.stripes] == [True, *[False] * 6]


def test_unet_is_a_u_with_four_skips_across() -> None:
    drawn = plan("unet")
    assert drawn.returns()
    levels = [volume.level for volume in drawn.volumes]
    assert levels == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0, 0]
    by_id = {volume.id: volume for volume in drawn.volumes}
    skips = [flow for flow in drawn.flows if flow.skip]
    assert [(by_id[f.source].out[0], by_id[f.target].out[0], f.via) for f in skips] == [
        (512, 1024, "crop"), (256, 512, "crop"), (128, 256, "crop"), (64, 128, "crop"),
    ]  # fmt: skip
    joined = [volume for volume in drawn.volumes if volume.stripes]
    assert [[(s.channels, s.copied) for s in v.stripes] for v in joined] == [
        [(n, True), (n, False)] for n in (512, 256, 128, 64)
    ]
    assert [volume.word for volume in joined] == [f"tconv2-{n}/2" for n in (512, 256, 128, 64)]


def test_a_skip_in_a_chain_is_an_arc_over_what_it_passes() -> None:
    text = "input 4x16x16\na: conv3-8\nb: conv5-8\nc: conv7-8\n[a | c] -> conv1-4"
    drawn = plan_of(graph_of(text))
    assert not drawn.returns()
    assert [flow.skip for flow in drawn.flows].count(True) == 1
    scene = volumes.draw(drawn)
    arcs = [i for i in every(scene.items) if isinstance(i, Line) and i.dash and i.arrow and len(i.points) > 2]
    highest = min(bounds(i).top for g in scene.items if isinstance(g, Group) for i in every(g.items))
    assert len(arcs) == 1
    assert bounds(arcs[0]).top < highest


def test_two_streams_stand_in_two_lanes_and_meet_in_a_sign() -> None:
    drawn = plan("two_stream")
    lanes = {p.volume.id: (p.lane, p.y) for p in place(drawn)}
    spatial = {lanes[v.id] for v in drawn.volumes if v.stage == "spatial"}
    temporal = {lanes[v.id] for v in drawn.volumes if v.stage == "temporal"}
    assert len(spatial) == len(temporal) == 1
    ((_, upper),), ((_, lower),) = spatial, temporal
    assert upper < 0 < lower
    assert drawn.volumes[-1].sign == "+"


@pytest.mark.parametrize("name", SHOWN)
def test_every_node_stands_in_one_box(name: str) -> None:
    graph = load(f"zoo:{name}").graph
    seen = [n for volume in plan_of(graph).volumes for n in volume.nodes]
    assert sorted(seen) == list(range(len(graph.nodes)))


def test_patterns_that_repeat_are_one_box() -> None:
    drawn = plan_of(graph_of("input 4x8x8\n[[conv3-4 -> conv1-8] -> conv1-4]*300 -> fc-2"))
    assert told(drawn) == [
        ("input", 1, (4, 8, 8)),
        ("[conv3-4 … conv1-4]", 300, (4, 8, 8)),
        ("fc-2", 1, (2,)),
    ]


def test_ten_thousand_layers_take_seconds() -> None:
    start = time.perf_counter()
    drawn = plan_of(graph_of("input 4x8x8\n[[conv3-4]*3 -> conv1-4 -> conv5-4]*1000"))
    # The last stretch ends in a layer without its activation.
    assert [v.times for v in drawn.volumes] == [1, 999, 3, 1, 1]
    assert time.perf_counter() - start < 30


def test_a_chain_of_many_unlike_layers_says_what_to_do() -> None:
    text = "input 4x8x8\n[conv3-{i} for i in 1..200]"
    with pytest.raises(CnncError) as caught:
        plan_of(graph_of(text))
    (found,) = caught.value.diagnostics
    assert (found.code, found.hint) == (
        "E901",
        "gather layers in blocks or labelled brackets, or take --style table",
    )


# --- how large they are ------------------------------------------------------------------


def test_a_larger_map_is_drawn_larger_and_more_channels_thicker() -> None:
    for name in ("vgg16", "resnet50", "lenet5", "unet"):
        drawn = [v for v in plan(name).volumes if not v.is_vector and v.sign is None]
        scale = Scale(plan(name).volumes)
        by_side = sorted(drawn, key=lambda v: v.out[1])
        by_width = sorted(drawn, key=lambda v: v.out[0])
        for small, large in pairwise(by_side):
            assert scale.measure(small).height <= scale.measure(large).height
            assert (scale.measure(small).height < scale.measure(large).height) == (
                small.out[1] < large.out[1]
            )
        for thin, thick in pairwise(by_width):
            assert scale.measure(thin).thickness <= scale.measure(thick).thickness


def test_vectors_are_bars_taller_for_more_features() -> None:
    drawn = plan("vgg16")
    scale = Scale(drawn.volumes)
    hidden, classes = (scale.measure(v) for v in drawn.volumes if v.is_vector)
    assert hidden.height > classes.height
    assert hidden.thickness == classes.thickness
    assert len(hidden.slabs) == 2


def test_sizes_near_each_other_are_drawn_in_proportion() -> None:
    near, far = Ruler([8, 16, 32], LOWEST, TALLEST), Ruler([7, 224], LOWEST, TALLEST)
    assert (near(8), near(16), near(32)) == (TALLEST / 4, TALLEST / 2, TALLEST)
    assert not near.is_log and far.is_log
    assert (far(7), far(224)) == (LOWEST, TALLEST)


def test_more_than_six_equal_maps_are_three_slabs_dots_and_one() -> None:
    drawn = plan_of(graph_of("input 8x16x16\n[conv3-8]*6 -> pool -> [conv3-8]*7 -> relu"))
    scale = Scale(drawn.volumes)
    assert [len(scale.measure(v).slabs) for v in drawn.volumes] == [1, 6, 1, 4]
    assert "conv3-8 x 7" in words(volumes.draw(drawn))
    assert "…" in words(volumes.draw(drawn))


# --- the drawing -------------------------------------------------------------------------


def crossings(scene: Scene) -> list[tuple[str, str]]:
    """Pairs of texts of which one lies over the other."""
    found = texts(scene)
    return [(a.text, b.text) for a, b in combinations(found, 2) if bounds(a).overlaps(bounds(b))]


@pytest.mark.parametrize("name", SHOWN)
def test_no_label_lies_over_another_or_over_a_box(name: str) -> None:
    scene = volumes.scene(load(f"zoo:{name}").graph)
    assert crossings(scene) == []
    boxes = [
        item
        for g in scene.items
        if isinstance(g, Group)
        for item in every(g.items)
        if isinstance(item, Polygon)
    ]
    outside = [t for t in scene.items if isinstance(t, Text)]
    struck = [t.text for t in outside if any(bounds(t).overlaps(bounds(box)) for box in boxes)]
    # A box's rectangle is larger than the box: where it leans, a label may stand in the corner left free.
    assert len(struck) <= (2 if plan(name).returns() else 0), struck


@pytest.mark.parametrize("name", SHOWN)
def test_the_drawing_fits_a_page(name: str) -> None:
    scene = volumes.scene(load(f"zoo:{name}").graph)
    assert scene.width < 650
    assert scene.height < 800
    for item in every(scene.items):
        box = bounds(item)
        assert box.left >= 0 and box.right <= scene.width and box.top >= 0 and box.bottom <= scene.height


@pytest.mark.parametrize("name", ["vgg16", "unet", "googlenet", "resnet50", "two_stream"])
def test_the_svg_has_a_group_for_each_volume_with_its_label_and_shape(name: str) -> None:
    graph = load(f"zoo:{name}").graph
    drawn = plan_of(graph)
    root = ET.fromstring(volumes.svg(graph))
    groups = [g for g in root.iter(f"{SVG}g") if g.get("class") == "volume"]
    assert [g.get("data-id") for g in groups] == [v.id for v in drawn.volumes]
    assert [g.get("data-nodes") for g in groups] == [" ".join(map(str, v.nodes)) for v in drawn.volumes]
    written = {text.text for text in root.iter(f"{SVG}text")}
    for volume in drawn.volumes:
        if volume.sign is None:
            shape = "×".join(map(str, volume.out))
            assert (shape if volume.made is None else f"joined: {shape}") in written
            assert volume.title is None or volume.title in written
    assert {v.stage for v in drawn.volumes if v.stage} <= written or drawn.returns()


def test_the_legend_names_what_appears_and_nothing_else() -> None:
    found = set(words(volumes.scene(load("zoo:resnet50").graph)))
    assert {"block", "convolution", "pooling", "fully connected"} <= found
    assert "around a block: what comes in is added or multiplied" in found
    assert not {"skip", "normalisation", "copied, in a concatenation"} & found


def test_light_and_dark_differ_in_colour_alone() -> None:
    graph = load("zoo:lenet5").graph
    light, dark = volumes.scene(graph, "light"), volumes.scene(graph, "dark")
    assert words(light) == words(dark)
    assert light.paper == "#ffffff" and dark.paper == "#0d1117"
    assert {t.colour for t in texts(light)}.isdisjoint(t.colour for t in texts(dark))


def test_kinds_differ_in_grey_by_their_edges() -> None:
    from cnnc.backends.volumes.paint import pen

    edges = {pen(kind) for kind in ("convolution", "pooling", "linear", "normalisation")}
    assert len(edges) == 4


def test_signals_and_volumes_of_three_axes_are_drawn() -> None:
    for text in ("input 1x256\nconv9-8 -> pool -> conv9-16 -> gap -> fc-2",
                 "input 3x8x32x32\nconv3-8 -> maxpool -> conv3-16 -> gap -> fc-2"):  # fmt: skip
        scene = volumes.scene(graph_of(text))
        assert crossings(scene) == []
        assert ET.fromstring(to_svg(scene)).tag == f"{SVG}svg"


def test_free_sizes_are_written_as_their_expressions() -> None:
    found = words(volumes.scene(graph_of("input 3xHxW\nconv3-8 -> pool -> conv3-8")))
    assert "8×(H//2)×(W//2)" in found or "8×H//2×W//2" in found


# --- text that is markup elsewhere -------------------------------------------------------


def test_labels_are_inert_in_svg() -> None:
    svg = volumes.svg(graph_of(EVIL))
    root = ET.fromstring(svg)
    assert "<script" not in svg
    assert not list(root.iter(f"{SVG}script"))
    written = [text.text for text in root.iter(f"{SVG}text")]
    assert "<script>alert(1)</script>" in written
    assert "a_b & 50% #1 $x ~^" in written


def test_characters_that_xml_cannot_hold_are_written_as_dots() -> None:
    svg = to_svg(
        framed([Text((0, 0), "a\x00b\x1b", "#000000")], title="\x00", description="", paper="#ffffff")
    )
    assert [text.text for text in ET.fromstring(svg).iter(f"{SVG}text")] == ["a·b·"]


def test_labels_are_inert_in_latex() -> None:
    tex = volumes.tikz(graph_of(EVIL))
    assert r"{\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{}}" in tex
    assert r"a\_b \& 50\% \#1 \$x \textasciitilde{}\textasciicircum{}" in tex
    assert r"back\textbackslash{}" in tex
    assert "[U+0436]" in tex
    assert tex.isascii()


@pytest.mark.parametrize("ch", "_&%#${}~^\\")
def test_every_special_character_of_latex_is_escaped(ch: str) -> None:
    written = escape_latex(f"a{ch}b")
    assert written != f"a{ch}b"
    assert written.startswith("a\\") and written.endswith("b")


def test_comments_of_the_tikz_file_stay_on_their_line() -> None:
    scene = framed(
        [Group("volume", (Text((0, 0), "a", "#000000"),), "x\n\\input{/etc/passwd}\r")],
        title="a\nb", description="", paper="#ffffff",
    )  # fmt: skip
    lines = to_tikz(scene).splitlines()
    assert [line for line in lines if "passwd" in line] == ["% volume: x.\\input{/etc/passwd}."]
    assert lines[0] == "% a.b"


# --- the file ----------------------------------------------------------------------------


def test_the_tikz_file_defines_the_colours_it_uses_and_balances_its_braces() -> None:
    tex = volumes.tikz(load("zoo:unet").graph)
    assert tex.startswith("% unet: its feature maps\n\\documentclass[tikz,border=0pt]{standalone}\n")
    defined = {
        line.split("{")[1].split("}")[0] for line in tex.splitlines() if line.startswith(r"\definecolor")
    }
    used = {word.strip("[],={}") for word in tex.replace("=", " ").replace("[", " ").split()}
    assert {u for u in used if u.startswith("c") and u[1:].isdigit()} <= defined
    plain = tex.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    assert tex.endswith("\\end{tikzpicture}\n\\end{document}\n")


def test_bytes_are_the_same_for_every_hash_seed() -> None:
    program = (
        "from cnnc.net import load; from cnnc.backends import volumes; g = load('zoo:inception_v3_aux').graph; "
        "print(volumes.svg(g), volumes.tikz(g))"
    )
    assert len(set(printed_under_seeds(program))) == 1


def has_latex() -> bool:
    """Whether there is a LaTeX with the class that the file asks for."""
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    return bool(subprocess.run(["kpsewhich", "standalone.cls"], capture_output=True, check=False).stdout)


@pytest.mark.skipif(not has_latex(), reason="needs pdflatex with the standalone class")
@pytest.mark.parametrize("text", [EVIL, None], ids=["special characters", "unet"])
def test_latex_reads_the_tikz_file(tmp_path: Path, text: str | None) -> None:
    graph = load("zoo:unet").graph if text is None else graph_of(text)
    (tmp_path / "a.tex").write_text(volumes.tikz(graph))
    command = ["pdflatex", "-interaction=batchmode", "-no-shell-escape", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    log = (tmp_path / "a.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert "Output written on a.pdf (1 page" in log


# --- the command -------------------------------------------------------------------------


def draw(*arguments: str) -> Result:
    return CliRunner().invoke(cnnc, ["draw", *arguments])


def test_the_command_writes_svg_and_tex(folder: Path) -> None:
    done = draw("--style", "volumes", "zoo:lenet5")
    assert (done.exit_code, done.stderr) == (0, "wrote lenet5.svg (volumes)\n")
    assert ET.parse(folder / "lenet5.svg").getroot().tag == f"{SVG}svg"
    assert draw("--style", "volumes", "zoo:lenet5", "-o", "out.tex").exit_code == 0
    assert (folder / "out.tex").read_text().startswith("% lenet5")


def test_the_command_writes_to_standard_output(folder: Path) -> None:
    done = draw("--style", "volumes", "zoo:lenet5", "-o", "-")
    assert done.stdout == volumes.svg(load("zoo:lenet5").graph)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--style", "volumes", "zoo:lenet5", "-o", "a.gif"),
            "'a.gif': the extension must be svg, png, pdf or tex for volumes",
        ),
        (
            ("--style", "volumes", "zoo:lenet5", "-o", "a"),
            "'a': the extension must be svg, png, pdf or tex for volumes",
        ),
        (
            ("--style", "volumes", "--level", "layers", "zoo:lenet5"),
            "--level is for diagrams, not for --style volumes",
        ),
        (
            ("--style", "volumes", "--show", "rf", "zoo:lenet5"),
            "--show is for diagrams, not for --style volumes",
        ),
        (("zoo:lenet5", "zoo:vgg16"), "several specs are drawn together in --style table only"),
        (
            ("--style", "volumes", "zoo:lenet5", "zoo:vgg16"),
            "several specs are drawn together in --style table only",
        ),
        (("--style", "cubes", "zoo:lenet5"), "'cubes' is not one of"),
        (("zoo:lenet5", "-o", "a.tex"), "'a.tex': the extension must be svg, png, pdf, dot or mmd"),
    ],
)
def test_what_the_command_refuses(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = draw(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not list(folder.iterdir())


# --- the scene ---------------------------------------------------------------------------


def test_a_text_takes_more_room_the_longer_and_the_bolder_it_is() -> None:
    assert text_width("conv3-64", 7) < text_width("conv3-512", 7) < text_width("conv3-512", 7, bold=True)


def test_a_shape_moves_with_all_its_points() -> None:
    group = Group("g", (Polygon(((0, 0), (1, 0), (1, 1)), "#000000"), Text((2, 3), "a", "#000000")))
    box = bounds(next(iter(every([moved(group, 10, 20)]))))
    assert (box.left, box.top, box.right, box.bottom) == (10, 20, 11, 21)


def test_a_curve_has_four_points() -> None:
    with pytest.raises(ValueError, match="a Bezier curve has 4 points, not 2"):
        Line(((0, 0), (1, 1)), "#000000", curved=True)


def spread(numbers: Iterable[float]) -> float:
    numbers = list(numbers)
    return max(numbers) - min(numbers)


def test_the_volumes_of_a_level_stand_on_one_line() -> None:
    placed, sides = place_as_u(plan("unet"))
    by_level: dict[int, list[float]] = {}
    for one in placed:
        by_level.setdefault(one.volume.level, []).append(one.y)
    assert all(spread(ys) == 0 for ys in by_level.values())
    assert [min(ys) for _, ys in sorted(by_level.items())] == sorted(min(ys) for ys in by_level.values())
    assert set(sides.values()) == {"above", "below"}


def test_from_a_net() -> None:
    net = load("zoo:lenet5")
    assert net.volumes() == volumes.svg(net.graph)
    assert "\\begin{tikzpicture}" in net.volumes("tex")
    assert "C3" in net.field_picture("C3", (1, 1))
