"""`cnnc check`: what it prints in each format, whatever the number of processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest
from click.testing import CliRunner, Result
from lxml import etree

from cnnc.cli.commands import cnnc
from cnnc.cli.parallel import in_order
from cnnc.dsl.diagnostics import CnncError

DATA = Path(__file__).parent / "data"

GOOD = "input 3x8x8\nconv3-8 -> pool -> fc-2\nexpect params == 482\nexpect macs < 20K\n"
FALSE = "input 3x8x8\nconv3-8 -> pool -> fc-2\nexpect params == 500\n"
WARNS = "input 3x8x8\nparam width = 4\nconv3-8 -> fc-2\n"
BROKEN = "input 3x8x8\nconv3-8 -> blorp\nconv3-4 -> blurp\n"
LIBRARY = "block a(w) = conv3-w -> pool\n"
# What the formats must escape: a line of many signs; and a warning over two lines.
SIGNS = "input 3x8x8\nconv3-8(act=100%,a:b) # \x07 é 🙂\n"
LINES = "input 3x8x8\n[ conv3-4\n| conv4-4(pad=(1,2)) ]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    for name, text in {
        "good": GOOD, "false": FALSE, "warns": WARNS, "broken": BROKEN, "library": LIBRARY, "signs": SIGNS,
        "lines": LINES, "with space, comma: 100%3A": FALSE,
    }.items():  # fmt: skip
        (tmp_path / f"{name}.cnn").write_text(text, encoding="utf8")
    return tmp_path


def run(*words: str, stdin: str = "") -> Result:
    runner = CliRunner(env={"NO_COLOR": "1"})
    return runner.invoke(cnnc, ["check", *words], input=stdin, prog_name="cnnc", catch_exceptions=False)


# --- what is checked ------------------------------------------------------------------


def test_every_error_of_every_file_is_told_in_one_run() -> None:
    done = run("good.cnn", "false.cnn", "broken.cnn", "missing.cnn")
    told = [line.split(": ")[0] for line in done.stderr.splitlines() if " E" in line]
    assert told == ["false.cnn:3:8", "broken.cnn:2:12", "broken.cnn:3:12", "error E701"]
    assert done.stderr.splitlines()[-1] == "4 specs, 2 of 3 claims hold, 4 errors"
    assert done.exit_code == 1


def test_a_folder_without_a_spec_does_not_hide_the_rest(folder: Path) -> None:
    (folder / "empty").mkdir()
    done = run("empty", "false.cnn")
    assert "error E701: there is no .cnn file in `empty`" in done.stderr
    assert "false.cnn:3:8: error E601" in done.stderr


def test_hidden_folders_and_virtual_environments_are_passed_over(folder: Path) -> None:
    for name in ("nets", ".git", "env", "nets/.cache"):
        (folder / name).mkdir()
        (folder / name / "a.cnn").write_text(GOOD)
    (folder / "env" / "pyvenv.cfg").write_text("")
    found = json.loads(run(".", "--format", "json").stdout)["specs"]
    assert [s["spec"] for s in found if s["spec"].endswith("a.cnn")] == ["nets/a.cnn"]
    assert json.loads(run("env", "--format", "json").stdout)["totals"]["specs"] == 1


def test_a_spec_named_twice_is_checked_once(folder: Path) -> None:
    (folder / "link.cnn").symlink_to("good.cnn")
    assert (
        json.loads(run("good.cnn", "./good.cnn", "link.cnn", "--format", "json").stdout)["totals"]["specs"]
        == 1
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("good.cnn",), 0),
        (("good.cnn", "library.cnn"), 0),
        (("warns.cnn",), 0),
        (("warns.cnn", "--strict"), 1),
        (("false.cnn",), 1),
        (("broken.cnn",), 1),
        (("missing.cnn",), 1),
        ((), 2),
        (("good.cnn", "--format", "xml"), 2),
        (("good.cnn", "--jobs", "0"), 2),
        (("good.cnn", "-o", "out.txt"), 2),
        (("-", "--watch"), 2),
    ],
)
@pytest.mark.parametrize("traceback", ["", "1"])
def test_exit_codes(
    words: tuple[str, ...], code: int, traceback: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNNC_TRACEBACK", traceback)  # what users have, and what the other tests have
    assert run(*words).exit_code == code


def test_margins_of_the_claims_that_hold() -> None:
    assert run("good.cnn", "-v").stdout.splitlines() == [
        "good.cnn: ok: 482 parameters, 14,080 MACs, output 2, 2 of 2 claims hold",
        "  holds: params == 482",
        "  holds: macs < 20K  (it is 14,080, 5,920 less)",
    ]


def test_sizes_and_params_are_replaced() -> None:
    spec = "input 3x8x8\nparam w = 4\nconv3-w -> gap -> fc-2\n"
    told = run("-", "--input", "3x16x16", "-D", "w=8", stdin=spec).stdout
    assert told == "-: ok: 242 parameters, 55,312 MACs, output 2\n"  # 8*(27+1) + 2*(8+1); 256*216 + 16


# --- processes ------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["text", "json", "github", "junit", "sarif"])
def test_processes_change_no_byte(format: str, folder: Path) -> None:
    for i in range(6):
        (folder / f"net{i}.cnn").write_text(FALSE.replace("8", str(8 + i)))
    one, two = (run(".", "-v", "--format", format, "-j", jobs) for jobs in ("1", "2"))
    assert (one.stdout, one.stderr, one.exit_code) == (two.stdout, two.stderr, two.exit_code)


def test_processes_are_used_where_asked_and_in_order() -> None:
    pids = list(in_order(_pid, [str(i) for i in range(8)], 2))
    assert [spec for spec, _ in pids] == [str(i) for i in range(8)]
    assert os.getpid() not in {pid for _, pid in pids}


def test_little_work_is_done_here() -> None:
    assert {pid for _, pid in in_order(_pid, [str(i) for i in range(8)])} == {os.getpid()}


def _pid(spec: str) -> tuple[str, int]:
    return spec, os.getpid()


def test_no_worker_outlives_a_killed_parent(folder: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from cnnc.cli.parallel import in_order\n"
        "def job(spec):\n"
        "    os.write(1, b'%d\\n' % os.getpid())\n"  # in one piece, beside the other's
        "    time.sleep(60)\n"
        "list(in_order(job, ['a', 'b', 'c'], 2))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
        # The pipe ends when the last that holds it has gone.
        assert parent.communicate(timeout=20) == ("", None)
    assert len(set(workers)) == 2


def test_processes_leave_quietly(folder: Path) -> None:
    """Python's exit has its own word with pools that were not waited for."""
    words = ["check", "good.cnn", "library.cnn", "false.cnn", "-j", "2"]
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-m", "cnnc", *words], capture_output=True, text=True, check=False
        )
        assert done.stderr.splitlines()[-1] == "3 specs, 2 of 3 claims hold, 1 error"
        assert done.stderr.count("\n") == 4


