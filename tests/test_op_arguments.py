"""What the arguments of each layer may be: the nearest that is refused, and the nearest that is not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from graphs import graph_on
from layer_words import codes

from cnnc.compiler.ops import Op, all_ops, op_words
from cnnc.compiler.ops.base import OpError, Place, Shape
from cnnc.compiler.ops.fields import one_of
from cnnc.compiler.walk.labels import SOURCES
from cnnc.dsl.diagnostics import CnncError


def test_forms_of_padding_in_numbers() -> None:
    for text, pads in (
        ("1", ((1, 1), (1, 1))), ("1x3", ((1, 1), (3, 3))), ("(1, 2)", ((1, 2), (1, 2))),
        ("((0, 1), (2, 3))", ((0, 1), (2, 3))), ("0", ((0, 0), (0, 0))), ("valid", ((0, 0), (0, 0))),
    ):  # fmt: skip
        for word in ("conv3-2", "tconv9-2", "local3-2", "sepconv3-2", "dwconv3", "maxpool7", "avgpool6"):
            found: Any = graph_on((2, 9, 9), f"{word}(pad={text})").layers[0].op
            assert found.pad == pads, (word, text)
        if text != "valid":
            assert graph_on((2, 9, 9), f"pad({text})").layers[-1].out == (2, *(9 + a + b for a, b in pads))
    for text, code in (
        ("1x2x3", "E401"), ("(1, 2, 3)", "E303"), ("((0, 1), (1, 2), (1, 2))", "E303"), ("((0, 1, 2), (1, 2, 3))", "E303"), ("-1", "E303"), ("(-1, 0)", "E303"), ("(0, -1)", "E303"),
        ("((0, -1), (0, 0))", "E303"), ("((0, 0), (-1, 0))", "E303"), ("wrong", "E303"), ("1/2", "E305"),
        ("yes", "E303"),
    ):  # fmt: skip
        for word in ("conv3-2", "tconv9-2", "maxpool7"):
            assert codes((2, 9, 9), f"{word}(pad={text})") == {code}, text


REFUSED = (
    # word, on which shape, its code; and the nearest that is taken
    ((6, 8, 8), "mean(axis=())", "E303", "mean(axis=(C,))"), ((6, 8, 8), "softmax(axis=())", "E303", "softmax(axis=(W,))"),
    ((6, 8, 8), "[id | id](axis=())", "E303", "[id | id](axis=C)"),
    ((6, 8, 8), "times(3.5*10**38)", "E901", "times(3.4*10**38)"), ((6, 8, 8), "clamp(low=-10**39)", "E901", "clamp(low=-10**38)"),
    ((6, 8, 8), "bn(eps=10**39)", "E901", "bn(eps=10**38)"), ((6, 8, 8), "pad(1, value=10**39)", "E901", "pad(1, value=10**38)"),
    ((6, 8, 8), "normalize(mean=10**39, std=1)", "E901", "normalize(mean=10**38, std=1)"),
    ((6, 8, 8), "conv3-4(init=10**39)", "E901", "conv3-4(init=10**38)"),
    ((6, 8, 8), "conv3-4(init=normal(10**39))", "E901", "conv3-4(init=normal(10**38))"),
    ((6, 8, 8), "conv3-6(groups=4)", "E402", "conv3-6(groups=3)"), ((6, 8, 8), "conv3-4(groups=3)", "E402", "conv3-4(groups=2)"),
    ((6, 8, 8), "tconv2-4/2(groups=3)", "E402", "tconv2-4/2(groups=2)"),
    ((6, 8, 8), "conv3-0", "E303", "conv3-1"), ((6, 8, 8), "conv3-4/0", "E303", "conv3-4/1"),
    ((6, 8, 8), "conv9-4(pad=valid)", "E403", "conv8-4(pad=valid)"), ((6, 8, 8), "maxpool9", "E403", "maxpool8"),
    ((6, 8, 8), "conv4-4", "E404", "conv5-4"), ((6, 8, 8), "gn(4)", "E402", "gn(3)"), ((6, 1, 1), "instancenorm", "E408", "ln"),
    ((6, 8, 8), "maxpool(pad=2)", "E303", "maxpool(pad=1)"), ((6, 8, 8), "maxpool3(pad=3)", "E303", "maxpool3(pad=2)"),
    ((6, 8, 8), "avgpool3(pad=2)", "E303", "avgpool3(pad=1)"), ((6, 8, 8), "maxpool2/1(dilation=9, pad=4)", "E403", "maxpool2/1(dilation=8, pad=4)"),
    ((6, 8, 8), "dropout(1)", "E303", "dropout(0)"), ((6, 8, 8), "dropout(-0.1)", "E303", "dropout(0.99)"),
    ((6, 8, 8), "bn(eps=0)", "E303", "bn(eps=1e-9)"), ((6, 8, 8), "bn(eps=-1)", "E303", "bn(eps=1)"),
    ((6, 8, 8), "gn(3, eps=-1)", "E303", "gn(3, eps=1)"), ((6, 8, 8), "bn(momentum=5)", "E303", "bn(momentum=1)"),
    ((6, 8, 8), "bn(momentum=-0.1)", "E303", "bn(momentum=0)"), ((6, 8, 8), "ln(eps=0)", "E303", "ln(eps=0.1)"),
    ((6, 8, 8), "instancenorm(eps=0)", "E303", "instancenorm(eps=0.1)"),
    ((6, 8, 8), "lrn1(k=0, alpha=0)", "E303", "lrn1(k=0.1, alpha=0)"), ((6, 8, 8), "lrn(k=-1)", "E303", "lrn(k=0)"),
    ((6, 8, 8), "lrn(alpha=-1)", "E303", "lrn(alpha=0)"),
    ((6, 8, 8), "conv3-4(init=truncated_normal(0))", "E303", "conv3-4(init=normal(0))"),
    ((6, 8, 8), "bn(6)", "E301", "bn"), ((6, 8, 8), "prelu(6)", "E301", "prelu(start=6)"), ((6, 8, 8), "gn(3, 6)", "E301", "gn(3)"),
    ((6, 8, 8), "conv(6, 64, 3)", "E301", "conv3-64"), ((6, 8, 8), "ln(6)", "E301", "ln"), ((6, 8, 8), "fc(6, 4)", "E301", "fc-4"),
    ((6, 8, 8), "softplus(0)", "E303", "softplus(0.1)"), ((6, 8, 8), "maxout(4)", "E402", "maxout(6)"),
    ((6, 8, 8), "maxout(1)", "E303", "maxout(2)"), ((6, 8, 8), "chunk(4, 0)", "E402", "chunk(3, 0)"),
    ((6, 8, 8), "chunk(3, 3)", "E303", "chunk(3, 2)"), ((6, 8, 8), "chunk(3, 4)", "E303", "chunk(3, 1)"),
    ((6, 8, 8), "chunk(3, -1)", "E303", "chunk(3, 0)"),
    ((6, 8, 8), "crop(9)", "E403", "crop(8)"), ((6, 8, 8), "crop(0)", "E303", "crop(1)"), ((6, 8, 8), "shuffle(4)", "E402", "shuffle(6)"),
    ((6, 8, 8), "squash(4)", "E402", "squash(2)"), ((6, 8, 8), "capsule2-2(of=4)", "E402", "capsule2-2(of=3)"),
    ((6, 8, 8), "pixelshuffle(2)", "E402", "pixelshuffle(3x2)"), ((6, 8, 8), "spacetodepth(3)", "E402", "spacetodepth(4)"),
    ((6, 8, 8), "reshape(383)", "E408", "reshape(384)"), ((6, 8, 8), "reshape(6x2x2x2x2x2x2)", "E303", "reshape(6x4x4x4)"),
    ((6, 8, 8), "pad(8, mode=reflect)", "E403", "pad(7, mode=reflect)"), ((6, 8, 8), "pad(9, mode=circular)", "E403", "pad(8, mode=circular)"),
    ((6, 8, 8), "pad((0, 8), mode=reflect)", "E403", "pad((7, 7), mode=reflect)"), ((6, 8, 8), "pad(-1)", "E303", "pad(99, mode=replicate)"),
    ((6, 8, 8), "pad(1, mode=reflect, value=1)", "E307", "pad(1, value=1)"), ((6, 8, 8), "lrn4(within=yes)", "E303", "lrn4"),
    ((6, 8, 8), "upsample(2, size=4)", "E307", "upsample(size=4)"), ((6, 8, 8), "upsample", "E307", "upsample(1)"),
    ((6, 8, 8), "upsample(2, align_corners=yes)", "E307", "upsample(2, mode=bilinear, align_corners=yes)"),
    ((6, 8, 8), "upsample(2, mode=linear)", "E303", "upsample(2, mode=bilinear)"),
    ((6, 8, 8), "resize(2, size=4)", "E307", "resize(2)"), ((6, 8, 8), "resize(0)", "E303", "resize(0.125)"),
    ((6, 8, 8), "resize(0.12)", "E403", "resize(1/8)"), ((6, 8, 8), "resize((1, 2, 3))", "E401", "resize((1, 2))"),
    ((6, 8, 8), "resize(2, mode=area, align_corners=yes)", "E307", "resize(2, mode=bicubic, align_corners=yes)"),
    ((6, 8, 8), "tconv3-4/2(output_pad=2)", "E307", "tconv3-4/2(output_pad=1)"),
    ((6, 8, 8), "tconv1-4(pad=4)", "E403", "tconv1-4(pad=3)"),
    ((6, 8, 8), "fractionalmaxpool2(ratio=1)", "E303", "fractionalmaxpool2(ratio=0.8)"),
    ((6, 8, 8), "fractionalmaxpool2(ratio=0)", "E303", "fractionalmaxpool2(ratio=0.2)"),
    ((6, 8, 8), "fractionalmaxpool2", "E307", "fractionalmaxpool2(out=3)"),
    ((6, 8, 8), "fractionalmaxpool2(ratio=0.5, out=4)", "E307", "fractionalmaxpool2(out=7)"),
    ((6, 8, 8), "fractionalmaxpool2(ratio=0.1)", "E403", "fractionalmaxpool2(ratio=0.125)"),
    ((6, 8, 8), "shortcut_pad(width=5, stride=1)", "E503", "shortcut_pad(width=6, stride=1)"),
    ((6, 8, 8), "conv3-4(bias=3)", "E303", "conv3-4(bias=no)"), ((6, 8, 8), "conv3x3x3-4", "E401", "conv3x3-4"),
    ((6, 8, 8), "leaky(yes)", "E303", "leaky(1/2)"), ((6, 8, 8), "conv3-4(dilation=1/2)", "E305", "conv3-4(dilation=4/2)"),
    ((6, 8, 8), "[id + conv3-5]", "E405", "[id + conv3-6]"), ((6, 8, 8), "[id | maxpool]", "E405", "[id | maxpool3/1(pad=1)]"),
    ((6, 8, 8), "[id & conv3-5]", "E405", "[id & conv3-1]"), ((6, 8, 8), "[id & maxpool]", "E405", "[id & gap]"),
    ((6, 8, 8), "[id & fc-6]", "E405", "[id & gap -> conv1-6]"),
    ((6, 8, 8), "local3-2(init=xavier)", "E307", "local3-2(init=he)"), ((6, 8, 8), "local3-2(init=he(fan_out))", "E307", "local3-2(init=he(fan_in))"),
    ((6, 8, 8), "conv3-4(init=normal)", "E303", "conv3-4(init=normal(0))"), ((6, 8, 8), "conv3-4(init=normal(-1))", "E303", "conv3-4(init=normal(1, -1))"),
    ((6, 8, 8), "conv3-4(init=normal(1, 2, 3))", "E303", "conv3-4(init=normal(mean=1, std=2))"),
    ((6, 8, 8), "conv3-4(init=uniform(1, 0))", "E303", "conv3-4(init=uniform(1, 1))"), ((6, 8, 8), "conv3-4(init=uniform(1))", "E303", "conv3-4(init=3)"),
    ((6, 8, 8), "conv3-4(init=he(1))", "E303", "conv3-4(init=he(mode=fan_out))"), ((6, 8, 8), "conv3-4(init=normal(1, std=2))", "E303", "conv3-4(init=normal(1, mean=2))"),
    ((6, 8, 8), "conv3-4(bias_init=he)", "E303", "conv3-4(bias_init=1)"), ((6, 8, 8), "conv3-4(init=bogus)", "E303", "conv3-4(init=he)"),
    ((6, 8, 8), "conv3-4(init=yes)", "E303", "conv3-4(init=1/2)"),
    ((6, 8, 8), "reshape(Foo, _)", "E303", "reshape(6, _)"), ((6, 8, 8), "reshape((1, 2), _)", "E303", "reshape(1, 2, _)"),
    ((6, 8, 8), "reshape(0)", "E303", "reshape(384)"), ((6, 8, 8), "reshape(0, _)", "E303", "reshape(2, _)"),
    ((6, 8, 8), "reshape(_, _)", "E303", "reshape(_)"), ((6, 8, 8), "mean(axis=(H, H))", "E303", "mean(axis=(H, W))"),
    ((6, 8, 8), "[id & t: tensor(0, 1, 1)]", "E303", "[id & t: tensor(1, 1, 1)]"),
    ((6, 8, 8), "conv3-4(pad=(2, 1), pad_mode=reflect)", "E307", "conv3-4(pad=2, pad_mode=reflect)"),
    ((6, 8, 8), "conv3-4(pad=(1, 2), pad_mode=reflect)", "E307", "conv3-4(pad=1, pad_mode=reflect)"),
    ((6, 8, 8), "slice(-1)", "E303", "slice(-1..-1)"), ((6, 8, 8), "slice(6)", "E403", "slice(5)"),
)  # fmt: skip


@pytest.mark.parametrize(("shape", "word", "code", "taken"), REFUSED)
def test_what_is_refused_and_the_nearest_that_is_not(shape: Shape, word: str, code: str, taken: str) -> None:
    assert codes(shape, word) == {code}
    assert codes(shape, taken) == set()


def test_how_weights_start() -> None:
    def init(text: str) -> Any:
        found: Any = graph_on((6, 8, 8), f"conv3-4(act=none, init={text})").layers[-1].op
        return (found.init.rule, found.init.numbers, found.init.mode, str(found.init), found.init.has_fan)

    assert init("he") == ("he", (), "fan_in", "he", True)
    assert init("he_uniform(fan_out)") == ("he_uniform", (), "fan_out", "he_uniform(fan_out)", True)
    assert init("xavier_normal") == ("xavier_normal", (), None, "xavier_normal", True)
    assert init("normal(0.5)") == ("normal", (0.5, 0.0), None, "normal(0.5, 0)", False)
    assert init("truncated_normal(mean=2, std=1)") == (
        "truncated_normal", (1.0, 2.0), None, "truncated_normal(1, 2)", False
    )  # fmt: skip
    assert init("uniform(-1, 1)") == ("uniform", (-1.0, 1.0), None, "uniform(-1, 1)", False)
    assert init("1/4") == ("constant", (0.25,), None, "constant(0.25)", False)


PYTORCH = (
    ("bn", "BatchNorm2d", {"eps": "eps", "momentum": "momentum", "affine": "affine"}),
    ("gn", "GroupNorm", {"eps": "eps", "affine": "affine"}),
    ("ln", "LayerNorm", {"eps": "eps", "affine": "elementwise_affine"}),
    ("instancenorm", "InstanceNorm2d", {"eps": "eps", "affine": "affine"}),
    ("lrn", "LocalResponseNorm", {"alpha": "alpha", "beta": "beta", "k": "k"}),
    ("leaky", "LeakyReLU", {"slope": "negative_slope"}), ("elu", "ELU", {"alpha": "alpha"}),
    ("prelu", "PReLU", {"start": "init"}), ("softplus", "Softplus", {"beta": "beta"}),
    ("dropout", "Dropout", {"p": "p"}), ("spatialdropout", "Dropout2d", {"p": "p"}),
    ("avgpool", "AvgPool2d", {"ceil": "ceil_mode", "count_pad": "count_include_pad"}),
    ("maxpool", "MaxPool2d", {"ceil": "ceil_mode"}), ("upsample", "Upsample", {"mode": "mode"}),
    ("conv", "Conv2d", {"stride": "stride", "dilation": "dilation", "groups": "groups", "bias": "bias"}),
    ("tconv", "ConvTranspose2d", {
        "stride": "stride", "dilation": "dilation", "groups": "groups", "bias": "bias", "pad": "padding",
        "output_pad": "output_padding",
    }),
    ("fc", "Linear", {"bias": "bias"}),
)  # fmt: skip


@pytest.mark.parametrize(("word", "module", "names"), PYTORCH, ids=[row[0] for row in PYTORCH])
def test_what_is_not_said_is_as_pytorch_has_it(word: str, module: str, names: dict[str, str]) -> None:
    torch = pytest.importorskip("torch")
    theirs = inspect.signature(getattr(torch.nn, module)).parameters
    ours = op_words()[word].model_fields
    assert {name: ours[name].default for name in names} == {n: theirs[t].default for n, t in names.items()}


def test_what_is_not_said_elsewhere() -> None:
    """Strides and such of the convolutions PyTorch lacks; routing of Sabour et al. 2017, section 3."""
    for word in ("dwconv", "sepconv", "local"):
        (op,) = (
            layer.op
            for layer in graph_on((4, 9, 9), f"{word}3{'' if word == 'dwconv' else '-4'}(act=none)").layers
        )
        assert (op.stride, op.dilation, op.pad) == ((1, 1), (1, 1), ((1, 1), (1, 1)))
        assert op.bias is True
    (fc,) = (layer.op for layer in graph_on((4,), "fc-3(act=none)").layers)
    assert fc.dropconnect == 0
    (lrn,) = (layer.op for layer in graph_on((4, 9, 9), "lrn").layers)
    assert lrn.size == 5  # Krizhevsky et al. 2012, section 3.3
    (lppool,) = (layer.op for layer in graph_on((4, 9, 9), "lppool").layers)
    assert (lppool.p, lppool.kernel) == (2, (2, 2))
    for word in ("dwconv3", "sepconv3-4"):
        (op,) = (layer.op for layer in graph_on((4, 9, 9), f"{word}(act=none)").layers)
        assert op.multiplier == 1
    (capsule,) = (layer.op for layer in graph_on((16, 3, 2), "capsule5-4").layers)
    assert (capsule.routing, capsule.of) == (3, 8)


def test_a_size_has_a_number_for_each_axis_no_more_and_no_fewer() -> None:
    for word in ("conv3x3-4", "conv3-4(pad=1x1)", "maxpool2x2", "conv3-4/2x2"):
        assert codes((2, 8, 8), word) == set()
        assert codes((2, 8, 8, 8), word) == {"E401"}
        assert codes((2, 64), word) == {"E401"}
    for pad in ("0x1", "1x0", "0x0"):
        assert codes((2, 8, 8), f"conv3-4(pad={pad})") == set()


def test_branches_that_are_added_are_all_of_one_shape() -> None:
    for branches in ("id + conv1-4 + conv1-2", "conv1-2 + id + id", "id + conv1-2 + id", "conv1-6 + id + id"):
        assert codes((4, 8, 8), f"[{branches}]") == {"E405"}
    assert codes((4, 8, 8), "[id + conv1-4 + id]") == set()


def test_a_layer_that_gets_no_linear_input_leaves_the_default_activation() -> None:
    for after, left in (
        ("exp", 1),
        ("scale", 0),
        ("bn", 0),
        ("ln", 0),
        ("prelu", 0),
        ("relu", 0),
        ("softmax", 0),
    ):
        layers = graph_on((4, 8, 8), f"conv3-4 -> {after}").layers
        assert sum(layer.role == "act" for layer in layers) == left, after


def test_a_layer_that_needs_a_pipeline_says_so() -> None:
    assert codes((2, 8, 8), "stn") == {"E504"}
    assert codes((2, 8, 8), "stn([fc-4])") == set()


def test_a_resize_is_for_maps_of_one_axis_to_three() -> None:
    assert graph_on((2, 8), "upsample(2)").layers[0].out == (2, 16)
    assert graph_on((2, 4, 4, 4), "upsample(2)").layers[0].out == (2, 8, 8, 8)
    assert codes((8,), "upsample(2)") != set()


def kinds(holds: Callable[[type[Op]], bool]) -> set[str]:
    return {op.kind for op in all_ops() if holds(op)}


def test_which_layers_need_a_map() -> None:
    """Windows, resizes and whatever goes by maps; all else takes vectors too (docs/layers.md)."""
    assert kinds(lambda op: op.ranks == (1, 2, 3)) == {
        "conv", "dwconv", "sepconv", "tconv", "local", "maxpool", "avgpool", "sumpool", "lppool", "stochasticpool",
        "subsample", "gap", "gmp", "adaptiveavgpool", "adaptivemaxpool", "fractionalmaxpool", "unpool",
        "instancenorm", "lrn", "spatialdropout", "crop", "stretch", "pad", "shuffle", "upsample", "resize", "pixelshuffle",
        "spacetodepth", "shortcut_pad", "attend", "grn", "evonorm", "blurpool",
    }  # fmt: skip
    assert kinds(lambda op: op.ranks == (0,)) == {"fc", "rbf"}
    assert kinds(lambda op: op.ranks == (1,)) == {"lstm", "gru"}
    assert kinds(lambda op: op.ranks == (2, 3)) == {"stn"}


def test_through_which_layers_an_activation_looks_and_which_count_as_layers() -> None:
    """The manual's conventions: through what only moves values; not through pools, sums and products."""
    assert kinds(lambda op: op.transparent) == {
        "concat", "dropout", "spatialdropout", "droppath", "flatten", "reshape", "squeeze", "crop", "pad",
        "shuffle", "chunk", "upsample", "pixelshuffle", "spacetodepth", "times", "plus", "scale",
        "permute", "slice", "stretch", "resize",
    }  # fmt: skip
    assert kinds(lambda op: op.weighted) == {
        "conv", "dwconv", "sepconv", "tconv", "local", "fc", "linear", "lstm", "gru", "rbf", "capsule", "stn",
        "subsample",
    }  # fmt: skip


