"""Pools and reductions."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

from cnnc.importer.onnx_rules.steps import bordered, made, rule, window
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Ref, Step, Where

if TYPE_CHECKING:
    import onnx

    from cnnc.importer.onnx_file import Reader


@rule("MaxPool", "AveragePool")
def pool(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    kernel = tuple(given["kernel_shape"])
    largest = node.op_type == "MaxPool"
    if len(node.output) > 1:
        raise Refusal("a pool that also gives the places")
    options, pads = window(file, node, kernel)
    if not largest and any(before != after for before, after in pads):
        raise Refusal("a mean over windows that are padded on one side")
    if {*kernel, *options["stride"]} == {1}:  # as an exporter writes a pool to the size that is there
        yield made(file, node, where, "identity", self=Ref(node.input[0]))
        return
    source, padding, before, where = bordered(file, node, where, pads, -inf)
    yield from before
    args = {
        "self": source,
        "kernel_size": list(kernel),
        **options,
        "padding": padding,
        "ceil_mode": bool(given.get("ceil_mode")),
    }
    if not largest:
        args["count_include_pad"] = bool(given.get("count_include_pad"))
    yield made(file, node, where, f"{'max' if largest else 'avg'}_pool{len(kernel)}d", **args)


@rule("GlobalAveragePool", "GlobalMaxPool")
def whole(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    rank = len(file.shape(node.input[0])) - 2
    kind = "avg" if node.op_type == "GlobalAveragePool" else "max"
    name, op, args = (
        node.output[0],
        f"adaptive_{kind}_pool{rank}d",
        {"self": Ref(node.input[0]), "output_size": [1] * rank},
    )
    if kind == "avg":
        yield made(file, node, where, op, **args)
        return
    yield Step(f"{name}#0", op, args, (file.shape(name), None), where)
    yield made(file, node, where, "getitem", x=Ref(f"{name}#0"), index=0)


@rule("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2")
def reduction(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    dims = given.get("axes", file.numbers(node, 1)) or list(range(len(file.shape(node.input[0]))))
    op = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "amax", "ReduceL2": "linalg_vector_norm"}[
        node.op_type
    ]
    more = {"ord": 2} if node.op_type == "ReduceL2" else {}
    keep = bool(given.get("keepdims", 1))
    yield made(
        file, node, where, op, self=Ref(node.input[0]), **more, dim=[int(d) for d in dims], keepdim=keep
    )
