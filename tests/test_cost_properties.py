"""Costs and memory against counting done by hand, one element and one multiply-add at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from math import prod

import pytest
from graphs import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnc.compiler.cost import FIGURES, Cost, Memory, costs, peak_memory, total
from cnnc.compiler.graph import Graph

FIELDS = tuple(FIGURES)
COSTS = st.builds(Cost, *(st.integers(0, 50) for _ in FIELDS))


@given(COSTS, COSTS, st.integers(0, 5))
@settings(max_examples=60, derandomize=True, database=None, deadline=None)
def test_costs_are_vectors(a: Cost, b: Cost, times: int) -> None:
    for name in FIELDS:
        assert getattr(a + b, name) == getattr(a, name) + getattr(b, name)
        assert getattr(a * times, name) == sum(getattr(a, name) for _ in range(times))
    assert total([a, b, a]) == a + b + a == a * 2 + b
    assert total([]) == Cost() == Cost(*(0 for _ in FIELDS)) == a * 0


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2),
    st.integers(3, 6), st.integers(3, 6), st.booleans(),
)  # fmt: skip
@settings(max_examples=60, derandomize=True, database=None, deadline=None)
def test_a_convolution_costs_what_its_loops_count(
    groups: int, width: int, kernel: int, stride: int, pad: int, h: int, w: int, bias: bool
) -> None:
    channels, out = 2 * groups, width * groups
    word = (
        f"conv{kernel}-{out}/{stride}(pad={pad}, groups={groups}, bias={'yes' if bias else 'no'}, act=none)"
    )
    graph = graph_of(f"input {channels}x{h}x{w}\n{word}\n")
    macs = positions = 0
    for _ in product(range(0, h + 2 * pad - kernel + 1, stride), range(0, w + 2 * pad - kernel + 1, stride)):
        positions += 1
        for _ in product(range(out), range(channels // groups), range(kernel), range(kernel)):
            macs += 1
    weights = sum(1 for _ in product(range(out), range(channels // groups), range(kernel), range(kernel)))
    rows = costs(graph)
    assert rows.nodes == (Cost(), rows.total)
    assert rows.total == Cost(
        params=weights + (out if bias else 0),
        macs=macs,
        flops=2 * macs + (positions * out if bias else 0),
        activations=positions * out,
        traffic=4 * (channels * h * w + positions * out + weights + (out if bias else 0)),
    )
    assert rows.unknown == {}


def test_weights_used_twice_are_counted_at_their_first_use() -> None:
    graph = graph_of("input 4x8x8\nshared head = conv3-4(norm=bn)\nhead -> head -> head\n")
    rows = costs(graph).nodes
    convs = [rows[n.index] for n in graph.layers if n.op.kind == "conv"]
    norms = [rows[n.index] for n in graph.layers if n.op.kind == "bn"]
    assert [row.params for row in convs] == [4 * 4 * 9, 0, 0]
    assert [row.macs for row in convs] == [4 * 4 * 9 * 64] * 3
    assert [row.state for row in norms] == [4 + 4 + 1, 0, 0]
    assert [row.params for row in norms] == [4 + 4, 0, 0]
    assert [row.activations for row in convs + norms] == [4 * 64] * 6


def test_counts_that_nobody_knows_are_named() -> None:
    text = (
        'extern some = "pkg:Some" (shape=same, params=10, macs=70)\n'
        'extern none = "pkg:Other" (shape=same)\n'
        'extern part = "pkg:Part" (shape=same, params=5)\n'
        "input 2x4x4\none: some\ntwo: none\nthree: part\nfour: none\n"
    )
    found = costs(graph_of(text))
    assert found.unknown == {"params": ("two", "four"), "macs": ("two", "three", "four")}
    assert (found.total.params, found.total.macs, found.total.flops) == (15, 70, 140)
    assert [found.told(what) for what in ("params", "macs", "flops", "state", "activations")] == [
        "at least 15", "at least 70", "at least 140", "0", "128",
    ]  # fmt: skip
    known = costs(graph_of("input 2x40x40\ntanh\n"))
    assert known.told("macs") == "0" and known.told("activations") == "3,200"


# --- memory ------------------------------------------------------------------------------


def _simulated(graph: Graph, unit: int) -> tuple[int, set[str], int]:
    """Nodes run one by one: what is held at each, by counting who is still to read it."""
    readers = Counter(i for node in graph.nodes for i in set(node.inputs))
    held = {node.index for node in graph.nodes if node.role == "input"}
    keep = set(graph.outputs.values())
    at: dict[str, int] = {"": sum(prod(graph.nodes[i].out) for i in held)}
    for node in graph.nodes:
        if node.role == "input":
            continue
        held.add(node.index)
        at[node.name] = sum(prod(graph.nodes[i].out) for i in held)
        for i in set(node.inputs):
            readers[i] -= 1
        held -= {i for i in {*node.inputs, node.index} if not readers[i] and i not in keep}
    peak = max(at.values())
    every = sum(prod(node.out) for node in graph.nodes)
    return peak * unit, {name for name, size in at.items() if size == peak}, every * unit


@st.composite
def _nets(draw: st.DrawFn) -> str:
    """Chains with labels that are read again later, and outputs in the middle."""
    lines, labels = ["input x: 4x8x8"], ["x"]
    for i in range(draw(st.integers(1, 5))):
        of = draw(st.lists(st.sampled_from(labels), min_size=1, max_size=3))
        head = of[0] if len(of) == 1 else f"[{' & '.join(of)}]"
        word = draw(st.sampled_from(["conv1-4", "tanh", "[id & tanh]", "[conv1-9 -> conv1-4]", "[id & id]"]))
        lines.append(
            f"{head} -> n{i}: {word.replace('conv1-4', 'conv1-4(act=none)')}"
            if word[0] != "["
            else f"{head} -> {word} -> n{i}: sigmoid"
        )
        labels.append(f"n{i}")
    unread = [name for name in labels[1:] if not any(name in line.split(" -> ")[0] for line in lines)]
    more = draw(st.lists(st.sampled_from(labels[1:]), max_size=2))
    return "\n".join(lines) + f"\noutput {', '.join(dict.fromkeys([*unread, *more]))}\n"


@given(_nets(), st.integers(1, 8), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=120, derandomize=True, database=None, deadline=None)
def test_the_peak_is_that_of_running_node_by_node(text: str, dtype_bytes: int, batch: int, kept: int) -> None:
    graph = graph_of(text)
    # Without some of its outputs it has nodes that nobody reads, as a network that is being rewritten may have.
    graph = replace(graph, outputs=dict([*graph.outputs.items()][:kept]))
    peak, names, training = _simulated(graph, dtype_bytes * batch)
    memory = peak_memory(graph, dtype_bytes, batch)
    assert memory.inference == peak
    assert memory.inference_at in names
    assert memory.training == training
    assert (memory.dtype_bytes, memory.batch) == (dtype_bytes, batch)


def test_the_peak_is_at_the_first_of_equals_and_at_the_input_where_nothing_is_larger() -> None:
    equal = peak_memory(graph_of("input 2x4x4\none: tanh\ntwo: tanh\nthree: tanh\n"))
    assert equal == Memory(4 * 2 * 32, "one", 4 * 4 * 32, 4, 1)
    tie = peak_memory(graph_of("input 2x4x4\na: conv1-2(act=none)\nb: conv1-3(act=none)\n"), 1)
    assert (tie.inference, tie.inference_at) == (32 + 48, "b")


def test_bytes_and_batch_are_at_least_one() -> None:
    graph = graph_of("input 2x4x4\ntanh\n")
    assert peak_memory(graph, 1, 1).inference == 64
    for dtype_bytes, batch in ((0, 1), (1, 0), (-1, 1), (1, -1)):
        with pytest.raises(ValueError, match="must be at least 1"):
            peak_memory(graph, dtype_bytes, batch)
