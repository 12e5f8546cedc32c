"""The papers' configuration tables: which rows, what stands in them, in Markdown, LaTeX and SVG."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from graphs import graph_of
from reruns import printed_under_seeds

from cnnc.backends import configuration
from cnnc.backends.configuration import Row, Table, table_of
from cnnc.backends.configuration.picture import scene_of
from cnnc.backends.vector import Text
from cnnc.backends.vector.scene import bounds, every
from cnnc.cli.commands import cnnc
from cnnc.net import load

SVG = "{http://www.w3.org/2000/svg}"
VGG = ("vgg11", "vgg11_lrn", "vgg13", "vgg16_c", "vgg16", "vgg19")
RESNET = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def table(*names: str) -> Table:
    return table_of([load(f"zoo:{name}").graph for name in names])


def cells(row: Row) -> list[list[str]]:
    return [[entry.text for entry in entries] for entries in row.cells]


# --- against the papers' tables ----------------------------------------------------------


def test_vgg_is_table_1_of_the_paper() -> None:
    """Simonyan and Zisserman 2014, Table 1: configurations A, A-LRN, B, C, D, E."""
    found = table(*VGG)
    assert dict(found.head)["weight layers"] == ("11", "11", "13", "16", "16", "19")
    stages = [cells(row) for row in found.rows if not row.is_common]
    assert stages[0] == [["conv3-64"], ["conv3-64", "lrn5"], *[["conv3-64"] * 2] * 4]
    assert stages[1] == [*[["conv3-128"]] * 2, *[["conv3-128"] * 2] * 4]
    for width, stage in ((256, stages[2]), (512, stages[3]), (512, stages[4])):
        conv3, conv1 = f"conv3-{width}", f"conv1-{width}"
        assert stage == [*[[conv3] * 2] * 3, [conv3, conv3, conv1], [conv3] * 3, [conv3] * 4]
    shared = [cells(row)[0] for row in found.rows if row.is_common]
    assert shared == [*[["maxpool2/2"]] * 5, ["fc-4096"], ["fc-4096"], ["fc-1000"]]
    assert [row.output for row in found.rows] == [
        "224x224", "112x112", "112x112", "56x56", "56x56", "28x28", "28x28", "14x14", "14x14", "7x7",
        "4096", "4096", "1000",
    ]  # fmt: skip


def test_vgg_has_the_paper_s_parameters() -> None:
    """Simonyan and Zisserman 2014, Table 2: 133, 133, 133, 134, 138 and 144 million."""
    assert dict(table(*VGG).foot)["params"] == ("133M", "133M", "133M", "134M", "138M", "144M")


def test_resnet_is_table_1_of_the_paper() -> None:
    """He et al. 2015, Table 1."""
    found = table(*RESNET)
    rows = {row.label: cells(row) for row in found.rows if row.label}
    counts = {"layer1": (2, 3, 3, 3, 3), "layer2": (2, 4, 4, 4, 8),
              "layer3": (2, 6, 6, 23, 36), "layer4": (2, 3, 3, 3, 3)}  # fmt: skip
    for label, width in (("layer1", 64), ("layer2", 128), ("layer3", 256), ("layer4", 512)):
        plain = f"[3x3, {width}; 3x3, {width}]"
        narrow = f"[1x1, {width}; 3x3, {width}; 1x1, {4 * width}]"
        blocks = (plain, plain, narrow, narrow, narrow)
        assert rows[label] == [[f"{b} x {n}"] for b, n in zip(blocks, counts[label], strict=True)]
    sizes = {row.label: row.output for row in found.rows}
    assert [sizes[f"layer{i}"] for i in (1, 2, 3, 4)] == ["56x56", "28x28", "14x14", "7x7"]
    assert cells(found.rows[0])[0] == ["conv7-64/2"]
    assert cells(found.rows[1])[0] == ["maxpool3/2"]


def test_densenet_counts_its_layers() -> None:
    """Huang et al. 2017, Table 1: 6, 12, 24, 16 layers of DenseNet-121, growth 32."""
    blocks = [text for row in table("densenet121").rows for text in cells(row)[0] if text.startswith("[")]
    assert blocks == [f"[1x1, 128; 3x3, 32] x {n}" for n in (6, 12, 24, 16)]


def test_inception_shows_its_branches() -> None:
    """Szegedy et al. 2015, Table 1, row 3a."""
    texts = [text for row in table("googlenet").rows for text in cells(row)[0]]
    assert "[1x1, 64 | 1x1, 96; 3x3, 128 | 1x1, 16; 5x5, 32 | maxpool3; 1x1, 32]" in texts
    assert len([text for text in texts if text.startswith("[")]) == 9


def test_groups_are_told_and_many_equal_layers_counted() -> None:
    text = "input 8x16x16\nblock b = [id + conv1-8(groups=2) -> conv3-8] -> relu\n[b]*3 -> [conv3-8]*5"
    (row,) = table_of([graph_of(text)]).rows
    assert cells(row) == [["[1x1, 8, 2 groups; 3x3, 8] x 3", "conv3-8 x 5"]]


# --- lining up ---------------------------------------------------------------------------


def test_a_stage_that_one_network_lacks_leaves_a_gap() -> None:
    one = graph_of("input 3x32x32\nconv3-8 -> pool -> conv3-16 -> pool -> fc-10", "one")
    two = graph_of("input 3x32x32\nconv3-8 -> pool -> fc-10", "two")
    rows = [(row.output, cells(row)) for row in table_of([one, two]).rows]
    assert rows == [
        ("32x32", [["conv3-8"], ["conv3-8"]]), ("16x16", [["maxpool2/2"], ["maxpool2/2"]]),
        ("16x16", [["conv3-16"], []]), ("8x8", [["maxpool2/2"], []]), ("10", [["fc-10"], ["fc-10"]]),
    ]  # fmt: skip


def test_networks_of_one_plan_line_up_at_any_size() -> None:
    found = table_of([graph_of(f"input 3x{n}x{n}\nconv3-8 -> pool -> fc-10", f"n{n}") for n in (32, 48)])
    assert [row.output for row in found.rows] == ["32x32 / 48x48", "16x16 / 24x24", "10"]


def test_a_label_stands_only_where_the_networks_agree_on_it() -> None:
    one, two = (graph_of(f"input 3x8x8\n{label}: conv3-8\nfc-2", label) for label in ("stem", "root"))
    assert [row.label for row in table_of([one, two]).rows] == ["", ""]
    assert not table_of([one, two]).has_labels
    assert [row.label for row in table_of([one, one]).rows] == ["stem", ""]


def test_no_network_is_no_table() -> None:
    with pytest.raises(ValueError, match="a table needs at least one network"):
        table_of([])


def test_what_nobody_knows_makes_a_least_total() -> None:
    text = 'input 3x8x8\nextern att = "a:B" (shape=same)\nconv3-8 -> att'
    assert dict(table_of([graph_of(text)]).foot)["params"] == ("at least 224",)


# --- the formats -------------------------------------------------------------------------


def test_markdown_is_a_table_of_equal_rows() -> None:
    lines = configuration.markdown([load(f"zoo:{name}").graph for name in RESNET]).splitlines()
    assert lines[0] == "|  | output | resnet18 | resnet34 | resnet50 | resnet101 | resnet152 |"
    assert lines[1] == "| --- | --- | :---: | :---: | :---: | :---: | :---: |"
    assert {line.count("|") for line in lines} == {8}
    assert r"\[1x1, 64; 3x3, 64; 1x1, 256\] x 3" in lines[5]
    assert lines[-2].startswith("|  | **params** | 11.7M |")
    assert lines[-1].startswith("|  | **MACs** | 1.81G |")


def test_latex_spans_what_is_common_and_balances() -> None:
    tex = configuration.latex([load(f"zoo:{name}").graph for name in VGG])
    assert tex.count(r"& \multicolumn{6}{c}{maxpool2/2} \\ \hline") == 5 == tex.count("maxpool2/2")
    for begin in ("tabular", "array"):
        assert tex.count(rf"\begin{{{begin}}}") == tex.count(rf"\end{{{begin}}}")
    assert tex.count("{") == tex.count("}")
    blocks = configuration.latex([load("zoo:resnet50").graph])
    assert r"\left[\begin{array}{c}\textrm{1\ensuremath{\times}1, 64} \\ " in blocks
    assert blocks.count(r"\left[") == blocks.count(r"\right]") == 4


def test_svg_has_a_group_for_each_stage_and_no_text_over_another() -> None:
    for names in (VGG, RESNET, ("googlenet",), ("lenet5", "alexnet"), ("densenet121", "densenet169")):
        found = table(*names)
        scene = scene_of(found)
        texts = [item for item in every(scene.items) if isinstance(item, Text)]
        over = [(a.text, b.text) for a, b in combinations(texts, 2) if bounds(a).overlaps(bounds(b))]
        assert over == []
        root = ET.fromstring(configuration.svg([load(f"zoo:{name}").graph for name in names]))
        stages = [group for group in root.iter(f"{SVG}g") if group.get("class") == "stage"]
        assert len(stages) == len(found.rows)
        assert set(found.names) <= {text.text for text in root.iter(f"{SVG}text")}


def test_svg_follows_the_theme() -> None:
    graphs = [load("zoo:lenet5").graph]
    assert 'fill="#0d1117"' in configuration.svg(graphs, "dark")
    assert 'fill="#ffffff"' in configuration.svg(graphs, "light")


EVIL = """
input 3x8x8
"<script>|a_b*": conv3-8
pool
r"50% & #1 $x ~^": fc-2
""".replace('r"', '"')


def test_labels_are_inert_in_every_format() -> None:
    graphs = [graph_of(EVIL, "n|_<b>&")]
    markdown = configuration.markdown(graphs)
    assert "<script" not in markdown and "<b>" not in markdown
    assert {line.count("|") for line in markdown.splitlines()} == {4}
    assert r"&#60;script&#62;&#124;a\_b\*" in markdown
    tex = configuration.latex(graphs)
    assert r"\textless{}script\textgreater{}\textbar{}a\_b*" in tex
    assert r"50\% \& \#1 \$x \textasciitilde{}\textasciicircum{}" in tex
    root = ET.fromstring(configuration.svg(graphs))
    assert "<script>|a_b*" in {text.text for text in root.iter(f"{SVG}text")}


def test_bytes_are_the_same_for_every_hash_seed() -> None:
    program = (
        "from cnnc.net import load; from cnnc.backends import configuration as c; "
        "g = [load('zoo:' + n).graph for n in ('googlenet', 'nin_cifar10')]; "
        "print(c.markdown(g), c.latex(g), c.svg(g))"
    )
    assert len(set(printed_under_seeds(program))) == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_reads_the_tabular(tmp_path: Path) -> None:
    graphs = [load("zoo:resnet18").graph, load("zoo:googlenet").graph, graph_of(EVIL, "n|_<b>&")]
    head = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{textcomp}\\begin{document}\n"
    (tmp_path / "a.tex").write_text(head + configuration.latex(graphs) + "\\end{document}\n")
    command = ["pdflatex", "-interaction=batchmode", "-no-shell-escape", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, (tmp_path / "a.log").read_text(errors="replace")[-2000:]


# --- the command -------------------------------------------------------------------------


def draw(*arguments: str) -> Result:
    return CliRunner().invoke(cnnc, ["draw", "--style", "table", *arguments])


@pytest.mark.parametrize(
    ("ending", "start"),
    [("md", "| output | vgg11 | vgg16 |\n"), ("tex", r"\begin{tabular}{l|cc}"), ("svg", "<svg ")],
)
def test_the_command_writes_every_format(folder: Path, ending: str, start: str) -> None:
    done = draw("zoo:vgg11", "zoo:vgg16", "-o", f"vgg.{ending}")
    assert (done.exit_code, done.stderr) == (0, f"wrote vgg.{ending} (table)\n")
    assert (folder / f"vgg.{ending}").read_text().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("zoo:vgg11", "-o", "vgg.gif"),
            "'vgg.gif': the extension must be svg, png, pdf, md or tex for a table",
        ),
        (
            ("zoo:vgg11", "--theme", "dark", "-o", "vgg.md"),
            "--theme is for pictures, and a table as md has no colours",
        ),
        (("zoo:vgg11", "--block", "vgg", "-o", "vgg.md"), "--block is for diagrams, not for --style table"),
        (
            ("zoo:vgg11", "--rf", "features"),
            "--rf is a separate picture and cannot be combined with --style table",
        ),
    ],
)
def test_what_the_command_refuses(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = draw(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not list(folder.iterdir())


def test_a_wrong_spec_among_several_is_told(folder: Path) -> None:
    done = draw("zoo:vgg11", "zoo:vgg99")
    assert done.exit_code == 1
    assert "error E701: the zoo has no `vgg99`" in done.stderr
    assert not list(folder.iterdir())
