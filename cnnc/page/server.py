"""The page's server: this machine alone, a token in every address, and nothing else of the machine to be read.

Every address begins with the token. A request must be addressed to this machine by name, so that no other site's name can be
turned here, and a question must come from the page itself. Where a proxy of one's own passes the page on, as an editor in the
browser does, the name is the proxy's, and is given at the start.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cnnc.dsl.diagnostics import CnncError
from cnnc.page.answers import Answers, BadQuestion, start, to_json
from cnnc.page.assets import asset
from cnnc.page.files import Watched

MAX_BODY = 16 * 1024 * 1024
_HEARTBEAT = 1.0
"""Seconds after which a waiting page is told that nothing changed."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self' vscode-webview: https://*.vscode-cdn.net"
)


class Page(ThreadingHTTPServer):
    """A page about one file, or about none."""

    daemon_threads = True

    def __init__(
        self, path: str | None, *, zoo: str | None = None, port: int = 0, allow_outside: bool = False,
        proxy: str | None = None,
    ) -> None:  # fmt: skip
        """`zoo` is the network shown at first where there is no file, `proxy` the origin (`https://host:port`) of one that
        passes the page on. Raises CnncError for a file that cannot be read.
        """
        self.proxy = proxy
        self.token = secrets.token_urlsafe(24)
        self.file = None if path is None else Watched(path, allow_outside=allow_outside)
        if self.file is not None:
            self.file.text()
        # A text without a file is taken to lie in a folder that is not there, so that it can use none beside it.
        name = (
            path if path is not None else os.path.join(tempfile.gettempdir(), f"cnnc-{self.token}", "net.cnn")
        )
        self.zoo = zoo
        self.answers = Answers(name, allow_outside=allow_outside)
        self.answers.asks["save"] = self._save
        super().__init__(("127.0.0.1", port), Handler)
        if self.file is not None:
            threading.Thread(target=self.file.watch, daemon=True).start()

    @property
    def address(self) -> str:
        """What to open."""
        return f"http://127.0.0.1:{self.server_address[1]}/{self.token}/"

    def start(self) -> dict[str, Any]:
        """What the page begins with: the file's text, or a network of the zoo."""
        begun = start(self.zoo)
        if self.file is None:
            return begun
        begun |= {"file": self.file.path, "text": None, "version": self.file.version, "zoo": ""}
        try:
            return begun | {"text": self.file.text()}
        except CnncError as error:
            return begun | {"missing": error.diagnostics[0].message}

    def _save(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        file, text, before = self.file, asked.get("text"), asked.get("before")
        if file is None or not isinstance(text, str) or not isinstance(before, str):
            raise BadQuestion("there is no file to save to")
        return {"problem": file.save(text, before)}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no mistake."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Page
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not told."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def do_GET(self) -> None:
        """A part of the page, or what changes."""
        name = self._name()
        if name is None:
            self._send(404, "text/plain", b"not found\n")
        elif name == "changes":
            self._changes()
        elif name == "start":
            self._send(200, "application/json", to_json(self.server.start()).encode())
        else:
            found = asset(name or "index.html")
            if found is None:
                self._send(404, "text/plain", b"not found\n")
            else:
                self._send(200, *found)

    def do_POST(self) -> None:
        """A question of the page."""
        if self._name() != "ask" or self.headers.get("Origin") not in self._origins():
            self._send(403, "text/plain", b"not allowed\n")
            self.close_connection = True
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self._send(413, "text/plain", b"too long\n")
            self.close_connection = True
            return
        status, text = self.server.answers.reply(self.rfile.read(int(length)))
        self._send(
            status,
            "application/json" if status == 200 else "text/plain; charset=utf-8",
            text.encode(errors="backslashreplace"),
        )

    # --- what may be asked --------------------------------------------------------------------

    def _origins(self) -> tuple[str, ...]:
        port, proxy = self.server.server_address[1], self.server.proxy
        own = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        return own if proxy is None else (*own, proxy)

    def _name(self) -> str | None:
        """What a request is for, behind the token; None where it has not the token, or comes under another name."""
        hosts = [origin.partition("://")[2] for origin in self._origins()]
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts or (origin is not None and origin not in self._origins()):
            return None
        path = self.path.partition("?")[0]
        _, _, rest = path.partition("/")
        token, slash, name = rest.partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            return None
        return name

    # --- answers --------------------------------------------------------------------------------

    def _changes(self) -> None:
        """A stream of the versions of the file, each as it is saved."""
        self.send_response(200)
        self._headers("text/event-stream", None)
        self.end_headers()
        self.close_connection = True
        version = self.server.file.version if self.server.file is not None else 0
        while True:
            if self.server.file is None:
                time.sleep(_HEARTBEAT)
                now = 0
            else:
                now = self.server.file.wait(version, _HEARTBEAT)
            told = f"data: {now}\n\n" if now != version else ": nothing\n\n"
            version = now
            self.wfile.write(told.encode())
            self.wfile.flush()

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self._headers(kind, len(body))
        self.end_headers()
        self.wfile.write(body)

    def _headers(self, kind: str, length: int | None) -> None:
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        # A proxy that compressed the stream of changes would hold it back.
        self.send_header("Cache-Control", "no-store, no-transform")