def test_a_worker_that_is_killed_is_told() -> None:
    with pytest.raises(
        CnncError, match=r"^error E901: a worker process was killed, most likely out of memory"
    ):
        list(in_order(_die, ["a", "b"], 2))


def _die(spec: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# --- JSON -----------------------------------------------------------------------------


def test_json_tells_all() -> None:
    done = run("good.cnn", "false.cnn", "library.cnn", "--format", "json")
    record = json.loads(done.stdout)
    assert record["totals"] == {"specs": 3, "claims": 3, "held": 2, "errors": 1, "warnings": 0}
    assert record["ok"] is False
    good, false, library = record["specs"]
    assert good == {
        "spec": "good.cnn", "ok": True, "model": "good", "params": 482, "macs": 14080, "outputs": {"output": [2]},
        "claims": [
            {"text": "params == 482", "holds": True, "margin": None, "line": 3},
            {"text": "macs < 20K", "holds": True, "margin": "it is 14,080, 5,920 less", "line": 4},
        ],
        "findings": [],
    }  # fmt: skip
    assert false["findings"] == [{
        "code": "E601", "severity": "error", "details": [], "trace": [], "hint": None, "file": "false.cnn",
        "message": "`params == 500` does not hold: it is 482, 18 less than the 500 claimed",
        "line": 3, "column": 8, "end_line": 3, "end_column": 21,
    }]  # fmt: skip
    assert library["library"] == 1
    assert done.stderr == "3 specs, 2 of 3 claims hold, 1 error\n"


def test_json_of_free_sizes() -> None:
    record = json.loads(run("-", "--format", "json", stdin="input 3xHxW\nconv3-8 -> pool\n").stdout)
    assert record["specs"][0]["macs"] == "216*H*W"
    assert record["specs"][0]["outputs"] == {"output": [8, "H//2", "W//2"]}


def test_a_document_goes_to_a_file_whole(folder: Path) -> None:
    done = run("false.cnn", "--format", "json", "-o", "out.json")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert json.loads((folder / "out.json").read_text())["totals"]["errors"] == 1


# --- GitHub ---------------------------------------------------------------------------


def annotations(text: str) -> list[tuple[str, dict[str, str], str]]:
    """The workflow commands of an output: command, properties and message, as GitHub's runner reads them.

    Its rules (actions/runner, ActionCommand.cs): a command is a line `::name k=v,k=v::data`; the properties
    are split at commas, and each value and the data are unescaped, `%25` last.
    """
    found = []
    for line in text.splitlines():
        assert line.startswith("::")
        head, _, data = line[2:].partition("::")
        name, _, properties = head.partition(" ")
        pairs = dict(pair.split("=", 1) for pair in properties.split(","))
        values = {key: unescaped(value, "%0D", "%0A", "%3A", "%2C", "%25") for key, value in pairs.items()}
        found.append((name, values, unescaped(data, "%0D", "%0A", "%25")))
    return found


def unescaped(text: str, *codes: str) -> str:
    for code in codes:
        text = text.replace(code, unquote(code))
    return text


def test_github_annotates_the_line() -> None:
    done = run("false.cnn", "good.cnn", "--format", "github")
    assert done.stdout == (
        "::error file=false.cnn,line=3,endLine=3,col=8,endColumn=21,"
        "title=E601%3A an expectation that does not hold"
        "::false.cnn:3:8: `params == 500` does not hold: it is 482, 18 less than the 500 claimed\n"
    )
    assert done.exit_code == 1


def test_github_escapes_what_would_end_a_value() -> None:
    [(name, properties, data)] = annotations(
        run("with space, comma: 100%3A.cnn", "--format", "github").stdout
    )
    assert name == "error"
    assert properties["file"] == "with space, comma: 100%3A.cnn"
    assert data.startswith("with space, comma: 100%3A.cnn:3:8: `params == 500` does not hold")


def test_github_keeps_hints_on_lines_of_their_own() -> None:
    first, second = annotations(run("broken.cnn", "--format", "github").stdout)
    assert (first[1]["line"], second[1]["line"]) == ("2", "3")
    text = "input 3x64x64\nblock unit(w) = conv3-w -> conv3-w(groups=3)\n[unit(64)]*5\n"
    [(_, _, data)] = annotations(run("-", "--format", "github", stdin=text).stdout)
    assert data == (
        "<stdin>:2:36: `groups` (=3) must divide the input channels (=64)\nin unit(64), 1st of 5, line 3\n"
        "hint: make them a multiple of 3, for instance 66"
    )


def test_github_gives_no_columns_over_several_lines() -> None:
    [(_, properties, _)] = annotations(run("lines.cnn", "--format", "github").stdout)
    assert int(properties["endLine"]) > int(properties["line"])
    assert "col" not in properties
    assert "endColumn" not in properties


def test_github_levels() -> None:
    assert [name for name, _, _ in annotations(run("warns.cnn", "--format", "github").stdout)] == ["warning"]
    strict = run("warns.cnn", "--format", "github", "--strict")
    assert [name for name, _, _ in annotations(strict.stdout)] == ["error"]
    assert [n for n, _, _ in annotations(run("-", "--format", "github", stdin="conv3-8\n").stdout)] == [
        "notice"
    ]


def test_github_paths_are_from_the_workspace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder))
    for spec in ("../false.cnn", str(folder / "false.cnn")):
        [(_, properties, _)] = annotations(run(spec, "--format", "github").stdout)
        assert properties["file"] == "false.cnn"


