"""Random networks: the analysis, the compiled module and an independent one in PyTorch say the same.

Shapes, parameters and multiply-adds must be equal, and so must what the modules compute with
the same weights; receptive fields must be the support of a gradient; and what PyTorch refuses,
the compiler refuses, and nothing else. `described.py`, `drawn.py` and `independent.py` are
the networks and the independent module; a failure prints the spec and the seed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch
from described import Chain, Labelled, Layer, Network, Use, text, within
from drawn import Draw
from independent import Independent, Refused, Support, Unfollowed
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import cnnc
from cnnc.compiler.receptive_field import AxisField, receptive_field
from cnnc.compiler.sizes import Condition, at, poly_of

Check = Callable[[Network, Counter[str]], None]

BATCH = 2
"""PyTorch takes no single image where a group norm would see one value."""
POSITIONS = 3
"""So many positions of each output and of one label are looked at for their receptive fields."""


def inputs_of(network: Network) -> list[Tensor]:
    return [torch.randn(BATCH, *shape, dtype=torch.float64) for _, shape in network.inputs]


def built(network: Network) -> tuple[Independent, dict[str, Tensor]] | None:
    """The independent module and the value of every label; None where PyTorch refuses."""
    module = Independent(dict(network.shared))
    try:
        values = module(network, *(x.float() for x in inputs_of(network)))
    except Refused:
        return None
    return module.double(), values


def parsed(network: Network) -> cnnc.Net | None:
    try:
        return cnnc.parse(text(network))
    except cnnc.CnncError:
        return None


def compare(network: Network, seen: Counter[str]) -> None:
    """Hold one network's three accounts against each other; counts what was compared."""
    compare_with(network, parsed(network), seen)


def compare_with(network: Network, net: cnnc.Net | None, seen: Counter[str]) -> None:
    """The same with the network that a spec gave, None where it was refused."""
    theirs = built(network)
    assert (theirs is None) == (net is None), f"refused by {'torch' if theirs is None else 'cnnc'} alone"
    if theirs is None or net is None:
        seen["refused"] += 1
        return
    module, values = theirs
    shapes = {label: tuple(values[label].shape[1:]) for label in values}
    graph = net.graph
    assert {label: tuple(graph.nodes[graph.labels[label]].out) for label in values} == shapes
    assert net.outputs == {label: shapes[label] for label in network.outputs}
    assert net.params == sum(p.numel() for p in module.parameters())
    assert net.costs.total.state == sum(b.numel() for b in module.buffers())
    inputs = inputs_of(network)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        values = module(network, *inputs)
    assert 2 * BATCH * net.macs == counter.get_total_flops()
    compare_compiled(network, net, module, inputs, [values[label] for label in network.outputs])
    seen.update({part.kind if isinstance(part, Layer) else type(part).__name__ for part in within(network)})
    if network.fields:
        compare_fields(network, net, seen)
    seen["accepted"] += 1


def tensors(module: torch.nn.Module) -> list[Tensor]:
    """Parameters and buffers in the order of the layers, those of shared modules first."""

    def place(key: str) -> str:
        own = re.search(r"own(\d+)$", key)
        if own is not None:
            return f"!{int(own[1]):04}"
        return key.split(".")[0].split("_")[0] if key.startswith("shared") else "~"

    state = module.state_dict()
    return [state[key] for key in sorted(state, key=place)]


