"""Branches that do not fit each other: which one, and what would make them fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cnnc.compiler.ops import Op, OpError, Shape, by_x
from cnnc.compiler.sizes import is_free, ratio
from cnnc.compiler.walk.draft import Draft
from cnnc.compiler.walk.fit import stride_between
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError


def at_its_branch(
    error: CnncError, merge: type[Op], branches: Sequence[s.Pipeline], joined: Sequence[Draft]
) -> CnncError:
    """A merge's refusal (E405) with the caret under the first branch that does not fit those before it."""
    odd = _first_odd(merge, joined)
    found = error.diagnostics[0]
    hint = _hint(merge, branches, joined, odd)
    return CnncError([replace(found, span=branches[odd].span, hint=hint)])


def _first_odd(merge: type[Op], joined: Sequence[Draft]) -> int:
    op = merge()
    for i in range(1, len(joined)):
        try:
            op.out_shape(*(x.shape for x in joined[: i + 1]))
        except OpError:
            return i
    raise AssertionError("the branches fit each other")


def _hint(merge: type[Op], branches: Sequence[s.Pipeline], joined: Sequence[Draft], odd: int) -> str:
    first, other = joined[0].shape, joined[odd].shape
    if len(first) != len(other):
        return "give them the same axes: conv1 in place of fc keeps a map, flatten makes a vector of one"
    if merge.kind == "add":
        for identity, sibling in ((0, odd), (odd, 0)):
            if _is_id(branches[identity]) and _projects(joined[identity], joined[sibling]):
                return "write `shortcut` in place of `id` for a projection that fits"
    if first[1:] == other[1:]:
        return f"give them equal channels: end one branch in conv1-{first[0]}, or use `|` to put them side by side"
    return _fitting(first, other)


ALIKE = "pad and stride the branches alike"
"""How the hint begins where maps differ in size: another input may make them fit."""


def _fitting(first: Shape, other: Shape) -> str:
    """The words that make one branch as large as the other, each with what it makes of it."""
    small, large = sorted((first, other), key=lambda shape: [int(n) for n in shape[1:]])
    axes = [*zip(small[1:], large[1:], strict=True)]
    if any(int(n) > int(m) for n, m in axes):
        return ALIKE
    grown, cut = by_x((small[0], *large[1:])), by_x((large[0], *small[1:]))
    if all(int(n) == int(m) or (int(n) == 1 and not is_free(n)) for n, m in axes):
        return f"end the smaller in `stretch`, which makes it {grown}"
    factors = [ratio(m, n) for n, m in axes]
    if None not in factors:
        factor = str(factors[0]) if len(set(factors)) == 1 else "x".join(map(str, factors))
        return (
            f"{ALIKE}, or end the smaller in `upsample({factor})`, which makes it {grown}, "
            f"or the larger in `maxpool{factor}`: {cut}"
        )
    return (
        f"{ALIKE}, or end the smaller in `resize` (interpolated) or `pad` (with zeros), which makes it {grown}, "
        f"or the larger in `crop`, which cuts {cut} out of its centre"
    )


def _is_id(branch: s.Pipeline) -> bool:
    core = branch.items[0].core
    return len(branch.items) == 1 and isinstance(core, s.Word) and (core.literal or "").lower() == "id"


def _projects(flow: Draft, sibling: Draft) -> bool:
    """Whether a strided 1x1 convolution makes what flows in as large as a sibling."""
    strides = stride_between(flow, sibling)
    return strides is not None and len(flow.shape) > 1 and all(
        -(-n // stride) == m for n, m, stride in zip(flow.shape[1:], sibling.shape[1:], strides, strict=True)
    )  # fmt: skip