def test_before_which_layers_a_default_activation_is_left_out() -> None:
    """The manual's conventions: an activation, a norm that `norm=` can name, a sum; a bias by position too."""
    activations = kinds(lambda op: op.family == "activation") - {"capslength", "capsmask", "capsule"}
    assert kinds(lambda op: op.takes_linear) == activations | {
        "bn", "gn", "ln", "instancenorm", "rmsnorm", "evonorm", "add", "bias", "attend", "matmul",
    }  # fmt: skip


def test_into_which_layers_nothing_flows() -> None:
    assert kinds(lambda op: op.source and not op.internal) == set(SOURCES)


def test_how_weights_start_may_be_left_open() -> None:
    place = Place(((4, 9, 9),))
    start = graph_on((4, 9, 9), "conv3-8(init=he)").layers[0].op.init
    for given in (None, start):
        made = op_words()["conv"].model_validate({"kernel": 3, "width": 8, "init": given}, context=place)
        assert made.init == given
    assert codes((6, 8, 8), "reshape(0x4)") == codes((6, 8, 8), "reshape(6x0x4)") == {"E303"}


def test_what_branches_give_together() -> None:
    for word, out in (
        ("[id | conv1-3]", (7, 5, 6)), ("[conv1-3 | id | id]", (11, 5, 6)), ("[id + id]", (4, 5, 6)),
        ("[id & gap]", (4, 5, 6)), ("[gap & id]", (4, 5, 6)), ("[id & conv1-1]", (4, 5, 6)),
    ):  # fmt: skip
        assert graph_on((4, 5, 6), word).layers[-1].out == out
    assert codes((4, 6, 6), "[id | maxpool | maxpool]") == codes((4, 6, 6), "[maxpool | id]") == {"E405"}
    assert codes((4, 6, 6), "[id & maxpool]") != set()


