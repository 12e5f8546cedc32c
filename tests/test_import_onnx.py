"""`cnnc import model.onnx`: files of PyTorch's two exporters and of Caffe2's, values compared in onnxruntime."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.cli.commands import cnnc as command
from tests.import_oracle import torch

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
nn, F = torch.nn, torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore")
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
"""Published networks as Caffe2 wrote them at opset 9, which onnx brings along; their weights are one number each."""


def imported(file: Path) -> tuple[str, cnnc.Net, Any]:
    """What the command writes, the network of it, and its module with the file's weights."""
    spec, weights = file.with_suffix(".cnn"), file.with_suffix(".safetensors")
    run = CliRunner().invoke(command, ["import", str(file), "-o", str(spec), "--weights", str(weights)])
    assert run.exit_code == 0, run.output
    net = cnnc.load(spec)
    net.check()
    module = net.module().eval()
    from safetensors.torch import load_file

    found = module.load_state_dict(load_file(weights), strict=False)
    assert [key for key in found.missing_keys if not key.endswith("num_batches_tracked")] == []
    assert found.unexpected_keys == []
    return spec.read_text(), net, module


def hold(file: Path) -> str:
    """The spec of a file; its module gives what onnxruntime gives."""
    text, _, module = imported(file)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options)
    shapes = [[n if isinstance(n, int) else 3 for n in value.shape] for value in session.get_inputs()]
    torch.manual_seed(0)
    inputs = [torch.rand(shape) * 2 - 1 for shape in shapes]
    wanted = session.run(None, {v.name: x.numpy() for v, x in zip(session.get_inputs(), inputs, strict=True)})
    with torch.no_grad():
        made = module(*inputs)
    for one, two in zip(made if isinstance(made, tuple) else (made,), wanted, strict=True):
        assert two.std() > 1e-6, "the signal has died"
        assert float((one - torch.from_numpy(two)).abs().max()) <= 2e-5 * float(abs(two).max())
    return text


