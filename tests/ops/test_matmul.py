"""Products of matrices: values and gradients, figures, fields, free sizes."""

from __future__ import annotations

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from graphs import graph_of, graph_on  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from cnnc.compiler.cost import costs  # noqa: E402
from cnnc.compiler.expand import expand  # noqa: E402
from cnnc.compiler.receptive_field import receptive_field  # noqa: E402
from ops.oracle import check  # noqa: E402


@given(st.lists(st.integers(1, 5), min_size=3, max_size=5))
@settings(max_examples=25, derandomize=True, database=None, deadline=None)
def test_a_product_of_several_is_taken_from_the_left(sizes: list[int]) -> None:
    """C x N times N x M times M x K, the first being what flows in, the others tensors."""
    pairs = list(pairwise(sizes[1:]))
    tensors = "\n".join(f"t{i}: tensor({n}, {m}, init=normal(1))" for i, (n, m) in enumerate(pairs))
    names = " @ ".join(f"t{i}" for i in range(len(pairs)))
    built = check((sizes[0], sizes[1]), f'{tensors}\n["input" @ {names}]')
    x = torch.randn(2, sizes[0], sizes[1], requires_grad=True)
    wanted = x
    for i in range(len(pairs)):
        wanted = wanted @ built.module.get_parameter(f"t{i}")
    y = built.module(x)
    torch.testing.assert_close(y, wanted)
    inputs = [x, *built.module.parameters()]
    found = torch.autograd.grad(y.square().sum(), inputs)
    torch.testing.assert_close(found, torch.autograd.grad(wanted.square().sum(), inputs))
    assert costs(built.graph).total.macs == sizes[0] * sum(n * m for n, m in pairs)


def test_default_activations_are_left_out_before_it() -> None:
    kinds = [node.op.kind for node in graph_on((4, 4), "[conv1-4 @ conv1-4]").layers]
    assert kinds == ["conv", "conv", "matmul"]


def test_its_field_is_the_whole_map_and_beside_it_the_last_factors() -> None:
    graph = graph_on((9, 9), "[conv3-9 @ conv5-9]")
    field = receptive_field(graph, graph.outputs["output"])
    assert field is not None
    assert field.whole
    assert field.size == (9,)
    assert field.ungated is not None
    assert field.ungated[0].size == 5


def test_free_sizes() -> None:
    graph = graph_of('input 4xW\na: tensor(3, 4)\n[a @ "input"]')
    assert [str(n) for n in graph.nodes[graph.outputs["output"]].out] == ["3", "W"]
    assert str(costs(graph).total.macs) == "(12*W)"


@pytest.mark.parametrize("layers", ["[conv1-5 @ id]", "[@ conv1-5 for i in 1..3]", "m: [id @ id] -> conv1-2"])
def test_it_expands_to_itself(layers: str) -> None:
    graph = graph_on((5, 5), layers)
    text = expand(graph)
    again = graph_of(text)
    assert [(n.name, n.op, n.inputs) for n in again.nodes] == [(n.name, n.op, n.inputs) for n in graph.nodes]


@pytest.mark.parametrize(("joined", "codes"), [("[a @ a]", []), ("[a + a]", ["W202"])])
def test_a_product_of_a_tensor_with_itself_is_no_linear_step(joined: str, codes: list[str]) -> None:
    graph = graph_of(f"input 4x4\na: conv1-4\n{joined} -> conv1-4\n")
    assert [warning.code for warning in graph.warnings] == codes
