"""The text of a lock: TOML, sorted, an item a line, so that two branches that change different networks merge.

What `render_lock` has written is read a network at a time, when it is asked for, and compared as text;
any other text, such as one that was merged by hand, is read by TOML's reader.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from cnnc.cli.settings import apart
from cnnc.compiler.baseline import Baseline, natural
from cnnc.dsl.diagnostics import CnncError, Diagnostic, fail
from cnnc.dsl.read import read_source
from cnnc.dsl.source import Source, Span

VERSION = 2
READ = (1, 2)
"""Versions that are read: in the first each tensor had a line of its own."""
MAX_LOCK_BYTES = 1 << 30
"""What a lock may have: whatever `cnnc lock` has written can be read."""
_HEAD = "# What the networks were when they were locked. `cnnc lock` writes this; `cnnc check --locked` holds to it.\n"


# --- writing ----------------------------------------------------------------------------


def render_lock(entries: Mapping[str, Baseline]) -> str:
    """The text of a lock: the same for the same networks, in whatever order they come."""
    sections = (f"\n{render_entry(key, entry)}" for key, entry in sorted(entries.items()))
    return f"{_HEAD}version = {VERSION}\n{''.join(sections)}"


def render_entry(key: str, entry: Baseline) -> str:
    """The lines of one network."""
    lines = [f"[{_quoted(key)}]\n"]
    lines += [f"{_dotted(name)} = {_value(value)}\n" for name, value in entry.figures.items()]
    lines.append(f"\n[{_quoted(key)}.state_dict]\n")
    lines += [f"{_quoted(name)} = {_quoted(shapes)}\n" for name, shapes in _by_module(entry.tensors)]
    return "".join(lines)


def _by_module(tensors: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A line for each module, its tensors by shape: `"bn1" = "64 weight bias, scalar num_batches_tracked"`.

    A tensor of no module, or of an odd name, has a line of its own, with the shape alone.
    """
    modules: dict[str, dict[str, list[str]]] = {}
    for name, shape in tensors.items():
        module, _, own = name.rpartition(".")
        if module and re.fullmatch("[A-Za-z0-9_]+", own):
            modules.setdefault(module, {}).setdefault(shape, []).append(own)
        else:
            modules[name] = {shape: []}
    for module, shapes in modules.items():
        yield module, ", ".join(" ".join((shape, *own)) for shape, own in shapes.items())


def is_utf8(name: str) -> bool:
    """Whether a file's name is text: TOML can hold it."""
    return not any("\ud800" <= ch <= "\udfff" for ch in name)


def _quoted(text: str) -> str:
    """A TOML basic string, in which only what prints is itself: a review shows what is there."""
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(map(_escaped, quoted))


def _escaped(ch: str) -> str:
    if ch.isprintable():
        return ch
    return f"\\u{ord(ch):04x}" if ord(ch) < 0x10000 else f"\\U{ord(ch):08x}"


def _dotted(name: str) -> str:
    """`inputs.image`, the last part quoted where TOML wants that."""
    kind, dot, end = name.partition(".")
    return f"{kind}{dot}{end if re.fullmatch('[A-Za-z0-9_-]*', end) else _quoted(end)}"


def _value(value: int | str) -> str:
    return str(value) if isinstance(value, int) else _quoted(value)


# --- reading ----------------------------------------------------------------------------

_STRING = r'"(?:[^"\\\n]|\\.)*+"'
_SECTION = re.compile(
    rf"\n\[(?P<key>{_STRING})\]\n(?:[a-z_]++(?:\.(?:[A-Za-z0-9_-]++|{_STRING}))? = (?:[0-9]++|{_STRING})\n)*+"
    rf"\n\[(?P=key)\.state_dict\]\n(?:{_STRING} = {_STRING}\n)*+"
)
"""One network as `render_entry` writes it."""


