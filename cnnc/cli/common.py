"""What the commands share: the spec argument, printing, writing files, turning errors into exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cnnc.cli.files import is_of_a_stream, replace_file, turn_to_nowhere
from cnnc.cli.out import control, say
from cnnc.dsl.diagnostics import CnncError, Diagnostic, fail
from cnnc.dsl.printable import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from cnnc.cli.settings import Settings
    from cnnc.net import Net

_C = TypeVar("_C", bound=Callable[..., Any])

_COLOURS = {"error": 31, "warning": 33, "note": 36}


class Params(click.ParamType[tuple[str, str]]):
    """`name=value`."""

    name = "name=value"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not equals or not name.isidentifier():
            self.fail(f"{value!r} is not name=value", param, ctx)
        return name, text


class Real(click.FloatRange):
    """A number in a range; nan, which compares with nothing, and infinity are in none."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number: float = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class Size(click.ParamType[tuple[str | None, str]]):
    """`3x299x299`, or `name=3x299x299`."""

    name = "[name=]size"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str | None, str]:
        from cnnc.given import parse_size

        name, equals, size = value.rpartition("=")
        try:
            parse_size(size)
        except CnncError as error:
            found = error.diagnostics[0]
            self.fail(f"{found.message}: {found.hint}", param, ctx)
        return name if equals else None, size


class Head(click.ParamType[tuple[str | None, int]]):
    """`10`, or `label=10`."""

    name = "[label=]width"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str | None, int]:
        label, equals, text = str(value).rpartition("=")
        width = int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else 0
        if width < 1 or (equals and not label):
            self.fail(f"{value!r} is not a number of classes, or LABEL=NUMBER", param, ctx)
        return label if equals else None, width


