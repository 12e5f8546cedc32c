"""The networks that ship: their heads, `cnnc zoo`, and docs/zoo.md with its pictures."""

from __future__ import annotations

import json
import re
import runpy
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stopwatch import slowness, stopwatch

import cnnc
from cnnc.cli.commands import cnnc as cli
from cnnc.dsl.diagnostics import CnncError
from cnnc.zoo import SPECS, Entry, entries, entry, files_of, head_of

ROOT = Path(__file__).parent.parent
NAMES = [found.name for found in entries()]


def zoo(*words: str) -> tuple[str, int]:
    done = CliRunner().invoke(cli, ["zoo", *words], catch_exceptions=False)
    return done.output, done.exit_code


# --- heads --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_head_has_the_form(name: str) -> None:
    """`# Title (Authors 1998, place): idea.`, a second comment, and the model called as its file."""
    found = entry(name)
    assert 1986 <= found.head.year <= 2026
    assert found.head.idea and found.head.more
    lines = found.text.splitlines()
    assert lines[2].split()[:2] == ["model", name]
    assert not lines[3].startswith("#")


@pytest.mark.parametrize(
    "text",
    [
        "# VGG-16: nothing but 3x3.\n# Many.",
        "# VGG-16 (Simonyan and Zisserman): nothing but 3x3.\n# Many.",
        "# VGG-16 (2014): nothing but 3x3.\n# Many.",
        "# VGG-16 (Simonyan and Zisserman 2014) is: nothing but 3x3.\n# Many.",
        "# VGG-16 (Simonyan and Zisserman 2014): nothing but 3x3\n# Many.",
        "# VGG-16 (Simonyan and Zisserman 2014): nothing but 3x3.\nmodel vgg16",
        "# VGG-16 (Simonyan and Zisserman 2014): nothing but 3x3.",
        "",
    ],
)
def test_heads_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not (of the form|a comment of a sentence)"):
        head_of(text)


def test_parts_of_a_head() -> None:
    head = entry("siamese").head
    assert (head.title, head.authors, head.year) == ("A siamese network", "Chopra et al.", 2005)
    assert head.place == "layers as in Caffe's MNIST example"


def test_no_two_networks_say_the_same() -> None:
    heads = [(found.head.title, found.head.idea) for found in entries()]
    assert len(set(heads)) == len(heads)


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_of_parameters_and_macs(name: str) -> None:
    claims = [line for line in entry(name).text.splitlines() if line.startswith("expect ")]
    assert any(claim.startswith("expect params ") for claim in claims)
    assert any("macs" in claim for claim in claims)


def test_all_claims_in_twenty_seconds() -> None:
    """All 160 networks in one process, claims and all; it takes 8 to 14 s of a processor."""
    with stopwatch() as watch:
        for name in NAMES:
            cnnc.load(f"zoo:{name}").check()
    assert watch.seconds < 20 * slowness()


# --- the command --------------------------------------------------------------------------


def test_list_has_every_network() -> None:
    output, code = zoo()
    first, *lines = output.splitlines()
    assert code == 0
    assert first.split() == ["name", "paper", "parameters", "MACs", "input"]
    assert [line.split()[0] for line in lines] == NAMES
    (line,) = [line for line in lines if line.startswith("vgg16 ")]
    assert " ".join(line.split()) == "vgg16 Simonyan and Zisserman 2014 138,357,544 15,470,264,320 3x224x224"
    (line,) = [line for line in lines if line.startswith("two_stream ")]
    assert line.endswith("frame 3x224x224, flow 20x224x224")
    assert len({line.index("3x224x224") for line in lines if line.endswith("  3x224x224")}) == 1


def test_list_as_json() -> None:
    records = json.loads(zoo("--json")[0])
    assert [record["name"] for record in records] == NAMES
    (record,) = [record for record in records if record["name"] == "lenet5_1998"]
    assert record == {
        "name": "lenet5_1998", "title": "LeNet-5 as published", "authors": "LeCun et al.", "year": 1998,
        "place": "", "idea": "each C3 map sees some S2 maps, after Table I; sub-sampling learns.",
        "params": 60_000, "macs": 325_680, "depth": 7,
        "inputs": {"input": [1, 32, 32]}, "outputs": {"output": [10]},
    }  # fmt: skip


def test_one_is_printed() -> None:
    assert zoo("vgg16") == ((SPECS / "vgg16.cnn").read_text(), 0)
    assert zoo("zoo:vgg16") == zoo("vgg16")
    record = json.loads(zoo("vgg16", "--json")[0])
    assert (record["params"], record["spec"]) == (138_357_544, zoo("vgg16")[0])


