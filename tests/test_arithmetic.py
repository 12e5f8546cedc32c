"""The evaluator against Python's own arithmetic on fractions, for whatever can be written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cnnc
from cnnc.compiler.walk import evaluate as ev
from cnnc.compiler.walk.values import FileScope
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source

PARAMS = {"a": 3, "b": 7, "z": 0, "half": Fraction(1, 2), "word": "bn", "on": True}
HEAD = "param a = 3\nparam b = 7\n"


def parsed(expression: str) -> s.Expr:
    (statement,) = parse(Source("net.cnn", f"param x = {expression}\n")).statements
    assert isinstance(statement, s.Param)
    return statement.value


def value_of(expression: str, how: Callable[..., Any] = ev.evaluate) -> Any:
    return how(parsed(expression), FileScope(params=dict(PARAMS)).env()).value


def code_of(expression: str, how: Callable[..., Any] = ev.evaluate) -> str:
    """The code of the error that an expression is refused with."""
    with pytest.raises(CnncError) as caught:
        value_of(expression, how)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code


# --- arithmetic --------------------------------------------------------------------------


def _written(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = [inner, inner]
    run = st.builds(
        lambda first, rest: first + "".join(f" {op} {x}" for op, x in rest),
        inner, st.lists(st.tuples(st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner), max_size=3),
    )  # fmt: skip
    return st.one_of(
        run.map(lambda text: f"({text})"),
        st.builds("(-{})".format, inner),
        st.builds("(+{})".format, inner),
        st.builds("({} ** {})".format, inner, st.integers(-2, 3)),
        st.builds("({} if {} < {} else {})".format, *two, *two),
        *(
            st.builds((name + "({}, {})").format, *two) for name in ("min", "max")
        ),
        *(st.builds((name + "({})").format, inner) for name in ("floor", "ceil", "min")),
    )  # fmt: skip


EXPRESSIONS = st.recursive(
    st.one_of(st.integers(0, 12).map(str), st.sampled_from(["a", "b", "z", "half"])), _written, max_leaves=8
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(EXPRESSIONS)
def test_arithmetic_is_that_of_fractions(text: str) -> None:
    exact = "".join(f"F({part})" if part.isdigit() else part for part in _tokens(text))
    names = {name: Fraction(value) for name, value in PARAMS.items() if isinstance(value, int | Fraction)}
    functions = {
        "F": Fraction,
        "min": lambda *x: min(x),
        "max": lambda *x: max(x),
        "floor": math.floor,
        "ceil": math.ceil,
    }
    try:
        wanted = eval(exact, {}, {**names, **functions})
    except ZeroDivisionError:
        assert code_of(text) == "E306"
        return
    except (OverflowError, ValueError):
        return
    if isinstance(wanted, complex | float) or _bits(wanted) > 400:
        return  # (-2) ** half is no rational
    value = value_of(text)
    assert value == wanted
    assert isinstance(value, int) is (Fraction(value).denominator == 1)


def _bits(value: Any) -> int:
    fraction = Fraction(value)
    return max(abs(fraction.numerator), fraction.denominator).bit_length()


def _tokens(text: str) -> list[str]:
    return re.findall(r"\d+|\w+|\*\*|//|\W", text)


@given(st.fractions(-60, 60, max_denominator=12))
@settings(max_examples=100, derandomize=True, database=None, deadline=None)
def test_round_goes_to_the_nearest_and_half_goes_away_from_zero(x: Fraction) -> None:
    value = value_of(f"round(({x.numerator}) / {x.denominator})")
    assert isinstance(value, int)
    assert abs(value - x) <= Fraction(1, 2)
    if abs(value - x) == Fraction(1, 2):
        assert abs(value) > abs(x)


@given(st.fractions(0, 200, max_denominator=8), st.integers(1, 16))
@example(Fraction(10), 9)  # 9 is just 90 % of it
@settings(max_examples=200, derandomize=True, database=None, deadline=None)
def test_divisible_is_the_nearest_multiple_that_loses_no_tenth(x: Fraction, n: int) -> None:
    """torchvision's `_make_divisible`: the nearest multiple, the larger of two, one more if that is under 90 %."""
    value = value_of(f"divisible({x.numerator} / {x.denominator}, {n})")
    multiples = [m for m in range(n, 300, n) if m >= Fraction(9, 10) * x]
    nearest = min(range(n, 300, n), key=lambda m: (abs(m - x), -m))
    assert value == (nearest if nearest in multiples else nearest + n)
    assert value in multiples


