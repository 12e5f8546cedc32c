"""A value's source gives, for other params, the value that these params give; and lists are Python's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from cnnc.compiler import symbolic
from cnnc.compiler.symbolic import FILE, Const, Param, kind_of
from cnnc.compiler.walk import evaluate as ev
from cnnc.compiler.walk.values import FileScope
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source

Two = tuple[str, str]
"""An expression of the language, and the same in Python."""
NUMBERS, FLAGS = ("n", "m", "k"), ("p", "q")


def evaluated(text: str, params: Mapping[str, Any]) -> symbolic.Sourced[Any]:
    """A value and its source, as that of a file with these params."""
    (statement,) = parse(Source("net.cnn", f"param x = {text}\n")).statements
    assert isinstance(statement, s.Param)
    sources: dict[str, Any] = {name: Param(name, FILE, kind_of(value)) for name, value in params.items()}
    return ev.evaluate(statement.value, FileScope(params=dict(params), sources=sources).env())


def of_python(text: str, params: Mapping[str, Any]) -> Any:
    """Python's value. Raises ArithmeticError or IndexError where there is none."""
    functions = {
        "F": Fraction, "floor": math.floor, "ceil": math.ceil, "min": min, "max": max, "sum": sum, "len": len,
        "at": _at, "part": _part, "within": _within, "round": lambda x: math.floor(x + Fraction(1, 2)) if x >= 0 else -math.floor(-x + Fraction(1, 2)),
    }  # fmt: skip
    try:
        return eval(text, {}, {**params, **functions})
    except ValueError:  # the least of nothing
        raise IndexError from None


def _at(items: tuple[Any, ...], i: Fraction) -> Any:
    if i != int(i) or i < 0:
        raise IndexError
    return items[int(i)]


def _part(items: tuple[Any, ...], low: Fraction | None, high: Fraction | None) -> tuple[Any, ...]:
    first, last = Fraction(0) if low is None else low, Fraction(len(items) - 1) if high is None else high
    whole = first.denominator == last.denominator == 1
    if not whole or not ((last == first - 1 and 0 <= first <= len(items)) or 0 <= first <= last < len(items)):
        raise IndexError
    return items[int(first) : int(last) + 1]


def _within(x: Fraction, first: Fraction, last: Fraction) -> bool:
    if first.denominator != 1 or last.denominator != 1:
        raise IndexError
    return x.denominator == 1 and first <= x <= last


