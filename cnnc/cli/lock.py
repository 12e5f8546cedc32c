"""`cnnc lock` and its file: what the networks of a project were when they were last agreed on.

The file is TOML, one item a line and sorted, so that two branches that change
different networks merge, and a review shows what changed in one.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from cnnc.cli.common import (
    allow_outside,
    allow_outside_option,
    complete_spec,
    found_specs,
    guarded,
    max_layers,
    max_layers_option,
    named_folders,
    tell,
)
from cnnc.cli.files import alone, replace_file
from cnnc.cli.project import LOCK_HELP, lock_path
from cnnc.cli.verdict import Verdict, check_one, judged, many
from cnnc.compiler.baseline import Baseline
from cnnc.dsl.diagnostics import CnncError, Diagnostic, fail
from cnnc.dsl.read import read_source
from cnnc.dsl.record import record
from cnnc.dsl.source import Source, Span
from cnnc.net import ZOO

VERSION = 1
MAX_LOCK_BYTES = 1 << 30
"""What a lock may have: whatever `cnnc lock` has written can be read, a record for each tensor of thousands of specs."""
_HEAD = "# What the networks were when they were locked. `cnnc lock` writes this; `cnnc check --locked` holds to it.\n"
_MOST = 12
"""How many tensors a difference lists; where there are more, those that follow from others are counted."""


@click.command()
@click.argument("specs", nargs=-1, metavar="[SPEC...]", shell_complete=complete_spec)
@click.option("--lock", "path", metavar="FILE", help=LOCK_HELP)
@max_layers_option
@allow_outside_option
@guarded
def lock(specs: tuple[str, ...], path: str | None) -> None:
    """Record what SPECs are: ends, counts, receptive fields, and the keys and shapes of their weights.

    The other specs of the lock stay as they are, and those whose file is gone leave it. Without SPECs,
    all that the lock has are recorded anew. `cnnc check --locked` then fails where a network has
    changed and its record has not.

    Example: cnnc lock specs/
    """
    if "-" in specs:
        raise click.UsageError("standard input cannot be locked: a record needs a file's name")
    path = path or lock_path(specs)
    before = read_lock(path) if os.path.lexists(path) else Lock(path, {})
    if not specs and not before.entries:
        raise click.UsageError("Nothing is locked yet: name the specs, for instance `cnnc lock .`")
    sys.exit(
        _lock_all(
            found_specs(specs or before.paths), before, named_folders(specs or [os.path.dirname(path) or "."])
        )
    )


def _lock_all(found: Sequence[tuple[str, Diagnostic | None]], before: Lock, homes: tuple[str, ...]) -> int:
    """Bring the lock up to date with these specs; the exit code. Nothing is written where one is wrong."""
    found_anew: dict[str, Baseline | None] = {}
    wrong = False
    check = partial(
        check_one, baseline=True, max_layers=max_layers(), allow_outside=allow_outside(), homes=homes
    )
    for verdict in judged(found, check):
        found_anew[before.key(verdict.spec)] = verdict.baseline
        if verdict.baseline is None and verdict.library is None:
            tell(verdict.findings)
            wrong = True
    if wrong:
        click.echo(f"{before.path} is left as it was", err=True)
        return 1
    # What others have written while the specs were checked is read again: nobody's record is lost.
    with alone(Path(before.path)):
        now = read_lock(before.path) if os.path.lexists(before.path) else before
        kept = {key: entry for key, entry in now.entries.items() if not now.is_gone(key)}
        entries = {key: entry for key, entry in {**kept, **found_anew}.items() if entry is not None}
        if entries == now.entries:
            click.echo(f"{before.path} is up to date ({many(len(entries), 'network')})", err=True)
            return 0
        replace_file(Path(before.path), render_lock(entries).encode("utf8"))
    click.echo(f"wrote {before.path} ({_changes(now.entries, entries)})", err=True)
    return 0


def _changes(before: Mapping[str, Baseline], after: Mapping[str, Baseline]) -> str:
    counts = {
        "new": len(after.keys() - before.keys()),
        "changed": sum(before[key] != after[key] for key in before.keys() & after.keys()),
        "gone": len(before.keys() - after.keys()),
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{many(len(after), 'network')}: {', '.join(parts)}"


# --- holding networks to it -------------------------------------------------------------


@record
class Lock:
    """A lock file: the baselines by spec, each named by its path from the lock's folder."""

    path: str
    entries: Mapping[str, Baseline]

    def key(self, spec: str) -> str:
        """What a spec is called in the lock: the same on every machine and from every folder."""
        if spec.startswith(ZOO):
            return spec
        return Path(os.path.relpath(spec, os.path.dirname(self.path) or ".")).as_posix()

    def file(self, key: str) -> str:
        """The spec that a key of the lock stands for, seen from here."""
        return key if key.startswith(ZOO) else os.path.normpath(Path(self.path).parent / key)

    def is_gone(self, key: str) -> bool:
        """Whether the file of a key is no longer there."""
        return not key.startswith(ZOO) and not os.path.exists(self.file(key))

    @property
    def paths(self) -> list[str]:
        """The specs of the lock that are there."""
        return [self.file(key) for key in self.entries if not self.is_gone(key)]

    def gone(self) -> list[Verdict]:
        """A failed verdict for each entry whose spec is gone."""
        hint = "if that is meant, run `cnnc lock`"
        return [
            Verdict(self.file(key), (_E604(f"`{self.file(key)}` is in {self.path}, and there is no such file", hint),))
            for key in self.entries if self.is_gone(key)
        ]  # fmt: skip

    def held(self, verdict: Verdict) -> Verdict:
        """The verdict, and what is found where its network is not as locked."""
        locked = self.entries.get(self.key(verdict.spec))
        if verdict.library is not None and locked is not None:
            message = (
                f"`{verdict.spec}` is locked as a network in {self.path}, and has no layers of its own now"
            )
            return verdict.with_finding(_E604(message, f"if that is meant, run `cnnc lock {verdict.spec}`"))
        if verdict.baseline is None or locked == verdict.baseline:
            return verdict
        if locked is None:
            message = f"`{verdict.spec}` is not in {self.path}"
            return verdict.with_finding(_E604(message, f"run `cnnc lock {verdict.spec}`"))
        return verdict.with_finding(self._difference(verdict.spec, locked, verdict.baseline))

    def _difference(self, spec: str, old: Baseline, new: Baseline) -> Diagnostic:
        figures = list(differences(old.figures, new.figures))
        tensors = list(differences(old.tensors, new.tensors))
        names = {name for name, _ in tensors}
        behind = _following(names, old.tensors, new.tensors) if len(names) > _MOST else set()
        first = [line for name, line in tensors if name not in behind] or [line for _, line in tensors]
        lines = [line for _, line in figures] + first[:_MOST]
        if len(first) > _MOST:
            lines.append(f"… and {many(len(first) - _MOST, 'tensor')} more")
        if len(first) < len(tensors):
            lines.append(f"… and {many(len(tensors) - len(first), 'tensor')} whose sizes follow from these")
        return Diagnostic(
            "E603", f"`{spec}` is not what {self.path} records", _place(new, [name for name, _ in tensors]),
            hint=f"if the change is meant, run `cnnc lock {spec}` and commit the lock with it", details=tuple(lines),
        )  # fmt: skip


