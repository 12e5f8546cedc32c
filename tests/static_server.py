"""A plain static server, as hosts have them: files of one folder, the `.gz` beside each sent in its stead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KINDS = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".wasm": "application/wasm",
    ".zip": "application/zip", ".txt": "text/plain; charset=utf-8", ".svg": "image/svg+xml", ".xml": "application/xml",
    ".png": "image/png",
}  # fmt: skip


class Static(ThreadingHTTPServer):
    """Of one folder; `sent` has the bytes of each answer's body, `missing` the paths that were asked for in vain."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.sent: list[tuple[str, int]] = []
        self.missing: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Static
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        file = (self.server.folder / (path.strip("/") or ".")).resolve()
        if file.is_dir():
            file /= "index.html"
        if not file.is_relative_to(self.server.folder) or not file.is_file():
            self.server.missing.append(path)
            self.send_error(404)
            return
        changed = formatdate(file.stat().st_mtime, usegmt=True)
        if self.headers.get("If-Modified-Since") == changed:
            self.send_response(304)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        packed = file.with_name(f"{file.name}.gz")
        is_packed = packed.is_file() and "gzip" in self.headers.get("Accept-Encoding", "")
        body = (packed if is_packed else file).read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", KINDS[file.suffix])
        self.send_header("Last-Modified", changed)
        self.send_header("Cache-Control", "max-age=600")
        self.send_header("Content-Length", str(len(body)))
        if is_packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)
        self.server.sent.append((path, len(body)))


@contextmanager
def serving(folder: Path) -> Iterator[Static]:
    """The server, in a thread, while the block runs."""
    server = Static(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
