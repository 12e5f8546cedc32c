"""The diagrams: what is folded, what flows, that no text of a spec is markup, and that bytes repeat."""

from __future__ import annotations

import re
import shutil
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from graphs import graph_of
from reruns import printed_under_seeds

from cnnc.backends.diagram import Box, Picture, picture, render, to_dot, to_mermaid
from cnnc.backends.diagram.fork import ways_of
from cnnc.backends.diagram.words import cut
from cnnc.cli.commands import cnnc
from cnnc.dsl.diagnostics import CnncError

SVG = "{http://www.w3.org/2000/svg}"
SPECS = Path(__file__).parent.parent / "cnnc" / "specs"

RESNET50 = (SPECS / "resnet50.cnn").read_text()

VGG16 = """
features: [[conv3-w]*n -> maxpool for n, w in (2,64), (2,128), (3,256), (3,512), (3,512)]
classifier: [[fc-4096 -> dropout]*2 -> fc-1000]
"""

# Szegedy et al. 2015, table 1.
GOOGLENET = """
input 3x224x224
block inception(a, b3, c3, b5, c5, p) =
  [conv1-a | conv1-b3 -> conv3-c3 | conv1-b5 -> conv5-c5 | maxpool3/1(pad=1) -> conv1-p]
conv7-64/2 -> maxpool3/2(ceil=yes)
conv1-64 -> conv3-192 -> maxpool3/2(ceil=yes)
inception3a: inception(64, 96, 128, 16, 32, 32)
inception3b: inception(128, 128, 192, 32, 96, 64)
maxpool3/2(ceil=yes)
inception4a: inception(192, 96, 208, 16, 48, 64)
inception4b: inception(160, 112, 224, 24, 64, 64)
inception4c: inception(128, 128, 256, 24, 64, 64)
inception4d: inception(112, 144, 288, 32, 64, 64)
inception4e: inception(256, 160, 320, 32, 128, 128)
maxpool3/2(ceil=yes)
inception5a: inception(256, 160, 320, 32, 128, 128)
inception5b: inception(384, 192, 384, 48, 128, 128)
gap -> dropout(0.4) -> fc-1000
"""

# Huang et al. 2017, table 1.
DENSENET121 = """
input 3x224x224
default conv(act=none, bias=no)
block layer(g) = bn -> relu -> conv1-{4*g} -> bn -> relu -> conv3-g
block transition = bn -> relu -> conv1-{C//2} -> avgpool
conv7-64/2 -> bn -> relu -> maxpool3/2(pad=1)
dense1: [id | layer(32)]*6
transition
dense2: [id | layer(32)]*12
transition
dense3: [id | layer(32)]*24
transition
dense4: [id | layer(32)]*16
bn -> relu -> gap -> fc-1000
"""

# The long skips of a U-Net, the sizes left alone.
LONG_SKIPS = """
input 1x64x64
c1: [conv3-8]*2
maxpool3/1(pad=1)
c2: [conv3-16]*2
maxpool3/1(pad=1) -> [conv3-32]*2
u2: conv3-16
[c2 | u2] -> [conv3-16]*2
u1: conv3-8
[c1 | u1] -> [conv3-8]*2
conv1-2
"""

EVIL = r"""
input 3x32x32
"<script>alert(1)</script>": conv3-8
"a\N\lx|y&amp;<b>\": [conv3-8 -> [id + conv3-8] -> pool]
"-->]]>": fc-10
"""


def box(drawn: Picture, text: str) -> Box:
    """The one box with this title or line."""
    (found,) = (b for b in drawn.nodes if text == b.title or text in b.lines)
    return found


def flows(drawn: Picture) -> set[tuple[str, str, str]]:
    """The arrows, by the first words on their boxes."""
    said = {b.id: b.title or b.lines[0] for b in drawn.nodes}
    return {(said[e.source], said[e.target], e.shape) for e in drawn.edges}