class Entries(Mapping[str, Baseline]):
    """The networks of a lock by their keys."""

    def __init__(self, path: str, texts: Mapping[str, str], read: Mapping[str, Baseline]) -> None:
        self._path = path
        self._texts = texts
        """The lines of those that are as they were written."""
        self._read = dict(read)

    def __getitem__(self, key: str) -> Baseline:
        if key not in self._read:
            self._read[key] = _entry(self._path, key, _tables(self._path, self._texts[key])[key])
        return self._read[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts or self._read)

    def __len__(self) -> int:
        return len(self._texts or self._read)

    @cached_property
    def specs(self) -> frozenset[str]:
        """The specs that are recorded, with whatever settings."""
        return frozenset(apart(key)[0] for key in self)

    def records(self, key: str, baseline: Baseline) -> bool:
        """Whether a network is as it is recorded."""
        text = self._texts.get(key)
        if text is not None and text == render_entry(key, baseline):
            return True
        return self.get(key) == baseline


def read_entries(path: str) -> Entries:
    """What a lock file has. Raises CnncError: E701 where it cannot be read, E604 where it is no lock."""
    if not os.path.lexists(path):
        raise fail("E701", f"there is no lock `{path}`", hint="`cnnc lock SPEC…` writes one")
    source = read_source(path, most=MAX_LOCK_BYTES)
    texts = _sections(source.text)
    if texts is not None:
        return Entries(path, texts, {})
    data = _parsed(source)
    if data.get("version") not in READ:
        found = data.get("version", "none")
        known = " and ".join(map(str, READ))
        raise fail("E604", f"`{path}` is a lock of version {found}, and this cnnc reads versions {known}")
    return Entries(path, {}, {k: _entry(path, k, entry) for k, entry in data.items() if k != "version"})


def _sections(text: str) -> Mapping[str, str] | None:
    """The lines of each network, where all of a text is as `render_lock` writes it; else None."""
    head = f"{_HEAD}version = {VERSION}\n"
    if not text.startswith(head):
        return None
    found: dict[str, str] = {}
    at = len(head)
    while at < len(text):
        section = _SECTION.match(text, at)
        key = "" if section is None else _unquoted(section["key"])
        if section is None or not key or key in found:
            return None
        found[key] = section[0][1:]
        at = section.end()
    return found


def _unquoted(text: str) -> str:
    # JSON has no \U: such a key is read by TOML's reader.
    return "" if "\\U" in text else str(json.loads(text))


def _tables(path: str, text: str) -> dict[str, Any]:
    return _parsed(Source(path, text))


def _parsed(source: Source) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise CnncError([_not_toml(source, str(error))]) from None


def _entry(path: str, key: str, data: Any) -> Baseline:
    damaged = fail("E604", f"the record of `{key}` in `{path}` is damaged", hint=f"run `cnnc lock {key}`")
    if not isinstance(data, dict) or not isinstance(data.get("state_dict"), dict):
        raise damaged
    figures: dict[str, int | str] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            figures |= {f"{name}.{end}": item for end, item in value.items() if name != "state_dict"}
        else:
            figures[name] = value
    modules = data["state_dict"]
    if not all(isinstance(value, int | str) for value in figures.values()):
        raise damaged
    if not all(isinstance(value, str) for value in modules.values()):
        raise damaged
    return Baseline(figures, dict(sorted(_tensors(modules), key=natural)))


def _tensors(modules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for module, shapes in modules.items():
        for part in shapes.split(", "):
            shape, *own = part.split(" ")
            yield from ((f"{module}.{name}", shape) for name in own)
            if not own:
                yield module, shape


def _not_toml(source: Source, message: str) -> Diagnostic:
    """The finding for a lock that TOML's reader refuses, as an unsettled merge is."""
    hint = "it is written by `cnnc lock`: take it from version control, or delete it and lock anew"
    place = re.search(r"^<<<<<<<.*$", source.text, re.MULTILINE)
    if place is not None:
        hint = "resolve the merge: take either side, then run `cnnc lock`"
        return Diagnostic("E604", "the lock contains merge markers", Span(source, *place.span()), hint=hint)
    told = re.sub(r" \(at .*\)$", "", message)
    where = re.search(r"\(at line (\d+), column (\d+)\)$", message)
    if where is None:
        return Diagnostic("E604", f"`{source.name}` is no lock: {told}", None, hint=hint)
    lines = source.text.split("\n")[: int(where[1]) - 1]
    start = sum(len(line) + 1 for line in lines) + int(where[2]) - 1
    return Diagnostic("E604", f"the lock cannot be read: {told}", Span(source, start, start + 1), hint=hint)
