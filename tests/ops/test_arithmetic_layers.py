"""Arithmetic without weights: values by Python's math, gradients by differences, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from graphs import graph_on

torch = pytest.importorskip("torch")

from cnnc.compiler.expand import expand  # noqa: E402
from cnnc.compiler.receptive_field import receptive_field  # noqa: E402
from ops.oracle import compiled  # noqa: E402

SIZES = {0: (), 1: (3,), 2: (2, 3), 3: (2, 1, 2)}
MATH: dict[str, Callable[[float], float]] = {
    "times(-1)": lambda v: -v,
    "times(2.5)": lambda v: v * 2.5,
    "plus(3)": lambda v: v + 3,
    "plus(-0.5)": lambda v: v - 0.5,
    "pow(-1)": lambda v: 1 / v,
    "pow(0.5)": math.sqrt,
    "pow(-1/2)": lambda v: 1 / math.sqrt(v),
    "pow(2)": lambda v: v * v,
    "pow(1/3)": math.cbrt,
    "exp": math.exp,
    "log": math.log,
    "abs": abs,
    "sin": math.sin,
    "cos": math.cos,
    "clamp(0.3, 0.9)": lambda v: min(max(v, 0.3), 0.9),
    "clamp(low=0.5)": lambda v: max(v, 0.5),
    "clamp(high=1)": lambda v: min(v, 1),
    "normalize(mean=10**30, std=10**30)": lambda v: (v - 1e30) / 1e30,
    "normalize(mean=0.5, std=1/4)": lambda v: (v - 0.5) / 0.25,
}


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("word", MATH)
def test_values_and_gradients(word: str, rank: int) -> None:
    torch.manual_seed(0)
    shape = (2, *SIZES[rank])
    module = compiled(graph_on(shape, word)).module.double()
    x = (torch.rand(2, *shape, dtype=torch.float64) + 0.2).requires_grad_()
    expected = torch.tensor([MATH[word](v) for v in x.flatten().tolist()], dtype=torch.float64)
    torch.testing.assert_close(module(x).flatten(), expected)
    assert torch.autograd.gradcheck(module, (x,))


@pytest.mark.parametrize(
    ("layers", "line"),
    [
        ("[id + sin -> times(-1)]", "return x - torch.sin(x)"),
        ("[id & sin -> pow(-1)]", "return x * y"),
        ("[id + sin] -> times(3)", "return (x + torch.sin(x)) * 3"),
        ("[[id + sin] & cos]", "return y * torch.cos(x)"),
        ("[id + sin -> plus(-2)]", "y = torch.sin(x) - 2"),
        ("[id + sin] -> times(-1)", "return -(x + torch.sin(x))"),
        ("times(2) -> times(-1) -> plus(1) -> exp", "return torch.exp(-(x * 2) + 1)"),
        ("clamp(none, 6) -> clamp(low=0)", "return torch.clamp(torch.clamp(x, max=6), min=0)"),
    ],
)
def test_is_written_as_a_person_would(layers: str, line: str) -> None:
    source = compiled(graph_on((2, 3, 3), layers)).source
    assert line in source, source


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("times(10**30)", 2e30), ("plus(-(2**64))", -(2.0**64)), ("pow(10**30)", math.inf), ("clamp(low=10**30)", 1e30),
        ("times(2**53)", 2.0**54), ("clamp(high=-(10**30))", -1e30),
    ],
)  # fmt: skip
def test_numbers_that_64_bits_do_not_hold(word: str, wanted: float) -> None:
    assert compiled(graph_on((1,), word)).module(torch.full((1, 1), 2.0)) == torch.tensor([[wanted]])


def test_a_difference_and_a_quotient_are_those() -> None:
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64) + 0.5
    difference = compiled(graph_on((3, 4, 4), "[times(3) + plus(1) -> times(-1)]")).module
    quotient = compiled(graph_on((3, 4, 4), "[times(3) & plus(1) -> pow(-1)]")).module
    torch.testing.assert_close(difference(x), 3 * x - (x + 1))
    torch.testing.assert_close(quotient(x), 3 * x / (x + 1))


def test_noise_is_standard_normal_in_training_and_evaluation() -> None:
    module = compiled(graph_on((4, 10, 10), "noise")).module
    for training in (True, False):
        torch.manual_seed(0)
        x = torch.full((100, 4, 10, 10), 7.0)
        y = module.train(training)(x)
        assert float(y.mean()) == pytest.approx(0, abs=0.02)
        assert float(y.std()) == pytest.approx(1, abs=0.02)
        assert not torch.equal(module(x), y)


def test_noise_sees_nothing_of_what_flows_in() -> None:
    graph = graph_on((4, 10, 10), "x: id -> n: noise\nx -> [conv3-4(act=none) + n]")
    field = receptive_field(graph, graph.outputs["output"])
    assert field is not None and field.size == (3, 3)
    assert receptive_field(graph, graph.labels["n"]) is None


def test_a_variational_sample() -> None:
    """Kingma and Welling 2014: mean + exp(logvar / 2) * e, and the same core again."""
    text = (
        "mu: fc-3(act=none)\nlogvar: fc-3(act=none)\n[mu + [logvar -> times(0.5) -> exp & logvar -> noise]]"
    )
    text = "x: id -> " + text.replace("logvar: fc", "x -> logvar: fc")
    graph = graph_on((5,), text)
    module = compiled(graph).module
    x = torch.randn(7, 5)
    torch.manual_seed(3)
    sample = module(x)
    torch.manual_seed(3)
    mean, logvar = module.mu(x), module.logvar(x)
    torch.testing.assert_close(sample, mean + torch.exp(0.5 * logvar) * torch.randn_like(logvar))
    assert "noise" in expand(graph)


@pytest.mark.parametrize("word", ["times((1, 2, 3))", "plus(c=(1, 2, 3))", "normalize((1, 2, 3), (1, 1, 2))"])
def test_numbers_by_channel_come_out_of_the_core(word: str) -> None:
    from graphs import graph_of

    graph = graph_on((3, 4, 4), word)
    again = graph_of(expand(graph))
    assert [node.op for node in again.layers] == [node.op for node in graph.layers]


def test_a_factor_that_a_block_is_handed_stays_an_argument() -> None:
    text = "block half(s) = [conv3-4(act=none) -> times(s)]\nhalf(2) -> half(3) -> half(0.5)"
    source = compiled(graph_on((3, 4, 4), text)).source
    assert source.count("class Half") == 1
