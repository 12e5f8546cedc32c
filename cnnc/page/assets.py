"""The parts of the page, which are the same served and exported but for `engine.js`, the page's way to the answers."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Literal

Engine = Literal["socket", "inside"]
_REPORT = ("order.js", "layout.js", "diagram.js", "table.js", "field.js")
"""The report's scripts that draw the diagram, the table and fields here too."""
NAMES = ("index.html", "style.css", "live.js", "editor.js", "engine.js", "LICENCES.txt")


@lru_cache(maxsize=16)
def asset(name: str, engine: Engine = "socket") -> tuple[str, bytes] | None:
    """The type and the bytes of a part of the page; None for a name that it has not."""
    own = resources.files("cnnc.page")
    report = resources.files("cnnc.backends.report")
    if name == "index.html":
        return "text/html; charset=utf-8", own.joinpath("page.html").read_bytes()
    if name == "style.css":
        from cnnc.backends.report.page import kinds_css

        style = report.joinpath("style.css").read_text(encoding="utf8")
        return "text/css; charset=utf-8", "\n".join(
            [style, kinds_css(), own.joinpath("live.css").read_text(encoding="utf8")]
        ).encode()  # fmt: skip
    if name == "live.js":
        parts = [report.joinpath(part).read_text(encoding="utf8") for part in _REPORT]
        return "text/javascript; charset=utf-8", "\n".join(
            [*parts, own.joinpath("live.js").read_text(encoding="utf8")]
        ).encode()  # fmt: skip
    if name == "engine.js":
        return "text/javascript; charset=utf-8", own.joinpath(f"{engine}.js").read_bytes()
    if name == "editor.js":
        return "text/javascript; charset=utf-8", own.joinpath("editor.js").read_bytes()
    if name == "LICENCES.txt":
        return "text/plain; charset=utf-8", own.joinpath("LICENCES.txt").read_bytes()
    return None
