"""Fixed filters and parts of maps."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import comb, prod

from cnnc.importer.idioms.makers import VIEWS, Makers, numbers_of
from cnnc.importer.traced import Ref, Step


def blurred(step: Step, made: Makers) -> Step | tuple[Step, ...] | None:
    """A depthwise convolution by a constant of the code, binomial coefficients.

    With borders reflected it is a `blurpool`; with zeros it is means of two neighbours, one after another.
    """
    kernel = _binomial_kernel(step, made)
    border = made.by(step.args["input"], "pad", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
    if kernel is None or border is None:
        return None
    sides = [n for k in reversed(kernel) for n in ((k - 1) // 2, k // 2)]
    if list(border.args.get("pad", border.args.get("padding", ()))) != sides:
        return None
    mode = border.args.get("mode", "constant") if border.op == "pad" else "reflect"
    stride = step.args.get("stride", 1)
    if mode == "reflect":
        args = {"input": border.first, "kernel": kernel, "stride": stride}
        return replace(step, op="cnnc_blurpool", args=args)
    if mode == "constant" and not border.args.get("value") and set(kernel) == {3}:
        return _means(step, border, made)
    return None


def _means(step: Step, border: Step, made: Makers) -> tuple[Step, Step] | None:
    """A filter of (1, 2, 1) / 4 along each axis on a map with a border of zeros, as two means of neighbours."""
    whole = made.shape(border.first)
    if whole is None:
        return None
    rank = len(whole) - 2
    first = replace(
        step, name=f"{step.name}#means", op=f"avg_pool{rank}d", shapes=((*whole[:2], *(n + 1 for n in whole[2:])),),
        args={"self": border.first, "kernel_size": [2] * rank, "stride": [1] * rank, "padding": [1] * rank},
    )  # fmt: skip
    stride = list(numbers_of(step.args.get("stride", 1)))
    args = {"self": Ref(first.name), "kernel_size": [2] * rank, "stride": stride}
    return first, replace(step, op=first.op, args=args)


def _binomial_kernel(step: Step, made: Makers) -> tuple[int, ...] | None:
    """The size of a filter that is a constant of the code, binomial coefficients, the same for each channel."""
    argument = step.args.get("weight")
    while (view := made.by(argument, *VIEWS, "expand")) is not None:
        argument = view.first
    held = made.held.get(argument.name) if isinstance(argument, Ref) else None
    if held is None or held.kept or not held.values or len(held.shape) < 3 or held.shape[1] != 1:
        return None
    kernel = held.shape[2:]
    filters = [held.values[i : i + prod(kernel)] for i in range(0, len(held.values), prod(kernel))]
    shape, groups = step.shapes[0], step.args.get("groups", 1)
    dilated = any(n != 1 for n in numbers_of(step.args.get("dilation", 1)))
    if set(filters) != {_binomial(kernel)} or shape is None or groups != shape[1] or dilated:
        return None
    if step.args.get("bias") is not None or any(numbers_of(step.args.get("padding", 0))):
        return None
    return kernel


def _binomial(kernel: tuple[int, ...]) -> tuple[float, ...]:
    """The products of binomial coefficients along each axis, by their sum.

    >>> _binomial((2, 3))
    (0.125, 0.25, 0.125, 0.125, 0.25, 0.125)
    """
    rows = [[comb(n - 1, i) / 2 ** (n - 1) for i in range(n)] for n in kernel]
    return tuple(map(prod, product(*rows)))


# --- parts of maps -------------------------------------------------------------------------------


def cropped(step: Step, made: Makers) -> Step | None:
    """The centre of a map, as two parts of its positions one after the other."""
    rows = made.by(step.first, "slice", "narrow")
    shape, before = step.shapes[0], None if rows is None else rows.shapes[0]
    if rows is None or shape is None or before is None or len(shape) != 4:
        return None
    whole = made.shape(rows.first)
    if whole is None or (_axis(rows), _axis(step)) != (2, 3):
        return None
    for part, n, m in ((rows, whole[2], shape[2]), (step, before[3], shape[3])):
        start = part.args.get("start") or 0
        if m == n or start not in ((n - m) // 2, (n - m) // 2 - n) or part.args.get("step", 1) != 1:
            return None
    return replace(step, op="cnnc_crop", args={"input": rows.first, "size": shape[2:]})


def subsampled(step: Step, made: Makers) -> Step | None:
    """Every n-th position, and zeros for channels that are missing at the end (ResNet's option A)."""
    shape = step.shapes[0]
    given = list(step.args["pad"])
    if shape is None or step.args.get("mode", "constant") != "constant" or step.args.get("value"):
        return None
    positions = len(shape) - 2
    if len(given) != 2 * positions + 2 or any(given[:-1]) or given[-1] <= 0:
        return None
    strides = [1] * positions
    source = step.first
    while (part := made.by(source, "slice")) is not None:
        stride, axis = part.args.get("step", 1), _axis(part)
        if (part.args.get("start") or 0) != 0 or (stride > 1 and axis < 2):
            return None
        before, after = made.shape(part.first), part.shapes[0]
        if before is None or after is None or after[axis] != -(-before[axis] // stride):
            return None
        if axis >= 2:
            strides[axis - 2] *= stride
        source = part.first
    return replace(
        step, op="cnnc_subsampled", args={"input": source, "width": shape[1], "stride": tuple(strides)}
    )


def _axis(part: Step) -> int:
    assert part.shapes[0] is not None
    axis: int = part.args.get("dim", 0)
    return axis % len(part.shapes[0])