def compare_compiled(
    network: Network, net: cnnc.Net, module: Independent, inputs: list[Tensor], wanted: list[Tensor]
) -> None:
    compiled: Any = net.module().double().eval()
    ours, theirs = tensors(compiled), tensors(module)
    assert sorted(p.shape for p in ours) == sorted(p.shape for p in theirs)
    if not network.plain:  # where default activations go is the language's own affair
        outputs = compiled(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert [o.shape for o in outputs] == [o.shape for o in wanted]
        return
    assert [p.shape for p in ours] == [p.shape for p in theirs]
    with torch.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            p.copy_(q)
        outputs = compiled(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for output, value in zip(outputs, wanted, strict=True):
        torch.testing.assert_close(output, value)


# --- receptive fields -------------------------------------------------------------------


def compare_fields(network: Network, net: cnnc.Net, seen: Counter[str]) -> None:
    """Fields of the outputs on the inputs, and of the first output on a label, against gradients."""
    edge = torch.ones((), dtype=torch.float64, requires_grad=True)
    random = Random(repr(network))
    for gates in (True, False):
        support = Support(dict(network.shared), edge, gates=gates)
        inputs = {
            name: torch.ones(1, 1, *shape[1:], dtype=torch.float64, requires_grad=True)
            for name, shape in network.inputs
        }
        try:
            values = support.network(network, inputs)
        except Unfollowed:
            seen["unfollowed"] += 1
            return
        sources = dict(inputs)
        inner = [label for label in values if label not in sources and values[label].dim() > 2]
        if inner:
            label = random.choice(inner)
            sources[label] = values[label]
        for output in network.outputs:
            for source, x in sources.items():
                if not gates and support.is_whole(x):
                    continue  # what is a gate seen from an input need not be one seen from here
                compare_field(net, (output, values[output]), (source, x), edge, gates=gates, seen=seen)


def compare_field(
    net: cnnc.Net, output: tuple[str, Tensor], source: tuple[str, Tensor], edge: Tensor, *, gates: bool,
    seen: Counter[str],
) -> None:  # fmt: skip
    graph, (name, y), (wrt, x) = net.graph, output, source
    if name != wrt and graph.labels[name] == graph.labels[wrt]:
        return  # `[…]*0`: two labels of one tensor
    field = receptive_field(graph, graph.labels[name], wrt=graph.labels[wrt])
    if field is None:
        grad = (
            torch.autograd.grad(y.sum(), x, retain_graph=True, allow_unused=True)[0]
            if y.requires_grad and x.requires_grad  # a tensor of the spec's own asks for none
            else None
        )
        assert grad is None or y is x
        return
    assert field.undefined is None
    if not gates and field.ungated is None:
        return
    axes: Sequence[AxisField] = field.axes if gates else field.ungated or ()
    # A gate is told as the whole of what it lets pass anywhere; each position sees a part of that.
    exact = not gates or field.ungated is None
    for position in positions(y, Random(repr((name, wrt)))):
        at = position or (0,) * (x.dim() - 2)
        grads = torch.autograd.grad(
            y[0, 0][position], [x, edge], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        touched = grads[0][0, 0].nonzero()
        spans = [axis.at(i) for axis, i in zip(axes, at, strict=True)]
        inside = bool(grads[1] == 0)
        if not len(touched):
            assert not inside or None in spans
            continue
        for axis, span in enumerate(spans):
            first, last = int(touched[:, axis].min()), int(touched[:, axis].max())
            assert span is not None
            place = f"{name} at {at} on {wrt}, axis {axis}: {span} in the analysis, {(first, last)} touched"
            assert span[0] <= first <= last <= span[1], place
            if inside and exact:
                assert span == (first, last), place
                seen["whole" if field.whole else "fields"] += 1


def positions(y: Tensor, random: Random) -> Iterator[tuple[int, ...]]:
    """The middle, where a field is most likely to lie within the borders, and others at random."""
    sizes = y.shape[2:]
    yield tuple(n // 2 for n in sizes)
    for _ in range(POSITIONS - 1):
        yield tuple(random.randrange(n) for n in sizes)


# --- free sizes -------------------------------------------------------------------------

LETTERS = {1: "W", 2: "HxW", 3: "DxHxW"}


def compare_sizes(network: Network, seen: Counter[str]) -> None:
    """One size after another on each axis: legal where PyTorch takes it, and the shapes those it gives."""
    (_, shape), = network.inputs  # fmt: skip
    letters = LETTERS[len(shape) - 1]
    try:
        net = cnnc.parse(text(network, sizes=letters))
    except cnnc.CnncError:  # branches that are equal for the size drawn, but not for all
        seen["of one size"] += 1
        return
    graph = net.graph
    for axis, limits in enumerate(net.limits):
        taken = []
        for n in range(1, shape[1 + axis] + 5):
            sizes = (*shape[1 : 1 + axis], n, *shape[2 + axis :])
            bound = dict(zip(letters.split("x"), sizes, strict=True))
            broken = [c for c in graph.ledger.conditions.values() if not holds(c, bound)]
            values = built(replace(network, inputs=((network.inputs[0][0], (shape[0], *sizes)),)))
            assert bool(broken) == (values is None), f"{sizes} breaks {broken}, and torch gives {values}"
            if values is None:
                seen["illegal"] += 1
                continue
            for label, value in values[1].items():
                out = graph.nodes[graph.labels[label]].out
                assert tuple(at(poly_of(size), bound) for size in out) == tuple(value.shape[1:]), label
            seen["legal"] += 1
            taken.append(n)
        if graph.conditions:  # what is legal on one axis depends on the others
            continue
        assert taken[0] == limits.smallest
        assert not limits.remainders or {n % limits.modulus for n in taken} <= {*limits.remainders}


def holds(condition: Condition, sizes: Mapping[str, int]) -> bool:
    value = at(condition.poly, sizes)
    return value == 0 if condition.equal else value >= 0


# --- the draws --------------------------------------------------------------------------

SECOND_HALF = (
    "resize", "times", "plus", "pow", "abs", "clamp", "slice", "linear", "pad", "mean", "sum", "max", "softmax", "l2norm",
    "permute", "attend", "lstm", "gru", "Again", "Source", "WeightOf",
)  # fmt: skip
"""What must be among the networks."""
RARE = (208, 352, 356, 440, 492, 616, 624, 768, 816, 888)
"""Seeds of recurrent layers, of weights used again and the other way, and of weights as tensors."""
FOUND = (22881, 43656)
"""Seeds that a fault was found with: a cut that one of two uses does not need, products of one channel."""


def over(draws: Iterator[Draw], check: Check) -> Counter[str]:
    """All networks drawn; a failure tells the spec."""
    seen: Counter[str] = Counter()
    for draw in draws:
        for network in draw.networks:
            with telling(draw.seed, network):
                check(network, seen)
    return seen


@contextmanager
def telling(seed: int, network: Network) -> Iterator[None]:
    """Say with a failure which network it is of."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}\n{text(network)}") from error


def test_three_accounts_of_one_network() -> None:
    seen = over((Draw(seed, fields=seed % 4 != 0) for seed in (*range(200), *RARE, *FOUND)), compare)
    assert [kind for kind in SECOND_HALF if not seen[kind]] == []
    assert seen["accepted"] >= 210
    assert seen["refused"] > 70
    assert seen["fields"] > 700
    assert seen["whole"] > 60


def test_sizes_left_free() -> None:
    seen = over((Draw(seed, free=True) for seed in range(100)), compare_sizes)
    assert seen["legal"] > 600
    assert seen["illegal"] > 120


@pytest.mark.slow
def test_three_accounts_of_ten_thousand_networks() -> None:
    seen = over((Draw(seed, fields=seed % 4 != 0) for seed in range(1_000, 11_000)), compare)
    print(dict(seen))
    assert seen["accepted"] >= 10_000


@pytest.mark.slow
def test_sizes_left_free_of_two_thousand_networks() -> None:
    seen = over((Draw(seed, free=True) for seed in range(1_000, 3_000)), compare_sizes)
    print(dict(seen))
    assert seen["legal"] > 10_000


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(2, 2, 1), (3, 2, 1), (3, 3, 0), (5, 4, 2)])
def test_rounding_up_is_one_expression_of_the_size(kernel: int, stride: int, pad: int) -> None:
    """Whether a last window is left out, because it would start behind the map, does not go by the size."""
    net = cnnc.parse(f"input 1xW\nmaxpool{kernel}/{stride}(pad={pad}, ceil=yes)\n")
    ((_, size),) = net.outputs.values()
    pool = torch.nn.MaxPool1d(kernel, stride, pad, ceil_mode=True)
    taken = range(max(1, kernel - 2 * pad), 40)
    assert [at(poly_of(size), {"W": n}) for n in taken] == [
        pool(torch.zeros(1, 1, n)).shape[2] for n in taken
    ]


def test_a_shared_module_is_padded_for_each_size_that_it_is_used_at() -> None:
    """7 is padded by 1 on both sides, and the 4 that come of it by 1 after them."""
    body = Chain(
        (Layer("conv", (3,), 1, (2,), pad="same_tf"), Layer("maxpool", (3,), stride=(1,), pad="same"))
    )
    uses = Chain((Use("shared0"), Labelled("end", Use("shared0"))), "x")
    seen: Counter[str] = Counter()
    compare(Network((("x", (1, 7)),), (("shared0", body),), (uses,), ("end",), plain=True), seen)
    assert seen["accepted"] == 1


def test_a_shared_module_padded_by_a_number_of_each_use_is_not_written() -> None:
    net = cnnc.parse("input 1x16\nshared s = conv3-1/2(pad=W//8, act=none)\ns -> s\n")
    with pytest.raises(cnnc.CnncError, match=r"E801: .*`s\.0`, which is padded otherwise at each use"):
        net.pytorch()


def test_a_crop_that_cuts_nothing_at_one_size_may_cut_at_another() -> None:
    """Nothing is left over where W is even, and 1 where it is odd."""
    net = cnnc.parse("input 1xW\nt: conv1-1\nconv3-1/2\n[upsample(2) -> conv1-1 -> crop + t]\n")
    assert [(limits.smallest, limits.remainders) for limits in net.limits] == [(1, ())]


@pytest.mark.parametrize("gate", ["id & gap -> conv1-4(act=sigmoid)", "gap -> conv1-4(act=sigmoid) & id"])
def test_a_plain_one_fits_a_free_size_that_is_one_at_the_reference(gate: str) -> None:
    """8 - D is 1 where D is looked at as 7; a gate of one value stretches over any."""
    net = cnnc.parse(f"input 4xDxHxW\nslice(-5..2, axis=D) -> [{gate}]\n")
    assert [(limits.smallest, limits.largest) for limits in net.limits] == [(5, 7), (1, None), (1, None)]
    assert [str(n) for n in net.outputs["output"]] == ["4", "(-D + 8)", "H", "W"]
