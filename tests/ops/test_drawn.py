"""The random words of `strategies.py` reach every argument of the second half's layers."""

from __future__ import annotations

import first_half
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cnnc
from cnnc.compiler.ops import op_words
from cnnc.compiler.since import is_new_layer
from cnnc.dsl.diagnostics import CnncError
from ops.strategies import WORDS, shape_of

NEW = [kind for kind in sorted(WORDS) if is_new_layer(kind)]
ARGUMENTS = [
    *((kind, {*op_words()[kind].model_fields, *op_words()[kind].tensors}) for kind in NEW),
    *((kind, set(args)) for kind, args in first_half.SINCE.items() if kind in WORDS),
]


@pytest.mark.parametrize(("kind", "arguments"), ARGUMENTS, ids=[kind for kind, _ in ARGUMENTS])
def test_every_argument_is_drawn(kind: str, arguments: set[str]) -> None:
    drawn: set[str] = set()

    @settings(
        max_examples=60, deadline=None, derandomize=True, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    @given(data=st.data())
    def draw(data: st.DataObject) -> None:
        rank = data.draw(st.sampled_from(op_words()[kind].ranks))
        shape = shape_of(data.draw, kind, rank)
        try:
            net = cnnc.parse(f"input {'x'.join(map(str, shape))}\n{WORDS[kind](data.draw, shape)}\n")
        except CnncError:
            return
        for node in net.graph.layers:
            if node.op.kind == kind:
                drawn.update(node.written, node.given)

    draw()
    assert arguments - drawn - {op_words()[kind].rest} == set()