# --- folding -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "boxes"), [(RESNET50, 14), (GOOGLENET, 20), (DENSENET121, 17), (VGG16, 14)],
    ids=["resnet50", "googlenet", "densenet121", "vgg16"],
)  # fmt: skip
def test_published_nets_fit_a_page(text: str, boxes: int) -> None:
    graph = graph_of(text)
    drawn = picture(graph)
    assert len(drawn.nodes) == boxes < 35
    svg = ET.fromstring(render(to_dot(graph), "svg"))
    ids = [g.get("id") for g in svg.iter(f"{SVG}g") if g.get("class") == "node"]
    ways = ways_of(drawn)
    assert sorted(i for i in ids if i) == sorted([b.id for b in drawn.nodes] + [f.id for f in ways.forks])
    edges = [g for g in svg.iter(f"{SVG}g") if g.get("class") == "edge"]
    assert len(edges) == len(ways.edges) == len(drawn.edges) + len(ways.forks)


def test_resnet50_folds_its_bottlenecks() -> None:
    drawn = picture(graph_of(RESNET50))
    blocks = [(b.title, b.lines[0], b.times) for b in drawn.nodes if b.kind == "block"]
    assert blocks == [
        (None, "bottleneck(64)", 1), (None, "bottleneck(64)", 2),
        (None, "bottleneck(128, 2)", 1), (None, "bottleneck(128)", 3),
        (None, "bottleneck(256, 2)", 1), (None, "bottleneck(256)", 5),
        (None, "bottleneck(512, 2)", 1), (None, "bottleneck(512)", 2),
    ]  # fmt: skip
    assert [c.title for c in drawn.clusters] == ["layer1", "layer2", "layer3", "layer4"]
    assert ("maxpool3/2(pad=1)", "bottleneck(64)", "64x56x56") in flows(drawn)
    assert ("bottleneck(64)", "bottleneck(128, 2)", "256x56x56") in flows(drawn)
    assert ("bottleneck(512)", "gap", "2048x7x7") in flows(drawn)


def test_every_node_stands_in_one_box() -> None:
    for text in (RESNET50, GOOGLENET, DENSENET121, VGG16, LONG_SKIPS):
        graph = graph_of(text)
        for drawn in (picture(graph), picture(graph, level="layers")):
            seen = Counter(n for b in drawn.nodes if b.kind != "output" for n in b.nodes)
            expected = Counter(range(len(graph.nodes)))
            assert seen == expected


def test_a_dense_block_is_one_turn_with_its_skip() -> None:
    drawn = picture(graph_of(DENSENET121))
    assert [c.title for c in drawn.clusters] == ["dense1 x 6", "dense2 x 12", "dense3 x 24", "dense4 x 16"]
    assert sum(b.kind == "merge" for b in drawn.nodes) == 4
    skips = [e for e in drawn.edges if e.skip]
    assert [e.shape for e in skips] == ["64x56x56", "128x28x28", "256x14x14", "512x7x7"]
    concat = next(b for b in drawn.nodes if b.kind == "merge")
    (leaving,) = (e for e in drawn.edges if e.source == concat.id)
    assert leaving.shape == "256x56x56"  # what the sixth turn gives, not the first


def test_turns_that_differ_are_not_folded() -> None:
    drawn = picture(graph_of("input 3x8x8\nconv3-8\n[[id + conv3-w] for w in 8, 8, 8]\nconv3-4\nconv3-16"))
    assert [b.lines[0] for b in drawn.nodes if b.lines] == ["conv3-8", "conv3-8", "+", "conv3-4", "conv3-16"]
    drawn = picture(graph_of("input 3x8x8\n[conv3-w for w in 4, 4, 8, 8]\nfc-2"))
    assert [(b.lines[0], b.times) for b in drawn.nodes if b.lines] == [
        ("conv3-4", 2), ("conv3-8", 2), ("fc-2", 1),
    ]  # fmt: skip


def test_a_tensor_used_from_outside_keeps_its_box() -> None:
    """c1..c4 are equal, but each is used again: hiding one would hide an arrow."""
    drawn = picture(graph_of("input 3x8x8\n[c{i}: conv3-8 for i in 1..4]\n[c1 | c2 | c3 | c4]"))
    assert [b.title for b in drawn.nodes if b.kind == "convolution"] == ["c1", "c2", "c3", "c4"]
    assert sum(e.skip for e in drawn.edges) == 3


def test_equal_labelled_brackets_show_their_labels() -> None:
    drawn = picture(graph_of("input 8x8x8\n[c{i}: conv3-8 for i in 1..4]\nfc-2"))
    assert box(drawn, "c1 … c4").times == 4


