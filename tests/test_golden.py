"""The emitted Python of a dozen networks, byte for byte, so that a change to what is written is seen in review."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cnnc
from cnnc.backends.pytorch.helpers import helper_names, helper_source
from cnnc.compiler.ops import all_ops
from cnnc.net import Form

FOLDER = Path(__file__).parent / "golden"
NETWORKS = (
    "densenet_bc100_k12", "fcn8s", "googlenet", "lenet5", "mobilenet_v2", "mobilenet_v3_small", "nasnet_a_mobile",
    "resnet50", "shufflenet_g3", "siamese", "two_stream", "unet",
)  # fmt: skip
FORMS: dict[str, Form] = {"plain": None, "inference": "inference"}
GOLDEN = [(name, form) for name in NETWORKS for form in FORMS]


def without_helpers(source: str) -> str:
    """The file with each helper's name in place of its text; these are the same in all, and most of it."""
    for name in helper_names():
        source = source.replace(f"\n\n\n{helper_source(name).rstrip()}\n", f"\n\n\n# helper {name}\n")
    return source


@pytest.mark.parametrize(("name", "form"), GOLDEN)
def test_the_file_is_the_golden_one(name: str, form: str, update_golden: bool) -> None:
    path = FOLDER / f"{name}.{form}.py"
    written = cnnc.load(f"zoo:{name}").pytorch(optimize=FORMS[form])
    if form == "inference":
        written = without_helpers(written)
    if update_golden:
        path.write_text(written, encoding="utf8", newline="\n")
    if not path.exists() or path.read_text(encoding="utf8") != written:
        pytest.fail(
            f"tests/golden/{path.name} is not what cnnc writes now; to renew it, and then read the difference:\n"
            f"python -m pytest tests/test_golden.py -k {name} --update-golden",
            pytrace=False,
        )


LAYERS = FOLDER / "layers.txt"
"""Specs of a layer, their lines marked by `## `, each with the lines that build and run it."""


def sections() -> dict[str, str]:
    """The lines of each spec of the golden file of layers; the first line of a spec is its input."""
    out: dict[str, str] = {}
    for section in re.split(r"^(?=## input )", LAYERS.read_text(encoding="utf8"), flags=re.M)[1:]:
        lines = section.splitlines(keepends=True)
        spec = "".join(line.removeprefix("## ") for line in lines if line.startswith("## "))
        out[spec] = "".join(line for line in lines if not line.startswith("## "))
    return out


def lines_of(spec: str) -> str:
    """What is written for the layers of a spec: helpers and imports, and what the class does."""
    source = without_helpers(cnnc.parse(spec).pytorch())
    head, _, body = source.partition("\n\n\nclass ")
    usual = ("import torch", "import torch.nn.functional as F", "from torch import Tensor, nn")
    needs = [line for line in head.rpartition('"""\n')[2].splitlines() if line not in usual]
    does = body.partition("super().__init__()\n")[2].partition("\n\n\nif __name__")[0].splitlines()
    return "".join(f"{line}\n" for line in (*needs, *does) if line)


@pytest.mark.parametrize("spec", sections())
def test_each_layer_is_written_as_in_the_golden_file(spec: str, update_golden: bool) -> None:
    written, known = lines_of(spec), sections()
    if update_golden:
        known[spec] = written
        text = "".join(
            re.sub("^", "## ", one.rstrip("\n"), flags=re.M) + f"\n{body}" for one, body in known.items()
        )
        LAYERS.write_text(text, encoding="utf8", newline="\n")
    assert known[spec] == written, "to renew it, and then read the difference: --update-golden"


def test_every_layer_is_in_the_golden_file() -> None:
    found = {node.op.kind for spec in sections() for node in cnnc.parse(spec).graph.layers}
    assert {op.kind for op in all_ops() if not op.internal} <= found


def test_no_golden_file_is_without_its_test() -> None:
    orphans = (
        {p.name for p in FOLDER.iterdir()} - {f"{name}.{form}.py" for name, form in GOLDEN} - {LAYERS.name}
    )
    assert not orphans, f"nothing writes these: {', '.join(sorted(orphans))}"
