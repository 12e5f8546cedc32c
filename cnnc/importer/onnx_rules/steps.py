"""How rules are registered, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cnnc.importer.rules.convolution import tf_pads
from cnnc.importer.traced import Ref, Step, Where

if TYPE_CHECKING:
    import onnx

    from cnnc.importer.onnx_file import Reader

Rule = Callable[["Reader", "onnx.NodeProto", Where], Iterator[Step]]
RULES: dict[str, Rule] = {}


def rule(*operators: str) -> Callable[[Rule], Rule]:
    def register(made: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, made))
        return made

    return register


def made(file: Reader, node: onnx.NodeProto, where: Where, op: str, /, **args: Any) -> Step:
    """The step that gives a node's first result."""
    return Step(node.output[0], op, args, (file.shape(node.output[0]),), where)


def short(number: float) -> float:
    """An attribute of single precision as the number that was meant: 9.999999747378752e-06 as 1e-05."""
    return float(f"{number:.7g}")


def window(
    file: Reader, node: onnx.NodeProto, kernel: tuple[int, ...]
) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Stride and dilation, and the padding of each axis before and after."""
    given, rank = file.attributes(node), len(kernel)
    stride = tuple(given.get("strides", (1,) * rank))
    dilation = tuple(given.get("dilations", (1,) * rank))
    auto = given.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        size = list(file.shape(node.input[0])[2:])
        pads = list(tf_pads(size, kernel, stride, dilation))
        pads = pads if auto == "SAME_UPPER" else [(b, a) for a, b in pads]
    else:
        flat = list(given.get("pads", (0,) * (2 * rank))) if auto == "NOTSET" else [0] * (2 * rank)
        pads = list(zip(flat[:rank], flat[rank:], strict=True))
    return {"stride": list(stride), "dilation": list(dilation)}, pads


def bordered(
    file: Reader, node: onnx.NodeProto, where: Where, pads: list[tuple[int, int]], value: float = 0.0
) -> tuple[Ref, list[int], list[Step], Where]:
    """What a window slides over: the input, with a border of its own where the two sides differ."""
    source = Ref(node.input[0])
    if file.attributes(node).get("auto_pad", "") == "SAME_UPPER":
        where = Where(where.path, where.kind or "SAME_UPPER", where.call, where.line)
    if all(before == after for before, after in pads):
        return source, [before for before, _ in pads], [], where
    shape = file.shape(node.input[0])
    name = f"{node.output[0]}#border"
    grown = (*shape[:2], *(n + b + a for n, (b, a) in zip(shape[2:], pads, strict=True)))
    sides = [side for before, after in reversed(pads) for side in (before, after)]
    border = Step(name, "constant_pad_nd", {"self": source, "pad": sides, "value": value}, (grown,), where)
    return Ref(name), [0] * len(pads), [border], where


def bias_of(file: Reader, node: onnx.NodeProto, where: Where, weight: Ref) -> dict[str, Any]:
    """A bias, the third input; one of zeros that no state dict holds is none."""
    name = node.input[2] if len(node.input) > 2 else ""
    if not name or (not file.is_stored(name) and not file.constant(name).any()):
        return {}
    return {"bias": file.tensor(name, "bias", where=where, beside=weight)}
