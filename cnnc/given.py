"""What is given to a spec from outside: input sizes and values of params as they are written, and where the spec is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from cnnc.compiler.walk.evaluate import evaluate
from cnnc.compiler.walk.operations import FLAGS
from cnnc.compiler.walk.values import FileScope, InputShape, Value
from cnnc.dsl.data import specs
from cnnc.dsl.diagnostics import did_you_mean, fail
from cnnc.dsl.parse import parse as parse_source
from cnnc.dsl.printable import printable
from cnnc.dsl.source import Source
from cnnc.dsl.syntax import Expect, Tuple

ZOO = "zoo:"
InputSize = str | Sequence[int | str]
"""`"3x299x299"`, or (3, 299, 299); a capital letter is a free size."""


def stem_of(path: str) -> str:
    """What a model is called whose file does not name it."""
    return "net" if path == "-" else printable(Path(path).stem)


def parse_size(size: str | Iterable[int | str]) -> InputShape:
    """`3x299x299`, or its numbers, to (3, 299, 299); a capital letter is a free size: `3xHxW`. Raises CnncError (E303)."""
    try:
        parts = size.split("x") if isinstance(size, str) else [str(n) for n in size]
    except TypeError:
        raise fail("E303", f"`{size!r}` is not an input size", hint=_SIZES) from None
    if not all(map(_is_size, parts)) or not 1 <= len(parts) <= 4:
        shown = size if isinstance(size, str) else "x".join(parts)
        raise fail("E303", f"`{shown}` is not an input size", hint=_SIZES)
    return tuple(int(p) if p.isdecimal() else p for p in parts)


_SIZES = "channels x height x width, such as 3x224x224; 3xHxW leaves sizes free"


def _is_size(part: str) -> bool:
    if part.isdecimal():
        return part.isascii() and len(part) < 10 and int(part) > 0
    return len(part) == 1 and part.isascii() and part.isupper()


def parse_value(name: str, value: object) -> Value:
    """A param's value from Python or the command line: numbers exact, `yes`, `(1, 2)`, anything else a word."""
    if isinstance(value, float):
        number = _exact(str(value))
        return value if number is None else number
    if isinstance(value, bool | int | Fraction):
        return value
    if isinstance(value, str):
        number = _exact(value)
        if number is None and value.startswith("("):
            return _list(name, value)
        return FLAGS.get(value, value) if number is None else number
    if isinstance(value, list | tuple):
        return tuple(parse_value(name, item) for item in value)
    raise fail("E303", f"the param `{name}` cannot be {value!r}", hint="expected a number or a word")


def _list(name: str, text: str) -> Value:
    """A list as the language writes it."""
    spec = parse_source(Source(f"-D {name}", f"expect {text}"))
    claim = spec.statements[0]
    if len(spec.statements) > 1 or not isinstance(claim, Expect) or not isinstance(claim.claim, Tuple):
        raise fail("E303", f"the param `{name}` cannot be {text}", hint="a list: (64, 128)")
    return evaluate(claim.claim, FileScope().env()).value


def _exact(text: str) -> int | Fraction | None:
    try:
        number = Fraction(text) if len(text) <= 40 and "e" not in text.lower() else Fraction(str(float(text)))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return number.numerator if number.denominator == 1 else number


def resolve(spec: str) -> str:
    """A spec's path; `zoo:NAME` is one that ships with cnnc."""
    if not spec.startswith(ZOO):
        return spec
    folder = specs()
    name = spec.removeprefix(ZOO)
    names = {path.stem: path for path in sorted(folder.glob("*.cnn"))}
    if name not in names:
        raise fail(
            "E701", f"the zoo has no `{name}`", hint=did_you_mean(name, names) or "`cnnc zoo` lists it"
        )
    return str(names[name])