def test_three_axes_are_averaged_over_kernels_no_larger_than_the_map() -> None:
    """PyTorch's AvgPool3d has that rule where a size is rounded up; its other pools have not."""
    assert codes((2, 3, 3, 3), "avgpool4/2(ceil=yes)") == {"E403"}
    for shape, word in (
        ((2, 3, 3), "avgpool4/2(ceil=yes)"), ((2, 3, 3, 3), "maxpool4/2(ceil=yes)"),
        ((2, 4, 4, 4), "avgpool4/2(ceil=yes)"),
    ):  # fmt: skip
        assert codes(shape, word) == set()
        assert graph_on(shape, word).layers[0].out[1:] == (1,) * (len(shape) - 1)


def test_what_an_extern_does_not_declare_counts_as_nothing_and_is_named() -> None:
    def mine(declared: str) -> Any:
        text = f'extern mine = "my.layers:Mine" (shape=same{declared})\nmine'
        return graph_on((4, 8, 8), text).layers[0].op

    for declared, macs, params, unknown in (
        ("", 0, {}, ("params", "macs")), (", macs=7", 7, {}, ("params",)), (", macs=0, params=0", 0, {}, ()),
        (", params=5", 0, {"*": (5,)}, ("macs",)),
    ):  # fmt: skip
        op = mine(declared)
        found = op.macs((4, 8, 8))
        assert (found, op.params((4, 8, 8)), op.unknown) == (macs, params, unknown)
        assert type(found) is int