def complete_spec(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell completes a spec with: files and the zoo."""
    from cnnc.cli import completion

    return completion.complete_spec(incomplete)


def complete_file(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell completes a spec with where it must be a file."""
    from cnnc.cli import completion

    return completion.complete_spec(incomplete, zoo=False)


def setting_options(command: _C) -> _C:
    """The options that replace what a spec says itself; `load` and `heads` read --head from the context."""
    command = click.option(
        "-D", "params", multiple=True, type=Params(), metavar="NAME=VALUE",
        help="Replace the value of a param of the spec.",
    )(command)  # fmt: skip
    command = click.option(
        "--input", "sizes", multiple=True, type=Size(), metavar="[NAME=]SIZE",
        help="Replace the declared input size, such as 3x299x299.",
    )(command)  # fmt: skip
    return click.option(
        "--head", multiple=True, type=Head(), metavar="[LABEL=]WIDTH", callback=_keep_heads, expose_value=False,
        help="Replace the width of the last layer with weights, or of the one at LABEL, such as 10.",
    )(command)  # fmt: skip


def spec_options(command: _C) -> _C:
    """The argument and options of every command that reads one spec."""
    command = allow_outside_option(max_layers_option(setting_options(command)))
    return click.argument("spec", shell_complete=complete_spec)(command)


_HEADS = "cnnc.heads"


def _keep_heads(ctx: click.Context, _: click.Parameter, value: tuple[tuple[str | None, int], ...]) -> None:
    if len(dict(value)) != len(value):
        raise click.UsageError("--head is given once, or once for each label")
    ctx.meta[_HEADS] = dict(value)


def heads() -> dict[str | None, int]:
    """The widths that --head gives, by label; None is the last layer with weights."""
    context = click.get_current_context(silent=True)
    given: dict[str | None, int] = {} if context is None else context.meta.get(_HEADS, {})
    return given


_MAX_LAYERS = "cnnc.max_layers"


def max_layers_option(command: _C) -> _C:
    """The option that raises the limit on layers; `load` reads it from the context."""

    def keep(ctx: click.Context, _: click.Parameter, value: int | None) -> None:
        if value is not None:
            ctx.meta[_MAX_LAYERS] = value

    return click.option(
        "--max-layers", type=click.IntRange(min=1), callback=keep, expose_value=False, metavar="N",
        help="Refuse a model of more layers.  [default: 20000]",
    )(command)  # fmt: skip


def max_layers() -> int:
    """The limit on layers that the command line asks for."""
    from cnnc.compiler.walk.layers import MAX_LAYERS

    context = click.get_current_context(silent=True)
    limit: int = MAX_LAYERS if context is None else context.meta.get(_MAX_LAYERS, MAX_LAYERS)
    return limit


_ALLOW_OUTSIDE = "cnnc.allow_outside"


def allow_outside_option(command: _C) -> _C:
    """The option that lets a spec use files from anywhere; `load` reads it from the context."""

    def keep(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[_ALLOW_OUTSIDE] = value

    return click.option(
        "--allow-outside", is_flag=True, callback=keep, expose_value=False,
        help="Let the spec use files outside its folder.",
    )(command)  # fmt: skip


def allow_outside() -> bool:
    """Whether the command line lets specs use files outside their folders."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_ALLOW_OUTSIDE, False))


Sizes = tuple[tuple[str | None, str], ...]
Values = tuple[tuple[str, str], ...]


def by_name(sizes: Sizes) -> dict[str | None, str]:
    """The sizes that --input gives, by input; None is the only input."""
    given = dict(sizes)
    if len(given) != len(sizes) or (None in given and len(given) > 1):
        raise click.UsageError("--input is given once, or once for each input by name")
    return given


def settings_of(sizes: Sizes, params: Values) -> Settings:
    """What the options of `setting_options` come to."""
    from cnnc.cli.settings import Settings

    given = tuple(by_name(sizes).items()), tuple(heads().items()), tuple(dict(params).items())
    return Settings(*given)


def load(spec: str, sizes: Sizes, params: Values) -> Net:
    """The network that a command line asks for."""
    from cnnc.dsl.parse import parse
    from cnnc.dsl.read import read_source
    from cnnc.given import resolve, stem_of
    from cnnc.net import from_syntax

    path = resolve(spec)
    syntax = parse(read_source(path, allow_outside=allow_outside()))
    return from_syntax(
        syntax, stem=stem_of(path), sizes=by_name(sizes), params=dict(params), max_layers=max_layers(),
        head=heads(),
    )  # fmt: skip


def tell(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic]) -> None:
    """Print findings to standard error, the severity in colour on a terminal."""
    for diagnostic in diagnostics:
        head, *rest = diagnostic.render().split("\n")
        word = f"{diagnostic.severity} {diagnostic.code}"
        lines = [head.replace(word, _styled(word, diagnostic.severity), 1), *rest]
        click.echo("\n".join(lines), err=True, color=True)


def _styled(word: str, severity: str) -> str:
    """A word in bold and the colour of a severity, on a terminal where NO_COLOR does not forbid it."""
    if os.environ.get("NO_COLOR"):
        return word
    on, off = (control(code, sys.stderr) for code in (f"[{_COLOURS[severity]}m[1m", "[0m"))
    return f"{on}{word}{off}"


def guarded(command: _C) -> _C:
    """Turn findings into exit code 1, and trouble with files or the keyboard into one line."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except CnncError as error:
            tell(error.diagnostics)
            sys.exit(1)
        except click.ClickException:
            raise  # the command line is wrong: click tells it, exit code 2
        except RecursionError:
            tell([Diagnostic("E901", "the spec is nested too deeply", None)])
            sys.exit(1)
        except Exception as error:
            if isinstance(error, OSError) and told_of_lost_stream(error):
                sys.exit(1)
            if os.environ.get("CNNC_TRACEBACK"):
                raise
            click.echo(
                f"cnnc itself failed ({type(error).__name__}: {printable(str(error))}): this is a bug in cnnc, not in your spec.\n"
                "Please report it with the spec and what CNNC_TRACEBACK=1 in the environment prints.",
                err=True,
            )
            sys.exit(1)

    return run  # type: ignore[return-value]


def told_of_lost_stream(error: OSError) -> bool:
    """Whether the error is that standard output or standard error takes no more; that is told where it can be.

    A reader that has gone (`| head`) has heard enough and is told nothing.
    """
    if not is_of_a_stream(error):
        return False
    turn_to_nowhere(sys.stdout)
    try:
        if not isinstance(error, BrokenPipeError):
            tell([Diagnostic("E703", f"standard output cannot be written: {error.strerror}", None)])
    except OSError:
        turn_to_nowhere(sys.stderr)
    return True


def _read() -> list[str]:
    """The files that the command line names to be read."""
    context = click.get_current_context(silent=True)
    given = context.params if context is not None else {}
    found: list[str] = []
    for name in ("spec", "specs", "others", "a", "b", "file", "mapping"):
        value = given.get(name)
        found += [str(v) for v in (value if isinstance(value, tuple) else (value,)) if v not in (None, "-")]
    return found


def write(path: str, data: str | bytes, what: str) -> None:
    """Write a file whole or not at all, and say so; `-` is standard output.

    Raises CnncError (E703) where it cannot be written.
    """
    raw = data.encode("utf8") if isinstance(data, str) else data
    if path == "-":
        if sys.stdout is None:
            raise fail("E703", "standard output is closed")
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
        return
    if os.path.realpath(path) in map(os.path.realpath, _read()):
        hint = "name another file, or standard output: -o -"
        raise fail("E703", f"`{path}` is what was read: it would be lost", hint=hint)
    replace_file(Path(path), raw)
    say(f"wrote {path} ({what})", err=True)


def columns() -> int | None:
    """How wide the terminal is; None where standard output is none, and lines may be of any length."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def file_name(model: str) -> str:
    """What a file is called that holds a model of this name, without its ending."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in model)


def found_specs(specs: Sequence[str]) -> list[tuple[str, Diagnostic | None]]:
    """The specs named and all .cnn files in the folders named, each once, in a fixed order.

    Beside each path stands what is wrong with it before it is read: E701 for a folder without any
    spec, or one that cannot be opened. Hidden folders (`.git`) and virtual environments are passed
    over unless they are named themselves.
    """
    found: dict[str, tuple[str, Diagnostic | None]] = {}
    for spec in specs:
        for path, problem in _in_folder(spec) if os.path.isdir(spec) else [(spec, None)]:
            found.setdefault(path if path == "-" else os.path.realpath(path), (path, problem))
    return list(found.values())


def named_folders(specs: Sequence[str]) -> tuple[str, ...]:
    """The folders among what was named: whoever names one trusts what lies in it to be used."""
    return tuple(spec for spec in specs if os.path.isdir(spec))


def _in_folder(folder: str) -> list[tuple[str, Diagnostic | None]]:
    found: list[tuple[str, Diagnostic | None]] = []

    def unreadable(error: OSError) -> None:
        message = f"`{error.filename}` cannot be read: {error.strerror}"
        found.append((error.filename, Diagnostic("E701", message, None)))

    for root, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [
            name for name in folders
            if not name.startswith(".") and not os.path.exists(os.path.join(root, name, "pyvenv.cfg"))
        ]  # fmt: skip
        specs = [name for name in names if name.endswith(".cnn")]
        found += [(os.path.join(root, name).removeprefix("./"), None) for name in specs]
    if not found:
        return [(folder, Diagnostic("E701", f"there is no .cnn file in `{folder}`", None))]
    return sorted(found, key=lambda item: item[0])
