"""Convolutions, and the linear layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cnnc.importer.onnx_rules.steps import bias_of, bordered, made, rule, window
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Ref, Step, Where

if TYPE_CHECKING:
    import onnx

    from cnnc.importer.onnx_file import Reader


@rule("Conv")
def conv(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    weight = file.tensor(node.input[1], "weight", where=where)
    kernel = file.shape(node.input[1])[2:]
    options, pads = window(file, node, kernel)
    source, padding, before, where = bordered(file, node, where, pads)
    yield from before
    args = {
        "input": source,
        "weight": weight,
        **bias_of(file, node, where, weight),
        **options,
        "padding": padding,
    }
    groups = file.attributes(node).get("group", 1)
    yield made(file, node, where, f"conv{len(kernel)}d", **args, groups=groups)


@rule("ConvTranspose")
def tconv(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    weight = file.tensor(node.input[1], "weight", where=where)
    kernel = file.shape(node.input[1])[2:]
    given = file.attributes(node)
    if given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in given:
        raise Refusal("a transposed convolution whose padding follows from its output")
    options, pads = window(file, node, kernel)
    if any(before != after for before, after in pads):
        raise Refusal("a transposed convolution that is padded on one side")
    yield made(
        file, node, where, f"conv_transpose{len(kernel)}d", input=Ref(node.input[0]), weight=weight,
        **bias_of(file, node, where, weight), **options, padding=[before for before, _ in pads],
        output_padding=list(given.get("output_padding", (0,) * len(kernel))), groups=given.get("group", 1),
    )  # fmt: skip


@rule("Gemm")
def gemm(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    if given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1 or given.get("transA"):
        raise Refusal("a product with factors or a turned input")
    weight = file.tensor(node.input[1], "weight", turned=not given.get("transB"), where=where)
    yield made(
        file,
        node,
        where,
        "linear",
        input=Ref(node.input[0]),
        weight=weight,
        **bias_of(file, node, where, weight),
    )


@rule("MatMul")
def matmul(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    if node.input[1] not in file.constants:
        yield made(file, node, where, "matmul", self=file.operand(node.input[0]), other=Ref(node.input[1]))
        return
    if len(file.shape(node.input[1])) != 2 or node.input[0] in file.constants:
        raise Refusal("a product of stacks of matrices")
    weight = file.tensor(node.input[1], "weight", turned=True, where=where)
    width = file.shape(node.input[1])[1]
    after = file.readers.get(node.output[0], [])
    if len(after) == 1 and after[0].op_type == "Add":
        bias = next((n for n in after[0].input if n != node.output[0]), "")
        if bias in file.constants and file.shape(bias) == (width,):
            file.skipped.add(id(after[0]))
            held = file.tensor(bias, "bias", where=where, beside=weight)
            yield made(file, after[0], where, "linear", input=Ref(node.input[0]), weight=weight, bias=held)
            return
    yield made(file, node, where, "linear", input=Ref(node.input[0]), weight=weight)
