"""The inference form: its results are the plain form's, its converter is strict, and what it must not touch it leaves."""

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.backends.pytorch.inference.match import fusions
from cnnc.cli.commands import cnnc as command

torch = pytest.importorskip("torch")

SHIPPED = {
    "densenet_bc100_k12": None,
    "googlenet_torchvision_aux": None,
    "inception_v3": None,
    "lenet5_1998": None,
    "mobilenet_v1": "3x64x64",
    "mobilenet_v2": None,
    "nin_cifar10": None,
    "preact_resnet164": None,
    "resnet20": None,
    "resnet50": "3x64x64",
    "shufflenet_g3": "3x64x64",
    "siamese": None,
    "unet": "1x188x188",
    "vgg16_bn": "3x64x64",
}
"""Shipped specs and the input size they are run at, None for their own."""


def shaken(model: Any) -> Any:
    """Weights under which signals keep their size, norms whose statistics are no longer 0 and 1; eval mode."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            if module.affine:
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, torch.nn.modules.conv._ConvNd | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    return model.eval()


def tensors(output: Any) -> list[Any]:
    return list(output) if isinstance(output, tuple) else [output]


def assert_same(net: cnnc.Net, batch: int = 2, device: str = "cpu") -> Any:
    """Both forms on the same weights and inputs; returns the inference form."""
    plain = shaken(net.module())
    fast = net.module(optimize="inference", state=plain.state_dict()).to(device)
    plain = plain.to(device)
    torch.manual_seed(1)
    inputs = [torch.randn(batch, *shape).to(device) for shape in net.inputs.values()]
    with torch.no_grad():
        wanted, got = tensors(plain(*inputs)), tensors(fast(*inputs))
    assert len(wanted) == len(got)
    for a, b in zip(wanted, got, strict=True):
        assert a.shape == b.shape
        assert float(a.abs().max()) > 0
        assert float((a - b).abs().max()) <= 1e-5 * float(a.abs().max())
    return fast


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_specs(name: str) -> None:
    assert_same(cnnc.load(f"zoo:{name}", input=SHIPPED[name]), batch=1)


# --- what is fused and what is left alone -------------------------------------------------


def forms(text: str, size: str = "3x9x9") -> tuple[cnnc.Net, str]:
    net = cnnc.parse(text, input=size)
    return net, net.pytorch(optimize="inference")


def test_convolution_norm_sum_and_activation_are_one() -> None:
    net, source = forms("default conv(norm=bn)\n[id + conv1-3 -> conv3-3] -> relu")
    assert 'FusedConv2d(3, 3, 3, padding=1, act="relu")' in source
    assert "self.conv2(self.conv1(x), x)" in source
    assert "BatchNorm" not in source
    assert_same(net)


def test_means_of_a_1x1_convolution_are_taken_first() -> None:
    net, source = forms(
        "conv1-4(act=none) -> avgpool2 -> conv1-8(norm=bn, act=none, groups=4, bias=no) -> avgpool2x1",
        "8x9x8",
    )
    assert "PooledConv2d(8, 4, 1, pool=2)" in source
    assert "PooledConv2d(4, 8, 1, groups=4, pool=(2, 1))" in source
    assert_same(net)


@pytest.mark.parametrize(
    "layers",
    [
        "conv3-4(act=none) -> avgpool2",
        "conv1-4(act=relu) -> avgpool2",
        "conv1-4/2(act=none) -> avgpool2",
        "conv1-4(act=none, pad=1) -> avgpool2",
        "conv1-4(act=none) -> avgpool3/2",
        "conv1-4(act=none) -> avgpool2(pad=1)",
        "conv1-4(act=none) -> avgpool2(ceil=yes)",
        "conv1-4(act=none) -> maxpool2",
    ],
)
def test_other_pools_stay_where_they_are(layers: str) -> None:
    net, source = forms(layers)
    assert "PooledConv2d" not in source
    assert_same(net)


def test_a_fully_connected_layer_of_some_size_has_a_kernel() -> None:
    net, source = forms("fc-256(act=relu) -> fc-10", "1024")
    assert 'FusedLinear(1024, 256, act="relu")' in source
    assert "nn.Linear(256, 10)" in source
    assert_same(net)


def test_of_two_convolutions_that_are_added_the_later_adds() -> None:
    net, source = forms("[conv1-4(norm=bn) + conv3-4(norm=bn)] -> relu")
    assert source.count('act="relu"') == 1
    assert_same(net)


@pytest.mark.parametrize(
    "act", ["relu", "relu6", "leakyrelu(0.3)", "silu", "hardswish", "sigmoid", "tanh", "elu", "gelu"]
)
@pytest.mark.parametrize(
    "text", ["conv3-4(act={})", "[id + conv3-3(norm=bn)] -> {}", "[id | id] -> bn -> {}", "fc-300(act={})"]
)
def test_activations(act: str, text: str) -> None:
    net, _ = forms(text.format(act))
    assert_same(net)


@pytest.mark.parametrize(
    "layer",
    [
        "conv3-6/2", "conv3-6(groups=3)", "conv3-6(dilation=2)", "conv3-6(bias=yes)", "conv2-6(pad=(0, 1))",
        "conv3-6/2(pad=same_tf)", "dwconv3", "dwconv3(multiplier=2)", "sepconv3-6", "sepconv3-6(bias=yes)",
        "tconv2-6/2", "tconv3-6/2(groups=3)", "tconv3-6/2(bias=yes)", "tconv3-6/2(pad=(0, 1))",
    ],
)  # fmt: skip
def test_norms_fold_into(layer: str) -> None:
    net, source = forms(f"{layer} -> bn(eps=0.01) -> relu -> conv1-2")
    assert len(fusions(net.graph)) >= 2
    assert "BatchNorm" not in source
    assert "ScaleShift(" not in source
    assert_same(net)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("conv3-4 -> bn -> relu -> maxpool -> fc-3", "2x12"),
        ("conv3-4 -> bn -> relu -> maxpool -> fc-3", "2x4x6x6"),
        ("tconv2-4/2(groups=2) -> bn -> relu", "2x4x6x6"),
        ("[id | conv3-4] -> bn -> relu -> conv1-2", "2x12"),
        ("fc-5 -> bn -> relu -> fc-3", "7"),
        ("conv3-4 -> bn(affine=no) -> relu -> fc-5 -> bn(affine=no) -> fc-2", "3x6x6"),
        ("bn -> relu -> conv3-4 -> bn -> bn -> relu -> conv1-2", "3x6x6"),
    ],
)
def test_other_ranks_and_norms(text: str, size: str) -> None:
    net, source = forms(text, size)
    assert "BatchNorm" not in source
    assert_same(net)


def test_transposed_convolution_with_groups_in_float64() -> None:
    """The folding itself, without the kernels' rounding."""
    net = cnnc.parse("tconv3-6/2(groups=3, bias=yes) -> bn", input="3x5x5")
    plain = shaken(net.module()).double()
    fast = net.module(optimize="inference").double()
    fast.load_state_dict(sys.modules[type(fast).__module__].convert(fast, plain.state_dict()))
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), fast(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a: conv3-4(act=none) -> b: bn -> relu -> c: conv1-2\noutput a, c", "ScaleShift(4, relu=True, defers=True)"),
        ("conv3-4(standardise=yes) -> bn -> conv1-2", "StandardisedConv2d(3, 4, 3"),
        ("fc-5(dropconnect=0.5) -> bn -> fc-2", "DropConnectLinear("),
        ("conv3-4(norm=gn(2)) -> conv1-2", "nn.GroupNorm(2, 4)"),
        ("c: conv3-4(act=none)\n[c + c -> bn] -> conv1-2", "ScaleShift(4)"),
        ("shared t = conv3-3(norm=bn)\nt -> t -> fc-2", "nn.BatchNorm2d(3)"),
    ],
)  # fmt: skip
def test_what_must_not_be_touched(text: str, kept: str) -> None:
    """A norm whose input something else reads, weights made at the call, modules used twice."""
    net, source = forms(text)
    assert kept in source
    assert_same(net)


