"""What people write by habit from PyTorch, Keras, YAML and Python, and the cnnc form of it.

One table that every message asks. Nothing here is accepted: an error names the form to write.
It works on texts alone and is imported only once a mistake was found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from cnnc.dsl.record import record

Given = Sequence[tuple[str | None, str]]
"""The arguments of a call as written: key (None: by position) and text."""

# --- arguments ---------------------------------------------------------------------------

_KEYS = {
    "in_channels": "in", "in_features": "in", "num_features": "in", "normalized_shape": "in", "num_channels": "in",
    "out_channels": "width", "out_features": "width", "filters": "width", "nb_filter": "width", "units": "width",
    "hidden_size": "width", "num_output": "width", "width": "width",
    "kernel_size": "kernel", "kernel": "kernel", "ksize": "kernel", "pool_size": "kernel", "local_size": "kernel",
    "stride": "stride", "strides": "stride",
    "padding": "pad", "pad": "pad",
    "dilation": "dilation", "dilation_rate": "dilation",
    "groups": "groups", "num_groups": "groups", "group": "groups",
    "bias": "bias", "use_bias": "bias",
    "activation": "act", "act": "act", "act_layer": "act", "activation_layer": "act",
    "norm_layer": "norm", "norm": "norm", "pool": "pool", "inplace": "inplace",
    "padding_mode": "pad_mode",
    "rate": "p", "p": "p", "drop_prob": "p", "dropout_ratio": "p",
    "negative_slope": "slope", "alpha": "slope",
    "scale_factor": "scale", "upscale_factor": "scale", "downscale_factor": "scale",
    "eps": "eps", "epsilon": "eps",
    "momentum": "momentum",
    "output_size": "size", "mode": "mode", "interpolation": "mode",
    "ceil_mode": "ceil", "data_format": "layout", "dim": "axis", "axis": "axis",
    "input_shape": "input", "shape": "input", "batch_input_shape": "input",
    "kernel_initializer": "init", "name": "label",
    "track_running_stats": "tracked", "batch_first": "batch_first",
}  # fmt: skip
"""Foreign keys to the parts of a cnnc word."""

_TWINS = {
    "width": "-{v} in the word, as in conv3-64", "kernel": "{v} in the word behind the layer's name, as in conv3-64, maxpool3 or lrn5",
    "stride": "/{v} in the word, as in conv3-64/2",
    "in": "leave it out: the channels of the input follow from what flows in",
    "act": "act={v}", "norm": "norm={v}", "bias": "bias={v}", "pad": "pad={v}", "dilation": "dilation={v}", "groups": "groups={v}",
    "slope": "slope={v}", "p": "the first argument, without a key: ({v})", "scale": "the first argument, without a key: ({v})",
    "eps": "eps={v}", "momentum": "momentum={v}", "size": "size={v}", "mode": "mode={v}", "ceil": "ceil={v}", "axis": "axis={v}",
    "pad_mode": "pad_mode={v}", "init": "init={v}",
    "tracked": "leave it out: running statistics are kept, and --count keras counts them",
    "batch_first": "leave it out: sizes are of one image, and the batch comes first in what is compiled",
    "inplace": "leave it out: a compiled module works in place wherever that is safe",
    "pool": "it in the layer's name: maxpool2 or avgpool2",
    "layout": "leave it out: sizes are channels x height x width", "input": "a statement at the head of the file: input 3x224x224",
    "label": "a label before the layer: {v}: …",
}  # fmt: skip


def argument(key: str, value: str) -> str | None:
    """The hint for an argument key of another library; None where it is none.

    >>> argument("negative_slope", "0.1")
    'write slope=0.1'
    """
    part = _KEYS.get(key.lower())
    if part is None:
        return None
    plain = _plain(value)
    if part in ("act", "norm"):
        plain = layer(plain) or plain.rpartition(".")[2].lower()
    elif part == "init" and "(" not in plain:
        plain = _INITS.get(plain.lower(), plain)
    twin = _TWINS[part].format(v=plain)
    if twin == f"{key}={value}":
        return None  # it is what is written: another layer has it
    return twin if twin.startswith("leave") else f"write {twin}"


_INITS = {
    "he_normal": "he", "kaiming_normal": "he", "kaiming_uniform": "he_uniform",
    "glorot_uniform": "xavier", "glorot_normal": "xavier_normal", "xavier_uniform": "xavier",
}  # fmt: skip
"""Keras's and PyTorch's rules for initial weights."""


def value(text: str) -> str | None:
    """The hint for a value of another language, `None` or `True`; None where it is none."""
    plain = _plain(text)
    return f"write {plain}" if text in ("None", "null", "True", "true", "False", "false") else None


def _plain(value: str) -> str:
    """A value of Python or YAML as cnnc writes it: `'same'` is same, `True` yes, `(3, 3)` 3x3."""
    text = value.strip().strip("'\"")
    if text in ("True", "true", "False", "false"):
        return "yes" if text.lower() == "true" else "no"
    if text in ("None", "null"):
        return "none"
    pair = re.fullmatch(r"[\[(]\s*(\d+)\s*,\s*(\d+)\s*(?:,\s*(\d+)\s*)?,?\s*[\])]", text)
    if pair is None:
        return text
    sizes = [size for size in pair.groups() if size is not None]
    return sizes[0] if len(set(sizes)) == 1 else "x".join(sizes)


# --- layers ------------------------------------------------------------------------------


@record
class _Call:
    """A foreign call's arguments by the parts of a cnnc word."""

    parts: Mapping[str, str]

    def get(self, part: str, otherwise: str = "") -> str:
        return self.parts.get(part, otherwise)


