"""The algebra of free sizes against plain numbers: whatever is computed with one, its expression gives."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from fractions import Fraction
from operator import add, floordiv, ge, gt, le, lt, mod, mul, neg, sub

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnnc
from cnnc.compiler.limits import MAX_SCAN, _line, limits, together
from cnnc.compiler.sizes import (
    Condition,
    Ledger,
    Size,
    at,
    exact_quotient,
    is_free,
    number,
    period,
    poly_of,
    ratio,
    same,
    symbol,
    symbols,
    text,
)

Term = Callable[[int, int], int]
"""An arithmetic of two sizes, on free ones and on plain ones alike."""


def require(n: int) -> None:
    """Assume of a size that it is at least 0, whatever it is at the reference."""
    if isinstance(n, Size):
        n.ledger.note(n.poly, equal=False)


def _binary(op: Callable[[int, int], int]) -> Callable[[Term, Term], Term]:
    return lambda left, right: lambda h, w: op(left(h, w), right(h, w))


def _leaves() -> st.SearchStrategy[Term]:
    numbers = st.integers(-9, 9).map(lambda n: lambda h, w: n)
    return st.one_of(st.just(lambda h, w: h), st.just(lambda h, w: h), st.just(lambda h, w: w), numbers)


def _grown(inner: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
    divisors = st.integers(1, 6).map(lambda n: lambda h, w: n)
    return st.one_of(
        st.builds(_binary(add), inner, inner),
        st.builds(_binary(sub), inner, inner),
        st.builds(_binary(mul), inner, st.integers(-4, 4).map(lambda n: lambda h, w: n)),
        st.builds(_binary(mul), inner, inner),
        st.builds(_binary(floordiv), inner, divisors),
        st.builds(_binary(mod), inner, divisors),
        inner.map(lambda term: lambda h, w: neg(term(h, w))),
    )


TERMS = st.recursive(_leaves(), _grown, max_leaves=7)
SMALL = st.integers(1, 40)


@settings(max_examples=250, derandomize=True, database=None, deadline=None)
@given(TERMS, SMALL, SMALL, SMALL, SMALL)
def test_an_expression_gives_what_plain_numbers_give(term: Term, h: int, w: int, a: int, b: int) -> None:
    ledger = Ledger()
    free = term(symbol("H", h, ledger), symbol("W", w, ledger))
    assert int(free) == term(h, w)
    # At another input too, in every way to ask.
    sizes = {"H": a, "W": b}
    assert at(poly_of(free), sizes) == number(free, sizes) == term(a, b)
    assert number(free) == term(h, w)
    assert type(number(free)) is int
    # What is written is the language's arithmetic, which is Python's.
    assert eval(text(poly_of(free)), {}, dict(sizes)) == term(a, b)
    # The symbols are those that it goes by; without any it is a plain integer.
    assert symbols(poly_of(free)) <= {"H", "W"}
    assert is_free(free) == bool(symbols(poly_of(free)))
    for name, (da, db) in {"H": (1, 0), "W": (0, 1)}.items():
        if name not in symbols(poly_of(free)):
            assert all(term(a, b) == term(a + i * da, b + i * db) for i in range(1, 30))


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(TERMS, SMALL, SMALL, st.integers(1, 6))
def test_remainders_recur_after_the_period(term: Term, a: int, b: int, m: int) -> None:
    ledger = Ledger()
    poly = poly_of(term(symbol("H", 8, ledger), symbol("W", 8, ledger)))
    steps = period(poly) * m
    here = at(poly, {"H": a, "W": b})
    assert (at(poly, {"H": a + steps, "W": b}) - here) % m == 0
    assert (at(poly, {"H": a, "W": b + steps}) - here) % m == 0


def test_the_period_is_that_of_the_floors_and_no_longer() -> None:
    h = symbol("H", 224, Ledger())
    for term, steps in (
        (h, 1), (h * 6 + 5, 1), (h // 4, 4), (h // 2 + h // 3, 6), ((h // 2 + h // 3) // 5, 30),
        ((h + 1) // 2 * ((h + 2) // 4), 4), ((h // 2 + 1) // 3, 6),
    ):  # fmt: skip
        assert period(poly_of(term)) == steps


@settings(max_examples=150, derandomize=True, database=None, deadline=None)
@given(st.integers(1, 9), st.lists(st.tuples(st.integers(-5, 9), st.integers(1, 5)), min_size=1, max_size=5))
def test_a_chain_of_strides_is_one_floor(first: int, chain: list[tuple[int, int]]) -> None:
    """The manual's conventions: down-sampling chains close, every size is floor((H + c)/s)."""
    h = symbol("H", 512, Ledger())
    size, whole = h * 1, 1
    for more, stride in chain:
        size, whole = (size + more) // stride, whole * stride
    written = repr(size)
    assert written.count("//") == (whole > 1)
    assert f"//{whole}" in written or whole == 1


