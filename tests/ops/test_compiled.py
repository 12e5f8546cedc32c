"""What is written for each op: an emitter, an example that runs, helpers that stand alone and compile."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from graphs import graph_of, graph_on  # noqa: E402

from cnnc.backends.pytorch import helpers  # noqa: E402
from cnnc.backends.pytorch.layer import is_written  # noqa: E402
from cnnc.compiler.build import build  # noqa: E402
from cnnc.compiler.expand import expand  # noqa: E402
from cnnc.compiler.ops import all_ops  # noqa: E402
from cnnc.dsl.diagnostics import CnncError  # noqa: E402
from cnnc.dsl.parse import parse  # noqa: E402
from cnnc.dsl.source import Source  # noqa: E402
from ops.oracle import check, compiled  # noqa: E402

WORDS = {op.kind: op for op in all_ops() if not op.internal}
RANKED = [(kind, rank) for kind, op in WORDS.items() for rank in (0, 1, 2, 3) if rank in op.ranks]


def test_every_op_has_an_emitter() -> None:
    import cnnc.backends.pytorch.emitters  # noqa: F401

    assert [op.kind for op in all_ops() if not is_written(op) and op.kind != "input"] == []


def _example(kind: str, rank: int) -> str:
    """The op's example, with what it says of two axes said for others."""
    example = WORDS[kind].example
    if rank != 2:
        example = example.replace("bilinear", {1: "linear", 3: "trilinear"}.get(rank, ""))
        example = example.replace("64, 1, 1", ", ".join(["64", *["1"] * rank]))
        example = example.replace("H, W, C", {0: "C", 1: "W, C", 3: "D, H, W, C"}[rank])
        example = example.replace("64x1x1", "x".join(["64", *["1"] * rank]))
    return f"pool1: maxpool2 -> {example}" if kind == "unpool" else example


@pytest.mark.parametrize(("kind", "rank"), RANKED)
def test_example_compiles_and_runs(kind: str, rank: int) -> None:
    size = {"reshape": 1, "crop": 57, "stretch": 1}.get(kind, 8)
    check((2 if kind == "crop" else 64, *(size,) * rank), _example(kind, rank))


# One use of each helper: the text of a layer, and the input.
# Written for a free size, for params, or for another form: held by test_same_tf, test_pytorch_structure,
# test_inference and test_checkpoint.
ELSEWHERE = (
    "same_tf",
    "reshaping",
    "arithmetic",
    "inference",
    "fused",
    "captured",
    "gpu",
    "kernels",
    "winograd",
    "checkpoint",
    "parallel",
)
ALSO_ELSEWHERE = {"divisible", "crop_to"}
"""Of files with other helpers: written for params (test_pytorch_structure), and for a free size (the test of a crop)."""
WITH: dict[str, set[str]] = {"reparametrised": {"SeparableConv2d"}}
"""Helpers that are written for modules of others: the others of the use below."""

