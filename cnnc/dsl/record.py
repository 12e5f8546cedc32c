"""`@record`: what `@dataclass(frozen=True, slots=True)` means, at a tenth of its cost.

dataclass compiles eight methods for each class, 0.5 ms in all, and a run of
cnnc imports more than a hundred classes. Records share seven of them, and the
eighth, `__init__`, is compiled when its class is first used. What else dataclass
makes of a class, such as its `Field`s, is made when somebody asks for it.
`fields`, `replace`, `match` and pickle work as on any dataclass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, MISSING, Field, FrozenInstanceError, dataclass, field, fields
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
        made: type[_T] = _slotted(cls, shared, kw_only)
        return made

    return make if cls is None else make(cls)


_Declared = Mapping[str, tuple[Any, bool]]
"""Fields by name: what the class body sets each to, and whether it is given by keyword only."""


def _slotted(cls: Any, shared: Mapping[str, Any], kw_only: bool) -> Any:
    """The class once more, with a slot for each field that it adds, and those of the methods that it does not write itself."""
    own = _declared_in(cls, kw_only)
    inherited = _declared_by(cls)
    left_out = {*own, "__dict__", "__weakref__"}
    namespace = {name: value for name, value in cls.__dict__.items() if name not in left_out}
    namespace |= {name: method for name, method in shared.items() if namespace.get(name) is None}
    namespace |= {name: _OfDataclass(name) for name in _OF_DATACLASS}
    namespace["_declared"] = own
    namespace["_kw_only"] = kw_only
    namespace["__slots__"] = tuple([name for name in own if name not in inherited])
    namespace["__qualname__"] = cls.__qualname__
    return type(cls)(cls.__name__, cls.__bases__, namespace)


def _declared_in(cls: type[Any], kw_only: bool) -> _Declared:
    found = {}
    for name, annotation in cls.__annotations__.items():
        if annotation in ("KW_ONLY", KW_ONLY):
            kw_only = True
        elif "ClassVar" not in annotation:
            found[name] = (cls.__dict__.get(name, MISSING), kw_only)
    return found


def _declared_by(cls: type[Any]) -> _Declared:
    """The fields of a class, those of its bases first."""
    found: dict[str, tuple[Any, bool]] = {}
    for base in reversed(cls.__mro__):
        found |= base.__dict__.get("_declared", {})
    return found


def _record_of(cls: type[Any]) -> Any:
    """The nearest class that is a record: itself or a base."""
    return next(base for base in cls.__mro__ if "_declared" in base.__dict__)


_OF_DATACLASS = ("__dataclass_fields__", "__dataclass_params__", "__match_args__")


class _OfDataclass:
    """An attribute that dataclass gives a class, in its place until somebody asks for it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, asked: type[Any]) -> Any:
        cls = _record_of(asked)
        # dataclass changes the class that it is given: it gets one of its own, also where two threads are here at once.
        namespace = {name: value for name, (value, _) in cls._declared.items() if value is not MISSING}
        namespace |= {"__module__": cls.__module__, "__annotations__": cls.__annotations__}
        # Where there is none, dataclass writes one from a signature that takes long to work out.
        namespace["__doc__"] = cls.__name__
        bases = tuple([base for base in cls.__mro__[1:] if "_declared" in base.__dict__])
        twin = type(cls)(cls.__name__, bases, namespace)
        made = dataclass(init=False, repr=False, eq=False, kw_only=cls._kw_only)(twin)
        for name in _OF_DATACLASS:
            setattr(cls, name, made.__dict__[name])
        return made.__dict__[self.name]


def _first_init(self: Any, *args: Any, **kwargs: Any) -> None:
    """Compile the class's `__init__`, put it in this one's place and run it.

    Another thread may have done so since this call began; both would compile the same.
    """
    cls = _record_of(type(self))
    if cls.__dict__["__init__"] is _first_init:
        cls.__init__ = _init(cls)
    cls.__init__(self, *args, **kwargs)


def _init(cls: type[Any]) -> Callable[..., None]:
    """The `__init__` that dataclass would have written."""
    known: dict[str, Any] = {"_missing": MISSING}
    parameters, body = ["self"], []
    by_keyword: list[str] = []
    is_frozen = cls.__setattr__ is _refuse
    for name, (default, kw_only) in _declared_by(cls).items():
        parameter, value = name, name
        factory: Any = MISSING
        if isinstance(default, Field):
            if not default.init:
                assert default.default is default.default_factory is MISSING, "__post_init__ sets it"
                continue
            factory, default = default.default_factory, default.default
        if default is not MISSING:
            known[f"_{name}"] = default
            parameter = f"{name}=_{name}"
        elif factory is not MISSING:
            known[f"_{name}"] = factory
            parameter, value = f"{name}=_missing", f"_{name}() if {name} is _missing else {name}"
        (by_keyword if kw_only else parameters).append(parameter)
        known[f"_set_{name}"] = getattr(cls, name).__set__  # of the slot
        body.append(f"_set_{name}(self, {value})" if is_frozen else f"self.{name} = {value}")
    if by_keyword:
        parameters += ["*", *by_keyword]
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
