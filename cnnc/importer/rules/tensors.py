"""The module's own tensors where they flow: parameters and constants."""

from __future__ import annotations

from typing import Any

from cnnc.compiler.ops import by_x
from cnnc.importer.layout import Atom, Value
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Held
from cnnc.importer.translate import Translation


def own_tensor(work: Translation, held: Held) -> Value:
    """The line of a tensor of the module's own, of exactly the module's shape; of a single number it is `tensor(1)`."""
    if len(held.shape) > 4:
        raise Refusal(f"`{held.key}` has {len(held.shape)} axes, and a tensor of the language has at most 4")
    shape = held.shape or (1,)
    args: dict[str, Any] = {"": by_x(shape)}
    if held.role != "parameter":
        args["learn"] = False
        if not held.kept:
            raise Refusal(f"`{held.key}` is a constant of its code that the state dict does not have")
    node = work.layer(
        "tensor", (), head=f"tensor({', '.join(map(str, shape))}{_further(args)})", weights={"": held}
    )
    work.spec.lines[node].args = {}
    axes = tuple((Atom(n),) if n > 1 else () for n in held.shape)
    return Value(node, axes or ((),), axes, None)


def _further(args: dict[str, Any]) -> str:
    return ", learn=no" if args.get("learn") is False else ""
