"""The backward pass: what each function saves, in which order gradients are made, and what is freed when.

The order is that of PyTorch's engine (torch/csrc/autograd/engine.cpp): the ready node that
was made last runs first, leaves before all; what a node saved is released after it has run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from heapq import heappop, heappush
from math import prod
from typing import Any

from cnnc.backends.pytorch.dry.ledger import STATE, Storage
from cnnc.backends.pytorch.dry.tensor import DType, Tensor, like, new

Gradients = Sequence["Tensor | None"]
Formula = Callable[["Node", Gradients], Gradients]
"""From the gradients of a function's outputs to those of its inputs."""


class Node:
    """One function that ran with gradients on: what it saved, and the functions its inputs came from."""

    __slots__ = ("count", "edges", "formula", "needs", "saved", "sequence", "shapes", "where")

    def __init__(self, ins: Sequence[Tensor], formula: Formula) -> None:
        self.edges = tuple((_source(t), t.nr) if t.requires_grad else None for t in ins)
        self.needs = tuple(t.requires_grad for t in ins)
        self.shapes = tuple((t.shape, t.dtype) for t in ins)
        self.formula = formula
        self.saved: list[Any] = []
        self.where = STATE.ledger.where
        self.count = 1
        self.sequence = STATE.sequence
        STATE.sequence += 1

    def save(self, tensors: Iterable[Tensor | None]) -> None:
        pack = STATE.pack
        for tensor in tensors:
            if tensor is not None:
                self.saved.append(tensor.storage if pack is None else pack(tensor))

    def run(self, gradients: Gradients) -> Gradients:
        kept = [saved if isinstance(saved, Storage) else saved.unpack() for saved in self.saved]
        found = self.formula(self, gradients)
        return (
            [
                None if g is None or edge is None else _fitted(g, *self.shapes[i])
                for i, (g, edge) in enumerate(zip(found, self.edges, strict=False))
            ]
            if kept is not None
            else ()
        )


class Leaf:
    """Adds to the gradient of a leaf."""

    __slots__ = ("count", "sequence", "variable", "where")
    edges = ()

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable
        self.sequence = sys.maxsize
        self.count = 1
        self.where = STATE.ledger.where


def _source(tensor: Tensor) -> Node | Leaf:
    if tensor.grad_fn is not None:
        node: Node = tensor.grad_fn
        return node
    if tensor.leaf is None:
        tensor.leaf = Leaf(tensor)
    leaf: Leaf = tensor.leaf
    return leaf


def _fitted(gradient: Tensor, shape: Sequence[int], dtype: DType) -> Tensor:
    """A gradient summed over the axes that were stretched, in the dtype of what it is the gradient of."""
    if gradient.shape != shape:
        gradient = new(shape, gradient.dtype)
    return gradient if gradient.dtype is dtype else new(shape, dtype)


# --- recording --------------------------------------------------------------------------


def start(ins: Sequence[Tensor], formula: Formula, save: Iterable[Tensor | None] = ()) -> Node | None:
    """The node of a function about to run on `ins`, what it saves of them saved; None without gradients."""
    if not STATE.grad:
        return None
    for tensor in ins:
        if tensor.requires_grad:
            node = Node(ins, formula)
            node.save(save)
            return node
    return None


def done(node: Node | None, out: Tensor, save: Iterable[Tensor | None] = ()) -> Tensor:
    """The output of a function, with the node that made it; `save` is what it saves of its outputs."""
    if node is not None:
        node.save(save)
        out.grad_fn, out.requires_grad, out.nr = node, True, 0
    return out


def done_all(
    node: Node | None, outs: Sequence[Tensor], save: Iterable[Tensor | None] = ()
) -> Sequence[Tensor]:
    if node is not None:
        node.save(save)
        node.count = len(outs)
        for i, out in enumerate(outs):
            out.grad_fn, out.requires_grad, out.nr = node, True, i
    return outs


