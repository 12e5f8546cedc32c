"""`cnnc live --export`: the page as a folder of files, for any web server. Python runs in the browser, by Pyodide.

Nothing is fetched here: Pyodide, which pip does not install, lies in a folder, and where it is missing the message says the
command that puts it there. Beside each file is one with `.gz`, for servers that send it.
"""

from __future__ import annotations

import gzip
import io
import json
import shlex
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from cnnc.cli.files import replace_file
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.parse import parse
from cnnc.dsl.read import read_source
from cnnc.given import ZOO
from cnnc.page.answers import start, to_json
from cnnc.page.assets import NAMES, asset

PYODIDE = "314.0.7"
"""The version of npm's `pyodide`: Python 3.14."""

_RUNTIME = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm")
_LEFT_OUT = ("cli", "importer", "lsp", "solving", "pytest_plugin.py", "highlight.py")
"""Of cnnc: what a browser has no use for."""
_PAGE = ("__init__.py", "answers.py", "inside.py", "sliders.py", "tabs.py")
"""Of `cnnc.page`: what answers."""
_READ = ("cnnc/compiler/symbolic.py", "cnnc/backends/pytorch/helpers/")
"""Sources that are copied into compiled modules."""
_WITHOUT = (
    "_pyrepl", "bdb", "cProfile", "cmd", "curses", "dbm", "doctest", "ensurepip", "ftplib", "idlelib", "imaplib",
    "lib2to3", "mailbox", "multiprocessing", "optparse", "pdb", "pickletools", "plistlib", "poplib", "profile",
    "pstats", "pydoc", "pydoc_data", "shelve", "smtplib", "sqlite3", "test", "tkinter", "turtle", "turtledemo",
    "unittest", "venv", "wsgiref", "xmlrpc",
)  # fmt: skip
"""Of Python's library: tools for developers, mail, and what a browser has not."""
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)

Say = Callable[[str], None]


def export(into: Path, parts: Path, spec: str | None, say: Say, *, home: str | None = None) -> int:
    """Write the page to a folder, with what it needs, and give the bytes of a first visit, packed by gzip.

    The page begins with `spec`, a file or a network of the zoo, and has a link to `home`. `say` is called with the name of
    each step that takes seconds. Raises CnncError for parts that are missing (E802), a spec that cannot be read (E701)
    or uses files beside it (E801), and a folder that cannot be written or has files of somebody else (E703).
    """
    begun = _begun(spec, home)
    pyodide = _pyodide(parts)
    try:
        if into.is_dir() and any(into.iterdir()) and not (into / "python" / "cnnc.zip").is_file():
            raise fail(
                "E703", f"`{into}` has files that no export wrote", hint="name a new or an empty folder"
            )
        (into / "python").mkdir(parents=True, exist_ok=True)
        say("compiling Python's library and cnnc for the browser")
        _compile(pyodide, into / "python")
        for name in _RUNTIME:
            shutil.copyfile(pyodide / name, into / "python" / name)
        written = {
            path: path.read_bytes() for path in sorted((into / "python").iterdir()) if path.suffix != ".gz"
        }
        texts = {into / name: text for name, text in _page(begun, pyodide).items()}
        say("packing")
        return sum(_write(path, raw) for path, raw in (written | texts).items())
    except OSError as error:
        raise fail("E703", f"`{into}` cannot be written: {error.strerror or error}") from None


def _page(begun: str, pyodide: Path) -> dict[str, bytes]:
    """The page's own files."""
    found = {name: made[1] for name in NAMES if (made := asset(name, "inside")) is not None}
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'.encode()
    found["index.html"] = found["index.html"].replace(b"<head>\n", b"<head>\n" + policy)
    found["LICENCES.txt"] += _licence(pyodide).encode()
    found["worker.js"] = resources.files("cnnc.page").joinpath("worker.js").read_bytes()
    found["start.json"] = begun.encode()
    lock = json.loads((pyodide / "pyodide-lock.json").read_bytes())
    found["python/lock.json"] = json.dumps({"info": lock["info"], "packages": {}}).encode()
    return found


def _begun(spec: str | None, home: str | None) -> str:
    if spec is None or spec.startswith(ZOO):
        return to_json(start(None if spec is None else spec.removeprefix(ZOO), home=home))
    source = read_source(spec)
    for statement in parse(source).statements:
        if isinstance(statement, s.Use) and statement.is_file and not statement.origin.startswith(ZOO):
            raise fail("E801", "a page without a server has no files that a spec could use", statement.span)
    return to_json(start("", source.text, home))


# --- the parts -----------------------------------------------------------------------------------


def fetching(parts: Path) -> list[str]:
    """The command that puts npm's package into a folder."""
    return ["npm", "install", "--prefix", str(parts), f"pyodide@{PYODIDE}"]


def _pyodide(parts: Path) -> Path:
    """The folder of npm's package."""
    found = parts / "node_modules" / "pyodide"
    about = found / "package.json"
    version = json.loads(about.read_bytes()).get("version") if about.is_file() else None
    if version != PYODIDE:
        raise fail(
            "E802",
            f"the page takes npm's package pyodide {PYODIDE}, and `{parts}` has {version or 'none'}",
            hint=shlex.join(fetching(parts)),
        )
    return found


def _sources() -> bytes:
    """All modules that the browser's Python needs beside its library, as a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        for name, data in sorted(_own(resources.files("cnnc"), "cnnc")):
            packed.writestr(name, data)
    return out.getvalue()


def _own(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.name == "__pycache__" or (name == "cnnc" and item.name in _LEFT_OUT):
            continue
        if name == "cnnc/page" and item.name not in _PAGE:
            continue
        if item.is_dir():
            yield from _own(item, f"{name}/{item.name}")
        else:
            yield f"{name}/{item.name}", item.read_bytes()


def _compile(pyodide: Path, into: Path) -> None:
    """Write stdlib.zip and cnnc.zip."""
    node = shutil.which("node")
    if node is None:
        raise fail(
            "E802", "modules are compiled for the browser by Node.js, and there is no `node`",
            hint="install Node.js 18 or newer; npm comes with it",
        )  # fmt: skip
    program = resources.files("cnnc.page").joinpath("prepare.mjs")
    with tempfile.TemporaryDirectory() as name, resources.as_file(program) as script:
        sources = Path(name) / "sources.zip"
        replace_file(sources, _sources())
        job = json.dumps({"without": _WITHOUT, "read": _READ})
        command = [node, str(script), str(pyodide.resolve()), str(sources), str(into.resolve()), job]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "Error" in line] or [
            f"exit code {done.returncode}"
        ]
        raise fail(
            "E802", f"Node.js did not compile the modules: {told[-1][:300]}", hint="18 or newer is needed"
        )


def _write(path: Path, raw: bytes) -> int:
    """Write a file and the `.gz` beside it, the same bytes each time; the size of that."""
    packed = gzip.compress(raw, compresslevel=9, mtime=0)
    replace_file(path, raw)
    replace_file(path.with_name(f"{path.name}.gz"), packed)
    return len(packed)


def _licence(pyodide: Path) -> str:
    about = json.loads((pyodide / "package.json").read_bytes())
    return (
        "\nParts of python/, which `cnnc live --export` copies, and their licences.\n\n"
        f"--- pyodide {about['version']} ({about.get('license', '')})\n\n"
        "Pyodide and the Python in it, from npm; the source is at https://github.com/pyodide/pyodide.\n"
        "Pyodide's licence is at https://www.mozilla.org/MPL/2.0/, Python's at https://docs.python.org/3/license.html.\n"
    )
