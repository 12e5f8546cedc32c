"""The generated PyTorch: it reads well, is stable, and computes what the graph says."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sampling import sampled

import cnnc
from cnnc.backends.pytorch.wrap import lay_out
from cnnc.cli.commands import cnnc as command

ONE_LINER = "[[conv3-64]*2 -> pool]*5 -> fc4096"
ZOO = sorted(p.stem for p in (Path(cnnc.__file__).parent / "specs").glob("*.cnn"))


def ruff(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "ruff", *arguments, "--isolated", "--stdin-filename", "net.py", "-"]
    return subprocess.run(program, input=source, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", sampled(ZOO, 3, ("resnet1202", "preact_resnet1001")))
def test_passes_ruff_and_is_stable(name: str) -> None:
    pytest.importorskip("ruff")
    source = cnnc.load(f"zoo:{name}").pytorch()
    assert source == cnnc.load(f"zoo:{name}").pytorch()
    checked = ruff(source, "check")
    assert checked.returncode == 0, checked.stdout
    formatted = ruff(source, "format")
    assert formatted.stdout == source


@pytest.mark.parametrize(
    "line",
    [
        f"def forward(self, {', '.join(f'x{i}: Tensor' for i in range(4))}) -> tuple[Tensor, Tensor, Tensor]:",
        f"def forward(self, {', '.join(f'x{i}: Tensor' for i in range(9))}) -> tuple[Tensor, Tensor, Tensor]:",
        f"def forward(self, x: Tensor) -> tuple[{', '.join(['Tensor'] * 8)}]:",
        f"def forward(self, x: Tensor) -> tuple[{', '.join(['Tensor'] * 20)}]:",
        f"skip = {' + '.join(f'y{i}' for i in range(14))} + self.last(x)",
        f"skip = {' + '.join(f'y{i}' for i in range(40))} - self.last(x)",
        f"return {' + '.join(f'y{i}' for i in range(40))}",
        f"skip = y + self.last({', '.join(f'x{i}' for i in range(20))})",
    ],
)
def test_a_long_line_is_laid_out_as_ruff_would(line: str) -> None:
    pytest.importorskip("ruff")
    body = ["    pass"] if line.startswith("def ") else []
    source = "\n".join([*lay_out(line, 0), *body, ""])
    assert ruff(source, "format").stdout == source


def _statements() -> Iterator[str]:
    """What a written module is made of, each long by itself or with its line's indent, a column apart."""
    for n in range(4, 45):
        name = "x" * n
        yield f"self.{name} = nn.Conv2d(in_channels, 64, 3, padding=1)"
        yield f"self.{name} = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU())"
        yield f"{name} = torch.cat([first, second, third, fourth], 1)"
        yield f"{name} = self.conv(self.pool(first_of_all, second), third)"
        yield f"{name} = one + self.two(first, second) + three - four"
        yield f"return one + {name} + self.two(first, second) - three"
        yield f"{name}, second = self.block(first, second, third)"
        yield f"return {name}, self.block(first, second), third"
        yield f"{name} = nn.Sequential(*[Block(64, i) for i in range(n)])"
        yield f"{name} = 2 * (first_of_all + second_of_all - third)"
        yield f"layers += [Block({name}, 3), nn.ReLU(inplace=True)]"
        yield f"{name} = f(({name}, 3), key=(1, 2), other=[1, *rest])"


@pytest.mark.parametrize("indent", [4, 8, 12])
def test_every_line_that_is_too_long_by_a_column_is_laid_out_as_ruff_would(indent: int) -> None:
    pytest.importorskip("ruff")
    heads = ["def f():", "    if x:", "        if y:"][: indent // 4]
    source = "\n".join([*heads, *(part for line in _statements() for part in lay_out(line, indent)), ""])
    assert ruff(source, "format").stdout == source


def test_resnet50_reads_as_a_persons() -> None:
    source = cnnc.load("zoo:resnet50").pytorch()
    assert source.count("\n") < 120
    assert source.count("class Bottleneck") == 1
    assert source.count("\nclass ") == 2
    assert "nn.Conv2d(w, 4 * w, 1, bias=False)" in source
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["import torch", "from torch import Tensor, nn"]


def test_the_one_liner_piped_in_compiles_and_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, ["compile", "-", "-o", "net.py"], input=ONE_LINER)
    assert done.exit_code == 0, done.output
    scope: dict[str, object] = {"__name__": "net"}
    exec((tmp_path / "net.py").read_text(), scope)
    model = scope["Net"]()  # type: ignore[operator]
    x = torch.randn(1, 3, 224, 224, requires_grad=True)
    y = model(x)
    assert y.shape == (1, 4096)
    y.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert x.grad is not None


LECTURE_ALEXNET = """\
input 3x224x224
conv-11x11x96/4
maxpool/2
conv-5x5x256
maxpool/2
conv-3x3x384
conv-3x3x384
conv-3x3x256
maxpool/2
fc-4096
fc-4096
fc-1000
"""


