"""Shared modules whose padding is another at each use.

One module has one padding in numbers. TensorFlow's goes by the size of the map, so where a
shared module is used at several sizes it is worked out as the module runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnc.backends.pytorch.layer import Code, Function, Raw
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import Op
from cnnc.compiler.ops.base import SameTF
from cnnc.compiler.ops.geometry import same_tf_padding
from cnnc.dsl.diagnostics import fail


def padded_by_use(graph: Graph) -> Mapping[int, Op]:
    """The ops, by their nodes, that are padded as they run.

    Raises CnncError (E801) where it is not TensorFlow's rule that makes the paddings differ.
    """
    found: dict[int, Op] = {}
    for module, nodes in _used_again(graph).items():
        ops: list[Any] = [node.op for node in nodes]
        if all(getattr(op, "pad", None) == getattr(ops[0], "pad", None) for op in ops):
            continue
        if not all(_is_tensorflows(graph, node) for node in nodes):
            raise fail(
                "E801", f"the PyTorch backend cannot write `{module}`, which is padded otherwise at each use",
                nodes[1].span, hint="a padding that depends on the size is pad=same_tf",
            )  # fmt: skip
        for node, op in zip(nodes, ops, strict=True):
            found[node.index] = op.model_copy(update={"pad": SameTF(op.pad)})
    return found


def sized_by_use(graph: Graph) -> frozenset[int]:
    """The layers of modules that are used on maps of several sizes: what they do to a size is worked out as they run."""
    several = [
        nodes
        for nodes in _used_again(graph).values()
        if len({tuple(shape[1:] for shape in graph.ins(n)) for n in nodes}) > 1
    ]
    return frozenset(node.index for nodes in several for node in nodes)


def _used_again(graph: Graph) -> Mapping[str, list[Node]]:
    """The layers of each module that is called several times."""
    uses: dict[str, list[Node]] = {}
    for node in graph.layers:
        if not node.applied:
            uses.setdefault(node.module, []).append(node)
    return {module: nodes for module, nodes in uses.items() if len(nodes) > 1}


def check_alike(first: Node, further: Node, codes: tuple[Code, Code]) -> None:
    """Whether a module is the same at a further use. Raises CnncError (E801) where its numbers depend on a size."""
    one, other = map(_written, codes)
    if one != other:
        raise fail(
            "E801", f"the PyTorch backend cannot write `{first.name}`, which is another at each size that it is used on: "
            f"`{further.op.kind}` depends on it", further.span, hint="use it on maps of one size",
        )  # fmt: skip


def _written(code: Code) -> object:
    """What is written of a code, without where its numbers come from."""
    if isinstance(code, Function):
        inner = None if code.module is None else _written(code.module)
        return code.template, {key: value.value for key, value in code.values.items()}, inner
    arguments = [*enumerate(code.args), *code.kwargs.items()]
    return code.cls, {key: a.text if isinstance(a, Raw) else a.value for key, a in arguments}


def _is_tensorflows(graph: Graph, node: Node) -> bool:
    op: Any = node.op
    ones = (1,) * len(op.kernel)
    sizes = graph.ins(node)[0][1:]
    return bool(op.pad == same_tf_padding(sizes, op.kernel, op.stride, getattr(op, "dilation", None) or ones))