def test_comparisons_chain_as_in_python() -> None:
    for text in (
        "1 < 2 < 3", "1 < 2 > 1", "3 > 2 > 2", "1 <= 1 < 1", "2 >= 2 >= 1", "1 == 1 != 2", "1 != 1", "1 <= 2", "2 <= 1", "2 >= 1", "1 >= 2", "3 >= 2 >= 2 > 1", "a == b",
        "a < b <= 7 == b", "b > a > z < a", "a <= a", "a >= b", "a > a", "a < a", "half == 1 / 2", "1 < 3 < 2",
        "not 1 < 2", "not 2 < 1", "1 < 2 and 3 < 4", "1 < 2 and 4 < 3", "2 < 1 or 3 < 4", "2 < 1 or 4 < 3",
        "1 < 2 and 2 < 3 and 4 < 3", "2 < 1 or 3 < 2 or 1 < 2", "not (1 < 2 and 4 < 3)",
        "a < b and a > z or b < z",
    ):  # fmt: skip
        wanted = eval(text, {}, {k: Fraction(v) for k, v in PARAMS.items() if not isinstance(v, str)})
        assert value_of(text) is wanted, text
        assert value_of(text, ev.truth) is wanted, text


def test_words_are_equal_to_themselves() -> None:
    assert value_of("word == bn")
    assert value_of("bn == bn")
    assert not value_of("word == gn")
    assert value_of("word != gn")
    assert not value_of("word != bn")
    assert value_of("bn") == "bn"
    assert value_of("(1, bn, a)") == (1, "bn", 3)


def test_the_first_arm_that_holds_is_the_value_and_the_others_are_not_asked() -> None:
    assert value_of("1 if a > z else 1 / z") == 1
    assert value_of("1 / z if a < z else 2") == 2
    assert value_of("1 if a < z else 2 if a < b else 3") == 2
    assert value_of("1 if a < z else 2 if a > b else 3") == 3
    assert value_of("a < z and 1 / z < 2") is False
    assert value_of("a > z or 1 / z < 2") is True
    assert value_of("a > b < 1 / z") is False


def test_a_range_has_both_ends() -> None:
    def turns(text: str) -> list[int]:
        net = cnnc.parse(f"{HEAD}input 4x8x8\nconv1-1 -> [conv1-{{n}} for n in {text}]\n")
        return [node.out[0] for node in net.graph.layers if node.op.kind == "conv"][1:]

    assert turns("1..4") == [1, 2, 3, 4]
    assert turns("a..a") == [3]
    assert turns("a - 1..b // 2") == [2, 3]
    with pytest.raises(CnncError, match="E305"):
        turns("1..a / 2")


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1 / z", "E306"), ("1 // z", "E306"), ("1 % z", "E306"), ("z ** -1", "E306"), ("2 ** half", "E306"),
        ("divisible(3, z)", "E306"), ("word + 1", "E303"), ("1 + bogus", "E202"), ("-bogus", "E202"),
        ("on + 1", "E303"), ("1 + on", "E303"), ("-on", "E303"), ("not a", "E303"), ("not word", "E303"),
        ("not bogus", "E202"), ("1 if a else 2", "E303"), ("a and on", "E303"), ("1 ~= 1", "E101"),
        ("H + 1", "E407"), ("C", "E407"), ("min()", "E303"), ("max()", "E303"), ("floor()", "E303"), ("ceil()", "E303"), ("round()", "E303"), ("floor(1, 2)", "E303"), ("ceil(1, 2)", "E303"),  ("round(1, 2)", "E303"), ("divisible(1)", "E303"),
        ("floor(x=1)", "E303"), ("max(word)", "E303"), ("divisible(1, 2, 3)", "E303"), ("bogus(1)", "E202"),
        ("word < 1", "E303"), ("len(1..)", "E303"), ("sum(..3)", "E303"),
    ],
)  # fmt: skip
def test_what_has_no_value_is_refused(text: str, code: str) -> None:
    assert code_of(text) == code


