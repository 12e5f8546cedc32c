"""The second half of the language: each form against the same network written in the first half."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cnnc
from cnnc.backends.pytorch import to_pytorch

HEAD = """
input 3x16x16
param ws = (4, 8, 6)
param pairs = ((1, 4), (2, 8))
param on = yes
param n = 2
block unit(w) = [conv3-w -> conv3-w]
block both(a, b=none) = [a -> conv1-4 if b == none else [a | b] -> conv1-4]
block chain(f, *steps) = [f -> [conv1-w for w in steps]]
shared tower = conv3-4
"""


def core(body: str) -> str:
    return cnnc.parse(f"{HEAD}{body}", name="spec").expand()


SAME = [
    ("[conv3-w for w in ws]", "[conv3-w for w in 4, 8, 6]"),
    ("[conv3-w for w in (4, 8)]", "[conv3-w for w in 4, 8]"),
    ("[conv3-w for w in ws[1..]]", "[conv3-w for w in 8, 6]"),
    ("[conv3-w for w in ws[..1]]", "[conv3-w for w in 4, 8]"),
    ("conv3-8 -> [conv3-w for w in ws[1..0]]", "conv3-8"),
    ("[[conv3-w]*n for n, w in pairs]", "[[conv3-w]*n for n, w in (1, 4), (2, 8)]"),
    ("[[conv3-w]*n for n, w in (2, 4)]", "[conv3-4]*2"),
    ("[[conv3-{p[1]}]*{p[0]} for p in pairs]", "[[conv3-w]*n for n, w in (1, 4), (2, 8)]"),
    ("[conv{k}-8 for k in (3,)]", "conv3-8"),
    ("[conv3-w for _, w in pairs]", "[conv3-w for w in 4, 8]"),
    ("conv3-{ws[n]} -> conv3-{len(ws)} -> conv3-{sum(ws)}", "conv3-6 -> conv3-3 -> conv3-18"),
    ("conv3-{max(ws)} -> conv3-{min(ws[0..1])}", "conv3-8 -> conv3-4"),
    ("[conv3-4 if C in 1..3] -> [conv3-5 if C in (5, 6)]", "conv3-4"),
    ("[conv3-4 if C not in ws] -> [conv3-5 if not 4 in ws else conv3-7]", "conv3-4 -> conv3-7"),
    ("[conv3-4 if on] -> [conv3-5 if not on] -> [conv3-6 if on == yes]", "conv3-4 -> conv3-6"),
    ("[id + [conv3-3 if on else none]]", "[id + conv3-3]"),
    ("[conv3-4 | conv1-4 | [id if not on else none]]", "[conv3-4 | conv1-4]"),
    ("[id + [+ conv3-3 for i in 1..0] + conv1-3]", "[id + conv1-3]"),
    ("[id + [conv3-3 if n == 1 else conv1-3 if n == 2 else none]]", "[id + conv1-3]"),
    ("[id + [[pool -> upsample(2)] if on else none]]", "[id + pool -> upsample(2)]"),
    ("[conv3-3 + shortcut(kind=same)]", "[conv3-3 + id]"),
    ("[conv3-4 -> conv3-4 | [conv1-4 + shortcut(kind=same)]]", "[conv3-4 -> conv3-4 | conv1-4(act=none) ]"),
    ("CONV-5-4 -> POOL-2 -> conv-3x3-4/2 -> max-pool", "conv5-4 -> maxpool2 -> conv3-4/2 -> maxpool2"),
    ("fc-1_000 -> fc-10", "fc-1000 -> fc-10"),
    ("a: conv3-4 -> b: conv3-4 -> both(a, b)", "a: conv3-4 -> b: conv3-4 -> both([a], [b])"),
    ("a: conv3-4 -> both(a)", "a: conv3-4 -> both([a])"),
    ("a: conv3-4 -> chain(a, 4)", "a: conv3-4 -> chain([a], 4)"),
    ("chain(tower, 4, 8)", "chain([tower], 4, 8)"),
    ("a: conv3-4 -> conv3-4/2 -> upsample(to=a)", "a: conv3-4 -> conv3-4/2 -> upsample(like=a)"),
    ("s{n}.a: conv3-4 -> conv3-4 -> t: id\n[s{n}.a + t]", "s2.a: conv3-4 -> conv3-4 -> t: id\n[s2.a + t]"),
    ('"x{n}-{n+1}": conv3-4 -> conv3-4 -> t: id\n["x2-{n+1}" + t]', '"x2-3": conv3-4 -> conv3-4 -> t: id\n["x2-3" + t]'),
]  # fmt: skip


@pytest.mark.parametrize(("new", "old"), SAME, ids=[new for new, _ in SAME])
def test_each_form_is_the_network_of_the_first_half(new: str, old: str) -> None:
    assert core(new) == core(old)


def kinds(body: str) -> list[str]:
    net = cnnc.parse(f"input 3x8x8\n{body}", name="spec")
    return [node.op.kind for node in net.graph.layers]


def names(body: str) -> list[str]:
    net = cnnc.parse(f"input 3x8x8\n{body}", name="spec")
    return [node.name for node in net.graph.layers]


def test_a_sum_of_one_branch_leaves_its_activation_out_all_the_same() -> None:
    """The text says `+`, whatever is left: the relu of the one branch is left out as before a sum."""
    assert kinds("[conv3-4 + [id if C == 9 else none]] -> bias -> conv3-4") == ["conv", "bias", "conv"]
    assert kinds("[conv3-4 + conv1-4] -> bias -> conv3-4") == ["conv", "conv", "add", "bias", "conv"]
    assert kinds("[+ conv3-4 for i in 1..1] -> pool") == ["conv", "maxpool"]
    assert kinds("[conv3-4] -> pool") == ["conv", "relu", "maxpool"]
    # A product is looked through only to an activation: one that follows replaces the default, also where one factor is left.
    assert kinds("[conv3-4 & conv1-4] -> relu") == ["conv", "conv", "mul", "relu"]
    assert kinds("[& conv3-4 for i in 1..1] -> relu") == ["conv", "relu"]
    assert kinds("[& conv3-4 for i in 1..1] -> pool") == ["conv", "relu", "maxpool"]
    # A concatenation is looked through.
    assert kinds("[| conv3-4 for i in 1..1] -> relu") == ["conv", "relu"]


def test_a_bracket_with_an_operator_counts_by_kind_whatever_is_left() -> None:
    two = names("a: [conv3-4 -> conv3-4 + [conv1-4 if C < 9 else none]]")
    one = names("a: [conv3-4 -> conv3-4 + [conv1-4 if C > 9 else none]]")
    assert one == ["a.conv1", "a.relu1", "a.conv2"]
    assert two == ["a.conv1", "a.relu1", "a.conv2", "a.conv3", "a.add1"]


def test_a_label_in_an_arm_names_the_module_and_opens_no_level() -> None:
    found = names("a: [conv3-3 + [identity: bn if C == 3 else none]]")
    assert found == ["a.conv1", "a.identity", "a.add1"]


def test_levels_without_a_name() -> None:
    body = (
        "f: [_: conv3-4(norm=bn) -> [_: [conv3-4 -> pool] for i in 1..2]]\n_: [conv3-4 + id]\n_: [_: conv3-4]"
    )
    assert names(body) == [
        "f.0.0", "f.0.1", "f.0.2", "f.1.0", "f.1.1", "f.1.2", "f.2.0", "f.2.1", "f.2.2", "seq1.conv1", "seq1.add1",
        "seq2.0.0",
    ]  # fmt: skip


def test_a_level_holds_the_labels_in_it() -> None:
    with pytest.raises(cnnc.CnncError, match="label is called `x`"):
        names("_: [x: conv3-4]\n[x + id]")


def test_lists_and_flags_from_outside(tmp_path: Path) -> None:
    spec = tmp_path / "listed.cnn"
    spec.write_text("input 3x8x8\nparam ws = (4, 8)\nparam se = no\n[conv3-w for w in ws] -> [pool if se]\n")
    for lists in ((2, 3, 5), [2, 3, 5], "(2, 3, 5)"):
        net = cnnc.load(str(spec), ws=lists, se=True)
        assert net.outputs["output"] == (5, 4, 4)
    assert cnnc.load(str(spec), se="yes").outputs["output"] == (8, 4, 4)
    assert cnnc.load(str(spec), se=False).outputs["output"] == (8, 8, 8)


def test_settings_of_a_used_file_are_its_params(tmp_path: Path) -> None:
    (tmp_path / "parts.cnn").write_text("param w = 1\nparam act = relu\nblock unit = conv3-{4*w}(act=act)\n")
    spec = tmp_path / "spec.cnn"
    spec.write_text(
        "input 3x8x8\nparam k = 3\n"
        'use unit from "parts.cnn"\nuse unit as wide from "parts.cnn" (w=k, act=silu)\n'
        "unit -> wide -> unit -> gap\n"
    )
    net = cnnc.load(str(spec))
    layers = [(node.op.kind, node.out[0]) for node in net.graph.layers]
    assert layers[:4] == [("conv", 4), ("relu", 4), ("conv", 12), ("silu", 12)]
    assert cnnc.load(str(spec), k=5).graph.layers[2].out[0] == 20


def test_claims_of_settings_are_those_of_other_networks() -> None:
    text = "input 3x8x8\nparam w = 1\nconv3-{4*w}\nexpect params == 112\nexpect params == 224 with w=2\n"
    claims = cnnc.parse(text).claims
    assert [(claim.text, claim.holds) for claim in claims] == [
        ("params == 112", True), ("params == 224 with w=2", True),
    ]  # fmt: skip
    assert [claim.text for claim in cnnc.parse(text, w=3).claims] == ["params == 224 with w=2"]
    assert len(cnnc.parse(text, w=1).claims) == 2


def test_an_identity_where_shapes_agree_is_written_as_an_if() -> None:
    net = cnnc.parse(
        "input 4x8x8\nblock unit(w, s=1) = [conv3-w/s(norm=bn) + shortcut(kind=same)]\nunit(4) -> unit(4, 2) -> unit(6)\n"
    )
    text = to_pytorch(net.graph)
    assert "in_channels == w and s == 1" in text
    assert text.count("class Unit") == 1
    with torch.no_grad():
        x = torch.randn(2, 4, 8, 8)
        module = net.module().eval()
        first = module.unit1
        assert torch.equal(first(x), first.bn1(first.conv1(x)) + x)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_extern_with_two_inputs_takes_them_in_order(
    order: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "minus_of.py").write_text(
        "from torch import nn\nclass Minus(nn.Module):\n"
        "    def __init__(self, k):\n        super().__init__()\n        self.k = k\n"
        "    def forward(self, a, b):\n        return self.k * a - b\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    inputs = ["left", "right"]
    first, second = (inputs[i] for i in order)
    net = cnnc.parse(
        'input left: 2x4x4\ninput right: 2x4x4\nextern minus(k=3) = "minus_of:Minus" (ins=2, shape=same)\n'
        f"{first} -> minus({second})\n"
    )
    left, right = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    a, b = ((left, right)[i] for i in order)
    assert torch.equal(net.module()(left, right), 3 * a - b)


def test_a_label_that_one_call_of_a_block_uses_is_used() -> None:
    """W101 speaks of the block's text: once, and only where no call uses the label."""
    block = "input 3x8x8\nblock unit(w) = [conv3-w -> y: id -> conv3-w -> z: id -> relu]\n"
    text = f"{block}a: unit(4)\nb: unit(4)\nc: unit(4)\n"
    assert [d.message for d in cnnc.parse(f"{text}[a.y + c]").warnings] == ["the label `z` is never used"]
    assert len(cnnc.parse(text).warnings) == 2
