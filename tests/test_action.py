"""The GitHub Action's steps, run in a repository of their own as the service would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STEPS = ROOT / ".github" / "action"
NET = "input 3x32x32\n[[conv3-32]*2 -> pool]*3 -> fc-10\n\nexpect params < 60K\n"
LIBRARY = "default conv(norm=bn)\nblock unit(w) = [conv3-w -> conv3-w + shortcut] -> relu\n"
USER = 'input 3x32x32\nuse unit from "parts.cnn"\n\nunit(16) -> gap -> fc-10\n'

pytestmark = pytest.mark.skipif(not STEPS.exists(), reason="not a checkout")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two networks and a library, committed."""
    git(tmp_path, "init", "-q", "-b", "main")
    for name, text in {"small.cnn": NET, "nets/parts.cnn": LIBRARY, "nets/user.cnn": USER}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def step(name: str, folder: Path, **variables: str) -> tuple[int, str, str]:
    """A step's exit code, what it prints, and what it wrote into the step's summary."""
    summary = folder / ".git" / "summary.md"
    summary.unlink(missing_ok=True)
    tools = folder / ".git" / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "cnnc").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cnnc "$@"\n')
    (tools / "cnnc").chmod(0o755)
    environment = {
        **os.environ, **variables,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary),
    }  # fmt: skip
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run([str(STEPS / name)], cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr, summary.read_text() if summary.exists() else ""


def test_what_is_well_passes(repository: Path) -> None:
    code, printed, _ = step("check", repository)
    assert code == 0, printed
    assert "::error" not in printed


def test_a_failed_claim_is_an_annotation(repository: Path) -> None:
    (repository / "small.cnn").write_text(NET.replace("60K", "6K"))
    code, printed, _ = step("check", repository)
    assert code == 1
    assert "::error file=small.cnn,line=4" in printed


def test_a_layout_that_is_not_canonical_fails(repository: Path) -> None:
    (repository / "small.cnn").write_text(NET.replace("->", "  ->"))
    assert step("check", repository)[0] == 1


def test_the_summary_of_a_pull_request(repository: Path) -> None:
    """A changed network, one that changes by its library, a new and a removed one."""
    base = git(repository, "rev-parse", "HEAD")
    (repository / "small.cnn").write_text(NET.replace("conv3-32", "conv3-24"))
    (repository / "nets" / "parts.cnn").write_text(LIBRARY.replace("norm=bn", "norm=gn(4)"))
    (repository / "new.cnn").write_text(NET)
    git(repository, "add", ".")
    code, printed, summary = step("summary", repository, CNNC_BASE=base)
    assert code == 0, printed
    assert "### small.cnn" in summary
    assert "| parameters | 52,266 | " in summary
    assert "### nets/user.cnn" in summary
    assert "bn" in summary
    assert "### new.cnn\n\nNew." in summary
    assert git(repository, "worktree", "list").count("\n") == 0  # the base's tree is gone again


def test_nothing_changed(repository: Path) -> None:
    code, printed, summary = step("summary", repository, CNNC_BASE=git(repository, "rev-parse", "HEAD"))
    assert (code, summary) == (0, "No network changes.\n"), printed


def test_the_steps_of_the_action_are_these() -> None:
    text = (ROOT / "action.yml").read_text()
    for path in STEPS.iterdir():
        assert f"/.github/action/{path.name}\n" in text
        assert os.access(path, os.X_OK)
