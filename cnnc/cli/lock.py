"""`cnnc lock`: what the networks of a project were when they were last agreed on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import Path

import click

from cnnc.cli.common import (
    Sizes,
    Values,
    allow_outside,
    allow_outside_option,
    complete_spec,
    found_specs,
    guarded,
    max_layers,
    max_layers_option,
    named_folders,
    setting_options,
    settings_of,
    tell,
)
from cnnc.cli.files import alone, replace_file
from cnnc.cli.lock_file import Entries, is_utf8, read_entries, render_lock
from cnnc.cli.out import say
from cnnc.cli.project import LOCK_HELP, lock_path
from cnnc.cli.settings import NONE, Settings, apart, read_settings
from cnnc.cli.verdict import Verdict, check_recorded, judged, many, told_once
from cnnc.compiler.baseline import Baseline
from cnnc.dsl.diagnostics import Diagnostic, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span
from cnnc.given import ZOO

_MOST = 12
"""How many tensors a difference lists; where there are more, those that follow from others are counted."""


@click.command()
@click.argument("specs", nargs=-1, metavar="[SPEC...]", shell_complete=complete_spec)
@click.option("--lock", "path", metavar="FILE", help=LOCK_HELP)
@setting_options
@max_layers_option
@allow_outside_option
@guarded
def lock(specs: tuple[str, ...], path: str | None, sizes: Sizes, params: Values) -> None:
    """Record what SPECs are: ends, counts, receptive fields, and the keys and shapes of their weights.

    With -D, --input or --head they are recorded so, beside other records of the same specs. The other
    specs of the lock stay as they are, and those whose file is gone leave it. Without SPECs, all that
    the lock has are recorded anew. `cnnc check --locked` then fails where a network has
    changed and its record has not.

    Example: cnnc lock specs/
    """
    if "-" in specs:
        raise click.UsageError("standard input cannot be locked: a record needs a file name")
    settings = settings_of(sizes, params)
    if settings and not specs:
        raise click.UsageError("-D, --input and --head require the specs to record with them")
    path = path or lock_path(specs)
    before = read_lock(path) if os.path.lexists(path) else Lock(path, Entries(path, {}, {}))
    if not specs and not before.entries:
        raise click.UsageError("Nothing is locked yet: name the specs, for instance `cnnc lock .`")
    found, recorded = before.asked(found_specs(specs or before.paths), settings, as_recorded=not specs)
    homes = named_folders(specs or [os.path.dirname(path) or "."])
    check = partial(
        check_recorded, recorded=recorded, settings=settings, max_layers=max_layers(),
        allow_outside=allow_outside(), homes=homes,
    )  # fmt: skip
    named = _nameable(found)
    sys.exit(_lock_all(told_once(judged(named, check)), before) or int(len(named) < len(found)))


def _nameable(found: Sequence[tuple[str, Diagnostic | None]]) -> list[tuple[str, Diagnostic | None]]:
    """The specs whose names a lock can hold; the others are said."""
    named = [spec for spec in found if is_utf8(spec[0])]
    for name, *_ in found:
        if not is_utf8(name):
            message = f"{name!r} cannot be locked: its name is not UTF-8"
            tell([Diagnostic("E604", message, None, hint="rename the file; the others are locked")])
    return named


def _lock_all(verdicts: Iterable[Verdict], before: Lock) -> int:
    """Bring the lock up to date with what was found; the exit code. Nothing is written where a spec is wrong."""
    found_anew: dict[str, Baseline | None] = {}
    wrong = False
    for verdict in verdicts:
        found_anew[before.key(verdict.spec, verdict.settings)] = verdict.baseline
        if verdict.baseline is None and verdict.library is None:
            tell(before.held(verdict).findings)
            wrong = True
    if wrong:
        say(f"{before.path} is left as it was", err=True)
        return 1
    # What others have written while the specs were checked is read again: nobody's record is lost.
    with alone(Path(before.path)):
        now = read_lock(before.path) if os.path.lexists(before.path) else before
        kept = {key: entry for key, entry in now.entries.items() if not now.is_gone(key)}
        entries = {key: entry for key, entry in {**kept, **found_anew}.items() if entry is not None}
        if entries == now.entries:
            say(f"{before.path} is up to date ({many(len(entries), 'network')})", err=True)
            return 0
        replace_file(Path(before.path), render_lock(entries).encode("utf8"))
    say(f"wrote {before.path} ({_changes(now.entries, entries)})", err=True)
    return 0


def _changes(before: Mapping[str, Baseline], after: Mapping[str, Baseline]) -> str:
    counts = {
        "new": len(after.keys() - before.keys()),
        "changed": sum(before[key] != after[key] for key in before.keys() & after.keys()),
        "gone": len(before.keys() - after.keys()),
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{many(len(after), 'network')}: {', '.join(parts)}"


def read_lock(path: str) -> Lock:
    """A lock file. Raises CnncError: E701 where it cannot be read, E604 where it is no lock."""
    return Lock(path, read_entries(path))


# --- holding networks to it -------------------------------------------------------------


@record
class Lock:
    """A lock file: the baselines by spec, each named by its path from the lock's folder."""

    path: str
    entries: Entries

    def key(self, spec: str, settings: Settings = NONE) -> str:
        """What a spec is called in the lock, the same on every machine and from every folder; after it, its settings.

        Raises CnncError (E604) for a file whose own name reads as if it had settings.
        """
        if not spec.startswith(ZOO):
            spec = Path(os.path.relpath(spec, os.path.dirname(self.path) or ".")).as_posix()
        if apart(spec)[1]:
            raise fail(
                "E604", f"`{spec}` cannot be locked: its name has an option in it", hint="rename the file"
            )
        return f"{spec} {settings}" if settings else spec

    def file(self, key: str) -> str:
        """The spec that a key of the lock stands for, seen from here."""
        spec, _ = apart(key)
        return spec if spec.startswith(ZOO) else os.path.normpath(Path(self.path).parent / spec)

    def is_gone(self, key: str) -> bool:
        """Whether the file of a key is no longer there."""
        return not key.startswith(ZOO) and not os.path.exists(self.file(key))

    @property
    def paths(self) -> list[str]:
        """The specs of the lock that are there, each once."""
        return list(dict.fromkeys(self.file(key) for key in self.entries if not self.is_gone(key)))

    def recorded(self) -> Mapping[str, tuple[Settings, ...]]:
        """The settings with which each spec is recorded, by its key; `NONE` as it is written."""
        found: dict[str, tuple[Settings, ...]] = {}
        for key in self.entries:
            spec, text = apart(key)
            try:
                settings = read_settings(text)
            except ValueError:
                hint = f"it is written by `cnnc lock`: delete the section `{key}`, and lock anew"
                raise fail("E604", f"`{self.path}` has settings that are none: {text}", hint=hint) from None
            found[spec] = (*found.get(spec, ()), settings)
        return found

    def asked(
        self, found: Sequence[tuple[str, Diagnostic | None]], settings: Settings, *, as_recorded: bool = False
    ) -> tuple[list[tuple[str, Diagnostic | None]], dict[str, tuple[str, Settings]]]:
        """The names to build for specs, in order, and which of them are of a spec with settings.

        Where settings are given, the specs alone; else also each as it is recorded with settings, and with `as_recorded`
        only as it is recorded.
        """
        names: list[tuple[str, Diagnostic | None]] = []
        with_settings: dict[str, tuple[str, Settings]] = {}
        every = self.recorded()
        for spec, problem in found:
            recorded = () if settings or problem or spec == "-" else every.get(self.key(spec), ())
            if NONE in recorded or not (as_recorded and recorded):
                names.append((spec, problem))
            for one in recorded:
                if one:
                    with_settings[f"{spec} {one}"] = (spec, one)
                    names.append((f"{spec} {one}", None))
        return names, with_settings

    def gone(self) -> list[Verdict]:
        """A failed verdict for each entry whose spec is gone."""
        hint = "if that is intended, run `cnnc lock`"
        return [
            Verdict(self.file(key), (_E604(f"`{self.file(key)}` is in {self.path}, but there is no such file", hint),))
            for key in self.entries if self.is_gone(key)
        ]  # fmt: skip

    def held(self, verdict: Verdict) -> Verdict:
        """The verdict, and what is found where its network is not as locked."""
        key = self.key(verdict.spec, verdict.settings)
        if verdict.baseline is not None and self.entries.records(key, verdict.baseline):
            return verdict
        locked = self.entries.get(key)
        if verdict.library is not None and locked is not None:
            message = (
                f"`{verdict.name}` is locked as a network in {self.path}, but has no layers of its own now"
            )
            return verdict.with_finding(
                _E604(message, f"if that is intended, run `cnnc lock {verdict.name}`")
            )
        if verdict.baseline is None:
            if locked is None or not verdict.settings:
                return verdict
            message = f"`{verdict.name}` is locked in {self.path}, and cannot be built any more"
            return verdict.with_finding(
                _E604(message, f"if that is meant, delete its section in {self.path}")
            )
        if locked is None:
            if not verdict.settings and key in self.entries.specs:  # with settings only
                return verdict
            message = f"`{verdict.name}` is not in {self.path}"
            return verdict.with_finding(_E604(message, f"run `cnnc lock {verdict.name}`"))
        return verdict.with_finding(self._difference(verdict.name, locked, verdict.baseline))

    def _difference(self, spec: str, old: Baseline, new: Baseline) -> Diagnostic:
        figures = list(differences(old.figures, new.figures))
        tensors = list(differences(old.tensors, new.tensors))
        names = {name for name, _ in tensors}
        followed = _following(names, old.tensors, new.tensors)
        behind = followed if len(names) > _MOST else set()
        first = [line for name, line in tensors if name not in behind] or [line for _, line in tensors]
        lines = [line for _, line in figures] + first[:_MOST]
        if len(first) > _MOST:
            lines.append(f"… and {many(len(first) - _MOST, 'tensor')} more")
        if len(first) < len(tensors):
            lines.append(f"… and {many(len(tensors) - len(first), 'tensor')} whose sizes follow from these")
        return Diagnostic(
            "E603", f"`{spec}` differs from its record in {self.path}", _place(new, names - followed or names),
            hint=f"if the change is intended, run `cnnc lock {spec}` and commit the lock with it", details=tuple(lines),
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


def _place(baseline: Baseline, changed: Set[str]) -> Span | None:
    """The first layer of the network that differs; the call of its block, where other calls do not differ.

    Where only figures differ, the first output.
    """
    spans = next((spans for name, spans in baseline.places.items() if name in changed), None)
    if spans is None:
        outputs = (spans[0] for name, spans in baseline.places.items() if name.startswith("outputs."))
        return next(outputs, None)
    layers = {places for name, places in baseline.places.items() if name in baseline.tensors}
    touched = {places for name, places in baseline.places.items() if name in changed}
    unchanged = {span for places in layers - touched for span in places}
    return next((span for span in spans if span not in unchanged), spans[0])
