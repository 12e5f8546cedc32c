"""Messages of JSON-RPC on two streams, as the Language Server Protocol frames them.

A loop of our own: a server's start is to cost no more than Python's and json's.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from typing import IO, Any

Message = dict[str, Any]

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = (
    -32700, -32600, -32601, -32602, -32603,
)  # fmt: skip
REQUEST_CANCELLED, REQUEST_FAILED, NOT_INITIALIZED = -32800, -32803, -32002
MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message; a spec has 4 MiB at most."""


_PLACE = {"line": int, "character": int}
_RANGE = {"start": _PLACE, "end": _PLACE}
_FILE = {"textDocument": {"uri": str}}
_AT = {**_FILE, "position": _PLACE}
PARAMS: Mapping[str, Any] = {
    "initialize": {"rootUri?": str, "workspaceFolders?": [{"uri": str}], "capabilities?": {"workspace?": {"inlayHint?": {}}}},
    "textDocument/didOpen": {"textDocument": {"uri": str, "text": str}},
    "textDocument/didChange": {**_FILE, "contentChanges": [{"text": str, "range?": _RANGE}]},
    "textDocument/didClose": _FILE,
    "textDocument/didSave": _FILE,
    "workspace/didChangeConfiguration": {},
    "workspace/didChangeWatchedFiles": {},
    "textDocument/rename": {**_AT, "newName": str},
    "textDocument/inlayHint": {**_FILE, "range": _RANGE},
    "textDocument/codeAction": {**_FILE, "range": _RANGE, "context?": {"only?": [str]}},
    "textDocument/references": {**_AT, "context?": {}},
    **{f"textDocument/{method}": _AT for method in ("hover", "completion", "signatureHelp", "definition", "documentHighlight", "prepareRename")},
    **{f"textDocument/{method}": _FILE for method in ("documentSymbol", "foldingRange", "formatting", "semanticTokens/full")},
}  # fmt: skip
"""What is read of the params of each method: types, objects by key and lists of one. A key with ? may be missing or null."""


def misfit(value: Any, wanted: Any, path: str = "params") -> str | None:
    """The path of the first part of a message that is not what is read there; None where all is.

    >>> misfit({"textDocument": {"uri": 3}}, PARAMS["textDocument/didClose"])
    'params.textDocument.uri'
    """
    if isinstance(wanted, list):
        if not isinstance(value, list):
            return path
        parts = ((inner, wanted[0], f"{path}[{i}]") for i, inner in enumerate(value))
    elif isinstance(wanted, dict):
        if not isinstance(value, dict):
            return path
        keys = ((key, key.removesuffix("?"), inner) for key, inner in wanted.items())
        parts = (
            (value.get(name), inner, f"{path}.{name}")
            for key, name, inner in keys
            if key == name or value.get(name) is not None
        )
    else:
        return None if type(value) is wanted else path
    return next((found for part in parts if (found := misfit(*part)) is not None), None)


class BadMessage(Exception):
    """What came in is no message; the stream can be read on where `goes_on`."""

    def __init__(self, why: str, *, goes_on: bool) -> None:
        super().__init__(why)
        self.goes_on = goes_on


def read_message(stream: IO[bytes]) -> Message | None:
    """The next message; None at the end of the stream. Raises BadMessage for what is none."""
    length = None
    while True:
        line = stream.readline(4096)
        if not line:
            return None
        if line in (b"\r\n", b"\n"):
            break
        key, colon, value = line.partition(b":")
        if not colon:
            raise BadMessage(f"no header of a message: {line[:80]!r}", goes_on=False)
        if key.strip().lower() == b"content-length":
            length = int(value) if value.strip().isdigit() else None
    if length is None or length > MAX_MESSAGE:
        raise BadMessage("a message without a length, or too long", goes_on=False)
    body = stream.read(length)
    if len(body) < length:
        return None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise BadMessage("a message that is no JSON", goes_on=True) from None
    if not isinstance(message, dict):
        raise BadMessage("a message that is no object", goes_on=True)
    return message


def write_message(stream: IO[bytes], message: Mapping[str, Any]) -> None:
    """Write one message and send it off."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf8", "surrogatepass")
    stream.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    stream.flush()


class Inbox:
    """The messages that wait. A thread reads them, so that what came last is known while work goes on."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._waiting: deque[Message | BadMessage | None] = deque()
        self._there = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            message: Message | BadMessage | None
            try:
                message = read_message(self._stream)
            except BadMessage as error:
                message = error
            except (OSError, ValueError):
                message = None
            with self._there:
                self._waiting.append(message)
                self._there.notify()
            if message is None or (isinstance(message, BadMessage) and not message.goes_on):
                return
            if isinstance(message, dict) and message.get("method") == "exit":
                return  # Python cannot end while a thread reads standard input

    def next(self) -> Message | BadMessage | None:
        """The next message, waited for; None at the end."""
        with self._there:
            while not self._waiting:
                self._there.wait()
            return self._waiting.popleft()

    def waits(self, seconds: float) -> bool:
        """Whether a message waits, or comes within a time."""
        with self._there:
            return self._there.wait_for(lambda: bool(self._waiting), seconds)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def is_cancelled(self, request: object) -> bool:
        """Whether a cancellation of a request waits."""
        with self._there:
            waiting = list(self._waiting)
        return any(
            isinstance(m, dict)
            and m.get("method") == "$/cancelRequest"
            and isinstance(m.get("params"), dict)
            and m["params"].get("id") == request
            for m in waiting
        )
