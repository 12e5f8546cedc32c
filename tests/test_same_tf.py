"""TensorFlow's padding with a stride on a free size: exact sizes, one module for all, alignment by remainder."""

from __future__ import annotations

import pytest

import cnnc
from cnnc.compiler.receptive_field import receptive_field
from cnnc.compiler.residues import residues

CHAIN = """
model chain
input 3x{size}
conv3-4/2(pad=same_tf) -> maxpool3/2(pad=same_tf) -> dwconv5/3(pad=same_tf, dilation=2)
"""
MIXED = """
model mixed
input 2x{size}
sepconv4-4/3(pad=same_tf) -> avgpool3/2(pad=same_tf, count_pad=no) -> conv2-4/3(pad=same_tf)
"""
JOINED = """
model joined
input 1x{size}
[conv3-2/2(pad=same_tf) + conv3-2/2(pad=1)] -> conv1-1/4(pad=same_tf)
"""


@pytest.mark.parametrize("text", [CHAIN, MIXED, JOINED])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_one_module_for_every_size_equals_the_modules_of_each(text: str, rank: int) -> None:
    torch = pytest.importorskip("torch")
    free = cnnc.parse(text.format(size="x".join("HWD"[:rank])))
    module = free.module().eval()
    for n in (*range(9, 21), 40):
        sizes = (n, n + 1, n + 2)[:rank]
        fixed = cnnc.parse(text.format(size="x".join(map(str, sizes))))
        other = fixed.module().eval()
        other.load_state_dict(module.state_dict())
        x = torch.randn(2, next(iter(fixed.inputs.values()))[0], *sizes)
        with torch.no_grad():
            y = module(x)
            torch.testing.assert_close(y, other(x))
        expressions = free.graph.nodes[free.graph.outputs["output"]].out
        at = dict(zip("HWD", sizes, strict=False))
        assert tuple(y.shape[1:]) == tuple(_at(size, at) for size in expressions)


def _at(size: int, sizes: dict[str, int]) -> int:
    return int(eval(str(size), {}, sizes))


@pytest.mark.parametrize("text", [CHAIN, MIXED, JOINED])
def test_the_field_by_remainder_is_that_of_each_size(text: str) -> None:
    found = residues(cnnc.parse(text.format(size="HxW")).graph)
    told = [one for one in found if one.symbol == "H"]
    assert len(told) == 1
    for n in range(48, 48 + 2 * told[0].modulus):
        graph = cnnc.parse(text.format(size=f"{n}x224")).graph
        field = receptive_field(graph, graph.outputs["output"])
        assert field is not None
        rest = n % told[0].modulus
        assert (field.start, field.aligned_axes[0]) == (told[0].starts[rest], told[0].aligned[rest]), n


def test_what_the_summary_says() -> None:
    text = str(residues(cnnc.parse(JOINED.format(size="HxW")).graph)[0])
    assert text == "The RF of output depends on H % 2: aligned for 1."
    text = str(residues(cnnc.parse(CHAIN.format(size="HxW")).graph)[0])
    assert text.startswith("The RF of output depends on H % 12: starts at -")


def test_kept_as_a_word_in_the_flat_core() -> None:
    net = cnnc.parse(CHAIN.format(size="HxW"))
    assert net.expand().count("pad=same_tf") == 3
    assert cnnc.parse(net.expand()).expand() == net.expand()


def test_a_layer_that_cannot_be_padded_as_it_runs_is_refused() -> None:
    net = cnnc.parse("input 1xHxW\nlppool3/2(pad=same_tf)\n")
    with pytest.raises(cnnc.CnncError, match="cannot write `lppool` with pad=same_tf and a stride"):
        net.pytorch()
