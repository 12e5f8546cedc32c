"""`compile --for training --checkpoint blocks`: the same numbers for less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.cli.commands import cnnc as command

torch = pytest.importorskip("torch")

RESIDUAL = """
input 3x8x8
default conv(norm=bn)
block unit(w, s=1) = [conv3-w/s -> dropout(0.3) -> conv3-w + shortcut] -> relu
block plain(w) = conv3-w -> conv3-w
layer1: [unit(4)]*2
layer2: unit(8, 2) -> plain(8)
gap -> fc-5
"""


def both(net: cnnc.Net) -> tuple[Any, Any]:
    torch.manual_seed(0)
    plain = net.module().double().train()
    again = net.module(optimize="checkpoint", state=plain.state_dict()).double().train()
    return plain, again


def step(model: Any, x: Any) -> tuple[Any, Any]:
    torch.manual_seed(1)  # dropout draws
    x = x.clone().requires_grad_()
    output = model(x)
    output.square().sum().backward()
    return output, x.grad


def test_outputs_gradients_and_statistics_are_the_plain_forms() -> None:
    plain, again = both(cnnc.parse(RESIDUAL))
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    for _ in range(2):
        for a, b in zip(step(plain, x), step(again, x), strict=True):
            assert torch.equal(a, b)
    mine = dict(again.named_parameters())
    for name, parameter in plain.named_parameters():
        assert parameter.grad.abs().sum() > 0 or "conv" in name
        assert torch.equal(parameter.grad, mine[name].grad), name
    state = again.state_dict()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert int(state["layer1.0.bn1.num_batches_tracked"]) == 2


def test_less_is_kept_for_the_backward_pass() -> None:
    plain, again = both(cnnc.parse(RESIDUAL))
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)

    def kept(model: Any) -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            model(x)
        return sum(sizes)

    assert kept(again) < kept(plain) / 3


def test_the_innermost_blocks_of_two_weighted_layers_are_chosen() -> None:
    text = """
    block one(w) = conv3-w
    block two(w) = one(w) -> one(w)
    block four(w) = two(w) -> two(w)
    four(8) -> one(3)
    """
    source = cnnc.parse(text, input="3x8x8").pytorch(optimize="checkpoint")
    assert "class Two(Checkpointed" in source
    assert "class One(nn." in source
    assert "class Four(nn." in source


def test_a_gate_within_a_block_is_computed_again_with_it() -> None:
    """Two weighted layers of a squeeze-excitation hold next to nothing."""
    text = """
    use se from std
    block unit(w) = [conv3-w -> bn -> relu -> conv3-w -> bn -> se + shortcut] -> relu
    conv3-16 -> [unit(16)]*3
    """
    source = cnnc.parse(text, input="3x32x32").pytorch(optimize="checkpoint")
    assert "class Unit(Checkpointed" in source
    assert source.count("(Checkpointed") == 1


def test_what_sums_alone_read_is_not_kept() -> None:
    """So a block around two sums saves what lies between them, and each of the two nothing."""
    text = """
    block a = [conv3-C + conv1-C]
    block b = a -> a
    b -> b -> b
    """
    source = cnnc.parse(text, input="4x16x16").pytorch(optimize="checkpoint")
    assert "class B(Checkpointed" in source
    assert source.count("(Checkpointed") == 1


def test_statistics_of_a_shared_module_move_once() -> None:
    text = """
    shared sh = conv3-4 -> bn
    block b = conv1-4 -> sh
    b
    """
    plain, again = both(cnnc.parse(text, input="4x8x8"))
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    step(plain, x), step(again, x)
    assert int(again.state_dict()["sh.1.num_batches_tracked"]) == 1
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


@pytest.mark.parametrize("name", ["efficientnet_b0", "regnet_y_400mf", "vit_b_16", "s3d", "nasnet_a_mobile"])
def test_it_pays(name: str) -> None:
    """Blocks within blocks: the simulated peak, which is MemTracker's, is well below the plain form's."""
    net = cnnc.load(f"zoo:{name}")
    (plain, again) = (net.plan(batch=32, train="sgd", amp=True, checkpoint=c).memory for c in (False, True))
    assert plain is not None and again is not None
    assert again.peak < 0.56 * plain.peak


def test_evaluation_and_no_grad_run_plainly() -> None:
    plain, again = both(cnnc.parse(RESIDUAL))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(plain.eval()(x), again.eval()(x))
    for a, b in zip(step(plain, x), step(again, x), strict=True):
        assert torch.equal(a, b)


def test_a_spec_without_blocks_is_refused() -> None:
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.parse("conv3-4 -> conv3-4", input="3x8x8").pytorch(optimize="checkpoint")
    (found,) = caught.value.diagnostics
    assert found.code == "E801"
    assert found.message == "there is no block of two or more weighted layers to checkpoint"


@pytest.mark.parametrize(
    "words", [["--checkpoint", "blocks"], ["--for", "inference", "--checkpoint", "blocks"]]
)
def test_it_goes_with_training(words: list[str]) -> None:
    done = CliRunner().invoke(command, ["compile", "zoo:resnet20", "-o", "-", *words])
    assert done.exit_code == 2
    assert "--checkpoint requires --for training" in done.output


def test_the_command_writes_it(tmp_path: Path) -> None:
    target = tmp_path / "net.py"
    words = ["compile", "zoo:resnet20", "--for", "training", "--checkpoint", "blocks", "-o", str(target)]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0
    assert "(Checkpointed)" in target.read_text()
    net = cnnc.load("zoo:resnet20")
    plain, again = (net.plan(batch=32, train="sgd", checkpoint=way).memory.peak for way in (False, True))
    assert 0.3 < again / plain < 0.6
    assert (
        f"; a step of training (SGD, batch 32) holds {again / plain:.2f} of the plain form's memory"
        in done.output
    )
    words = ["compile", "zoo:resnet20", "--for", "training", "-o", str(target)]
    assert CliRunner().invoke(command, words).exit_code == 0
    assert "Checkpointed" not in target.read_text()


LAST = """
input 3x64x64
block last = [conv3-32 -> conv3-32]
last
"""


@pytest.mark.parametrize(
    ("text", "says"), [(LAST, "holds 1."), (LAST.replace("3x64x64", "3xHxW"), "lines)\n")]
)
def test_the_command_says_what_it_spares(text: str, says: str, tmp_path: Path) -> None:
    """More than nothing it is not always; with sizes that are not known it is not known."""
    spec, target = tmp_path / "net.cnn", tmp_path / "net.py"
    spec.write_text(text)
    words = ["compile", str(spec), "--for", "training", "--checkpoint", "blocks", "-o", str(target)]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0
    assert says in done.output


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    plain, again = both(cnnc.parse(RESIDUAL))
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64, device="cuda")
    for a, b in zip(step(plain.cuda(), x), step(again.cuda(), x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