USES = {
    "Maxout": ("maxout(2)", (8, 6, 6)),
    "ChannelLayerNorm": ("ln", (8, 6, 6)),
    "LSTM": ("lstm-4", (3, 5)),
    "GRU": ("gru-4", (3, 5)),
    "attend": ("attend", (8, 6, 6)),
    "ChannelLinear": ("linear-4", (8, 6, 6)),
    "GlobalResponseNorm": ("grn", (8, 6, 6)),
    "WithinMapNorm": ("lrn3(within=yes)", (8, 6, 6)),
    "ChannelScale": ("scale(0.1, bias=yes)", (8, 6, 6)),
    "Affine": ("times((1, 2, 3, 4, 5, 6, 7, 8))", (8, 6, 6)),
    "Normalize": ("normalize(mean=(1, 2, 3), std=0.5)", (3, 6, 6)),
    "PositionScale": ("scale(0, each=one)", (8, 6, 6)),
    "ChannelBias": ("bias(each=channel)", (8, 6, 6)),
    "ChannelRMSNorm": ("rmsnorm", (8, 6, 6)),
    "EvoNormS0": ("evonorm(groups=4)", (8, 6, 6)),
    "EvoNormB0": ("evonorm(form=b0)", (8, 6, 6)),
    "BlurPool": ("blurpool3/2", (8, 6, 6)),
    "PositionBias": ("bias", (8, 6, 6)),
    "StochasticDepth": ("droppath(0.5)", (8, 6, 6)),
    "DropConnectLinear": ("fc-4(dropconnect=0.5)", (8,)),
    "RBF": ("rbf-4", (8,)),
    "initialised": ("conv3-4(init=he, act=none)", (8, 6, 6)),
    "PadShortcut": ("[conv3-8/2 + shortcut(kind=pad)]", (4, 6, 6)),
    "TableConv": ('conv3-2(table="11,01", act=none)', (2, 6, 6)),
    "LocallyConnected": ("local3-4(act=none)", (2, 6, 6)),
    "SumPool": ("sumpool3/2(pad=(0, 1), ceil=yes)", (2, 7, 6)),
    "StochasticPool": ("stochasticpool2", (2, 6, 6)),
    "SubSampling": ("subsample2", (2, 6, 6)),
    "PaddedLPPool": ("lppool2(pad=1)", (2, 6, 6)),
    "FractionalMaxPool1d": ("fractionalmaxpool2(ratio=0.7)", (2, 12)),
    "PixelShuffleNd": ("pixelshuffle(2)", (4, 6)),
    "SpaceToDepth": ("spacetodepth(2)", (4, 6)),
    "Squash": ("squash(4)", (8, 3, 3)),
    "CapsuleLength": ("capslength(4)", (8,)),
    "CapsuleMask": ("capsmask(4)", (8,)),
    "Capsules": ("capsule3-4(of=4)", (8, 3, 3)),
    "SpatialTransformer": ("stn([fc-4])", (2, 6, 6)),
    "Unpool": ("p: maxpool3/2 -> unpool(of=p)", (2, 7, 7)),
    "centre_pad": ("[id + maxpool -> pad]", (2, 6, 6)),
    "resized": ("resize(0.7)", (2, 6, 6)),
    "centre_crop": (
        "big: conv3-2(act=none)\nsmall: pool\nbig -> crop(to=small)",
        (2, 6, 6),
    ),
    **{f"UnevenConv{r}d": ("conv3-4(pad=(0, 1), act=none)", (2, *[5] * r)) for r in (1, 2, 3)},
    **{f"UnevenConvTranspose{r}d": ("tconv3-4/2(pad=(0, 1))", (2, *[5] * r)) for r in (1, 2, 3)},
    **{f"MaskedConv{r}d": ("conv3-4(mask=a, act=none)", (2, *[5] * r)) for r in (1, 2, 3)},
    "reparametrised": ("sepconv3-4(reparam=weight_norm, act=none)", (2, 6, 6)),
    **{f"StandardisedConv{r}d": ("conv3-4(standardise=yes, act=none)", (2, *[5] * r)) for r in (1, 2, 3)},
    **{f"SeparableConv{r}d": ("sepconv3-4(act=none)", (2, *[5] * r)) for r in (1, 2, 3)},
    **{f"UnevenMaxPool{r}d": ("maxpool3/2(pad=(0, 1), ceil=yes)", (2, *[6] * r)) for r in (1, 2, 3)},
    **{f"UnevenAvgPool{r}d": ("avgpool3/2(pad=(0, 1), count_pad=no)", (2, *[6] * r)) for r in (1, 2, 3)},
}


def test_every_helper_has_a_use() -> None:
    folder = Path(helpers.__file__).parent
    elsewhere = {
        name
        for file in ELSEWHERE
        for name in re.findall(r"^ {0,4}(?:class|def) (\w+)", (folder / f"{file}.py").read_text("utf8"), re.M)
    }
    elsewhere |= {name.replace("2d", f"{axes}d") for name in elsewhere for axes in (1, 3)}
    assert set(helpers.helper_names()) - elsewhere - ALSO_ELSEWHERE == set(USES)


