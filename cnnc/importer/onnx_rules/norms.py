"""Normalisations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cnnc.importer.onnx_rules.steps import bias_of, made, rule, short
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Ref, Step, Where

if TYPE_CHECKING:
    import onnx

    from cnnc.importer.onnx_file import Reader


@rule("BatchNormalization")
def batch_norm(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    if given.get("training_mode"):
        raise Refusal("a batch norm in training: export the network in evaluation")
    gain = file.tensor(node.input[1], "weight", where=where)
    args = {"weight": gain} | {
        key: file.tensor(name, key, running=key != "bias", where=where, beside=gain)
        for key, name in zip(("bias", "running_mean", "running_var"), node.input[2:], strict=True)
    }
    # An exporter may write 1 - momentum, and with it the rounding of single precision.
    momentum = round(1 - given.get("momentum", 0.9), 6)
    yield made(
        file, node, where, "batch_norm", input=Ref(node.input[0]), **args, momentum=momentum, eps=_eps(given)
    )


def _eps(given: dict[str, Any]) -> float:
    return short(given.get("epsilon", 1e-5))


@rule("InstanceNormalization")
def instance_norm(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    gain, shift = (file.tensor(node.input[i], role, where=where) for i, role in ((1, "weight"), (2, "bias")))
    eps = _eps(file.attributes(node))
    yield made(file, node, where, "instance_norm", input=Ref(node.input[0]), weight=gain, bias=shift, eps=eps)


@rule("LayerNormalization")
def layer_norm(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given, shape = file.attributes(node), file.shape(node.input[0])
    over = shape[given.get("axis", -1) % len(shape) :]
    weight = file.tensor(node.input[1], "weight", where=where)
    args: dict[str, Any] = {"weight": weight}
    args |= bias_of(file, node, where, weight)
    yield made(
        file,
        node,
        where,
        "layer_norm",
        input=Ref(node.input[0]),
        normalized_shape=list(over),
        **args,
        eps=_eps(given),
    )


@rule("GroupNormalization")
def group_norm(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    if file.opset < 21:
        raise Refusal("a group norm with a gain for each group")
    gain, shift = (file.tensor(node.input[i], role, where=where) for i, role in ((1, "weight"), (2, "bias")))
    yield made(
        file, node, where, "group_norm", input=Ref(node.input[0]), num_groups=given["num_groups"],
        weight=gain, bias=shift, eps=_eps(given),
    )  # fmt: skip
