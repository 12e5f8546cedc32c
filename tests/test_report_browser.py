"""The report in a browser: a headless Chromium, where there is one.

Debian's packages are `chromium` and `chromium-driver`; `.ci/run` installs them where it can.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import Tab

import cnnc

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None,
    reason="no Chromium with its driver here: apt install chromium chromium-driver",
)

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1280,1000", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    assert BROWSER is not None
    options = ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


class Shown(Tab):
    """A report in the browser. After each test: no error on the console, no request but for the file."""

    def __init__(self, browser: Chrome, path: Path) -> None:
        super().__init__(browser)
        self.url = path.as_uri()
        self.requests: list[str] = []
        browser.get(self.url)

    def boxes(self) -> int:
        found: int = self.run("document.querySelectorAll('#canvas .box').length")
        return found

    def click(self, selector: str) -> None:
        """Click on an element, which may be of SVG."""
        from selenium.webdriver.common.by import By

        element = self.browser.find_element(By.CSS_SELECTOR, selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def hover(self, selector: str) -> None:
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.by import By

        element = self.browser.find_element(By.CSS_SELECTOR, selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        ActionChains(self.browser).move_to_element(element).perform()

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]

    def fetched(self) -> list[str]:
        messages = [json.loads(e["message"])["message"] for e in self.browser.get_log("performance")]  # type: ignore[no-untyped-call]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        # The browser's own first page may still be loading its icons.
        return [r["request"]["url"] for r in sent if not r["documentURL"].startswith("chrome")]


@pytest.fixture
def shown(browser: Chrome, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shown]:
    text = request.param if "\n" in request.param else None
    net = cnnc.load(f"zoo:{request.param}") if text is None else cnnc.parse(text)
    path = tmp_path / "report.html"
    path.write_text(net.report(), encoding="utf8")
    browser.get_log("performance")  # type: ignore[no-untyped-call]
    page = Shown(browser, path)
    yield page
    assert page.complaints() == []
    assert set(page.fetched()) == {page.url}


resnet50 = pytest.mark.parametrize("shown", ["resnet50"], indirect=True)

EVIL = """input 3x32x32
"</script><script>window.broken = 1</script>": conv3-8
"<img src=x onerror='window.broken = 1'>": [conv3-8 -> [id + conv3-8] -> pool]
fc-10
"""


@resnet50
def test_the_diagram_is_there(shown: Shown) -> None:
    texts = shown.run("[...document.querySelectorAll('#canvas text')].map(t => t.textContent)")
    assert "conv7-64/2" in texts
    assert any("bottleneck(512) x 2" in text for text in texts)
    assert any("layer4" in text for text in texts)
    assert shown.boxes() == 6 + 4 * 2  # input, conv7, maxpool, gap, fc, output; two blocks a layer


@resnet50
def test_a_block_folds_and_opens(shown: Shown) -> None:
    before = shown.boxes()
    shown.click("#canvas .frame[data-id] [role=button]")  # layer1 and its two blocks
    assert shown.boxes() == before - 1
    shown.click("#canvas .closed[role=button]")
    assert shown.boxes() == before
    shown.click("#close-all")
    closed = shown.boxes()
    shown.click("#open-all")
    assert closed < before < shown.boxes()
    assert shown.run("document.querySelectorAll('#canvas .closed').length") == 0


@resnet50
def test_keys_fold_too(shown: Shown) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    before = shown.boxes()
    heading = shown.browser.find_element(By.CSS_SELECTOR, "#canvas .frame [role=button]")
    heading.send_keys(Keys.ENTER)
    assert shown.boxes() == before - 1
    shown.browser.switch_to.active_element.send_keys(Keys.ENTER)  # the focus went along
    assert shown.boxes() == before


@resnet50
def test_sorting_by_macs(shown: Shown) -> None:
    names = "[...document.querySelectorAll('#layers tbody tr[data-parent=\"\"] th')].map(t => t.textContent)"
    macs = "[...document.querySelectorAll('#layers tbody tr[data-parent=\"\"]')].map(r => +r.dataset.macs)"
    text_order = shown.run(names)
    shown.click("#layers [data-key=macs] button")
    falling = shown.run(macs)
    assert falling == sorted(falling, reverse=True)
    assert shown.run(names)[0] == "layer3"
    shown.click("#layers [data-key=macs] button")
    assert shown.run(macs) == sorted(falling)
    shown.click("#layers [data-key=macs] button")
    assert shown.run(names) == text_order
    parents = shown.run(
        "[...document.querySelectorAll('#layers tbody tr')].every((r, i, all) => !r.dataset.parent"
        " || all.findIndex(o => o.id === r.dataset.parent) < i)"
    )
    assert parents


@resnet50
def test_rows_fold(shown: Shown) -> None:
    seen = "[...document.querySelectorAll('#layers tbody tr')].filter(r => !r.hidden).length"
    shown.click("#rows-open")
    every = shown.run(seen)
    shown.click("#layers .fold")
    assert 1 < shown.run(seen) < every
    shown.click("#rows-close")
    assert shown.run(seen) == shown.run("document.querySelectorAll('tr[data-parent=\"\"]').length")


@resnet50
def test_a_row_lights_its_box_and_a_box_its_rows(shown: Shown) -> None:
    shown.click("#rows-open")
    row = shown.run(
        "[...document.querySelectorAll('#layers tbody tr')].find(r => r.cells[0].title === 'fc').id"
    )
    shown.hover(f"#{row}")
    lit = "[...document.querySelectorAll('#canvas .lit')].map(b => b.textContent)"
    assert shown.run(lit) == ["fcfc-1000"]
    sight = """(() => {
      const inner = document.querySelector('#canvas .lit').getBoundingClientRect();
      const outer = document.getElementById('canvas').getBoundingClientRect();
      return inner.top >= outer.top && inner.bottom <= outer.bottom && outer.top >= 0;
    })()"""
    assert shown.run(sight)  # though far down in the diagram, and the page scrolled to the row
    shown.hover("h1")
    assert shown.run(lit) == []
    shown.click("#zoom-fit")
    shown.hover("#canvas .box.closed")
    assert shown.run("document.querySelectorAll('#layers .lit').length") >= 1


@resnet50
def test_a_row_shows_its_receptive_field(shown: Shown) -> None:
    row = shown.run(
        "[...document.querySelectorAll('#layers tbody tr')].find(r => r.cells[0].title === 'maxpool1').id"
    )
    shown.click(f"#{row} td")
    # the field of the first pool is 11 wide, the step 4, the first position begins at -5
    text = shown.run("document.getElementById('field-text').textContent")
    middle = 28 * 4 - 5
    assert f"Position (28, 28) of maxpool1 sees {middle} to {middle + 10} by" in text
    assert "(11x11)" in text
    assert shown.run("+document.querySelector('#field-picture .seen').getAttribute('width')") == 11


@resnet50
def test_zoom_theme_and_print(shown: Shown) -> None:
    width = "+document.querySelector('#canvas svg').getAttribute('viewBox').split(' ')[2]"
    before = shown.run(width)
    shown.click("#zoom-in")
    assert shown.run(width) == pytest.approx(before / 1.25)
    shown.click("#zoom-fit")
    assert shown.run(width) == pytest.approx(before)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = shown.run(paper)
    shown.click("#theme")
    assert shown.run(paper) != light
    shown.click("#theme")
    assert shown.run(paper) == light
    printed = shown.browser.execute_cdp_cmd("Page.printToPDF", {})  # type: ignore[no-untyped-call]
    assert len(printed["data"]) > 10_000


@pytest.mark.parametrize("shown", [EVIL], indirect=True)
def test_text_of_the_spec_is_inert(shown: Shown) -> None:
    shown.click("#open-all")
    assert shown.run("window.broken === undefined")
    assert shown.run("document.querySelectorAll('img').length") == 0
    texts = shown.run("[...document.querySelectorAll('#canvas text')].map(t => t.textContent)")
    assert any("</script><script>" in text for text in texts)


@pytest.mark.parametrize("shown", ["two_stream", "unet", "densenet121", "shufflenet_g3"], indirect=True)
def test_no_two_boxes_overlap(shown: Shown) -> None:
    shown.click("#open-all")
    overlaps = shown.run("""(() => {
      const boxes = [...document.querySelectorAll('#canvas .box > :first-child')].map(e => e.getBBox());
      return boxes.filter((a, i) => boxes.some((b, j) => i < j && a.x < b.x + b.width && b.x < a.x + a.width
        && a.y < b.y + b.height && b.y < a.y + a.height)).length;
    })()""")
    assert overlaps == 0
    assert shown.run("document.querySelectorAll('#canvas .box').length") > 10


@resnet50
def test_a_report_on_a_telephone(shown: Shown) -> None:
    shown.size(390, 844, dark=True)
    assert shown.run("document.documentElement.scrollWidth <= innerWidth")
    # The figures have the width of the page, and the bars with their numbers stay within it.
    assert shown.run("document.querySelector('.facts').offsetWidth / innerWidth") > 0.85
    edge = shown.run("document.querySelector('main').getBoundingClientRect().right")
    ends = shown.run("[...document.querySelectorAll('.bar > *')].map((e) => e.getBoundingClientRect().right)")
    assert ends and max(ends) <= edge + 0.5
    shown.size(1280, 1000, dark=False)
