"""Other files: what `use` brings, from std or from a file beside the spec."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field, replace
from functools import lru_cache
from pathlib import Path

from cnnc.compiler.symbolic import Sourced
from cnnc.compiler.walk.evaluate import evaluate
from cnnc.compiler.walk.values import FileScope, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.data import specs
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.parse import parse
from cnnc.dsl.read import read_source
from cnnc.dsl.record import record
from cnnc.dsl.root import project_root
from cnnc.dsl.source import Source, Span

SPECS = specs()
STD = SPECS / "std"
ZOO = "zoo:"
MAX_FILES = 64


@record(frozen=False)
class Library:
    """The files read in one compilation, each once; `opening` are those being read now.

    `folders` are those that the files used lie in, or below; None: they may lie anywhere.
    """

    folders: tuple[Path, ...] | None
    files: dict[tuple[Path, tuple[tuple[str, Value], ...]], FileScope] = field(default_factory=dict)
    """By path and the values that its params are given."""
    opening: list[Path] = field(default_factory=list)

    def bring(self, use: s.Use, into: FileScope, taken: dict[str, Span]) -> None:
        """Put the used names into a file's scope. Raises CnncError (E204, E207, E701, E704, E705)."""
        settings = _settings(use, into)
        homes = self._std(use) if not use.is_file else [self._file(use, _beside(use), settings)]
        for used in use.names:
            if used.alias in taken:
                raise fail(
                    "E204",
                    f"`{used.alias}` is declared twice",
                    used.span,
                    hint=f"use {used.name} as another name",
                )
            taken[used.alias] = used.span
            if not any(_copy(used, home, into) for home in homes):
                known = [n for home in homes for n in (*home.blocks, *home.shareds, *home.externs)]
                hint = (
                    did_you_mean(used.name, known)
                    or f"it has {', '.join(sorted(known)[:12]) or 'nothing to use'}"
                )
                raise fail("E207", f"`{use.origin}` has no `{used.name}`", used.span, hint=hint)

    def forget(self, main: FileScope) -> None:
        """Cut what leads from the declarations of a file, and of those that it uses, back to the file."""
        for file in (main, *self.files.values()):
            for known in (file.blocks, file.shareds, file.externs):
                known.clear()

    def _std(self, use: s.Use) -> list[FileScope]:
        if use.origin != "std":
            hint = f'quote a file: from "{use.origin}.cnn"'
            raise fail(
                "E207",
                f"there is no library `{use.origin}`; the built-in one is std",
                use.origin_span,
                hint=hint,
            )
        if use.settings:
            raise fail("E206", "std has no params", use.settings[0].span, hint="its blocks take arguments")
        return [self._file(use, path, {}) for path in sorted(STD.glob("*.cnn")) if path not in self.opening]

    def _file(self, use: s.Use, path: Path, settings: Mapping[str, Sourced[Value]]) -> FileScope:
        from cnnc.compiler.walk.declare import declare

        key = canonical(path)
        self._refuse_outside(use, key)
        known = (key, tuple((name, setting.value) for name, setting in settings.items()))
        if known in self.files:
            return self.files[known]
        if key in self.opening:
            round_trip = " -> ".join(p.name for p in [*self.opening[self.opening.index(key) :], key])
            raise fail("E704", f"the files use each other in a circle: {round_trip}", use.span)
        if len(self.files) + len(self.opening) >= MAX_FILES:
            raise fail("E901", f"more than {MAX_FILES} files are used", use.span)
        try:
            source = read_source(path)
        except CnncError as error:
            first = error.diagnostics[0]
            raise CnncError([replace(first, span=use.origin_span)]) from None
        self.opening.append(key)
        try:
            tree = _tree(source.name, source.text, source.allow_outside, source.homes)
            self.files[known] = declare(tree, {}, self, stem=path.stem, settings=settings)
        except CnncError as error:
            step = f"a file that {use.span.source.name} uses, line {use.span.line}"
            raise CnncError(replace(d, trace=(*d.trace, step)) for d in error.diagnostics) from None
        finally:
            self.opening.pop()
        for setting in use.settings:
            if setting.key not in self.files[known].params:
                hint = did_you_mean(setting.key or "", self.files[known].params)
                message = f"`{use.origin}` has no param `{setting.key}`"
                raise fail("E206", message, setting.span, hint=hint)
        return self.files[known]

    def _refuse_outside(self, use: s.Use, path: Path) -> None:
        """Raises E705 before anything of the file is looked at, whether it is there included."""
        if self.folders is None or any(path.is_relative_to(home) for home in (*self.folders, SPECS)):
            return
        root = project_root(self.folders[0])
        if root is not None and path.is_relative_to(root):
            return
        outside = "the folder of the spec" if root is None else "the project of the spec"
        raise fail(
            "E705", f"`{use.origin}` lies outside {outside}", use.origin_span,
            hint="if you trust the spec: --allow-outside, or allow_outside=True in Python",
        )  # fmt: skip


@lru_cache(maxsize=MAX_FILES)
def _tree(name: str, text: str, allow_outside: bool, homes: tuple[str, ...]) -> s.Spec:
    """The tree of a used file, kept for the next text that uses it: an editor asks at every keystroke."""
    return parse(Source(name, text, allow_outside, homes))


def library_of(source: Source) -> Library:
    """The library of a spec that nobody uses yet: its files lie in its folder or its homes, links followed."""
    homes = (os.path.dirname(source.name), *source.homes)
    folders = None if source.allow_outside else tuple(canonical(home) for home in homes)
    return Library(folders, opening=[canonical(source.name)])


def canonical(path: str | os.PathLike[str]) -> Path:
    """One name for all the ways to write a path; one that names no file stays as it is."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return Path(path)


def _settings(use: s.Use, into: FileScope) -> dict[str, Sourced[Value]]:
    """The values that a `use` gives to params of the file, by name. Raises E304 for one given twice."""
    settings: dict[str, Sourced[Value]] = {}
    for argument in use.settings:
        name = argument.key or ""
        if name in settings:
            raise fail("E304", f"`{name}` is given twice", argument.span)
        if isinstance(argument.value, s.Bracket):
            raise fail("E303", f"the param `{name}` cannot be a pipeline", argument.span)
        settings[name] = evaluate(argument.value, into.env())
    return settings


def _beside(use: s.Use) -> Path:
    """A used file's path: relative to the spec that uses it, without `..` where no link stands
    in the way; `zoo:NAME` is a network that ships. Raises E701."""
    if use.origin.startswith(ZOO):
        name = use.origin.removeprefix(ZOO)
        names = {path.stem: path for path in SPECS.glob("*.cnn")}
        if name not in names:
            hint = did_you_mean(name, names) or "`cnnc zoo` lists it"
            raise fail("E701", f"the zoo has no `{name}`", use.origin_span, hint=hint)
        return names[name]
    path = Path(use.span.source.name).parent / use.origin
    if not _can_be_a_name(use.origin):
        raise fail("E701", f"no file can be called {use.origin!a}", use.origin_span)
    short = Path(os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def _can_be_a_name(text: str) -> bool:
    """Whether a file can be called so: a text from Python may hold what no file's text does."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _copy(used: s.UsedName, home: FileScope, into: FileScope) -> bool:
    if used.name in home.blocks:
        into.blocks[used.alias] = home.blocks[used.name]
    elif used.name in home.shareds:
        into.shareds[used.alias] = home.shareds[used.name]
    elif used.name in home.externs:
        into.externs[used.alias] = home.externs[used.name]
    else:
        return False
    into.brought[used.alias] = used.span
    return True
