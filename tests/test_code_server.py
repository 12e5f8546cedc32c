"""The extension in VS Code's own workbench: what it shows of a text while that is written, and its commands.

See code_server.py for what is needed. `CNNC_PICTURES` names a folder for pictures of what was shown.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from code_server import Workbench, command, extension

from tests.test_report_browser import BROWSER, DRIVER, browser  # noqa: F401

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        command() is None or BROWSER is None or DRIVER is None or shutil.which("npm") is None,
        reason="no code-server here (npm install code-server, and CNNC_CODE_SERVER), no Chromium with its driver, or no npm",
    ),
]

TEXT = """# A small network.
model net
input 3x32x32
param w = 16
c1: conv3-w
[conv3-w   -> pool]*2
gap -> fc-10
"""


@pytest.fixture(scope="module")
def workbench(browser: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:  # noqa: F811
    home = tmp_path_factory.mktemp("code-server")
    made = Workbench(browser, home, extension(home / "built"))
    made.size(1400, 900, dark=False)
    yield made
    made.close()


def pictured(workbench: Workbench, name: str) -> None:
    folder = os.environ.get("CNNC_PICTURES")
    if folder:
        workbench.picture(Path(folder) / f"{name}.png")


def colour(workbench: Workbench, word: str) -> str:
    """The colour in which a word of the text is shown."""
    found: str = workbench.run(
        """getComputedStyle([...document.querySelectorAll('.view-line span span')]
        .find(e => e.textContent.replaceAll('\u00a0', ' ') === arguments[0])).color""",
        word,
    )
    return found


def test_what_is_shown_of_a_text(workbench: Workbench) -> None:
    from selenium.webdriver import Keys

    workbench.open("typed.cnn", TEXT)
    workbench.shows("-> 16x32x32", 120)
    assert workbench.lines() == [
        "# A small network.", "model net", "input 3x32x32", "param w = 16", "c1: conv3-w-> 16x32x32",
        "[conv3-w   -> pool]*2-> 16x16x16 … 16x8x8  (2 times)", "gap -> fc-10-> 10", "",
    ]  # fmt: skip
    pictured(workbench, "text")
    assert (
        len({colour(workbench, word) for word in ("# A small network.", "model", "net", "16", "c1", "pool")})
        == 6
    )

    workbench.go_to(5)
    workbench.keys(Keys.END, Keys.SHIFT + Keys.HOME, "c1: konv3-w")
    workbench.until("document.querySelector('.squiggly-error') != null")
    # The lines that follow keep the figures that were right.
    assert workbench.lines()[4:6] == ["c1: konv3-w", "[conv3-w   -> pool]*2-> 16x16x16 … 16x8x8  (2 times)"]
    workbench.keys(Keys.CONTROL + ".")
    workbench.shows("Write `conv3-w`")
    pictured(workbench, "hint")
    workbench.keys(Keys.ENTER)
    workbench.shows("c1: conv3-w-> 16x32x32")
    workbench.until("document.querySelector('.squiggly-error') == null")

    workbench.go_to(6, 16)
    workbench.act("Show or Focus Hover")
    workbench.until(
        "[...document.querySelectorAll('.monaco-hover')].some(e => e.textContent.includes('maxpool2'))"
    )
    (hover,) = [text for text in workbench.seen(".monaco-hover .hover-contents") if "maxpool" in text]
    assert "16x32x32 -> 16x16x16" in hover
    assert "field 12" in hover
    pictured(workbench, "hover")
    workbench.keys(Keys.ESCAPE)

    workbench.go_to(7, 13)
    workbench.keys(Keys.ENTER, "lay")
    workbench.until("document.querySelector('.suggest-widget.visible .monaco-list-row') != null")
    assert any(row.startswith("layernorm") for row in workbench.seen(".suggest-widget .monaco-list-row"))
    workbench.shows("gap -> fc-10-> 10lay")  # the figure is back on the line that it is of
    pictured(workbench, "completion")
    workbench.keys(Keys.ESCAPE, *[Keys.BACKSPACE] * 4)

    workbench.act("Format Document")
    workbench.shows("[conv3-w -> pool]*2")
    workbench.act("Focus on Outline View")
    workbench.until("document.querySelector('.outline-pane .monaco-list-row') != null")
    assert workbench.seen(".outline-pane .monaco-list-row") == ["netmodel", "wparam", "c1label"]
    pictured(workbench, "outline")


@pytest.mark.parametrize("dark", [False, True])
def test_the_commands(workbench: Workbench, dark: bool) -> None:
    from selenium.webdriver import Keys

    workbench.set(dark=dark)
    # The page in the view has the workbench's colours, whatever the browser's are: nothing is said of these here.
    workbench.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})  # type: ignore[no-untyped-call]
    workbench.open(f"{'dark' if dark else 'light'}.cnn", TEXT)
    workbench.shows("-> 16x32x32", 120)
    workbench.act("cnnc: Open Live Preview to the Side")
    with workbench.inside("net"):
        workbench.until("document.body.textContent.includes('5,258 parameters')")
        assert workbench.run("matchMedia('(prefers-color-scheme: dark)').matches") is dark
    pictured(workbench, f"preview-{'dark' if dark else 'light'}")
    workbench.keys(Keys.CONTROL + "1")
    workbench.go_to(5)
    workbench.keys(Keys.END, Keys.SHIFT + Keys.HOME, "c1: conv3-w(bias=no)", Keys.CONTROL + "s")
    with workbench.inside("net"):
        workbench.until("document.body.textContent.includes('5,242 parameters')")
    for name, shown in (
        ("Show Flat Core", "relu1: relu"),
        ("Show Table of Layers", "Activations take at their peak"),
        ("Show PyTorch Module", "class Net(nn.Module):"),
    ):
        workbench.act(f"cnnc: {name}")
        workbench.shows(shown)
        workbench.keys(Keys.CONTROL + "1")
    pictured(workbench, f"module-{'dark' if dark else 'light'}")
    assert workbench.seen(".notification-list-item-message") == []
