"""A project as CI meets it, through pre-commit's hooks, pytest and the action's steps, which must agree.

Specs in subfolders, a library in a folder above them, CRLF, marks of a merge, a lock that is written and found
from a subfolder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from precommit import PreCommit
from test_action import STEPS, git, step
from test_ci_page import hooks
from test_pytest_plugin import INSTALLED

from cnnc.cli.commands import cnnc
from cnnc.pytest_plugin import hold

pytestmark = pytest.mark.skipif(not STEPS.exists(), reason="not a checkout")

PARTS = "default conv(norm=bn)\nblock unit(w) = [conv3-w -> conv3-w + shortcut] -> relu\n"
PARTS_USER = 'input 3x32x32\nuse unit from "../../lib/parts.cnn"\n\nunit(16) -> unit(32) -> gap -> fc-10\n\nexpect params < 40K\n'
ALONE = "input 1x28x28\nconv5-8 -> pool -> fc-10\n"
MERGE = "<<<<<<< mine\nunit(16) -> unit(32)\n=======\nunit(16) -> unit(48)\n>>>>>>> theirs\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    for name, text in {
        "lib/parts.cnn": PARTS,
        "nets/vision/user.cnn": PARTS_USER.replace("\n", "\r\n"),
        "nets/digits/alone.cnn": ALONE,
        "test_nets.py": 'def test_networks(cnnc_check):\n    cnnc_check("nets", locked=True)\n',
        "pytest.ini": "[pytest]\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
    git(root, "init", "-q", "-b", "main")
    monkeypatch.chdir(root / "nets" / "vision")
    done = run("lock", "user.cnn", "../digits")
    assert done == (0, f"wrote {os.path.join('..', '..', 'cnnc.lock')} (2 networks: 2 new)\n")
    monkeypatch.chdir(root)
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


@pytest.fixture(scope="module")
def pre_commit(tmp_path_factory: pytest.TempPathFactory) -> PreCommit:
    return PreCommit.at(tmp_path_factory.mktemp("pre-commit"))


Hooks = Callable[[Path], str | None]
"""From a project to what its hooks print where one fails."""


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cnnc, words, prog_name="cnnc", catch_exceptions=False)
    return done.exit_code, done.output


def by_hooks(root: Path) -> str | None:
    """What pre-commit's hooks print where one of them fails: its commands, on all files that they ask for."""
    files = git(root, "ls-files").split()
    for name, extra in (("cnnc-fmt", []), ("cnnc-check", ["--locked"])):
        hook = hooks()[name]
        words = [*hook["entry"].split()[1:], *hook.get("args", "[]").strip("[]").split(", "), *extra]
        if hook.get("pass_filenames") != "false":
            words += [file for file in files if re.search(hook["files"], file)]
        code, told = run(*filter(None, words))
        if code:
            return told
    return None


def by_pytest(root: Path) -> str | None:
    """What the fixture tells where its test fails: `cnnc_check("nets", locked=True)`."""
    try:
        hold(["nets"], root=root, locked=True)
    except pytest.fail.Exception as failure:
        return str(failure.msg)
    return None


def by_action(root: Path) -> str | None:
    """What the action's check prints where it fails."""
    code, printed, _ = step("check", root, CNNC_LOCKED="true", GITHUB_WORKSPACE=str(root))
    return printed if code else None


def everywhere(root: Path, hooks: Hooks, *told: str) -> None:
    """All three fail, and each says this."""
    for printed in (hooks(root), by_pytest(root), by_action(root)):
        assert printed is not None
        for text in told:
            assert text in printed, printed


@pytest.mark.parametrize("through", ["the hooks' commands", "pre-commit"])
def test_a_project_through_all_that_ci_has(
    project: Path, through: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks: Hooks = by_hooks
    if through == "pre-commit":
        pre_commit: PreCommit = request.getfixturevalue("pre_commit")
        pre_commit.configure(project)
        hooks = pre_commit.run
    user, parts = project / "nets" / "vision" / "user.cnn", project / "lib" / "parts.cnn"
    assert hooks(project) is None
    plugin = () if INSTALLED else ("-p", "cnnc.pytest_plugin")
    words = [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout
    assert by_action(project) is None
    assert b"\r\n" in user.read_bytes() and git(project, "status", "--short", "-uno") == ""

    # A change in the library is a change of the network that uses it, told in the library.
    parts.write_text(PARTS.replace("-> conv3-w +", "-> conv5-w +"))
    everywhere(project, hooks, "lib/parts.cnn", "differs from its record in cnnc.lock", "conv2.weight")
    assert "::error file=lib/parts.cnn,line=2," in (by_action(project) or "")
    base = git(project, "rev-parse", "HEAD")
    _, _, summary = step("summary", project, CNNC_BASE=base)
    assert "### nets/vision/user.cnn" in summary and "alone" not in summary

    # The hint's command, from the folder of the spec, settles it.
    monkeypatch.chdir(user.parent)
    assert run("lock", "user.cnn")[0] == 0
    monkeypatch.chdir(project)
    assert hooks(project) is None and by_pytest(project) is None
    parts.write_text(PARTS)
    assert run("lock")[0] == 0 and git(project, "status", "--short", "-uno") == ""

    # Marks of a merge, in a spec and in the lock.
    user.write_bytes(user.read_bytes().replace(b"unit(16) -> unit(32)", MERGE.replace("\n", "\r\n").encode()))
    for printed, mark in (
        (hooks(project), "error E"),
        (by_pytest(project), "error E"),
        (by_action(project), "::error"),
    ):
        assert printed is not None and "this is a merge marker" in printed
        assert printed.count(mark) == 1, printed
    git(project, "checkout", "-q", ".")
    lock = project / "cnnc.lock"
    lock.write_text(
        lock.read_text().replace("version = 2\n", "version = 2\n<<<<<<< mine\n=======\n>>>>>>> theirs\n")
    )
    everywhere(project, hooks, "the lock contains merge markers")


def test_a_layout_that_crlf_hides(project: Path) -> None:
    """`fmt` mends the layout and leaves the line ends; `--check` names the file and what differs."""
    user = project / "nets" / "vision" / "user.cnn"
    user.write_bytes(user.read_bytes().replace(b"gap -> fc-10", b"gap->fc-10"))
    code, told = run("fmt", "--check", "nets")
    assert code == 1 and "user.cnn" in told
    run("fmt", "nets")
    assert user.read_bytes() == PARTS_USER.replace("\n", "\r\n").encode()


def test_the_layout_hook_mends_and_fails(project: Path, pre_commit: PreCommit) -> None:
    user = project / "nets" / "vision" / "user.cnn"
    pre_commit.configure(project)
    user.write_bytes(user.read_bytes().replace(b"gap -> fc-10", b"gap->fc-10"))
    assert "files were modified by this hook" in (pre_commit.run(project) or "")
    assert user.read_bytes() == PARTS_USER.replace("\n", "\r\n").encode()
    assert pre_commit.run(project) is None
