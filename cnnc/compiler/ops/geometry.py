"""Sizes of sliding windows: the one place where kernel, stride and padding become an output size."""

from __future__ import annotations

from cnnc.compiler.ops.base import MAX_SIZE, Axis, Local, OpError, SameTF, Shape, Sides, Spread, by_x
from cnnc.compiler.sizes import is_free, ratio

TOO_SMALL = "pad it, pool less before it, or give the model a larger input"
"""The hint where a map is too small for its window; what knows the whole model can say more."""
MAX_TERMS = 1_000
"""Of the expression that a padding is on a free size."""


def effective(kernel: int, dilation: int) -> int:
    """The extent of a dilated kernel: k + (k - 1)(d - 1).

    >>> effective(3, 2)
    5
    """
    extent = kernel + (kernel - 1) * (dilation - 1)
    if extent > MAX_SIZE:
        raise OpError(
            "E901", f"a kernel of {kernel} with dilation {dilation} reaches over more than {MAX_SIZE:,} positions",
            arg="dilation",
        )  # fmt: skip
    return extent


def same_padding(kernel: tuple[int, ...], dilation: tuple[int, ...], name: str) -> tuple[Sides, ...]:
    """(k_eff - 1)/2 on each side of every axis; an even k_eff has no such padding."""
    pads = []
    for k, d in zip(kernel, dilation, strict=True):
        extent = effective(k, d)
        if extent % 2 == 0:
            reach = f"kernel {k}" if d == 1 else f"kernel {k} with dilation {d} (extent {extent})"
            half = extent // 2
            raise OpError(
                "E404", f"an even {reach} cannot be padded equally on both sides", arg=name,
                hint=f"choose one: pad=valid, pad={half}, pad=({half - 1}, {half}) or pad=same_tf",
            )  # fmt: skip
        pads.append(((extent - 1) // 2, (extent - 1) // 2))
    return tuple(pads)


def same_tf_padding(
    sizes: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[Sides, ...]:
    """TensorFlow's SAME: total = max((ceil(n/s) - 1)*s + k_eff - n, 0), the smaller half before.

    On a free size the numbers are expressions of it, unless they are the same for every size.
    """
    pads = []
    for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        total = _same_tf_total(n, effective(k, d), s)
        pads.append((total // 2, total - total // 2))
    return SameTF(pads) if any(is_free(before) or is_free(after) for before, after in pads) else tuple(pads)


def _same_tf_total(n: int, extent: int, stride: int) -> int:
    """max((ceil(n/s) - 1)*s + k_eff - n, 0), on a free size in floors alone.

    >>> all(_same_tf_total(n, k, s) == max((-(-n // s) - 1) * s + k - n, 0)
    ...     for n in range(1, 20) for k in range(1, 6) for s in range(1, 6))
    True
    >>> _same_tf_total(8, 10**9, 2 * 10**9)
    999999992
    """
    steps = (n - 1) // stride
    last = n - steps * stride  # what the last window must cover, 1 to s
    if extent >= stride:
        return extent - last
    if not is_free(n):
        return max(extent - last, 0)
    # the same: one for each number from `last` to extent - 1
    if extent > MAX_TERMS:
        raise OpError(
            "E901", f"a window of {extent} with a greater stride has no expression of its padding on a free size",
            arg="pad", hint=f"a window of at most {MAX_TERMS}, or a stride no greater than it",
        )  # fmt: skip
    return sum((stride - last + m) // stride for m in range(1, extent))


def slide(
    shape: Shape,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[Sides, ...],
    dilation: tuple[int, ...],
    *,
    ceil: bool = False,
) -> tuple[int, ...]:
    """The output sizes of a sliding window: floor((N + p - k_eff)/s) + 1 on each axis.

    With `ceil` the last window may overhang, but must start inside the input or
    the padding before it (the rule of Caffe and PyTorch).
    """
    if isinstance(pad, SameTF):  # ceil(N/s), which the sum of its expressions says at more length
        return tuple((n - 1) // s + 1 for n, s in zip(shape[1:], stride, strict=True))
    out = []
    for i, n in enumerate(shape[1:]):
        extent = effective(kernel[i], dilation[i])
        before, after = pad[i]
        room = n + before + after - extent + (stride[i] - 1 if ceil else 0)
        if room < 0:
            padded = f" padded to {n + before + after}" if before + after else ""
            grown = f"{kernel[i]} (extent {extent})" if dilation[i] > 1 else str(extent)
            raise OpError(
                "E403",
                f"the kernel {grown} is larger than its map: {by_x(shape)}{padded}, axis {_axis(i, len(shape) - 1)}",
                hint=TOO_SMALL,
            )
        if ceil:  # no window starts behind position n - 1, whatever n is
            room -= max(0, after - extent + stride[i])
        out.append(room // stride[i] + 1)
    return tuple(out)


def spread(
    shape: Shape,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[Sides, ...],
    dilation: tuple[int, ...],
    more: tuple[int, ...],
) -> tuple[int, ...]:
    """The output sizes of a transposed window: s(M - 1) + k_eff - p + `more` on each axis."""
    out = []
    for i, n in enumerate(shape[1:]):
        before, after = pad[i]
        size = stride[i] * (n - 1) + effective(kernel[i], dilation[i]) - before - after + more[i]
        if size < 1:
            raise OpError(
                "E403", f"`pad` cuts all of the output away: {size} of axis {_axis(i, len(shape) - 1)} is left",
                arg="pad",
            )  # fmt: skip
        out.append(size)
    return tuple(out)


def blocks(n: int, m: int) -> Axis | Spread | None:
    """The window where n positions become m by taking (or making) equal blocks; None where these are unequal.

    >>> blocks(14, 7), blocks(7, 14), blocks(7, 5)
    (Axis(kernel=2, stride=2, before=0, dilation=1), Spread(kernel=2, stride=2, before=0, dilation=1), None)
    """
    times = ratio(n, m)
    if times is not None:
        return Axis(times, times, 0)
    times = ratio(m, n)
    return None if times is None else Spread(times, times, 0)


def _axis(i: int, rank: int) -> str:
    return {1: ("width",), 2: ("height", "width"), 3: ("depth", "height", "width")}[rank][i]


def local(
    kernel: tuple[int, ...], stride: tuple[int, ...], pad: tuple[Sides, ...], dilation: tuple[int, ...]
) -> Local:
    """The window of a sliding kernel."""
    parts = zip(kernel, stride, pad, dilation, strict=True)
    return Local(tuple(Axis(k, s, p[0], d) for k, s, p, d in parts))


def transposed(
    kernel: tuple[int, ...], stride: tuple[int, ...], pad: tuple[Sides, ...], dilation: tuple[int, ...]
) -> Local:
    """The window of a transposed kernel."""
    parts = zip(kernel, stride, pad, dilation, strict=True)
    return Local(tuple(Spread(k, s, p[0], d) for k, s, p, d in parts))
