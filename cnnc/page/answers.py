"""What the page asks, and the answers as JSON: texts go in, figures come out. No answer depends on one before it."""

from __future__ import annotations

import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cnnc.backends.report.ranges import ranges_text
from cnnc.compiler.ops import by_x
from cnnc.dsl.data import specs
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.given import ZOO
from cnnc.live.complete import complete
from cnnc.live.engine import Analysis, Document, Setting, analyse
from cnnc.live.figures import inlay
from cnnc.live.fixes import fixes
from cnnc.live.hover import hover
from cnnc.live.lines import Line
from cnnc.net import Net
from cnnc.page.sliders import setting_of, sliders
from cnnc.page.tabs import TABS

Json = dict[str, Any]
KEPT = 8
"""Analyses that are kept: of the text, the pinned one, and of what one goes back and forth between."""
SHOWN = ("shape", "params", "macs", "field")


_MARK = "\ufeff"
_FILE = re.compile(r"[\w-]+\.cnn")
FIRST = "resnet50"
"""The network of a page that is asked for none."""


class BadQuestion(Exception):
    """What the page asked makes no sense."""


class Answers:
    """Answers about texts that stand for one file, or for none."""

    def __init__(self, name: str, *, allow_outside: bool = False, takes_files: bool = False) -> None:
        """`takes_files`: questions may bring files that are written beside `name`, where that harms nobody."""
        self.name = name
        self.takes_files = takes_files
        self.allow_outside = allow_outside
        self._kept: OrderedDict[tuple[object, ...], Analysis] = OrderedDict()
        self._one_at_a_time = threading.Lock()
        self.asks: dict[str, Callable[[Json], Json]] = {
            "analyse": self._analyse,
            "complete": self._complete,
            "hover": self._hover,
            "fixes": self._fixes,
            "format": self._format,
            "report": self._report,
            "open": _open,
        }

    def answer(self, asked: Json) -> Json:
        """The answer to one question. Raises BadQuestion."""
        act = self.asks.get(str(asked.get("ask")))
        if act is None:
            raise BadQuestion(f"nothing is called {asked.get('ask')!r}")
        with self._one_at_a_time:
            return act(asked)

    def reply(self, text: str | bytes) -> tuple[int, str]:
        """The status and the text, of HTTP and JSON, that answer a question as it comes from the page."""
        try:
            asked = _read(text)
            return 200, to_json(self.answer(asked))
        except (BadQuestion, ValueError) as error:
            return 400, f"{error}\n"
        except Exception as error:
            return 500, (
                f"cnnc itself failed ({type(error).__name__}: {error}): this is a bug in cnnc, not in your spec"
            )

    # --- analyses ------------------------------------------------------------------------

    def analysis(self, asked: Json, key: str = "text") -> Analysis:
        """Of the text in a question, with the params and sizes that it sets."""
        text = asked.get(key)
        if not isinstance(text, str):
            raise BadQuestion("no text")
        name = self._name(asked)
        params, sizes = _values(asked, "params"), _values(asked, "sizes")
        files = self._put(asked)
        known = (name, text, files, tuple(sorted(params.items())), tuple(sorted(sizes.items())))
        if known not in self._kept:
            source = Source(name, text.removeprefix(_MARK), self.allow_outside)
            self._kept[known] = analyse(source, self._setting(source, params, sizes))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(known)
        return self._kept[known]

    def _put(self, asked: Json) -> tuple[tuple[str, str], ...]:
        """The files that a question brings, each where the text finds it."""
        files = asked.get("files")
        if not self.takes_files or not isinstance(files, dict):
            return ()
        for name, text in files.items():
            if _FILE.fullmatch(name) is None or not isinstance(text, str):
                raise BadQuestion(f"{name!r} cannot be the name of a file here")
            path = Path(self.name).parent / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf8")
        return tuple(sorted(files.items()))

    def _name(self, asked: Json) -> str:
        """The file that a text stands for: the page's, or one of the zoo, whose blocks it may use."""
        zoo = asked.get("zoo")
        if isinstance(zoo, str) and zoo:
            return _zoo_path(zoo)
        return self.name

    def _setting(self, source: Source, params: Mapping[str, Any], sizes: Mapping[str, Any]) -> Setting:
        tree = None
        if params or sizes:
            try:
                tree = parse(source)
            except CnncError:
                tree = None  # the analysis tells it
        return setting_of(tree, params, sizes, outside=self.allow_outside)

    def _analyse(self, asked: Json) -> Json:
        """What is wrong, what stands beside the lines, the figures, and what the open tab shows."""
        found = self.analysis(asked)
        told: Json = {
            "good": found.is_good,
            "findings": [_finding(found, finding, _mark(asked)) for finding in found.findings],
            "lines": [_line(found, line) for line in found.lines],
            "sliders": sliders(found),
            "figures": None,
            "tab": None,
        }
        if found.net is not None:
            told["figures"] = _figures(found.net)
            tab = TABS.get(str(asked.get("tab")))
            if tab is not None:
                pinned = self._pinned(asked)
                try:
                    told["tab"] = tab(found, pinned, asked)
                except CnncError as error:
                    told["tab"] = {"missing": "\n".join(d.render() for d in error.diagnostics)}
        return told

    def _pinned(self, asked: Json) -> Analysis | None:
        pinned = asked.get("pinned")
        if not isinstance(pinned, dict) or not isinstance(pinned.get("text"), str):
            return None
        return self.analysis({**pinned, "zoo": pinned.get("zoo", "")})

    # --- the editor ------------------------------------------------------------------------

    def _complete(self, asked: Json) -> Json:
        found, offset = self.analysis(asked), _offset(asked)
        document = Document(found.source.name)
        document.newest = document.parsed = found
        if found.tree is None:
            document.parsed = next(
                (one for one in reversed(self._kept.values()) if one.tree is not None), None
            )
        mark = _mark(asked)
        items = complete(document, found.source.text, offset)
        return {"items": [
            {"label": item.label, "kind": item.kind, "from": item.start + mark, "text": item.text, "detail": item.detail}
            for item in items
        ]}  # fmt: skip

    def _hover(self, asked: Json) -> Json:
        card, mark = hover(self.analysis(asked), _offset(asked)), _mark(asked)
        return (
            {"card": None}
            if card is None
            else {"card": card.text, "from": card.span.start + mark, "to": card.span.end + mark}
        )

    def _fixes(self, asked: Json) -> Json:
        """The edits for the finding of a number."""
        found, number = self.analysis(asked), asked.get("finding")
        if not isinstance(number, int) or not 0 <= number < len(found.findings):
            raise BadQuestion("no such finding")
        mark = _mark(asked)
        return {"fixes": [
            {"title": fix.title, "from": fix.edit.start + mark, "to": fix.edit.end + mark, "text": fix.edit.text}
            for fix in fixes(found, found.findings[number])
        ]}  # fmt: skip

    def _format(self, asked: Json) -> Json:
        from cnnc.dsl.format import format_source

        found = self.analysis(asked)
        try:
            return {"text": format_source(found.source)}
        except CnncError:
            return {"text": None}

    def _report(self, asked: Json) -> Json:
        """The page of `cnnc report`."""
        net = self.analysis(asked).net
        if net is None:
            return {"html": None}
        return {"html": net.report(), "name": f"{net.name}.html"}


