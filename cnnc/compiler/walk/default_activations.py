"""Which default activations stay: one is left out where every consumer says so.

before: conv3-64 [relu] -> add -> relu        (the bracketed relu is a default)
after:  conv3-64 -> add -> relu
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnnc.compiler.ops.merge import Add, Multiply
from cnnc.compiler.walk.draft import Draft


def settle_defaults(consumers: Consumers) -> None:
    """Mark the default activations that are left out (docs/language.md, Conventions: Activations).

    A consumer is looked for through the layers that pass values on unchanged in kind, and through a gate
    behind which an activation or a sum follows.
    """
    linear_welcome = [False] * len(consumers.drafts)
    for draft in reversed(consumers.drafts):
        welcome = consumers.are_complete(draft)
        for taker in consumers.counted(draft):
            assert taker.op is not None
            if taker.op.transparent:
                welcome = welcome and linear_welcome[taker.number]
            elif isinstance(taker.op, Multiply):
                welcome = welcome and consumers.passes(draft, taker)
            else:
                welcome = welcome and taker.op.takes_linear
        linear_welcome[draft.number] = welcome
        if draft.tentative and welcome:
            draft.dropped = True
    for draft in consumers.drafts:
        draft.dropped = draft.dropped or draft.alone


class Consumers:
    """Who takes the values of each layer, in a finished walk."""

    def __init__(self, drafts: Sequence[Draft], outputs: Iterable[Draft]) -> None:
        self.drafts = drafts
        self._takers: list[list[Draft]] = [[] for _ in drafts]
        self._ends = {draft.settled().number for draft in outputs}
        for draft in drafts:
            assert draft.op is not None
            if draft.dropped:
                continue
            if not draft.op.only_sized:
                for source in draft.inputs:
                    self._takers[source.settled().number].append(draft)
                continue
            windows = draft.op.windows(*(source.shape for source in draft.inputs))
            for source, window in zip(draft.inputs, windows, strict=True):
                if window is not None:  # else only its size is taken
                    self._takers[source.settled().number].append(draft)

    def are_complete(self, draft: Draft) -> bool:
        """Whether anything takes a value, be it the model's output."""
        return bool(self._takers[draft.number]) or draft.number in self._ends

    def counted(self, draft: Draft) -> list[Draft]:
        """The takers of a value, but for those that lead only into a gate of it."""
        takers = self._takers[draft.number]
        if len(takers) < 2:
            return takers
        gates = [t for t in takers if isinstance(t.op, Multiply)]
        if not gates or len(takers) == len(gates):
            return takers
        last = max(gate.number for gate in gates)
        leads = dict.fromkeys((gate.number for gate in gates), True)
        return [t for t in takers if t in gates or not self._leads_only(t, leads, last)]

    def _leads_only(self, start: Draft, leads: dict[int, bool], last: int) -> bool:
        """Whether every way from a layer ends in one of the gates that `leads` knows, the last at place `last`."""
        todo = [start]
        while todo:
            draft = todo[-1]
            takers = self._takers[draft.number]
            if draft.number in self._ends or not takers or draft.number > last:
                leads[draft.number] = False
            unknown = [t for t in takers if t.number not in leads]
            if draft.number in leads:
                todo.pop()
            elif unknown:
                todo += unknown
            else:
                leads[draft.number] = all(leads[t.number] for t in takers)
        return leads[start.number]

    def passes(self, value: Draft, gate: Draft) -> bool:
        """Whether a default activation is left out through a product that has the value among its factors.

        Every consumer of the product, through regularisers and further gates, must be an activation, or a
        sum that the value reaches through one operand only: SE-ResNet's, but not that of MobileNetV3 (a
        convolution), scSE (two gates of one value are added) or SK-Net (a gate beside the value's own).
        """
        todo = [gate]
        while todo:
            product = todo.pop()
            takers = self.counted(product)
            if product.number in self._ends or not takers:
                return False
            for taker in takers:
                assert taker.op is not None
                if taker.op.family == "regularisation" or isinstance(taker.op, Multiply):
                    todo.append(taker)
                elif isinstance(taker.op, Add):
                    if sum(self._reaches(value, x) for x in taker.inputs) != 1:
                        return False
                elif taker.op.family != "activation" or taker.tentative:
                    return False
        return True

    def is_added(self, draft: Draft) -> bool:
        """Whether a sum takes a value, through regularisers, products and layers that are looked through.

        It is not, here, where a norm follows the sum: a pre-activation's own activation comes with it.
        """
        todo = [draft]
        while todo:
            for taker in self.counted(todo.pop()):
                assert taker.op is not None
                if isinstance(taker.op, Add):
                    return not any(
                        t.op is not None and t.op.family == "normalisation" for t in self.counted(taker)
                    )
                if taker.op.transparent or isinstance(taker.op, Multiply):
                    todo.append(taker)
        return False

    def _reaches(self, value: Draft, end: Draft) -> bool:
        """Whether a way leads from a value to a layer."""
        seen: set[int] = set()
        todo = [end]
        while todo:
            draft = todo.pop()
            if draft is value:
                return True
            if draft.number not in seen and draft.number > value.number:
                seen.add(draft.number)
                todo += draft.inputs
        return False
