"""Every op in every rank: shape, parameters, state and MACs are those of the running module."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from cnnc.compiler.ops import Op, all_ops
from ops.conftest import EXAMPLES
from ops.oracle import check, refused
from ops.strategies import WORDS, shape_of

MORE = {"pixelshuffle": {"E402"}, "maxout": {"E402"}, "unpool": {"E307"}}
LEGAL = {"E403", "E404", "E405", "E408"}
"""Refusals that a random word may meet: what they refuse is held against PyTorch in test_refusals."""


def _ranks(op: type[Op]) -> tuple[int, ...]:
    """Flattening layers take a map of any rank too."""
    return (0, 1, 2, 3) if op.flattens else op.ranks


CASES = [(op.kind, rank) for op in all_ops() if op.kind in WORDS for rank in _ranks(op)]


def _drawn(data: Any, kind: str, rank: int) -> None:
    shape = shape_of(data.draw, kind, rank)
    word = WORDS[kind](data.draw, shape)
    refusal = refused(shape, word)
    if refusal is not None:
        codes = {d.code for d in refusal.diagnostics}
        assert codes <= LEGAL | MORE.get(kind, set()), str(refusal)
        reject()
    check(shape, word)


@pytest.mark.parametrize(("kind", "rank"), CASES)
def test_analysis_equals_module(kind: str, rank: int) -> None:
    ranks = sum(other == kind for other, _ in CASES)

    @settings(settings.get_profile("ops"), max_examples=-(-EXAMPLES // ranks))
    @given(st.data())
    def run(data: Any) -> None:
        _drawn(data, kind, rank)

    run()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rank"), CASES)
def test_analysis_equals_module_at_length(kind: str, rank: int) -> None:
    @settings(settings.get_profile("ops"), max_examples=1500)
    @given(st.data())
    def run(data: Any) -> None:
        _drawn(data, kind, rank)

    run()


def test_every_layer_word_has_a_strategy() -> None:
    assert {op.kind for op in all_ops() if not op.internal} == set(WORDS)
