"""The everyday commands neither need nor import torch. Run with and without torch installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = """
import sys
sys.modules["torch"] = None  # any import of it fails
from cnnc.cli import main
try:
    main()
finally:
    loaded = [m for m in sys.modules if m == "torch" or m.startswith("torch.")]
    assert loaded == ["torch"], loaded
"""

COMMANDS = [
    ("check", "zoo:vgg16"),
    ("summary", "zoo:resnet50"),
    ("summary", "zoo:resnet50", "--json"),
    ("compile", "zoo:googlenet", "-o", "out.py"),
    ("expand", "zoo:lenet5"),
    ("draw", "zoo:resnet50", "-o", "out.dot"),
    ("report", "zoo:resnet50", "-o", "out.html"),
]


def run(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code and what went to standard error; in this process where there are no others (Pyodide)."""
    if sys.platform != "emscripten":
        command = [sys.executable, "-c", BLOCKED, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr
    from click.testing import CliRunner

    from cnnc.cli.commands import cnnc

    os.chdir(folder)
    result = CliRunner().invoke(cnnc, words)
    assert not any(name == "torch" or name.startswith("torch.") for name in sys.modules)
    return result.exit_code, result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c))
def test_runs_without_torch(command: tuple[str, ...], tmp_path: Path) -> None:
    code, told = run(tmp_path, *command)
    assert code == 0, told
    assert "Traceback" not in told


def test_every_shipped_spec_holds(tmp_path: Path) -> None:
    import cnnc

    folder = os.path.join(os.path.dirname(cnnc.__file__), "specs")
    code, told = run(tmp_path, "check", folder, *(["-j", "1"] if sys.platform == "emscripten" else []))
    assert code == 0, told