def test_an_activation_overwrites_only_what_nothing_else_reads() -> None:
    net, source = forms("a: [id + conv1-3]\n[a + a -> relu -> conv1-3]")
    assert "inplace" not in source
    assert_same(net)
    net, source = forms("[conv3-4 | conv1-4] -> elu -> conv1-2")
    assert "nn.ELU(inplace=True)" in source
    assert_same(net)
    net, source = forms("flatten -> relu -> fc-3")
    assert "inplace" not in source  # it would write into the caller's images
    assert_same(net)


def test_dense_blocks_append() -> None:
    net, source = forms("conv3-4\n[id | conv3-4(norm=bn)]*5 -> bn -> relu -> conv1-2")
    assert "append(" in source and "torch.cat([x, *more], 1)" in source
    fast = assert_same(net)
    x = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        first = fast(x)
        fast(torch.randn(2, 3, 9, 9))
        assert torch.equal(fast(x), first)  # nothing is left over from the call before


@pytest.mark.parametrize(
    "text",
    [
        "x: conv3-4\na: [x | x -> conv1-4]\nb: [a | a -> conv1-3]\nc: [a | a -> conv1-2]\n[b | c | a]",
        "a: [conv3-4 | conv1-4]\nb: [a | a -> conv1-3]\nd: [a -> dropout | a -> conv1-2]\n[d | b | a -> relu]",
        "a: [conv3-4 | conv1-4]\nb: [a | a]\n[b | a | b -> relu]",
        "[id | conv3-4]*3 -> relu -> [id | conv3-4]*2",
    ],
)
def test_maps_that_are_appended_to_twice_or_read_later(text: str) -> None:
    net, source = forms(text)
    assert "append(" in source
    assert_same(net)


