"""Published networks of unusual layers come out with their published figures."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from graphs import graph_on

from cnnc.compiler.cost import costs
from ops.oracle import check

LENET5 = """\
c1: conv5-6(pad=valid, act=none)
s2: subsample2(act=sigmoid)
c3: conv5-16(pad=valid, table=lenet5_c3, act=none)
s4: subsample2(act=sigmoid)
c5: conv5-120(pad=valid, act=tanh)
f6: fc-84(act=tanh)
output: rbf-10
"""


def test_lenet5() -> None:
    """LeCun, Bottou, Bengio and Haffner 1998, section II.B: each layer's sizes and trainable parameters."""
    graph = check((1, 32, 32), LENET5).graph
    per_node = costs(graph).nodes
    rows = {
        node.label: (node.out, per_node[node.index].params) for node in graph.layers if node.role == "own"
    }
    assert rows == {
        "c1": ((6, 28, 28), 156),
        "s2": ((6, 14, 14), 12),
        "c3": ((16, 10, 10), 1516),
        "s4": ((16, 5, 5), 32),
        "c5": ((120, 1, 1), 48120),
        "f6": ((84,), 10164),
        "output": ((10,), 0),
    }
    assert costs(graph).total.params == 60_000
    # The paper's connections count each bias once a position: C3's are 1,516 x 100.
    c3 = graph.nodes[graph.labels["c3"]]
    assert c3.op.macs(*graph.ins(c3)) == 1500 * 100


CAPSNET = """\
conv9-256(pad=valid)
conv9-256/2(pad=valid) -> squash(8)
digits: capsule10-16(of=8, routing=3)
"""
DECODER = "capsmask(16)\nfc-512 -> fc-1024 -> fc-784(act=sigmoid)"


def test_capsnet() -> None:
    """Sabour, Frosst and Hinton 2017, section 5: 8.2M parameters, 6.8M without the reconstruction."""
    graph = check((1, 28, 28), CAPSNET + "capslength(16)").graph
    # 9x9x256 + 256, 9x9x256x256 + 256, 1152x10x8x16
    assert costs(graph).total.params == 20_992 + 5_308_672 + 1_474_560 == 6_804_224
    assert costs(graph_on((1, 28, 28), CAPSNET + DECODER)).total.params == 8_215_568


@pytest.mark.parametrize(
    ("layer", "weights"),
    [
        ("fc-1000000(bias=no)", 10**12),
        ("local10-1(pad=same_tf, bias=no)", 10**8),
        ("conv10-100(pad=same_tf, bias=no)", 10**4),
    ],
)
def test_lecture_slides_on_sharing(layer: str, weights: int) -> None:
    """A 1000x1000 image: fully connected to a million units, locally by 10x10, and 100 shared 10x10 filters.

    Nothing of the size of the weights is allocated to say so.
    """
    graph = graph_on((1, 1000, 1000), layer)
    assert costs(graph).total.params == weights


def test_spatial_transformer_of_the_tutorial() -> None:
    """PyTorch's tutorial net for 28x28 digits: 5,520 parameters in the localisation, 21,840 in the rest."""
    layers = """\
localise: stn([conv7-8(pad=valid, act=none) -> pool -> relu -> conv5-10(pad=valid, act=none) -> pool -> relu -> fc-32])
conv5-10(pad=valid, act=none) -> pool -> relu
conv5-20(pad=valid, act=none) -> spatialdropout -> pool -> relu
fc-50 -> dropout -> fc-10
"""
    built = check((1, 28, 28), layers)
    total = costs(built.graph).total
    assert (total.params, total.macs) == (5520 + 21840, 771_300)
    state = built.module.state_dict()
    assert state["localise.theta.bias"].tolist() == [1, 0, 0, 0, 1, 0]
