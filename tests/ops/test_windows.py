"""What a layer says that an output sees is the support of that output's gradient."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from graphs import graph_on  # noqa: E402
from hypothesis import HealthCheck, given, reject, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from cnnc.compiler.ops.base import Axis, Local, Pointwise, Shares, Spread, Undefined, Whole  # noqa: E402
from cnnc.dsl.diagnostics import CnncError  # noqa: E402
from ops.conftest import EXAMPLES  # noqa: E402
from ops.oracle import compiled  # noqa: E402
from ops.strategies import WORDS, shape_of  # noqa: E402

# Linear in their input, so that with positive weights nothing cancels; the largest of a
# window sees all of it, which its gradient at one input does not show: `avgpool` stands for `maxpool`.
KINDS = [
    "conv", "dwconv", "sepconv", "tconv",
    "local", "avgpool", "sumpool", "subsample", "gap", "adaptiveavgpool", "crop", "stretch", "upsample", "resize",
    "pixelshuffle", "spacetodepth", "shuffle", "chunk", "pad", "flatten", "fc", "bias", "scale", "lppool", "times", "plus", "normalize", "slice", "mean", "sum",
    "capsule",
]  # fmt: skip


def _seen(axis: Axis | Spread | Shares, out: int, n: int) -> set[int]:
    """The inputs on one axis that output `out` sees."""
    if isinstance(axis, Shares):
        assert axis.n == n
        return {i for i in range(n) if i * axis.m < (out + 1) * n and (i + 1) * axis.m > out * n}
    if isinstance(axis, Axis):
        found = {out * axis.stride - axis.before + j * axis.dilation for j in range(axis.kernel)}
        return found & set(range(n))
    reached = (
        (i, i * axis.stride - axis.before + j * axis.dilation) for i in range(n) for j in range(axis.kernel)
    )
    return {i for i, at in reached if at == out}


def _expected(window: Any, at: tuple[int, ...], sizes: tuple[int, ...]) -> set[tuple[int, ...]]:
    if isinstance(window, Whole):
        return set(product(*map(range, sizes)))
    if isinstance(window, Pointwise):
        return {at}
    assert isinstance(window, Local)
    axes = zip(window.axes, at, sizes, strict=True)
    return set(product(*(_seen(axis, out, n) for axis, out, n in axes)))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_window_is_the_support_of_the_gradient(kind: str, rank: int) -> None:
    held = 0

    @settings(
        settings.get_profile("ops"), max_examples=max(EXAMPLES // 12, 1),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data())
    def run(data: Any) -> None:
        nonlocal held
        shape = shape_of(data.draw, kind, rank)
        word = WORDS[kind](data.draw, shape)
        word = re.sub(r"standardise=(yes|standardise\([^)]*\))", "standardise=no", word)
        if (
            "table" in word
            or ("pad(" in word and "zeros" not in word)
            or "bicubic" in word
            or "pad_mode" in word
            or ("mask=" in word and rank > 1)
        ):
            reject()  # maps that may see nothing; a border that repeats; weights that vanish; no box (test_reparam)
        try:
            graph = graph_on(shape, word)
        except CnncError:
            reject()
        node = graph.layers[-1]
        window = node.op.window(*graph.ins(node))
        before = graph.nodes[node.inputs[0]].op.kind if node.inputs else "input"
        if isinstance(window, Undefined) or before not in ("input", "flatten"):
            reject()  # what stands before the layer sees more
        module = compiled(graph).module.double().eval()
        for parameter in module.parameters():
            parameter.data.uniform_(0.5, 1.5)
        x = (torch.rand(1, *shape, dtype=torch.float64) + 0.5).requires_grad_()
        total = module(x).sum((0, 1))
        for at in data.draw(st.permutations(list(product(*map(range, total.shape)))))[:6]:
            (gradient,) = torch.autograd.grad(total[at], x, retain_graph=True)
            support = gradient[0].abs().sum(0) > 1e-12
            places = {tuple(place) for place in support.nonzero().tolist()}
            assert places == _expected(window, at, shape[1:]), (shape, word, at)
            held += 1

    run()
    assert held


def test_undefined_windows_say_why() -> None:
    for word, reason in (
        ("fractionalmaxpool2(ratio=0.7)", "the places of the windows are drawn at random"),
        ("upsample(size=5, mode=bilinear)", "interpolation by a fraction"),
    ):
        graph = graph_on((2, 7, 7), word.replace("(0.7)", "(ratio=0.7)"))
        node = graph.layers[-1]
        assert node.op.window(*graph.ins(node)) == Undefined(reason)
