"""`cnnc verify`: what it compares, and how it tells what does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cnnc

torch = pytest.importorskip("torch")

from cnnc.backends.pytorch import verify as verifying  # noqa: E402  (torch must be there first)
from cnnc.backends.pytorch.verify import STEPS, verify  # noqa: E402

SHARED = "input 3x16x16\nshared tower = conv3-3(norm=bn)\ntower -> pool -> tower -> gap -> fc-2\n"


def verdicts(text: str, **options: Any) -> dict[str, verifying.Verdict]:
    return {verdict.what: verdict for verdict in verify(cnnc.parse(text).graph, **options)}


def run(tmp_path: Path, text: str, *options: str) -> tuple[int, list[str], str]:
    from cnnc.cli.verifying import verify as command

    spec = tmp_path / "net.cnn"
    spec.write_text(text)
    done = CliRunner().invoke(command, [str(spec), *options])
    return done.exit_code, done.stdout.splitlines(), done.stderr


def test_one_line_for_each_step(tmp_path: Path) -> None:
    code, lines, _ = run(tmp_path, SHARED)
    assert code == 0
    assert [line.split()[:2] for line in lines] == [["ok", step] for step in STEPS[:-1]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("input 3x32x32\nconv3-8/2(pad=same_tf) -> conv3-8/2(pad=(0,1)) -> gap -> fc-10\n", "92,240 in the analysis, 92,240 counted by torch"),
        ("input 8x16\nlstm-12 -> gru-5(bidirectional=yes) -> linear-4\n", "24,160 in the analysis, 24,160 counted by torch"),
        ("input 8x6x6\nlinear-12 -> conv3-4 -> linear-3\n", "19,440 in the analysis, 19,440 counted by torch"),
    ],
)  # fmt: skip
def test_all_that_torch_counts_is_compared(text: str, told: str) -> None:
    found = verdicts(text)["MACs"]
    assert found.holds
    assert found.detail == told


def test_what_torch_does_not_count_is_told_with_its_sum() -> None:
    detail = verdicts("input 1x20x20\nstn([fc-4]) -> conv3-4\n")["MACs"].detail
    assert detail.startswith(
        "16,024 in the analysis, 16,000 counted by torch; NOT compared: 24 of `stn1` (stn)"
    )


def test_a_layer_that_is_counted_differently_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnc.compiler.ops.convolution import Conv

    # No layer is taken again with the counts that it had.
    monkeypatch.setattr("cnnc.compiler.walk.made._MADE", {})
    monkeypatch.setattr(Conv, "macs", lambda self, *ins: 1)
    found = verdicts("input 3x8x8\nconv3-4\n")["MACs"]
    assert (found.holds, found.detail) == (False, "conv1: 1 in the analysis, 6,912 counted")


@pytest.mark.parametrize(
    "text",
    [
        "input 3xHxW\n[id + conv3-3/2 -> tconv3-3/2(pad=1)]\n",
        "input 1xDxHxW\navgpool3/2(pad=1)\n",
        "input 4xHxW\nspacetodepth(2)\n",
    ],
)
def test_free_sizes_are_run_at_odd_numbers(text: str) -> None:
    found = verdicts(text.replace("avgpool", "conv3-1 -> avgpool") if "D" in text else text)["sizes"]
    assert found.holds
    assert found.detail.startswith(
        "also on H=2 W=4" if "spacetodepth" in text else "also on H=1" if "D" not in text else "also on D=1"
    )


def test_a_shared_module_is_compared_at_every_use() -> None:
    found = verdicts(SHARED)
    assert found["shapes"].holds
    # 2 x (convolution, norm, activation), the pools and the last layer; a flatten is no module.
    assert found["shapes"].detail.startswith("9 outputs of modules")


def test_a_wrong_shape_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    built = verifying.module

    def other(graph: Any) -> Any:
        model = built(graph)
        model.get_submodule("maxpool1").register_forward_hook(lambda _, __, output: output[..., :1])
        return model

    monkeypatch.setattr(verifying, "module", other)
    shapes = verdicts(SHARED.replace("-> tower -> gap", "-> gap"))["shapes"]
    assert not shapes.holds
    assert shapes.detail == "maxpool1: (3, 8, 8) in the analysis, (3, 8, 1) built"


def test_multiply_adds_of_a_free_size_are_told_as_a_number_and_an_expression() -> None:
    found = verdicts("input 3xHxW\nconv3-2(act=none)\n")["MACs"]
    assert found.holds
    assert found.detail.startswith("2,709,504 (54*H*W) in the analysis, 2,709,504 counted")


def test_a_norm_of_single_values_fails_in_training(tmp_path: Path) -> None:
    code, lines, _ = run(tmp_path, "input 3x1x1\nconv1-2(norm=bn)\n", "--batch", "1")
    assert code == 1
    assert lines[-1].startswith("FAILED  forward  torch refuses: Expected more than 1 value per channel")


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    code, lines, _ = run(tmp_path, "input 3x4x4\nconv1-2\n", "--device", "cuda:77")
    assert code == 1
    assert lines[-1].startswith("FAILED  forward  torch refuses: ")


def test_an_extern_that_cannot_be_imported(tmp_path: Path) -> None:
    text = 'input 3x4x4\nextern box = "no_such_package.module:Box" (shape=same, params=0, macs=0)\nbox\n'
    code, lines, errors = run(tmp_path, text)
    assert (code, lines) == (1, [])
    assert (
        "error E802: the module of an `extern` cannot be imported: No module named 'no_such_package'"
        in errors
    )
