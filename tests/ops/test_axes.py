"""Layers that name axes: values against loops, free sizes against the module at other sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from graphs import graph_of, graph_on

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from cnnc.compiler.expand import expand  # noqa: E402
from cnnc.compiler.sizes import number  # noqa: E402
from ops.oracle import compiled  # noqa: E402

SIZES = {0: (), 1: (5,), 2: (4, 3), 3: (2, 4, 3)}
LETTERS = {0: "C", 1: "CW", 2: "CHW", 3: "CDHW"}


def along(x: Tensor, dims: tuple[int, ...], reduce: Callable[[list[Tensor]], Tensor]) -> Tensor:
    """A reduction that takes the values one by one; the axes stay with size 1."""
    for dim in dims:
        x = reduce(list(x.unbind(dim))).unsqueeze(dim)
    return x


def largest(values: list[Tensor]) -> Tensor:
    found = values[0]
    for value in values[1:]:
        found = torch.where(value > found, value, found)
    return found


REDUCTIONS: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "mean": lambda values: sum(values[1:], values[0]) / len(values),
    "sum": lambda values: sum(values[1:], values[0]),
    "max": largest,
}


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("word", REDUCTIONS)
def test_reductions(word: str, rank: int) -> None:
    torch.manual_seed(0)
    shape = (3, *SIZES[rank])
    for axes in [*LETTERS[rank], *([f"({', '.join(LETTERS[rank][1:])})"] if rank > 1 else [])]:
        module = compiled(graph_on(shape, f"{word}(axis={axes})")).module.double()
        x = torch.randn(2, *shape, dtype=torch.float64, requires_grad=True)
        dims = tuple(1 + LETTERS[rank].index(letter) for letter in axes if letter.isalpha())
        torch.testing.assert_close(module(x), along(x, dims, REDUCTIONS[word]))
        assert torch.autograd.gradcheck(module, (x,))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("axis", "CHW")
def test_a_slice_as_long_as_a_tensor(axis: str, last: bool) -> None:
    """The first places or the last, of free sizes too."""
    how = ", last=yes" if last else ""
    net = graph_of(
        f'input 5xHxW\nt: [slice(0..2) -> conv3-3/2]\n"input" -> y: slice(to=t, axis={axis}{how})\noutput y, t'
    )
    assert graph_of(expand(net)).nodes[-1].op == net.nodes[-1].op
    module = compiled(net).module.eval()
    for h, w in ((7, 4), (2, 9)):
        x = torch.randn(2, 5, h, w)
        y, t = module(x)
        dim = 1 + "CHW".index(axis)
        n, m = t.shape[dim], x.shape[dim]
        torch.testing.assert_close(y, x.narrow(dim, m - n if last else 0, n))
        assert [number(s, {"H": h, "W": w}) for s in net.nodes[net.outputs["y"]].out] == list(y.shape[1:])


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_softmax(rank: int) -> None:
    shape = (3, *SIZES[rank])
    x = torch.randn(2, *shape, dtype=torch.float64)
    for at, axis in enumerate(LETTERS[rank], start=1):
        expected = torch.exp(x) / along(torch.exp(x), (at,), REDUCTIONS["sum"])
        torch.testing.assert_close(compiled(graph_on(shape, f"softmax(axis={axis})")).module(x), expected)
        torch.testing.assert_close(
            compiled(graph_on(shape, f"logsoftmax(axis={axis})")).module(x), torch.log(expected)
        )


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("permute(H, W, C)", lambda x: x.movedim(1, 3)),
        ("permute(W, H, C)", lambda x: x.transpose(1, 3)),
        ("permute(C, W, H)", lambda x: x.transpose(2, 3)),
        ("slice(0..1)", lambda x: x[:, 0:2]),
        ("slice(2)", lambda x: x[:, 2:3]),
        ("slice(-1..)", lambda x: x[:, 2:3]),
        ("slice(1.., axis=W)", lambda x: x[:, :, :, 1:3]),
        ("slice(..-2, axis=H)", lambda x: x[:, :, 0:3]),
        ("slice(-3..2, axis=H)", lambda x: x[:, :, 1:3]),
        ("reshape(2, _)", lambda x: x.reshape(2, 2, 18)),
        ("reshape(_, H, 1)", lambda x: x.reshape(2, 9, 4, 1)),
        ("reshape(C*H, _, 1)", lambda x: x.reshape(2, 12, 3, 1)),
        # Channel shuffle, as it is taught (Zhang et al. 2018).
        ("reshape(3, 1, H, W) -> permute(D, C, H, W) -> reshape(3, 4, 3)", lambda x: x),
    ],
)
def test_what_moves(word: str, expected: Callable[[Tensor], Tensor]) -> None:
    graph = graph_on((3, 4, 3), word)
    x = torch.randn(2, 3, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(compiled(graph).module(x), expected(x))
    again = graph_of(expand(graph))
    assert [node.op for node in again.layers] == [node.op for node in graph.layers]


def test_a_letter_is_a_size_outside_axes() -> None:
    graph = graph_on((8, 6, 4), "reshape(C//2, 2, H*W) -> softmax(axis=W)")
    assert graph.nodes[-1].out == (4, 2, 24)
    graph = graph_on((8, 6, 4), "default softmax(axis=H)\nconv3-8(act=softmax(axis=W)) -> softmax")
    assert [node.op.axis for node in graph.layers if node.op.kind == "softmax"] == ["W", "H"]


@pytest.mark.parametrize(
    "layers",
    [
        "reshape(2, _) -> slice(0..0)", "reshape(4, _)", "reshape(_)", "slice(1.., axis=W)", "slice(2..-3, axis=H)",
        "slice(..-2, axis=W) -> slice(1.., axis=W)", "mean(axis=H)", "max(axis=C)", "permute(H, W, C) -> max(axis=C)",
        "conv3-6 -> slice(3..5) -> permute(C, W, H) -> maxpool", "blurpool3/2",
        "[max(axis=C) | mean(axis=C)] -> conv7-1", "l2norm(axis=H)", "scale(each=one)", "noise", "grn -> rmsnorm",
    ],
)  # fmt: skip
def test_free_sizes(layers: str) -> None:
    """One module at other sizes: the shapes are those of the expressions."""
    graph = graph_of(f"input 4xHxW\n{layers}\n")
    out = graph.nodes[graph.outputs["output"]].out
    module = compiled(graph).module
    for sizes in ({"H": 12, "W": 9}, {"H": 7, "W": 16}):
        expected = tuple(number(n, sizes) for n in out)
        assert tuple(module(torch.rand(2, 4, *sizes.values())).shape[1:]) == expected
    again = graph_of(expand(graph))
    assert again.nodes[again.outputs["output"]].out == out


def test_a_free_size_must_divide_as_an_expression() -> None:
    from cnnc.dsl.diagnostics import CnncError

    graph_of("input 4xHxW\nreshape(2, _)\n")
    for divisor in (3, 8):
        with pytest.raises(CnncError, match="does not divide"):
            graph_of(f"input 4xHxW\nreshape({divisor}, _)\n")