@pytest.mark.parametrize("name", USES)
def test_helper_is_written_where_used_alone(name: str) -> None:
    layers, shape = USES[name]
    source = compiled(graph_on(shape, layers)).source
    defined = set(re.findall(r"^ {0,4}(?:class|def) (\w+)\(", source, re.M))
    written = defined & set(helpers.helper_names())
    assert written == {name} | WITH.get(name, set())


def test_a_crop_of_a_free_size_is_the_centre() -> None:
    built = compiled(graph_of("input 2xHxW\ncrop(3x4)\n"))
    assert "def crop_to(" in built.source
    x = torch.rand(1, 2, 8, 10)
    torch.testing.assert_close(built.module(x), x[..., 2:5, 3:7])


def test_layers_of_ours_trace_whole() -> None:
    """Many of them in one model, with no break in its graph."""
    layers = """\
conv4-8(pad=(1, 2)) -> ln -> maxout(2) -> sepconv3-8(act=none) -> sumpool2(pad=(0, 1)) -> lrn3(within=yes)
[id + droppath] -> pixelshuffle(1x2) -> stochasticpool2 -> subsample2 -> scale
stn([gap]) -> squash(2) -> local1-4 -> fc-8(dropconnect=0.5) -> capsule2-4(of=4) -> capsmask(4) -> rbf-3
"""
    _traces_whole(layers, (4, 16, 16))


@pytest.mark.slow
@pytest.mark.parametrize("name", USES)
def test_helper_traces_whole(name: str) -> None:
    _traces_whole(*USES[name])


