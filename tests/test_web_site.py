"""The web site: its pages are those of the documentation, and each example opens in the playground as the page says of it."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
import zlib
from base64 import urlsafe_b64decode
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import Tab

from cnnc.page.answers import Answers
from cnnc.zoo import entries
from tests.static_server import serving
from tests.test_docs import PAGES, Snippet, snippets, wanted_codes
from tests.test_report_browser import browser  # noqa: F401
from tests.test_site import NEEDS, exported  # noqa: F401

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"play/index\.html#s=([\w-]+)")


@cache
def make() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "site" / "make.py"))


def held(fragment: str) -> dict[str, Any]:
    """What a link brings to the playground."""
    found: dict[str, Any] = json.loads(
        zlib.decompress(urlsafe_b64decode(fragment + "=" * (-len(fragment) % 4)), wbits=-15)
    )
    return found


def examples(page: Path) -> list[Snippet]:
    return [one for one in snippets(page) if one.kind == "cnn" and one.wanted != ("library",)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_of_a_page_opens_as_the_page_says(page: Path, tmp_path: Path) -> None:
    links = [held(fragment) for fragment in LINK.findall(make()["page"](page))]
    links = [link for link in links if not link.get("z")]
    assert [link["t"] for link in links] == [snippet.text for snippet in examples(page)]
    answers = Answers(str(tmp_path / "there" / "net.cnn"), takes_files=True)
    for link, snippet in zip(links, examples(page), strict=True):
        for file in tmp_path.rglob("*.cnn"):
            file.unlink()
        told = answers.answer({"ask": "analyse", "text": link["t"], "files": link.get("f", {})})
        codes = {one["code"] for one in told["findings"] if one["severity"] != "note"}
        assert codes == wanted_codes(snippet), snippet


def test_every_network_of_the_zoo_opens() -> None:
    links = [held(fragment) for fragment in LINK.findall(make()["page"](ROOT / "docs" / "zoo.md"))]
    assert {link["z"]: link["t"] for link in links} == {entry.name: entry.text for entry in entries()}


def test_links_lead_to_pages_of_the_site(tmp_path: Path) -> None:
    """mkdocs checks them too, where it is; here what becomes of links out of docs/."""
    make()["write_pages"](tmp_path)
    for path in tmp_path.glob("*.md"):
        for target in re.findall(
            r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)",
            re.sub(r"^```.*?^```$|`[^`\n]*`", "", path.read_text(encoding="utf8"), flags=re.M | re.S),
        ):
            assert (tmp_path / target).exists(), (path.name, target)
    named = set(re.findall(r"[\w-]+\.md", (ROOT / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf8")))
    assert named == {path.name for path in tmp_path.glob("*.md")}


class Addresses(HTMLParser):
    """What a page loads by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.found.append(given.get("src") or "")
        elif tag == "link" and given.get("rel") != "canonical":
            self.found.append(given.get("href") or "")


@NEEDS[0]
@NEEDS[1]
@pytest.mark.slow
def test_the_site_is_built_and_works_offline(
    tmp_path: Path,
    exported: tuple[Path, int],  # noqa: F811
    browser: Chrome,  # noqa: F811
) -> None:
    """mkdocs-material is put into a folder of its own; the playground's parts are those of the export."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"][
        "optional-dependencies"
    ]["site"]
    packages, out, parts = tmp_path / "packages", tmp_path / "site", exported[0].parent / "parts"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "-c",
        ROOT / "constraints.txt",
        "--target",
        packages,
        *extra,
    ]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"mkdocs-material cannot be had: {done.stderr[-300:]}")
    build = "import sys, runpy, pathlib; runpy.run_path('docs/site/make.py')['build'](*map(pathlib.Path, sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    subprocess.run(
        [sys.executable, "-c", build, out, parts], cwd=ROOT, env=environment, check=True, timeout=300
    )

    plain = {path for path in out.rglob("*") if path.is_file() and path.suffix != ".gz"}
    assert all(path.with_name(f"{path.name}.gz").is_file() for path in plain)
    for path in out.glob("*.html"):
        for address in Addresses(path.read_text(encoding="utf8")).found:
            assert "//" not in address, (path.name, address)
    assert len(list((out / "zoo").glob("*.svg"))) == len(entries())

    tab = Tab(browser)
    with serving(out) as server:
        browser.get_log("browser")  # type: ignore[no-untyped-call]
        browser.get(f"{server.address}zoo.html")
        tab.until("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")
        browser.get(f"{server.address}language.html")
        first = tab.run("document.querySelector('.play a').parentElement.previousElementSibling.textContent")
        tab.run("document.querySelector('.play a').click()")
        tab.until("document.querySelector('#figures b') !== null")
        assert tab.run("editor.text").strip() == first.strip()
        assert tab.run("document.getElementById('home').href") == f"{server.address}index.html"
        browser.get(f"{server.address}index.html")
        tab.run("document.querySelector('[data-md-component=search-query]').focus()")
        tab.run(
            "(document.querySelector('[data-md-component=search-query]').value = 'receptive', document.querySelector('[data-md-component=search-query]').dispatchEvent(new Event('keyup', {bubbles: true})))"
        )
        tab.until("document.querySelectorAll('.md-search-result__item').length > 2")
        assert server.missing == []
        assert [entry["message"] for entry in browser.get_log("browser")] == []  # type: ignore[no-untyped-call]
        browser.get("about:blank")
