"""What the commands share: the spec argument, printing, writing files, turning errors into exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cnnc.dsl.diagnostics import CnncError, Diagnostic, fail

if TYPE_CHECKING:
    from cnnc.net import Net

_C = TypeVar("_C", bound=Callable[..., Any])

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


class Params(click.ParamType[tuple[str, str]]):
    """`name=value`."""

    name = "name=value"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not equals or not name.isidentifier():
            self.fail(f"{value!r} is not name=value", param, ctx)
        return name, text


class Size(click.ParamType[tuple[str | None, str]]):
    """`3x299x299`, or `name=3x299x299`."""

    name = "[name=]size"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str | None, str]:
        from cnnc.net import parse_size

        name, equals, size = value.rpartition("=")
        try:
            parse_size(size)
        except CnncError as error:
            found = error.diagnostics[0]
            self.fail(f"{found.message}: {found.hint}", param, ctx)
        return name if equals else None, size


def spec_options(command: _C) -> _C:
    """The argument and options of every command that reads one spec."""
    command = click.option(
        "-D", "params", multiple=True, type=Params(), metavar="NAME=VALUE",
        help="Replace the value of a param of the spec.",
    )(command)  # fmt: skip
    command = click.option(
        "--input", "sizes", multiple=True, type=Size(), metavar="[NAME=]SIZE",
        help="Replace the declared input size, such as 3x299x299.",
    )(command)  # fmt: skip
    return click.argument("spec")(command)


Sizes = tuple[tuple[str | None, str], ...]
Values = tuple[tuple[str, str], ...]


def load(spec: str, sizes: Sizes, params: Values) -> Net:
    """The network that a command line asks for."""
    from cnnc.dsl.read import read_source
    from cnnc.net import from_source, resolve, stem_of

    named = {name: size for name, size in sizes if name is not None}
    plain = [size for name, size in sizes if name is None]
    if len(sizes) != len(named) + bool(plain) or (plain and named):
        raise click.UsageError("--input is given once, or once for each input by name")
    path = resolve(spec)
    input = plain[0] if plain else named or None
    return from_source(read_source(path), stem=stem_of(path), input=input, params=dict(params))


def tell(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic]) -> None:
    """Print findings to standard error, the severity in colour on a terminal."""
    for diagnostic in diagnostics:
        text = diagnostic.render()
        word = f"{diagnostic.severity} {diagnostic.code}"
        styled = click.style(word, fg=_COLOURS[diagnostic.severity], bold=True)
        click.echo(text.replace(word, styled, 1), err=True, color=_colour())


def _colour() -> bool | None:
    """NO_COLOR turns colour off; else click decides by the terminal."""
    return False if os.environ.get("NO_COLOR") else None


def guarded(command: _C) -> _C:
    """Turn findings into exit code 1, and trouble with files or the keyboard into one line."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except CnncError as error:
            tell(error.diagnostics)
            sys.exit(1)
        except BrokenPipeError:
            # The reader has gone; say nothing, and let Python's own flush at exit find nothing to do.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except RecursionError:
            tell([Diagnostic("E901", "the spec is nested too deeply", None)])
            sys.exit(1)
        except Exception as error:
            if os.environ.get("CNNC_TRACEBACK"):
                raise
            click.echo(
                f"cnnc itself failed ({type(error).__name__}: {error}): this is its mistake, not your spec's.\n"
                "Please report it with the spec and what CNNC_TRACEBACK=1 in the environment prints.",
                err=True,
            )
            sys.exit(1)

    return run  # type: ignore[return-value]


def write(path: str, data: str | bytes, what: str) -> None:
    """Write a file whole or not at all, and say so; `-` is standard output.

    Raises CnncError (E703) where it cannot be written.
    """
    raw = data.encode("utf8") if isinstance(data, str) else data
    if path == "-":
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
        return
    replace_file(Path(path), raw)
    click.echo(f"wrote {path} ({what})", err=True)


def replace_file(path: Path, raw: bytes) -> None:
    """Give a file new contents, whole or not at all; links are followed, permissions kept.

    Raises CnncError (E703) where it cannot be written.
    """
    if path.is_dir():
        raise fail("E703", f"`{path}` is a folder, and a file is wanted")
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(raw)  # a device or pipe cannot be replaced
            return
        with _beside(target) as temporary:
            temporary.write_bytes(raw)
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
            temporary.replace(target)
    except OSError as error:
        raise fail("E703", f"`{path}` cannot be written: {error.strerror or error}") from None


def found_specs(specs: Sequence[str]) -> Iterator[str]:
    """The specs named, and all .cnn files in the folders named, in a fixed order.

    Raises CnncError (E701) for a folder without any.
    """
    for spec in specs:
        if not os.path.isdir(spec):
            yield spec
            continue
        found = [
            os.path.join(root, n) for root, _, names in os.walk(spec) for n in names if n.endswith(".cnn")
        ]
        if not found:
            raise fail("E701", f"there is no .cnn file in `{spec}`")
        yield from sorted(found)


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A fresh file in the target's folder, gone at the end unless it was moved."""
    handle, name = tempfile.mkstemp(dir=target.parent or ".", prefix=f".{target.name}.")
    os.close(handle)
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    try:
        yield Path(name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
