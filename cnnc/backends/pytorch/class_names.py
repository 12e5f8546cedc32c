"""What the classes of a file are called: after blocks and brackets, apart from one another and from what is imported."""

from __future__ import annotations

import builtins

from cnnc.backends.pytorch.helpers import helper_names, imported_names
from cnnc.backends.pytorch.names import TAKEN, class_name
from cnnc.compiler.graph import Graph, Scope
from cnnc.compiler.ops.extern import Extern
from cnnc.dsl.diagnostics import fail


class ClassNames:
    """The names that a graph's classes take, each once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        name = model_name(graph)
        self._taken = _foreign_names(graph) | {name, f"{name}Output"}

    def of(self, scope: Scope) -> str:
        """The name of the class of a scope."""
        if scope is self.graph.root:
            return model_name(self.graph)
        base = class_name(scope.block.name if scope.block is not None else scope.local)
        name = _free(base, self._taken)
        self._taken.add(name)
        return name


def model_name(graph: Graph) -> str:
    """The name of the model's class; a block of the same name has to take another."""
    return _free(class_name(graph.name), _foreign_names(graph))


def _foreign_names(graph: Graph) -> set[str]:
    """The names in a file that come from elsewhere: helpers, what they import, and externs.

    Raises CnncError (E801) where an extern's name would hide another's.
    """
    externs: dict[str, str] = {}
    ours = {*imported_names(), *helper_names()}
    taken = TAKEN | ours | set(dir(builtins))
    for node in graph.nodes:
        if isinstance(node.op, Extern):
            target = node.op.target
            name = target.rpartition(":")[2]
            if name in taken or externs.setdefault(name, target) != target:
                other = externs.get(name, "by Python, PyTorch or a helper")
                raise fail(
                    "E801", f"the PyTorch backend cannot import `{target}`: its name is taken ({other})",
                    node.span, hint="give the class another name in a module of your own",
                )  # fmt: skip
    return ours | set(externs)


def _free(base: str, taken: set[str]) -> str:
    """`base`, or with the first number from 2 that is not taken."""
    name, number = base, 2
    while name in taken:
        name, number = f"{base}{number}", number + 1
    return name
