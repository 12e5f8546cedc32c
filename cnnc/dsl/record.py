"""`@record`: what `@dataclass(frozen=True, slots=True)` means, at a fifth of its cost.

dataclass compiles eight methods for each class, 0.5 ms in all, and a run of
cnnc imports more than a hundred classes. Records share seven of them, and the
eighth, `__init__`, is compiled when its class is first used. `fields`, `replace`,
`match` and pickle work as on any dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

_T = TypeVar("_T")


@overload
def record(cls: type[_T], /) -> type[_T]: ...
@overload
def record(
    *, frozen: bool = True, eq: bool = True, repr: bool = True, kw_only: bool = False
) -> Callable[[type[_T]], type[_T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(
    cls: type[_T] | None = None, /, *, frozen: bool = True, eq: bool = True, repr: bool = True, kw_only: bool = False
) -> Any:  # fmt: skip
    """Make a class a record: frozen, with slots. Without `eq` only an object itself equals it; with `kw_only` its
    fields are given by keyword.

    >>> @record
    ... class Point:
    ...     x: int
    ...     y: int = 0
    >>> Point(1), Point(1) == Point(1, 0)
    (Point(x=1, y=0), True)
    """
    shared: dict[str, Any] = {"__init__": _first_init}
    if frozen:
        shared |= {
            "__setattr__": _refuse,
            "__delattr__": _refuse,
            "__getstate__": _state,
            "__setstate__": _restore,
        }
    if eq:
        shared |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
    if repr:
        shared |= {"__repr__": _repr}

    def make(cls: type[_T]) -> type[_T]:
        for name, method in shared.items():
            if cls.__dict__.get(name) is None:
                setattr(cls, name, method)
        # Where there is none, dataclass would write one from a signature that takes long to work out.
        cls.__doc__ = cls.__doc__ or ""
        return dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)

    return make if cls is None else make(cls)


def _first_init(self: Any, *args: Any, **kwargs: Any) -> None:
    """Compile the class's `__init__`, put it in this one's place and run it.

    Another thread may have done so since this call began; both would compile the same.
    """
    cls = next(cls for cls in type(self).__mro__ if "__dataclass_fields__" in cls.__dict__)
    if cls.__dict__["__init__"] is _first_init:
        cls.__init__ = _init(cls)  # type: ignore[misc]
    cls.__init__(self, *args, **kwargs)  # type: ignore[misc]


def _init(cls: type[Any]) -> Callable[..., None]:
    """The `__init__` that dataclass would have written."""
    known: dict[str, Any] = {"_missing": MISSING}
    parameters, body = ["self"], []
    is_frozen = cls.__setattr__ is _refuse
    for f in sorted(fields(cls), key=lambda f: f.kw_only is True):
        value = f.name
        if f.default is not MISSING:
            known[f"_{f.name}"] = f.default
            parameter = f"{f.name}=_{f.name}"
        elif f.default_factory is not MISSING:
            known[f"_{f.name}"] = f.default_factory
            parameter, value = f"{f.name}=_missing", f"_{f.name}() if {f.name} is _missing else {f.name}"
        else:
            parameter = f.name
        if f.init:
            if f.kw_only and "*" not in parameters:
                parameters.append("*")
            parameters.append(parameter)
            known[f"_set_{f.name}"] = getattr(cls, f.name).__set__  # of the slot
            body.append(f"_set_{f.name}(self, {value})" if is_frozen else f"self.{f.name} = {value}")
        else:
            assert f.default is f.default_factory is MISSING, "__post_init__ sets it"
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    source = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(body or ["pass"])
    exec(source, known)
    made: Callable[..., None] = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _refuse(self: Any, name: str, *value: Any) -> None:
    raise FrozenInstanceError(f"cannot change field {name!r}")


def _repr(self: Any) -> str:
    shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)
    return f"{type(self).__qualname__}({shown})"


_KEYS: dict[type[Any], Callable[[Any], Any]] = {}


def _key(self: Any) -> Any:
    """What an object is compared by."""
    cls = type(self)
    key = _KEYS.get(cls)
    if key is None:
        names = [f.name for f in fields(cls) if f.compare]
        key = _KEYS[cls] = attrgetter(*names) if names else lambda _: ()
    return key(self)


def _eq(self: Any, other: Any) -> bool:
    return bool(_key(self) == _key(other)) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_key(self))


def _state(self: Any) -> list[Any]:
    return [getattr(self, f.name) for f in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for f, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, f.name, value)
