"""`@record` against the dataclass it stands for."""

from __future__ import annotations

import pickle
from dataclasses import KW_ONLY, FrozenInstanceError, dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

import pytest

from cnnc.dsl.record import record


@record
class Point:
    x: int
    y: int = 2
    notes: list[str] = field(default_factory=list, compare=False, repr=False)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.x + self.y)


@dataclass(frozen=True, slots=True)
class Twin:
    x: int
    y: int = 2
    notes: list[str] = field(default_factory=list, compare=False, repr=False)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.x + self.y)


@record(eq=False, repr=False)
class Alone:
    x: int


@record(frozen=False)
class Tally:
    n: int = 0


@pytest.mark.parametrize("cls", [Point, Twin])
def test_the_same_as_a_dataclass(cls: type[Any]) -> None:
    one = cls(1)
    assert (one.x, one.y, one.notes, one.total) == (1, 2, [], 3)
    assert one.notes is not cls(1).notes
    assert repr(one) == f"{cls.__name__}(x=1, y=2, total=3)"
    assert one == cls(1, y=2, notes=["other"]) != cls(1, 3)
    assert hash(one) == hash(cls(1))
    assert one != (1, 2, 3)
    assert replace(one, y=5).total == 6
    assert [f.name for f in fields(one)] == ["x", "y", "notes", "total"]
    assert pickle.loads(pickle.dumps(one)) == one
    match one:
        case cls(x, y):
            assert (x, y) == (1, 2)
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize("cls", [Point, Twin])
def test_it_is_frozen(cls: type[Any]) -> None:
    one = cls(1)
    with pytest.raises(FrozenInstanceError, match="x"):
        one.x = 2
    with pytest.raises(FrozenInstanceError, match="x"):
        del one.x
    assert one.x == 1


@pytest.mark.parametrize("cls", [Point, Twin])
def test_wrong_arguments(cls: type[Any]) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        cls()
    with pytest.raises(TypeError, match="unexpected keyword argument 'total'"):
        cls(1, total=3)


def test_without_equality_an_object_equals_itself_only() -> None:
    one = Alone(1)
    assert one == one != Alone(1)
    assert len({one, Alone(1)}) == 2
    assert repr(one).startswith("<")


def test_one_that_is_not_frozen() -> None:
    tally = Tally()
    tally.n += 1
    assert tally == Tally(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(tally)


def test_fields_by_keyword() -> None:
    @record(kw_only=True)
    class Whole:
        x: int
        y: int = 2

    @record
    class Half:
        x: int
        _: KW_ONLY
        y: int = 2

    assert Whole(x=1) == Whole(y=2, x=1) != Whole(x=2)
    assert (Half(1, y=3).x, Half(1, y=3).y, Half(1).y) == (1, 3, 2)
    assert (Whole.__match_args__, Half.__match_args__) == ((), ("x",))  # type: ignore[attr-defined]
    for wrong in (lambda: Whole(1), lambda: Half(1, 2)):  # type: ignore[misc]
        with pytest.raises(TypeError, match="positional argument"):
            wrong()


_T = TypeVar("_T")


@record
class Pair(Generic[_T]):
    one: _T
    other: _T


@record
class Triple(Pair[_T]):
    third: _T


def test_a_generic_record() -> None:
    assert [f.name for f in fields(Triple)] == ["one", "other", "third"]
    assert replace(Triple(1, 2, 3), other=5) == Triple(1, 5, 3)
    assert [f.name for f in fields(Pair("a", "b"))] == ["one", "other"]


def test_a_record_of_a_record() -> None:
    @record
    class Named(Point):
        name: str = "a"

    one = Named(1, name="b")
    assert (one.total, one.name) == (3, "b")
    assert one != Point(1)
    assert Point(4).total == 6
