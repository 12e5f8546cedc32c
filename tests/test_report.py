"""The report: one file, nothing from outside, every text of the spec inert, the same bytes each time."""

from __future__ import annotations

import json
import re
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from reruns import printed_under_seeds

import cnnc
from cnnc.backends.diagram import open_picture
from cnnc.backends.report.charts import parts_of
from cnnc.backends.report.ranges import ranges_text
from cnnc.backends.report.record import OPEN_AT_FIRST, opened_at_first
from cnnc.cli.commands import cnnc as command
from cnnc.compiler.receptive_field import receptive_fields
from cnnc.compiler.summary import summarise

ROOT = Path(__file__).parent.parent

EVIL = """
# </script><script>alert(1)</script> <!--
input 3x32x32
"</script><script>alert(1)</script>": conv3-8
"<img src=x onerror=alert(1)>": [conv3-8 -> [id + conv3-8] -> pool]
"<!--": fc-10
"""


class Page(HTMLParser):
    """Every element with its attributes, and the text in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.elements[-1][0] if self.elements else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.fixture(scope="module")
def resnet50() -> str:
    return cnnc.load("zoo:resnet50").report()


# --- one file ----------------------------------------------------------------------------


def test_nothing_is_fetched(resnet50: str) -> None:
    page = Page(resnet50)
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert name not in attributes, f"<{tag}> has {name}"
    assert not page.all("link")
    assert not page.all("img")
    assert "@import" not in resnet50
    assert "url(" not in resnet50.replace("url(#head)", "")
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_the_page_has_its_parts(resnet50: str) -> None:
    ids = {attributes.get("id") for _, attributes in Page(resnet50).elements}
    assert ids >= {"canvas", "field", "charts", "layers", "spec", "code", "data"}
    assert "25,557,032 parameters" in resnet50
    assert "4,089,184,256 MACs" in resnet50
    assert "{{" not in resnet50
    spec = "".join(re.findall(r'id="spec">(.*?)</section>', resnet50, re.DOTALL))
    assert '<i class="keyword">block</i>' in spec
    assert "Bottleneck" in "".join(re.findall(r'id="code">(.*?)</section>', resnet50, re.DOTALL))
    assert resnet50.count('class="holds"') >= 3


def test_text_of_the_spec_is_inert() -> None:
    text = cnnc.parse(EVIL).report()
    page = Page(text)
    assert len(page.all("script")) == 2
    assert not page.all("img")
    assert [a for _, attributes in page.elements for a in attributes if a.startswith("on")] == []
    assert "alert(1)</script>" not in text
    assert "<!--" not in text.replace("<!DOCTYPE", "")
    labels = {box["title"] for box in data_of(text)["diagram"]["boxes"]}
    assert "</script><script>alert(1)</script>" in labels  # all there, and only text
    assert any("onerror=alert(1)" in words for tag, words in page.texts if tag in ("th", "button"))


def test_a_name_of_a_hole_in_the_template_is_not_filled() -> None:
    text = cnnc.parse("input 3x8x8  # {{script}}\nconv3-4 -> fc-2").report()
    assert text.count('"use strict"') == 1
    assert "{{script}}" in text


def test_the_same_spec_gives_the_same_bytes_on_every_hash_seed() -> None:
    script = "import cnnc, sys; sys.stdout.write(cnnc.load('zoo:densenet121').report())"
    assert len(set(printed_under_seeds(script, seeds=("1", "2")))) == 1


# --- what the script works on ------------------------------------------------------------


def test_boxes_of_the_page_are_those_of_the_open_picture(resnet50: str) -> None:
    graph = cnnc.load("zoo:resnet50").graph
    diagram, drawn = data_of(resnet50)["diagram"], open_picture(graph)
    assert [box["id"] for box in diagram["boxes"]] == [box.id for box in drawn.nodes]
    assert len(diagram["edges"]) == len(drawn.edges)
    covered = " ".join(box["nodes"] for box in diagram["boxes"] if box["kind"] != "output")
    numbers = [n for run in covered.split() for n in _numbers(run)]
    assert sorted(numbers) == list(range(len(graph.nodes)))


def _numbers(run: str) -> range:
    first, _, last = run.partition("-")
    return range(int(first), int(last or first) + 1)


def test_whole_levels_are_open_at_first() -> None:
    drawn = open_picture(cnnc.load("zoo:resnet50").graph)
    opened = opened_at_first(drawn)
    assert {c.title for c in drawn.clusters if c.id in opened} == {"layer1", "layer2", "layer3", "layer4"}
    unet = open_picture(cnnc.load("zoo:unet").graph)
    shown = [box for box in unet.nodes if box.cluster is None or box.cluster in opened_at_first(unet)]
    assert len(shown) <= OPEN_AT_FIRST


def test_rows_cover_every_layer_once_on_each_level(resnet50: str) -> None:
    rows = [row for row in Page(resnet50).all("tr") if "data-nodes" in row]
    layers = cnnc.load("zoo:resnet50").graph.layers
    top = [n for row in rows if not row["data-parent"] for run in (row["data-nodes"] or "").split()
           for n in _numbers(run)]  # fmt: skip
    assert sorted(top) == [layer.index for layer in layers]
    assert sum(int(row["data-macs"] or 0) for row in rows if not row["data-parent"]) == 4_089_184_256
    known = {row["id"] for row in rows}
    assert all(row["data-parent"] in known for row in rows if row["data-parent"])


def test_fields_on_the_page_are_the_analysis(resnet50: str) -> None:
    graph = cnnc.load("zoo:resnet50").graph
    fields = {field["name"]: field for field in data_of(resnet50)["fields"]}
    index = graph.labels["layer4"]
    found = receptive_fields(graph)[index]
    assert found is not None
    (step, spans), = fields[graph.nodes[index].name]["axes"][0]["hull"]  # fmt: skip
    assert spans[0][1] - spans[0][0] + 1 == found.size[0] == 427  # as claimed in the spec
    assert step == 32
    assert fields["gap1"]["whole"]


def test_bars_add_up_to_the_whole() -> None:
    for name in ("resnet50", "vgg16", "densenet121", "two_stream", "lenet5"):
        summary = summarise(cnnc.load(f"zoo:{name}").graph)
        parts = parts_of(summary)
        assert sum(row.cost.params for row in parts) == summary.totals.params
        assert sum(row.cost.macs for row in parts) == summary.totals.macs
        assert sum(row.cost.activations for row in parts) == summary.totals.activations


def test_ranges() -> None:
    assert ranges_text([]) == ""
    assert ranges_text([5, 3, 4, 9, 4]) == "3-5 9"


# --- networks of all kinds ---------------------------------------------------------------


def test_free_sizes_and_several_inputs() -> None:
    text = cnnc.parse("input a: 3xHxW\ninput b: 1xHxW\n[a | b] -> conv3-8 -> gap -> fc-2").report()
    assert data_of(text)["fields"][0]["input"] == "a"
    text = cnnc.parse("input 784\nfc-10").report()
    assert data_of(text)["diagram"]["boxes"]
    text = cnnc.parse("input 1x1600\nconv9-8/4 -> gap -> fc-2").report()
    assert len(data_of(text)["fields"][0]["axes"]) == 1


def test_a_picture_that_is_too_large_is_missing_with_its_reason() -> None:
    used = " | ".join(f"c{n}" for n in range(1, 2101))  # so that none of them may be folded away
    text = cnnc.parse(f"input 3x2x2\n[c{{i}}: conv1-1 for i in 1..2100]\n[{used}] -> fc-2").report()
    assert "boxes" in data_of(text)["diagram"]["missing"]
    assert "id=\"layers\"" in text  # fmt: skip


def test_ten_thousand_layers_take_seconds() -> None:
    net = cnnc.parse("input 3x8x8\n[conv3-{i%7+1} -> bn -> relu for i in 1..3400]\nfc-10")
    assert len(net.graph.layers) > 10_000
    started = time.perf_counter()
    text = net.report()
    assert time.perf_counter() - started < 45
    assert len(data_of(text)["diagram"]["boxes"]) < 700


def test_no_graphviz_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    net = cnnc.load("zoo:lenet5")
    assert data_of(net.report())["diagram"]["boxes"]
    assert net._repr_svg_() is None
    html = net._repr_html_()
    assert "pip install pygraphviz" in html
    assert "<table>" in html


# --- the command and the notebook --------------------------------------------------------


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    done = CliRunner().invoke(command, ["report", "zoo:lenet5", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert "wrote" in done.stderr
    assert path.read_text(encoding="utf8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    before = path.read_bytes()
    bad = tmp_path / "bad.cnn"
    bad.write_text("input 3x8x8\nkonv3-4\n")
    done = CliRunner().invoke(command, ["report", str(bad), "-o", str(path)])
    assert done.exit_code == 1
    assert path.read_bytes() == before


def test_a_notebook_shows_diagram_and_table() -> None:
    net = cnnc.load("zoo:resnet50")
    svg = net._repr_svg_()
    assert svg is not None
    assert "layer4" in svg
    html = net._repr_html_()
    assert "<svg" in html
    assert "<?xml" not in html
    assert "25,557,032" in html
    assert html.count("<tr>") < 80
    evil = Page(cnnc.parse(EVIL)._repr_html_())
    assert not evil.all("script")
    assert not evil.all("img")


def test_volumes_and_the_field_are_on_the_page() -> None:
    page = cnnc.load("zoo:lenet5").report()
    volumes = page.partition('<section id="volumes">')[2].partition("</section>")[0]
    funnel = page.partition('<section id="funnel">')[2].partition("</section>")[0]
    assert volumes.count("<svg") == funnel.count("<svg") == 1
    assert "16x10x10" in volumes and "1x32x32" in funnel
    flat = cnnc.parse("input 8\nfc-4\n").report()
    assert "no map of this network sees a part of the input only" in flat


@pytest.mark.parametrize("text", ["[conv3-8]*0", "[id]*3", "relu"])
def test_a_network_of_hardly_a_layer_has_its_page_and_its_pictures(text: str) -> None:
    net = cnnc.parse(f"input 3x8x8\n{text}\n")
    assert "3x8x8" in net.report()
    assert "<svg" in net.volumes() and b"<svg" in net.draw()
