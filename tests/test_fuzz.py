"""A few seconds of the fuzzer; CONTRIBUTING.md has the commands of the long runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzz import targets
from fuzz.corpus import mistakes, specs, specs_of_case
from fuzz.mutate import mutated
from fuzz.run import Report, run, tried

ROOT = Path(__file__).parent.parent
ALONE = [text for text in specs() if not re.search(r'^use .*"', text, re.MULTILINE)]
"""Specs that use no other file: the fuzzed text is in a folder without any."""


@pytest.mark.parametrize(("target", "inputs"), [("front", 3_000), ("whole", 600)])
def test_nothing_but_diagnostics(target: str, inputs: int) -> None:
    """No other exception, no hang; in a process of its own, whose memory is limited."""
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--target",
        target,
        "--inputs",
        str(inputs),
        "--seconds",
        "60",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, encoding="utf8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 findings" in done.stdout


@pytest.mark.parametrize("target", targets.TARGETS)
def test_seeds_go_through(target: str) -> None:
    """The corpus itself; with `front`, that the targets accept what is right."""
    report = Report()
    texts = (*specs(), *mistakes()) if target == "front" else ALONE[:30]
    assert [kind for text in texts if (kind := tried(target, text, report)) is not None] == []
    assert report.accepted > report.inputs / 4


def test_what_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An exception, a loop without end, and one kind told once however often it comes."""

    def broken(text: str) -> bool:
        if "conv" in text:
            raise KeyError(text)
        return True

    def endless(text: str) -> bool:
        while True:
            pass

    monkeypatch.setitem(targets.TARGETS, "broken", broken)
    monkeypatch.setitem(targets.TARGETS, "endless", endless)
    monkeypatch.setattr("fuzz.run.MAX_SECONDS", 0.05)
    report = run("broken", 50, save=tmp_path)
    assert 0 < report.accepted < 50
    assert [kind.split()[0] for kind in report.findings] == ["KeyError"]
    assert len(list(tmp_path.iterdir())) == 1
    assert "Hang" in str(tried("endless", "", Report()))


def test_runs_are_repeatable() -> None:
    first, again = Random(5), Random(5)
    texts = [mutated(first) for _ in range(50)]
    assert texts == [mutated(again) for _ in range(50)]
    assert len(set(texts)) > 45


def test_corpus() -> None:
    assert len(specs()) > 150
    assert len(mistakes()) > 200
    assert specs_of_case("$ cnnc check a.cnn\n---- a.cnn\nconv9\n---- b (link)\nx\n---- output\nno\n") == [
        "conv9\n"
    ]
