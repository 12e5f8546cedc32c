"""Projections of sums that are what `shortcut` makes of its siblings."""

from __future__ import annotations

from dataclasses import replace

from cnnc.importer.structure.terms import (
    NONE,
    Chain,
    Fit,
    Item,
    Join,
    Layer,
    Leaf,
    Scope,
    items_in,
    mapped,
)


def projections(chain: Chain) -> bool:
    """Whether any branch of a sum could be a `shortcut`."""
    return any(
        isinstance(item, Join) and any(_fit(branch, item) is not None for branch in item.branches)
        for item in items_in(chain)
    )


def fitted(chain: Chain) -> Chain:
    """The chain with `shortcut` in place of projections, and of the identities that stand in sums of two."""

    def change(item: Item) -> tuple[Item, ...]:
        if not isinstance(item, Join) or item.op != "+":
            return (item,)
        found = [_fit(branch, item) for branch in item.branches]
        branches = [
            branch if fit is None else (fit,) for branch, fit in zip(item.branches, found, strict=True)
        ]
        if all(found):
            return (item,)
        if len(branches) == 2 and not any(found) and branches.count(()) == 1:
            branches = [b or (Fit(Leaf("id"), Leaf(NONE)),) for b in branches]
        return (replace(item, branches=tuple(branches)),)

    return mapped(chain, change)


def _fit(branch: Chain, join: Join) -> Fit | None:
    if join.op != "+" or len(branch) != 1 or len(join.branches) != 2:
        return None
    item = branch[0]
    label = item.label if isinstance(item, Layer | Scope) else ()
    if isinstance(item, Scope) and len(item.body) == 1:
        item = item.body[0]
    if not isinstance(item, Layer) or any(name not in (None, str(i)) for i, name in enumerate(item.names)):
        return None
    sibling = next((b for b in join.branches if b is not branch), ())
    if item.kind == "shortcut_pad":
        return Fit(Leaf("pad"), Leaf(NONE), label)
    plain = item.kind == "conv" and all(leaf.value == 1 for leaf in item.size)
    plain = plain and all(
        leaf.value == leaf.default or (key == "pad" and leaf.welcome is None) for key, leaf in item.args
    )
    if not plain or item.act is None or item.act.value != NONE or item.norm is None:
        return None
    if item.bias is not None and item.bias.value == "yes" and item.norm.value != NONE:
        return None
    if len(item.stride) != 1 or item.stride[0].value != _stride(sibling):
        return None
    if item.stride[0].value == 1 and item.width is not None and item.flow == (item.width.value,):
        return None  # of one shape, a `shortcut` is the identity
    return Fit(Leaf("projection"), item.norm, label, bias=None if item.bias is None else item.bias.value)


def _stride(branch: Chain) -> int:
    """The product of the strides along a branch; 0 where it is not known."""
    product = 1
    for item in items_in(branch):
        if isinstance(item, Layer) and item.stride:
            value = item.stride[0].value
            product *= value if isinstance(value, int) else 0
    return product
