"""Pytest: a project's specs held to what they claim, beside its other tests.

In a test, with the fixture (paths are from pytest's root folder, or `zoo:NAME`):

    def test_networks(cnnc_check):
        cnnc_check("nets/", locked=True)

or without one: `pytest --cnnc` makes a test of every .cnn file it comes by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cnnc.cli.verdict import Verdict


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cnnc")
    group.addoption("--cnnc", action="store_true", help="make a test of every .cnn file")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".cnn" and parent.config.getoption("--cnnc"):
        file: SpecFile = SpecFile.from_parent(parent, path=file_path)
        return file
    return None


class SpecFile(pytest.File):
    """A .cnn file."""

    def collect(self) -> Iterable[pytest.Item]:
        return [SpecItem.from_parent(self, name="check")]


class SpecItem(pytest.Item):
    """The check of one .cnn file: every error and failed expectation fails it."""

    def runtest(self) -> None:
        hold([self.path], root=self.config.invocation_params.dir)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"cnnc check {self.path.name}"


@pytest.fixture
def cnnc_check(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`cnnc_check(*specs, strict=False, locked=False)` fails the test with what `cnnc check` would tell.

    A folder stands for all .cnn files in it. `strict` counts warnings as errors; `locked` holds the
    networks to their `cnnc.lock` too, that of pytest's root folder or of one between, or to the file it names.
    """
    root = request.config.rootpath

    def check(*specs: str | Path, strict: bool = False, locked: bool | str = False) -> None:
        __tracebackhide__ = True
        hold(specs, root=root, strict=strict, locked=locked)

    return check


def hold(
    specs: Sequence[str | Path], *, root: Path, strict: bool = False, locked: bool | str = False
) -> None:
    """Fail the running test where a spec is wrong; paths are taken, and shown, from `root`."""
    from cnnc.cli.check_run import Options, verdicts_on
    from cnnc.cli.common import found_specs, named_folders
    from cnnc.cli.lock import read_lock
    from cnnc.cli.project import lock_path
    from cnnc.dsl.diagnostics import CnncError
    from cnnc.given import ZOO

    __tracebackhide__ = True
    paths = [str(spec) if str(spec).startswith(ZOO) else str(root / spec) for spec in specs]
    try:
        lock = lock_path(paths, root) if locked is True else str(root / locked) if locked else None
        held_to = read_lock(lock) if lock is not None else None
        if not paths:
            if held_to is None:
                raise ValueError("cnnc_check: name the specs, or a lock that has them")
            paths = held_to.paths
        homes = named_folders(paths if specs else [str(root)])
        # In this process alone: a test run may have threads, and forks do not go with them.
        verdicts = list(verdicts_on(found_specs(paths), Options(strict=strict, jobs=1, homes=homes), held_to))
    except CnncError as error:
        pytest.fail(str(error), pytrace=False)
    if any(verdict.fails(strict=strict) for verdict in verdicts):
        pytest.fail(_told(verdicts, root), pytrace=False)


def _told(verdicts: Sequence[Verdict], root: Path) -> str:
    """Every finding, as `cnnc check` prints it from the folder `root`."""
    from cnnc.cli.verdict import total_line

    findings = [finding.render() for verdict in verdicts for finding in verdict.findings]
    return "\n".join([*findings, total_line(verdicts)]).replace(f"{root}/", "")
