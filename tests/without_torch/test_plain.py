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


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c))
def test_runs_without_torch(command: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_every_shipped_spec_holds(tmp_path: Path) -> None:
    import cnnc

    folder = os.path.join(os.path.dirname(cnnc.__file__), "specs")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, "check", folder],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
