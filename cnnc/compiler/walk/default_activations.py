"""Which default activations stay: one is left out where every consumer says so.

before: conv3-64 [relu] -> add -> relu        (the bracketed relu is a default)
after:  conv3-64 -> add -> relu
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnnc.compiler.walk.draft import Draft


def settle_defaults(drafts: Sequence[Draft], outputs: Iterable[Draft]) -> None:
    """Mark the default activations that are left out (DESIGN 1.4, Activation).

    A consumer is looked for through the layers that pass values on unchanged in kind.
    """
    consumers: dict[int, list[Draft]] = {}
    for draft in drafts:
        assert draft.op is not None
        windows = draft.op.windows(*(source.shape for source in draft.inputs)) if draft.inputs else ()
        for source, window in zip(draft.inputs, windows, strict=True):
            if window is not None:  # else only its size is taken
                consumers.setdefault(id(source), []).append(draft)
    ends = {id(draft) for draft in outputs}
    linear_welcome: dict[int, bool] = {}
    for draft in reversed(drafts):
        takers = consumers.get(id(draft), [])
        welcome = bool(takers) or id(draft) in ends
        for taker in takers:
            assert taker.op is not None
            if taker.op.transparent:
                welcome = welcome and linear_welcome[id(taker)]
            else:
                welcome = welcome and taker.op.takes_linear
        linear_welcome[id(draft)] = welcome
        if draft.tentative and welcome:
            draft.dropped = True
    for draft in drafts:
        draft.dropped = draft.dropped or draft.alone
