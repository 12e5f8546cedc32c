"""Every shipped spec: its claims, its style, and the PyTorch module that it compiles to.

The figures' independent oracles are `numel` of the built module and FlopCounterMode;
both work on the meta device, where shapes are computed and no numbers.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import first_half
import pytest
from sampling import sampled

import cnnc
from cnnc.dsl.format import format_source
from cnnc.dsl.read import read_source

SPECS = Path(cnnc.__file__).parent / "specs"
ZOO = sorted(path.stem for path in SPECS.glob("*.cnn"))

DEEP = (
    "densenet_bc190_k40", "densenet_bc250_k24", "efficientnet_v2_l", "nasnet_a_large", "preact_resnet1001", "resnet1202",
)  # fmt: skip
"""What takes seconds to build; their kin are always tried."""
FORTY_LINES = ("lenet5", "alexnet", "vgg16", "resnet50", "googlenet", "densenet121")
REAL_MACS = 60_000_000
"""Networks of up to this many MACs train a step on the CPU; larger ones do so on the meta device."""
BATCH = 2
"""A batch norm in training needs more than one value for each channel, also on a map of 1x1."""
MORE_THAN_COUNTED = {
    # Table I's convolution runs as a dense one of 96 links, 60 of which are counted.
    "lenet5_1998": 10 * 10 * 25 * (96 - 60),
    # Three weighted sums and two agreements of routing, for 1,152 capsules and 10 of 16; beyond the convention.
    "capsnet": 5 * 1152 * 10 * 16,
}
"""Multiply-adds that torch sees beside those of convolutions and fully-connected layers."""


@cache
def network(name: str) -> cnnc.Net:
    return cnnc.load(SPECS / f"{name}.cnn")


@cache
def meta_module(name: str) -> Any:
    """The compiled module on the meta device: shapes without numbers."""
    import torch

    with torch.device("meta"):
        return network(name).module()


def random_inputs(net: cnnc.Net, batch: int, device: str) -> list[Any]:
    import torch

    return [torch.randn(batch, *shape, device=device) for shape in net.inputs.values()]


def flat_outputs(output: Any) -> list[Any]:
    return list(output) if isinstance(output, tuple) else [output]


# --- without torch -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_claims_hold_without_a_warning(name: str) -> None:
    net = network(name)
    net.check()
    assert net.claims, "a shipped spec claims something"
    assert [finding for finding in net.warnings if finding.severity == "warning"] == []


def test_the_whole_zoo_passes_strictly() -> None:
    """Each warning that is accepted has its reason, and is there to be accepted (else W103): YOLO, WaveNet, NASNet."""
    command = [sys.executable, "-m", "cnnc", "check", "--strict", "-j", "1", str(SPECS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list(SPECS.rglob('*.cnn')))} specs" in done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr
    accepting = {path.stem for path in SPECS.rglob("*.cnn") if "# allow W" in path.read_text()}
    assert {"wavenet", "yolov3", "yolov8n", "nasnet", "xception"} <= accepting


BEFORE: dict[str, dict[str, object]] = json.loads(
    (Path(__file__).parent / "data" / "first_half.json").read_text()
)


@pytest.mark.parametrize("name", sorted(BEFORE))
def test_nothing_of_the_first_half_has_changed(name: str) -> None:
    """The 88 networks, layer by layer, as the compiler had them before the second half (`first_half.py`)."""
    net = network(name)
    assert first_half.added(net) == []
    assert first_half.record(net) == BEFORE[name]


def test_a_changed_layer_would_be_seen() -> None:
    net = cnnc.parse((SPECS / "lenet5.cnn").read_text().replace("-16", "-17"), name="lenet5")
    assert first_half.digest(net) != BEFORE["lenet5"]["digest"]
    moved = cnnc.parse((SPECS / "lenet5.cnn").read_text().replace("tanh", "relu"), name="lenet5")
    assert first_half.digest(moved) != BEFORE["lenet5"]["digest"]


@pytest.mark.parametrize("name", ZOO)
def test_head_names_paper_year_and_idea(name: str) -> None:
    """Two comment lines, with the year; then the model, called as its file."""
    lines = (SPECS / f"{name}.cnn").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[1].startswith("# ")
    assert any(str(year) in lines[0] + lines[1] for year in range(1989, 2024))
    assert lines[2].split()[:2] == ["model", name]


@pytest.mark.parametrize("name", FORTY_LINES)
def test_the_best_known_fit_in_forty_lines(name: str) -> None:
    assert len((SPECS / f"{name}.cnn").read_text().splitlines()) <= 40


def test_unet_fits_in_twelve_lines() -> None:
    assert len((SPECS / "unet.cnn").read_text().splitlines()) <= 12


def test_a_labelled_layer_renames_no_other() -> None:
    """Names come from labels and counters: what is put between keeps out of both."""
    text = (SPECS / "resnet50.cnn").read_text().split("expect")[0]
    changed = text.replace("gap -> fc:", "probe: conv3-2048 -> gap -> fc:")
    assert changed != text
    before = [node.name for node in cnnc.parse(text).graph.nodes]
    after = [node.name for node in cnnc.parse(changed).graph.nodes]
    assert [name for name in after if not name.startswith("probe")] == before
    assert [name for name in after if name.startswith("probe")] == ["probe", "probe_bn", "probe_relu"]


TWICE = {
    # Each takes its activation from the default of its own file: silu in the one, relu in the other.
    "block excite(r) = [id & gap -> fc1: conv1-r(norm=none) -> fc2: conv1-C(norm=none, act=sigmoid)]": {
        "efficientnet.cnn", "regnet.cnn",
    },
    # The wiring of a network's own tensors, which no block can name.
    "backbone.layer3 -> aux_classifier: head(256) -> aux: upsample(like=image, mode=bilinear)": {
        "deeplabv3_resnet101.cnn", "deeplabv3_resnet50.cnn", "fcn_resnet101.cnn", "fcn_resnet50.cnn",
    },
    # torchvision's names for the stem, within a block that dilates and in a network that does not.
    "conv1: conv7-64/2(norm=none, bias=no, act=none) -> bn1: bn -> relu -> maxpool3/2(pad=1)": {
        "segmentation.cnn", "retinanet_resnet50_fpn.cnn",
    },
    # All of a family's block is this line, and a file to use it from would be longer.
    "block fire(s, e) = squeeze: conv1-s -> [expand1x1: conv1-e | expand3x3: conv3-e]": {
        "squeezenet1_0.cnn", "squeezenet1_1.cnn",
    },
    # Self-attention on chunks of one projection, whose names differ in the two.
    "-> attend(q=[chunk(3, 0)], k=[chunk(3, 1)], v=[chunk(3, 2)], heads=heads)": {
        "visformer_small.cnn", "vit_b_16.cnn",
    },
}  # fmt: skip
"""The long lines that more than one file has, and why each stays."""


def test_no_other_line_of_layers_is_written_twice() -> None:
    """Families share blocks, and differ by their arguments."""
    homes: dict[str, set[str]] = {}
    for path in sorted(SPECS.rglob("*.cnn")):
        for line in path.read_text().splitlines():
            code = line.split("#")[0].strip()
            if "->" in code and len(code) > 60:
                homes.setdefault(code, set()).add(path.name)
    assert {code: files for code, files in homes.items() if len(files) > 1} == TWICE


# --- with torch --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sampled(ZOO, 1, DEEP))
def test_figures_equal_the_modules(name: str) -> None:
    """Parameters, state and MACs of the compiled module are the ones that the analysis tells."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    net = network(name)
    with torch.device("meta"):
        # Without gradients: the counter's hooks fail on a view of a parameter, which has no function of its gradient.
        module = copy.deepcopy(meta_module(name)).eval().requires_grad_(False)  # others use the cached one
        inputs = random_inputs(net, 1, "meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = module(*inputs)
    assert sum(p.numel() for p in module.parameters()) == net.params
    weights = {key for key, _ in module.named_parameters()}
    state = [value.numel() for key, value in module.state_dict().items() if key not in weights]
    assert sum(state) == net.costs.total.state
    assert counter.get_total_flops() == 2 * (net.macs + MORE_THAN_COUNTED.get(name, 0))
    assert [tuple(x.shape[1:]) for x in flat_outputs(output)] == list(net.outputs.values())


@pytest.mark.parametrize("name", sampled(ZOO, 2, DEEP))
def test_one_step_of_training(name: str) -> None:
    """Forward and backward in training: every parameter gets a gradient of its own shape."""
    torch = pytest.importorskip("torch")
    net = network(name)
    device = "cpu" if net.macs <= REAL_MACS and net.params < 30_000_000 else "meta"
    torch.manual_seed(0)
    with torch.device(device):
        module = (meta_module(name) if device == "meta" else net.module()).train()
        outputs = flat_outputs(module(*random_inputs(net, BATCH, device)))
        loss = sum(x.float().square().mean() for x in outputs)
        loss.backward()
    without = [key for key, p in module.named_parameters() if p.grad is None]
    assert without == []
    if device == "cpu":
        assert all(bool(x.isfinite().all()) for x in outputs)
        assert all(bool(p.grad.isfinite().all()) for p in module.parameters())


@pytest.mark.parametrize("name", ZOO)
def test_the_written_file_runs_as_a_script(name: str, tmp_path: Path) -> None:
    """It prints the shape of its outputs on random input; here on the meta device."""
    torch = pytest.importorskip("torch")
    net = network(name)
    file = tmp_path / f"{name}.py"
    file.write_text(net.pytorch())
    printed = io.StringIO()
    with torch.device("meta"), contextlib.redirect_stdout(printed):
        runpy.run_path(str(file), run_name="__main__")
    shapes = [(1, *shape) for shape in net.outputs.values()]
    assert printed.getvalue() == f"{shapes[0] if len(shapes) == 1 else shapes}\n"


def test_a_written_file_needs_nothing_of_cnnc(tmp_path: Path) -> None:
    """LeNet-5's, in a process that has no way to the package."""
    pytest.importorskip("torch")
    file = tmp_path / "lenet5.py"
    file.write_text(network("lenet5").pytorch())
    command = [sys.executable, "-P", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "(1, 10)\n"), done.stderr
    assert "cnnc" not in file.read_text().replace("Written by cnnc", "")


@pytest.mark.parametrize(("name", "size"), [("unet", "1x188x188"), ("resnet50", "3x64x64")])
def test_large_ones_train_on_small_inputs(name: str, size: str) -> None:
    """In numbers, where the network takes a smaller image than its own."""
    torch = pytest.importorskip("torch")
    net = cnnc.load(SPECS / f"{name}.cnn", input=size)
    torch.manual_seed(0)
    module: Any = net.module().train()
    (output,) = flat_outputs(module(*random_inputs(net, BATCH, "cpu")))
    output.square().mean().backward()
    assert (tuple(output.shape[1:]),) == tuple(net.outputs.values())
    assert all(bool(p.grad.isfinite().all()) for p in module.parameters())


def test_siamese_weights_are_there_once() -> None:
    """Both images go through the same tower: one set of weights in the totals and the state dict."""
    torch = pytest.importorskip("torch")
    module: Any = network("siamese").module().eval()
    keys = set(module.state_dict())
    assert {key.split(".")[0] for key in keys} == {"tower"}
    assert len(keys) == 10
    image = torch.randn(1, 1, 28, 28)
    left, right = module(image, image)
    assert torch.equal(left, right)


# --- variants: what `-D`, `--input` and a block's arguments reach --------------------------

# tensorflow/models, research/slim/nets/mobilenet_v1.md, recounted: the 0.75 rows print MACs without the first
# convolution (317M is 325.4M), and 0.25 at 192 is a misprint (34M is 30.2M).
MOBILENETS = [
    (1.0, 224, 4_231_976, 568_740_352), (1.0, 192, 4_231_976, 418_121_728),
    (1.0, 160, 4_231_976, 290_675_200), (1.0, 128, 4_231_976, 186_400_768),
    (0.75, 224, 2_585_560, 325_400_448), (0.75, 192, 2_585_560, 239_273_472),
    (0.75, 160, 2_585_560, 166_396_800), (0.75, 128, 2_585_560, 106_770_432),
    (0.5, 224, 1_331_592, 149_497_088), (0.5, 192, 1_331_592, 109_970_432),
    (0.5, 160, 1_331_592, 76_524_800), (0.5, 128, 1_331_592, 49_160_192),
    (0.25, 224, 470_072, 41_030_272), (0.25, 192, 470_072, 30_212_608),
    (0.25, 160, 470_072, 21_059_200), (0.25, 128, 470_072, 13_570_048),
]  # fmt: skip


@pytest.mark.parametrize(("width", "size", "params", "macs"), MOBILENETS)
def test_mobilenet_multipliers(width: float, size: int, params: int, macs: int) -> None:
    net = cnnc.load(SPECS / "mobilenet_v1.cnn", width=width, input=f"3x{size}x{size}")
    assert (net.params, net.macs) == (params, macs)


@pytest.mark.parametrize(
    ("name", "change", "params", "macs"),
    [
        # Mnih et al. 2015: one output for each action, 4 to 18.
        ("dqn", {"actions": 4}, 1_686_180, 9_345_024),
        ("dqn", {"actions": 6}, 1_687_206, 9_346_048),
        # Silver et al. 2016, Methods: 128, 256 and 384 filters were tried too.
        ("alphago_policy", {"k": 128}, 1_777_641, 641_043_584),
        ("alphago_policy", {"k": 256}, 6_798_953, 2_453_182_720),
        ("alphago_policy", {"k": 384}, 15_064_297, 5_436_417_408),
    ],
)
def test_params_of_specs(name: str, change: dict[str, object], params: int, macs: int) -> None:
    net = cnnc.load(SPECS / f"{name}.cnn", **change)
    assert (net.params, net.macs) == (params, macs)


@pytest.mark.parametrize(
    ("block", "call", "params"),
    [
        # Option B; osmr/imgclsmob, gluon/README.md, has the same counts.
        ("resnet_cifar", "resnet_cifar(3, projection)", 272_474),
        ("resnet_cifar", "resnet_cifar(9, projection)", 855_770),
        ("resnet_cifar", "resnet_cifar(18, projection)", 1_730_714),
        ("resnet_cifar", "resnet_cifar(200, projection)", 19_424_026),
        # CIFAR-100 with the layers of Huang et al. 2016, Table 2.
        ("densenet_cifar", "densenet_cifar(12, 12, 0, 1, 16, 100)", 1_060_132),
        ("densenet_cifar", "densenet_cifar(32, 12, 0, 1, 16, 100)", 7_084_852),
        ("densenet_cifar", "densenet_cifar(32, 24, 0, 1, 16, 100)", 27_457_972),
        ("densenet_cifar", "densenet_cifar(16, 12, 4, 0.5, 24, 100)", 800_032),
        ("densenet_cifar", "densenet_cifar(41, 24, 4, 0.5, 48, 100)", 15_480_556),
        ("densenet_cifar", "densenet_cifar(31, 40, 4, 0.5, 80, 100)", 25_821_620),
        # PreResNet-164(BN) on CIFAR-100 in the same README.
        ("preact_resnet", "preact_resnet(18, 100)", 1_726_388),
    ],
)
def test_arguments_of_families(block: str, call: str, params: int) -> None:
    text = f'model m = {call}\ninput 3x32x32\nuse {block} from "blocks/{block}.cnn"\n'
    assert cnnc.parse(text, name=str(SPECS / "m.cnn")).params == params


@pytest.mark.parametrize(
    "path", sorted(SPECS.rglob("*.cnn")), ids=lambda path: str(path.relative_to(SPECS).with_suffix(""))
)
def test_every_shipped_file_is_formatted(path: Path) -> None:
    source = read_source(path)
    assert format_source(source) == source.text