def test_the_callers_images_are_left_alone() -> None:
    net = cnnc.parse("[id + id] -> relu -> bn -> relu -> conv1-2", input="3x6x6")
    fast = net.module(optimize="inference")
    x = torch.randn(1, 3, 6, 6).contiguous(memory_format=torch.channels_last)
    before = x.clone()
    with torch.no_grad():
        fast(x)
    assert torch.equal(x, before)


def test_nothing_to_fold() -> None:
    net, source = forms("fc-5 -> softmax", "7")
    assert "folds(nn" not in source
    assert_same(net)


def test_a_max_pool_goes_one_axis_after_the_other() -> None:
    """nn.MaxPool2d is the oracle, over kernels, strides, paddings, rounding and sizes."""
    net = cnnc.parse("maxpool3/2", input="3x9x9")
    fast = type(net.module(optimize="inference").maxpool1)
    assert fast.__name__ == "SeparableMaxPool2d" and issubclass(fast, torch.nn.MaxPool2d)
    torch.manual_seed(0)
    tried = 0
    for k, s, p, ceil in itertools.product((1, 2, 3, (2, 5)), (1, 2, 3, (4, 1)), (0, 1), (False, True)):
        for size in ((5, 5), (6, 9), (13, 8)):
            if p > (k if isinstance(k, int) else min(k)) // 2:
                continue
            x = torch.randn(2, 3, *size)
            x[0, 0, 2, 2] = torch.nan
            options = {"stride": s, "padding": p, "ceil_mode": ceil}
            for each in (x, x.contiguous(memory_format=torch.channels_last)):
                wanted = torch.nn.MaxPool2d(k, **options)(each)
                assert torch.equal(fast(k, **options)(each).nan_to_num(9), wanted.nan_to_num(9)), (
                    k,
                    s,
                    p,
                    ceil,
                )
            tried += 1
    assert tried == 168
    with pytest.raises(RuntimeError, match="Output size is too small"):
        fast(3)(torch.zeros(1, 1, 2, 9))


def test_a_batch_is_taken_a_few_images_at_a_time() -> None:
    """Where the maps end the batch is whole again, so that the weights after it are read once."""
    net = cnnc.load("zoo:vgg16")
    source = net.pytorch(optimize="inference")
    assert "torch.flatten(by_slices(self.maps, x, 1), 1)" in source
    fast = net.module(optimize="inference")
    batches: dict[str, list[int]] = {"0": [], "classifier": []}
    fast.features[0].register_forward_hook(lambda m, ins, out: batches["0"].append(len(out)))
    fast.classifier.register_forward_hook(lambda m, ins, out: batches["classifier"].append(len(out)))
    with torch.no_grad():
        fast(torch.randn(3, 3, 224, 224))
    assert batches == {"0": [1, 1, 1], "classifier": [3]}


