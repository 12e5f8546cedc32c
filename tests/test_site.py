"""The page without a server: exported, served by a plain static server, and Python in the browser.

Its parts come from npm, by the command that `cnnc live --export` names where they are missing.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest
from browsing import Tab
from stopwatch import slowness

import cnnc
from cnnc.dsl.diagnostics import CnncError
from cnnc.page.answers import Answers
from cnnc.page.export import export
from cnnc.page.tabs import TABS
from cnnc.zoo import Entry, entries
from tests.static_server import Static, serving
from tests.test_report_browser import BROWSER, DRIVER, browser  # noqa: F401

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

NEEDS = [
    pytest.mark.skipif(
        BROWSER is None or DRIVER is None,
        reason="no Chromium with its driver here: apt install chromium chromium-driver",
    ),
    pytest.mark.skipif(
        shutil.which("npm") is None or shutil.which("node") is None, reason="no Node.js with npm here"
    ),
]
pytestmark = NEEDS
QUICK = ("lenet5", "resnet50", "unet")
MAX_BYTES = 12e6
COLD, CACHED = 8, 3
"""Seconds to the first figures, at the first visit and at later ones, on one processor."""


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder, and what the program says that a first visit takes."""
    home = tmp_path_factory.mktemp("site")
    parts = home / "parts"
    with pytest.raises(CnncError) as missing:
        export(home / "out", parts, None, print)
    assert missing.value.diagnostics[0].code == "E802"
    command = shlex.split(missing.value.diagnostics[0].hint or "")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"the parts cannot be had: {' '.join(command[:4])}: {done.stderr[-300:]}")
    steps: list[str] = []
    size = export(home / "out", parts, None, steps.append)
    assert len(steps) == 2
    return home / "out", size


class Site(Tab):
    """The page in the browser."""

    def __init__(self, browser: Chrome, server: Static) -> None:  # noqa: F811
        super().__init__(browser)
        self.server = server

    def state(self) -> Any:
        return self.run("document.getElementById('status').textContent")

    def open(self, fragment: str = "") -> float:
        """Open the page; the seconds until it has figures: of a processor, since others may share the machine."""
        self.browser.get("about:blank")
        begun = self.worked()
        self.browser.get(self.server.address + fragment)
        self.until("document.querySelector('#figures b') !== null")
        return self.worked() - begun

    def worked(self) -> float:
        """Seconds that the browser's processes have worked, all threads together; the clock's where that is not told."""
        if not Path("/proc/self/stat").exists():
            return time.monotonic()
        children: dict[int, list[int]] = {}
        ticks: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it ended meanwhile
                fields = stat.read_text().rpartition(")")[2].split()
                ticks[int(stat.parent.name)] = int(fields[11]) + int(fields[12])
                children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        waiting, found = [self.browser.service.process.pid], 0
        while waiting:
            process = waiting.pop()
            found += ticks.get(process, 0)
            waiting += children.get(process, [])
        return found / os.sysconf("SC_CLK_TCK")

    def ask(self, name: str, question: dict[str, Any]) -> Any:
        """What the engine in the page answers."""
        script = "const done = arguments[2]; engine.ask(arguments[0], arguments[1]).then(done, (e) => done({failed: e.message}))"
        return self.browser.execute_async_script(script, name, question)  # type: ignore[no-untyped-call]

    def choose(self, entry: Entry) -> None:
        """Open a network of the zoo as a reader does, and wait for its figures."""
        self.run(
            "(document.getElementById('zoo').value = arguments[0], document.getElementById('zoo').dispatchEvent(new Event('change')))",
            entry.name,
        )
        told = json.dumps(entry.net.costs.told("params"))
        self.until(
            f"document.getElementById('model').textContent === {json.dumps(entry.net.name)}"
            f" && document.querySelector('#figures b').textContent === {told}"
        )


@pytest.fixture
def site(browser: Chrome, exported: tuple[Path, int]) -> Iterator[Site]:  # noqa: F811
    """A server of its own each time, so that the first visit is one. Nothing may be asked of anybody else."""
    browser.set_script_timeout(120)
    with serving(exported[0]) as server:
        browser.get_log("performance")  # type: ignore[no-untyped-call]
        browser.get_log("browser")  # type: ignore[no-untyped-call]
        yield Site(browser, server)
        complaints = [e["message"] for e in browser.get_log("browser")]  # type: ignore[no-untyped-call]
        messages = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]  # type: ignore[no-untyped-call]
        browser.get("about:blank")
    assert complaints == []
    assert server.missing == []
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    mine = [r["request"]["url"] for r in sent if not r["documentURL"].startswith("chrome")]
    home = server.address
    assert [url for url in mine if not url.startswith((home, "data:", "about:", f"blob:{home}"))] == []