def _call(positions: Sequence[str], args: Given) -> _Call:
    parts: dict[str, str] = {}
    for i, (key, value) in enumerate(args):
        part = positions[i] if key is None and i < len(positions) else _KEYS.get((key or "").lower())
        if part is not None and part not in parts:
            parts[part] = _plain(value)
    return _Call(parts)


def _with_arguments(word: str, arguments: Sequence[str]) -> str:
    return f"{word}({', '.join(arguments)})" if arguments else word


def _stride(call: _Call, default: str = "1") -> str:
    stride = call.get("stride", default)
    return "" if stride in ("1", default) else f"/{stride}"


def _keeps_size(kernel: str, dilation: str, pad: str) -> bool:
    """Whether a padding in numbers is the one that keeps the size, which is cnnc's default."""
    if pad == "same":
        return True
    if not (kernel.isdecimal() and pad.isdecimal() and dilation.isdecimal()):
        return False
    return 2 * int(pad) == int(dilation) * (int(kernel) - 1)


def _convolution(kind: str, call: _Call, unpadded: bool) -> str:
    kernel = call.get("kernel", "3")
    word = f"{kind}{kernel}-{call.get('width', '64')}" if kind != "dwconv" else f"{kind}{kernel}"
    word += _stride(call)
    dilation = call.get("dilation", "1")
    pad = call.get("pad", "valid" if unpadded else "")
    arguments = []
    if kind == "tconv":
        arguments += [f"pad={pad}"] if pad not in ("", "0", "valid") else []
    elif pad and kernel != "1" and not _keeps_size(kernel, dilation, pad):
        arguments.append(f"pad={'valid' if pad == '0' else pad}")
    arguments += [f"dilation={dilation}"] if dilation != "1" else []
    arguments += [f"groups={call.get('groups')}"] if call.get("groups", "1") != "1" else []
    arguments += [f"bias={call.get('bias')}"] if call.get("bias") == "no" else []
    arguments += [f"act={call.get('act')}"] if call.get("act") else []
    return _with_arguments(word, arguments)


def _pool(kind: str, call: _Call) -> str:
    kernel = call.get("kernel", "2")
    pad = call.get("pad", "0")
    arguments = [] if pad in ("0", "valid") else [f"pad={pad}"]
    arguments += ["ceil=yes"] if call.get("ceil") == "yes" else []
    return _with_arguments(f"{kind}{kernel}{_stride(call, kernel)}", arguments)


def _adaptive(kind: str, whole: str, call: _Call) -> str:
    size = call.get("size", "1")
    return whole if size == "1" else f"{kind}{size}"


