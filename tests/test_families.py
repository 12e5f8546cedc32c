"""Random networks with more layers, and families of them: params from outside and of a constructor, against torch."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from described import Network, text
from families import Family, Wide, with_settings
from independent import Independent
from sampling import sampled
from test_constructor_params import model_of
from test_differential import built, compare, compare_sizes, compare_with, inputs_of, over, telling, tensors

import cnnc

WIDE = (
    "exp", "log", "cos", "normalize", "scale", "bias", "grn", "rmsnorm", "ln", "blurpool", "chunk", "reshape", "stretch", "pad",
    "resize", "Source", "gru", "lstm", "attend",
)  # fmt: skip
"""What must be among the networks."""
FOUND = (2261,)
"""Seeds that a fault was found with: filters on a map that becomes 1 wide."""


def as_written(value: object) -> object:
    """A value as the command line gives it."""
    if isinstance(value, tuple):
        return f"({', '.join(map(str, value))}{',' if len(value) == 1 else ''})"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def compare_family(draw: Family, seen: Counter[str]) -> None:
    """A network at its defaults and at three other settings: as text, and as its constructor makes it."""
    network, spec = draw.network, text(draw.network)
    compare(network, seen)
    try:
        net = cnnc.parse(spec)
    except cnnc.CnncError:
        return
    model = model_of(net)
    taken = inspect.signature(model).parameters
    for among in (None, None, taken.keys()):
        values = draw.other(among)
        other = with_settings(network, values)
        try:
            varied = cnnc.parse(spec, **{name: as_written(value) for name, value in values.items()})
        except cnnc.CnncError:
            varied = None
        before = seen["accepted"]
        compare_with(other, varied, seen)
        if seen["accepted"] > before and values and values.keys() <= taken.keys():
            compare_constructed(other, model(**values), seen)


def compare_constructed(network: Network, module: Any, seen: Counter[str]) -> None:
    """A module made by a constructor's arguments, on the weights of the independent one."""
    found = built(network)
    assert found is not None
    theirs: Independent = found[0]
    ours = tensors(module.double().eval())
    assert [p.shape for p in ours] == [p.shape for p in tensors(theirs)]
    inputs = inputs_of(network)
    with torch.no_grad():
        for p, q in zip(ours, tensors(theirs), strict=True):
            p.copy_(q)
        outputs, values = module(*inputs), theirs(network, *inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for output, label in zip(outputs, network.outputs, strict=True):
        torch.testing.assert_close(output, values[label])
    seen["constructed"] += 1


def families(seeds: Iterable[int]) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in seeds:
        draw = Family(seed)
        with telling(seed, draw.network):
            compare_family(draw, seen)
    return seen


def test_networks_of_more_layers() -> None:
    seen = over((Wide(seed) for seed in (*range(60), *FOUND)), compare)
    assert [kind for kind in WIDE if not seen[kind]] == []


@pytest.mark.parametrize("seed", [*sampled(range(40), 5), 164])
def test_their_inference_form_computes_the_same(seed: int) -> None:
    """With maps in another layout, norms folded, and what a dense block appends written in place."""
    network = Wide(seed).network
    net = cnnc.parse(text(network))
    torch.manual_seed(seed)
    plain: Any = net.module()
    for key, value in plain.state_dict().items():
        if "running" in key:
            value.uniform_(0.5, 1.5)
    fast = net.module(optimize="inference", state=plain.state_dict()).eval()
    inputs = [x.float() for x in inputs_of(network)]
    with torch.no_grad():
        torch.testing.assert_close(fast(*inputs), plain.eval()(*inputs), rtol=1e-3, atol=1e-4)


def test_more_layers_of_free_sizes() -> None:
    seen = over((Wide(seed, free=True) for seed in range(25)), compare_sizes)
    assert seen["legal"] > 100


def test_families_of_networks() -> None:
    seen = families(range(40))
    assert seen["accepted"] > 80
    assert seen["constructed"] > 10


@pytest.mark.slow
def test_two_thousand_networks_of_more_layers() -> None:
    print(dict(over((Wide(seed) for seed in range(1_000, 3_000)), compare)))
    print(dict(over((Wide(seed, free=True) for seed in range(1_000, 2_000)), compare_sizes)))


@pytest.mark.slow
def test_two_thousand_families() -> None:
    print(dict(families(range(1_000, 3_000))))
