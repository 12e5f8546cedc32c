"""Joins along another axis than the channels: values, sizes, free ones, and what is no join."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from graphs import graph_of, graph_on  # noqa: E402

from cnnc.compiler.expand import expand  # noqa: E402
from cnnc.compiler.receptive_field import receptive_fields  # noqa: E402
from ops.oracle import check  # noqa: E402


@pytest.mark.parametrize(
    ("shape", "axis", "dim"),
    [
        ((3, 4), "W", 2), ((3, 4), "C", 1), ((3, 4, 5), "H", 2), ((3, 4, 5), "W", 3), ((3, 2, 4, 5), "D", 2),
        ((3, 2, 4, 5), "H", 3), ((3,), "C", 1),
    ],
)  # fmt: skip
def test_values_and_gradients(shape: tuple[int, ...], axis: str, dim: int) -> None:
    built = check(shape, f"[id | tanh | id](axis={axis})")
    x = torch.randn(2, *shape, requires_grad=True)
    wanted = torch.cat([x, x.tanh(), x], dim)
    torch.testing.assert_close(built.module(x), wanted)
    found = torch.autograd.grad(built.module(x).square().sum(), x)
    torch.testing.assert_close(found, torch.autograd.grad(wanted.square().sum(), x))


def test_a_token_before_the_patches() -> None:
    built = check((4, 5), "[token: tensor(C, 1, init=2) | id](axis=W) -> linear-3")
    assert "torch.cat([y, x], 2)" in built.source
    assert built.graph.nodes[built.graph.outputs["output"]].out == (3, 6)


def test_branches_may_differ_along_the_axis_alone() -> None:
    free = graph_of("input 3xW\n[id | id -> pool](axis=W)")
    assert [str(n) for n in free.nodes[free.outputs["output"]].out] == ["3", "(W + W//2)"]


def test_there_is_no_field_to_tell() -> None:
    graph = graph_on((3, 8), "[conv3-3 | id](axis=W)")
    field = receptive_fields(graph)[graph.outputs["output"]]
    assert field is not None
    assert field.undefined == "maps are put side by side, at concat1"


@pytest.mark.parametrize(
    "layers", ["[id | id](axis=W)", "[t: tensor(3, 4, 1) | id](axis=W) -> conv1-2", "[id | id]"]
)
def test_it_expands_to_itself(layers: str) -> None:
    graph = graph_on((3, 4, 5), layers)
    text = expand(graph)
    again = graph_of(text)
    assert [(n.name, n.op, n.inputs) for n in again.nodes] == [(n.name, n.op, n.inputs) for n in graph.nodes]
    assert expand(again) == text
