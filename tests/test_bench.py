"""`cnnc bench`: figures that hang together, and clear words where it cannot run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cnnc.cli.commands import cnnc as command

torch = pytest.importorskip("torch")

from torchvision_oracle import torchvision_models  # noqa: E402


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.cnn").write_text("input a: 3x8x8\ninput b: 3x8x8\n[a | b] -> conv3-4(norm=bn) -> fc-2\n")
    (tmp_path / "free.cnn").write_text("input 3xHxW\nconv3-4 -> gap -> fc-2\n")


def run(*words: str) -> Result:
    return CliRunner().invoke(command, ["bench", *words, "--seconds", "0"], catch_exceptions=False)


@pytest.mark.parametrize("more", [[], ["--channels-last"], ["--dtype", "bfloat16"]])
def test_json(more: list[str]) -> None:
    done = run("net.cnn", "--batch", "3", "--json", *more)
    assert done.exit_code == 0
    record = json.loads(done.stdout)
    assert (record["model"], record["batch"], record["device"]) == ("net", 3, "cpu")
    assert record["channels_last"] == ("--channels-last" in more)
    assert [t["what"] for t in record["timings"]] == ["forward", "forward+backward"]
    macs = 6 * 4 * 9 * 64 + 256 * 2  # the convolution of the joined maps, and fc
    for timing, passes in zip(record["timings"], (1, 3), strict=True):
        assert timing["repeats"] == 5
        assert timing["low"] <= timing["median"] <= timing["high"]
        assert timing["images_per_second"] == pytest.approx(3 / timing["median"])
        reached = 2 * macs * 3 * passes / timing["median"]
        assert timing["peak_share"] == pytest.approx(reached / record["peak"])
        assert timing["memory"] > 2**20


def test_table() -> None:
    lines = run("net.cnn", "--for", "inference", "--batch", "2").stdout.splitlines()
    assert lines[0].startswith("net, batch 2, float32, inference form on cpu, ")
    assert [line.split()[0] for line in lines[1:]] == ["median", "forward", "Peak:", "Floor:"]


@pytest.mark.parametrize(
    "peer",
    [
        "torchvision",
        pytest.param(
            "compile",
            marks=[
                pytest.mark.slow,
                pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),  # torch's own
            ],
        ),
        pytest.param("onnxruntime", marks=pytest.mark.slow),
    ],
)
def test_beside_another(peer: str) -> None:
    spec = "net.cnn"
    if peer == "torchvision":
        spec = "zoo:squeezenet1_1"
        torchvision_models()  # so that it can be imported beside a CPU's torch
    if peer == "onnxruntime":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    done = run(spec, "--for", "inference", "--batch", "1", "--versus", peer, "--json")
    assert done.exit_code == 0, done.output
    mine, theirs = json.loads(done.stdout)["timings"]
    assert (mine["what"], theirs["what"]) == ("forward", peer)
    middle, low, high = mine["ratio"]
    assert low <= middle <= high
    assert mine["repeats"] == theirs["repeats"] == 5
    assert mine["roofline_share"] > 0


def test_what_there_is_nothing_beside() -> None:
    torchvision_models()
    done = run("net.cnn", "--versus", "torchvision")
    assert done.exit_code == 1
    assert done.stderr == "error E802: torchvision has no network `net`\n    hint: --versus compile\n"


def test_a_graph_is_of_the_inference_form() -> None:
    done = run("net.cnn", "--graph")
    assert done.exit_code == 2
    assert "--graph requires --for inference, without --compile" in done.output
    done = run("net.cnn", "--graph", "--for", "inference", "--batch", "2")
    assert done.stdout.startswith("net, batch 2, float32, inference form, captured on cpu, ")


def test_a_free_size_must_be_given() -> None:
    done = run("free.cnn")
    assert done.exit_code == 1
    assert done.stderr.startswith("error E407: the size H, W must be known to run the network\n")
    assert run("free.cnn", "--input", "3x9x9").exit_code == 0


def test_a_device_that_is_not_there() -> None:
    done = run("net.cnn", "--device", "nonsense")
    assert done.exit_code == 1
    assert done.stderr == "error E802: torch has no device `nonsense` here\n    hint: --device cpu\n"


def test_memory_that_ends() -> None:
    done = run("net.cnn", "--batch", str(10**13))
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error E901: a batch of {10**13} does not fit the memory of cpu\n")


@pytest.mark.gpu
@pytest.mark.parametrize("more", [[], ["--for", "inference"], ["--dtype", "bfloat16", "--channels-last"]])
def test_on_a_gpu(more: list[str]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    done = run("net.cnn", "--device", "cuda", "--json", *more)
    assert done.exit_code == 0
    record = json.loads(done.stdout)
    assert record["timings"][0]["memory"] > 0
    assert record["device_name"] != "cuda"
