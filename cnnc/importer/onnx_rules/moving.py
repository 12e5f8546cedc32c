"""What moves values: views, parts, borders, changes of size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cnnc.importer.onnx_rules.steps import made, rule
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Ref, Step, Where

if TYPE_CHECKING:
    import onnx

    from cnnc.importer.onnx_file import Reader


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