def _E604(message: str, hint: str) -> Diagnostic:
    return Diagnostic("E604", message, None, hint=hint)


def differences(old: Mapping[str, int | str], new: Mapping[str, int | str]) -> Iterator[tuple[str, str]]:
    """Each item that differs, its name and what became of it: those that are gone, then new, then changed."""
    for name in old:
        if name not in new:
            yield name, f"{name}: gone, was {_shown(old[name])}"
    for name in new:
        if name not in old:
            yield name, f"{name}: new, {_shown(new[name])}"
    for name, before in old.items():
        after = new.get(name, before)
        if before != after:
            change = f" ({after - before:+,})" if isinstance(before, int) and isinstance(after, int) else ""
            yield name, f"{name}: {_shown(before)} -> {_shown(after)}{change}"


def _shown(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _following(names: set[str], old: Mapping[str, int | str], new: Mapping[str, int | str]) -> set[str]:
    """The tensors that differ in what their layer takes alone, or as vectors with the width of their layer.

    Those of a layer whose weight gives another width, or has another kernel, changed by themselves.
    """
    shapes = {name: (old[name], new[name]) for name in names if name in old and name in new}
    found: set[str] = set()
    for module in {name.rpartition(".")[0] for name in shapes}:
        own = [name for name in names if name.rpartition(".")[0] == module]
        if all(name in shapes and _by_inputs(*shapes[name]) for name in own):
            found.update(own)
    return found


def _by_inputs(old: int | str, new: int | str) -> bool:
    """Whether a shape differs in its input channels alone, or is a vector.

    >>> _by_inputs("8x4x3x3", "8x5x3x3"), _by_inputs("8x4x3x3", "9x4x3x3"), _by_inputs("8", "9")
    (True, False, True)
    """
    before, after = str(old).split("x"), str(new).split("x")
    if len(before) != len(after):
        return False
    if len(before) == 1:
        return True
    return before[0] == after[0] and before[2:] == after[2:]


def _place(baseline: Baseline, names: Sequence[str]) -> Span | None:
    """The first layer of the network that differs; the call of its block, where other calls do not differ.

    Where only figures differ, the first output.
    """
    changed = set(names)
    spans = next((spans for name, spans in baseline.places.items() if name in changed), None)
    if spans is None:
        outputs = (spans[0] for name, spans in baseline.places.items() if name.startswith("outputs."))
        return next(outputs, None)
    layers = {places for name, places in baseline.places.items() if name in baseline.tensors}
    touched = {places for name, places in baseline.places.items() if name in changed}
    unchanged = {span for places in layers - touched for span in places}
    return next((span for span in spans if span not in unchanged), spans[0])


# --- the file ---------------------------------------------------------------------------


def render_lock(entries: Mapping[str, Baseline]) -> str:
    """The text of a lock: the same for the same networks, in whatever order they come."""
    lines = [f"{_HEAD}version = {VERSION}\n"]
    for key, entry in sorted(entries.items()):
        lines.append(f"\n[{_quoted(key)}]\n")
        lines += [f"{_dotted(name)} = {_value(value)}\n" for name, value in entry.figures.items()]
        lines.append(f"\n[{_quoted(key)}.state_dict]\n")
        lines += [f"{_quoted(name)} = {_value(shape)}\n" for name, shape in entry.tensors.items()]
    return "".join(lines)


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are among TOML's, which wants DEL escaped too."""
    if not text.isascii():
        try:
            text.encode("utf8")
        except UnicodeEncodeError:
            raise fail("E604", f"{text!r} cannot be locked: its name is not UTF-8") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _dotted(name: str) -> str:
    """`inputs.image`, the last part quoted where TOML wants that."""
    kind, dot, end = name.partition(".")
    return f"{kind}{dot}{end if re.fullmatch('[A-Za-z0-9_-]*', end) else _quoted(end)}"


def _value(value: int | str) -> str:
    return str(value) if isinstance(value, int) else _quoted(value)


def read_lock(path: str) -> Lock:
    """A lock file. Raises CnncError: E701 where it cannot be read, E604 where it is no lock."""
    import tomllib

    if not os.path.lexists(path):
        raise fail("E701", f"there is no lock `{path}`", hint="`cnnc lock SPEC…` writes one")
    source = read_source(path, most=MAX_LOCK_BYTES)
    try:
        data = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise CnncError([_not_toml(source, str(error))]) from None
    if data.get("version") != VERSION:
        found = data.get("version", "none")
        raise fail("E604", f"`{path}` is a lock of version {found}, and this cnnc reads version {VERSION}")
    entries = {key: entry for key, entry in data.items() if key != "version"}
    return Lock(path, {key: _entry(path, key, entry) for key, entry in entries.items()})


def _entry(path: str, key: str, data: Any) -> Baseline:
    damaged = fail("E604", f"what `{path}` records of `{key}` is damaged", hint=f"run `cnnc lock {key}`")
    if not isinstance(data, dict) or not isinstance(data.get("state_dict"), dict):
        raise damaged
    figures: dict[str, int | str] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            figures |= {f"{name}.{end}": item for end, item in value.items() if name != "state_dict"}
        else:
            figures[name] = value
    tensors = data["state_dict"]
    if not all(isinstance(value, int | str) for value in (*figures.values(), *tensors.values())):
        raise damaged
    return Baseline(figures, tensors)


def _not_toml(source: Source, message: str) -> Diagnostic:
    """The finding for a lock that TOML's reader refuses, as an unsettled merge is."""
    hint = "it is written by `cnnc lock`: take it from version control, or delete it and lock anew"
    place = re.search(r"^<<<<<<<.*$", source.text, re.MULTILINE)
    if place is not None:
        hint = "settle the merge: take either side, then run `cnnc lock`"
        return Diagnostic("E604", "the lock has marks of a merge", Span(source, *place.span()), hint=hint)
    told = re.sub(r" \(at .*\)$", "", message)
    where = re.search(r"\(at line (\d+), column (\d+)\)$", message)
    if where is None:
        return Diagnostic("E604", f"`{source.name}` is no lock: {told}", None, hint=hint)
    lines = source.text.split("\n")[: int(where[1]) - 1]
    start = sum(len(line) + 1 for line in lines) + int(where[2]) - 1
    return Diagnostic("E604", f"the lock cannot be read: {told}", Span(source, start, start + 1), hint=hint)
