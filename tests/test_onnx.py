"""ONNX files: onnxruntime gives what the module gives, names are the spec's, Netron's own parser opens them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.cli.commands import cnnc as command
from cnnc.compiler.ops.base import COUNTER

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from cnnc.backends.pytorch.runtime_onnx import difference, to_onnx  # noqa: E402

MOST = 1e-5
"""Of the largest value of an output."""

FREE = """
model free
input image: 3xHxW
default conv(norm=bn)
block up(w, skip) = [upsample(2) | skip] -> conv3-w
a: conv3-8
b: conv3-8/2 -> conv3-16/2
[upsample(4) | a] -> out: conv3-4
output out, b
"""

ATTENTION = """
model attention
input 16x8x8
[id + gn(4) -> attend(q=[q: conv1-C], k=[k: conv1-C], v=[v: conv1-C], heads=4) -> proj: conv1-C] -> bend: silu
gap -> fc: fc-5
"""


def same(net: cnnc.Net, sizes: tuple[dict[str, int], ...] = ({},)) -> Any:
    """The ONNX model of a network, held to it in onnxruntime and to its names."""
    data = to_onnx(net.graph)
    found = difference(net.graph, data, sizes=sizes)
    assert found is not None and found <= MOST
    model = onnx.load_from_string(data)
    assert [x.name for x in model.graph.input] == list(net.inputs)
    assert [x.name for x in model.graph.output] == list(net.outputs)
    nodes = {node.name for node in model.graph.node}
    assert len(nodes) == len(model.graph.node)
    made_of = {
        node.name for node in net.graph.layers if "reparam" in type(node.op).model_fields and node.op.reparam
    }
    for node in net.graph.layers:
        if node.op.weighted and node.module == node.name:
            assert node.name in nodes, node.name
    keys = {
        key for node, key, _ in net.graph.tensors() if node.name not in made_of and not key.endswith(COUNTER)
    }
    assert keys <= {tensor.name for tensor in model.graph.initializer}
    assert b"/" not in b"".join(p.value.encode() for p in model.metadata_props)
    return model


@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_zoo(name: str) -> None:
    same(cnnc.load(f"zoo:{name}"))


def test_free_sizes_are_symbolic() -> None:
    model = same(cnnc.parse(FREE), ({"H": 16, "W": 24}, {"H": 40, "W": 32}))
    (image,) = model.graph.input
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == ["batch", 3, "H", "W"]


def test_attention() -> None:
    same(cnnc.parse(ATTENTION))


def test_a_shared_module_is_named_at_each_use() -> None:
    net = cnnc.parse(
        "input a: 3x8x8\ninput b: 3x8x8\nshared s = [conv3-4 -> relu]\na -> s -> x: id\nb -> s -> y: id\n[x + y]"
    )
    model = same(net)
    uses = [node.name for node in net.graph.layers if node.op.weighted]
    assert len(uses) == 2 and {node.name for node in model.graph.node} >= set(uses)


def test_the_same_file_every_time() -> None:
    net = cnnc.parse("input 3x8x8\nconv3-4 -> gap -> fc-2")
    assert to_onnx(net.graph) == to_onnx(net.graph)


def test_command_with_weights_and_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.cnn").write_text(
        "model net\ninput 3x8x8\nconv3-4(norm=bn) -> mid: conv3-6(norm=bn) -> gap -> fc: fc-3\n"
    )
    weights = cnnc.load("net.cnn").module().state_dict()
    torch.save(weights, "net.pth")
    run = CliRunner().invoke(
        command, ["compile", "net.cnn", "--to", "onnx", "--weights", "net.pth", "--features", "mid"]
    )
    assert run.exit_code == 0, run.output
    assert "as the module in onnxruntime" in run.output
    model = onnx.load("net.onnx")
    found = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    assert "fc.weight" not in found
    assert (found["conv1.weight"] == weights["conv1.weight"].numpy()).all()


def test_weights_go_with_onnx_alone() -> None:
    run = CliRunner().invoke(command, ["compile", "zoo:lenet5", "--weights", "x.pth"])
    assert run.exit_code == 2 and "--weights requires --to onnx" in run.output


def test_safetensors_are_read(tmp_path: Path) -> None:
    from cnnc.backends.pytorch.runtime_weights import read_tensors

    data = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data.numpy().tobytes())
    assert torch.equal(read_tensors(path)["a"], data)


def test_netron_opens_them(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("netron")
    if shutil.which("node") is None or spec is None or spec.origin is None:
        pytest.skip("netron or node is not installed")
    folder = tmp_path / "netron"
    shutil.copytree(Path(spec.origin).parent, folder, ignore=shutil.ignore_patterns("*.py", "*.png", "*.ico"))
    (folder / "package.json").write_text('{"type": "module"}')
    nets = {"lenet5": cnnc.load("zoo:lenet5"), "free": cnnc.parse(FREE), "attention": cnnc.parse(ATTENTION)}
    for name, net in nets.items():
        (tmp_path / f"{name}.onnx").write_bytes(to_onnx(net.graph))
    files = [str(tmp_path / f"{name}.onnx") for name in nets]
    script = Path(__file__).parent / "netron_open.mjs"
    done = subprocess.run(["node", script, folder, *files], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["free.onnx"]["shape"] == "float32[batch,3,H,W]"
    assert seen["free.onnx"]["outputs"] == ["out", "b"]
    for name, net in nets.items():
        assert seen[f"{name}.onnx"]["producer"].startswith("cnnc ")
        named = {node for _, node in seen[f"{name}.onnx"]["nodes"]}
        assert {node.name for node in net.graph.layers if node.op.weighted} <= named


SIZES = ("3x32x32", "3x64x64", "3x96x96")
"""The inputs that are tried for a network of the zoo before its own, so that it takes little."""


ATTENTIVE = {"visformer_small", "vit_b_16", "ddpm_cifar10"}
"""The networks of the zoo with attention."""


@pytest.mark.slow
def test_sixty_of_the_zoo() -> None:
    """At least 60 networks are the same in onnxruntime, and every one that is refused says so."""
    from cnnc import zoo

    equal, refused = set(), []
    for entry in zoo.entries():
        net = _small(entry.name)
        if entry.name not in ATTENTIVE and (net.params > 60e6 or net.macs > 6e9):
            continue
        try:
            same(net)
            equal.add(entry.name)
        except cnnc.CnncError as error:
            refused.append(f"{entry.name}: {error}")
    assert len(equal) >= 60 and equal >= ATTENTIVE, refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "input", "sizes"),
    [
        ("resnet18", "3xHxW", [(64, 96), (33, 40)]),
        ("lraspp_mobilenet_v3_large", "3xHxW", [(64, 96), (96, 64)]),
        ("unet", "1xHxW", [(188, 204)]),
    ],
)
def test_free_sizes_of_the_zoo(name: str, input: str, sizes: list[tuple[int, int]]) -> None:
    model = same(cnnc.load(f"zoo:{name}", input=input), tuple({"H": h, "W": w} for h, w in sizes))
    (image,) = model.graph.input
    assert [d.dim_param for d in image.type.tensor_type.shape.dim][2:] == ["H", "W"]


def _small(name: str) -> cnnc.Net:
    for size in SIZES:
        try:
            return cnnc.load(f"zoo:{name}", input=size)
        except cnnc.CnncError:
            continue
    return cnnc.load(f"zoo:{name}")
