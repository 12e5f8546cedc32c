"""Writes the web site: the documentation, the zoo with its pictures, and the page of `cnnc live` as a playground.

    python docs/site/make.py FOLDER        # `make site`

The pages are those of docs/ and of the repository. Every example and every network has a link that opens it in the playground. Needs
mkdocs-material (`pip install '.[site]'`), Node.js and npm.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from cnnc.dsl.diagnostics import CnncError
from cnnc.page.export import export, fetching
from cnnc.zoo import Entry

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OTHERS = {
    "README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md", "editors/README.md": "colours.md",
}  # fmt: skip
"""Pages that do not lie in docs/, and their names on the site."""
_BLOCK = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HIDDEN = re.compile(r"^<!-- file=(\S+)\n(.*?)^-->$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"(?<=[| ])`[^`\n]*\\\|[^`\n]*`")
"""Code in a table with a bar in it, which GitHub wants escaped and Python's Markdown does not."""
_TRY = '<p><a class="md-button md-button--primary" href="play/index.html">Try it here</a></p>'
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
_USED = re.compile(r'\bfrom[ \t]+"([\w-]+\.cnn)"')


def address(text: str, *, zoo: str = "", files: Mapping[str, str] | None = None) -> str:
    """The playground with a text in it: what the page's *Share* puts into its address."""
    held: dict[str, object] = {"t": text}
    if zoo:
        held["z"] = zoo
    if files:
        held["f"] = dict(files)
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(json.dumps(held, ensure_ascii=False).encode()) + packer.flush()
    return f"play/index.html#s={urlsafe_b64encode(packed).decode().rstrip('=')}"


def page(path: Path) -> str:
    """A page of the repository as one of the site."""
    text = _CELL.sub(lambda code: code[0].replace("\\|", "|"), path.read_text(encoding="utf8"))
    if path.name == "README.md" and path.parent == ROOT:
        text = text.replace("\n\nInstall", f"\n\n{_TRY}\n\nInstall", 1)
    if path.name == "zoo.md":
        text = f"---\nhide: [navigation, toc]\n---\n\n{text}"
    files = dict(_HIDDEN.findall(text))
    for block in _BLOCK.finditer(text):
        name = next((o.removeprefix("file=") for o in block["info"].split() if o.startswith("file=")), "")
        if name.endswith(".cnn"):
            files[name] = block["text"]
    parts, at = [], 0
    for block in _BLOCK.finditer(text):
        parts += [_linked(text[at : block.start()], path), _example(block, files)]
        at = block.end()
    return "".join([*parts, _linked(text[at:], path)])


def _example(block: re.Match[str], files: Mapping[str, str]) -> str:
    """A fenced block, and the link that opens it."""
    kind, *options = block["info"].split()
    if kind != "cnn":
        return f"```{kind}\n{block['text']}```"
    shown = f"```cnnc\n{block['text']}```"
    if "library" in options:
        return shown  # which is no network; the examples that use it bring it along
    link = address(block["text"], files=_used(block["text"], files))
    return f'{shown}\n\n<p class="play"><a href="{link}">Open in the playground</a></p>\n'


def _used(text: str, files: Mapping[str, str]) -> dict[str, str]:
    """The files among a page's that a text uses, and those that they use."""
    found: dict[str, str] = {}
    waiting = _USED.findall(text)
    while waiting:
        name = waiting.pop()
        if name in files and name not in found:
            found[name] = files[name]
            waiting += _USED.findall(files[name])
    return found


def _linked(text: str, page: Path) -> str:
    """Links to pages as the site names them; a spec of the zoo opens in the playground."""

    def link(match: re.Match[str]) -> str:
        target = (page.parent / match["path"]).resolve()
        anchor = match["anchor"] or ""
        if not target.exists() or not target.is_relative_to(ROOT):
            return match[0]
        place = target.relative_to(ROOT).as_posix()
        if place in OTHERS:
            return OTHERS[place] + anchor
        if place.startswith("docs/"):
            return place.removeprefix("docs/") + anchor
        if place.startswith("cnnc/specs/") and target.suffix == ".cnn":
            return address(target.read_text(encoding="utf8"), zoo=Entry(target.stem).name)
        return f"files/{place}"

    return _LINK.sub(link, text)


def write_pages(folder: Path) -> None:
    """The Markdown of all pages, and the files that they show or link to."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        (folder / path.name).write_text(page(path), encoding="utf8")
    for name, own in OTHERS.items():
        (folder / own).write_text(page(ROOT / name), encoding="utf8")
    for name in ("zoo", "pictures"):
        (folder / name).mkdir()
        for picture in (ROOT / "docs" / name).glob("*.svg"):
            shutil.copyfile(picture, folder / name / picture.name)
    shutil.copyfile(HERE / "site.css", folder / "site.css")
    # So that links to it are found good; the playground itself comes last.
    (folder / "play").mkdir()
    (folder / "play" / "index.html").touch()
    for linked in {
        m
        for path in folder.glob("*.md")
        for m in re.findall(r"\]\(files/([^)#]+)", path.read_text(encoding="utf8"))
    }:
        target = folder / "files" / linked
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / linked, target)


def build(into: Path, parts: Path) -> None:
    """The whole site. Raises CnncError for parts of the playground that are missing."""
    from mkdocs.commands.build import build as build_pages
    from mkdocs.config import load_config

    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        write_pages(Path(name))
        build_pages(load_config(str(HERE / "mkdocs.yml"), docs_dir=name, site_dir=str(into), strict=True))
    shutil.rmtree(into / "play")
    for path in sorted(into.rglob("*")):
        if path.is_file() and path.suffix != ".gz":
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    export(into / "play", parts, None, print, home="../index.html")


def fetch(parts: Path) -> None:
    """Put what the playground needs into a folder, where it is not there yet, from npm."""
    if not (parts / "node_modules" / "pyodide").is_dir():
        subprocess.run(fetching(parts), check=True)


def main() -> None:
    """Fetch what is missing, and write the site to the folder that is named."""
    into, parts = Path(sys.argv[1]), ROOT / "browser-parts"
    fetch(parts)
    try:
        build(into, parts)
    except CnncError as error:
        sys.exit("\n".join(found.render() for found in error.diagnostics))


if __name__ == "__main__":
    main()
