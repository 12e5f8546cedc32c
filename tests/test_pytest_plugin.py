"""The pytest plugin: a project's tests that hold its specs to what they claim."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnnc.cli.commands import cnnc

pytest_plugins = ["pytester"]

GOOD = "input 3x8x8\nconv3-8 -> pool -> fc-2\nexpect params == 482\n"
FALSE = GOOD.replace("482", "500")
WARNS = "input 3x8x8\nparam width = 4\nconv3-8 -> fc-2\n"

# An installed cnnc brings the plugin by itself; one that was installed before it had the plugin does not.
INSTALLED = any(point.value == "cnnc.pytest_plugin" for point in entry_points(group="pytest11"))


def run(pytester: pytest.Pytester, *words: str) -> pytest.RunResult:
    plugin = () if INSTALLED else ("-p", "cnnc.pytest_plugin")
    return pytester.runpytest_subprocess(*plugin, "-p", "no:cacheprovider", *words)


@pytest.fixture(autouse=True, scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The modules that a lock imports: pytester forgets what is imported while it is in use, and two copies would meet."""
    path = tmp_path_factory.mktemp("lock") / "cnnc.lock"
    assert CliRunner().invoke(cnnc, ["lock", "zoo:lenet5", "--lock", str(path)]).exit_code == 0


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    """A project with two networks, a library, and the test of two lines that docs/ci.md shows."""
    (pytester.path / "nets").mkdir()
    (pytester.path / "nets" / "good.cnn").write_text(GOOD)
    (pytester.path / "nets" / "lib.cnn").write_text("block a(w) = conv3-w -> pool\n")
    pytester.makepyfile('def test_networks(cnnc_check):\n    cnnc_check("nets/")\n')
    return pytester.path


def test_two_lines_are_a_test(pytester: pytest.Pytester, project: Path) -> None:
    run(pytester).assert_outcomes(passed=1)


def test_a_failure_shows_what_check_shows(pytester: pytest.Pytester, project: Path) -> None:
    (project / "nets" / "false.cnn").write_text(FALSE)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        "nets/false.cnn:3:8: error E601: `params == 500` does not hold: it is 482, 18 less than the 500 claimed",
        "    expect params == 500",
        "           ^^^^^^^^^^^^^",
        "3 specs, 1 of 2 claims hold, 1 error",
    ])  # fmt: skip
    assert "pytest_plugin.py" not in result.stdout.str()  # no traceback into the plugin


def test_paths_are_from_the_root_folder(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "sub").mkdir()
    monkeypatch.chdir(project / "sub")
    run(pytester, str(project)).assert_outcomes(passed=1)


@pytest.mark.parametrize(("call", "outcome"), [
    ('cnnc_check("nets/warns.cnn")', "passed"),
    ('cnnc_check("nets/warns.cnn", strict=True)', "failed"),
    ('cnnc_check("nets/good.cnn", "zoo:lenet5")', "passed"),
    ('cnnc_check("nets/missing.cnn")', "failed"),
    ('cnnc_check("empty")', "failed"),
    ("cnnc_check()", "failed"),
    ('cnnc_check("nets/good.cnn", locked=True)', "failed"),
])  # fmt: skip
def test_calls(pytester: pytest.Pytester, project: Path, call: str, outcome: str) -> None:
    (project / "nets" / "warns.cnn").write_text(WARNS)
    (project / "empty").mkdir()
    pytester.makepyfile(f"def test_networks(cnnc_check):\n    {call}\n")
    run(pytester).assert_outcomes(**{outcome: 1})


@pytest.mark.parametrize("call", ['cnnc_check("nets", locked=True)', 'cnnc_check(locked="cnnc.lock")'])
def test_locked(pytester: pytest.Pytester, project: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert CliRunner().invoke(cnnc, ["lock", "nets"]).exit_code == 0
    pytester.makepyfile(f"def test_networks(cnnc_check):\n    {call}\n")
    run(pytester).assert_outcomes(passed=1)
    (project / "nets" / "good.cnn").write_text(GOOD.replace("conv3-8", "conv3-9").replace("482", "542"))
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["    params: 482 -> 542 (+60)"])


def test_every_spec_is_a_test_with_the_option(pytester: pytest.Pytester, project: Path) -> None:
    (project / "nets" / "false.cnn").write_text(FALSE)
    result = run(pytester, "--cnnc", "nets")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*nets/false.cnn:3:8: error E601: *", "FAILED nets/false.cnn::check*"])


def test_specs_are_left_alone_without_the_option(pytester: pytest.Pytester, project: Path) -> None:
    (project / "nets" / "false.cnn").write_text(FALSE)
    run(pytester, "nets").assert_outcomes()


def test_the_plugin_costs_little() -> None:
    """It is imported by every run of pytest beside an installed cnnc: what it needs comes when it is used."""

    program = "import pytest, sys; before = set(sys.modules); import cnnc.pytest_plugin; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"cnnc", "cnnc.pytest_plugin"}
