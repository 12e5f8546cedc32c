"""Random layer words for every op: the text a user could write, on an input of a random shape."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from hypothesis import strategies as st

from cnnc.compiler.ops.axes import LETTERS

Draw = Callable[[st.SearchStrategy[Any]], Any]
Shape = tuple[int, ...]
Words = Callable[[Draw, Shape], str]

SMALL = {0: 0, 1: 24, 2: 12, 3: 7}
"""The largest size of an axis by the number of axes."""


def shape_of(draw: Draw, kind: str, rank: int) -> Shape:
    """An input for a layer of this kind."""
    sizes = (draw(SIZES.get(kind, st.integers(LEAST.get(kind, 1), SMALL[rank]))) for _ in range(rank))
    return (draw(CHANNELS.get(kind, st.integers(1, 8))), *sizes)


def per_axis(draw: Draw, numbers: st.SearchStrategy[int], rank: int) -> str:
    """One number for all axes, or one for each: `3`, `1x7`."""
    if rank == 1 or draw(st.booleans()):
        return str(draw(numbers))
    return "x".join(str(draw(numbers)) for _ in range(rank))


def sides(draw: Draw, numbers: st.SearchStrategy[int], rank: int) -> str:
    """Padding in numbers: `1`, `1x2`, `(0, 1)`, `((0, 1), (2, 2))`."""
    form = draw(st.sampled_from(["axes", "pair", "pairs"] if rank > 1 else ["axes", "pair"]))
    if form == "axes":
        return per_axis(draw, numbers, rank)

    def pair() -> str:
        return f"({draw(numbers)}, {draw(numbers)})"

    return pair() if form == "pair" else f"({', '.join(pair() for _ in range(rank))})"


def yes_no(draw: Draw) -> str:
    return draw(st.sampled_from(["yes", "no"]))


def padding(draw: Draw, rank: int, most: int, words: tuple[str, ...] = ("same", "valid", "same_tf")) -> str:
    if draw(st.booleans()):
        return draw(st.sampled_from(words))
    return sides(draw, st.integers(0, most), rank)


def init(draw: Draw, rules: tuple[str, ...]) -> str:
    if draw(st.integers(0, 3)):
        return ""
    return f", init={draw(st.sampled_from(rules))}"


def divisor(draw: Draw, *numbers: int) -> int:
    return draw(st.sampled_from([d for d in range(1, max(numbers) + 1) if not any(n % d for n in numbers)]))


def is_odd(head: str) -> bool:
    """Whether the kernel of `conv3x5-8/1` is odd on all axes, and some axis has more than 1."""
    kernel = [int(k) for k in head.removeprefix("conv").partition("-")[0].split("x")]
    return all(k % 2 for k in kernel) and max(kernel) > 1


def reparam(draw: Draw) -> str:
    return draw(st.sampled_from(["", "", ", reparam=weight_norm", ", reparam=spectral_norm"]))


ANY_RULE = (
    "he", "he_uniform", "he(fan_out)", "xavier", "xavier_normal", "normal(0.01)", "normal(std=0.1, mean=1)",
    "truncated_normal(0.02)", "uniform(0, 1)", "constant(2)", "0.5",
)  # fmt: skip
KERNELS = st.integers(1, 5)
STRIDES = st.integers(1, 3)


def conv(draw: Draw, shape: Shape) -> str:
    rank, groups = len(shape) - 1, divisor(draw, shape[0])
    width = groups * draw(st.integers(1, 4))
    head = f"conv{per_axis(draw, KERNELS, rank)}-{width}/{per_axis(draw, STRIDES, rank)}"
    more = f", bias={yes_no(draw)}" if draw(st.booleans()) else ""
    form = draw(st.integers(0, 6))
    if form == 6:
        pad = draw(st.integers(0, min(3, *(n - 1 for n in shape[1:]))))
        mode = draw(st.sampled_from(["reflect", "replicate", "circular", "zeros"]))
        return f"{head}(pad={pad}, pad_mode={mode}, groups={groups}{more}, act=none)"
    if form in (0, 5) and is_odd(head):
        more += f", groups={groups}, mask={draw(st.sampled_from('ab'))}"
    elif form == 1:
        rows = [draw(st.text("01", min_size=width, max_size=width)) for _ in range(shape[0])]
        more += f', table="{",".join(rows)}"'
    else:
        more += f", groups={groups}, standardise={draw(STANDARDISE)}" + init(draw, ANY_RULE)
    more += "" if form == 1 else reparam(draw)
    dilation = per_axis(draw, st.integers(1, 3), rank)
    return f"{head}(pad={padding(draw, rank, 3)}, dilation={dilation}{more}, act=none)"


def beside(draw: Draw, sizes: st.SearchStrategy[int], shape: Shape) -> str:
    """A line that makes a tensor `t` of some sizes, and the head of the next."""
    return f't: adaptiveavgpool({per_axis(draw, sizes, len(shape) - 1)})\n"input" -> '


STANDARDISE = st.sampled_from(
    [
        "no",
        "no",
        "yes",
        "standardise(gain=yes)",
        "standardise(gain=yes, scale=1.7)",
        "standardise(eps=1e-3, gain=no)",
    ]
)


def dwconv(draw: Draw, shape: Shape) -> str:
    rank = len(shape) - 1
    head = f"dwconv{per_axis(draw, KERNELS, rank)}/{per_axis(draw, STRIDES, rank)}"
    if not draw(st.integers(0, 4)):
        mode = draw(st.sampled_from(["reflect", "replicate", "circular", "zeros"]))
        return f"{head}(pad={draw(st.integers(0, 2))}, pad_mode={mode}, act=none)"
    more = f"multiplier={draw(st.integers(1, 3))}, bias={yes_no(draw)}" + init(draw, ANY_RULE) + reparam(draw)
    return f"{head}(pad={padding(draw, rank, 3)}, dilation={draw(st.integers(1, 2))}, {more}, act=none)"


def sepconv(draw: Draw, shape: Shape) -> str:
    rank = len(shape) - 1
    head = f"sepconv{per_axis(draw, KERNELS, rank)}-{draw(st.integers(1, 6))}/{per_axis(draw, STRIDES, rank)}"
    more = f"multiplier={draw(st.integers(1, 3))}, bias={yes_no(draw)}" + init(draw, ANY_RULE) + reparam(draw)
    return f"{head}(pad={padding(draw, rank, 3)}, dilation={draw(st.integers(1, 2))}, {more}, act=none)"


def tconv(draw: Draw, shape: Shape) -> str:
    rank, groups = len(shape) - 1, divisor(draw, shape[0])
    stride = draw(STRIDES)
    head = f"tconv{per_axis(draw, KERNELS, rank)}-{groups * draw(st.integers(1, 4))}/{stride}"
    more = f"groups={groups}, bias={yes_no(draw)}, output_pad={draw(st.integers(0, max(stride - 1, 0)))}"
    more += init(draw, ANY_RULE) + reparam(draw)
    return f"{head}(pad={padding(draw, rank, 2, ('valid',))}, dilation={draw(st.integers(1, 2))}, {more})"


def local(draw: Draw, shape: Shape) -> str:
    rank = len(shape) - 1
    head = f"local{per_axis(draw, KERNELS, rank)}-{draw(st.integers(1, 4))}/{per_axis(draw, STRIDES, rank)}"
    more = f"bias={yes_no(draw)}" + init(draw, ("he", "normal(0.1)", "1")) + reparam(draw)
    return f"{head}(pad={padding(draw, rank, 3)}, dilation={draw(st.integers(1, 2))}, {more}, act=none)"


def pool(kind: str, *, ceil: bool = False, extra: str = "") -> Words:
    def words(draw: Draw, shape: Shape) -> str:
        rank = len(shape) - 1
        kernel = draw(KERNELS)
        sizes = str(kernel) if draw(st.booleans()) else per_axis(draw, KERNELS, rank)
        least = min(map(int, sizes.split("x")))
        stride = f"/{per_axis(draw, STRIDES, rank)}" if draw(st.booleans()) else ""
        more = f", ceil={yes_no(draw)}" if ceil else ""
        if extra:
            more += f", {extra}={yes_no(draw)}"
        return f"{kind}{sizes}{stride}(pad={padding(draw, rank, least // 2)}{more})"

    return words


def maxpool(draw: Draw, shape: Shape) -> str:
    """With a dilation, or padded by all but one place of a kernel."""
    rank = len(shape) - 1
    if draw(st.booleans()):
        return pool("maxpool", ceil=True)(draw, shape)
    kernel, dilation = draw(KERNELS), draw(st.integers(1, min(3, *shape[1:])))
    pad = draw(st.integers(0, (kernel - 1) * dilation))
    stride = per_axis(draw, STRIDES, rank)
    return f"maxpool{kernel}/{stride}(pad={pad}, dilation={dilation}, ceil={yes_no(draw)})"


def lppool(draw: Draw, shape: Shape) -> str:
    p = draw(st.sampled_from(["1", "2", "3", "1.5"]))
    return pool("lppool")(draw, shape)[:-1] + f", p={p})"


def adaptive(kind: str) -> Words:
    return lambda draw, shape: f"{kind}({per_axis(draw, st.integers(1, 9), len(shape) - 1)})"


def fractional(draw: Draw, shape: Shape) -> str:
    rank = len(shape) - 1
    kernel = per_axis(draw, st.integers(1, 2), rank)
    if draw(st.booleans()):
        return f"fractionalmaxpool{kernel}(ratio={draw(st.sampled_from(['0.3', '0.5', '0.7', '0.75']))})"
    return f"fractionalmaxpool{kernel}(out={per_axis(draw, st.integers(1, 4), rank)})"


def bare(kind: str) -> Words:
    return lambda draw, shape: kind


def one_of(*words: str) -> Words:
    return lambda draw, shape: draw(st.sampled_from(words))


def dividing(form: str) -> Words:
    """A word with a divisor of the channels in place of `{}`."""
    return lambda draw, shape: form.replace("{}", str(divisor(draw, shape[0])))


def maxout(draw: Draw, shape: Shape) -> str:
    return f"maxout({draw(st.sampled_from([d for d in range(2, shape[0] + 1) if shape[0] % d == 0] or [2]))})"


def chunk(draw: Draw, shape: Shape) -> str:
    n = divisor(draw, shape[0])
    return f"chunk({n}, {draw(st.integers(0, n - 1))})"


def fc(draw: Draw, shape: Shape) -> str:
    more = (
        f"bias={yes_no(draw)}, dropconnect={draw(st.sampled_from(['0', '0.5']))}"
        + init(draw, ANY_RULE)
        + reparam(draw)
    )
    return f"fc-{draw(st.integers(1, 20))}({more}, act=none)"


def linear(draw: Draw, shape: Shape) -> str:
    more = f", bias_init={draw(st.sampled_from(['1', 'normal(0.1)']))}" if draw(st.booleans()) else ""
    bias = "yes" if more else yes_no(draw)
    return f"linear-{draw(st.integers(1, 20))}(bias={bias}{more}{init(draw, ANY_RULE)}{reparam(draw)})"


def tensor(draw: Draw, shape: Shape) -> str:
    """Added, multiplied or joined, so that it is repeated for each image by itself or by us."""
    start = draw(
        st.sampled_from(["", "init=normal(0.1)", "init=2", "value=1", "value=3, learn=no", "learn=no"])
    )
    own = shape if draw(st.booleans()) else (shape[0], *[1] * (len(shape) - 1))
    given = ", ".join([*map(str, own), *([start] if start else [])])
    joins = "+|&" if own == shape else "&"
    pair = [f"t: tensor({given})", "id"] if draw(st.booleans()) else ["id", f"t: tensor({given})"]
    return f"[{f' {draw(st.sampled_from(joins))} '.join(pair)}]"


def attend(draw: Draw, shape: Shape) -> str:
    """With projections or none, on what flows in or on another map."""
    heads = draw(st.integers(1, 3))
    width = heads * draw(st.integers(1, 3))
    more = f"heads={heads}{draw(st.sampled_from(['', ', scale=1', ', scale=0.3']))}"
    form = draw(st.sampled_from(["bare", "self", "cross", "causal", "bias"]))
    if form == "bare":
        return f"attend(heads={divisor(draw, shape[0])}, causal={yes_no(draw)})"
    parts = [f"{x}=[linear-{width}]" for x in "qk"] + [f"v=[linear-{heads * draw(st.integers(1, 3))}]"]
    if form == "cross":
        other = "x".join(str(draw(st.integers(1, 4))) for _ in range(draw(st.integers(1, 3))))
        start = f't: tensor({width}, {", ".join(other.split("x"))}, init=1)\n"input" -> '
        return f"{start}attend({parts[0]}, k=t, v=[t -> linear-{2 * heads}], {more})"
    more += ", causal=yes" if form == "causal" else ""
    if form != "bias":
        return f"attend({', '.join(parts)}, {more})"
    sizes = [draw(st.sampled_from([1, heads])), *(draw(st.sampled_from([1, prod(shape[1:])])) for _ in "qk")]
    start = f'b: tensor({", ".join(map(str, sizes))}, init=normal(1))\n"input" -> '
    return f"{start}attend({', '.join(parts)}, {more}, bias=b)"


def recurrent(kind: str) -> Words:
    def words(draw: Draw, shape: Shape) -> str:
        layers = draw(st.integers(1, 3))
        more = f"bidirectional={yes_no(draw)}, layers={layers}, bias={yes_no(draw)}"
        more += ", dropout=0.2" if layers > 1 and draw(st.booleans()) else ""
        return f"{kind}-{draw(st.integers(1, 5))}({more})"

    return words


def upsample(draw: Draw, shape: Shape) -> str:
    rank = len(shape) - 1
    mode = draw(st.sampled_from(["nearest", {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]]))
    more = f", align_corners={yes_no(draw)}" if mode != "nearest" else ""
    if draw(st.booleans()):
        return f"upsample({per_axis(draw, STRIDES, rank)}, mode={mode}{more})"
    return f"upsample(size={per_axis(draw, st.integers(1, 9), rank)}, mode={mode}{more})"


def resize(draw: Draw, shape: Shape) -> str:
    rank = len(shape) - 1
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
    mode = draw(st.sampled_from(["nearest", "area", linear, *(["bicubic"] if rank == 2 else [])]))
    more = f", align_corners={yes_no(draw)}" if mode not in ("nearest", "area") else ""
    if mode in ("bilinear", "bicubic") and draw(st.booleans()):
        more = ", antialias=yes"
    if not draw(st.integers(0, 3)):
        return f"{beside(draw, st.integers(1, 9), shape)}resize(to=t, mode={mode}{more})"
    if draw(st.booleans()):
        return f"resize(size={per_axis(draw, st.integers(1, 9), rank)}, mode={mode}{more})"
    factors = [draw(st.sampled_from(["0.5", "1.5", "2", "1/3", "0.7", "3", "5/4"])) for _ in range(rank)]
    factor = factors[0] if draw(st.booleans()) else f"({', '.join(factors)}{',' if rank == 1 else ''})"
    return f"resize({factor}, mode={mode}{more})"


def pad(draw: Draw, shape: Shape) -> str:
    most = min(shape[1:])
    if not draw(st.integers(0, 3)):
        least = st.integers(max(shape[1:]), max(shape[1:]) + 3)
        return f"{beside(draw, least, shape)}pad(to=t, mode={draw(st.sampled_from(['zeros', 'replicate']))})"
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    numbers = st.integers(0, {"reflect": most - 1, "circular": most}.get(mode, 4))
    more = f", value={draw(st.sampled_from(['0', '1.5']))}" if mode == "zeros" else ""
    return f"pad({sides(draw, numbers, len(shape) - 1)}, mode={mode}{more})"


def crop(draw: Draw, shape: Shape) -> str:
    if not draw(st.integers(0, 3)):
        return f"{beside(draw, st.integers(1, min(shape[1:])), shape)}crop(to=t)"
    return f"crop({'x'.join(str(draw(st.integers(1, n))) for n in shape[1:])})"


def stretch(draw: Draw, shape: Shape) -> str:
    if not draw(st.integers(0, 3)):
        return f"{beside(draw, st.integers(1, 6), shape)}gap -> stretch(to=t)"
    return f"stretch({'x'.join(str(draw(st.integers(1, 6)) if n == 1 else n) for n in shape[1:])})"


def pixelshuffle(draw: Draw, shape: Shape) -> str:
    return f"pixelshuffle({per_axis(draw, st.integers(1, 3), len(shape) - 1)})"


def spacetodepth(draw: Draw, shape: Shape) -> str:
    return f"spacetodepth({'x'.join(str(divisor(draw, n)) for n in shape[1:])})"


def reshape(draw: Draw, shape: Shape) -> str:
    """The same sizes in another order, with some of them multiplied together."""
    sizes = draw(st.permutations(shape))
    cut = draw(st.integers(1, len(sizes)))
    rest = 1
    for n in sizes[cut:]:
        rest *= n
    parts = [*sizes[:cut], *([rest] if cut < len(sizes) else [])]
    form = draw(st.sampled_from(["dims", "positions", "rest"]))
    if form == "dims":
        return f"reshape({'x'.join(map(str, parts))})"
    given = [*map(str, parts)]
    if form == "rest":
        given[draw(st.integers(0, len(given) - 1))] = "_"
    return f"reshape({', '.join(given)})"


def capsule(draw: Draw, shape: Shape) -> str:
    form = f"capsule{draw(st.integers(1, 4))}-{draw(st.integers(1, 4))}"
    return f"{form}(of={divisor(draw, shape[0])}, routing={draw(st.integers(1, 3))})"


def shortcut_pad(draw: Draw, shape: Shape) -> str:
    width = shape[0] + draw(st.integers(0, 4))
    return f"shortcut_pad(width={width}, stride={per_axis(draw, STRIDES, len(shape) - 1)})"


def numbers(form: str) -> Words:
    """A word with a number, or a tuple of one for each channel, in place of `{}`."""
    some = st.sampled_from(["0.5", "-1", "2", "1/3", "1e-3"])

    def words(draw: Draw, shape: Shape) -> str:
        if draw(st.booleans()):
            return form.replace("{}", draw(some))
        each = ", ".join(draw(some) for _ in range(shape[0]))
        return form.replace("{}", f"({each},)" if shape[0] == 1 else f"({each})")

    return words


def normalize(draw: Draw, shape: Shape) -> str:
    return f"normalize(mean={numbers('{}')(draw, shape)}, std={numbers('{}')(draw, shape)})"


def ln(draw: Draw, shape: Shape) -> str:
    axis = draw(st.sampled_from(["axis=C", "axis=all", "over=channels", "over=all"]))
    return f"ln({axis}, affine={yes_no(draw)}, bias={yes_no(draw)})"


def axes(draw: Draw, shape: Shape) -> str:
    """One axis of a map, or some in parentheses."""
    some = draw(st.lists(st.sampled_from(LETTERS[len(shape) - 1]), min_size=1, unique=True))
    return some[0] if len(some) == 1 else f"({', '.join(some)})"


def along(kind: str, *, one: bool = False) -> Words:
    """A word with an axis, or with several."""

    def words(draw: Draw, shape: Shape) -> str:
        chosen = axes(draw, shape)
        return f"{kind}(axis={chosen.strip('()').partition(',')[0] if one else chosen})"

    return words


def permute(draw: Draw, shape: Shape) -> str:
    return f"permute({', '.join(draw(st.permutations(LETTERS[len(shape) - 1])))})"


def slice_(draw: Draw, shape: Shape) -> str:
    """A stretch of an axis, its ends counted from either side or left open."""
    at = draw(st.integers(0, len(shape) - 1))
    n = shape[at]
    if at and draw(st.booleans()):
        last = draw(st.sampled_from(["", ", last=yes", ", last=no"]))
        head = beside(draw, st.integers(1, n), shape)
        return f"{head}slice(to=t, axis={LETTERS[len(shape) - 1][at]}{last})"
    low = draw(st.integers(0, n - 1))
    high = draw(st.integers(low, n - 1))
    first = draw(st.sampled_from([str(low), str(low - n), *([""] if low == 0 else [])]))
    last = draw(st.sampled_from([str(high), str(high - n), *([""] if high == n - 1 and first else [])]))
    return f"slice({first}..{last}, axis={LETTERS[len(shape) - 1][at]})"


def l2norm(draw: Draw, shape: Shape) -> str:
    return draw(st.sampled_from(["l2norm", f"l2norm(axis={axes(draw, shape)})", "l2norm(eps=1e-3)"]))


def evonorm(draw: Draw, shape: Shape) -> str:
    return draw(st.sampled_from([f"evonorm(groups={divisor(draw, shape[0])})", "evonorm(form=b0, eps=1e-3)"]))


def blurpool(draw: Draw, shape: Shape) -> str:
    rank = len(shape) - 1
    return f"blurpool{per_axis(draw, KERNELS, rank)}/{per_axis(draw, STRIDES, rank)}"


def unpool(draw: Draw, shape: Shape) -> str:
    """A pool and the layer that undoes it, with values of its own between them."""
    word = pool("maxpool", ceil=True)(draw, shape)
    return f"p: {word} -> tanh -> unpool(of=p)"


def stn(draw: Draw, shape: Shape) -> str:
    mode = f"mode={draw(st.sampled_from(['bilinear', 'nearest']))}"
    border = f"border={draw(st.sampled_from(['zeros', 'border', 'reflection']))}"
    size = f", size={per_axis(draw, st.integers(2, 6), len(shape) - 1)}" if draw(st.booleans()) else ""
    inner = draw(st.sampled_from(["fc-4", "gap", "conv1-2 -> flatten"]))
    return f"stn([{inner}], {mode}, {border}, align_corners={yes_no(draw)}{size})"


PLAIN = (
    "relu", "relu6", "selu", "silu", "mish", "sigmoid", "tanh", "hardsigmoid", "hardswish", "softmax",
)  # fmt: skip
WORDS: dict[str, Words] = {
    **{word: bare(word) for word in PLAIN},
    "leaky": one_of("leaky", "leaky(0.2)"),
    "elu": one_of("elu", "elu(0.5)"),
    "gelu": one_of("gelu", "gelu(tanh=yes)"),
    "softplus": one_of("softplus", "softplus(2)"),
    "prelu": one_of("prelu", "prelu(start=0.1)", "prelu(shared=yes)"),
    "maxout": maxout,
    "squash": dividing("squash({})"),
    "conv": conv,
    "dwconv": dwconv,
    "sepconv": sepconv,
    "tconv": tconv,
    "local": local,
    "fc": fc,
    "tensor": tensor,
    "lstm": recurrent("lstm"),
    "gru": recurrent("gru"),
    "attend": attend,
    "linear": linear,
    "bias": one_of(
        "bias", "bias(init=normal(0.1))", "bias(1)", "bias(each=channel)", "bias(each=one, init=2)"
    ),
    "times": numbers("times({})"),
    "plus": numbers("plus({})"),
    "pow": one_of("pow(2)", "pow(-1)", "pow(0.5)", "pow(-0.5)", "pow(3)", "pow(1/3)"),
    **{word: bare(word) for word in ("exp", "log", "abs", "sin", "cos", "noise")},
    "clamp": one_of("clamp(0, 6)", "clamp(low=-1/2)", "clamp(high=3)", "clamp(none, 0.5)", "clamp(1, 1)"),
    "normalize": normalize,
    "rbf": one_of("rbf-10", "rbf-3(trainable=yes)"),
    "bn": one_of("bn", "bn(eps=1e-3, momentum=0.01)", "bn(affine=no)"),
    "gn": lambda draw, shape: f"gn({divisor(draw, shape[0])}, affine={yes_no(draw)}, bias={yes_no(draw)})",
    "ln": ln,
    "rmsnorm": one_of("rmsnorm", "rmsnorm(eps=1e-3)", "rmsnorm(affine=no)"),
    "l2norm": l2norm,
    "evonorm": evonorm,
    "instancenorm": one_of("instancenorm", "inorm(affine=yes)"),
    "lrn": one_of("lrn", "lrn5(k=2)", "lrn4(alpha=0.1)", "lrn3(within=yes)", "lrn5(within=yes, beta=0.5)"),
    "grn": one_of("grn", "grn(eps=1e-5)"),
    "scale": one_of(
        "scale", "scale(1e-6)", "scale(bias=yes)", "scale(0, each=one)", "scale(each=position, bias=yes)"
    ),
    "maxpool": maxpool,
    "avgpool": pool("avgpool", ceil=True, extra="count_pad"),
    "sumpool": pool("sumpool", ceil=True),
    "stochasticpool": pool("stochasticpool"),
    "subsample": pool("subsample"),
    **{word: along(word) for word in ("mean", "max", "sum")},
    "permute": permute,
    "slice": slice_,
    "softmax": along("softmax", one=True),
    "logsoftmax": along("logsoftmax", one=True),
    "lppool": lppool,
    "blurpool": blurpool,
    "gap": bare("gap"),
    "gmp": bare("gmp"),
    "adaptiveavgpool": adaptive("adaptiveavgpool"),
    "adaptivemaxpool": adaptive("adaptivemaxpool"),
    "fractionalmaxpool": fractional,
    "dropout": one_of("dropout", "dropout(0.2)", "dropout(0)"),
    "spatialdropout": one_of("spatialdropout", "spatialdropout(0.2)"),
    "droppath": one_of("droppath", "droppath(0.5)"),
    "flatten": bare("flatten"),
    "crop": crop,
    "stretch": stretch,
    "shuffle": dividing("shuffle({})"),
    "chunk": chunk,
    "squeeze": bare("squeeze"),
    "reshape": reshape,
    "upsample": upsample,
    "resize": resize,
    "pixelshuffle": pixelshuffle,
    "spacetodepth": spacetodepth,
    "pad": pad,
    "capslength": dividing("capslength({})"),
    "capsmask": dividing("capsmask({})"),
    "capsule": capsule,
    "shortcut_pad": shortcut_pad,
    "unpool": unpool,
    "stn": stn,
}
"""For every layer word's op, by kind, a strategy of words."""

CHANNELS = {"pixelshuffle": st.sampled_from([1, 4, 8, 12, 27])}
"""Channels of the input where not just any will do."""
SIZES = {"stretch": st.sampled_from([1, 1, 5])}
"""Sizes of an axis where it is one size that is changed."""
LEAST = {"fractionalmaxpool": 4, "stn": 2}
"""The smallest size of an axis where a size of 1 fits next to nothing."""
