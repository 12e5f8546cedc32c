"""`cnnc weights`: what is missing, extra or of another shape; maps; files that are not what they seem."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cnnc.backends.pytorch.runtime_weights import read_map, read_shapes
from cnnc.backends.pytorch.weights import COUNTER, guess_map, wanted_tensors
from cnnc.cli.commands import cnnc as command
from cnnc.dsl.diagnostics import CnncError
from cnnc.net import load, parse

SPEC = "input 3x8x8\nconv: conv3-4(norm=bn) -> gap -> fc: fc-2\n"
SHAPES: dict[str, tuple[int, ...]] = {
    "conv.weight": (4, 3, 3, 3),
    "conv_bn.weight": (4,),
    "conv_bn.bias": (4,),
    "conv_bn.running_mean": (4,),
    "conv_bn.running_var": (4,),
    "conv_bn.num_batches_tracked": (),
    "fc.weight": (2, 4),
    "fc.bias": (2,),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.cnn").write_text(SPEC)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(command, ["weights", "net.cnn", *words], catch_exceptions=False)


def safetensors(path: Path, shapes: dict[str, tuple[int, ...]], **more: Any) -> Path:
    """A file in the format, each tensor's bytes counting up."""
    header: dict[str, Any] = dict(more)
    data = b""
    for name, shape in shapes.items():
        size = 4
        for n in shape:
            size *= n
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + size]}
        data += bytes(i % 251 for i in range(size))
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def without(*names: str, **more: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in SHAPES.items() if name not in names} | more


def test_the_tensors_of_the_analysis_are_those_of_the_module() -> None:
    pytest.importorskip("torch")
    for name in ("resnet20", "lenet5_1998", "capsnet", "siamese", "unet", "mnist_800_dropconnect"):
        net = load(f"zoo:{name}")
        built = {key: tuple(value.shape) for key, value in net.module().state_dict().items()}
        assert wanted_tensors(net.graph) == (built, ())


def test_a_file_that_fits(folder: Path) -> None:
    safetensors(folder / "w.safetensors", SHAPES, __metadata__={"format": "pt"})
    done = run("w.safetensors")
    assert (done.exit_code, done.stdout) == (0, "w.safetensors: 8 tensors fit, all of the spec's\n")


def test_tensors_of_an_extern_are_passed_over_and_told(folder: Path) -> None:
    (folder / "net.cnn").write_text('input 3x8x8\nextern att = "a:B" (shape=same)\natt -> conv1-2\n')
    safetensors(
        folder / "w.safetensors", {"conv1.weight": (2, 3, 1, 1), "conv1.bias": (2,), "extern1.own": (7,)}
    )
    done = run("w.safetensors")
    assert done.exit_code == 0
    assert "note N702: the tensors of extern1 are known to their package only" in done.output


def test_what_differs(folder: Path) -> None:
    shapes = without("conv_bn.bias", **{"fc.weight": (10, 4), "extra.weight": (1,)})
    safetensors(folder / "w.safetensors", shapes)
    done = run("w.safetensors")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "missing  conv_bn.bias  4",
        "extra    extra.weight  1",
        "shape    fc.weight  2x4 in the spec, 10x4 in the file",
        "w.safetensors: 6 tensors fit, 1 missing, 1 extra, 1 of another shape",
    ]
    record = json.loads(run("w.safetensors", "--json").stdout)
    assert record == {
        "fitting": 6,
        "missing": {"conv_bn.bias": [4]},
        "extra": {"extra.weight": [1]},
        "shapes": {"fc.weight": {"spec": [2, 4], "file": [10, 4]}},
        "left_out": {},
    }


def test_a_counter_that_old_files_lack_is_not_missed(folder: Path) -> None:
    safetensors(folder / "w.safetensors", without(f"conv_bn.{COUNTER}"))
    assert run("w.safetensors").exit_code == 0


