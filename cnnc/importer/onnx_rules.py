"""What each operator of ONNX is in PyTorch's operators, which the rules of `rules/` read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, isclose, prod
from typing import TYPE_CHECKING, Any

from cnnc.importer.refusal import Refusal
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


# --- convolutions and linear layers -----------------------------------------------------------


def _window(
    file: Reader, node: onnx.NodeProto, rank: int, kernel: tuple[int, ...]
) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Stride and dilation, and the padding of each axis before and after."""
    given = file.attributes(node)
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


def _bordered(
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


@rule("Conv")
def conv(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    weight = file.tensor(node.input[1], "weight", where=where)
    kernel = file.shape(node.input[1])[2:]
    options, pads = _window(file, node, len(kernel), kernel)
    source, padding, before, where = _bordered(file, node, where, pads)
    yield from before
    args = {
        "input": source,
        "weight": weight,
        **_bias(file, node, 2, where, weight),
        **options,
        "padding": padding,
    }
    groups = file.attributes(node).get("group", 1)
    yield made(file, node, where, f"conv{len(kernel)}d", **args, groups=groups)


def _bias(file: Reader, node: onnx.NodeProto, place: int, where: Where, weight: Ref) -> dict[str, Any]:
    """A bias; one of zeros that no state dict holds is none."""
    if len(node.input) <= place or not node.input[place]:
        return {}
    name = node.input[place]
    if not file.is_stored(name) and not file.constant(name).any():
        return {}
    return {"bias": file.tensor(name, "bias", where=where, beside=weight)}


@rule("ConvTranspose")
def tconv(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    weight = file.tensor(node.input[1], "weight", where=where)
    kernel = file.shape(node.input[1])[2:]
    given = file.attributes(node)
    if given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in given:
        raise Refusal("a transposed convolution whose padding follows from its output")
    options, pads = _window(file, node, len(kernel), kernel)
    if any(before != after for before, after in pads):
        raise Refusal("a transposed convolution that is padded on one side")
    yield made(
        file, node, where, f"conv_transpose{len(kernel)}d", input=Ref(node.input[0]), weight=weight,
        **_bias(file, node, 2, where, weight), **options, padding=[before for before, _ in pads],
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
        **_bias(file, node, 2, where, weight),
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


# --- normalisations ------------------------------------------------------------------------------


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
    """Single precision as the number that was meant: 9.999999747378752e-06 as 1e-05."""
    return float(f"{given.get('epsilon', 1e-5):.7g}")


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
    args |= _bias(file, node, 2, where, weight)
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


# --- activations and arithmetic ---------------------------------------------------------------------

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
    slope = _short(file.attributes(node).get("alpha", 0.01))
    yield made(file, node, where, "leaky_relu", self=Ref(node.input[0]), negative_slope=slope)


def _short(number: float) -> float:
    """An attribute of single precision as the number that was meant."""
    return float(f"{number:.7g}")


@rule("Elu")
def elu(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    yield made(
        file,
        node,
        where,
        "elu",
        self=Ref(node.input[0]),
        alpha=_short(file.attributes(node).get("alpha", 1.0)),
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
    p = _short(ratio[0] if ratio else file.attributes(node).get("ratio", 0.5))
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
        file, node, where, "cnnc_lrn", self=Ref(node.input[0]), **{k: _short(v) for k, v in numbers.items()}
    )


# --- pools and reductions -----------------------------------------------------------------------------


@rule("MaxPool", "AveragePool")
def pool(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    kernel = tuple(given["kernel_shape"])
    largest = node.op_type == "MaxPool"
    if len(node.output) > 1:
        raise Refusal("a pool that also gives the places")
    options, pads = _window(file, node, len(kernel), kernel)
    if not largest and any(before != after for before, after in pads):
        raise Refusal("a mean over windows that are padded on one side")
    if {*kernel, *options["stride"]} == {1}:  # as an exporter writes a pool to the size that is there
        yield made(file, node, where, "identity", self=Ref(node.input[0]))
        return
    source, padding, before, where = _bordered(file, node, where, pads, -inf)
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


# --- what moves values --------------------------------------------------------------------------------


@rule("Flatten", "Reshape", "Squeeze", "Unsqueeze")
def view(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    yield made(file, node, where, "view", self=file.operand(node.input[0]))


@rule("Transpose")
def transpose(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    rank = len(file.shape(node.input[0]))
    order = file.attributes(node).get("perm", tuple(reversed(range(rank))))
    yield made(file, node, where, "permute", self=file.operand(node.input[0]), dims=list(order))


@rule("Expand")
def expand(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    yield made(file, node, where, "expand", self=file.operand(node.input[0]))


@rule("Concat")
def concat(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    tensors = [file.operand(name) for name in node.input]
    yield made(file, node, where, "cat", tensors=tensors, dim=file.attributes(node)["axis"])


@rule("Split")
def split(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    dim = file.attributes(node).get("axis", 0)
    shapes = tuple(file.shape(name) for name in node.output)
    name = f"{node.output[0]}#parts"
    yield Step(name, "split", {"self": Ref(node.input[0]), "dim": dim}, shapes, where)
    for i, (result, shape) in enumerate(zip(node.output, shapes, strict=True)):
        yield Step(result, "getitem", {"x": Ref(name), "index": i}, (shape,), where)


@rule("SplitToSequence")
def split_to_sequence(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    """The parts of a sequence, of which `SequenceAt` takes one."""
    shape = file.shape(node.input[0])
    given = file.attributes(node)
    dim = given.get("axis", 0) % len(shape)
    size = (file.numbers(node, 1) or [1])[0]
    if len(file.numbers(node, 1) or []) > 1 or not given.get("keepdims", 1):
        raise Refusal("a sequence of parts of several sizes")
    sizes = [min(size, shape[dim] - start) for start in range(0, shape[dim], size)]
    shapes = tuple((*shape[:dim], n, *shape[dim + 1 :]) for n in sizes)
    yield Step(node.output[0], "split", {"self": Ref(node.input[0]), "dim": dim}, shapes, where)


@rule("SequenceAt")
def sequence_at(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    place = int(file.constant(node.input[1]))
    yield made(file, node, where, "getitem", x=Ref(node.input[0]), index=place)


@rule("Slice")
def slices(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)  # bounds are attributes before opset 10
    starts, ends = (given.get(key) or file.numbers(node, i) or [] for i, key in ((1, "starts"), (2, "ends")))
    axes = given.get("axes") or file.numbers(node, 3) or list(range(len(starts)))
    steps = file.numbers(node, 4) or [1] * len(starts)
    source, shape = Ref(node.input[0]), list(file.shape(node.input[0]))
    for i, (start, end, axis, step) in enumerate(zip(starts, ends, axes, steps, strict=True)):
        if step < 1:
            raise Refusal("a slice backwards")
        places = range(*slice(int(start), int(end), int(step)).indices(shape[axis]))
        shape[axis] = len(places)
        name = node.output[0] if i == len(starts) - 1 else f"{node.output[0]}#{i}"
        args = {"self": source, "dim": int(axis) % len(shape), "start": places.start, "step": int(step)}
        yield Step(name, "slice", args, (tuple(shape),), where)
        source = Ref(name)


@rule("Gather")
def gather(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    places = file.constant(node.input[1])
    whole = file.shape(node.input[0])
    if len(whole) == 1 and places.reshape(-1).tolist() == list(
        range(whole[0])
    ):  # as_strided of a whole tensor
        yield made(file, node, where, "view", self=file.operand(node.input[0]))
        return
    if places.ndim:
        raise Refusal("places in an order of their own")
    yield made(
        file,
        node,
        where,
        "select",
        self=file.operand(node.input[0]),
        dim=file.attributes(node).get("axis", 0),
        index=int(places),
    )


@rule("Pad")
def pad(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)  # all are attributes before opset 11
    flat = [int(n) for n in given.get("pads") or file.numbers(node, 1) or []]
    fill = file.numbers(node, 2)
    axes = file.numbers(node, 3)
    rank = len(file.shape(node.input[0]))
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes or range(rank)):
        before[axis], after[axis] = flat[i], flat[i + len(flat) // 2]
    sides = [side for b, a in zip(reversed(before), reversed(after), strict=True) for side in (b, a)]
    mode = {"edge": "replicate", "wrap": "circular"}.get(
        given.get("mode", "constant"), given.get("mode", "constant")
    )
    value = float(fill[0]) if fill else given.get("value", 0.0)
    yield made(file, node, where, "pad", self=Ref(node.input[0]), pad=sides, mode=mode, value=value)


@rule("Resize", "Upsample")
def resize(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given, rank = file.attributes(node), len(file.shape(node.input[0])) - 2
    mode, how = given.get("mode", "nearest"), given.get("coordinate_transformation_mode", "half_pixel")
    scales = file.numbers(node, 2 if node.op_type == "Resize" and file.opset > 10 else 1) or given.get(
        "scales"
    )
    if file.shape(node.input[0])[:2] != file.shape(node.output[0])[:2]:
        raise Refusal("a change of size along channels or the batch")
    whole = [
        b / a for a, b in zip(file.shape(node.input[0])[2:], file.shape(node.output[0])[2:], strict=True)
    ]
    if mode == "nearest":
        floor = how == "asymmetric" and given.get("nearest_mode", "round_prefer_floor") == "floor"
        if not floor and not (file.opset <= 10 or all(b == int(b) for b in whole)):
            raise Refusal("a nearest neighbour that is not the one before")
        yield made(file, node, where, f"upsample_nearest{rank}d", self=Ref(node.input[0]))
        return
    corners = how == "align_corners"
    if mode != "linear" or not (corners or how in ("half_pixel", "pytorch_half_pixel")):
        raise Refusal(f"an interpolation by `{mode}` with `{how}`")
    op = {1: "upsample_linear1d", 2: "upsample_bilinear2d", 3: "upsample_trilinear3d"}[rank]
    factors = None if not scales or corners else [float(s) for s in scales[2:]]
    yield made(file, node, where, op, self=Ref(node.input[0]), align_corners=corners, scale_factors=factors)


@rule("DepthToSpace")
def depth_to_space(file: Reader, node: onnx.NodeProto, where: Where) -> Iterator[Step]:
    given = file.attributes(node)
    if given.get("mode", "DCR") != "CRD":
        raise Refusal("channels that move to positions in another order than a pixel shuffle's")
    yield made(file, node, where, "pixel_shuffle", self=Ref(node.input[0]), upscale_factor=given["blocksize"])
