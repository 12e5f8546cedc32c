"""Frozen classes whose fields are validated when an object is made.

A class here is declared as one of pydantic's models is, and has the parts of its interface that are needed, under the
same names. pydantic itself is left out: nearly every field has a validator of its own, and the import of no more than
pydantic's core would take a fifth of a run of `cnnc check`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Self, TypeVar, Union, get_args, get_origin

from cnnc.dsl.record import record

_REQUIRED = object()
_T = TypeVar("_T")


class ValidationError(ValueError):
    """A field has no value, or one of another type; or there is no such field."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(f"`{field}` cannot be {value!r}")
        self.field = field
        self.value = value


class ValidationInfo:
    """What a validator sees beside the value: the name of its field, the fields validated before it, and the context."""

    __slots__ = ("context", "data", "field_name")
    field_name: str

    def __init__(self, context: object) -> None:
        self.context = context
        self.data: dict[str, Any] = {}


Validator = Callable[[Any, ValidationInfo], Any]


@record
class BeforeValidator:
    """What makes a field's value of what is given; that is then held against the field's type."""

    function: Validator


@record
class PlainValidator:
    """What makes a field's value of what is given, and answers for its type."""

    function: Validator


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
        """An object of the class. Raises ValidationError; validators are handed `context`."""
        made = cls.__new__(cls)
        made.__dict__.update(cls._validated(values, context))
        return made

    @classmethod
    def _validated(cls, values: Mapping[str, Any], context: Any) -> dict[str, Any]:
        # The validators are made when the class is first used: a run uses few of the many.
        validators = cls.__dict__.get("_validators")
        if validators is None:
            validators = cls._validators = _validators_of(cls)  # type: ignore[attr-defined]
        info = ValidationInfo(context)
        fields = info.data
        for name, field, validator in validators:
            if name in values:
                info.field_name = name
                fields[name] = validator(values[name], info)
            elif field.validate_default:
                info.field_name = name
                fields[name] = validator(field.default, info)
            elif field.default is _REQUIRED:
                raise ValidationError(name, None)
            else:
                fields[name] = field.default
        for name in values:
            if name not in fields:
                raise ValidationError(name, values[name])
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


def _validators_of(model: type[Model]) -> tuple[tuple[str, FieldInfo, Validator], ...]:
    """What makes the value of each field, in the order in which they are made."""
    order = sorted(model.model_fields, key=lambda name: name not in model.settled_first)
    fields = {name: model.model_fields[name] for name in order}
    return tuple((name, field, _validator_of(field)) for name, field in fields.items())


def _validator_of(field: FieldInfo) -> Validator:
    annotation = field.annotation
    if isinstance(annotation, str):
        annotation = eval(annotation, vars(sys.modules[field.module]))  # the source of a class of ours
    if get_origin(annotation) is not Annotated:
        return _of_type(annotation)
    kind, *checks = get_args(annotation)
    validator: Validator | None = None
    for check in checks:
        if isinstance(check, PlainValidator):
            validator = check.function
        else:
            assert isinstance(check, BeforeValidator)
            validator = _in_turn(check.function, validator or _of_type(kind))
    assert validator is not None
    return validator


def _in_turn(first: Validator, then: Validator) -> Validator:
    return lambda value, info: then(first(value, info), info)


def _of_type(annotation: Any) -> Validator:
    """The validator that lets the values of one type through."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple and arguments[1:] == (...,):
        return _tuple_of(_of_type(arguments[0]))
    if origin is tuple:
        return _row_of(tuple(map(_of_type, arguments)))
    if origin in (Union, UnionType) and len(arguments) == 2 and arguments[1] is NoneType:
        inner = _of_type(arguments[0])
        return lambda value, info: None if value is None else inner(value, info)
    return _number_of(annotation) if annotation in (int, float) else _instance_of(annotation)


def _number_of(kind: type[int | float]) -> Validator:
    """Of a class derived from int the number alone is kept; an int passes as a float, and a bool as neither."""
    wider = (kind, int)

    def validate(value: Any, info: ValidationInfo) -> int | float:
        if type(value) is kind:
            return value
        if isinstance(value, bool) or not isinstance(value, wider):
            raise ValidationError(info.field_name, value)
        return kind(value)

    return validate


def _instance_of(kind: type) -> Validator:
    def validate(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, kind):
            raise ValidationError(info.field_name, value)
        return value

    return validate


def _tuple_of(item: Validator) -> Validator:
    def validate(value: Any, info: ValidationInfo) -> tuple[Any, ...]:
        if not isinstance(value, tuple):
            raise ValidationError(info.field_name, value)
        return tuple([item(v, info) for v in value])

    return validate


def _row_of(items: tuple[Validator, ...]) -> Validator:
    def validate(value: Any, info: ValidationInfo) -> tuple[Any, ...]:
        if not isinstance(value, tuple) or len(value) != len(items):
            raise ValidationError(info.field_name, value)
        return tuple([item(v, info) for item, v in zip(items, value, strict=True)])

    return validate
