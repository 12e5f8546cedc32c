"""The texts of a client: opened, changed, saved and closed; their diagnostics are told as they change."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from cnnc.lsp.text import Text

if TYPE_CHECKING:
    from cnnc.live.engine import Analysis, Document, Setting
    from cnnc.lsp.server import Server


class Open:
    """One text that the client holds."""

    def __init__(self, uri: str, version: int | None, text: Text, document: Document) -> None:
        self.uri = uri
        self.version = version
        self.text = text
        self.document = document
        self.is_stale = True
        """Whether the newest text was not analysed yet."""

    @property
    def analysis(self) -> Analysis:
        """Of the newest text."""
        assert self.document.newest is not None
        return self.document.newest


def path_of(uri: str, folder: str) -> str:
    """The file of a URI; a text without one is taken to lie in `folder`."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        return os.path.join(folder, os.path.basename(unquote(parts.path)) or "untitled.cnn")
    path = unquote(parts.path)
    if os.name == "nt" and path.startswith("/"):
        path = path[1:]
    return path


def uri_of(path: str) -> str:
    """The URI of a file."""
    full = os.path.abspath(path).replace(os.sep, "/")
    return "file://" + quote(full if full.startswith("/") else f"/{full}", safe="/:@")


class Workspace:
    """What a client has open, and how it wants it shown."""

    def __init__(self, server: Server, params: dict[str, Any]) -> None:
        self.server = server
        self.open: dict[str, Open] = {}
        self.analysed = 0
        """How many texts were."""
        folders = params.get("workspaceFolders") or []
        root = params.get("rootUri") or (folders[0]["uri"] if folders else None)
        self.folder = path_of(root, os.getcwd()) if root else os.getcwd()
        self.capabilities: dict[str, Any] = params.get("capabilities") or {}
        self.shown: tuple[str, ...] = ("shape",)
        self.params: dict[str, Any] = {}
        self.allow_outside = False
        self._configure(params.get("initializationOptions"))
        self.notifications: dict[str, Callable[[Any], None]] = {
            "initialized": self._initialized,
            "textDocument/didOpen": self._opened,
            "textDocument/didChange": self._changed,
            "textDocument/didSave": self._saved,
            "textDocument/didClose": self._closed,
            "workspace/didChangeConfiguration": lambda p: self._reconfigured(p.get("settings")),
            "workspace/didChangeWatchedFiles": self._saved,
        }
        self.requests: dict[str, str] = {
            "textDocument/hover": "hover",
            "textDocument/completion": "completion",
            "textDocument/signatureHelp": "signature_help",
            "textDocument/definition": "definition",
            "textDocument/references": "references",
            "textDocument/documentHighlight": "highlights",
            "textDocument/documentSymbol": "symbols",
            "textDocument/foldingRange": "folding",
            "textDocument/formatting": "formatting",
            "textDocument/codeAction": "code_actions",
            "textDocument/prepareRename": "prepare_rename",
            "textDocument/rename": "rename",
            "textDocument/inlayHint": "inlays",
            "textDocument/semanticTokens/full": "semantic_tokens",
        }
        """The functions of `cnnc.lsp.features` that answer."""

    def ask(self, method: str, params: Any) -> Any:
        """The answer to a request, about the newest text."""
        from cnnc.lsp.server import Refused

        uri = params.get("textDocument", {}).get("uri")
        if uri not in self.open:
            raise Refused(f"{uri} is not open")
        self._analyse(self.open[uri])
        features = import_module("cnnc.lsp.features")
        return getattr(features, self.requests[method])(self, self.open[uri], params)

    def catch_up(self) -> None:
        """Analyse what changed; called when nothing else waits."""
        for held in list(self.open.values()):
            self._analyse(held)

    def _analyse(self, held: Open) -> None:
        if not held.is_stale:
            return
        held.is_stale = False
        held.document.put(held.text.text, self._setting(held))
        diagnostics = import_module("cnnc.lsp.diagnostics").diagnostics(held)
        self.server.notify(
            "textDocument/publishDiagnostics",
            {"uri": held.uri, "version": held.version, "diagnostics": diagnostics},
        )

    def _setting(self, held: Open) -> Setting:
        """What the options say, of those params that the text declares."""
        from cnnc.live.engine import Setting

        if not self.params:
            return Setting(allow_outside=self.allow_outside)
        from cnnc.dsl.diagnostics import CnncError
        from cnnc.dsl.parse import parse
        from cnnc.dsl.source import Source
        from cnnc.page.sliders import setting_of

        try:
            tree = parse(
                Source(held.document.name, held.text.text.removeprefix("\ufeff"), self.allow_outside)
            )
        except CnncError:
            tree = None  # the analysis tells it
        return setting_of(tree, self.params, {}, outside=self.allow_outside)

    # --- what the client tells ---------------------------------------------------------------

    def _initialized(self, params: Any) -> None:
        """The client waits for nothing now: import what the first text needs."""
        import_module("cnnc.lsp.features")
        import_module("cnnc.compiler.ops").op_words()
        gc.collect()
        gc.freeze()

    def _opened(self, params: Any) -> None:
        from cnnc.live.engine import Document

        item = params["textDocument"]
        document = Document(path_of(item["uri"], self.folder))
        self.open[item["uri"]] = Open(item["uri"], item.get("version"), Text(item["text"]), document)

    def _changed(self, params: Any) -> None:
        held = self.open.get(params["textDocument"]["uri"])
        if held is None:
            return
        for change in params["contentChanges"]:
            held.text = held.text.changed(change)
        held.version = params["textDocument"].get("version")
        held.is_stale = True

    def _saved(self, params: Any) -> None:
        """A file was written: texts that may use it are looked at again."""
        saved = {params["textDocument"]["uri"]} if "textDocument" in params else set()
        self._again(but=saved)

    def _closed(self, params: Any) -> None:
        uri = params["textDocument"]["uri"]
        if self.open.pop(uri, None) is not None:
            self.server.notify("textDocument/publishDiagnostics", {"uri": uri, "diagnostics": []})

    def _reconfigured(self, settings: Any) -> None:
        self._configure(settings)
        self._again(but=set())

    def _again(self, but: set[str]) -> None:
        for uri, held in self.open.items():
            held.is_stale = held.is_stale or uri not in but
        hints = (self.capabilities.get("workspace") or {}).get("inlayHint") or {}
        if hints.get("refreshSupport"):
            self.server.ask("workspace/inlayHint/refresh")

    def _configure(self, settings: Any) -> None:
        """`{"inlay": ["shape", "params"], "params": {"width": 0.5}, "allowOutside": false}`, bare or under `cnnc`."""
        given = settings.get("cnnc", settings) if isinstance(settings, dict) else None
        if not isinstance(given, dict):
            return
        if isinstance(given.get("inlay"), list):
            self.shown = tuple(str(word) for word in given["inlay"])
        if isinstance(given.get("params"), dict):
            self.params = given["params"]
        if isinstance(given.get("allowOutside"), bool):
            self.allow_outside = given["allowOutside"]
