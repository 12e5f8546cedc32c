"""What papers and public code say of the networks, held against the specs.

data/published.json has the figures, each as a claim in the language's own words on
`of`, a network of the zoo (`params` are the values of its params, `input` its size,
`replace` a change of its text, `smallest` the smallest size that it takes), or on `call`, a block of cnnc/specs/blocks with
arguments. Sums that are printed wrong stand there as they are derived, and `what`
tells what is printed. A figure that the analysis cannot give has a reason in
`left_out`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cnnc
from cnnc.zoo import SPECS, entries

DATA = json.loads((Path(__file__).parent / "data" / "published.json").read_text(encoding="utf8"))
FACTS: list[Any] = [
    pytest.param(fact, id=f"{subject['subject']}: {fact['what']}")
    for subject in DATA
    for fact in subject["facts"]
    if "left_out" not in fact
]
OF_LECTURES = {"mnist", "dense_block", "alexnet_lecture"}
"""Beginnings of names of networks that lectures have, and no paper that prints their figures."""


def text_of(fact: dict[str, Any]) -> str:
    """The spec that a fact is about."""
    if fact["of"] is None:
        block = fact["block"]
        return f'model m = {fact["call"]}\ninput {fact["input"]}\nuse {block} from "blocks/{block}.cnn"\n'
    text = (SPECS / f"{fact['of']}.cnn").read_text(encoding="utf8")
    for old, new in fact.get("replace", ()):
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("fact", FACTS)
def test_figure(fact: dict[str, Any]) -> None:
    spec = "".join(line for line in text_of(fact).splitlines(keepends=True) if not line.startswith("expect "))
    params = fact.get("params", {})
    setting = ", ".join(f"{name}={value}" for name, value in params.items())
    claims = "".join(f"expect {claim}{' with ' + setting if setting else ''}\n" for claim in fact["claims"])
    size = None if fact["of"] is None else fact.get("input")
    net = cnnc.parse(f"{spec}\n{claims}", name=str(SPECS / "m.cnn"), input=size, **params)
    net.check()
    assert len(net.claims) == len(fact["claims"]) > 0


@pytest.mark.parametrize("fact", [p for p in FACTS if "smallest" in p.values[0]])
def test_smallest_input(fact: dict[str, Any]) -> None:
    """The size below which torchvision's network fails is refused, too."""
    path, size = SPECS / f"{fact['of']}.cnn", fact["smallest"]
    assert cnnc.load(path, input=f"3x{size}x{size}").outputs
    if size > 1:
        with pytest.raises(cnnc.CnncError) as caught:
            cnnc.load(path, input=f"3x{size - 1}x{size - 1}")
        assert {d.code for d in caught.value.diagnostics} == {"E403"}


def test_what_is_left_out_says_why() -> None:
    left_out = [fact for subject in DATA for fact in subject["facts"] if "left_out" in fact]
    assert all(len(fact["left_out"]) > 10 and "claims" not in fact for fact in left_out)
    assert (len(left_out), len(FACTS)) == (9, 228), "a figure was left out, or added"
    assert all(subject["source"] for subject in DATA)


def test_every_network_of_a_paper_has_figures() -> None:
    """In the data, or by its own claims of a figure of its paper."""
    known = {fact["of"] for subject in DATA for fact in subject["facts"] if "of" in fact}
    without = {entry.name for entry in entries()} - known
    own = {name for name in without if not name.startswith(tuple(OF_LECTURES))}
    assert all("expect params" in (SPECS / f"{name}.cnn").read_text(encoding="utf8") for name in own)
