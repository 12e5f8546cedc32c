"""Layers whose padding is another at each use of their module, or in each instance of their block.

One module has one padding in numbers. TensorFlow's depends on the size of the map, so where a
module is used at several sizes, or a block's maps are even here and odd there, it is worked out as the module runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cnnc.backends.pytorch.context import origin
from cnnc.backends.pytorch.emitters.shared import is_symmetric
from cnnc.backends.pytorch.layer import Code, Function, Raw, emission_of
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
        found |= _as_they_run(nodes)
    for nodes in _by_words(graph):
        ops = [node.op for node in nodes]
        if len({is_symmetric(op.pad) for op in ops}) > 1:
            found |= _as_they_run(nodes)
    return found


def _as_they_run(nodes: Iterable[Node]) -> dict[int, Op]:
    """The ops of some layers, padded as they run."""
    ops: dict[int, Any] = {node.index: node.op for node in nodes}
    return {index: op.model_copy(update={"pad": SameTF(op.pad)}) for index, op in ops.items()}


def _by_words(graph: Graph) -> Iterator[list[Node]]:
    """The layers with TensorFlow's padding that one word of a block places in its instances.

    Only the strided ones: to pad as they run costs a copy of the map.
    """
    again = _used_again(graph)
    words: dict[object, list[Node]] = {}
    for scope in graph.scopes():
        for child in scope.children if scope is not graph.root else ():
            if isinstance(child, int):
                node = graph.nodes[child]
                words.setdefault((origin(scope), node.span, type(node.op)), []).append(node)
    for nodes in words.values():
        emission = emission_of(type(nodes[0].op))
        if (
            emission is not None
            and emission.same_tf
            and not any(n.module in again or n.applied for n in nodes)
        ):
            ops: list[Any] = [node.op for node in nodes]
            is_strided = all(max(op.stride) > 1 for op in ops)
            if is_strided and all(_says_tensorflows(graph, node) for node in nodes):
                yield nodes


def _says_tensorflows(graph: Graph, node: Node) -> bool:
    """Whether the text asks for TensorFlow's padding."""
    given = node.args.get("pad")
    return given is not None and given.value == "same_tf" and _is_tensorflows(graph, node)


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