def _dense(call: _Call) -> str:
    word = f"fc-{call.get('width', '10')}"
    return f"{word} -> softmax" if call.get("act") == "softmax" else _with_arguments(
        word, [f"act={call.get('act')}"] if call.get("act") else []
    )  # fmt: skip


def _with_norm(call: _Call) -> str:
    kernel, width = call.get("kernel", "3"), call.get("width", "64")
    return f"conv{kernel}-{width}{_stride(call)}(norm=bn)"


def _upsample(call: _Call) -> str:
    """`upsample`, or `resize` for what only that can: a fraction, cubic weights, means."""
    scale, mode = call.get("scale", "2"), call.get("mode", "nearest")
    word = "resize" if "." in scale or mode in ("bicubic", "area") else "upsample"
    return f"{word}({scale})" if mode == "nearest" else f"{word}({scale}, mode={mode})"


def _axes(axis: str) -> str:
    """Axes of positions by number, as TensorFlow counts them, by their letters."""
    return axis if re.search("[A-Z]", axis) else "(H, W)"


def _input(call: _Call) -> str:
    """The statement: sizes with the channels first, which are the last of three where those are few."""
    sizes = re.findall(r"\d+", call.get("input"))
    if len(sizes) == 3 and int(sizes[2]) <= 4 < int(sizes[0]):
        sizes = [sizes[2], *sizes[:2]]
    return f"input {'x'.join(sizes)}" if sizes else "input 3x224x224"


def _one(word: str, part: str, otherwise: str = "") -> Callable[[_Call], str]:
    def write(call: _Call) -> str:
        value = call.get(part, otherwise)
        return f"{word}({value})" if value else word

    return write


def _dropout(word: str) -> Callable[[_Call], str]:
    """A share; one above 1 is in percent."""

    def write(call: _Call) -> str:
        share = call.get("p")
        if share.isdecimal() and 1 < int(share) < 100:
            share = f"{int(share) / 100:g}"
        return f"{word}({share})" if share else word

    return write


def _said(text: str) -> Callable[[_Call], str]:
    return lambda call: text


@record
class _Layer:
    """A layer of another library: its arguments by position, and how cnnc writes it."""

    positions: tuple[str, ...]
    write: Callable[[_Call], str]


_TORCH = ("in", "width", "kernel", "stride", "pad", "dilation", "groups", "bias")
_TORCH_T = ("in", "width", "kernel", "stride", "pad")
_KERAS = ("width", "kernel", "stride", "pad")
_POOL = ("kernel", "stride", "pad")


