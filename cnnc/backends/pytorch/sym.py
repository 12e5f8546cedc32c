"""Sources as Python: exact where the language is, and with as few parentheses as it takes.

Python divides integers into floats, where the language has fractions. So a quotient is carried to the outside,
where the whole number that comes of it is written with `//`; params that need not be whole are fractions in
the code as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from cnnc.compiler.symbolic import (
    WHOLE,
    Binary,
    Compare,
    Const,
    Extreme,
    IfElse,
    Items,
    Logic,
    Param,
    Rounded,
    Sym,
    binary,
    is_real,
    params_of,
    parts,
    rebuilt,
)

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "//": 2, "/": 2, "%": 2}
_FUNCTIONS = {"floor": "math.floor", "ceil": "math.ceil"}
"""What the functions of the language are in Python; the others are helpers, or builtins of the same name."""
_ONE = Const(1)


def python(sym: Sym) -> Sym | None:
    """The expression in Python's arithmetic; None where that cannot say it exactly."""
    ratio = _ratio(sym)
    return None if ratio is None else _over(*ratio)


def _over(numerator: Sym, denominator: Sym) -> Sym:
    return numerator if denominator == _ONE else binary("/", numerator, denominator)


def _ratio(sym: Sym) -> tuple[Sym, Sym] | None:
    """The expression as a numerator and a denominator without quotients in them, but for real parameters."""
    if isinstance(sym, Const):
        if isinstance(sym.value, Fraction):
            return Const(sym.value.numerator), Const(sym.value.denominator)
        return sym, _ONE
    if isinstance(sym, Param):
        return sym, _ONE
    inner = [_ratio(part) for part in parts(sym)]
    found = [ratio for ratio in inner if ratio is not None]
    if not found or len(found) < len(inner):
        return None
    if isinstance(sym, Binary):
        return _operation(sym.op, *found[0], *found[1])
    if isinstance(sym, Rounded):
        return _rounded(sym, found)
    if isinstance(sym, Compare):
        (a, da), (b, db) = found
        if (da, db) != (_ONE, _ONE) and not (_is_positive(da) and _is_positive(db)):
            return None
        return Compare(sym.op, binary("*", db, a), binary("*", da, b)), _ONE
    if any(denominator != _ONE for _, denominator in found):
        return None
    return rebuilt(sym, tuple(numerator for numerator, _ in found)), _ONE


def _operation(op: str, a: Sym, da: Sym, b: Sym, db: Sym) -> tuple[Sym, Sym] | None:
    if op == "*":
        return binary("*", a, b), binary("*", da, db)
    if op == "/":
        return binary("*", a, db), binary("*", da, b)
    if op == "//":
        return binary("//", binary("*", a, db), binary("*", da, b)), _ONE
    if op in ("+", "-"):
        if da == db:
            return binary(op, a, b), da
        return binary(op, binary("*", db, a), binary("*", da, b)), binary("*", da, db)
    return (Binary(op, a, b), _ONE) if (da, db) == (_ONE, _ONE) and op == "%" else None


def _rounded(sym: Rounded, found: list[tuple[Sym, Sym]]) -> tuple[Sym, Sym] | None:
    a, d = found[0]
    if sym.function in ("divisible", WHOLE):
        if any(denominator != _ONE for _, denominator in found):
            return None
        return Rounded(sym.function, tuple(numerator for numerator, _ in found)), _ONE
    if sym.function == "round":  # half away from zero, which is up where nothing is subtracted
        if not _is_natural(a):
            return None
        return binary("//", binary("+", binary("*", Const(2), a), d), binary("*", Const(2), d)), _ONE
    if is_real(a):
        return Rounded(sym.function, (_over(a, d),)), _ONE
    if d == _ONE:
        return a, _ONE
    if sym.function == "floor":
        return binary("//", a, d), _ONE
    if not isinstance(d, Const):
        return None
    return binary("//", binary("+", a, Const(d.value - 1)), d), _ONE


def _is_positive(sym: Sym) -> bool:
    return isinstance(sym, Const) and sym.value > 0


