"""How weights start: `init=he`, `init=normal(0.01)`, `bias_init=1`."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Protocol, runtime_checkable

from cnnc.compiler.ops import fields
from cnnc.compiler.ops.base import OpError, show
from cnnc.compiler.ops.model import PlainValidator, ValidationInfo
from cnnc.dsl.record import record


@record
class _Rule:
    """A way to draw weights: its numbers, each with its default (None: it must be given)."""

    numbers: Mapping[str, float | None]
    has_mode: bool = False


RULES: Mapping[str, _Rule] = {
    "he": _Rule({}, has_mode=True),  # He et al. 2015, eq. 10 and 14: normal, variance 2/fan
    "he_uniform": _Rule({}, has_mode=True),
    "xavier": _Rule({}),  # Glorot and Bengio 2010, eq. 16: uniform
    "xavier_normal": _Rule({}),
    "normal": _Rule({"std": None, "mean": 0.0}),
    "truncated_normal": _Rule({"std": None, "mean": 0.0}),  # cut at two standard deviations
    "uniform": _Rule({"low": None, "high": None}),
    "constant": _Rule({"value": None}),
}
MODES = ("fan_in", "fan_out")


@record
class Init:
    """One way to start a tensor: the rule's name and its numbers in order; `mode` for He's alone."""

    rule: str
    numbers: tuple[float, ...] = ()
    mode: str | None = None

    @property
    def has_fan(self) -> bool:
        """Whether it goes by how many values a filter sums."""
        return self.rule.startswith(("he", "xavier"))

    def __str__(self) -> str:
        inner = [str(int(n)) if n == int(n) else repr(n) for n in self.numbers]
        if self.mode == "fan_out":
            inner.append("fan_out")
        return self.rule + (f"({', '.join(inner)})" if inner else "")


@runtime_checkable
class _Word(Protocol):
    """A word with arguments: `normal(0.01)`."""

    name: str
    args: tuple[tuple[str | None, Any], ...]


def rule_of(value: Any, info: ValidationInfo) -> Init | None:
    """A rule's word with its numbers; a bare number is a constant."""
    argument = info.field_name
    if value is None or isinstance(value, Init):
        return value
    if isinstance(value, int | float | Fraction) and not isinstance(value, bool):
        return Init("constant", (fields.real(value, argument),))
    if isinstance(value, str):
        return _ruled(value, (), argument)
    if isinstance(value, _Word):
        return _ruled(value.name, value.args, argument)
    raise _unknown(value, argument)


def _unknown(value: Any, argument: str) -> OpError:
    return OpError(
        "E303", f"`{argument}` is {show(value)}; expected {', '.join(RULES)} or a number", arg=argument,
        hint=f"for instance: {argument}=he, {argument}=normal(0.01), {argument}=constant(1)",
    )  # fmt: skip


def _ruled(name: str, args: tuple[tuple[str | None, Any], ...], argument: str) -> Init:
    rule = RULES.get(name)
    if rule is None:
        raise _unknown(name, argument)
    given: dict[str, Any] = {}
    names = [*rule.numbers, *(["mode"] if rule.has_mode else [])]
    for i, (key, value) in enumerate(args):
        slot = key.lower() if key else names[i] if i < len(names) else ""
        if slot not in names or slot in given:
            takes = ", ".join(names) or "no arguments"
            raise OpError("E303", f"`{name}` in `{argument}` takes {takes}", arg=argument)
        given[slot] = value
    numbers = []
    for slot, default in rule.numbers.items():
        value = given.get(slot, default)
        if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
            raise OpError("E303", f"`{name}` in `{argument}` needs a number for its {slot}", arg=argument)
        if slot == "std" and value < 0:
            raise OpError(
                "E303", f"the std in `{argument}` (={show(value)}) must be at least 0", arg=argument
            )
        numbers.append(fields.real(value, argument))
    if name == "truncated_normal" and numbers[0] == 0:
        raise OpError(
            "E303",
            f"the std in `{argument}` must be more than 0: no value is within two of it",
            arg=argument,
        )
    if name == "uniform" and numbers[0] > numbers[1]:
        raise OpError("E303", f"the range in `{argument}` is empty: {show(tuple(numbers))}", arg=argument)
    mode = fields.one_of(given.get("mode", "fan_in"), argument, MODES) if rule.has_mode else None
    return Init(name, tuple(numbers), mode)


def _bias_init(value: Any, info: ValidationInfo) -> Init | None:
    init = rule_of(value, info)
    if init is not None and init.has_fan:
        raise OpError("E303", f"`{info.field_name}` is {init}, and a bias has no fan", arg=info.field_name)
    return init


WeightInit = Annotated[Init | None, PlainValidator(rule_of)]
BiasInit = Annotated[Init | None, PlainValidator(_bias_init)]
