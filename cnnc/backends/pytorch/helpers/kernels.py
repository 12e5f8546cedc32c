"""Triton's kernels of the inference form. Maps are in rows: a pixel's channels side by side in memory."""

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None


if triton is not None:

    @triton.jit
    def activate(v, slope, ACT: tl.constexpr):
        """The activation `ACT` of a block of float32; what is not a number stays so."""
        if ACT == "relu":
            v = tl.where(v < 0.0, 0.0, v)
        elif ACT == "relu6":
            v = tl.where(v < 0.0, 0.0, tl.where(v > 6.0, 6.0, v))
        elif ACT == "leaky_relu":
            v = tl.where(v < 0.0, v * slope, v)
        elif ACT == "silu":
            v = v * tl.sigmoid(v)
        elif ACT == "hardswish":
            s = v + 3.0
            v = v * tl.where(s < 0.0, 0.0, tl.where(s > 6.0, 6.0, s)) / 6.0
        elif ACT == "sigmoid":
            v = tl.sigmoid(v)
        elif ACT == "tanh":
            v = 2.0 * tl.sigmoid(2.0 * v) - 1.0
        return v


if triton is not None:

    @triton.jit
    def finish_kernel(
        y,
        bias,
        other,
        size,
        channels,
        slope,
        ACT: tl.constexpr,
        BIAS: tl.constexpr,
        ADDS: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        """Bias, sum and activation over the maps `y`, in place."""
        first = tl.program_id(0).to(tl.int64) * BLOCK
        i = tl.arange(0, BLOCK)
        keep = i < size - first
        v = tl.load(y + first + i, mask=keep).to(tl.float32)
        if BIAS:
            c = ((first % channels).to(tl.int32) + i) % channels
            v += tl.load(bias + c, mask=keep).to(tl.float32)
        if ADDS:
            v += tl.load(other + first + i, mask=keep).to(tl.float32)
        tl.store(y + first + i, activate(v, slope, ACT), mask=keep)


if triton is not None:

    @triton.jit
    def scale_kernel(
        x,
        y,
        factor,
        offset,
        pixels,
        channels,
        step,
        ACT: tl.constexpr,
        PIXELS: tl.constexpr,
        CHANNELS: tl.constexpr,
    ):
        """A factor and an offset for each channel; pixels of `x` are `step` apart."""
        p = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
        c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
        inside = c < channels
        keep = (p < pixels)[:, None] & inside[None, :]
        v = tl.load(x + p[:, None] * step + c[None, :], mask=keep).to(tl.float32)
        v *= tl.load(factor + c, mask=inside).to(tl.float32)[None, :]
        v += tl.load(offset + c, mask=inside).to(tl.float32)[None, :]
        at = y + p[:, None] * channels + c[None, :]
        tl.store(at, activate(v, 0.0, ACT), mask=keep)


if triton is not None:

    @triton.jit
    def pool_kernel(
        x,
        y,
        pixels,
        channels,
        height,
        width,
        rows,
        columns,
        step,
        K0: tl.constexpr,
        K1: tl.constexpr,
        S0: tl.constexpr,
        S1: tl.constexpr,
        P0: tl.constexpr,
        P1: tl.constexpr,
        PIXELS: tl.constexpr,
        CHANNELS: tl.constexpr,
    ):
        """The largest of each window; what is not a number is larger than all."""
        p = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
        c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
        keep = (p < pixels)[:, None] & (c < channels)[None, :]
        image, place = p // (rows * columns), p % (rows * columns)
        top, left = place // columns * S0 - P0, place % columns * S1 - P1
        largest = tl.full((PIXELS, CHANNELS), float("-inf"), tl.float32)
        for i in tl.static_range(K0):
            for j in tl.static_range(K1):
                h, w = top + i, left + j
                on_map = (h >= 0) & (h < height) & (w >= 0) & (w < width)
                at = ((image * height + h) * width + w).to(tl.int64) * step
                mask = keep & on_map[:, None]
                v = tl.load(
                    x + at[:, None] + c[None, :], mask=mask, other=float("-inf")
                )
                largest = tl.maximum(
                    largest, v.to(tl.float32), propagate_nan=tl.PropagateNan.ALL
                )
        at = y + p.to(tl.int64)[:, None] * channels + c[None, :]
        tl.store(at, largest, mask=keep)


if triton is not None:

    @triton.jit
    def depthwise_kernel(
        x,
        weight,
        bias,
        other,
        y,
        pixels,
        channels,
        height,
        width,
        rows,
        columns,
        step,
        slope,
        K0: tl.constexpr,
        K1: tl.constexpr,
        S0: tl.constexpr,
        S1: tl.constexpr,
        P0: tl.constexpr,
        P1: tl.constexpr,
        D0: tl.constexpr,
        D1: tl.constexpr,
        ACT: tl.constexpr,
        BIAS: tl.constexpr,
        ADDS: tl.constexpr,
        PIXELS: tl.constexpr,
        CHANNELS: tl.constexpr,
    ):
        """A filter for each channel, then bias, sum and activation.

        `weight` has the channels innermost: a row for each place of the filter.
        """
        p = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
        c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
        inside = c < channels
        keep = (p < pixels)[:, None] & inside[None, :]
        image, place = p // (rows * columns), p % (rows * columns)
        top, left = place // columns * S0 - P0, place % columns * S1 - P1
        total = tl.zeros((PIXELS, CHANNELS), tl.float32)
        for i in tl.static_range(K0):
            for j in tl.static_range(K1):
                h, w = top + i * D0, left + j * D1
                on_map = (h >= 0) & (h < height) & (w >= 0) & (w < width)
                at = ((image * height + h) * width + w).to(tl.int64) * step
                mask = keep & on_map[:, None]
                v = tl.load(x + at[:, None] + c[None, :], mask=mask, other=0.0)
                k = tl.load(weight + (i * K1 + j) * channels + c, mask=inside)
                total += v.to(tl.float32) * k.to(tl.float32)[None, :]
        if BIAS:
            total += tl.load(bias + c, mask=inside).to(tl.float32)[None, :]
        at = p.to(tl.int64)[:, None] * channels + c[None, :]
        if ADDS:
            total += tl.load(other + at, mask=keep).to(tl.float32)
        tl.store(y + at, activate(total, slope, ACT), mask=keep)


if triton is not None:

    @triton.jit
    def product_kernel(
        x,
        weight,
        bias,
        other,
        y,
        factor,
        offset,
        pixels,
        outs,
        ins,
        height,
        width,
        rows,
        columns,
        step,
        slope,
        S0: tl.constexpr,
        S1: tl.constexpr,
        BEFORE: tl.constexpr,
        ACT: tl.constexpr,
        BIAS: tl.constexpr,
        ADDS: tl.constexpr,
        EVEN: tl.constexpr,
        PIXELS: tl.constexpr,
        OUTS: tl.constexpr,
        INS: tl.constexpr,
    ):
        """A 1x1 convolution as a matrix product, then bias, sum and activation.

        With an activation `BEFORE` the maps are first scaled by the `factor` of each
        channel and moved by its `offset`. `EVEN`: `INS` divides the input channels.
        """
        blocks = tl.cdiv(outs, OUTS)
        p = tl.program_id(0) // blocks * PIXELS + tl.arange(0, PIXELS)
        o = tl.program_id(0) % blocks * OUTS + tl.arange(0, OUTS)
        k = tl.arange(0, INS)
        source = p
        if S0 * S1 != 1:
            image, place = p // (rows * columns), p % (rows * columns)
            h, w = place // columns * S0, place % columns * S1
            source = (image * height + h) * width + w
        xs = x + source.to(tl.int64)[:, None] * step + k[None, :]
        ws = weight + o[None, :] * ins + k[:, None]
        on_map, inside = (p < pixels)[:, None], (o < outs)[None, :]
        total = tl.zeros((PIXELS, OUTS), tl.float32)
        for first in range(0, ins, INS):
            if EVEN:
                a = tl.load(xs, mask=on_map, other=0.0)
                b = tl.load(ws, mask=inside, other=0.0)
            else:
                left = k < ins - first
                a = tl.load(xs, mask=on_map & left[None, :], other=0.0)
                b = tl.load(ws, mask=inside & left[:, None], other=0.0)
            if BEFORE != "":
                left = k < ins - first
                f = tl.load(factor + first + k, mask=left, other=0.0).to(tl.float32)
                m = tl.load(offset + first + k, mask=left, other=0.0).to(tl.float32)
                v = a.to(tl.float32) * f[None, :] + m[None, :]
                a = activate(v, 0.0, BEFORE).to(x.dtype.element_ty)
            total = tl.dot(a, b, total)
            xs += INS
            ws += INS
        if BIAS:
            v = tl.load(bias + o, mask=o < outs, other=0.0)
            total += v.to(tl.float32)[None, :]
        at = p.to(tl.int64)[:, None] * outs + o[None, :]
        keep = on_map & inside
        if ADDS:
            total += tl.load(other + at, mask=keep).to(tl.float32)
        tl.store(y + at, activate(total, slope, ACT), mask=keep)


if triton is not None:

    @triton.jit
    def row_kernel(
        x,
        weight,
        bias,
        y,
        pixels,
        outs,
        height,
        width,
        rows,
        columns,
        slope,
        C: tl.constexpr,
        K0: tl.constexpr,
        K1: tl.constexpr,
        S0: tl.constexpr,
        S1: tl.constexpr,
        P0: tl.constexpr,
        P1: tl.constexpr,
        ACT: tl.constexpr,
        BIAS: tl.constexpr,
        PIXELS: tl.constexpr,
        OUTS: tl.constexpr,
        RUN: tl.constexpr,
    ):
        """A convolution of few channels, then bias and activation.

        A row of a window is one run of `K1 * C` values in memory, so that the whole is
        `K0` matrix products.
        """
        blocks = tl.cdiv(outs, OUTS)
        p = tl.program_id(0) // blocks * PIXELS + tl.arange(0, PIXELS)
        o = tl.program_id(0) % blocks * OUTS + tl.arange(0, OUTS)
        k = tl.arange(0, RUN)
        image, place = p // (rows * columns), p % (rows * columns)
        top, left = place // columns * S0 - P0, place % columns * S1 - P1
        along = left[:, None] * C + k[None, :]
        on_row = (along >= 0) & (along < width * C) & (k < K1 * C)[None, :]
        in_filter = (k < K1 * C)[:, None] & (o < outs)[None, :]
        total = tl.zeros((PIXELS, OUTS), tl.float32)
        for i in range(K0):
            h = top + i
            on_map = (p < pixels) & (h >= 0) & (h < height)
            start = (image * height + h) * (width * C)
            a = tl.load(
                x + start[:, None] + along, mask=on_row & on_map[:, None], other=0.0
            )
            ws = weight + o[None, :] * (K0 * K1 * C) + i * K1 * C + k[:, None]
            b = tl.load(ws, mask=in_filter, other=0.0)
            total = tl.dot(a, b, total)
        if BIAS:
            v = tl.load(bias + o, mask=o < outs, other=0.0)
            total += v.to(tl.float32)[None, :]
        at = p.to(tl.int64)[:, None] * outs + o[None, :]
        keep = (p < pixels)[:, None] & (o < outs)[None, :]
        tl.store(y + at, activate(total, slope, ACT), mask=keep)


def __getattr__(name: str) -> None:
    """No kernel without Triton: modules that import one have a plain path beside it."""
    if triton is not None or not name.endswith("_kernel"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