@pytest.mark.parametrize(
    ("text", "size", "call"),
    [
        ("conv3-64 -> conv3-4", "3x300x300", "return by_slices(self.maps, x, 1)"),
        ("conv3-8 -> maps: conv3-64 -> gap -> fc-4", "3x150x150", "by_slices(self.maps_, x, 4)"),
        ("conv3-8 -> gap -> a: fc-9 -> b: fc-4\noutput a, b", "3x40x40", "by_slices(self.maps, x, 256)"),
        ("conv3-64 -> [gap -> fc-4 | gap -> fc-6]", "3x200x200", "by_slices(self.maps, x, 2)"),
    ],
)
def test_where_the_maps_end(text: str, size: str, call: str) -> None:
    net, source = forms(text, size)
    assert call in source
    assert_same(net, batch=5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("input 3xHxW\nconv3-8 -> gap -> fc-4", "the size is free"),
        ("input a: 3x9x9\ninput b: 3x9x9\n[a | b] -> conv3-8", "there are two inputs"),
        ("input 30\nfc-8 -> fc-4", "there are no maps"),
        ("input 3x9x9\na: conv3-8 -> b: conv3-4\noutput a, b", "two maps are returned"),
    ],
)
def test_what_is_left_whole(text: str, why: str) -> None:
    assert "by_slices" not in cnnc.parse(text).pytorch(optimize="inference"), why


def test_the_model_takes_the_files_params() -> None:
    net = cnnc.load("zoo:mobilenet_v2", input="3x64x64")
    plain = shaken(type(net.module())(width=0.5)).eval().double()
    form = type(net.module(optimize="inference"))
    fast = form(width=0.5).eval().double()
    fast.load_state_dict(sys.modules[form.__module__].convert(fast, plain.state_dict()))
    assert fast.features[0][0].out_channels == 16
    x = torch.randn(5, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), plain(x), rtol=1e-10, atol=1e-10)


def test_several_outputs_keep_their_names() -> None:
    text = "a: conv3-4(norm=bn)\nb: conv1-2(norm=bn)\noutput b, a"
    fast = assert_same(cnnc.parse(text, input="3x6x6"))
    assert fast(torch.zeros(1, 3, 6, 6))._fields == ("b", "a")


# --- the converter ------------------------------------------------------------------------


def converted() -> tuple[Any, Any, dict[str, Any]]:
    net = cnnc.parse("conv3-4(norm=bn) -> [id | conv1-4] -> bn -> relu -> fc-2", input="3x6x6")
    fast = net.module(optimize="inference")
    return fast, sys.modules[type(fast).__module__].convert, shaken(net.module()).state_dict()


def test_the_converter_leaves_what_it_is_given_alone() -> None:
    fast, convert, state = converted()
    before = {name: tensor.clone() for name, tensor in state.items()}
    fast.load_state_dict(convert(fast, state), strict=True)
    assert list(state) == list(before)
    assert all(torch.equal(state[name], before[name]) for name in before)


def test_the_converter_is_strict() -> None:
    fast, convert, state = converted()
    for name in state:
        if name.endswith("num_batches_tracked"):
            continue
        less = {key: tensor for key, tensor in state.items() if key != name}
        if name.endswith(("bn1.weight", "bn1.bias", "bn2.weight", "bn2.bias")):
            continue  # a norm without them is one without gain or shift
        with pytest.raises((KeyError, RuntimeError)):
            fast.load_state_dict(convert(fast, less), strict=True)
    with pytest.raises(RuntimeError, match="Unexpected"):
        fast.load_state_dict(convert(fast, state | {"more": torch.zeros(1)}), strict=True)
    with pytest.raises(RuntimeError, match="Missing"):
        fast.load_state_dict(state, strict=True)


# --- the module ---------------------------------------------------------------------------