def test_what_is_asked_for_must_be_of_its_kind() -> None:
    assert value_of("half", ev.number) == Fraction(1, 2)
    assert value_of("half + half", ev.integer) == 1
    assert code_of("half", ev.integer) == "E305"
    assert code_of("7 / 2", ev.integer) == "E305"
    assert code_of("on", ev.number) == "E303"
    assert code_of("on", ev.integer) == "E303"
    assert code_of("a", ev.truth) == "E303"
    assert code_of("word", ev.truth) == "E303"
    assert code_of("bogus", ev.truth) == "E202"
    assert code_of("bogus", ev.number) == "E202"
    assert code_of("H", ev.number) == "E407"
    assert value_of("on", ev.truth) is True


def test_numbers_have_a_largest_size() -> None:
    most = 2**ev.MAX_BITS - 1
    assert value_of(f"2 ** {ev.MAX_BITS - 1} - 1 + 2 ** {ev.MAX_BITS - 1}") == most
    assert value_of(f"-(2 ** {ev.MAX_BITS - 1} - 1) - 2 ** {ev.MAX_BITS - 1}") == -most
    assert value_of(f"1 / (2 ** {ev.MAX_BITS - 1})") == Fraction(1, 2 ** (ev.MAX_BITS - 1))
    assert value_of("1 ** (10 ** 9)") == value_of("(-1) ** -(10 ** 9)") == 1
    assert value_of("z ** (10 ** 9)") == 0
    assert value_of("3 ** 323") == 3**323  # 512 bits
    for text in (
        f"2 ** {ev.MAX_BITS}", f"1 / 2 ** {ev.MAX_BITS - 1} / 2", f"2 ** -{ev.MAX_BITS}", f"-2 ** {ev.MAX_BITS - 1} * 2",
        f"half ** {ev.MAX_BITS}", "2 ** (10 ** 9)", "3 ** 324", "(1 / 3) ** (10 ** 12)", "2 ** -(10 ** 9)", "10 ** 200 * 10 ** 200",
    ):  # fmt: skip
        assert code_of(text) == "E901", text


# --- sizes and names -----------------------------------------------------------------------


def test_sizes_are_those_of_what_flows_into_the_bracket() -> None:
    net = cnnc.parse("input 2x5x7x9\n[conv1-{C + 10 * D + 100 * H + 1000 * W}]\n")
    assert net.outputs["output"][0] == 2 + 50 + 700 + 9000
    flat = cnnc.parse("input 4x8\n[conv1-{C * W}]\n")
    assert flat.outputs["output"] == (32, 8)
    for text, name in (("input 4x8", "H"), ("input 4x8", "D"), ("input 4x8x8", "D"), ("input 4x8xW", "W")):
        with pytest.raises(CnncError) as caught:
            cnnc.parse(f"{text}\n[conv1-{{{name}}}]\n")
        assert {d.code for d in caught.value.diagnostics} == {"E407"}
    free = cnnc.parse("input 4x8xW\n[conv1-{C * H}]\n")
    assert free.outputs["output"][0] == 32


def test_a_size_after_a_mistake_tells_nothing_more() -> None:
    with pytest.raises(CnncError) as caught:
        cnnc.parse("input 4x8x8\nconv9-{0} -> [conv1-{C}]\n")
    assert len(caught.value.diagnostics) == 1


def test_names_with_arithmetic_in_them() -> None:
    net = cnnc.parse("input 4x8x8\n[c{i}x{i * i}: conv1-{2 * i} for i in 1..3]\n")
    assert [node.name for node in net.graph.layers if node.op.kind == "conv"] == ["c1x1", "c2x4", "c3x9"]
    with pytest.raises(CnncError) as caught:
        cnnc.parse("input 4x8x8\n[c{i / 2}: conv1-{2 * i} for i in 1..3]\n")
    assert {d.code for d in caught.value.diagnostics} == {"E305"}
    assert value_of('"net{a}of{b - 1}"') == value_of("net{a}of{b - 1}") == "net3of6"


def test_words_of_layers_as_values() -> None:
    value = value_of("gn(2 * a, affine=no)")
    assert (value.name, value.args) == ("gn", ((None, 6), ("affine", False)))
    assert value_of("normal(half)").args == ((None, Fraction(1, 2)),)
    assert value_of("GN(4)").name == "GN"


def test_sizes_joined_by_x() -> None:
    assert value_of("3x5") == (3, 5)
    assert ev.evaluate(parsed("3xK"), FileScope(params={"K": 5}).env()).value == (3, 5)
    net = cnnc.parse(f"{HEAD}input 1x9x9\nconv1x{{a}}-4(pad=valid) -> conv{{b}}x{{a - 2}}-4(pad=valid)\n")
    assert net.outputs["output"] == (4, 3, 7)
    assert code_of("3xH") == "E407"


