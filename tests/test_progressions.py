"""Rules of number sequences: a rule that is found gives the numbers, and those that a rule gives have one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cnnc.compiler.progressions import Rule, rule_of


def given_by(rule: Rule, count: int) -> int:
    number = count - rule.shift
    number = number % rule.period if rule.period else number
    return rule.first * rule.base**number if rule.base else rule.first + rule.step * number


RULES = st.builds(
    Rule,
    first=st.integers(1, 9),
    step=st.integers(-3, 5),
    base=st.sampled_from([0, 0, 2, 3]),
    period=st.sampled_from([0, 0, 2, 3, 5]),
)


@given(st.lists(st.integers(-2, 9), min_size=2, max_size=12), st.integers(0, 9), st.integers(1, 3))
def test_a_rule_that_is_found_gives_the_numbers(values: list[int], start: int, width: int) -> None:
    counts = range(start, start + width * len(values), width)
    rule = rule_of(values, counts)
    assert rule is None or [given_by(rule, count) for count in counts] == values


@given(RULES, st.integers(0, 9), st.integers(0, 6))
def test_numbers_that_a_rule_gives_have_one(rule: Rule, start: int, more: int) -> None:
    counts = range(start, start + 2 * max(rule.period, 1) + more)
    values = [given_by(rule, count) for count in counts]
    found = rule_of(values, counts)
    assert found is not None
    assert [given_by(found, count) for count in counts] == values


def test_numbers_without_a_rule_have_none() -> None:
    assert rule_of([3, 1, 4, 1, 5, 9], range(6)) is None
    assert rule_of([1, 5, 2, 1, 5, 2], range(6)) is None
    assert rule_of([1, 2, 4, 7], range(4)) is None
    assert rule_of([1, 2, 4, 8], range(0, 8, 2)) is None
