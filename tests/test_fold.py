"""A flat spec folded: the network is the same, and the text as short as one that somebody wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from handwritten import tokens
from hypothesis import HealthCheck, given, settings
from strategies import network_texts

import cnnc
from cnnc.compiler.graph import Graph
from cnnc.dsl.format import format_source
from cnnc.dsl.source import Source
from cnnc.importer.structure import Names, same, shorten
from cnnc.importer.structure.shorten import Shortening
from cnnc.importer.structure.spell import size

SPECS = Path(cnnc.__file__).parent / "specs"
ZOO = sorted(path.stem for path in SPECS.glob("*.cnn"))
SAMPLE = [
    "capsnet",
    "googlenet_aux",
    "mobilenet_v2",
    "resnet50",
    "siamese",
    "squeezenet1_1",
    "stn_mnist",
]
SHORTER = 1.25
LONGER = {
    "unet": 1.5,  # a level inside the same level: a block that is handed a chain is not found
    "ddpm_cifar10": 3.2,  # the same
    "wavenet": 14.5,  # fifty levels that two values leave
    "nasnet_a_large": 1.7,
    "nasnet_a_mobile": 1.7,
    "two_stream": 1.35,
    "lenet5_1998": 1.5,
}
"""How much longer than what somebody wrote, where that is more, and why."""


def flat(name: str) -> Graph:
    """The graph of a shipped spec's flat core: nothing of what its author wrote is left but the names."""
    return cnnc.parse(cnnc.load(f"zoo:{name}").expand()).graph


def folded(graph: Graph, names: Names = "keys") -> str:
    """The text of a graph, held to what it promises: without one rejected step, the same graph, formatted."""
    shortening = Shortening(graph, names, {})
    text = shortening.text()
    assert not shortening.problems
    assert same(graph, cnnc.parse(text).graph, names=names) is None
    assert format_source(Source("net.cnn", text)) == text
    return text


@pytest.mark.parametrize("name", SAMPLE)
def test_a_flat_core_is_folded_as_short_as_it_was_written(name: str) -> None:
    assert size(folded(flat(name))) <= SHORTER * tokens(SPECS / f"{name}.cnn")


@pytest.mark.parametrize("name", ["resnet18", "stn_mnist", "googlenet_aux"])
def test_without_its_names(name: str) -> None:
    assert size(folded(flat(name), "none")) <= SHORTER * tokens(SPECS / f"{name}.cnn")


@pytest.mark.slow
@pytest.mark.parametrize("names", ["keys", "none"])
@pytest.mark.parametrize("name", ZOO)
def test_the_whole_zoo(name: str, names: Names) -> None:
    graph = flat(name)
    text = shorten(graph, names=names)
    assert same(graph, cnnc.parse(text).graph, names=names) is None
    assert size(text) <= LONGER.get(name, SHORTER) * tokens(SPECS / f"{name}.cnn")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("resnet50", 20),
        pytest.param("densenet201", 40, marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", 35, marks=pytest.mark.slow),
    ],
)
def test_lines(name: str, lines: int) -> None:
    assert shorten(flat(name)).count("\n") <= lines


def test_what_a_person_would_write() -> None:
    assert shorten(flat("resnet50")) == (
        "model resnet50\n"
        "input 3x224x224\n"
        "default conv(norm=bn)\n"
        "\n"
        "block residual(w, s=1) = [conv1-w -> conv3-w/s -> conv1-{4*w} + downsample: shortcut] -> relu\n"
        "block layer(w, n) = residual(w, 2) -> [residual(w)]*n\n"
        "\n"
        "conv7-64/2 -> maxpool3/2(pad=1)\n"
        "layer1: [[residual(64)]*3]\n"
        "layer2: layer(128, 3)\n"
        "layer3: layer(256, 5)\n"
        "layer4: layer(512, 2) -> gap -> fc: fc-1000\n"
    )


def test_blocks_are_named_after_classes() -> None:
    classes = {f"layer{i}.{j}": "BasicBlock" for i in range(1, 5) for j in range(2)}
    assert "block basic_block(w, s=1) = " in shorten(flat("resnet18"), classes=classes)


drawn = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@drawn
@given(network_texts())
def test_any_network_folds_to_itself(text: str) -> None:
    graph = cnnc.parse(text).graph
    for names in ("keys", "none"):
        folded(graph, names)


