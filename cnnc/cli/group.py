"""Commands that are named in a table and imported when one is asked for."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import cleandoc
from typing import Any

import click

from cnnc.dsl.printable import printable


class Commands(UserDict[str, Any]):
    """The commands of a group by name, each written as `module:function` until it is looked up.

    So a command costs a run of another one nothing, and its module under
    `cnnc/cli/` may import what it needs at its head.
    """

    def __getitem__(self, name: str) -> click.Command:
        command = self.data[name]
        if isinstance(command, str):
            module, _, function = command.partition(":")
            command = self.data[name] = getattr(import_module(module), function)
        assert isinstance(command, click.Command)
        command.help = _with_example_apart(cleandoc(command.help or ""))
        return command


class Group(click.Group):
    """A group whose complaints about the command line quote no line break of what was typed."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _on_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _on_one_line():
            return super().invoke(ctx)


@contextmanager
def _on_one_line() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = printable(error.message)
        raise


def _with_example_apart(text: str) -> str:
    """A command's help with its example on a line of its own, which is not wrapped: it is there to be copied."""
    head, found, example = text.rpartition("Example: ")
    return f"{head.rstrip()}\n\n\b\nExample: {' '.join(example.split())}" if found else text
