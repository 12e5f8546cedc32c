"""The classes that layers are: fields in order, strict, complete, and unchangeable."""

from __future__ import annotations

import copy
import pickle
from typing import Annotated, Any, ClassVar

import pytest

from cnnc.compiler.ops.base import Place
from cnnc.compiler.ops.convolution import Conv
from cnnc.compiler.ops.model import BeforeValidator, Field, Model, PlainValidator, ValidationError


def _doubled(value: Any, info: Any) -> Any:
    return value * 2


def _after(value: Any, info: Any) -> Any:
    return (info.field_name, info.context, info.data.get("width"))


class Base(Model):
    kind: ClassVar[str] = "base"
    width: Annotated[int, BeforeValidator(_doubled)]
    name: str = "a"


class Derived(Base):
    kind = "derived"
    name: str = "b"
    sizes: tuple[int, ...] = ()
    pair: tuple[int, str] | None = None
    place: Place | None = None
    flag: bool = False
    share: float = 0.5
    told: Annotated[object, PlainValidator(_after)] = Field(None, validate_default=True)


def test_fields_are_those_of_the_bases_first_with_the_last_defaults() -> None:
    assert list(Derived.model_fields) == ["width", "name", "sizes", "pair", "place", "flag", "share", "told"]
    assert [f.is_required() for f in Derived.model_fields.values()] == [True] + 7 * [False]
    assert (Base.model_fields["name"].default, Derived.model_fields["name"].default) == ("a", "b")


def test_validators_make_the_value_and_see_where_they_are() -> None:
    made = Derived.model_validate({"width": 3}, context="here")
    assert (made.width, made.name, made.sizes, made.pair) == (6, "b", (), None)
    assert made.told == ("told", "here", 6)
    assert Base(width=2).width == 4
    full = Derived(width=1, sizes=(1, 2), pair=(3, "x"), place=Place(()), flag=True, share=2)
    assert (full.sizes, full.pair, full.place, full.flag, full.share) == (
        (1, 2),
        (3, "x"),
        Place(()),
        True,
        2.0,
    )


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({}, "width"), ({"width": "x"}, "width"), ({"width": 1.5}, "width"), ({"width": 1, "more": 2}, "more"),
        ({"width": 1, "name": 3}, "name"), ({"width": 1, "sizes": (1, "2")}, "sizes"),
        ({"width": 1, "sizes": [1]}, "sizes"), ({"width": 1, "pair": (1, 2)}, "pair"),
        ({"width": 1, "pair": (1,)}, "pair"), ({"width": 1, "sizes": (True,)}, "sizes"),
        ({"width": 1, "place": 3}, "place"), ({"width": 1, "flag": 1}, "flag"), ({"width": 1, "share": "1"}, "share"),
        ({"width": 1, "pair": (1, "a", 2)}, "pair"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_the_name_of_the_field(values: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Derived.model_validate(values)
    assert refused.value.field == place


def test_it_does_not_change() -> None:
    made = Base(width=1)
    with pytest.raises(AttributeError, match="Base is frozen"):
        made.width = 3
    with pytest.raises(AttributeError, match="Base is frozen"):
        del made.width
    other = made.model_copy(update={"name": "c"})
    assert (made.name, other.name, other.width) == ("a", "c", 2)


def test_it_is_its_values() -> None:
    one, same, other = Base(width=1), Base(width=1), Base(width=2)
    assert one == same and hash(one) == hash(same)
    assert one != other and one != Derived(width=1).model_copy(update={}) and one != 1
    assert repr(one) == "Base(width=2, name='a')"
    for again in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
        assert again == one and again is not one


def test_a_layer_of_all_its_arguments() -> None:
    values = {"kernel": 3, "width": 8, "pad": "valid", "bias": "no"}
    conv = Conv.model_validate(values, context=Place(((4, 8, 8),)))
    assert (conv.kernel, conv.stride, conv.pad, conv.bias) == ((3, 3), (1, 1), ((0, 0), (0, 0)), False)
    assert pickle.loads(pickle.dumps(conv)) == conv
