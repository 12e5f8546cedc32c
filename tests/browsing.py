"""A page in a headless browser: scripts run in it, and what is to come is waited for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


class Tab:
    """What the browser shows."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser

    def run(self, script: str, *arguments: object) -> Any:
        """The value of an expression of JavaScript."""
        return self.browser.execute_script(f"return {script}", *arguments)  # type: ignore[no-untyped-call]

    def until(self, condition: str, within: float = 60) -> None:
        """Wait for an expression to be true. Raises AssertionError after so many seconds."""
        end = time.monotonic() + within
        while not self.run(condition):
            assert time.monotonic() < end, (condition, self.state())
            time.sleep(0.02)

    def state(self) -> Any:
        """What the page says of itself, for a wait that was in vain."""
        return self.browser.current_url

    def size(self, width: int, height: int, *, dark: bool) -> None:
        """A window of so many pixels, a telephone's below 500."""
        run = self.browser.execute_cdp_cmd
        run(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )  # type: ignore[no-untyped-call]
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        run("Emulation.setEmulatedMedia", {"features": [scheme]})  # type: ignore[no-untyped-call]