def _layers() -> dict[str, _Layer]:
    """By name; PyTorch's and Keras's convolutions differ in one letter's case, so names keep it."""
    table: dict[str, _Layer] = {}

    def put(names: str, positions: tuple[str, ...], write: Callable[[_Call], str]) -> None:
        table.update((name, _Layer(positions, write)) for name in names.split())

    put("Conv1d Conv2d Conv3d LazyConv2d", _TORCH, lambda c: _convolution("conv", c, True))
    put(
        "Conv1D Conv2D Conv3D Convolution2D Convolution conv2d convolution2d",
        _KERAS,
        lambda c: _convolution("conv", c, True),
    )
    put(
        "ConvTranspose1d ConvTranspose2d ConvTranspose3d", _TORCH_T, lambda c: _convolution("tconv", c, False)
    )
    put(
        "Conv2DTranspose Conv1DTranspose Conv3DTranspose Deconv Deconv2d",
        _KERAS,
        lambda c: _convolution("tconv", c, False),
    )
    put("SeparableConv2D SeparableConv1D", _KERAS, lambda c: _convolution("sepconv", c, True))
    put("DepthwiseConv2D DWConv", ("kernel", "stride", "pad"), lambda c: _convolution("dwconv", c, True))
    put(
        "MaxPool1d MaxPool2d MaxPool3d MaxPooling1D MaxPooling2D MaxPooling3D MaxPool2D",
        _POOL,
        lambda c: _pool("maxpool", c),
    )
    put(
        "AvgPool1d AvgPool2d AvgPool3d AveragePooling1D AveragePooling2D AveragePooling3D AvgPool2D",
        _POOL,
        lambda c: _pool("avgpool", c),
    )
    put(
        "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d",
        ("size",),
        lambda c: _adaptive("adaptiveavgpool", "gap", c),
    )
    put(
        "AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d",
        ("size",),
        lambda c: _adaptive("adaptivemaxpool", "gmp", c),
    )
    put(
        "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool2D",
        (),
        _said("gap"),
    )
    put("GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlobalMaxPool2D", (), _said("gmp"))
    put("Linear LazyLinear", ("in", "width"), _dense)
    put("Dense FullyConnected InnerProduct", ("width", "act"), _dense)
    put(
        "BatchNorm BatchNorm1d BatchNorm2d BatchNorm3d BatchNormalization SyncBatchNorm", ("in",), _said("bn")
    )
    put("LayerNorm LayerNormalization LayerNorm2d", ("in",), _said("ln"))
    put("GroupNorm GroupNormalization", ("groups", "in"), _one("gn", "groups"))
    put("InstanceNorm1d InstanceNorm2d InstanceNorm3d", ("in",), _said("instancenorm"))
    put("Dropout AlphaDropout", ("p",), _dropout("dropout"))
    put(
        "Dropout1d Dropout2d Dropout3d SpatialDropout1D SpatialDropout2D SpatialDropout3D",
        ("p",),
        _dropout("spatialdropout"),
    )
    put("DropPath StochasticDepth", ("p",), _dropout("droppath"))
    put("LeakyReLU", ("slope",), _one("leaky", "slope"))
    put("Swish", (), _said("silu"))
    put("HSwish h_swish Hardswish", (), _said("hardswish"))
    put("Activation", ("act",), lambda c: c.get("act", "relu"))
    put(
        "Upsample UpSampling1D UpSampling2D UpSampling3D UpsamplingNearest2d",
        ("scale",),
        _upsample,
    )
    put("UpsamplingBilinear2d", ("scale",), lambda c: f"upsample({c.get('scale', '2')}, mode=bilinear)")
    put("PixelShuffle", ("scale",), _one("pixelshuffle", "scale", "2"))
    put("PixelUnshuffle", ("scale",), _one("spacetodepth", "scale", "2"))
    put("ZeroPad2d ZeroPadding2D ZeroPadding1D ConstantPad2d", ("pad",), _one("pad", "pad", "1"))
    put("ReflectionPad2d", ("pad",), lambda c: f"pad({c.get('pad', '1')}, mode=reflect)")
    put("ReplicationPad2d", ("pad",), lambda c: f"pad({c.get('pad', '1')}, mode=replicate)")
    put("Identity Lambda Passthrough", (), _said("id"))
    put("ChannelShuffle", ("groups",), _one("shuffle", "groups", "2"))
    put("interpolate resize_images", ("", "size", "scale", "mode"), _upsample)
    put("repeat", (), _said("repeat"))
    put("print summary", (), _said("summary"))
    put("view permute transpose", (), _said("reshape"))
    put("MultiheadAttention MultiHeadAttention", (), _said("attention"))
    put("TransformerEncoderLayer TransformerBlock", (), _said("transformer"))
    put("Conv", _KERAS, _with_norm)
    put("ConvNormAct ConvBnAct Conv2dNormActivation ConvBNReLU", _TORCH, _with_norm)
    put("Pooling", _POOL, lambda c: _pool("avgpool" if c.get("pool").upper() == "AVE" else "maxpool", c))
    put("LRN LocalResponseNorm", ("kernel",), lambda c: f"lrn{c.get('kernel', '5')}")
    put("reduce_mean", ("axis",), lambda c: f"mean(axis={_axes(c.get('axis', '(H, W)'))})")
    put("Concatenate Concat concat cat concatenate hstack", (), _said("[a | b]"))
    put("Add add add_n Sum Residual residual SkipConnection skip Eltwise", (), _said("[id + conv3-64]"))
    put("Multiply multiply mul", (), _said("[a & b]"))
    put("Detect Segment YOLOLayer", (), _said("conv1-255(act=none)"))
    put("create_model", (), _said("zoo"))
    put("SqueezeExcite SqueezeExcitation SEModule SELayer SEBlock SE", (), _said("se from std"))
    put("C2f SPPF Bottleneck BasicBlock Fire Ghost", (), _said("std"))
    put("Sequential ModuleList Chain", (), _said("[conv3-64 -> bn -> relu]"))
    put("Input InputLayer", ("input",), _input)
    return table