def fresh(node: Node, gradients: Gradients) -> Gradients:
    """A gradient of its own for every input that needs one."""
    return [new(*shape) if need else None for shape, need in zip(node.shapes, node.needs, strict=True)]


def full(node: Node, gradients: Gradients) -> Gradients:
    """A gradient of the output's shape for every input that needs one; stretched axes are summed after."""
    g = gradients[0]
    assert g is not None
    return [like(g) if need else None for need in node.needs]


def passed(node: Node, gradients: Gradients) -> Gradients:
    """The output's gradient itself, for every input that needs one."""
    return [gradients[0] if need else None for need in node.needs]


def reshaped(node: Node, gradients: Gradients) -> Gradients:
    """The output's gradient seen in the input's shape."""
    g = gradients[0]
    assert g is not None
    shape = node.shapes[0][0]
    return [g if g.shape == shape else g.viewed(shape) if g.is_contiguous_now else new(shape, g.dtype)]


# --- the engine -------------------------------------------------------------------------


def backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Run the backward pass from `outputs`."""
    state, ledger = STATE, STATE.ledger
    roots = [(_source(t), t.nr, g) for t, g in zip(outputs, gradients, strict=True) if t.requires_grad]
    waiting = _dependencies([node for node, _, _ in roots])
    ready: list[tuple[int, int, Node | Leaf]] = []
    buffers: dict[int, list[Tensor | None]] = {}
    for node, nr, gradient in roots:
        buffers.setdefault(id(node), [None] * node.count)[nr] = gradient
        if not waiting.get(id(node)) and all(id(n) != id(node) for _, _, n in ready):
            heappush(ready, (-node.sequence, len(ready), node))
    ticket = len(ready)
    was, state.grad = state.grad, False
    while ready:
        node = heappop(ready)[2]
        taken = buffers.pop(id(node))
        ledger.where = node.where
        if isinstance(node, Leaf):
            _accumulate(node.variable, taken)
            continue
        found = node.run(taken)
        del taken
        node.saved.clear()
        found = list(found)
        for i, edge in enumerate(node.edges):
            if edge is None:
                continue
            target, nr = edge
            gradient_, found[i] = found[i], None
            buffer = buffers.setdefault(id(target), [None] * target.count)
            if gradient_ is not None:
                held, buffer[nr] = buffer[nr], None
                if held is None:
                    buffer[nr] = gradient_
                elif not state.watched and sys.getrefcount(held) == 2 and sys.getrefcount(held.storage) == 2:
                    buffer[nr] = held
                else:
                    buffer[nr] = like(held)
                del held
            del gradient_
            waiting[id(target)] -= 1
            if not waiting[id(target)]:
                ticket += 1
                heappush(ready, (-target.sequence, ticket, target))
    state.grad = was


def _dependencies(roots: Iterable[Node | Leaf]) -> dict[int, int]:
    """How many gradients each node waits for."""
    waiting: dict[int, int] = {}
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for edge in node.edges:
            if edge is not None:
                waiting[id(edge[0])] = waiting.get(id(edge[0]), 0) + 1
                todo.append(edge[0])
    return waiting


def _accumulate(variable: Tensor, taken: list[Tensor | None]) -> None:
    gradient = taken.pop()
    if gradient is None:
        return
    if variable.grad is None:
        # A gradient that nobody else holds becomes the leaf's; another is copied.
        own = sys.getrefcount(gradient) == 2 and gradient.is_contiguous_now
        variable.grad = gradient.alias() if own else like(gradient)
        variable.grad.storage.entry.kind = "gradients"
    elif STATE.watched:
        variable.grad = like(gradient)
        variable.grad.storage.entry.kind = "gradients"


@contextmanager
def grad_mode(on: bool) -> Iterator[None]:
    was, STATE.grad = STATE.grad, on
    try:
        yield
    finally:
        STATE.grad = was


def numel(tensor: Tensor) -> int:
    return prod(tensor.shape)
