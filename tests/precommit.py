"""pre-commit itself with this repository's hooks, which it installs into an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_action import ROOT, git

PACKAGE = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", ".pre-commit-hooks.yaml")
CONFIG = """\
fail_fast: true
repos:
  - repo: {hooks}
    rev: {rev}
    hooks:
      - id: cnnc-fmt
      - id: cnnc-check
        args: [., --locked]
"""


@dataclass(frozen=True, slots=True)
class PreCommit:
    """The repository of the hooks, a copy of this one, and where pre-commit keeps its environments."""

    hooks: Path
    home: Path

    @classmethod
    def at(cls, folder: Path) -> PreCommit:
        pytest.importorskip("pre_commit", reason="pre-commit is not installed")
        hooks = folder / "hooks"
        shutil.copytree(ROOT / "cnnc", hooks / "cnnc", ignore=shutil.ignore_patterns("__pycache__"))
        for name in PACKAGE:
            shutil.copy(ROOT / name, hooks / name)
        git(hooks, "init", "-q", "-b", "main")
        git(hooks, "add", ".")
        git(hooks, "commit", "-q", "-m", "hooks")
        return cls(hooks, folder / "home")

    def configure(self, project: Path) -> None:
        """The configuration of docs/ci.md, committed."""
        config = project / ".pre-commit-config.yaml"
        config.write_text(CONFIG.format(hooks=self.hooks, rev=git(self.hooks, "rev-parse", "HEAD")))
        git(project, "add", config.name)
        git(project, "commit", "-q", "-m", "hooks")

    def run(self, project: Path) -> str | None:
        """What `pre-commit run --all-files` prints where it fails."""
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= {
            "PRE_COMMIT_HOME": str(self.home), "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_RETRIES": "1", "PIP_TIMEOUT": "15", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }  # fmt: skip
        words = [sys.executable, "-m", "pre_commit", "run", "--all-files", "--color", "never"]
        done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
        printed = done.stdout + done.stderr
        if done.returncode == 3 and "(from versions: none)" in printed:
            pytest.skip("pip reaches no package index, from which pre-commit installs the hooks")
        assert done.returncode in (0, 1), printed
        return printed if done.returncode else None
