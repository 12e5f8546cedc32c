"""What a backend reads of a layer: one that leaves an argument unread would write another network, so it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from cnnc.compiler.graph import Node
from cnnc.compiler.ops import Op, show
from cnnc.dsl.diagnostics import fail

_T = TypeVar("_T")


def written_whole(backend: str, node: Node, write: Callable[[Node], _T]) -> _T:
    """What a backend writes for a layer; `write` gets the node, and its op notes which arguments are read.

    Every translation of layers goes through here. Raises CnncError (E801) where an argument that is not
    at its default was not read, neither by the backend nor by a method of the op that it called.
    """
    op = _watched(type(node.op))()
    read: set[str] = set()
    op.begin(node.op, read)
    found = write(replace(node, op=op))
    for name, field in type(node.op).model_fields.items():
        value = getattr(node.op, name)
        if name not in read and name not in node.op.aside and not _is(value, field.default):
            what = f"the {backend} backend does not write `{name}` (={show(value)}) of `{node.op.kind}`"
            raise fail("E801", what, node.span, hint="please report it: this is a bug in cnnc")
    return found


def _is(value: Any, default: Any) -> bool:
    """Whether an argument is at its default; one number may be on every axis."""
    return bool(value == default) or (isinstance(value, tuple) and all(_is(part, default) for part in value))


@cache
def _watched(cls: type[Op]) -> Any:
    """A subclass of an op that notes which fields are read."""
    fields = frozenset(cls.model_fields)

    class Watched(cls):  # type: ignore[misc, valid-type]
        __slots__ = ("_read",)

        def __init__(self) -> None:
            pass

        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            return cls

        def begin(self, op: Op, read: set[str]) -> None:
            """Stand in for `op`; the fields read from here on go into `read`."""
            object.__setattr__(self, "_read", read)
            self.__dict__.update(op.__dict__)

        def __getattribute__(self, name: str) -> Any:
            if name in fields:
                object.__getattribute__(self, "_read").add(name)
            return object.__getattribute__(self, name)

    return Watched
