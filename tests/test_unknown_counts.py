"""What nobody declares of an extern is unknown, and every command says that a count is at least so much."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.backends.configuration import markdown
from cnnc.cli.commands import cnnc as command
from cnnc.compiler.baseline import baseline

TEXT = """\
input 3x16x16
extern f = "a.b:C" (shape=same)
conv3-4 -> f -> conv3-8
"""
KNOWN = TEXT.replace("(shape=same)", "(shape=same, params=98, macs=7)")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.cnn").write_text(TEXT)
    return tmp_path


def run(*words: str) -> str:
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("check", "net.cnn"), "at least 408 parameters, at least 101,376 MACs"),
        (("summary", "net.cnn"), "at least 408 parameters"),
        (("summary", "net.cnn", "--md"), "at least 408 parameters"),
        (("compile", "net.cnn"), "at least 408 parameters, at least 101,376 MACs"),
        (("compile", "net.cnn", "-o", "-"), "at least 408 parameters, at least 101,376 multiply-adds"),
        (("diff", "net.cnn", "net.cnn"), "no difference"),
    ],
)
def test_at_least(folder: Path, words: tuple[str, ...], shown: str) -> None:
    assert shown in " ".join(run(*words).split())


def test_in_json(folder: Path) -> None:
    """The number stays one; beside it stands of which layers it lacks something."""
    (spec,) = json.loads(run("check", "net.cnn", "--format", "json").rpartition("}")[0] + "}")["specs"]
    assert spec["unknown"] == {"params": ["extern1"], "macs": ["extern1"]}
    assert json.loads(run("summary", "net.cnn", "--json"))["unknown"] == spec["unknown"]


def test_in_a_lock_and_a_table() -> None:
    net = cnnc.parse(TEXT)
    figures = baseline(net.graph).figures
    assert (figures["params"], figures["macs"]) == ("at least 408", "at least 101376")
    assert markdown([net.graph]).count("at least") == 2
    assert repr(net) == "<Net net: at least 408 parameters, at least 101,376 MACs>"


def test_what_is_declared_is_plain() -> None:
    net = cnnc.parse(KNOWN)
    assert baseline(net.graph).figures["params"] == 408 + 98
    assert repr(net) == "<Net net: 506 parameters, 101,383 MACs>"
    assert "at least" not in markdown([net.graph])
