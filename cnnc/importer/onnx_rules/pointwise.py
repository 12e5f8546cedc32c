"""Activations and arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose, prod
from typing import TYPE_CHECKING, Any

from cnnc.importer.onnx_rules.steps import RULES, Rule, made, rule, short
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Ref, Step, Where

if TYPE_CHECKING:
    import onnx

    from cnnc.importer.onnx_file import Reader


_PLAIN = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "HardSwish": "hardswish", "Mish": "mish", "Exp": "exp", "Log": "log",
    "Abs": "abs", "Neg": "neg", "Sqrt": "sqrt", "Reciprocal": "reciprocal", "Sin": "sin", "Cos": "cos", "Identity": "identity",
    "Cast": "identity",
}  # fmt: skip


def _plain(op: str) -> Rule:
    def step(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
        yield made(file, node, where, op, self=Ref(node.input[0]))

    return step


RULES.update({name: _plain(op) for name, op in _PLAIN.items()})


@rule("LeakyRelu")
def leaky(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    slope = short(file.attributes(node).get("alpha", 0.01))
    yield made(file, node, where, "leaky_relu", self=Ref(node.input[0]), negative_slope=slope)


@rule("Elu")
def elu(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    yield made(
        file,
        node,
        where,
        "elu",
        self=Ref(node.input[0]),
        alpha=short(file.attributes(node).get("alpha", 1.0)),
    )


@rule("Selu")
def selu(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    for key, usual in (("alpha", 1.6732632), ("gamma", 1.0507009)):
        if not isclose(given.get(key, usual), usual, rel_tol=1e-5):
            raise Refusal("a selu with numbers of its own")
    yield made(file, node, where, "selu", self=Ref(node.input[0]))


@rule("HardSigmoid")
def hard_sigmoid(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    if not isclose(given.get("alpha", 0.2), 1 / 6, rel_tol=1e-5) or given.get("beta", 0.5) != 0.5:
        raise Refusal("a hard sigmoid of another slope than 1/6")
    yield made(file, node, where, "hardsigmoid", self=Ref(node.input[0]))


@rule("Gelu")
def gelu(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    yield made(
        file,
        node,
        where,
        "gelu",
        self=Ref(node.input[0]),
        approximate=file.attributes(node).get("approximate", "none"),
    )


@rule("Softplus")
def softplus(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    yield made(file, node, where, "softplus", self=Ref(node.input[0]))


@rule("Clip")
def clip(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)  # bounds are attributes before opset 11
    bounds = [file.numbers(node, place) for place in (1, 2)]
    low = bounds[0][0] if bounds[0] else given.get("min")
    high = bounds[1][0] if bounds[1] else given.get("max")
    low, high = (None if b is None or abs(b) > 3e38 else b for b in (low, high))
    yield made(file, node, where, "clamp", self=Ref(node.input[0]), min=low, max=high)


@rule("PRelu")
def prelu(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    shape, rank = file.shape(node.input[1]), len(file.shape(node.input[0]))
    channels = max(shape, default=1)
    along = ((1,) * rank + shape)[-rank:]
    if channels > 1 and along != (1, channels, *(1,) * (rank - 2)):
        raise Refusal("slopes that are not one for each channel")
    slope = file.tensor(node.input[1], "weight", shape=(channels,), where=where)
    yield made(file, node, where, "prelu", self=Ref(node.input[0]), weight=slope)


@rule("Softmax", "LogSoftmax")
def softmax(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    rank = len(file.shape(node.input[0]))
    axis = file.attributes(node).get("axis", 1 if file.opset < 13 else -1) % rank
    if file.opset < 13 and prod(file.shape(node.input[0])[axis + 1 :]) > 1:
        raise Refusal("a softmax over several axes at once, as before opset 13")
    op = "softmax" if node.op_type == "Softmax" else "log_softmax"
    yield made(file, node, where, op, self=Ref(node.input[0]), dim=axis)


@rule("Dropout")
def dropout(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    ratio = file.numbers(node, 1)
    p = short(ratio[0] if ratio else file.attributes(node).get("ratio", 0.5))
    yield made(file, node, where, "dropout", input=Ref(node.input[0]), p=p)


@rule("Add", "Sub", "Mul", "Div", "Sum")
def arithmetic(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    op = {"Sum": "add"}.get(node.op_type, node.op_type.lower())
    *first, last = node.input
    left: Any = file.operand(first[0])
    for i, name in enumerate(first[1:]):  # of a sum
        step = Step(
            f"{node.output[0]}#{i}",
            "add",
            {"self": left, "other": Ref(name)},
            (file.shape(node.output[0]),),
            where,
        )
        yield step
        left = Ref(step.name)
    gated = _gated(file, node) if op == "mul" else None
    if gated is not None:
        yield made(file, node, where, "silu", self=gated)
        return
    yield made(file, node, where, op, self=left, other=file.operand(last))


def _gated(file: Reader, node: onnx.NodeProto) -> Ref | None:
    """x of x * sigmoid(x)."""
    for one, other in (node.input, reversed(node.input)):
        maker = file.makers.get(other)
        if maker is not None and maker.op_type == "Sigmoid" and maker.input[0] == one:
            return Ref(one)
    return None


@rule("Pow")
def power(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    yield made(file, node, where, "pow", self=Ref(node.input[0]), exponent=file.operand(node.input[1]))


@rule("LRN")
def response(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    numbers = {
        "size": given["size"],
        "alpha": given.get("alpha", 1e-4),
        "beta": given.get("beta", 0.75),
        "k": given.get("bias", 1.0),
    }
    yield made(
        file, node, where, "cnnc_lrn", self=Ref(node.input[0]), **{k: short(v) for k, v in numbers.items()}
    )
