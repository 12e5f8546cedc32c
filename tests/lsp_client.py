"""A client of the language server: a process, messages framed as the protocol says, one answer for each request."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any


class Failed(Exception):
    """An answer that is an error."""


class Client:
    """A server of its own, and what it sent."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cnnc", "lsp", "--stdio"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder,
        )  # fmt: skip
        self.folder = folder
        self.asked = 0
        self.notices: list[dict[str, Any]] = []
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.versions: dict[str, int] = {}
        threading.Thread(target=self._read, daemon=True).start()
        self.capabilities = self.request("initialize", {
            "processId": None, "rootUri": folder.as_uri(), "capabilities": {"workspace": {"inlayHint": {"refreshSupport": True}}},
            "initializationOptions": options or None,
        })["capabilities"]  # fmt: skip
        self.initialized_in = time.perf_counter() - self.begun
        self.notify("initialized", {})

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            length = 0
            while True:
                line = stream.readline()
                if not line:
                    return
                if line == b"\r\n":
                    break
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.inbox.put(json.loads(stream.read(length)))

    def write(self, body: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.process.stdin.flush()

    def notify(self, method: str, params: Any) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def request(self, method: str, params: Any, within: float = 60) -> Any:
        """The result of a request; what comes before it is kept in `notices`. Raises Failed for an error."""
        self.asked += 1
        me = self.asked
        message = {"jsonrpc": "2.0", "id": me, "method": method, "params": params}
        self.write(json.dumps(message).encode())
        while True:
            found = self.inbox.get(timeout=within)
            if found.get("id") == me and "method" not in found:
                if "error" in found:
                    raise Failed(found["error"]["message"])
                return found["result"]
            self.notices.append(found)

    # --- texts ------------------------------------------------------------------------------

    def open(self, text: str, name: str = "net.cnn") -> str:
        """Open a text; its URI."""
        uri = (self.folder / name).as_uri()
        self.versions[uri] = 1
        item = {"uri": uri, "languageId": "cnnc", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})
        return uri

    def change(self, uri: str, *changes: dict[str, Any]) -> None:
        self.versions[uri] += 1
        document = {"uri": uri, "version": self.versions[uri]}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [*changes]})

    def ask(self, what: str, uri: str, line: int = 0, character: int = 0, **more: Any) -> Any:
        params = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}, **more}
        return self.request(f"textDocument/{what}", params)

    def inlays(self, uri: str) -> dict[int, str]:
        """What stands at the ends of lines, by line from 0."""
        span = {"start": {"line": 0, "character": 0}, "end": {"line": 100_000, "character": 0}}
        found = self.request("textDocument/inlayHint", {"textDocument": {"uri": uri}, "range": span})
        return {hint["position"]["line"]: hint["label"] for hint in found}

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        """Those of the newest text, asked for by a request that needs it analysed."""
        self.inlays(uri)
        told = [n["params"] for n in self.notices if n.get("method") == "textDocument/publishDiagnostics"]
        mine = [p for p in told if p["uri"] == uri]
        assert mine[-1].get("version") == self.versions[uri]
        found: list[dict[str, Any]] = mine[-1]["diagnostics"]
        return found

    def close(self) -> int:
        """Shut the server down; its exit code."""
        if self.process.poll() is None:
            self.request("shutdown", None)
            self.notify("exit", None)
        return self.ended()

    def ended(self) -> int:
        """The exit code once the server has ended; its pipes are closed."""
        code = self.process.wait(timeout=20)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return code


def edited(text: str, edits: list[dict[str, Any]]) -> str:
    """A plain ASCII text after edits of the protocol."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def at(position: dict[str, int]) -> int:
        return min(starts[min(position["line"], len(lines))] + position["character"], len(text))

    for edit in sorted(edits, key=lambda e: at(e["range"]["start"]), reverse=True):
        text = text[: at(edit["range"]["start"])] + edit["newText"] + text[at(edit["range"]["end"]) :]
    return text