def test_safetensors_are_read_without_torch(folder: Path) -> None:
    safetensors(folder / "w.safetensors", SHAPES)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from cnnc.cli.commands import cnnc\n"
        "cnnc(['weights', 'net.cnn', 'w.safetensors'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_pt_without_torch_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "w.pt").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    done = run("w.pt")
    assert done.exit_code == 1
    assert "E802: reading `w.pt` needs torch" in done.stderr


@pytest.mark.parametrize("wrapped", [None, "state_dict", "model"])
def test_pt(folder: Path, wrapped: str | None) -> None:
    torch = pytest.importorskip("torch")
    state = parse(SPEC).module().state_dict()
    torch.save(state if wrapped is None else {wrapped: state, "epoch": 3}, folder / "w.pth")
    assert run("w.pth").exit_code == 0


# --- maps ---------------------------------------------------------------------------------


def renamed(name: str) -> str:
    return name.replace("conv_bn", "norm").replace("conv.", "features.0.").replace("fc", "head")


@pytest.mark.parametrize("suffix", ["json", "txt"])
def test_a_guessed_map_makes_the_file_fit(folder: Path, suffix: str) -> None:
    safetensors(folder / "w.safetensors", {renamed(n): s for n, s in SHAPES.items()})
    first = run("w.safetensors", "--write-map", f"map.{suffix}")
    assert first.exit_code == 1
    assert read_map(folder / f"map.{suffix}") == {renamed(n): n for n in SHAPES}
    done = run("w.safetensors", "--map", f"map.{suffix}", "-o", "fit.safetensors")
    assert done.exit_code == 0
    assert read_shapes(folder / "fit.safetensors") == SHAPES
    assert run("fit.safetensors").exit_code == 0
    old, new = ((folder / n).read_bytes() for n in ("w.safetensors", "fit.safetensors"))
    assert new.endswith(old[-200:])


def test_a_map_applied_to_pt_keeps_the_numbers(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    state = parse(SPEC).module().state_dict()
    torch.save({renamed(n): t for n, t in state.items()}, folder / "w.pt")
    run("w.pt", "--write-map", "map.json")
    assert run("w.pt", "--map", "map.json", "-o", "fit.pt").exit_code == 0
    fit = torch.load(folder / "fit.pt", weights_only=True)
    assert list(fit) == list(state)
    assert all(torch.equal(fit[name], tensor) for name, tensor in state.items())


def test_the_guess_goes_by_the_ending_first() -> None:
    ours = {"bn.weight": (4,), "bn.bias": (4,), "bn.running_mean": (4,)}
    theirs = {"n.running_mean": (4,), "n.bias": (4,), "n.gamma": (4,), "n.other": (5,)}
    assert guess_map(ours, theirs) == {
        "n.running_mean": "bn.running_mean", "n.bias": "bn.bias", "n.gamma": "bn.weight",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a b", "line 1 is not `theirs -> ours`"),
        ("fc.bias -> x\nfc.weight -> x", "two tensors would be called `x`"),
        ("nothing.bias -> x", "E203: `map.txt` renames `nothing.bias`, which is not in the file"),
        ("fc.bias -> fc.weight", "E204: `map.txt` calls a second tensor `fc.weight`"),
    ],
)
def test_maps_that_are_wrong(folder: Path, text: str, told: str) -> None:
    safetensors(folder / "w.safetensors", SHAPES)
    (folder / "map.txt").write_text(text)
    done = run("w.safetensors", "--map", "map.txt", "-o", "x.safetensors")
    assert done.exit_code == 1
    assert told in done.stderr
    assert not (folder / "x.safetensors").exists()


def test_json_maps_that_are_wrong(folder: Path) -> None:
    for text in ("[", "[1]", '{"a": 1}'):
        (folder / "map.json").write_text(text)
        with pytest.raises(CnncError, match="E701"):
            read_map(folder / "map.json")