def test_a_shape_may_be_given_by_its_key() -> None:
    for given, out in (
        ("6x4x16", (6, 4, 16)),
        ("384", (384,)),
        ("(6, 8, 8)", (6, 8, 8)),
        ("(6, _)", (6, 64)),
    ):
        assert graph_on((6, 8, 8), f"reshape(shape={given})").layers[0].out == out
    assert codes((6, 8, 8), "reshape(shape=6x2x2x2x8)") == {"E303"}


def test_a_fraction_that_is_whole_is_an_integer() -> None:
    place = Place(((4, 9, 9),))
    conv: Any = op_words()["conv"].model_validate(
        {"kernel": Fraction(3), "width": Fraction(8, 2)}, context=place
    )
    assert (conv.kernel, conv.width, type(conv.width)) == ((3, 3), 4, int)
    with pytest.raises(OpError, match="expected an integer"):
        op_words()["conv"].model_validate({"kernel": Fraction(3, 2), "width": 4}, context=place)


def test_words_are_told_with_an_or() -> None:
    with pytest.raises(OpError, match=r"^`mode` is c; expected a or b$"):
        one_of("c", "mode", ("a", "b"))
    with pytest.raises(OpError, match=r"^`mode` is 3; expected a, b or c$"):
        one_of(3, "mode", ("a", "b", "c"))
    assert one_of("b", "mode", ("a", "b", "c")) == "b"


def test_widths_that_stand_in_the_word_are_given_by_no_position() -> None:
    """`Linear(512, 10)` and `Conv2d(3, 64, 3)` of other libraries would be read as something else."""
    for op in all_ops():
        if not op.internal and op.word.width is not None:
            assert op.positional == 0, op.kind


def test_what_was_meant_is_hinted() -> None:
    def hint(word: str) -> str | None:
        with pytest.raises(CnncError) as caught:
            graph_on((6, 8, 8), word)
        (diagnostic,) = caught.value.diagnostics
        return diagnostic.hint

    for values in ((6, 64), (6, 8, 8), (2, 3, 8, 8)):
        written = "x".join(map(str, values))
        assert hint(f"reshape({values})") == f"sizes are joined by x, channels first: reshape({written})"
    for word in ("reshape((384,))", "reshape((1, 2, 3, 8, 8))", "reshape((6, 0))", "reshape((6, -1))"):
        assert hint(word) == "for instance: reshape(64x7x7), reshape(C//2, 2, _)", word
    assert hint("slice(-1)") == "the last one is -1..-1"
    assert hint("slice(-2)") is None