def check(site: Site, entry: Entry, tabs: tuple[str, ...]) -> None:
    """The page's figures are the command line's; the whole answer is that of `cnnc live`."""
    site.choose(entry)
    net = entry.net
    shown = site.run("document.getElementById('figures').textContent")
    assert shown.startswith(
        f"{net.costs.told('params')} parameters, {net.costs.told('macs')} MACs, depth {net.depth}, "
    )
    native = Answers("/nowhere/net.cnn")
    for tab in tabs:
        question = {"text": entry.text, "zoo": entry.name, "tab": tab}
        there, here = site.ask("analyse", question), native.answer({"ask": "analyse", **question})
        assert there == json.loads(json.dumps(here)), (entry.name, tab)


def test_the_first_visit_is_small_and_the_page_is_soon_there(site: Site, exported: tuple[Path, int]) -> None:
    """The whole of it over three networks: what is sent, when it can be used, and that it is the page of `cnnc live`."""
    cold = site.open()
    sent = sum(size for _, size in site.server.sent)
    assert sent <= MAX_BYTES
    assert sent <= exported[1]  # the licences are read by who wants them
    cached = min(site.open() for _ in range(3))
    print(f"{sent / 1e6:.1f} MB, {cold:.1f} s cold, {cached:.1f} s cached")
    assert cold <= COLD * slowness()
    assert cached <= CACHED * slowness()
    assert sum(size for _, size in site.server.sent) == sent  # later visits are sent nothing

    for name in QUICK:
        check(site, Entry(name), tuple(TABS))
    assert (
        site.ask("report", {"text": Entry("lenet5").text})["html"]
        == cnnc.parse(Entry("lenet5").text).report()
    )

    # An edit shows, and an error is shown with its caret.
    site.choose(Entry("lenet5"))
    site.run("editor.replace(editor.text.length, editor.text.length, '\\nfx-20')")
    site.until("document.querySelector('#findings pre')?.textContent.includes('E201')")
    assert "^^^^^" in site.run("document.querySelector('#findings pre').textContent")
    # The text travels in the address.
    site.run(
        "editor.replace(0, editor.text.length, '# \u00e9\U0001d11e \u201equoted\u201c\\ninput 3x8x8\\nconv3-4\\n')"
    )
    site.until("document.querySelector('#figures b').textContent === '112'")
    site.run("document.getElementById('share').click()")
    site.until("document.getElementById('status').textContent.startsWith('the address holds the text')")
    text, fragment = site.run("editor.text"), site.run("location.hash")
    site.open()
    assert site.run("editor.text") == Entry("resnet50").text
    site.open(fragment)
    assert site.run("editor.text") == text


def test_every_file_has_its_gz_and_nothing_is_in_it_that_a_browser_does_not_need(
    exported: tuple[Path, int],
) -> None:
    files = [path for path in exported[0].rglob("*") if path.is_file()]
    plain = {path.relative_to(exported[0]).as_posix() for path in files if path.suffix != ".gz"}
    packed = {path.relative_to(exported[0]).as_posix() for path in files if path.suffix == ".gz"}
    assert packed == {f"{name}.gz" for name in plain}
    names = {
        name.partition("/")[0].partition(".")[0]
        for archive in ("stdlib.zip", "cnnc.zip")
        for name in ZipFile(exported[0] / "python" / archive).namelist()
    }
    assert {"cnnc", "json"} <= names
    assert not names & {
        "pygments",
        "rich",
        "networkx",
        "graphviz",
        "click",
        "pydantic",
        "pydantic_core",
        "lark",
        "torch",
    }
    texts = b"".join(
        (exported[0] / name).read_bytes() for name in ("index.html", "engine.js", "live.js", "worker.js")
    )
    assert b"://" not in texts.replace(b"http://www.w3.org/", b"")


@pytest.mark.slow
def test_every_network_of_the_zoo_has_the_command_lines_figures(site: Site) -> None:
    site.open()
    for entry in entries():
        check(site, entry, ("layers",))