_SAYS = {
    "[a | b]": "branches in one bracket are concatenated: [a | b]",
    "[id + conv3-64]": "branches in one bracket are added: [id + conv3-64], or [a + b] with tensors",
    "[a & b]": "branches in one bracket are multiplied: [a & b]",
    "[conv3-64 -> bn -> relu]": "layers follow each other in a bracket: [conv3-64 -> bn -> relu]",
    "conv1-255(act=none)": "a head is its last convolution, with (5 + classes) * anchors maps: conv1-255(act=none)",
    "zoo": "networks that ship are specs: cnnc summary zoo:resnet50; cnnc zoo resnet50 --copy . brings one",
    "repeat": "a repeat is written `*n` after a bracket: [conv3-64]*3",
    "summary": "leave it out: cnnc summary prints the size of every layer",
    "reshape": "write `flatten` before a fully-connected layer, or the new sizes: reshape(64x7x7), reshape(C//2, 2, _)",
    "attention": "queries, keys and values are branches: attend(q=[linear-64], k=[linear-64], v=[linear-64], heads=8)",
    "transformer": "it is a block of the library: use transformer_layer from std, then transformer_layer(8)",
    "se from std": "it is a block of the library: use se from std",
}
"""What is more than a word in the place of a word."""


def layer(name: str, args: Given = ()) -> str | None:
    """The cnnc word for a layer of another library; None where the name is none.

    >>> layer("Conv2d", [(None, "3"), (None, "64"), (None, "3"), ("padding", "1")])
    'conv3-64'
    >>> layer("MaxPooling2D", [(None, "(3, 3)"), ("strides", "2")])
    'maxpool3/2'
    """
    last = name.rpartition(".")[2]
    found = _layers().get(last)
    if found is None and (last != last.lower() or "_" in last):
        found = _by_any_spelling().get(last.replace("_", "").lower())
    if found is None:
        return None
    return found.write(_call(found.positions, args))


def _by_any_spelling() -> dict[str, _Layer]:
    """Layers by their names in small letters: `max_pool2d`, `global_avg_pool`. Convolutions differ in one letter's case."""
    table = _layers()
    found = {name.lower(): one for name, one in table.items() if "conv" not in name.lower()}
    plain = {name.removesuffix("2d"): one for name, one in found.items() if name.endswith("2d")}
    return {**plain, **found}


_HERE = re.compile(r"[a-z][\w/-]*(?:\([^()]*\))?")
"""What looks like a layer's word of cnnc."""


def is_more_than_a_word(written: str) -> bool:
    """Whether what `layer` gives is a sentence's key, a block or a statement, and not a layer's word."""
    return written in _SAYS or written == "std" or written.startswith("input ")


def of_a_module(name: str) -> bool:
    """Whether a name begins with a module of another library: `nn.Conv2d`, `tf.keras.layers.Dense`."""
    return re.fullmatch(r"(?:tf|tfa|nn|torch|F|keras|layers|slim|timm)(?:\.\w+)+", name) is not None


def layer_hint(name: str, args: Given = ()) -> str | None:
    """The hint for a layer of another library."""
    word = layer(name, args)
    if word is None:
        return None
    if word == "std":
        block = {"basicblock": "basic"}.get(name.lower(), name.lower())
        return f"it is a block of the library: use {block} from std"
    layers = [value for _, value in args]
    if word == "[conv3-64 -> bn -> relu]" and layers and all(map(_HERE.fullmatch, layers)):
        return f"layers follow each other in a bracket: [{' -> '.join(layers)}]"
    if word.startswith("input "):
        return f"the input is a statement, channels first: {word}"
    return _SAYS.get(word, f"write `{word}`")