class Net(nn.Module):
    """Idioms that exporters write in their own ways."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU6()
        )
        self.body = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.SiLU()) for _ in range(3))
        )
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8, bias=False)
        self.norm, self.up = nn.LayerNorm(8, eps=1e-6), nn.ConvTranspose2d(8, 4, 2, 2)
        self.slope, self.head = nn.PReLU(4), nn.Linear(4, 5)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        x = F.max_pool2d(self.body(x), 3, 2, 1) + F.avg_pool2d(x, 2)
        x = x * self.excite(F.leaky_relu(self.squeeze(x.mean((2, 3))))).sigmoid()[..., None, None]
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        a, b = F.pad(x, (0, 1, 0, 1)).chunk(2, dim=1)
        x = torch.cat([a[:, :, 1:, 1:], b[:, :, 1:, 1:] - 0.5], 1)
        x = self.slope(self.up(F.interpolate(x, scale_factor=2, mode="nearest")))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1)).log_softmax(-1)


def exported(net: Any, size: tuple[int, ...], file: Path, how: str) -> None:
    from benchmarks.import_judge import enliven

    enliven(net.eval())
    x = torch.zeros(1, *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how.isdigit():
            options = {
                "dynamo": False,
                "opset_version": int(how),
                "input_names": ["x"],
                "dynamic_axes": {"x": {0: "n"}},
            }
            torch.onnx.export(net, (x,), str(file), **options)
        else:
            program = torch.onnx.export(net, (x,), dynamo=True, optimize=how == "optimised", verbose=False)
            program.save(str(file), external_data=False)


@pytest.mark.parametrize("how", ["plain", "optimised", "13", "17"])
def test_idioms_of_exporters(tmp_path: Path, how: str) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    exported(Net(), (3, 16, 16), tmp_path / "net.onnx", how)
    text = hold(tmp_path / "net.onnx")
    assert "silu" in text
    assert "ln" in text or how == "13"  # which has no such operator
    assert ("bn" in text) == (how == "plain")  # else it is in the convolution


@pytest.mark.parametrize("how", ["plain", "optimised"])
def test_a_transformer_of_a_fixed_batch_of_one(tmp_path: Path, how: str) -> None:
    """Its views put the batch, which is no longer seen, beside positions and heads."""
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from torchvision_oracle import torchvision_models

    vit = torchvision_models().vision_transformer.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
    exported(vit, (3, 32, 32), tmp_path / "vit.onnx", how)
    assert hold(tmp_path / "vit.onnx").count("attend(") >= 1


def test_the_spec_is_that_of_the_module(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    exported(Net(), (3, 16, 16), tmp_path / "net.onnx", "plain")
    text = hold(tmp_path / "net.onnx")
    own = cnnc.from_module(Net(), torch.zeros(1, 3, 16, 16))
    assert ops(text) == layers(own)


def ops(text: str) -> list[str]:
    """The layers of a spec; two programs may write parallel ones in another order.

    Exported in evaluation, a network drops nothing, and has no pool to the size that is there.
    """
    return layers(cnnc.parse(text))


def layers(net: cnnc.Net) -> list[str]:
    graph = net.graph
    idle = {"dropout", "droppath", "adaptiveavgpool"}
    return sorted(
        repr(node.op) for node in graph.layers
        if not (node.op.kind in idle and graph.nodes[node.inputs[0]].out == node.out)
    )  # fmt: skip


def with_random_weights(source: Path, target: Path) -> None:
    """A copy in which the tensors that the file makes of one number are drawn."""
    import numpy

    model = onnx.load(source)
    sizes = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    generator = numpy.random.default_rng(0)
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(sizes[node.input[0]])
        fan_in = max(int(numpy.prod(shape[1:])), 1)
        drawn = (
            generator.uniform(0.2, 1.0, shape)
            if len(shape) < 2
            else generator.normal(0, (2 / fan_in) ** 0.5, shape)
        )
        model.graph.initializer.append(onnx.numpy_helper.from_array(drawn.astype("float32"), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.ir_version = 8
    onnx.save(model, target)


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet", "shufflenet",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("resnet50", "bvlc_alexnet", "densenet121", "vgg19", "zfnet512")),
    ],
)  # fmt: skip
def test_files_of_caffe2(name: str, tmp_path: Path) -> None:
    if not LIGHT.exists():
        pytest.skip("this onnx brings no networks along")
    with_random_weights(LIGHT / f"light_{name}.onnx", tmp_path / f"{name}.onnx")
    hold(tmp_path / f"{name}.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "optimised"])
@pytest.mark.parametrize(
    "name",
    [
        "alexnet", "vgg11_bn", "resnet18", "squeezenet1_1", "densenet121", "mobilenet_v2", "mobilenet_v3_small",
        "shufflenet_v2_x0_5", "efficientnet_b0", "convnext_tiny", "mnasnet0_5",
    ],
)  # fmt: skip
def test_networks_of_torchvision(name: str, how: str, tmp_path: Path) -> None:
    """Exported as it is, the spec is that of the module; with norms folded it has biases in their place."""
    from torchvision_oracle import torchvision_models

    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    net = torchvision_models().get_model(name, weights=None)
    exported(net, (3, 224, 224), tmp_path / "net.onnx", how)
    text = hold(tmp_path / "net.onnx")
    own = cnnc.from_module(net, torch.zeros(1, 3, 224, 224))
    if how == "plain":
        assert ops(text) == layers(own)
    else:
        folded = [name.partition("(")[0] for name in ops(text)]
        assert folded.count("Conv") == sum(type(node.op).__name__ == "Conv" for node in own.graph.layers)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"not a network")
    run = CliRunner().invoke(command, ["import", str(tmp_path / "no.onnx")])
    assert run.exit_code == 1 and "E701" in run.output and "no ONNX file" in run.output
    run = CliRunner().invoke(command, ["import", str(tmp_path / "gone.onnx")])
    assert run.exit_code == 1 and "E701" in run.output and "No such file" in run.output
    run = CliRunner().invoke(command, ["import", "a.b:c", "--input", "3x8x8", "--weights", "w.safetensors"])
    assert run.exit_code == 2 and "--weights is of a .onnx file" in run.output


def small(op: str, shape: list[Any], out: list[Any], **attributes: Any) -> Any:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, ["x"], ["y"], name="/a/a.1/n", **attributes)], "g",
        [onnx.helper.make_tensor_value_info("x", 1, shape)], [onnx.helper.make_tensor_value_info("y", 1, out)],
    )  # fmt: skip
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_refusals_name_the_operator_and_its_place(tmp_path: Path) -> None:
    onnx.save(small("NonZero", ["n", 3, 4, 4], [4, "m"]), tmp_path / "net.onnx")
    run = CliRunner().invoke(command, ["import", str(tmp_path / "net.onnx")])
    assert "cannot import `NonZero`: the language has no layer for it" in run.output
    assert "it is in `a.1`" in run.output
    onnx.save(small("Relu", ["n", 3, "h", 4], ["n", 3, "h", 4]), tmp_path / "net.onnx")
    run = CliRunner().invoke(command, ["import", str(tmp_path / "net.onnx")])
    assert "leaves the size `h` of its input `x` open" in run.output