def _traces_whole(layers: str, shape: tuple[int, ...]) -> None:
    """Under torch.compile there is no break in the graph, in training and in evaluation."""
    built = compiled(graph_on(shape, layers))
    x = torch.rand(2, *shape)
    for training in (True, False):
        module = built.module.train(training)
        torch._dynamo.reset()
        torch.manual_seed(0)
        expected = module(x)
        torch.manual_seed(0)
        actual = torch.compile(module, fullgraph=True, backend="eager")(x)
        torch.testing.assert_close(actual, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("name", USES)
def test_helper_runs_on_a_gpu(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    layers, shape = USES[name]
    module = compiled(graph_on(shape, layers)).module.double().eval()
    x = torch.rand(2, *shape, dtype=torch.float64)
    if name == "FractionalMaxPool1d":
        assert copy.deepcopy(module).cuda()(x.cuda()).is_cuda  # its places are random
        return
    torch.testing.assert_close(copy.deepcopy(module).cuda()(x.cuda()).cpu(), module(x))
    y = copy.deepcopy(module).cuda().train()(x.cuda().requires_grad_())
    y.sum().backward()


@pytest.mark.parametrize("kind", WORDS)
def test_expanded_layers_are_the_same_layers(kind: str) -> None:
    """The core that `expand` prints says every argument in a form that reads back."""
    for rank in WORDS[kind].ranks:
        size = {"reshape": 1, "crop": 57, "stretch": 1}.get(kind, 8)
        graph = graph_on((64, *(size,) * rank), _example(kind, rank))
        again = build(parse(Source("net.cnn", expand(graph))))
        assert [node.op for node in again.layers] == [node.op for node in graph.layers], rank


@pytest.mark.parametrize(
    "layers",
    [
        'conv3-4(table="1111,0101,1000,1100,1000,0100,1100,1111", bias=no, act=none)',
        "conv3-4(init=normal(0.0123456789, -1), bias_init=0.1)",
        "conv3-4(init=he(fan_out))",
        "reshape(2x2x2x36)",
        "pad(((0, 1), (2, 2)))",
    ],
)
def test_unusual_arguments_expand_to_themselves(layers: str) -> None:
    graph = graph_on((8, 6, 6), layers)
    again = build(parse(Source("net.cnn", expand(graph))))
    assert [node.op for node in again.layers] == [node.op for node in graph.layers]


def test_helpers_fit_the_width_of_what_is_written() -> None:
    for name in helpers.helper_names():
        long = [line for line in helpers.helper_source(name).splitlines() if len(line) > 88]
        assert not long, name


def test_names_of_helpers_are_not_taken_by_blocks() -> None:
    text = "block uneven_conv2d(w) = [conv3-w(act=none) + id]\nuneven_conv2d(4) -> conv4-4(pad=(1, 2))"
    source = check((4, 8, 8), text).source
    assert "class UnevenConv2d(nn.Conv2d):" in source
    assert "class UnevenConv2d2(nn.Module):" in source


# --- how weights start ------------------------------------------------------------------


def test_initialisation_is_honoured_and_visible() -> None:
    text = """\
default conv(init=normal(0.01))
[conv11-96/4(pad=2) -> conv5-256(bias_init=1) -> conv3-8(init=0, bias_init=constant(2))]
fc-4096(init=normal(0.005), bias_init=0.1)
"""
    built = check((3, 64, 64), text)
    assert '    weight=("normal_", 0.0, 0.01)' in built.source
    weights: dict[str, Any] = dict(built.module.named_parameters())
    assert float(weights["conv1.weight"].detach().std()) == pytest.approx(0.01, rel=0.05)
    assert float(weights["fc1.weight"].detach().std()) == pytest.approx(0.005, rel=0.05)
    assert weights["conv2.bias"].detach().unique().tolist() == [1.0]
    assert weights["conv3.weight"].detach().unique().tolist() == [0.0]
    assert weights["conv3.bias"].detach().unique().tolist() == [2.0]
    assert weights["fc1.bias"].detach().unique().tolist() == [pytest.approx(0.1)]


@pytest.mark.parametrize(
    ("rule", "std"),
    [
        ("he", (2 / (64 * 9)) ** 0.5),
        ("he_uniform", (2 / (64 * 9)) ** 0.5),
        ("he(fan_out)", (2 / (256 * 9)) ** 0.5),
        ("xavier", (2 / ((64 + 256) * 9)) ** 0.5),
        ("xavier_normal", (2 / ((64 + 256) * 9)) ** 0.5),
        ("normal(std=0.3)", 0.3),
        ("truncated_normal(0.3)", 0.3 * 0.8796),  # of the normal distribution cut at two sigma
        ("uniform(-3, 3)", 3**0.5),
        ("constant(7)", 0.0),
    ],
)
def test_rules_have_their_spread(rule: str, std: float) -> None:
    """He et al. 2015, eq. 10 and 14; Glorot and Bengio 2010, eq. 12 and 16."""
    weight = dict(check((64, 4, 4), f"conv3-256(init={rule})").module.named_parameters())["conv1.weight"]
    assert float(weight.detach().std()) == pytest.approx(std, rel=0.01, abs=1e-9)


@pytest.mark.parametrize(
    "word",
    [
        "conv3-64(pad=valid, {})", "conv3-64(pad=valid, groups=4, {})", "dwconv3(pad=valid, {})",
        "tconv3-64(pad=2, {})", "tconv3-64(pad=2, groups=4, {})", "tconv4-64/2(pad=3, {})", "fc-4096({}, act=none)",
        "tconv3-1(pad=2, {})", "tconv2x4-64/1x2(pad=(1, 3), {})",
    ],
)  # fmt: skip
def test_a_start_by_the_fan_in_keeps_the_spread(word: str) -> None:
    """He et al. 2015, eq. 7: with variance 2/fan-in, what flows out has twice the second moment of what flows in."""
    torch.manual_seed(0)
    for rule in ("he", "he_uniform"):
        text = word.format(f"init={rule}, bias=no")
        text = text if "conv" not in text or text.startswith("tconv") else text.replace(")", ", act=none)")
        module = check((128, 16, 16), text).module
        with torch.no_grad():
            moment = float(module(torch.randn(4, 128, 16, 16)).square().mean())
        assert moment == pytest.approx(2, rel=0.25), text


@pytest.mark.parametrize("word", ["conv3-64(groups={}, {})", "tconv3-64(groups={}, {})"])
def test_glorots_rule_heeds_groups(word: str) -> None:
    """A filter of a group sums the group's channels, and a channel goes into the group's filters."""
    for groups in (1, 4, 32):
        fans = (32 / groups + 64 / groups) * 9
        weights = check((32, 4, 4), word.format(groups, "init=xavier, bias=no")).module.parameters()
        (weight,) = list(weights)
        assert float(weight.detach().std()) == pytest.approx((2 / fans) ** 0.5, rel=0.06), groups


def test_both_weights_of_a_separable_conv_start_alike() -> None:
    built = check((8, 6, 6), "sepconv3-4(init=3, bias_init=1)")
    for key, value in built.module.state_dict().items():
        assert value.unique().tolist() == [1.0 if key.endswith("bias") else 3.0], key


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ("conv3-4(init=hee)", "E303"),
        ("conv3-4(init=normal)", "E303"),
        ("conv3-4(init=normal(-1))", "E303"),
        ("conv3-4(init=normal(1, 2, 3))", "E303"),
        ("conv3-4(init=normal(std=1, std=2))", "E303"),
        ("conv3-4(init=uniform(2, 1))", "E303"),
        ("conv3-4(init=he(fan_both))", "E303"),
        ("conv3-4(init=(1, 2))", "E303"),
        ("conv3-4(bias_init=he)", "E303"),
        ("local3-4(init=xavier)", "E307"),
        ("local3-4(init=he(fan_out))", "E307"),
        ('conv3-4(init=he, table="1111,1111,1111,1111,1111,1111,1111,1111")', "E307"),
        ('conv3-4(groups=2, table="1111,1111,1111,1111,1111,1111,1111,1111")', "E307"),
        ('conv3-4(table="1111,1111")', "E307"),
        ('conv3-4(table="11,2")', "E303"),
        ('conv3-4(table="11,1")', "E303"),
        ("conv3-4(table=none)", "E303"),
        ("conv3-4(table=7)", "E303"),
        ("stretch(6x7)", "E403"),
        ("p: conv3-4/2 -> stretch(3, to=p)", "E307"),
        ("upsample", "E307"),
        ("upsample(2, size=7)", "E307"),
        ("upsample(2, mode=linear)", "E303"),
        ("upsample(2, align_corners=yes)", "E307"),
        ("pad(2, mode=reflect, value=1)", "E307"),
        ("pad(same)", "E303"),
        ("chunk(2, 2)", "E303"),
        ("chunk(3, 0)", "E402"),
        ("maxout(3)", "E402"),
        ("maxout(1)", "E303"),
        ("capsule4-4(of=3)", "E402"),
        ("fractionalmaxpool2", "E307"),
        ("fractionalmaxpool2(ratio=1.5)", "E303"),
        ("fractionalmaxpool2(ratio=yes)", "E303"),
        ("lrn4(within=yes)", "E303"),
        ("ln(over=maps)", "E303"),
        ("softplus(0)", "E303"),
        ("tconv3-4(pad=same)", "E303"),
        ("reshape((1, 2))", "E303"),
        ("reshape(3x3)", "E408"),
        ("stn", "E504"),
        ("unpool", "E302"),
        ("p: avgpool2 -> unpool(of=p)", "E303"),
        ("p: maxpool2(pad=(0, 1)) -> unpool(of=p)", "E307"),
        ("p: maxpool2 -> unpool(of=p, kernel=3)", "E307"),
        ("p: maxpool2 -> conv1-4 -> unpool(of=p)", "E405"),
        ("p: maxpool2 -> upsample(2, like=p)", "E307"),
    ],
)
def test_refused_arguments(layers: str, code: str) -> None:
    with pytest.raises(CnncError) as caught:
        graph_on((8, 6, 6), layers)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert diagnostic.span is not None