def _is_natural(sym: Sym) -> bool:
    """Whether an expression of sizes subtracts nothing, so that it is at least 0."""
    if isinstance(sym, Const):
        return bool(sym.value >= 0)
    return not (isinstance(sym, Binary) and sym.op == "-") and all(map(_is_natural, parts(sym)))


def integral(sym: Sym) -> Sym:
    """The expression where a whole number is wanted, and known to be one; `whole` looks again where it need not be."""
    if is_quotient(sym):
        assert isinstance(sym, Binary)
        return binary("//", sym.left, sym.right)
    if isinstance(sym, IfElse):
        return IfElse(sym.condition, integral(sym.then), integral(sym.otherwise))
    return Rounded(WHOLE, (sym,)) if is_real(sym) else sym


def is_quotient(sym: Sym) -> bool:
    """Whether an expression divides whole numbers last, and so may be no whole number itself."""
    return isinstance(sym, Binary) and sym.op == "/" and not is_real(sym.left) and not is_real(sym.right)


def piece(parts: Sym | None, whole: Sym | None) -> Sym | None:
    """How large each part is of as many equal ones as `whole // piece`; None where their number is said otherwise.

    That is right where the piece divides the whole.
    """
    is_said = isinstance(parts, Binary) and parts.op == "//" and parts.left == whole
    return parts.right if isinstance(parts, Binary) and is_said else None


def mentions(sym: Sym | str, param: Param | None) -> bool:
    """Whether an expression speaks of a parameter; text that is no expression does not."""
    return not isinstance(sym, str) and param in params_of(sym)


def functions(sym: Sym) -> Iterator[str]:
    """The functions that the text of an expression calls, Python's own aside."""
    if isinstance(sym, Rounded):
        yield _FUNCTIONS.get(sym.function, sym.function)
    for part in parts(sym):
        yield from functions(part)


def text(sym: Sym, names: Mapping[Param, str]) -> str:
    """The expression as Python, with as few parentheses as it needs."""
    if isinstance(sym, Const):
        return repr(float(sym.value) if isinstance(sym.value, Fraction) else sym.value).replace("'", '"')
    if isinstance(sym, Param):
        return names[sym]
    if isinstance(sym, IfElse):
        then, condition, otherwise = (text(part, names) for part in parts(sym))
        return f"{f'({then})' if isinstance(sym.then, IfElse) else then} if {condition} else {otherwise}"
    inner = [(part, text(part, names)) for part in parts(sym)]
    if isinstance(sym, Items):
        return f"({', '.join(shown for _, shown in inner)}{',' if len(inner) == 1 else ''})"
    if isinstance(sym, Extreme | Rounded):
        return f"{_FUNCTIONS.get(sym.function, sym.function)}({', '.join(shown for _, shown in inner)})"
    if isinstance(sym, Compare):
        flag, wanted = sym.left, sym.right
        is_flag = isinstance(flag, Param) and flag.kind == "bool" and sym.op in ("==", "!=")
        if is_flag and isinstance(wanted, Const):
            return f"{'' if (sym.op == '==') == bool(wanted.value) else 'not '}{text(flag, names)}"
        return f" {sym.op} ".join(_in(part, shown, Compare, Logic, IfElse) for part, shown in inner)
    if isinstance(sym, Logic):
        items = [_in(part, shown, Logic, IfElse) for part, shown in inner]
        return f"not {items[0]}" if sym.op == "not" else f" {sym.op} ".join(items)
    assert isinstance(sym, Binary)
    own = _PRECEDENCE[sym.op]
    left, right = (_in(part, shown, Compare, Logic, IfElse) for part, shown in inner)
    if isinstance(sym.left, Binary) and _PRECEDENCE[sym.left.op] < own:
        left = f"({left})"
    if isinstance(sym.right, Binary) and _PRECEDENCE[sym.right.op] <= own:
        right = f"({right})"
    return f"{left} {sym.op} {right}"


def _in(part: Sym, shown: str, *loose: type) -> str:
    return f"({shown})" if isinstance(part, loose) else shown