# --- lists and their bounds -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ("0..2", [0, 1, 2]), ("..2", [0, 1, 2]), ("3..", [3, 4, 5]), ("..-2", [0, 1, 2, 3, 4]), ("-2..", [4, 5]),
        ("1..-2", [1, 2, 3, 4]), ("-3..-2", [3, 4]), ("0..0", [0]), ("+2..", [2, 3, 4, 5]), ("-a..", [3, 4, 5]), ("..-(a - 2)", [0, 1, 2, 3, 4, 5]),
    ],
)  # fmt: skip
def test_bounds_count_from_the_start_or_with_a_minus_from_the_end(bounds: str, kept: list[int]) -> None:
    net = cnnc.parse(f"{HEAD}input 6x4x4\nslice({bounds})\n")
    assert net.outputs["output"] == (len(kept), 4, 4)
    low, high = net.graph.layers[0].op.bounds.low, net.graph.layers[0].op.bounds.high  # type: ignore[attr-defined]
    stop = None if high in (None, -1) else high + 1
    assert list(range(6))[low:stop] == kept


@pytest.mark.parametrize(
    "bounds", ["(0 - 1)..", "..(a - 4)", "-(0 - 1)..", "..-z", "-(a - 4)..2", "1..(0 - 2)"]
)
def test_a_bound_that_works_out_on_the_other_side_is_refused(bounds: str) -> None:
    with pytest.raises(CnncError) as caught:
        cnnc.parse(f"{HEAD}param z = 0\ninput 6x4x4\nslice({bounds})\n")
    assert {d.code for d in caught.value.diagnostics} == {"E303"}


def test_letters_of_axes_are_themselves_where_axes_are_wanted() -> None:
    net = cnnc.parse("input 6x4x5\nmean(axis=(H, W)) -> [conv1-{H + C}]\n")
    assert net.outputs["output"] == (7, 1, 1)
    assert cnnc.parse("input 6x4x5\npermute(W, H, C)\n").outputs["output"] == (5, 4, 6)
    assert cnnc.parse("input 6x4x5\nmean(axis=W)\n").outputs["output"] == (6, 4, 1)


def test_an_element_of_a_list_stands_for_a_layer_or_a_number() -> None:
    head = "param acts = (tanh, gelu)\nparam ws = ((4, 5), (6, 7))\ninput 3x8x8\n"
    net = cnnc.parse(f"{head}[conv1-{{ws[i][1 - i]}} -> acts[i] for i in 0..1]\n")
    assert [node.op.kind for node in net.graph.layers] == ["conv", "tanh", "conv", "gelu"]
    assert [node.out[0] for node in net.graph.layers] == [5, 5, 6, 6]
    for text, code in (
        ("acts[2]", "E306"),
        ("relu[0]", "E202"),
        ("conv3-4[0]", "E202"),
        ('"a b"[0]', "E101"),
    ):
        with pytest.raises(CnncError) as caught:
            cnnc.parse(f"{head}{text}\n")
        assert {d.code for d in caught.value.diagnostics} == {code}, text
    with pytest.raises(CnncError) as caught:
        cnnc.parse(f"{head}conv3-4 -> acts[0 + 2]\n")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span.text == "acts[0 + 2]"


@pytest.mark.parametrize(
    "text",
    ["len()", "sum()", "len(1, 2)", "sum(1, 2)", "len(a)", "sum(word)", "sum((on, 1))", "max((word, 1))"],
)
def test_functions_of_lists_take_one_list(text: str) -> None:
    assert code_of(text) == "E303"
    assert value_of("len((1, word, on))") == 3
    assert value_of("sum((a, b, half))") == Fraction(21, 2)


def test_a_quoted_name_is_a_label_and_no_value() -> None:
    net = cnnc.parse('param a = 3\ninput 3x8x8\n"a": conv3-4\n"a" -> conv1-{a}\n')
    assert net.outputs["output"] == (3, 8, 8)


def test_an_underscore_is_not_read() -> None:
    with pytest.raises(CnncError, match="takes a value that is not read"):
        value_of("_ + 1")
    with pytest.raises(CnncError) as caught:
        value_of("bogus + 1")
    assert "declare it at the head of the file" in str(caught.value)
