"""The emitted Python of a dozen networks, byte for byte, so that a change to what is written is seen in review."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnc
from cnnc.backends.pytorch.helpers import helper_names, helper_source
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


def test_no_golden_file_is_without_its_test() -> None:
    orphans = {p.name for p in FOLDER.iterdir()} - {f"{name}.{form}.py" for name, form in GOLDEN}
    assert not orphans, f"nothing writes these: {', '.join(sorted(orphans))}"