def test_closed_brackets_of_different_content_are_not_folded() -> None:
    branches = "[conv1-{a} | conv3-{a} | conv5-{a} | conv7-{a} | maxpool3/1(pad=1)]"
    text = "input 3x8x8\n" + "\n".join(f"i{a}: {branches.replace('{a}', str(a))}" for a in range(1, 10))
    drawn = picture(graph_of(text))
    closed = [b for b in drawn.nodes if b.kind == "block"]
    assert [(b.title, b.times) for b in closed] == [(f"i{a}", 1) for a in range(1, 10)]


def test_parallel_branches_fold() -> None:
    drawn = picture(graph_of("input 4x8x8\n[+ conv1-4 for i in 1..32]\nconv1-2"))
    branch = box(drawn, "conv1-4")
    assert branch.count == "x 32 in parallel"
    assert flows(drawn) >= {("input", "conv1-4", "4x8x8"), ("conv1-4", "+", "4x8x8")}


def test_figures_count_every_folded_turn() -> None:
    drawn = picture(graph_of("input 8x8x8\n[conv3-8]*3 -> fc-2"), show=["params", "macs", "rf"])
    conv = box(drawn, "conv3-8")
    # 8*8*3*3 weights and 8 biases each; 64 positions
    assert conv.times == 3
    assert conv.notes == (f"{3 * (8 * 8 * 9 + 8) / 1000:.3g}K params", "111K MACs", "RF 7x7")
    assert 3 * 64 * 8 * 8 * 9 == 110_592
    assert box(drawn, "fc-2").notes[-1] == "RF whole input"


# --- frames and what enters them ---------------------------------------------------------


def test_a_value_enters_a_frame_once_and_parts_inside() -> None:
    drawn = picture(graph_of(DENSENET121))
    ways = ways_of(drawn)
    assert {fork.cluster for fork in ways.forks} == {cluster.id for cluster in drawn.clusters}
    for fork in ways.forks:
        (into,) = (e for e in ways.edges if e.target == fork.id)
        out = [e for e in ways.edges if e.source == fork.id]
        assert (into.quiet, into.skip) == (False, False)
        assert [(e.quiet, e.skip) for e in out] == [(True, False), (False, True)]
        assert {e.target for e in out} == {e.target for e in drawn.edges if e.source == into.source}


def test_frames_within_frames_are_entered_once_each() -> None:
    text = "input 8x8x8\nouter: [inner: [[id + conv3-8 + conv1-8] + conv5-8] -> conv3-8 -> conv1-4]\nfc-2"
    drawn = picture(graph_of(text))
    ways = ways_of(drawn)
    frame = {b.id: b.cluster for b in drawn.nodes} | {f.id: f.cluster for f in ways.forks}
    crossing = [e for e in ways.edges if frame[e.source] is None and frame[e.target] is not None]
    assert len(crossing) == 1


def test_the_count_of_a_frame_is_never_cut() -> None:
    name = "a_block_with_a_name_beyond_all_reason"
    text = f"input 8x8x8\nblock {name}(w) = [id + conv3-w]\n{'x' * 50}: [{name}(8)]*6\nfc-2"
    svg = render(to_dot(graph_of(text)), "svg").decode()
    (heading,) = picture(graph_of(text)).clusters
    assert heading.count == "x 6"
    assert re.search(r">[^<]*x 6</text>", svg)


def test_a_long_call_keeps_the_arguments_that_fit() -> None:
    assert cut("f(1, 2)") == "f(1, 2)"
    assert cut("inception(256, 160, 320, 32, 128, 128)", 30) == "inception(256, 160, 320, …)"
    assert cut("x" * 50, 10) == "x" * 9 + "…"
    assert len(cut("f(g(1, 2, 3, 4), 5, 6, 7)", 12)) <= 12


def test_a_net_of_few_blocks_shows_what_is_in_them() -> None:
    text = (
        "input 3x32x32\nblock stem(w) = conv3-w -> pool -> conv5-w -> pool -> conv7-w -> pool\nstem(8)\nfc-2"
    )
    drawn = picture(graph_of(text))
    assert [c.title for c in drawn.clusters] == ["stem(8)"]
    assert box(drawn, "conv7-8").kind == "convolution"


# --- long skips and details --------------------------------------------------------------


