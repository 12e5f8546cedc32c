"""Every mistake has its message: the cases in tests/cases/errors, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from casefile import Case, cases_in, strangers_in
from stopwatch import slowness, stopwatch

from cnnc.dsl.diagnostics import CODES

FOLDER = Path(__file__).parent / "cases" / "errors"
CASES = cases_in(FOLDER)
MAX_SECONDS = 10.0
"""Of processor time; no case may take longer: what is wrong, a runaway spec included, is refused at once.
The slowest needs about a second."""
ELSEWHERE = {
    "E805": "tests/test_import.py: it speaks of a module, not of a spec",
    "E803": "a function that the simulation lacks; tests/test_memory.py holds that no layer needs one",
    "E603": "test_lock: the lock is of a network that was another",
    "E604": "test_lock: the lock is damaged, or of other specs",
    "N702": "test_weights: a file of weights is needed",
}
"""Codes that no case shows."""


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update_golden: bool) -> None:
    monkeypatch.chdir(tmp_path)
    case = Case.read(path)
    with stopwatch() as watch:
        output = case.run(tmp_path)
    assert watch.seconds < MAX_SECONDS * slowness()
    if update_golden:
        case.rewrite(output)
    expected = Case.read(path).output
    if output != expected:
        pytest.fail(differs(path, expected, output), pytrace=False)


def differs(path: Path, expected: str, output: str) -> str:
    """Both texts whole, and how to renew the case."""
    return (
        f"{path.name} expects\n\n{expected}\nand cnnc prints\n\n{output}\n"
        f"Where the new text is right: python -m pytest tests/test_errors.py -k {path.stem} --update-golden"
    )


def test_no_message_shows_the_program() -> None:
    """No Python in a message: no traceback, no repr, no path of this machine."""
    for path in CASES:
        output = Case.read(path).output
        assert not re.search(r"Traceback|Error\(|<cnnc|object at|\bFraction\b|/tmp|/home|None", output), (
            path.name
        )


def test_every_code_has_a_case() -> None:
    text = "".join(Case.read(path).output for path in CASES)
    shown = set(re.findall(r"\b(?:error|warning|note) ([EWN]\d{3})\b", text))
    assert set(CODES) - shown == ELSEWHERE.keys()


def test_every_error_stands_on_a_line_of_its_own_form() -> None:
    """`place: error E123: message`, and after it only indented lines."""
    for path in CASES:
        for line in Case.read(path).output.splitlines():
            if re.search(r"\b(error|warning) [EW]\d", line) and not line.startswith(" "):
                assert re.match(r"(\S+:\d+:\d+: )?(error|warning) [EW]\d{3}: \S", line), (path.name, line)


def test_only_cases_lie_in_the_folder() -> None:
    assert strangers_in(FOLDER) == []
    assert len(CASES) >= 80