def test_the_lectures_table_pasted_gives_the_lectures_sizes() -> None:
    net = cnnc.parse(LECTURE_ALEXNET)
    shown = [n.out for n in net.graph.layers if n.op.kind in ("conv", "maxpool", "fc")]
    assert [shape[-1] for shape in shown] == [56, 28, 28, 14, 14, 14, 14, 7, 4096, 4096, 1000]
    assert [n.op.kernel for n in net.graph.layers if n.op.kind == "maxpool"] == [(2, 2)] * 3  # type: ignore[attr-defined]
    torch = pytest.importorskip("torch")
    assert net.module().eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


def test_a_live_module_is_the_written_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    net = cnnc.parse("input 1x16x16\n[conv3-4 -> pool]*2 -> fc-3")
    written: dict[str, object] = {"__name__": "written"}
    exec(net.pytorch(), written)
    live, other = net.module(), written["Net"]()  # type: ignore[operator]
    other.load_state_dict(live.state_dict())
    x = torch.randn(2, 1, 16, 16)
    assert torch.equal(live(x), other(x))


def test_pickles_within_the_process() -> None:
    torch = pytest.importorskip("torch")
    model = cnnc.parse("input 4\nfc-3").module()
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    assert torch.equal(again.fc1.weight, model.fc1.weight)


def test_a_shared_module_has_its_weights_once() -> None:
    torch = pytest.importorskip("torch")
    net = cnnc.parse(
        "input left: 1x28x28\ninput right: 1x28x28\nshared tower = [[conv3-8 -> pool]*2 -> fc-16]\n"
        "left -> a: tower\nright -> b: tower\n[a | b] -> fc-2"
    )
    model = net.module()
    assert sum(p.numel() for p in model.parameters()) == net.params == 80 + 584 + 6288 + 66
    assert [k for k in model.state_dict() if k.endswith("weight")] == [
        "tower.0.weight", "tower.3.weight", "tower.6.weight", "fc1.weight",
    ]  # fmt: skip
    x = torch.randn(1, 1, 28, 28)
    assert model(left=x, right=x).shape == (1, 2)


def test_two_inputs_and_two_outputs() -> None:
    torch = pytest.importorskip("torch")
    net = cnnc.parse(
        "input a: 3x8x8\ninput b: 3x8x8\n[a + b] -> both: conv3-4\nboth -> mean: gap\noutput both, mean"
    )
    out = net.module()(torch.ones(2, 3, 8, 8), torch.ones(2, 3, 8, 8))
    assert out.both.shape == (2, 4, 8, 8)
    assert out.mean.shape == (2, 4, 1, 1)


def test_without_torch_module_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(cnnc.CnncError, match="pip install torch"):
        cnnc.parse("input 4\nfc-3").module()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("param a = yes\nparam b = no\nconv3-{8 if a or b else 16}", "nn.Conv2d(2, 8, 3, padding=1)"),
        ("param a = yes\nparam b = no\nconv3-{8 if a and b else 16}", "nn.Conv2d(2, 16, 3, padding=1)"),
        ("param s = 2\nconv3-{8 if s > 1 else 16}/{s}", "nn.Conv2d(2, 8, 3, stride=2, padding=1)"),
        ("param a = no\nparam m = 4\nconv3-{8 if a or m < 5 else m}", "nn.Conv2d(2, 8 if m < 5 else m, 3, padding=1)"),
        ("param a = yes\nparam m = 4\nconv3-{8 if not a or m < 5 else m}", "nn.Conv2d(2, 8 if m < 5 else m, 3, padding=1)"),
        ("dwconv3", "nn.Conv2d(2, 2, 3, padding=1, groups=2)"),
        ("bias(each=one)", "PositionBias(1)"),
    ],
)  # fmt: skip
def test_what_is_known_is_written_as_it_is(text: str, written: str) -> None:
    params, _, layers = text.rpartition("\n")
    source = cnnc.parse(f"{params}\ninput 2x8x8\n{layers}").pytorch()
    assert f" = {written}\n" in source


def test_an_axis_that_a_crop_leaves_whole_is_whole() -> None:
    torch = pytest.importorskip("torch")
    x = torch.randn(1, 4, 8, 8)
    y = cnnc.parse("input 4x8x8\ncrop(3x8)").module()(x)
    torch.testing.assert_close(y, x[:, :, 2:5])


@pytest.mark.parametrize("eps", ["1e-6", "1e-3"])
def test_the_inference_form_is_told_the_eps_of_a_norm(eps: str) -> None:
    source = cnnc.parse(f"input 2x8x8\nbn(eps={eps}) -> relu -> conv3-4").pytorch(optimize="inference")
    assert f"ScaleShift(2, relu=True, eps={float(eps)!r})" in source