def to_json(found: Mapping[str, Any]) -> str:
    """As it is sent."""
    return json.dumps(found, separators=(",", ":"))


def _read(text: str | bytes) -> Json:
    """A question as it comes. Raises BadQuestion, ValueError."""
    try:
        asked = json.loads(text)
    except RecursionError:
        raise BadQuestion("brackets within brackets without end") from None
    if not isinstance(asked, dict):
        raise BadQuestion("no object")
    return asked


def _values(asked: Json, key: str) -> dict[str, int | float | str]:
    """What the sliders set, by name."""
    values = asked.get(key) or {}
    if not isinstance(values, dict) or not all(isinstance(v, int | float | str) for v in values.values()):
        raise BadQuestion(f"the {key} are no numbers by name")
    return values


def _mark(asked: Json) -> int:
    """How many characters come before those that are read: a byte order mark, or none."""
    return int(asked["text"].startswith(_MARK))


def _offset(asked: Json) -> int:
    """A place in the text that is read."""
    offset, mark = asked.get("offset"), _mark(asked)
    if not isinstance(offset, int):
        raise BadQuestion("no offset")
    return max(0, min(offset, len(asked["text"])) - mark)


def _finding(found: Analysis, finding: Diagnostic, mark: int) -> Json:
    """One finding: as `cnnc check` prints it, and where it is in this text, `mark` characters after its start."""
    told: Json = {"code": finding.code, "severity": finding.severity, "from": None}
    # The file is the one that the page shows, and those that ship lie somewhere: their folders say nothing.
    text = finding.render().replace(found.source.name, os.path.basename(found.source.name))
    told["text"] = text.replace(f"{specs()}{os.sep}", "")
    span = finding.span
    if span is not None and span.source is found.source:
        told |= {"from": span.start + mark, "to": span.end + mark, "line": span.line}
    told["message"] = finding.message + (f"\n{finding.hint}" if finding.hint else "")
    return told


def _line(found: Analysis, line: Line) -> Json:
    return {
        "line": line.number, "text": inlay(found, line), "tip": inlay(found, line, SHOWN),
        "nodes": ranges_text(line.nodes),
    }  # fmt: skip


def _figures(net: Net) -> Json:
    """The totals, as the command line prints them."""
    return {
        "model": net.name,
        "params": net.costs.told("params"),
        "macs": net.costs.told("macs"),
        "depth": net.depth,
        "inputs": {name: by_x(shape) for name, shape in net.inputs.items()},
        "outputs": {name: by_x(shape) for name, shape in net.outputs.items()},
    }


# --- the zoo -------------------------------------------------------------------------------


def start(zoo: str | None, text: str | None = None, home: str | None = None) -> Json:
    """What the page begins with: `text` or the zoo's network of a name, and the networks that can be opened.

    `home` is the address of the manual, where the page is part of a site.
    """
    from cnnc.zoo import Entry

    if text is None:
        zoo = FIRST if zoo is None else zoo
        text = Entry(zoo).text
    return {"file": None, "text": text, "version": 0, "zoo": zoo, "home": home, "networks": _networks()}


@cache
def _networks() -> tuple[Mapping[str, object], ...]:
    """What the list of the page has of each network that ships."""
    from cnnc.zoo import entries

    return tuple({"name": one.name, "title": one.head.title, "year": one.head.year} for one in entries())


def _open(asked: Json) -> Json:
    """The text of a network that ships."""
    from cnnc.zoo import Entry

    name = str(asked.get("zoo"))
    _zoo_path(name)
    return {"text": Entry(name).text}


def _zoo_path(name: str) -> str:
    from cnnc.given import resolve

    try:
        return resolve(f"{ZOO}{name}")
    except CnncError as error:
        raise BadQuestion(error.diagnostics[0].message) from None
