"""The live page in a headless Chromium: what is typed shows, and nothing leaves this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import Tab
from stopwatch import slowness

import cnnc
from cnnc.page.server import Page
from cnnc.page.tabs import TABS
from cnnc.zoo import entries
from tests.test_report_browser import browser, pytestmark  # noqa: F401

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SHOWN = "Number(document.body.dataset.shown ?? 0)"


class Live(Tab):
    """The page in the browser."""

    def __init__(self, browser: Chrome, page: Page) -> None:  # noqa: F811
        super().__init__(browser)
        self.page = page

    def until(self, condition: str, within: float = 30) -> None:
        super().until(condition, within)

    def open(self, fragment: str = "") -> None:
        self.browser.get("about:blank")
        self.browser.get(self.page.address + fragment)
        self.until(f"{SHOWN} > 0")

    def after(self, act: str, *arguments: object) -> None:
        """Do something, and wait until what follows is shown."""
        before = self.run(SHOWN)
        self.run(act, *arguments)
        self.until(f"{SHOWN} > {before}")


@pytest.fixture
def live(browser: Chrome, tmp_path: Path) -> Iterator[Live]:  # noqa: F811
    path = tmp_path / "net.cnn"
    path.write_text(
        "model net\ninput 3xHxH\nparam w = 8 within 4..16\nc1: conv3-w\n[conv3-w -> pool]*2\ngap -> fc-10\n",
        encoding="utf8",
    )
    page = Page(str(path))
    thread = threading.Thread(target=page.serve_forever, daemon=True)
    thread.start()
    browser.get_log("performance")  # type: ignore[no-untyped-call]
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    yield Live(browser, page)
    complaints = [e["message"] for e in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    messages = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]  # type: ignore[no-untyped-call]
    browser.get("about:blank")
    page.shutdown()
    page.server_close()
    assert complaints == []
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    mine = [r["request"]["url"] for r in sent if not r["documentURL"].startswith("chrome")]
    home = page.address.split("/", 3)[2]
    assert [
        url
        for url in mine
        if not url.startswith((f"http://{home}/", "data:", "about:", f"blob:http://{home}/"))
    ] == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_every_tab_is_shown_and_nothing_is_wider_than_the_window(live: Live, width: int, dark: bool) -> None:
    live.size(width, 900, dark=dark)
    live.open()
    for tab in TABS:
        live.after(f"document.getElementById('tab-{tab}').click()")
        assert (
            live.run(
                "document.getElementById('panel').textContent.length + document.querySelectorAll('#panel svg').length"
            )
            > 0
        )
        assert live.run("document.documentElement.scrollWidth <= innerWidth + 1"), tab
        bounds = f"document.getElementById('tab-{tab}').getBoundingClientRect()"
        assert live.run(f"{bounds}.left >= 0 && {bounds}.right <= innerWidth"), tab
    assert "H" in live.run("document.getElementById('figures').textContent")


def test_an_edit_shows_and_a_broken_text_keeps_what_was_right(live: Live) -> None:
    live.size(1280, 900, dark=False)
    live.open()
    assert live.run("[...document.querySelectorAll('.inlay')].map((e) => e.textContent)")[0] == "-> 8xHxH"
    text = live.run("editor.text")
    live.after("editor.replace(0, editor.text.length, arguments[0])", text.replace("fc-10", "fc-20"))
    assert "20" in live.run("document.getElementById('figures').textContent")
    live.after("editor.replace(0, editor.text.length, arguments[0])", text.replace("fc-10", "fx-20"))
    told = live.run("document.querySelector('#findings pre').textContent")
    assert "E201" in told
    assert "^^^^^" in told
    assert live.run("document.querySelectorAll('#panel .box').length") > 0
    live.run("document.querySelector('#findings .mend').click()")
    live.until(
        "document.querySelectorAll('#findings button.mend').length > 0 || document.querySelector('#findings .note')"
    )


@pytest.mark.slow
def test_cursor_box_and_row_light_each_other(live: Live) -> None:
    live.size(1280, 900, dark=False)
    live.open()
    live.run("editor.go(editor.text.indexOf('c1:'))")
    live.until("document.querySelectorAll('#canvas .lit').length === 1")
    live.run("document.querySelector('#canvas .lit').dispatchEvent(new PointerEvent('pointerenter'))")
    assert live.run("document.querySelector('.lit-line').textContent").startswith("c1:")
    live.after("document.getElementById('tab-layers').click()")
    assert live.run("document.querySelectorAll('#layers tr.lit').length") >= 1


def test_sliders_move_figures_and_the_address_gives_back_the_bytes(live: Live) -> None:
    live.size(1280, 900, dark=False)
    live.open()
    text = live.run("editor.text")
    before = live.run("document.querySelector('#figures b').textContent")
    slider = "document.querySelector('#sliders input[data-name=w]')"
    live.after(f"({slider}.value = 16, {slider}.dispatchEvent(new Event('input')))")
    assert (
        live.run("document.querySelector('#figures b').textContent")
        == f"{cnnc.parse(text, w=16).params:,}"
        != before
    )
    live.after("editor.replace(0, 0, '# \u00e9\U0001d11e \u201equoted\u201c\\n')")
    live.run("document.getElementById('share').click()")
    live.until("location.hash.length > 20")
    written, fragment = live.run("editor.text"), live.run("location.hash")
    assert live.page.file is not None
    Path(live.page.file.path).write_text("input 3x8x8\nconv3-4\n", encoding="utf8")
    live.open(fragment)
    assert live.run("editor.text") == written
    assert (
        live.run("document.querySelector('#figures b').textContent") == f"{cnnc.parse(text, w=16).params:,}"
    )


def test_the_page_reads_what_is_saved_and_saves(live: Live) -> None:
    live.open()
    assert live.page.file is not None
    path = Path(live.page.file.path)
    path.write_text("model other\ninput 3x8x8\nconv3-4\n", encoding="utf8")
    live.until("document.getElementById('model').textContent === 'other'")
    live.after("editor.replace(editor.text.length, editor.text.length, 'pool\\n')")
    live.run("document.getElementById('save').click()")
    live.until("document.getElementById('status').textContent === 'saved'")
    assert path.read_text(encoding="utf8") == "model other\ninput 3x8x8\nconv3-4\npool\n"


@pytest.mark.slow
def test_every_spec_of_the_zoo_opens_and_an_edit_of_resnet_50_is_quick(live: Live) -> None:
    live.open()
    live.until("document.querySelectorAll('#zoo option').length > 100")
    for entry in entries():
        choose = "(document.getElementById('zoo').value = arguments[0], document.getElementById('zoo').dispatchEvent(new Event('change')))"
        live.run(choose, entry.name)
        live.until(f"document.getElementById('model').textContent === {json.dumps(entry.net.name)}", 60)
        costs = entry.net.costs
        told = f"{costs.told('params')} parameters, {costs.told('macs')} MACs, depth {entry.net.depth}, "
        assert live.run("document.getElementById('figures').textContent").startswith(told), entry.name
    live.run(choose, "resnet50")
    live.until("document.getElementById('model').textContent === 'resnet50'", 60)
    took = []
    for width in range(65, 85):
        begun = time.perf_counter()
        live.after(
            "editor.replace(editor.text.indexOf('conv7-') + 6, editor.text.indexOf('/2 -> max'), arguments[0])",
            str(width),
        )
        took.append(time.perf_counter() - begun)
    print(
        f"an edit shows after {1000 * sorted(took)[len(took) // 2]:.0f} ms (median), {1000 * max(took):.0f} ms (longest)"
    )
    assert sorted(took)[len(took) // 2] < 0.3 * slowness()