def test_new_weights_are_packed_anew() -> None:
    net = cnnc.load("zoo:resnet20")
    plain = shaken(net.module())
    fast = net.module(optimize="inference", state=plain.state_dict())
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        first = fast(x)
        for parameter in plain.parameters():
            parameter.mul_(0.9)
        fast.load_state_dict(sys.modules[type(fast).__module__].convert(fast, plain.state_dict()))
        second, wanted = fast(x), plain(x)
    assert not torch.allclose(first, second)
    torch.testing.assert_close(second, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def traced(model: Any, x: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have us use another exporter
        return torch.jit.trace(model, x)


def test_other_ways_to_run_it() -> None:
    """Copied, pickled, traced, with gradients to its input, in other types, with other batches: the same numbers."""
    net = cnnc.load("zoo:resnet20")
    fast = net.module(optimize="inference", state=shaken(net.module()).state_dict())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = fast(x)
    near = {"rtol": 1e-4, "atol": 1e-5 * float(wanted.abs().max())}
    with torch.no_grad():
        torch.testing.assert_close(copy.deepcopy(fast)(x), wanted)
        torch.testing.assert_close(pickle.loads(pickle.dumps(fast))(x), wanted)
        torch.testing.assert_close(traced(fast, x)(x), wanted, **near)
        torch.testing.assert_close(copy.deepcopy(fast).double()(x.double()).float(), wanted, **near)
        torch.testing.assert_close(torch.cat([fast(x[:1]), fast(x[1:])]), wanted, **near)
        torch.testing.assert_close(torch.func.functional_call(fast, dict(fast.named_parameters()), x), wanted)
        with torch.autocast("cpu", torch.bfloat16):
            assert fast(x).dtype == torch.bfloat16
    with torch.inference_mode():
        torch.testing.assert_close(fast(x), wanted)
    x.requires_grad_()
    got = fast(x)
    torch.testing.assert_close(got, wanted, **near)
    got.sum().backward()
    assert float(x.grad.abs().sum()) > 0
    assert all(not parameter.requires_grad for name, parameter in fast.named_parameters() if "conv" in name)
    with torch.device("meta"):
        meta = net.module(optimize="inference")
        assert meta(torch.empty(2, 3, 32, 32)).shape == wanted.shape
    exported = torch.export.export(fast, (x.detach(),)).module()
    torch.testing.assert_close(exported(x.detach()), wanted, **near)


def test_the_file_depends_on_torch_alone_and_is_the_same_every_time() -> None:
    net = cnnc.load("zoo:densenet_bc100_k12")
    source = net.pytorch(optimize="inference")
    assert source == cnnc.load("zoo:densenet_bc100_k12").pytorch(optimize="inference")
    imports = [line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert {name.split(".")[0] for name in imports} - sys.stdlib_module_names == {"torch"}
    assert "Written by cnnc" in source and "inference form" in source


@pytest.mark.parametrize("name", ["densenet40_k12", "mobilenet_v2", "unet"])
def test_it_passes_ruff(name: str, tmp_path: Path) -> None:
    target = tmp_path / "net.py"
    target.write_text(cnnc.load(f"zoo:{name}").pytorch(optimize="inference"))
    for words in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--isolated", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_command_writes_it(tmp_path: Path) -> None:
    target = tmp_path / "net.py"
    words = ["compile", "zoo:resnet20", "--for", "inference", "-o", str(target)]
    assert CliRunner().invoke(command, words).exit_code == 0
    done = subprocess.run([sys.executable, str(target)], capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 10)\n"
    refused = CliRunner().invoke(command, [*words, "--to", "json"])
    assert refused.exit_code == 2
    assert "--for requires --to pytorch" in refused.output


def off(got: Any, wanted: Any) -> float:
    return float((got.double() - wanted.double()).norm() / wanted.double().norm())


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["resnet20", "densenet40_k12", "mobilenet_v2", "googlenet_torchvision"])
def test_on_a_gpu(name: str, dtype: str) -> None:
    """One image and many, odd sizes, eager and captured, beside float64; new weights in a captured graph."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    size = (3, 32, 32) if "4" in name or "20" in name else (3, 64, 64)
    net = cnnc.load(f"zoo:{name}", input="x".join(map(str, size)))
    kind = getattr(torch, dtype)
    plain = shaken(net.module()).to("cuda")
    fast = net.module(optimize="inference", state=plain.state_dict()).to("cuda", kind)
    module = sys.modules[type(fast).__module__]
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    half = copy.deepcopy(plain).to(kind)  # rounds as often as the form, or more
    try:
        for batch, more in ((1, 0), (7, 5), (256, 0)):
            x = torch.randn(batch, 3, size[1] + more, size[2] + 2 * more, device="cuda").to(kind)
            with torch.no_grad():
                (wanted,) = tensors(copy.deepcopy(plain).double()(x.double()))
                near = 2 * off(half(x), wanted) + 1e-6  # of ten numbers' luck
                run = module.capture(fast, x)
                for got in (fast(x), run(x), run(x)):
                    assert off(got, wanted) < near
        with torch.no_grad():
            for parameter in fast.parameters():
                parameter.mul_(1.01)
            assert off(run(x), fast(x)) < near
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