class Draw:
    """Random expressions, each in the language and in Python."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def number(self, depth: int) -> Two:
        rng = self.random
        if depth == 0:
            name = rng.choice(NUMBERS)
            literal = str(rng.choice((0, 1, 2, 3, 5, 8)))
            return rng.choice(((name, name), (name, name), (literal, f"F({literal})")))
        kind = rng.choice(
            (
                "two",
                "two",
                "two",
                "unary",
                "if",
                "if",
                "if3",
                "call",
                "call",
                "list",
                "list",
                "element",
                "power",
            )
        )
        if kind == "power":
            (a, x), times = self.number(depth - 1), rng.choice((0, 1, 2, 3))
            return f"({a} ** {times})", f"(F({x}) ** {times})"
        if kind == "two":
            (a, x), (b, y), op = (
                self.number(depth - 1),
                self.number(depth - 1),
                rng.choice(("+", "-", "*", "//", "%", "/")),
            )
            return f"({a} {op} {b})", f"(F({x}) {op} F({y}))"
        if kind == "unary":
            a, x = self.number(depth - 1)
            return f"(-{a})", f"(-F({x}))"
        if kind == "if":
            (a, x), (c, z), (b, y) = self.number(depth - 1), self.flag(depth - 1), self.number(depth - 1)
            return f"({a} if {c} else {b})", f"({x} if {z} else {y})"
        if kind == "if3":
            (a, x), (c, z), (b, y) = self.number(depth - 1), self.flag(depth - 1), self.number(depth - 1)
            (d, w), (e, v) = self.flag(0), self.number(0)
            return f"({a} if {c} else {b} if {d} else {e})", f"({x} if {z} else {y} if {w} else {v})"
        if kind == "call":
            name = rng.choice(("min", "max", "floor", "ceil", "round"))
            drawn = [
                self.number(depth - 1) for _ in range(rng.choice((1, 2, 3)) if name in ("min", "max") else 1)
            ]
            py = ", ".join(f"F({x})" for _, x in drawn)
            return f"{name}({', '.join(a for a, _ in drawn)})", f"F({name}([{py}]))" if name in (
                "min",
                "max",
            ) else f"F({name}({py}))"
        a, x = self.list(depth - 1)
        if kind == "element":
            b, y = self.number(depth - 1)
            return f"{a}[{b}]", f"at({x}, F({y}))"
        name = rng.choice(("len", "sum", "min", "max"))
        return f"{name}({a})", f"F({name}({x}))"

    def flag(self, depth: int) -> Two:
        rng = self.random
        if depth == 0:
            name = rng.choice((*FLAGS, "yes", "no"))
            return name, {"yes": "True", "no": "False"}.get(name, name)
        kind = rng.choice(("order", "order", "chain", "and", "or", "not", "in", "within", "same"))
        (a, x), (b, y) = (self.flag if kind in ("and", "or") else self.number)(depth - 1), (
            self.flag if kind in ("and", "or") else self.number)(depth - 1)  # fmt: skip
        op = rng.choice(("<", "<=", ">", ">="))
        if kind == "order":
            return f"({a} {op} {b})", f"(F({x}) {op} F({y}))"
        if kind == "chain":
            c, z = self.number(depth - 1)
            return f"({a} {op} {b} == {c})", f"(F({x}) {op} F({y}) == F({z}))"
        if kind in ("and", "or"):
            c, z = self.flag(depth - 1)
            return f"({a} {kind} {b} {kind} {c})", f"({x} {kind} {y} {kind} {z})"
        if kind == "not":
            c, z = self.flag(depth - 1)
            return f"(not {c})", f"(not {z})"
        if kind == "in":
            (c, z), word = self.list(depth - 1), rng.choice(("in", "not in"))
            return f"({a} {word} {c})", f"(F({x}) {word} {z})"
        if kind == "within":
            (c, z), word = self.number(0), rng.choice(("", "not "))
            return f"({a} {word}in {c}..{b})", f"({word}within(F({x}), F({z}), F({y})))"
        op = rng.choice(("==", "!="))
        return f"({a} {op} {b})", f"(F({x}) {op} F({y}))"

    def list(self, depth: int) -> Two:
        rng = self.random
        kind = rng.choice(("ns", "written", "written", "part") if depth else ("ns", "written"))
        if kind == "ns":
            return "ns", "ns"
        if kind == "part":
            (a, x), (b, y), (c, z) = self.list(depth - 1), self.number(0), self.number(0)
            low, high = rng.random() < 0.7, rng.random() < 0.7
            if not low and not high:
                low = True
            return (
                f"{a}[{b if low else ''}..{c if high else ''}]",
                f"part({x}, {f'F({y})' if low else None}, {f'F({z})' if high else None})",
            )
        items = [self.number(max(depth - 1, 0)) for _ in range(rng.choice((2, 2, 3, 4)))]
        return f"({', '.join(a for a, _ in items)})", f"({', '.join(f'F({x})' for _, x in items)},)"


def drawn_params(random: Random) -> dict[str, Any]:
    return {
        **{name: Fraction(random.choice((0, 1, 2, 3, 4, 7))) for name in NUMBERS},
        **{name: random.random() < 0.5 for name in FLAGS},
        "ns": tuple(Fraction(random.choice((1, 2, 3, 4, 6))) for _ in range(3)),
    }  # fmt: skip


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """As the language holds numbers: whole ones as integers."""
    return {name: _plain(value) for name, value in params.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return symbolic.normal(value) if isinstance(value, Fraction) else value


@pytest.mark.parametrize("seed", range(6))
def test_values_are_pythons_and_sources_give_those_of_other_params(seed: int) -> None:
    draw, seen = Draw(seed), Counter[str]()
    for turn in range(360):
        text, python = draw.flag(3) if turn % 3 == 0 else draw.number(3)
        known = drawn_params(draw.random)
        try:
            wanted = of_python(python, known)
        except (ArithmeticError, IndexError):
            with pytest.raises(CnncError) as caught:
                evaluated(text, plain(known))
            assert {d.code for d in caught.value.diagnostics} <= {"E305", "E306"}, text
            seen["refused"] += 1
            continue
        found = evaluated(text, plain(known))
        assert found.value == wanted and isinstance(found.value, bool) == isinstance(wanted, bool), text
        named = {param.name for param in symbolic.params_of(found.source)}
        for _ in range(4):
            others = drawn_params(draw.random)
            # What its source does not name makes no difference to a value.
            with suppress(ArithmeticError, IndexError):
                assert (
                    of_python(python, {n: (known if n in named else others)[n] for n in known}) == wanted
                ), text
            try:
                other = of_python(python, others)
            except (ArithmeticError, IndexError):
                continue
            params = plain(others)
            again = symbolic.value(found.source, {Param(n, FILE, kind_of(v)): v for n, v in params.items()})
            if again is None:
                seen["unknown"] += 1
                continue
            assert again == other, (text, found.source, known, others)
            seen["constant" if isinstance(found.source, Const) else "told"] += 1
    assert seen["told"] > 250 and seen["refused"] > 20, seen


@pytest.mark.parametrize("text", ["n >= 1 == 1", "n >= 1 < 2", "n > 0 != 1", "1 <= n >= 1 == 1"])
def test_a_constant_comparison_behind_one_that_fails_does_not_decide(text: str) -> None:
    found = evaluated(text, {"n": 0})
    assert found.value is False
    assert [symbolic.value(found.source, {Param("n", FILE, kind_of(0)): n}) for n in (0, 1, 2)] == [
        False,
        True,
        True,
    ]


def test_a_constant_comparison_that_fails_decides_for_all() -> None:
    for text in ("n >= 1 == 2", "n >= 1 > 1", "2 < 1 <= n"):
        for n in (0, 3):
            assert evaluated(text, {"n": n}).source == Const(False)


def test_what_decides_nothing_leaves_a_condition_as_it_is() -> None:
    params = {"n": 2, "p": True, "q": False}
    for text, alone in (
        ("p and yes", "p"), ("yes and p and yes", "p"), ("q or no", "q"), ("no or q", "q"), ("n >= 1 == 1", "n >= 1"),
        ("1 == 1 and n >= 1", "n >= 1"), ("max(n)", "n"), ("min(n)", "n"),
    ):  # fmt: skip
        assert evaluated(text, params).source == evaluated(alone, params).source, text
    for text in (
        "p or yes",
        "q and no",
        "not yes",
        "1 > 2 and p",
        "1 not in (1, 2)",
        "3 not in (1, 2)",
        "-(1 + 1)",
        "+3",
    ):
        assert evaluated(text, params).source == Const(evaluated(text, params).value), text
    assert evaluated("not p", params).source != evaluated("p", params).source


@pytest.mark.parametrize(
    "text",
    [
        "k if n > 2 else m", "k if p else n if n > 1 else 9", "k if no else m", "k if n > 2 else m if yes else 7",
        "k if n not in (1, m) else 5", "sum((n, m, k))", "min((n, m))", "len((n, m))", "max(n, 2, m)",
        "-n", "+n", "n - m - k", "n * m // 2 % 3", "floor(n / 2)", "(n, m, k)[1]", "(n, m, k)[1..2][0]",
    ],
)  # fmt: skip
def test_a_source_gives_the_value_for_every_other_params(text: str) -> None:
    """Whatever the params were when it was read, also along arms that were not taken."""
    python = text.replace("no ", "False ").replace("yes", "True")
    python = python.replace("1..2", "1:3").replace("floor(n / 2)", "n // 2")
    grid = [
        {"n": n, "m": m, "k": k, "p": p}
        for n in (0, 1, 3)
        for m in (1, 2)
        for k in (4, 6)
        for p in (True, False)
    ]
    for known in grid:
        found = evaluated(text, known)
        assert found.value == eval(python, {}, dict(known))
        for other in grid:
            values = {Param(name, FILE, kind_of(value)): value for name, value in other.items()}
            assert symbolic.value(found.source, values) == eval(python, {}, dict(other)), (known, other)


def test_a_word_of_a_layer_depends_on_what_its_arguments_do() -> None:
    fixed, free = evaluated("gn(4, affine=no)", {}), evaluated("gn(n, affine=no)", {"n": 4})
    assert fixed.source == Const(fixed.value)
    assert fixed.value == free.value
    assert {param.name for param in symbolic.params_of(free.source)} == {"n"}
