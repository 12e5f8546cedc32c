"""Tensors of a network's own: their keys, how they start, and how they reach every image of a batch."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from graphs import graph_of, graph_on  # noqa: E402

from cnnc.compiler.cost import costs  # noqa: E402
from cnnc.compiler.expand import expand  # noqa: E402
from cnnc.compiler.receptive_field import receptive_fields  # noqa: E402
from ops.oracle import check  # noqa: E402

X = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))


def test_layer_scale_is_one_line_and_one_product() -> None:
    built = check((4, 5), "[linear-4 & layer_scale: tensor(C, 1, init=0.5)]")
    assert "self.linear1(x) * self.layer_scale" in built.source
    assert "self.layer_scale = nn.Parameter(torch.ones(4, 1) * 0.5)" in built.source
    linear = built.module.linear1
    wanted = 0.5 * (linear.weight @ X + linear.bias[:, None])
    torch.testing.assert_close(built.module(X), wanted)


def test_a_token_is_joined_to_every_image() -> None:
    built = check((4, 5), "reshape(20x1)\nx: id\n[token: tensor(3, 1, value=(1, 2, 3)) | x]")
    assert "torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)" in built.source
    y = built.module(X)
    assert y[:, :3, 0].tolist() == [[1.0, 2.0, 3.0]] * 3
    torch.testing.assert_close(y[:, 3:, 0], X.flatten(1))
    y.sum().backward()
    assert built.module.token.grad.flatten().tolist() == [3.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        ("", 0.0), ("init=1", 1.0), ("init=constant(2)", 2.0), ("value=3", 3.0),
        ("value=(1, 2, 3, 4)", [[[1.0] * 2], [[2.0] * 2], [[3.0] * 2], [[4.0] * 2]]),
        ("value=(1, 2, 3, 4, 5, 6, 7, 8)", [[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]], [[7.0, 8.0]]]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("learn", ["yes", "no"])
def test_what_it_starts_as(start: str, wanted: object, learn: str) -> None:
    args = ", ".join(["4", "1", "2", f"learn={learn}", *([start] if start else [])])
    built = check((4, 1, 2), f"[id + t: tensor({args})]")
    state = built.module.state_dict()
    assert list(state) == ["t"]
    torch.testing.assert_close(state["t"], torch.zeros(4, 1, 2) + torch.tensor(wanted))
    assert [name for name, _ in built.module.named_parameters()] == (["t"] if learn == "yes" else [])
    total = costs(built.graph).total
    assert (total.params, total.state) == ((8, 0) if learn == "yes" else (0, 8))


@pytest.mark.parametrize(
    ("init", "mean", "std"),
    [
        ("normal(0.02)", 0, 0.02), ("normal(0.1, 3)", 3, 0.1), ("uniform(-3, 3)", 0, 3**0.5),
        ("truncated_normal(0.3)", 0, 0.3 * 0.8796),
    ],
)  # fmt: skip
def test_rules_have_their_spread(init: str, mean: float, std: float) -> None:
    value = check((64, 64, 8), f"[id + t: tensor(64, 64, 8, init={init})]").module.t.detach()
    assert float(value.mean()) == pytest.approx(mean, abs=5 * std / 64)
    assert float(value.std()) == pytest.approx(std, rel=0.02)


def test_labels_with_dots_lie_in_their_modules() -> None:
    text = "[id + encoder.positions: tensor(4, 5)]\nencoder.layer: linear-4\nenc.0.t: tensor(4, 5)\nlinear-2"
    built = check((4, 5), f"{text}\nx: id\n[x | encoder.layer]")
    assert set(built.module.state_dict()) == {
        "encoder.positions", "encoder.layer.weight", "encoder.layer.bias", "enc.0.t", "linear1.weight",
        "linear1.bias",
    }  # fmt: skip


def test_a_block_into_which_nothing_flows_is_given_the_batch() -> None:
    """A generator's constant in a block of its own, nested, and twice."""
    text = """\
block constant(w) = [start: tensor(w, 5, init=1) -> linear-w]
block both = [a: constant(2) | b: constant(3)]
made: both
[made | input]
"""
    built = check((4, 5), text.replace("| input", '| "input"'))
    assert built.module(X).shape == (3, 9, 5)
    assert set(built.module.state_dict()) == {
        f"made.{x}.{key}" for x in "ab" for key in ("start", "0.weight", "0.bias")
    }


def test_a_tensor_of_a_shared_module_is_one() -> None:
    built = check((4, 5), "shared add = [id + t: tensor(4, 5, init=1)]\nadd -> add")
    torch.testing.assert_close(built.module(X), X + 2)
    assert list(built.module.state_dict()) == ["add.t"]


def test_it_has_no_field_and_gives_none() -> None:
    graph = graph_on((4, 9, 9), "conv3-4 -> [id & t: tensor(4, 1, 1)]\n[id | u: tensor(2, 9, 9) -> conv3-2]")
    fields = receptive_fields(graph)
    by_name = {node.name: fields[node.index] for node in graph.nodes}
    assert by_name["t"] is by_name["u"] is by_name["conv2"] is None
    assert by_name["concat1"] is not None
    assert by_name["concat1"].size == (3, 3)


def test_free_sizes_go_past_it() -> None:
    graph = graph_of("input 4xHxW\n[conv3-4(act=none) & t: tensor(4, 1, 1, init=2)]")
    assert [str(n) for n in graph.nodes[graph.outputs["output"]].out] == ["4", "H", "W"]


@pytest.mark.parametrize(
    "layers",
    [
        "[id & t: tensor(4, 1, init=normal(0.01))]",
        "[t: tensor(2, 5, value=(0.1, 2), learn=no) | id]",
        'a.b.c: tensor(4, 5)\n["input" + a.b.c]',
        't: tensor(4, 5) -> linear-3\n[id | "input"]',
    ],
)
def test_it_expands_to_itself(layers: str) -> None:
    graph = graph_on((4, 5), layers)
    text = expand(graph)
    again = graph_of(text)
    assert [(n.name, n.op, n.inputs) for n in again.nodes] == [(n.name, n.op, n.inputs) for n in graph.nodes]
    assert expand(again) == text


def test_an_activation_does_not_overwrite_it() -> None:
    built = check((4, 5), 't: tensor(4, 5, init=-1) -> relu\n[id + "input"]')
    built.module.train()
    built.module(X)
    assert built.module.t.detach().unique().tolist() == [-1.0]
    assert "inplace" not in built.source