def test_long_skips_are_arcs_with_their_shape() -> None:
    drawn = picture(graph_of(LONG_SKIPS))
    skips = {(e.shape, e.quiet) for e in drawn.edges if e.skip}
    assert skips == {("8x64x64", False), ("16x64x64", False)}


def test_one_block_in_detail() -> None:
    drawn = picture(graph_of(RESNET50), block="bottleneck")
    assert [b.title for b in drawn.nodes if b.kind in ("input", "output")] == ["in", "out"]
    assert sum(b.kind == "convolution" for b in drawn.nodes) == 4
    assert ("in", "conv1-256", "64x56x56") in flows(drawn)
    layers = picture(graph_of(RESNET50), block="bottleneck", level="layers")
    assert len(layers.nodes) == 12 + 2  # 4 conv, 4 bn, 3 relu, add; in and out


def test_a_bracket_can_be_asked_for_by_its_label() -> None:
    drawn = picture(graph_of(VGG16), block="classifier")
    assert [b.lines[0] for b in drawn.nodes if b.kind == "linear"] == ["fc-4096", "fc-1000"]


def test_level_layers_draws_each_layer() -> None:
    graph = graph_of(VGG16)
    drawn = picture(graph, level="layers")
    layers = len(graph.nodes)
    assert len(drawn.nodes) == layers + 1  # the output's end
    assert [c.title for c in drawn.clusters] == ["features", "classifier"]


def test_an_unknown_block_is_told_with_its_neighbours() -> None:
    with pytest.raises(CnncError) as caught:
        to_dot(graph_of(RESNET50), block="botleneck")
    (found,) = caught.value.diagnostics
    assert found.code == "E201"
    assert found.hint == "did you mean `bottleneck`?"


# --- too large ---------------------------------------------------------------------------


def test_ten_thousand_layers() -> None:
    graph = graph_of("input 3x8x8\n[conv3-{i%7+1} -> bn -> relu for i in 1..3400]\nfc-10")
    layers = len(graph.nodes)
    assert layers > 10_000
    with pytest.raises(CnncError) as caught:
        to_dot(graph, level="layers")
    (found,) = caught.value.diagnostics
    assert found.code == "E901"
    assert found.hint is not None
    assert "--level blocks" in found.hint
    started = time.perf_counter()
    drawn = picture(graph)
    render(to_dot(graph), "svg")
    assert [cluster.count for cluster in drawn.clusters] == ["x 485"]  # of seven unlike layers
    assert len(drawn.nodes) < 20
    assert time.perf_counter() - started < 20


def test_the_command_offers_levels_where_layers_are_too_many(tmp_path: Path) -> None:
    spec = tmp_path / "deep.cnn"
    spec.write_text("input 3x4x4\n[conv1-{i%7+1} -> bn -> relu for i in 1..3400]\nfc-10\n")
    picture_file = tmp_path / "deep.svg"
    done = CliRunner().invoke(cnnc, ["draw", str(spec), "--level", "layers", "-o", str(picture_file)])
    assert done.exit_code == 1
    assert "error E901: the picture would have 10,2" in done.stderr
    assert "hint: --level blocks folds repeats and closes blocks" in done.stderr
    assert not picture_file.exists()
    started = time.perf_counter()
    done = CliRunner().invoke(cnnc, ["draw", str(spec), "-o", str(picture_file)])
    assert done.exit_code == 0
    assert time.perf_counter() - started < 20
    ET.fromstring(picture_file.read_bytes())


def test_layers_that_differ_in_numbers_alone_show_the_range() -> None:
    drawn = picture(graph_of("input 3x8x8\n[conv3-{i} for i in 1..200] -> relu"))
    assert box(drawn, "conv3-1 … conv3-200").times == 200


# --- escaping and determinism ------------------------------------------------------------


@pytest.mark.parametrize("level", ["blocks", "layers"])
def test_text_of_the_spec_is_inert(level: str) -> None:
    graph = graph_of(EVIL)
    data = render(to_dot(graph, level=level), "svg")  # type: ignore[arg-type]
    svg = ET.fromstring(data)
    assert not list(svg.iter(f"{SVG}script"))
    assert b"<script" not in data.lower()
    said = {"".join(t.itertext()) for t in svg.iter(f"{SVG}text")}
    assert "-->]]>" in said or level == "layers"
    assert r"a\N\lx|y&amp;<b>" + "\\" in said
    assert "<script>alert(1)</script>" in said
    tags = {e.tag.removeprefix(SVG) for e in svg.iter()}
    assert tags <= {"svg", "g", "title", "polygon", "path", "text", "ellipse", "polyline"}