def test_output_goes_with_a_map(folder: Path) -> None:
    safetensors(folder / "w.safetensors", SHAPES)
    assert run("w.safetensors", "-o", "x.safetensors").exit_code == 2
    (folder / "map.txt").write_text("fc.bias -> fc.weight2\n")
    done = run("w.safetensors", "--map", "map.txt", "-o", "x.pt")
    assert "E801: `w.safetensors` cannot be written as `x.pt`: the formats differ" in done.stderr


# --- files that are not what they seem ----------------------------------------------------


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("boom", "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused(folder: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch")
    if zipped:
        torch.save({"conv.weight": Bomb()}, folder / "w.pt")
    else:
        (folder / "w.pt").write_bytes(pickle.dumps({"conv.weight": Bomb()}))
    done = run("w.pt")
    assert done.exit_code == 1
    assert "E701" in done.stderr
    assert "refused" in done.stderr or not zipped
    assert not (folder / "boom").exists()


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 cut off", b"\x80\x02}q\x00."])
def test_pt_that_is_none(folder: Path, data: bytes) -> None:
    pytest.importorskip("torch")
    (folder / "w.pt").write_bytes(data)
    done = run("w.pt")
    assert done.exit_code == 1
    assert done.stderr.startswith("error E701: `w.pt` ")


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x01", struct.pack("<Q", 2**63), struct.pack("<Q", 50) + b"{}", struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{x",
        *(
            struct.pack("<Q", len(text)) + text
            for text in (
                json.dumps({"a": entry}).encode()
                for entry in (
                    1, {}, ENTRY | {"shape": ["x"]}, ENTRY | {"shape": [-1]}, ENTRY | {"data_offsets": [0, 4]},
                )
            )
        ),
    ],
)  # fmt: skip
def test_safetensors_that_are_none(folder: Path, data: bytes) -> None:
    (folder / "w.safetensors").write_bytes(data)
    done = run("w.safetensors")
    assert done.exit_code == 1
    assert done.stderr.startswith("error E701: `w.safetensors` cannot be read: ")


@pytest.mark.parametrize("name", ["none.safetensors", "none.pt"])
def test_a_file_that_is_not_there(name: str) -> None:
    if name.endswith("pt"):
        pytest.importorskip("torch")
    done = run(name)
    assert done.exit_code == 1
    assert done.stderr == f"error E701: `{name}` cannot be read: No such file or directory\n"


# --- what a wrapper puts before every name --------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "state.model."])
def test_a_common_prefix_is_seen_and_taken_off(folder: Path, prefix: str) -> None:
    safetensors(folder / "w.safetensors", {f"{prefix}{name}": shape for name, shape in SHAPES.items()})
    done = run("w.safetensors")
    assert done.exit_code == 1
    assert f"every name begins with `{prefix}`" in done.output
    assert f"--strip {prefix}\n" in done.output
    done = run("w.safetensors", "--strip", prefix, "-o", "plain.safetensors")
    assert done.exit_code == 0, done.output
    assert run("plain.safetensors").exit_code == 0


def test_names_of_a_module_in_stages_are_seen_and_mended(folder: Path) -> None:
    names = {f"stage{1 + i % 12}.{name}": shape for i, (name, shape) in enumerate(SHAPES.items())}
    safetensors(folder / "w.safetensors", names)
    assert "every name begins with `stage*.`, as a module in stages has them: try --strip 'stage*.'" in (
        run("w.safetensors").output
    )
    done = run("w.safetensors", "--strip", "stage*.", "-o", "plain.safetensors")
    assert done.exit_code == 0, done.output
    assert run("plain.safetensors").exit_code == 0


def test_a_prefix_that_no_name_has(folder: Path) -> None:
    safetensors(folder / "w.safetensors", SHAPES)
    done = run("w.safetensors", "--strip", "module.")
    assert done.exit_code == 1
    assert "E203: no tensor of `w.safetensors` begins with `module.`" in done.output
    assert "every name begins" not in run("w.safetensors").output