def test_an_unknown_name_is_told() -> None:
    output, code = zoo("vgg61")
    assert code == 1
    assert output.startswith("error E701: the zoo has no `vgg61`\n    hint: did you mean `vgg1")
    with pytest.raises(CnncError):
        entry("nowhere/vgg16")


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "densenet264", "googlenet_aux", "nasnet_a_mobile"])
def test_a_copy_is_the_same_network(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "specs"
    _, code = zoo(name, "--copy", str(folder))
    assert code == 0
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == set(files_of(name))
    copy = cnnc.load(folder / f"{name}.cnn")
    copy.check()
    assert copy.pytorch() == cnnc.load(f"zoo:{name}").pytorch()
    assert zoo(name, "--copy", str(folder))[1] == 0  # the same text is no conflict


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    changed = tmp_path / "blocks" / "vgg.cnn"
    changed.parent.mkdir()
    changed.write_text("# mine\n")
    output, code = zoo("vgg19", "--copy", str(tmp_path))
    assert code == 1
    assert "E703" in output
    assert changed.read_text() == "# mine\n"
    assert not (tmp_path / "vgg19.cnn").exists()


def test_a_copy_needs_a_folder_that_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output, code = zoo("vgg16", "--copy", str(tmp_path / "file" / "below"))
    assert (code, "E703" in output) == (1, True)
    assert zoo("--copy", str(tmp_path))[1] == 2
    assert zoo("vgg16", "--json", "--copy", str(tmp_path))[1] == 2


def test_entries_are_lazy() -> None:
    """Reading heads builds no network."""
    found = Entry("vgg16")
    assert found.head.year == 2014
    assert "net" not in vars(found)


# --- docs/zoo.md --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def writer() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "zoo" / "make.py"))


def test_page_is_fresh(writer: dict[str, Any]) -> None:
    """Rewrite it with `make zoo`."""
    assert writer["PAGE"].read_text(encoding="utf8") == writer["page"]()


def test_pictures_are_fresh(writer: dict[str, Any]) -> None:
    """By the digests of their DOT texts, which are the same under every version of Graphviz."""
    wanted = {name: writer["digest"](dot) for name, dot in writer["dots"]().items()}
    assert json.loads(writer["DIGESTS"].read_text(encoding="utf8")) == wanted


def test_there_is_a_small_picture_of_each(writer: dict[str, Any]) -> None:
    pictures = {path.stem: path.read_text(encoding="utf8") for path in writer["PICTURES"].glob("*.svg")}
    assert sorted(pictures) == NAMES
    assert all("<svg" in text and text.rstrip().endswith("</svg>") for text in pictures.values())
    # RegNetY: every unit lists its branches; WaveNet: no two neighbours of its fifty units are equal
    assert max(map(len, pictures.values())) < 160_000


def test_lines_are_counted_alike() -> None:
    """benchmarks/lines.py: code only, on both sides."""
    lines = runpy.run_path(str(ROOT / "benchmarks" / "lines.py"))
    own, used = lines["spec_sizes"]("vgg16")
    assert (own.lines, used.lines, used.tokens) == (4, 0, 0)
    own, used = lines["spec_sizes"]("mobilenet_v1")
    assert (own.lines, used.lines) == (9, 2)  # std's separable
    source = 'import os\n\n# a\ndef f(x):\n    """Text.\n\n    More."""\n    y = [  # b\n        x\n    ]\n    return y\n'
    size = lines["python_size"](source, ("f",))
    assert (size.lines, size.tokens) == (5, 6 + 3 + 1 + 1 + 2)
    with pytest.raises(ValueError, match="no definition of g"):
        lines["python_size"](source, ("g",))


def test_the_page_tells_the_specs_sizes() -> None:
    """The table of docs/coming-from.md; what other packages hold is counted at the versions that it names."""
    lines = runpy.run_path(str(ROOT / "benchmarks" / "lines.py"))
    page = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf8")
    told = re.findall(r"^\| (\w+) \| (\d+), ([\d,]+) \| (\d+), ([\d,]+) \|", page, re.MULTILINE)
    assert len({row[0] for row in told}) >= 10
    for name, *numbers in told:
        own, used = lines["spec_sizes"](name)
        whole = own + used
        found = [int(n.replace(",", "")) for n in numbers]
        assert found == [own.lines, own.tokens, whole.lines, whole.tokens], name


# --- the modules --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_verify_is_exact(name: str) -> None:
    """What `cnnc verify` compares on the meta device; test_specs runs forward and backward."""
    pytest.importorskip("torch")
    from cnnc.backends.pytorch.verify import verify

    verdicts = list(islice(verify(entry(name).net.graph), 3))
    assert [verdict.what for verdict in verdicts] == ["tensors", "shapes", "MACs"]
    assert all(verdict.holds for verdict in verdicts), verdicts