def test_github_is_silent_where_all_is_well() -> None:
    assert run("good.cnn", "--format", "github").stdout == ""


# --- schemas --------------------------------------------------------------------------

EVERYTHING = (
    "good.cnn", "false.cnn", "warns.cnn", "broken.cnn", "library.cnn", "signs.cnn", "lines.cnn",
    "with space, comma: 100%3A.cnn", "missing.cnn", "-", "/nowhere/at all.cnn",
)  # fmt: skip


def sarif(*words: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(run(*words, "--format", "sarif", stdin="conv3-\n").stdout)
    schema = json.loads((DATA / "sarif-schema-2.1.0.json").read_text(encoding="utf8"))
    jsonschema.Draft4Validator(schema).validate(log)
    return log


def test_sarif_is_valid_and_complete() -> None:
    [found] = sarif(*EVERYTHING)["runs"]
    told = json.loads(run(*EVERYTHING, "--format", "json", stdin="conv3-\n").stdout)
    codes = [finding["code"] for spec in told["specs"] for finding in spec["findings"]]
    assert [result["ruleId"] for result in found["results"]] == codes
    rules = found["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in found["results"])


def test_sarif_places() -> None:
    [found] = sarif("with space, comma: 100%3A.cnn")["runs"]
    [result] = found["results"]
    place = result["locations"][0]["physicalLocation"]
    assert unquote(place["artifactLocation"]["uri"]) == "with space, comma: 100%3A.cnn"
    assert place["region"] == {"startLine": 3, "startColumn": 8, "endLine": 3, "endColumn": 21}


def test_sarif_of_nothing_wrong_is_valid() -> None:
    assert sarif("good.cnn")["runs"][0]["results"] == []


def test_the_schema_can_refuse() -> None:
    """A validator that takes everything would prove nothing."""
    log = sarif("false.cnn")
    log["runs"][0]["results"][0]["level"] = "fatal"
    schema = json.loads((DATA / "sarif-schema-2.1.0.json").read_text(encoding="utf8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(schema).validate(log)


def junit(*words: str) -> Any:
    text = run(*words, "--format", "junit", stdin="conv3-\n").stdout
    tree = etree.fromstring(text.encode("utf8"))
    etree.XMLSchema(etree.parse(DATA / "junit-10.xsd")).assertValid(tree)
    return tree


@pytest.mark.parametrize("strict", [(), ("--strict",)])
def test_junit_is_valid(strict: tuple[str, ...]) -> None:
    tree = junit(*EVERYTHING, *strict)
    assert [suite.get("name") for suite in tree] == list(EVERYTHING)


def test_junit_has_a_case_for_each_claim() -> None:
    cases = [
        (case.get("classname"), case.get("name"), [child.tag for child in case])
        for case in junit("good.cnn", "false.cnn", "broken.cnn").iter("testcase")
    ]
    assert cases == [
        ("good.cnn", "builds", []),
        ("good.cnn", "expect params == 482", []),
        ("good.cnn", "expect macs < 20K", []),
        ("false.cnn", "builds", []),
        ("false.cnn", "expect params == 500", ["failure"]),
        ("broken.cnn", "builds", ["error"]),
    ]


def test_junit_counts() -> None:
    tree = junit("good.cnn", "false.cnn", "broken.cnn", "warns.cnn", "--strict")
    assert {key: tree.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "11", "failures": "2", "errors": "1",
    }  # fmt: skip


def test_junit_shows_where() -> None:
    [failure] = junit("false.cnn").iter("failure")
    assert failure.get("type") == "E601"
    assert failure.text.startswith("false.cnn:3:8: error E601: `params == 500` does not hold")
    assert "^^^^" in failure.text
