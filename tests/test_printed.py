"""What a command prints is read as bytes, whatever files, tensors and options are called.

Every command and format runs on names that try to end a line, ring, colour, turn text around or speak to GitHub.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from cnnc.cli import commands, out

NAMES = (
    "a\n::error::OK\x1b[31m\x07.cnn",
    "b\r::set-output name=x::y\u202e\x9b2J\x7f.cnn",
    "c\u2028\u2029\x00d.cnn".replace("\x00", "\x08"),
)
SPEC = "input 3x8x8\nparam w = 4\nc: conv3-{w} -> gap -> fc-2\nexpect params > 1\n"

COMMANDS = [
    ["check"], ["check", "-v"], ["check", "."], ["check", "--locked", "--lock", "my.lock"], ["check", "-j2", "."],
    *(["check", f"--format={name}"] for name in ("json", "github", "junit", "sarif")),
    ["lock"], ["lock", "."], ["summary"], *(["summary", f"--{name}"] for name in ("json", "csv", "md", "latex", "all")),
    ["summary", "--count", "thop"], ["diff", "zoo:lenet5"], ["diff", "--json", "zoo:lenet5"], ["diff", "--format=github-summary", "zoo:lenet5"],
    ["expand"], ["expand", "-o", "-"], ["fold"], ["compile"], ["compile", "-o", "-"], ["compile", "--for", "inference"],
    ["fmt", "--check"], ["fmt", "--diff"], ["fmt"], ["report"],
    *(["compile", "-o", "-", "--to", name] for name in ("dot", "json", "core")),
    *(["draw", "-o", f"net.{name}"] for name in ("dot", "mmd")), ["draw", "--style", "volumes", "-o", "v.svg"],
    *(["draw", "--style", "table", "-o", f"t.{name}"] for name in ("md", "tex", "svg")), ["draw", "--rf", "c", "-o", "rf.svg"],
    *(["plan", *more] for more in ([], ["--json"], ["--train", "sgd"], ["--card", "a100"], ["-o", "plan.svg"])),
    ["split", "--stages", "2"], ["split", "--stages", "2", "--json"], ["report", "-o", "r.html"],
    *(["solve", "--vary", "w=1..4", "--where", "params < 1K", *more] for more in ([], ["--json"], ["-o", "s.cnn"])),
    *(["solve", "--sweep", "w=1..4:2", *more] for more in ([], ["--csv"])), ["solve", "--where", "blorp > 3"],
    ["check", "--input", "3x9x9"], ["check", "-D", "v=3"], ["check", "-D", "w=\x1b"], ["expand", "-o", "none/x"],
    ["verify", "--batch", "0"], ["nothing"], ["check", "--\x1b[1m\n::error::OK"],
]  # fmt: skip


def printed(*words: str) -> bytes:
    """All that the command line prints, on both streams, as bytes."""
    raw = io.BytesIO()
    kept = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = out.Gate(io.TextIOWrapper(raw, encoding="utf8", write_through=True))
    try:
        commands.cnnc(list(words), prog_name="cnnc")
    except SystemExit:
        pass
    finally:
        sys.stdout.flush()
        gate, (sys.stdout, sys.stderr) = sys.stdout, kept
    shown = raw.getvalue()
    gate.detach()
    return shown


def harmless(shown: bytes) -> None:
    text = shown.decode("utf8")
    for line in text.split("\n"):
        assert all(ch == "\t" or ch.isprintable() for ch in line), line
        assert not re.match(r"::(error|set-output)(::OK| name=x)", line), line


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_name_speaks_for_the_program(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (
        SPEC,
        SPEC.replace("> 1", "< 1"),
        f"{SPEC}conv-blorp -> x\n",
        f"# b\u00e9\n{SPEC.replace(' -> ', '->')}",
    ):
        for words in COMMANDS:
            (tmp_path / name).write_text(text)
            command, *rest = words
            spec = [] if "." in rest else [name]
            shown = printed(command, *spec, *rest)
            harmless(shown)
            assert b"Usage:" not in shown or command in ("nothing", "verify") or "--\x1b" in rest[0], (
                words,
                shown,
            )
    for path in tmp_path.iterdir():
        if path.name != name:
            assert path.name.isprintable()
            harmless(path.read_bytes())
    harmless(printed("check", f"{name}.gone", "no\n::error::OK"))
    for command in ("ops", "schema", "zoo", "lsp"):
        harmless(printed(command, name))
        harmless(printed(command, f"--{name}"))
    for gone in (["live", f"{name}.gone"], ["live", "--port", name], ["live", "--export", name, "no.cnn"]):
        harmless(printed(*gone))
    for target in (f"{name}:f", f"{name}.pt2", name):
        harmless(printed("import", target))


def test_tensors_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.cnn").write_text(SPEC)
    for ending in ("pt", "safetensors"):
        tensors = {name: torch.zeros(2) for name in NAMES}
        if ending == "pt":
            torch.save(tensors, tmp_path / "w.pt")
        else:
            pytest.importorskip("safetensors.torch").save_file(tensors, tmp_path / "w.safetensors")
        for more in ([], ["--json"], ["--strip", "a\n"], ["--strip", "\x1b"], ["--guess", "map.json"]):
            shown = printed("weights", "a.cnn", f"w.{ending}", *more)
            harmless(shown)
            assert more or b"extra" in shown


def test_times_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        (tmp_path / name).write_text(SPEC)
        for more in ([], ["--device", name], ["--versus", name], ["--json"])[: 4 if name == NAMES[0] else 1]:
            harmless(printed("bench", name, "--batch", "1", "--seconds", "0", *more))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf8"])
def test_a_gate_writes_what_its_encoding_has_no_place_for(encoding: str) -> None:
    raw = io.BytesIO()
    gate = out.Gate(io.TextIOWrapper(raw, encoding=encoding))
    gate.write("é ≥ \x1b[1m中\x07\n\tx")
    gate.flush()
    text = raw.getvalue().decode("utf8" if encoding == "ascii" else encoding)
    assert text.startswith("é" if encoding != "ascii" else "\\xe9")
    assert text.endswith("\n\tx")
    assert not set(text) & {"\x1b", "\x07"}


def test_what_the_program_itself_tells_a_terminal_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    gate = out.Gate(io.TextIOWrapper(raw, encoding="utf8"))
    assert out.control("[1m", gate) == ""
    monkeypatch.setattr(gate, "isatty", lambda: True, raising=False)
    gate.write(
        f"{out.control('[31m[1m', gate)}x\x1b[1m{out.control('[0m', gate)}{out.control(chr(13) + '[K', gate)}"
    )
    gate.flush()
    assert raw.getvalue().decode() == "\x1b[31m\x1b[1mx·[1m\x1b[0m\r\x1b[K"


def test_every_command_and_what_it_prints_is_tried() -> None:
    tried = {words[0] for words in COMMANDS}
    elsewhere = {"bench", "import", "live", "lsp", "ops", "schema", "weights", "zoo"}
    assert set(commands.COMMANDS) - tried == elsewhere  # each in a test of its own here