def test_mermaid_text_is_inert() -> None:
    text = to_mermaid(graph_of(EVIL))
    labels = re.findall(r'"([^"]*)"', text)
    assert text.count('"') == 2 * len(labels)
    for label in labels:
        assert not re.search(r"[<>&`\\{}|]", label.replace("<br/>", ""))
    assert "#60;script#62;" in text


def test_mermaid_draws_the_same_picture() -> None:
    graph = graph_of(DENSENET121)
    drawn, text = picture(graph), to_mermaid(graph, rankdir="LR", theme="dark")
    assert text.startswith("flowchart LR\n")
    assert len(re.findall(r"^ *b\d+[\[({]", text, re.MULTILINE)) == len(drawn.nodes)
    assert len(re.findall(r" (?:-->|-\.->)", text)) == len(drawn.edges)
    assert text.count("subgraph") == len(drawn.clusters) == len(re.findall(r"^ *end$", text, re.MULTILINE))
    assert "|#" not in text
    assert '-->|"256x56x56"|' in text


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_same_spec_gives_the_same_bytes(rankdir: str, theme: str) -> None:
    def drawn(text: str) -> tuple[str, bytes]:
        dot = to_dot(graph_of(text), rankdir=rankdir, theme=theme)  # type: ignore[arg-type]
        return dot.source, render(dot, "svg")

    for text in (RESNET50, LONG_SKIPS):
        assert drawn(text) == drawn(text)


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "import sys; from cnnc.backends.diagram import render, to_dot, to_mermaid; from cnnc.compiler.build import build;"
        "from cnnc.dsl.parse import parse; from cnnc.dsl.source import Source;"
        "graph = build(parse(Source('n', sys.stdin.read()))); dot = to_dot(graph, level='layers').source;"
        "print(to_dot(graph).source, dot, to_mermaid(graph), render(dot, 'svg').decode())"
    )
    runs = printed_under_seeds(script, seeds=("1", "2"), input=DENSENET121, bare=True)
    assert len(set(runs)) == 1


def test_the_legend_names_what_appears() -> None:
    source = to_dot(graph_of(RESNET50)).source
    for name in ("block", "convolution", "pooling", "fully connected"):
        assert f">{name}</td>" in source
    assert "reshape" not in source


# --- rendering ---------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_formats(form: str, start: bytes) -> None:
    dot = to_dot(graph_of(LONG_SKIPS))
    data = render(dot, form)  # type: ignore[arg-type]
    assert data.startswith(start)
    assert data == render(dot, form)  # type: ignore[arg-type]
    if form == "svg":
        assert b"graphviz.org" not in data
        assert b"DOCTYPE" not in data


def test_dot_needs_no_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    dot = to_dot(graph_of(LONG_SKIPS))
    assert render(dot, "dot").decode() == dot.source
    with pytest.raises(CnncError) as caught:
        render(dot, "svg")
    (found,) = caught.value.diagnostics
    assert found.code == "E802"
    assert found.hint is not None
    assert "pip install pygraphviz" in found.hint
    assert "apt install graphviz" in found.hint


def _program(folder: Path, body: str) -> str:
    path = folder / "dot"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_an_installed_dot_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = _program(tmp_path, 'echo "$@"; cat')
    monkeypatch.setattr(shutil, "which", lambda _: program)
    assert render("digraph {}", "png") == b"-Tpng -Gdpi=144\ndigraph {}"


def test_a_failing_dot_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = _program(tmp_path, "cat > /dev/null; echo 'Format: \"pdf\" not recognized.' >&2; exit 1")
    monkeypatch.setattr(shutil, "which", lambda _: program)
    with pytest.raises(CnncError, match='cannot write pdf: Format: "pdf" not recognized'):
        render("digraph {}", "pdf")


def test_a_format_that_the_library_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CnncError) as caught:
        render("digraph { a }", "webp9")  # type: ignore[arg-type]
    assert caught.value.diagnostics[0].code == "E802"