def test_what_is_equal_for_every_size_is_written_the_same() -> None:
    h = symbol("H", 64, Ledger())
    w = symbol("W", 48, Ledger())
    for left, right in (
        ((h + 4) // 2, h // 2 + 2), ((2 * h + 6) // 4, (h + 3) // 2), ((h * 3 + 7) // 3, h + 2), ((5 * h) // 3, h + (2 * h) // 3),
        (h * w, w * h), ((h + w) * (h - w), h * h - w * w), ((h // 2 + 3) // 4, (h + 6) // 8), (0 - (0 - h), h),
        (3 - h + h, 3), (h % 4, h - 4 * (h // 4)), ((6 * h + 3) // 3, 2 * h + 1), (h // 1, h), (0 * h, 0),
        ((4 * h + 2 * w + 5) // 6, (2 * h + w + 2) // 3), ((4 * h + 2) // 4, h), ((h // 3 + 5) // 1, h // 3 + 5),
    ):  # fmt: skip
        assert poly_of(left) == poly_of(right), (left, right)


def test_how_an_expression_is_written() -> None:
    ledger = Ledger()
    h, w = symbol("H", 64, ledger), symbol("W", 48, ledger)
    for size, written in (
        (h, "H"), (-h, "-H"), (3 * h, "3*H"), (h + 1, "H + 1"), (h - 1, "H - 1"), (1 - h, "-H + 1"),
        (h // 2, "H//2"), ((h + 1) // 2, "(H + 1)//2"), (2 * (h // 2), "2*(H//2)"), (h * w, "H*W"),
        (-2 * h + 3 * w - 4, "-2*H + 3*W - 4"), ((2 * h) // 3, "(2*H)//3"), (h * (w // 2), "H*(W//2)"),
        ((h * (h // 3)) // 2, "(H*(H//3))//2"), ((h // 2 + h) // 3, "(H + H//2)//3"),
        (5 - h // 2, "-(H//2) + 5"), (h - w // 2, "H - W//2"), (-3 * (h // 2), "-3*(H//2)"),
        (h // 2 - w // 3, "H//2 - W//3"), ((4 * h + 6 * w + 5) // 10, "(2*H + 3*W + 2)//5"),
    ):  # fmt: skip
        assert eval(repr(size), {}, {"H": 64, "W": 48}) == int(size)
        assert repr(size) == f"{size}" == f"{size:>9}" == written
    # One size among others: in brackets unless it is a symbol.
    assert "x".join(map(str, (h, w + 1, 7))) == "Hx(W + 1)x7"
    assert text(()) == "0"


@settings(max_examples=150, derandomize=True, database=None, deadline=None)
@given(TERMS, TERMS, SMALL, SMALL)
def test_equality_is_that_of_the_numbers_and_is_noted_where_it_is_assumed(
    left: Term, right: Term, h: int, w: int
) -> None:
    ledger = Ledger(place="conv1")
    a, b = (term(symbol("H", h, ledger), symbol("W", w, ledger)) for term in (left, right))
    same = left(h, w) == right(h, w)
    assert (a == b) is same
    assert (a != b) is not same
    always = poly_of(a) == poly_of(b)
    if same and not always:
        (condition,) = ledger.conditions.values()
        assert condition.equal
        assert condition.why == "conv1"
        for n in range(1, 25):
            difference = at(condition.poly, {"H": n, "W": n + 1})
            assert (difference == 0) is (left(n, n + 1) == right(n, n + 1))
    else:
        assert not ledger.conditions


def test_a_size_is_an_integer_to_everybody_else() -> None:
    h = symbol("H", 7, Ledger())
    assert hash(h) == hash(7)
    assert {7: "seven"}[h] == "seven"
    assert (h == "7") is False
    assert (h != "7") is True
    assert type(pickle.loads(pickle.dumps(h))) is int
    assert pickle.loads(pickle.dumps(h)) == 7
    for unknown in (
        lambda: 20 // h,
        lambda: (h * 10) // h,
        lambda: h / 2,
        lambda: h * 0.5,
        lambda: round(h),
        lambda: h**2,
    ):
        with pytest.raises(
            TypeError
        ):  # it has no expression, and a plain number would forget where it is from
            unknown()
    assert h // True is h or poly_of(h // True) == poly_of(h)


def test_a_closed_ledger_notes_nothing_and_the_first_layer_is_the_one_named() -> None:
    ledger = Ledger(place="conv1")
    h = symbol("H", 7, ledger)
    require(h - 3)
    ledger.place = "conv2"
    require(h - 3)
    require(5)
    assert [(c.poly, c.equal, c.why) for c in ledger.conditions.values()] == [
        (poly_of(h - 3), False, "conv1")
    ]
    ledger.is_open = False
    assert h >= 5
    assert h != 7  # it is no more than what the reference happens to be
    assert len(ledger.conditions) == 1
    # Equal to 0 and at least 0 are two conditions on one expression.
    ledger.is_open = True
    assert h - 3 == 4
    require(h - 7)
    assert {(c.poly, c.equal) for c in ledger.conditions.values()} == {
        (poly_of(h - 3), False), (poly_of(h - 7), True), (poly_of(h - 7), False),
    }  # fmt: skip


def test_whether_a_size_is_0_is_a_condition_too() -> None:
    for more, noted, turned in ((-3, [], ["H - 3"]), (-7, ["H - 7"], []), (2, [], ["H + 2"])):
        ledger = Ledger()
        h = symbol("H", 7, ledger)
        assert bool(h + more) is (7 + more != 0)
        assert [text(c.poly) for c in ledger.conditions.values()] == noted
        assert [text(c.poly) for c in ledger.otherwise.values()] == turned
        assert all(c.equal for c in [*ledger.conditions.values(), *ledger.otherwise.values()])


def _holds(condition: Condition, h: int, w: int) -> bool:
    value = at(condition.poly, {"H": h, "W": w})
    return value == 0 if condition.equal else value >= 0


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(st.sampled_from((lt, le, gt, ge)), TERMS, TERMS, SMALL, SMALL)
def test_an_order_is_that_of_the_numbers_and_is_noted_with_what_would_turn_it(
    compare: Callable[[int, int], bool], left: Term, right: Term, h: int, w: int
) -> None:
    ledger = Ledger(place="conv1")
    a, b = (term(symbol("H", h, ledger), symbol("W", w, ledger)) for term in (left, right))
    found = compare(left(h, w), right(h, w))
    assert compare(a, b) is found
    others = [(n, m) for n in range(1, 9) for m in range(1, 9)]
    if ledger.conditions:
        (condition,), (turned,) = ledger.conditions.values(), ledger.otherwise.values()
        assert condition.why == turned.why == "conv1"
        for n, m in others:
            outcome = compare(left(n, m), right(n, m))
            assert _holds(condition, n, m) is (outcome is found)
            assert _holds(turned, n, m) is (outcome is not found)
    else:
        assert not ledger.otherwise
        assert all(compare(left(n, m), right(n, m)) is found for n, m in others)


def test_what_was_assumed_equal_is_equal_to_a_closed_ledger() -> None:
    ledger = Ledger()
    h, w = symbol("H", 8, ledger), symbol("W", 8, ledger)
    assert h == w
    ledger.is_open = False
    assert (h == w, w == h, h + 3 == w + 3) == (True, True, True)
    assert (h == 8, h == w + 1, h + w == 16) == (False, False, False)


def test_two_shapes_are_equal_by_conditions_and_none_is_noted_where_they_are_not() -> None:
    def compared(
        h: int, w: int, *shapes: Callable[[int, int], tuple[int, ...]]
    ) -> tuple[bool, list[str], list[str]]:
        ledger = Ledger()
        a, b = (shape(symbol("H", h, ledger), symbol("W", w, ledger)) for shape in shapes)
        outcome = same(a, b)
        noted = (
            [text(c.poly) for c in one.values() if c.equal] for one in (ledger.conditions, ledger.otherwise)
        )
        return outcome, *noted

    assert compared(8, 8, lambda h, w: (3, h, w), lambda h, w: (3, h, w)) == (True, [], [])
    assert compared(8, 8, lambda h, w: (3, h, w), lambda h, w: (3, w, h)) == (True, ["H - W", "-H + W"], [])
    assert compared(8, 8, lambda h, w: (3, h, 8), lambda h, w: (3, w, h)) == (True, ["H - W", "H - 8"], [])
    assert compared(8, 8, lambda h, w: (3, h, w), lambda h, w: (4, w, h)) == (False, [], [])
    assert compared(8, 8, lambda h, w: (h, w), lambda h, w: (w, h, 1)) == (False, [], [])
    assert compared(8, 8, lambda h, w: (w, h, 1), lambda h, w: (h, w)) == (False, [], [])
    assert compared(8, 8, lambda h, w: (h, 3), lambda h, w: (8, 4)) == (False, [], [])
    assert compared(8, 8, lambda h, w: (8, 3), lambda h, w: (h, 4)) == (False, [], [])
    # What would make them equal is noted apart.
    assert compared(8, 9, lambda h, w: (h, 8), lambda h, w: (w, h)) == (False, [], ["H - W"])


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(st.integers(-20, 60), st.integers(1, 12), st.integers(1, 9), st.integers(-1, 9))
def test_a_quotient_is_told_where_it_is_whole_for_every_size(n: int, by: int, a: int, b: int) -> None:
    """Of plain sizes by their remainder; of free ones by every size in reach."""
    for quotient in (exact_quotient, ratio):
        whole = quotient(n, by)
        assert (whole is None) == (Fraction(n, by).denominator > 1)
        assert whole is None or whole * by == n
    h = symbol("H", 7, Ledger())
    free = a * h + b * (h // 2)
    whole = exact_quotient(free, by)
    values = [a * n + b * (n // 2) for n in range(1, 40)]
    if whole is None:
        assert any(value % by for value in values)
    else:
        assert [number(whole, {"H": n}) * by for n in range(1, 40)] == values
    assert ratio(free * by, free) == by
    assert ratio(free * by + 1, free) is None


# --- limits ----------------------------------------------------------------------------


def _legal(demands: list[tuple[int, int, int, bool]], n: int) -> bool:
    values = (((n + more) // by - least, equal) for more, by, least, equal in demands)
    return all(value == 0 if equal else value >= 0 for value, equal in values)


@settings(max_examples=120, derandomize=True, database=None, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 6), st.integers(1, 5), st.integers(0, 9)), max_size=4))
def test_the_smallest_is_the_first_that_meets_every_demand(demands: list[tuple[int, int, int]]) -> None:
    ledger = Ledger()
    h = symbol("H", 100, ledger)
    for i, (more, by, least) in enumerate(demands):
        ledger.place = f"layer{i}"
        require((h + more) // by - least)
    found = limits(ledger, "H")
    every = [(*demand, False) for demand in demands]
    assert found.smallest == next(n for n in range(1, 200) if _legal(every, n))
    assert (found.modulus, found.remainders) == (1, ())
    if found.imposed_by:
        more, by, least = demands[int(found.imposed_by.removeprefix("layer"))]
        assert (found.smallest - 1 + more) // by < least <= (found.smallest + more) // by
    else:
        assert found.smallest == 1


@settings(max_examples=120, derandomize=True, database=None, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 5), st.integers(0, 4)), min_size=1, max_size=2), st.integers(0, 12))
def test_the_remainders_are_those_of_legal_sizes(demands: list[tuple[int, int]], least: int) -> None:
    """Skips that meet again: floor((H - d)/s) * s + d == H says what remainder H has."""
    ledger = Ledger()
    demands = [(by, rest % by) for by, rest in demands]
    for by, rest in demands:
        h = symbol("H", 60 + rest, ledger)  # an H for which it holds, so that it is assumed
        assert (h - rest) // by * by + rest == h
    require(symbol("H", 64, ledger) - least)
    found = limits(ledger, "H")
    legal = [n for n in range(max(least, 1), 200) if all(n % by == rest for by, rest in demands)]
    assert found.smallest == (legal[0] if legal else None)
    if legal:
        assert [n for n in range(legal[0], 200) if n % found.modulus in found.remainders] == legal


def _in_steps(inner: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
    """Arithmetic that layers do: sums, multiples and quotients."""
    return st.one_of(
        st.builds(_binary(add), inner, inner),
        st.builds(_binary(sub), inner, inner),
        st.builds(_binary(mul), inner, st.integers(-3, 3).map(lambda n: lambda h, w: n)),
        st.builds(_binary(floordiv), inner, st.integers(1, 5).map(lambda n: lambda h, w: n)),
    )


LINEAR = st.recursive(_leaves(), _in_steps, max_leaves=5)


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.lists(st.tuples(LINEAR, st.booleans()), min_size=1, max_size=3))
def test_limits_tell_the_legal_sizes_and_no_others(demands: list[tuple[Term, bool]]) -> None:
    ledger = Ledger()
    h = symbol("H", 64, ledger)
    for term, equal in demands:
        size = term(h, h)
        if isinstance(size, Size):
            ledger.note(size.poly, equal=equal)
    told = limits(ledger, "H")
    conditions = list(ledger.conditions.values())

    def legal(n: int) -> bool:
        values = ((at(c.poly, {"H": n}), c.equal) for c in conditions)
        return all(value == 0 if equal else value >= 0 for value, equal in values)

    if told.smallest is None:
        assert not any(map(legal, range(1, 400)))
        return
    for n in range(1, 400):
        inside = told.smallest <= n and (told.largest is None or n <= told.largest)
        fits = not told.remainders or n % told.modulus in told.remainders
        assert (inside and fits and n not in told.gaps) is legal(n), (str(told), n)


def test_the_layer_that_is_named_is_one_that_the_next_smaller_size_breaks() -> None:
    ledger = Ledger(place="conv1")
    h = symbol("H", 64, ledger)
    for place, least in (("conv1", 3), ("pool1", 8), ("conv2", 8), ("pool2", 5)):
        ledger.place = place
        require(h - least)
    assert limits(ledger, "H").imposed_by == "pool1"
    one = Ledger(place="conv1")
    require(symbol("H", 64, one) - 1)
    assert limits(one, "H").imposed_by == ""


def test_bounds_and_gaps_in_words() -> None:
    def told(*demands: tuple[Callable[[int], int], bool]) -> str:
        ledger = Ledger()
        h = symbol("H", 64, ledger)
        for term, equal in demands:
            ledger.note(poly_of(term(h)), equal=equal)
        return str(limits(ledger, "H"))

    assert told((lambda h: h - 7, True)) == "H == 7"
    assert told((lambda h: h - 7, False), (lambda h: 9 - h, False)) == "7 <= H <= 9"
    assert told((lambda h: h // 4 - (h - 9) // 2, False)) == "1 <= H <= 20, but not 19"
    assert told((lambda h: h // 2 * 2 - 8, False), (lambda h: h // 3 * 3 - 9, False)) == "H >= 9"
    assert told((lambda h: h // 5 * 5 + 3 - h, False)) == "H >= 1 with H % 5 == 0 or 1 or 2 or 3"
    assert told((lambda h: h // 8 * 10 - h, False)).startswith(
        "H >= 8, but not 11, 12, 13, 14, 15, 21, 22, 23, …"
    )
    # A gap at the last size that is looked at, and as many gaps as are written out.
    assert (
        told((lambda h: h - 10, False), (lambda h: (h - 11) * (h - 11) - 1, False)) == "H >= 10, but not 11"
    )
    most = (lambda h: 30 - h, False)
    assert told(most, (lambda h: (h - 2) * (h - 11), False)).endswith(
        "<= 30, but not 3, 4, 5, 6, 7, 8, 9, 10"
    )
    assert told(most, (lambda h: (h - 2) * (h - 12), False)).endswith(
        "<= 30, but not 3, 4, 5, 6, 7, 8, 9, 10, …"
    )


def test_limits_in_words() -> None:
    ledger = Ledger(place="pool1")
    h, w = symbol("H", 64, ledger), symbol("W", 64, ledger)
    require(h // 2 - 3)
    assert str(limits(ledger, "H")) == "H >= 6 (for pool1)"
    assert str(limits(ledger, "W")) == "W >= 1"
    ledger.place = "add1"
    assert h // 4 * 4 == h
    assert str(limits(ledger, "H")) == "H >= 8 (for add1) with H % 4 == 0"
    require(h * w - 5000)  # on two symbols: left to the input that is tried
    assert limits(ledger, "H").smallest == 8
    assert limits(ledger, "W").smallest == 1


def test_conditions_on_several_sizes_have_nothing_negative_on_either_side() -> None:
    def told(*demands: tuple[Callable[[int, int], int], bool]) -> tuple[str, ...]:
        ledger = Ledger()
        h, w = symbol("H", 64, ledger), symbol("W", 64, ledger)
        for term, equal in demands:
            ledger.note(poly_of(term(h, w)), equal=equal)
        return together(ledger)

    # Of an equation the longer side comes first; what is at least something stays on the left.
    assert told((lambda h, w: h - w - 1, True)) == ("W + 1 == H",)
    assert told((lambda h, w: h - w + 1, True)) == ("H + 1 == W",)
    assert told((lambda h, w: h - w - 1, False)) == ("H >= W + 1",)
    assert told((lambda h, w: h - w + 1, False)) == ("H + 1 >= W",)
    assert told((lambda h, w: 5 - h - w, False)) == ("5 >= H + W",)
    # Each condition once; those on one size alone are not among them.
    assert told((lambda h, w: h - w, True), (lambda h, w: 2 * h - w, True), (lambda h, w: h - 3, False)) == (
        "H == W", "2*H == W",
    )  # fmt: skip


def test_what_no_size_can_meet_is_told() -> None:
    ledger = Ledger(place="conv1")
    h = symbol("H", 64, ledger)
    require(h - MAX_SCAN)
    assert limits(ledger, "H").smallest == MAX_SCAN
    require(h - MAX_SCAN - 1)
    never = limits(ledger, "H")
    assert (never.smallest, never.imposed_by, never.modulus, never.remainders) == (None, "", 1, ())
    assert str(never) == "no H up to 16,384 is legal"


def test_a_condition_of_several_remainders() -> None:
    ledger = Ledger()
    h = symbol("H", 64, ledger)
    assert (h + 1) // 3 * 3 + 1 == h  # 64 % 3 == 1
    assert str(limits(ledger, "H")) == "H >= 1 with H % 3 == 1"
    other = Ledger()
    h = symbol("H", 64, other)
    assert (h + 2) // 4 == (h + 1) // 4  # but for H % 4 == 2
    found = limits(other, "H")
    assert (found.modulus, found.remainders) == (4, (0, 1, 3))
    assert str(found) == "H >= 1 with H % 4 == 0 or 1 or 3"


def test_an_equal_that_holds_for_every_size_gives_no_remainder() -> None:
    ledger = Ledger()
    h = symbol("H", 64, ledger)
    # Hermite's identity, which the normal form does not know.
    assert h // 2 + (h + 1) // 2 == h
    found = limits(ledger, "H")
    assert (found.smallest, found.modulus, found.remainders) == (1, 1, ())


@pytest.mark.parametrize("value", [0, 1, 5])
def test_a_constant_is_a_plain_integer(value: int) -> None:
    h = symbol("H", 64, Ledger())
    for made in (h - h + value, h + value - h, (2 * h + 2 * value) // 2 - h):
        assert made == value
        assert not isinstance(made, Size)
    assert isinstance(h, Size)


# --- the lines that expressions follow ----------------------------------------------------


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(LINEAR)
def test_an_expression_keeps_to_its_line_and_behind_the_crossing_to_its_sign(term: Term) -> None:
    h = symbol("H", 64, Ledger())
    poly = poly_of(term(h, h))
    line = _line(poly)
    values = {n: at(poly, {"H": n}) for n in range(1, 200)}
    for n, value in values.items():
        assert line.slope * n + line.low <= value <= line.slope * n + line.high
    if line.slope:
        start = line.crossed(MAX_SCAN)
        assert 0 <= start <= MAX_SCAN
        assert all((value > 0) is (line.slope > 0) and value for n, value in values.items() if n > start)


@pytest.mark.parametrize("factor", [-3, -1, 1, 2, 7])
@pytest.mark.parametrize("by", [2, 3, 8])
def test_the_line_of_a_quotient_is_as_narrow_as_can_be(factor: int, by: int) -> None:
    h = symbol("H", 64, Ledger())
    poly = poly_of(factor * ((h + 1) // by) + 5)
    line = _line(poly)
    off = [at(poly, {"H": n}) - line.slope * n for n in range(1, 3 * by)]
    assert line.slope == Fraction(factor, by)
    assert (min(off), max(off)) == (line.low, line.high)


def test_where_lines_cross() -> None:
    h = symbol("H", 64, Ledger())
    for size, most, edge in (
        (h - 100, 500, 101), (h - 100, 50, 50), (30 - h, 500, 31), (h + 5, 500, 0), (h - 1, 500, 2),
        (2 * h - 7, 500, 5), (9 - 2 * h, 500, 6), (h, 500, 1),
    ):  # fmt: skip
        assert _line(poly_of(size)).crossed(most) == edge


def test_what_is_left_to_the_input_that_is_tried() -> None:
    """A product of sizes bounds nothing from above, as far as is told; from below it is scanned."""
    ledger = Ledger()
    h = symbol("H", 12, ledger)
    require(h * h - 100)
    assert str(limits(ledger, "H")) == "H >= 10"
    require(400 - h * h)
    assert limits(ledger, "H").largest is None
    require((h * h) // 2 - 60)
    require(30 - (h * (h // 2)) // 30)
    assert limits(ledger, "H").smallest == 11


def test_of_two_layers_that_a_size_breaks_the_first_is_named() -> None:
    ledger = Ledger(place="pool1")
    h = symbol("H", 64, ledger)
    require(h // 2 - 4)
    ledger.place = "conv2"
    require(h - 8)
    assert str(limits(ledger, "H")) == "H >= 8 (for pool1)"


def test_a_modulus_is_told_up_to_a_limit() -> None:
    for by, told in ((4096, (4096, (0,))), (4099, (1, ()))):
        ledger = Ledger()
        h = symbol("H", 2 * by, ledger)
        assert h // by * by == h
        found = limits(ledger, "H")
        assert found.smallest == by
        assert (found.modulus, found.remainders) == told


def test_gaps_are_of_the_sizes_that_have_a_remainder() -> None:
    ledger = Ledger()
    h = symbol("H", 64, ledger)
    assert h // 4 * 4 == h
    require(h // 8 * 10 - h)
    found = limits(ledger, "H")
    legal = [n for n in range(1, 200) if n % 4 == 0 and n // 8 * 10 >= n]
    assert (found.smallest, found.modulus, found.remainders) == (8, 4, (0,))
    assert list(found.gaps) == [n for n in range(8, legal[-1]) if n % 4 == 0 and n not in legal]
    assert found.gaps


def test_a_multiple_of_a_quotient_is_no_quotient_of_a_multiple() -> None:
    h = symbol("H", 64, Ledger())
    for factor in (2, 3, -1):
        size = (factor * (h // 3)) // 5
        assert [number(size, {"H": n}) for n in range(60)] == [factor * (n // 3) // 5 for n in range(60)]


# --- what was compared at the reference ------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("input 4xHxW\nspacetodepth(2)", {"H": {2, 4, 6}, "W": {2, 4, 6}}),
        ("input 4xHxW\n[spacetodepth(2) -> pixelshuffle(2) + id]", {"H": {2, 4, 6}, "W": {2, 4, 6}}),
        ("input 3xW\npad(3, mode=reflect)", {"W": {4, 5, 6, 7}}),
        ("input 3xW\npad(3, mode=circular)", {"W": {3, 4, 5, 6, 7}}),
        ("input 3xHxW\n[id + conv3-3/2 -> tconv3-3/2(pad=1)]", {"H": {1, 3, 5, 7}, "W": {1, 3, 5, 7}}),
        ("input 3xHxW\n[id | conv3-3/2 -> tconv3-3/2(pad=1)]", {"H": {1, 3, 5, 7}, "W": {1, 3, 5, 7}}),
        ("input 3xHxW\n[id & avgpool7]", {"H": set(range(7, 14)), "W": set(range(7, 14))}),
        ("input 3xHxW\nsqueeze", {"H": {2, 3, 4, 5, 6, 7}, "W": {2, 3, 4, 5, 6, 7}}),
        ("input 1xDxHxW\navgpool3/2(pad=1)", {"D": set(range(1, 8))}),
    ],
)
def test_a_comparison_at_the_reference_holds_where_its_conditions_do(
    text: str, wanted: dict[str, set[int]]
) -> None:
    ledger = cnnc.parse(text).graph.ledger
    for name, legal in wanted.items():
        own = [c for c in ledger.conditions.values() if symbols(c.poly) == {name}]
        values = {
            n: [(at(c.poly, {name: n}), c.equal) for c in own] for n in range(1, 8 if max(legal) < 8 else 20)
        }
        assert {n for n, found in values.items() if all(v == 0 if e else v >= 0 for v, e in found)} == legal


def test_a_cut_needs_the_places_that_it_takes() -> None:
    for layers, told in (
        ("slice(2..4, axis=W)", "W >= 5"), ("slice(-3..-2, axis=W)", "W >= 3"), ("slice(3..-3, axis=W)", "W >= 6"),
        ("slice(4.., axis=W)", "W >= 5"), ("blurpool5/2", "W >= 3"), ("blurpool3/2", "W >= 2"),
    ):  # fmt: skip
        (found,) = cnnc.parse(f"input 4xW\n{layers}").limits
        assert str(found).partition(" (")[0] == told
    (found,) = cnnc.parse(
        "input x: 4xW\ninput y: 2x9\nx -> slice(to=y, axis=W) -> z: relu\noutput z, y\n"
    ).limits
    assert str(found).partition(" (")[0] == "W >= 9"


def test_conditions_on_several_sizes_are_told() -> None:
    assert cnnc.parse("input 1xHxW\ninstancenorm").graph.conditions == ("H*W >= 2",)
    two = cnnc.parse("input a: 3xHxW\ninput b: 3xKxL\n[a + b -> upsample(2)]")
    assert two.graph.conditions == ("2*K == H", "2*L == W")


def test_sizes_from_outside_may_be_free() -> None:
    net = cnnc.parse("conv3-8/2 -> pool", input="3xHxW")
    assert [str(one) for one in net.limits] == [
        "H >= 3 (for `pool` of line 1)",
        "W >= 3 (for `pool` of line 1)",
    ]
    assert cnnc.parse("conv3-8", input=(3, 8, 8)).outputs == {"output": (8, 8, 8)}
    with pytest.raises(cnnc.CnncError, match="E407"):
        cnnc.parse("conv3-8", input="CxHxW")
    with pytest.raises(cnnc.CnncError, match="E303"):
        cnnc.parse("conv3-8", input=(3, 0.5))


def test_equal_for_no_size_is_an_error() -> None:
    for layers in ("[conv3-3 | conv3-4/2]", "[id + conv3-4]", "fractionalmaxpool2(ratio=0.7)"):
        with pytest.raises(cnnc.CnncError, match=r"E405|E407"):
            cnnc.parse(f"input 3xHxW\n{layers}")
