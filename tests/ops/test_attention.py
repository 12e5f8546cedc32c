"""Attention: its values and gradients from the formula, its parts' names, its figures, its fields."""

from __future__ import annotations

from math import sqrt

import pytest

torch = pytest.importorskip("torch")

from graphs import graph_of, graph_on  # noqa: E402
from torch import Tensor  # noqa: E402

from cnnc.compiler.cost import costs  # noqa: E402
from cnnc.compiler.receptive_field import receptive_field  # noqa: E402
from ops.oracle import check  # noqa: E402


def by_loops(
    q: Tensor, k: Tensor, v: Tensor, heads: int = 1, *, scale: float | None = None, causal: bool = False,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Vaswani et al. 2017, eq. 1 and section 3.2.2: position by position, head by head."""
    shape = q.shape[2:]
    q, k, v = q.flatten(2), k.flatten(2), v.flatten(2)
    images = []
    for n in range(len(q)):
        parts = []
        for h, (qh, kh, vh) in enumerate(zip(*(x[n].chunk(heads) for x in (q, k, v)), strict=True)):
            columns = []
            for i in range(q.shape[2]):
                seen = range(i + 1 if causal else k.shape[2])
                factor = 1 / sqrt(qh.shape[0]) if scale is None else scale
                scores = torch.stack([(qh[:, i] * kh[:, j]).sum() * factor for j in seen])
                if bias is not None:
                    scores = scores + bias.expand(heads, q.shape[2], k.shape[2])[h, i]
                weights = scores.exp() / scores.exp().sum()
                columns.append(sum(weights[j] * vh[:, j] for j in seen))
            parts.append(torch.stack(columns, 1))
        images.append(torch.cat(parts))
    return torch.stack(images).unflatten(2, shape)


@pytest.mark.parametrize("shape", [(6, 5), (6, 2, 3), (6, 2, 1, 2)])
@pytest.mark.parametrize("args", ["", "heads=3", "heads=2, causal=yes", "scale=1"])
def test_values_and_gradients(shape: tuple[int, ...], args: str) -> None:
    built = check(shape, f"attend(q=[linear-6], k=[linear-6], v=[linear-12], {args})")
    m = built.module.double()
    options = {
        "": {}, "heads=3": {"heads": 3}, "heads=2, causal=yes": {"heads": 2, "causal": True}, "scale=1": {"scale": 1},
    }[args]  # fmt: skip
    x = torch.randn(2, *shape, dtype=torch.float64, requires_grad=True)
    y = m(x)
    wanted = by_loops(m.linear1(x), m.linear2(x), m.linear3(x), **options)  # type: ignore[arg-type]
    torch.testing.assert_close(y, wanted)
    weights = torch.randn_like(y)
    inputs = [x, *m.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((y * weights).sum(), inputs),
        torch.autograd.grad((wanted * weights).sum(), inputs),
    )


@pytest.mark.parametrize("sizes", ["2, 4, 4", "1, 4, 4", "2, 1, 4", "1, 1, 1"])
def test_a_bias_is_added_to_the_scores(sizes: str) -> None:
    built = check((4, 4), f'b: tensor({sizes}, init=normal(1))\n"input" -> attend(heads=2, bias=b)')
    assert "bias=self.b" in built.source
    x = torch.randn(2, 4, 4)
    torch.testing.assert_close(built.module(x), by_loops(x, x, x, 2, bias=built.module.b))


def test_a_bias_may_differ_from_image_to_image() -> None:
    built = check((4, 4), 'b: [fc-32(act=none) -> reshape(2x4x4)]\n"input" -> attend(heads=2, bias=b)')
    x = torch.randn(3, 4, 4)
    bias = built.module.b(x.flatten(1))
    wanted = torch.cat([by_loops(one, one, one, 2, bias=b) for one, b in zip(x.split(1), bias, strict=True)])
    torch.testing.assert_close(built.module(x), wanted)


def test_what_is_left_out_is_what_flows_in() -> None:
    """Were the flow the query, conv1 -> attend(k=[conv1]) would compute Wk(Wq x)."""
    built = check((4, 3, 3), "attend(q=[wq: conv1-4], k=[wk: conv1-4])")
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(built.module(x), by_loops(built.module.wq(x), built.module.wk(x), x))
    built = check((4, 3, 3), "first: conv1-6 -> attend(k=[wk: conv1-6])")
    y = built.module.first(x).relu()  # the pipeline of k reads it too
    torch.testing.assert_close(built.module(x), by_loops(y, built.module.wk(y), y))


def test_attention_across_maps_of_other_axes() -> None:
    """Queries of their own on a map: what flows out has their positions, and v's channels."""
    text = 'queries: tensor(4, 5, init=normal(1))\n"input" -> attend(q=queries, v=[linear-6])'
    built = check((4, 3, 3), text)
    x = torch.randn(2, 4, 3, 3)
    q = built.module.queries.expand(2, -1, -1)
    torch.testing.assert_close(built.module(x), by_loops(q, x, built.module.linear1(x)))


def test_its_layers_are_children_of_the_level_it_is_on() -> None:
    text = "attn: [gn(2) -> attend(q=[q: conv1-8], k=[conv1-8], v=[conv1-8], heads=2) -> conv1-8]"
    names = [node.name for node in graph_on((8, 4, 4), text).layers]
    assert names == ["attn.0", "attn.q", "attn.1", "attn.2", "attn.3", "attn.4"]


def test_default_activations_are_left_out_before_it() -> None:
    text = "conv3-8 -> attend(q=[conv1-8], k=[conv1-8], v=[conv1-8]) -> conv1-8"
    assert [node.op.kind for node in graph_on((8, 4, 4), text).layers] == [
        "conv", "relu", "conv", "conv", "conv", "attend", "conv",
    ]  # fmt: skip
    assert [node.op.kind for node in graph_on((8, 4, 4), "conv3-8 -> attend").layers] == ["conv", "attend"]
    kept = graph_on((8, 4, 4), "conv3-8 -> attend(v=[conv1-8(act=relu)])").layers
    assert [node.op.kind for node in kept] == ["conv", "relu", "conv", "relu", "attend"]


def test_weighted_layers_around_it_draw_no_warning() -> None:
    assert graph_on((8, 4, 4), "attend(q=[conv1-8], k=[conv1-8], v=[conv1-8]) -> conv1-8").warnings == ()


def test_figures_of_a_published_layer() -> None:
    """One layer of ViT-B/16 on 197 tokens: 4 x 768 x 768 weights, and both products of attention whole."""
    text = "attend(q=[linear-768], k=[linear-768], v=[linear-768], heads=12) -> linear-768"
    total = costs(graph_on((768, 197), text)).total
    assert total.params == 4 * (768 * 768 + 768)
    assert total.macs == 4 * 197 * 768 * 768 + 2 * 197 * 197 * 768
    causal = costs(graph_on((768, 197), text.replace("heads=12", "heads=12, causal=yes"))).total
    assert causal.macs == total.macs


def test_the_field_is_the_whole_map_with_the_rest_beside_it() -> None:
    graph = graph_on((4, 16, 16), "conv3-4 -> pool -> [id + attend(q=[conv1-4], k=[conv3-4])]")
    field = receptive_field(graph, graph.outputs["output"])
    assert field is not None
    assert field.whole
    assert field.size == (16, 16)
    assert field.ungated is not None
    assert [axis.size for axis in field.ungated] == [4, 4]
    assert field.stride == (2, 2)


def test_every_position_depends_on_every_other() -> None:
    built = check((4, 5, 5), "attend(heads=2)")
    x = torch.randn(1, 4, 5, 5, requires_grad=True)
    built.module(x)[0, :, 0, 0].sum().backward()
    assert bool((x.grad.abs().sum((0, 1)) > 0).all())


def test_free_sizes_are_counted_as_they_are() -> None:
    graph = graph_of("input 4xHxW\nattend(k=[pool], v=[pool])")
    assert [str(n) for n in graph.nodes[graph.outputs["output"]].out] == ["4", "H", "W"]
    assert str(costs(graph).total.macs) == "(8*H*W*(H//2)*(W//2))"


@pytest.mark.parametrize(
    "layers",
    [
        "attend",
        "attend(heads=2, scale=0.5, causal=yes)",
        "a: [attend(q=[q: conv1-4], k=[conv1-4], heads=4) -> conv1-4]",
        'b: tensor(1, 9, 9)\n"input" -> attend(v=[conv1-2], bias=b)',
        "x: conv1-4\npool -> attend(q=x)",
        "x: conv1-4\npool -> attend(k=[x], v=[x -> linear-3])",
    ],
)
def test_it_expands_to_itself(layers: str) -> None:
    from cnnc.compiler.expand import expand

    graph = graph_on((4, 3, 3), layers)
    text = expand(graph)
    again = graph_of(text)
    assert [(n.name, n.op, n.inputs) for n in again.nodes] == [(n.name, n.op, n.inputs) for n in graph.nodes]
    assert expand(again) == text


def test_a_label_of_the_helpers_name_hides_nothing() -> None:
    assert check((4, 3, 3), 'attend: attend -> x: conv1-4\n["attend" + x] -> attend').module is not None
