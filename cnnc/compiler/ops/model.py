"""Frozen classes whose fields are validated, by the Rust core of pydantic.

A class here is declared as one of pydantic's and has the parts of its interface that are
needed, under the same names. `pydantic.BaseModel` itself is left out for what its import
takes: 0.04 s, a quarter of a run of `cnnc check`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, Union, get_args, get_origin

from pydantic_core import SchemaValidator, core_schema

from cnnc.dsl.record import record

if TYPE_CHECKING:
    from pydantic_core.core_schema import CoreSchema, ValidationInfo

_REQUIRED = object()
_T = TypeVar("_T")


@record
class BeforeValidator:
    """What makes a field's value of what is given; that is then held against the field's type."""

    function: Callable[[Any, ValidationInfo], Any]


@record
class PlainValidator:
    """What makes a field's value of what is given, and answers for its type."""

    function: Callable[[Any, ValidationInfo], Any]


@record
class FieldInfo:
    """A field: its type as it is declared in `module`, and its default."""

    annotation: Any
    module: str
    default: Any
    validate_default: bool

    def is_required(self) -> bool:
        return self.default is _REQUIRED


@record
class _Default:
    value: Any
    validate_default: bool


def Field(default: Any, *, validate_default: bool) -> Any:
    """A default that goes through the validators too, where that is asked for."""
    return _Default(default, validate_default)


class Model:
    """A class whose annotated attributes are fields, validated strictly when it is made; it does not change after."""

    __slots__ = ("__dict__", "_answers")
    _answers: Any
    model_fields: ClassVar[Mapping[str, FieldInfo]] = {}
    """By name, in the order of their declaration."""
    required: ClassVar[tuple[str, ...]] = ()
    """The names of those without a default."""
    settled_first: ClassVar[tuple[str, ...]] = ()
    """Fields that the validators of those before them look at."""

    def __init_subclass__(cls) -> None:
        fields: dict[str, FieldInfo] = {}
        for base in reversed(cls.__mro__[1:]):
            fields |= base.__dict__.get("model_fields", {})
        for name, annotation in cls.__annotations__.items():
            if "ClassVar" in str(annotation):
                continue
            default = cls.__dict__.get(name, _REQUIRED)
            if default is not _REQUIRED:
                delattr(cls, name)
            if not isinstance(default, _Default):
                default = _Default(default, validate_default=False)
            fields[name] = FieldInfo(annotation, cls.__module__, default.value, default.validate_default)
        cls.model_fields = fields
        cls.required = tuple(name for name, info in fields.items() if info.is_required())

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(self._validated(values, None))

    @classmethod
    def model_validate(cls, values: Mapping[str, Any], context: Any = None) -> Self:
        """An object of the class. Raises pydantic's ValidationError; validators are handed `context`."""
        made = cls.__new__(cls)
        made.__dict__.update(cls._validated(values, context))
        return made

    @classmethod
    def _validated(cls, values: Mapping[str, Any], context: Any) -> dict[str, Any]:
        # The validator is made when the class is first used: a run uses few of the many.
        validator = cls.__dict__.get("_validator")
        if validator is None:
            validator = _validator_of(cls)
            cls._validator = validator  # type: ignore[attr-defined]
        fields: dict[str, Any] = validator.validate_python(dict(values), context=context)[0]
        return fields

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """The same with some fields changed, which are not validated."""
        made = self.__class__.__new__(self.__class__)
        made.__dict__.update({**self.__dict__, **update})
        return made

    def kept(self, question: Hashable, answer: Callable[[], _T]) -> _T:
        """An answer about an object, which does not change: worked out once, and kept as long as the object."""
        try:
            answers: dict[Hashable, _T] = self._answers
        except AttributeError:
            answers = {}
            _set_answers(self, answers)
        if question not in answers:
            answers[question] = answer()
        return answers[question]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"


_set_answers: Callable[[Model, object], None] = Model.__dict__["_answers"].__set__
_SIMPLE: Mapping[Any, Callable[[], CoreSchema]] = {
    int: core_schema.int_schema, bool: core_schema.bool_schema, float: core_schema.float_schema,
    str: core_schema.str_schema,
}  # fmt: skip


def _validator_of(model: type[Model]) -> SchemaValidator:
    order = sorted(model.model_fields, key=lambda name: name not in model.settled_first)
    fields = {name: core_schema.model_field(_field_schema(model.model_fields[name])) for name in order}
    schema = core_schema.model_fields_schema(fields, model_name=model.__name__, extra_behavior="forbid")
    return SchemaValidator(schema, config={"strict": True})


def _field_schema(field: FieldInfo) -> CoreSchema:
    annotation = field.annotation
    if isinstance(annotation, str):
        annotation = eval(annotation, vars(sys.modules[field.module]))  # the source of a class of ours
    schema = _schema(annotation)
    if field.is_required():
        return schema
    return core_schema.with_default_schema(
        schema, default=field.default, validate_default=field.validate_default
    )


def _schema(annotation: Any) -> CoreSchema:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind, *checks = arguments
        return _checked(kind, checks)
    if origin is tuple and arguments[1:] == (...,):
        return core_schema.tuple_schema([_schema(arguments[0])], variadic_item_index=0)
    if origin is tuple:
        return core_schema.tuple_schema([_schema(a) for a in arguments])
    if origin in (Union, UnionType) and len(arguments) == 2 and arguments[1] is NoneType:
        return core_schema.nullable_schema(_schema(arguments[0]))
    made = _SIMPLE.get(annotation)
    return core_schema.is_instance_schema(annotation) if made is None else made()


def _checked(kind: Any, checks: list[Any]) -> CoreSchema:
    schema: CoreSchema | None = None
    for check in checks:
        if isinstance(check, PlainValidator):
            schema = core_schema.with_info_plain_validator_function(check.function)
        else:
            assert isinstance(check, BeforeValidator)
            schema = core_schema.with_info_before_validator_function(check.function, schema or _schema(kind))
    return schema or _schema(kind)
