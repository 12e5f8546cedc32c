"""The server: texts that editors hold, and what is asked about them.

Messages are handled in order. A change only notes the new text; it is analysed once nothing waits, or when a request
needs it, so that of texts that come faster than they are analysed only the newest is.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from cnnc.lsp.protocol import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_INITIALIZED,
    PARAMS,
    PARSE_ERROR,
    REQUEST_CANCELLED,
    REQUEST_FAILED,
    BadMessage,
    Inbox,
    Message,
    misfit,
    write_message,
)

if TYPE_CHECKING:
    from cnnc.lsp.workspace import Workspace

TOKEN_TYPES = (
    "keyword", "number", "string", "comment", "function", "class", "variable", "parameter", "property", "namespace",
)  # fmt: skip
TOKEN_MODIFIERS = ("declaration", "readonly")
"""What words can be and how they can be marked; answers give the places in these."""

CAPABILITIES: dict[str, Any] = {
    "positionEncoding": "utf-16",
    "textDocumentSync": {"openClose": True, "change": 2, "save": {"includeText": False}},
    "hoverProvider": True,
    "completionProvider": {"triggerCharacters": ["(", "=", ",", "{", "-", "/", " ", '"', ":"]},
    "signatureHelpProvider": {"triggerCharacters": ["(", ","]},
    "definitionProvider": True,
    "referencesProvider": True,
    "documentHighlightProvider": True,
    "documentSymbolProvider": True,
    "foldingRangeProvider": True,
    "documentFormattingProvider": True,
    "codeActionProvider": {"codeActionKinds": ["quickfix"]},
    "renameProvider": {"prepareProvider": True},
    "inlayHintProvider": True,
    "semanticTokensProvider": {
        "legend": {"tokenTypes": TOKEN_TYPES, "tokenModifiers": TOKEN_MODIFIERS},
        "full": True,
    },
}


PAUSE = 1.0
"""Seconds without a message after which nobody types, and garbage can be looked for."""
MOST_TEXTS = 100
"""Analysed since garbage was looked for: then it is, whoever types."""


class Refused(Exception):
    """A request that cannot be met, for a reason to tell."""


class Server:
    """One client on two streams. `run` goes on until the client ends it."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._inbox = Inbox(incoming)
        self._outgoing = outgoing
        self._workspace: Workspace | None = None
        self._is_ended = False
        self._asked = 0
        self._tidied = 0
        """How many texts had been analysed when garbage was looked for."""

    def run(self) -> int:
        """Serve; the exit code: 1 for an `exit` before which no `shutdown` was asked for."""
        while True:
            if self._inbox.is_empty and self._workspace is not None:
                self._guarded(None, self._workspace.catch_up)
                self._tidy(self._workspace.analysed)
            message = self._inbox.next()
            if message is None:
                return 0  # the client is gone
            if isinstance(message, BadMessage):
                self._answer(None, error=(PARSE_ERROR, str(message)))
                if not message.goes_on:
                    return 1
                continue
            if message.get("method") == "exit":
                return 0 if self._is_ended else 1
            self._handle(message)

    def _tidy(self, analysed: int) -> None:
        """Look for garbage, which takes as long as a text, while nobody waits for an answer."""
        texts = analysed - self._tidied
        if texts >= MOST_TEXTS or (texts and not self._inbox.waits(PAUSE)):
            gc.collect()
            self._tidied = analysed

    # --- messages -----------------------------------------------------------------------

    def send(self, message: Message) -> None:
        write_message(self._outgoing, {"jsonrpc": "2.0", **message})

    def notify(self, method: str, params: Any) -> None:
        """Tell the client something."""
        self.send({"method": method, "params": params})

    def ask(self, method: str) -> None:
        """Ask the client to do something; its answer says nothing more."""
        self._asked += 1
        self.send({"id": f"cnnc-{self._asked}", "method": method})

    def log(self, text: str, kind: int = 1) -> None:
        """A line in the client's log: 1 an error, 2 a warning, 3 information."""
        self.notify("window/logMessage", {"type": kind, "message": text})

    def _answer(self, request: Any, result: Any = None, error: tuple[int, str] | None = None) -> None:
        if error is not None:
            self.send({"id": request, "error": {"code": error[0], "message": error[1]}})
        else:
            self.send({"id": request, "result": result})

    def _handle(self, message: Message) -> None:
        method, request, params = message.get("method"), message.get("id"), message.get("params") or {}
        if not isinstance(method, str):
            if "result" not in message and "error" not in message:
                self._answer(request, error=(INVALID_REQUEST, "a message without a method"))
            return
        wrong = misfit(params, PARAMS[method]) if method in PARAMS else None
        if wrong is not None:
            told = f"`{wrong}` of `{method}` is not what the protocol has there"
            if "id" in message:
                self._answer(request, error=(INVALID_PARAMS, told))
            else:
                self.log(told, 2)
            return
        if "id" not in message:
            self._notified(method, params)
        elif method == "initialize":
            self._initialize(request, params)
        elif self._workspace is None:
            self._answer(request, error=(NOT_INITIALIZED, "the server waits for `initialize`"))
        elif method == "shutdown":
            self._is_ended = True
            self._answer(request)
        elif self._is_ended:
            self._answer(request, error=(INVALID_REQUEST, "the server was shut down"))
        elif self._inbox.is_cancelled(request):
            self._answer(request, error=(REQUEST_CANCELLED, "cancelled"))
        else:
            self._requested(request, method, params)

    def _initialize(self, request: Any, params: dict[str, Any]) -> None:
        from cnnc.dsl.version import VERSION
        from cnnc.lsp.workspace import Workspace

        if self._workspace is not None:
            self._answer(request, error=(INVALID_REQUEST, "initialized already"))
            return
        self._workspace = Workspace(self, params)
        info = {"name": "cnnc", "version": VERSION}
        self._answer(request, {"capabilities": CAPABILITIES, "serverInfo": info})

    def _notified(self, method: str, params: Any) -> None:
        if self._workspace is None or self._is_ended:
            return
        handler: Callable[[Any], None] | None = self._workspace.notifications.get(method)
        if handler is not None:
            self._guarded(None, lambda: handler(params))

    def _requested(self, request: Any, method: str, params: Any) -> None:
        assert self._workspace is not None
        workspace = self._workspace
        if method not in workspace.requests:
            self._answer(request, error=(METHOD_NOT_FOUND, f"no method `{method}`"))
            return
        self._guarded(request, lambda: self._answer(request, workspace.ask(method, params)))

    def _guarded(self, request: Any, act: Callable[[], None]) -> None:
        """Do something; a mistake of ours is told and does not end the server."""
        try:
            act()
        except Refused as error:
            self._answer(request, error=(REQUEST_FAILED, str(error)))
        except (BrokenPipeError, KeyboardInterrupt):
            raise
        except Exception as error:
            if os.environ.get("CNNC_TRACEBACK"):
                import traceback

                traceback.print_exc()
            told = f"cnnc itself failed ({type(error).__name__}: {error}): this is a bug in cnnc, not in your spec"
            if request is not None:
                self._answer(request, error=(INTERNAL_ERROR, told))
            else:
                self.log(told)


def serve() -> int:
    """Serve one client on standard input and output; the exit code."""
    gc.disable()  # `Server` looks for garbage at times of its own
    stdout = sys.stdout  # held: it closes what it writes to when it goes
    sys.stdout = sys.stderr  # nothing that is printed may come between the messages
    try:
        return Server(sys.stdin.buffer, stdout.buffer).run()
    except BrokenPipeError:
        return 1
    finally:
        sys.stdout = stdout
        gc.enable()
