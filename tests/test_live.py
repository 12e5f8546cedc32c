"""The engine of editors and the live page, and the page's server: what it answers, and what it does not."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.cli.commands import cnnc as command
from cnnc.dsl.source import Source
from cnnc.live.engine import Document, analyse
from cnnc.live.fixes import fixes
from cnnc.live.rename import rename
from cnnc.page.answers import Answers
from cnnc.page.server import Page
from cnnc.page.tabs import TABS
from cnnc.zoo import entries
from tests.test_habits import HABITS

SPECS = Path(cnnc.__file__).parent / "specs"
ZOO = [entry.name for entry in entries()]
SAMPLE = ZOO[::16]


# --- the engine ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLE)
def test_figures_of_lines_are_those_of_the_graph(name: str) -> None:
    path = SPECS / f"{name}.cnn"
    found = analyse(Source(str(path), path.read_text(encoding="utf8")))
    assert found.is_good
    net = cnnc.load(path)
    assert found.net is not None
    assert (found.net.params, found.net.macs) == (net.params, net.macs)
    rows = found.source.text.split("\n")
    placed = {node for line in found.lines for node in line.nodes}
    assert placed == {node.index for node in found.net.graph.layers}
    for line in found.lines:
        assert rows[line.number - 1].strip()
        assert line.first in line.nodes or line.first < min(line.nodes)


def test_the_same_findings_as_the_command_line() -> None:
    from cnnc.cli.verdict import check_one

    for name in SAMPLE[:4]:
        path = SPECS / f"{name}.cnn"
        mine = analyse(Source(str(path), path.read_text(encoding="utf8"))).findings
        assert sorted(d.render() for d in mine) == sorted(d.render() for d in check_one(str(path)).findings)


def test_what_was_right_stays_on_lines_that_are_as_they_were() -> None:
    document = Document("net.cnn")
    document.put("input 3x8x8\nconv3-4\npool\nfc-2")
    document.put("input 3x8x8\nconv3-4\n\npool (\nfc-2")
    assert [(line.number, line.shapes) for line in document.lines()] == [(2, ("4x8x8",)), (5, ("2",))]


def test_habits_that_have_an_edit_are_mended_by_it() -> None:
    mended = 0
    for typed, _, _ in HABITS:
        found = analyse(Source("net.cnn", f"input 3x32x32\n{typed}"))
        for fix in fixes(found, found.findings[0]):
            after = analyse(Source("net.cnn", fix.edit.applied(found.source.text)))
            assert found.findings[0].message not in {d.message for d in after.findings}
            mended += 1
            break
    assert mended >= 40


@pytest.mark.parametrize("name", ["resnet50", "unet"])
def test_every_name_of_a_spec_can_be_changed(name: str) -> None:
    path = SPECS / f"{name}.cnn"
    found = analyse(Source(str(path), path.read_text(encoding="utf8")))
    for symbol in found.names.symbols:
        if not symbol.made:
            text = found.source.text
            for edit in reversed(rename(found, symbol.span.start, "renamed_here").edits):
                text = edit.applied(text)
            assert text.count("renamed_here") == len(found.names.of(symbol))


# --- answers ---------------------------------------------------------------------------------


def question(text: str, **more: Any) -> dict[str, Any]:
    return {"ask": "analyse", "text": text, **more}


def check_zoo(names: list[str]) -> None:
    answers = Answers("net.cnn")
    for name in names:
        text = answers.answer({"ask": "open", "zoo": name})["text"]
        told = answers.answer(question(text, zoo=name))
        net = cnnc.load(f"zoo:{name}")
        assert told["figures"]["params"] == net.costs.told("params"), name
        assert told["figures"]["macs"] == net.costs.told("macs"), name
        assert told["good"], name


def test_the_zoo_opens_with_the_command_lines_figures() -> None:
    check_zoo(SAMPLE)


@pytest.mark.slow
def test_all_of_the_zoo_opens_with_the_command_lines_figures() -> None:
    check_zoo(ZOO)


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_shows_something(tab: str) -> None:
    told = Answers("net.cnn").answer(
        question(
            "input 3x32x32\nc: conv3-8(norm=bn) -> pool\nfc-10",
            tab=tab,
            pinned={"text": "input 3x32x32\nconv3-8"},
        )
    )
    assert told["tab"]
    assert "missing" not in told["tab"]
    json.dumps(told)


def test_an_error_is_told_as_the_command_line_tells_it() -> None:
    """One case for each code, with its caret."""
    codes = set()
    answers = Answers("spec.cnn")
    for path in sorted((Path(__file__).parent / "cases" / "errors").glob("*.case")):
        text = path.read_text(encoding="utf8")
        if text.count("\n---- ") != 1 or not text.startswith("---- spec.cnn\n") or "\n$ " in text:
            continue
        spec, _, output = text.removeprefix("---- spec.cnn\n").partition("---- output\n")
        if "E901" in output or set(re.findall(r"[EWN]\d{3}", output)) <= codes:
            continue  # a limit takes long to reach
        for finding in answers.answer(question(spec))["findings"]:
            if finding["code"] not in codes:
                assert finding["text"] in output, path
                assert finding["from"] is None or "^" in finding["text"]
                codes.add(finding["code"])
    assert len(codes) > 40


def test_sliders_move_figures_and_not_the_text() -> None:
    text = "input 3xHxH\nparam w = 8 within 4..16\nconv3-w -> gap -> fc-2"
    answers = Answers("net.cnn")
    written = answers.answer(question(text))
    assert [(s["name"], s["value"], s["low"], s["high"]) for s in written["sliders"]] == [
        ("w", 8, 4, 16),
        ("H", 224, 1, 896),
    ]
    moved = answers.answer(question(text, params={"w": 16, "gone": 3}, sizes={"H": 32}))
    assert moved["figures"]["params"] == f"{cnnc.parse(text, w=16).params:,}"
    assert moved["figures"]["inputs"] == {"input": "3x32x32"}
    assert moved["good"]


def test_the_report_is_todays() -> None:
    text = "model tiny\ninput 3x8x8\nconv3-4"
    told = Answers("net.cnn").answer({"ask": "report", "text": text})
    assert told["name"] == "tiny.html"
    assert told["html"] == cnnc.parse(text, name="net.cnn").report()


# --- the server ------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Page]:
    path = tmp_path / "net.cnn"
    path.write_text("input 3x8x8\nconv3-4\n", encoding="utf8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf8")
    page = Page(str(path))
    thread = threading.Thread(target=page.serve_forever, daemon=True)
    thread.start()
    yield page
    page.shutdown()
    thread.join()
    page.server_close()


def ask(page: Page, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", page.server_address[1], timeout=20)
    try:
        method = "GET" if body is None else "POST"
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), given)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def origin(page: Page) -> str:
    return f"http://127.0.0.1:{page.server_address[1]}"


def test_only_the_page_is_served_and_only_to_who_has_its_address(served: Page) -> None:
    assert served.server_address[0] == "127.0.0.1"
    home = f"/{served.token}/"
    assert ask(served, home)[0] == 200
    for path in (
        "/",
        "/start",
        "/x/",
        f"/{served.token}",
        f"/{served.token}x/",
        f"{home}secret.txt",
        f"{home}net.cnn",
    ):
        assert ask(served, path)[0] == 404, path
    for path in (
        f"{home}../secret.txt",
        f"{home}..%2fsecret.txt",
        f"{home}/etc/passwd",
        f"{home}answers.py",
        f"{home}%00",
    ):
        assert ask(served, path)[0] == 404, path
    assert ask(served, home, Host="evil.example")[0] == 404
    assert ask(served, f"{home}start", Origin="https://evil.example")[0] == 404


def test_a_question_comes_from_the_page_itself(served: Page) -> None:
    path, body = f"/{served.token}/ask", question("input 3x8x8\nconv3-4")
    assert ask(served, path, body)[0] == 403
    assert ask(served, path, body, Origin="https://evil.example")[0] == 403
    assert ask(served, path, body, Origin="null")[0] == 403
    assert ask(served, "/wrong/ask", body, Origin=origin(served))[0] == 403
    status, told = ask(served, path, body, Origin=origin(served))
    assert status == 200
    assert json.loads(told)["figures"]["params"] == "112"
    assert ask(served, path, {"ask": "nothing"}, Origin=origin(served))[0] == 400
    assert ask(served, path, [1], Origin=origin(served))[0] == 400
    assert ask(served, path, {"ask": "open", "zoo": "../../secret"}, Origin=origin(served))[0] == 400


@pytest.mark.parametrize(
    "odd",
    [{"params": "w"}, {"params": [1]}, {"sizes": 3}, {"params": {"w": [1]}}, {"sizes": {"H": {}}}, {"zoo": "\ud800"}],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_told_so(served: Page, odd: dict[str, object]) -> None:
    body = {**question("input 3xHxH\nparam w = 4\nconv3-w"), **odd}
    status, told = ask(served, f"/{served.token}/ask", body, Origin=origin(served))
    assert status == 400, told


def test_a_question_of_brackets_in_brackets_is_told_so() -> None:
    assert Answers("net.cnn").reply("[" * 100_000)[0] == 400


def test_places_of_a_text_with_a_byte_order_mark_are_those_of_the_text() -> None:
    text = "input 3x8x8\r\nkonv3-4 -> pool"
    answers = Answers("net.cnn")

    def told(text: str) -> list[dict[str, Any]]:
        asked = {"text": text, "offset": len(text), "finding": 0}
        first = answers.answer({**asked, "ask": "analyse"})["findings"][0]
        at = {**asked, "offset": first["from"]}
        fixed = answers.answer({**asked, "ask": "fixes"})["fixes"][0]
        fine = text.replace("konv", "conv")
        card = answers.answer({**at, "ask": "hover", "text": fine})
        items = answers.answer({**asked, "ask": "complete"})["items"]
        return [first, fixed, card, *items]

    plain, marked = told(text), told("\ufeff" + text)
    assert len(plain) > 3
    for one, two in zip(plain, marked, strict=True):
        places = {key: one[key] + 1 for key in ("from", "to") if key in one}
        assert places
        assert two == one | places


def test_a_proxy_is_known_by_its_name(served: Page) -> None:
    home, body = f"/{served.token}/", question("input 3x8x8\nconv3-4")
    name, address = "code.example.org:8443", "https://code.example.org:8443"
    assert ask(served, home, Host=name)[0] == 404
    served.proxy = address
    assert ask(served, home, Host=name)[0] == 200
    assert ask(served, f"{home}ask", body, Host=name, Origin=address)[0] == 200
    assert ask(served, home, Host="code.example.org")[0] == 404
    assert ask(served, "/", Host=name)[0] == 404
    assert ask(served, f"{home}ask", body, Host=name)[0] == 403
    assert ask(served, f"{home}ask", body, Host=name, Origin="https://evil.example")[0] == 403
    assert ask(served, f"{home}ask", body, Origin=origin(served))[0] == 200


@pytest.mark.parametrize(
    "name", ["code.example.org", "https://code.example.org/", "ftp://x", "https://a b", ""]
)
def test_a_proxy_is_given_as_an_origin(name: str) -> None:
    ran = CliRunner().invoke(command, ["live", "--proxy", name])
    assert ran.exit_code == 2
    assert "expected an origin" in ran.output


def test_a_text_reads_no_file_outside_the_project(served: Page, tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside.cnn"
    outside.write_text("block hidden(w) = conv3-w\n", encoding="utf8")
    text = f'input 3x8x8\nuse hidden from "{outside}"\nhidden(4)'
    told = ask(served, f"/{served.token}/ask", question(text), Origin=origin(served))[1]
    (finding,) = json.loads(told)["findings"]
    assert finding["code"] == "E705"
    empty = Page(None)
    empty.server_close()
    nowhere = Answers(empty.answers.name)
    (finding,) = nowhere.answer(question('input 3x8x8\nuse a from "a.cnn"\na'))["findings"]
    assert finding["code"] in ("E701", "E705")


def test_the_page_follows_a_file_however_it_is_saved(served: Page, tmp_path: Path) -> None:
    path = tmp_path / "net.cnn"
    assert served.file is not None
    version = served.file.version
    path.write_text("input 3x8x8\nconv3-5\n", encoding="utf8")
    version, before = served.file.wait(version, 10), version
    assert version > before
    # As vim does it: the old file moved away, a new one put in its place.
    os.replace(path, tmp_path / "net.cnn~")
    time.sleep(0.3)
    (tmp_path / "new").write_text("input 3x8x8\nconv3-6\n", encoding="utf8")
    os.replace(tmp_path / "new", path)
    assert served.file.wait(version, 10) > version
    assert json.loads(ask(served, f"/{served.token}/start")[1])["text"] == "input 3x8x8\nconv3-6\n"


def test_saving_overwrites_no_change_made_elsewhere(served: Page, tmp_path: Path) -> None:
    path, target = f"/{served.token}/ask", tmp_path / "net.cnn"
    before = target.read_text(encoding="utf8")
    body = {"ask": "save", "text": "conv3-9\n", "before": before}
    assert json.loads(ask(served, path, body, Origin=origin(served))[1]) == {"problem": None}
    assert target.read_text(encoding="utf8") == "conv3-9\n"
    problem = json.loads(ask(served, path, {**body, "text": "conv3-10\n"}, Origin=origin(served))[1])[
        "problem"
    ]
    assert "changed elsewhere" in problem
    assert target.read_text(encoding="utf8") == "conv3-9\n"


def test_the_command_prints_the_address_and_opens_no_browser_over_ssh(tmp_path: Path) -> None:
    opener = tmp_path / "browser"
    opener.write_text(f"#!/bin/sh\ntouch {tmp_path}/opened\n", encoding="utf8")
    opener.chmod(0o755)
    environment = {**os.environ, "SSH_CONNECTION": "1", "DISPLAY": ":9", "BROWSER": str(opener)}
    command = [sys.executable, "-m", "cnnc", "live", "zoo:lenet5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    assert line.startswith("http://127.0.0.1:")
    assert not (tmp_path / "opened").exists()


@pytest.mark.slow
def test_the_editor_is_what_its_source_makes(tmp_path: Path) -> None:
    import shutil

    if shutil.which("npm") is None:
        pytest.skip("no npm here")
    source = Path(__file__).parent.parent / "editors" / "page"
    for name in ("package.json", "build.mjs", "editor.mjs"):
        shutil.copy(source / name, tmp_path)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=tmp_path, check=True)
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=tmp_path, check=True)
    page = Path(cnnc.__file__).parent / "page"
    assert (tmp_path / "editor.js").read_bytes() == (page / "editor.js").read_bytes()


def test_the_smallest_input_is_looked_for_as_long_as_one_waits() -> None:
    from cnnc.compiler.build import build
    from cnnc.dsl.diagnostics import CnncError
    from cnnc.dsl.parse import parse

    tree = parse(Source("net.cnn", "input 3x8x8\n[conv3-4(pad=0)]*9 -> gap -> fc-2\n"))
    hints = []
    for patience in (None, 10_000, 0):
        with pytest.raises(CnncError) as caught:
            build(tree, patience=patience)
        hints.append(caught.value.diagnostics[0].hint or "")
    assert "the smallest input that works is 3x19x19" in hints[0] == hints[1]
    assert "smallest" not in hints[2]


def test_what_follows_a_mistake_is_waited_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnc.compiler.walk.elaborate import Walk, Walked

    walks = []
    run = Walk.run

    def counted(walk: Walk) -> Walked:
        walks.append(walk)
        return run(walk)

    monkeypatch.setattr(Walk, "run", counted)
    # The branches are alike at no size, and what is behind them is never placed.
    text = "input 3x9x9\n[conv4-3(pad=0) | conv3-3(pad=0)]\n" + "conv3-4\n" * 1_000
    found = analyse(Source("net.cnn", text))
    assert [d.code for d in found.findings] == ["E405"]
    assert len(walks) == 2