@pytest.mark.slow
@settings(drawn, max_examples=1500)
@given(network_texts())
def test_any_network_at_length(text: str) -> None:
    graph = cnnc.parse(text).graph
    for names in ("keys", "none"):
        folded(graph, names)


def test_several_lines_with_labels() -> None:
    """What is no nest of branches is written in lines, and what is needed twice has a label."""
    graph = cnnc.parse(
        "input 3x32x32\na: conv3-8\nb: conv3-8/2\n[a -> conv3-8/2 + b] -> c: relu\n[b | c -> conv3-4] -> d: conv3-8\n"
        "a -> conv1-4/2 -> e: id\n[d | e] -> gap -> out: fc-4\nc -> gap -> aux: fc-2\noutput out, aux"
    ).graph
    folded(graph)
    folded(graph, "none")


# --- the judge ----------------------------------------------------------------------------

HEAD = "input 3x16x16\ndefault conv(norm=bn)\n"
PLAIN = "[id | conv3-8/1(pad=1) -> conv1-4] -> maxpool -> leaky(0.1) -> [conv3-8]*2 -> gap -> fc-4"


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (PLAIN.replace("maxpool", "maxpool2/1"), "maxpool1: stride is (2, 2), and (1, 1) in the other"),
        (PLAIN.replace("[id |", "[conv1-3 | id |"), "number of inputs is 2, and 3 in the other"),
        (PLAIN.replace("leaky(0.1)", "leaky(0.2)"), "slope is 0.1, and 0.2 in the other"),
        (PLAIN.replace("leaky(0.1)", "relu"), "is leaky, and relu in the other"),
        (PLAIN.replace("*2", "*3"), "in the other"),
        (PLAIN.replace("conv1-4]", "conv1-4(norm=bn(eps=1e-3))]"), "bn2: eps is 1e-05, and 0.001 in the other"),
        ("[conv3-8/1(pad=1) -> conv1-4 | id] -> maxpool -> leaky(0.1) -> [conv3-8]*2 -> gap -> fc-4", "in the other"),
    ],
)  # fmt: skip
def test_the_judge_finds_what_was_planted(other: str, found: str) -> None:
    one, two = (cnnc.parse(HEAD + text).graph for text in (PLAIN, other))
    problem = same(one, two)
    assert problem is not None and found in problem
    assert same(one, one) is None and same(two, two) is None


def test_the_judge_of_names_and_sharing() -> None:
    one, two = (cnnc.parse(f"input 3x8x8\n{label}conv3-4 -> relu").graph for label in ("", "a: "))
    assert same(one, two) is None
    assert same(one, two, names="keys") == "conv1: is called a in the other"
    shared = cnnc.parse("input 3x8x8\nshared s = conv3-3\ns -> s -> relu").graph
    alone = cnnc.parse("input 3x8x8\nconv3-3 -> conv3-3(act=relu) -> relu").graph
    assert same(shared, alone) is not None


def test_concats_of_concats_are_one_where_that_is_asked() -> None:
    head = "input 3x8x8\na: conv3-4\nb: conv3-4\n"
    one, two = (cnnc.parse(head + text).graph for text in ("[a | b | a]", "[[a | b] | a]"))
    assert same(one, two) is not None
    assert same(one, two, nested=True) is None and same(two, one, nested=True) is None
    other = cnnc.parse(f"{head}[[a | a] | b]").graph
    assert same(one, other, nested=True) is not None


def test_a_text_that_is_wrong_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no step leads to the same graph, the flat core is what is left."""
    graph = flat("vgg11")
    monkeypatch.setattr(Shortening, "problem", lambda self, text: "wrong")
    assert shorten(graph) == cnnc.parse(cnnc.load("zoo:vgg11").expand()).expand()


# --- the command --------------------------------------------------------------------------


def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnc", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def test_the_command_reads_what_expand_writes(tmp_path: Path) -> None:
    core = cnnc.load("zoo:squeezenet1_1").expand()
    done = run("fold", "-", "-o", str(tmp_path / "short.cnn"), stdin=core)
    assert done.returncode == 0
    net = cnnc.load(tmp_path / "short.cnn")
    assert net.costs.total == cnnc.load("zoo:squeezenet1_1").costs.total
    assert net.fold() == (tmp_path / "short.cnn").read_text()
