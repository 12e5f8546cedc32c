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
    "hidden_size": "width", "width": "width",
    "kernel_size": "kernel", "kernel": "kernel", "ksize": "kernel", "pool_size": "kernel",
    "stride": "stride", "strides": "stride",
    "padding": "pad", "pad": "pad",
    "dilation": "dilation", "dilation_rate": "dilation",
    "groups": "groups", "num_groups": "groups",
    "bias": "bias", "use_bias": "bias",
    "activation": "act", "act": "act",
    "padding_mode": "pad_mode",
    "rate": "p", "p": "p", "drop_prob": "p",
    "negative_slope": "slope", "alpha": "slope",
    "scale_factor": "scale", "upscale_factor": "scale", "downscale_factor": "scale",
    "eps": "eps", "epsilon": "eps",
    "momentum": "momentum",
    "output_size": "size", "mode": "mode", "interpolation": "mode",
    "ceil_mode": "ceil", "data_format": "layout", "dim": "axis", "axis": "axis",
    "input_shape": "input", "shape": "input", "batch_input_shape": "input",
    "kernel_initializer": "init", "name": "label",
}  # fmt: skip
"""Foreign keys to the parts of a cnnc word."""

_TWINS = {
    "width": "-{v} in the word, as in conv3-64", "kernel": "in the word, as in conv3-64 or maxpool3",
    "stride": "/{v} in the word, as in conv3-64/2",
    "in": "leave it out: the channels of the input follow from what flows in",
    "act": "act={v}", "bias": "bias={v}", "pad": "pad={v}", "dilation": "dilation={v}", "groups": "groups={v}",
    "slope": "slope={v}", "p": "the first argument, without a key: ({v})", "scale": "the first argument, without a key: ({v})",
    "eps": "eps={v}", "momentum": "momentum={v}", "size": "size={v}", "mode": "mode={v}", "ceil": "ceil={v}", "axis": "axis={v}",
    "pad_mode": "pad_mode={v}", "init": "init={v}",
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
    twin = _TWINS[part].format(v=_plain(value))
    return twin if twin.startswith("leave") else f"write {twin}"


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


def _one(word: str, part: str, otherwise: str = "") -> Callable[[_Call], str]:
    def write(call: _Call) -> str:
        value = call.get(part, otherwise)
        return f"{word}({value})" if value else word

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
    put("Conv1D Conv2D Conv3D Convolution2D", _KERAS, lambda c: _convolution("conv", c, True))
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
    put("LayerNorm LayerNormalization", ("in",), _said("ln"))
    put("GroupNorm GroupNormalization", ("groups", "in"), _one("gn", "groups"))
    put("InstanceNorm1d InstanceNorm2d InstanceNorm3d", ("in",), _said("instancenorm"))
    put("LocalResponseNorm", ("kernel",), _one("lrn", "kernel", "5"))
    put("Dropout AlphaDropout", ("p",), _one("dropout", "p"))
    put(
        "Dropout1d Dropout2d Dropout3d SpatialDropout1D SpatialDropout2D SpatialDropout3D",
        ("p",),
        _one("spatialdropout", "p"),
    )
    put("DropPath StochasticDepth", ("p",), _one("droppath", "p"))
    put("LeakyReLU", ("slope",), _one("leaky", "slope"))
    put("Swish", (), _said("silu"))
    put("HSwish h_swish Hardswish", (), _said("hardswish"))
    put("Activation", ("act",), lambda c: c.get("act", "relu"))
    put(
        "Upsample UpSampling1D UpSampling2D UpSampling3D UpsamplingNearest2d",
        ("scale",),
        _one("upsample", "scale", "2"),
    )
    put("UpsamplingBilinear2d", ("scale",), lambda c: f"upsample({c.get('scale', '2')}, mode=bilinear)")
    put("PixelShuffle", ("scale",), _one("pixelshuffle", "scale", "2"))
    put("PixelUnshuffle", ("scale",), _one("spacetodepth", "scale", "2"))
    put("ZeroPad2d ZeroPadding2D ZeroPadding1D ConstantPad2d", ("pad",), _one("pad", "pad", "1"))
    put("ReflectionPad2d", ("pad",), lambda c: f"pad({c.get('pad', '1')}, mode=reflect)")
    put("ReplicationPad2d", ("pad",), lambda c: f"pad({c.get('pad', '1')}, mode=replicate)")
    put("Identity Lambda Passthrough", (), _said("id"))
    put("ChannelShuffle", ("groups",), _one("shuffle", "groups", "2"))
    put("Concatenate Concat concat cat", (), _said("[a | b]"))
    put("Add add Sum Residual residual SkipConnection", (), _said("[id + conv3-64]"))
    put("Multiply multiply mul", (), _said("[a & b]"))
    put("Sequential ModuleList Chain", (), _said("[conv3-64 -> bn -> relu]"))
    put("Input InputLayer", ("input",), _said("input 3x224x224"))
    return table


_SAYS = {
    "[a | b]": "branches in one bracket are concatenated: [a | b]",
    "[id + conv3-64]": "branches in one bracket are added: [id + conv3-64], or [a + b] with tensors",
    "[a & b]": "branches in one bracket are multiplied: [a & b]",
    "[conv3-64 -> bn -> relu]": "layers follow each other in a bracket: [conv3-64 -> bn -> relu]",
    "input 3x224x224": "the input is a statement: input 3x224x224",
}
"""What is more than a word in the place of a word."""


def layer(name: str, args: Given = ()) -> str | None:
    """The cnnc word for a layer of another library; None where the name is none.

    >>> layer("Conv2d", [(None, "3"), (None, "64"), (None, "3"), ("padding", "1")])
    'conv3-64'
    >>> layer("MaxPooling2D", [(None, "(3, 3)"), ("strides", "2")])
    'maxpool3/2'
    """
    table = _layers()
    found = table.get(name.rpartition(".")[2])
    if found is None:
        return None
    return found.write(_call(found.positions, args))


def layer_hint(name: str, args: Given = ()) -> str | None:
    """The hint for a layer of another library."""
    word = layer(name, args)
    if word is None:
        return None
    return _SAYS.get(word, f"write `{word}`")


# --- forms of a line -----------------------------------------------------------------------


@record
class Form:
    """A stretch of a line that another language writes so, what it is, and what to write."""

    start: int
    end: int
    message: str
    hint: str

    @property
    def ends_the_file(self) -> bool:
        """Whether the whole file is of another kind, so that its further mistakes say nothing."""
        return self.message in _OF_THE_FILE


_OF_THE_FILE = frozenset(["this is a mark of a merge", "this looks like Python"])
_STATEMENT = "model|input|param|default|block|shared|extern|use|output|expect"
_FORMS: tuple[tuple[str, str, str], ...] = (
    (r"^(?:<{7}|={7}|>{7}|\|{7})(?= |$)", "this is a mark of a merge", "choose one side, and delete the three marks"),
    (r"//(?!\s*\d)(?P<at>)\s*[A-Za-z].*$", "a comment begins with `#`", "write # in place of //"),
    (r";", "statements end with their line", "write a new line in place of `;`"),
    (r"\\\s*$", "a line needs no mark to go on", "leave the `\\` out: a line goes on inside brackets and after an operator"),
    (r"=>", "a chain is written with `->`", "write -> in place of =>"),
    (rf"^\s*(?P<word>{_STATEMENT})\s*:\s*\S", "`{word}` is a statement and takes no colon", "drop the colon: {word} …"),
    (r"^\s*(?P<word>Model|Input|Param|Default|Block|Shared|Extern|Use|Output|Expect|MODEL|INPUT|OUTPUT)\b", "statements are written in lower case", "write {lower}"),
    (r"^\s*param\s+(?P<name>\w+)\s*:\s*(?P<value>\S+)", "a param is given with `=`", "write param {name} = {value}"),
    (r"^\s*block\s+(?P<name>\w+)\s*(?P<args>\([^)]*\))?\s*:", "a block is given with `=`", "write block {name}{args} = …"),
    (r"^\s*block\s+(?P<name>\w+)\s+(?P<args>\w+(?:\s+\w+)*)\s*=", "a block's parameters stand in ( )", "write block {name}({commas}) = …"),
    (r"^\s*def\s+(?P<name>\w+)\s*(?P<args>\([^)]*\))?", "`def` is Python's; a template is a block", "write block {name}{args} = …"),
    (r"^\s*from\s+(?P<lib>\S+)\s+import\s+(?P<name>[\w, ]+)", "`import` is Python's", "write use {name} from {lib}"),
    (r"^\s*import\s+(?P<name>\w+)\s+from\s+(?P<lib>\S+)", "`import` is another language's", "write use {name} from {lib}"),
    (r"^\s*(?:import\s+\w+|class\s+\w+\s*[(:]|@\w+|return\b|self\.|print\()", "this looks like Python", "a .cnn file is layers: input 3x32x32, then conv3-64 -> pool -> fc-10"),
    (r"^\s*assert\s+(?P<claim>.+)$", "`assert` is Python's; a claim is `expect`", "write expect {claim}"),
    (r"^\s*for\s+(?P<name>\w+)\s+in\s+range\(\s*(?P<n>\w+)\s*\)\s*:?", "a repeat is a bracket", "write [… for {name} in 0..{last}], or […]*{n} where the turns are alike"),
    (r"range\(\s*(?P<a>\w+)\s*,\s*(?P<b>\w+)\s*\)", "a range is written a..b, both ends included", "write {a}..{last}"),
    (r"range\(\s*(?P<n>\w+)\s*\)", "a range is written a..b, both ends included", "write 0..{last}"),
    (r"^\s*-\s*\[", "this is a list of YAML", "write the layers one a line: conv3-64/2, and name what is used later: c3: conv3-64"),
    (r"^\s*-\s+(?P<layer>[A-Za-z]\S*)\s*$", "this is a list of YAML", "drop the dash: {layer}"),
    (r"^\s*\w+:\s*$", "this is a key of YAML", "a label stands before its layer, on the same line: c3: conv3-64"),
    (r"[\])]\s*[x×]\s*(?P<n>\d+)\b", "a repeat is written `*n` after a bracket", "write […]*{n}"),
    (r"(?P<layer>[A-Za-z][\w-]*)\s+(?:x\s*|×\s*)(?P<n>\d+)\s*$", "a repeat is written `*n` after a bracket", "write [{layer}]*{n}"),
    (r"(?P<head>[A-Za-z]\w*-)(?P<a>\d+)\*(?P<b>[A-Za-z_]\w*)", "arithmetic in a layer's word stands in braces", "write {head}{open}{a}*{b}{close}"),
    (r"(?P<layer>[A-Za-z][\w-]*)\s*\*\s*(?P<n>\d+)\s*$", "a repeat is written `*n` after a bracket", "write [{layer}]*{n}"),
    (r"\b(?P<n>\d+)\s*[*x×]\s*[\[(]", "a repeat is written `*n` after a bracket", "write […]*{n}"),
    (r"[)}]\s*\*\s*(?P<n>\d+)", "layers are grouped in [ ]", "write […]*{n}"),
    (r"\]\s*(?:\^|\*\*)\s*(?P<n>\d+)", "a repeat is written `*n` after a bracket", "write […]*{n}"),
    (r"'(?P<word>[^'\n]*)'", "words need no quotes, and names take \"", "write {word}"),
    (r"^\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>-?[\d._]+(?:e-?\d+)?)\s*$", "a value needs its statement", "write param {name} = {value}"),
    (r"^\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<layer>[A-Za-z\[]\S*)", "a label is given with a colon", "write {name}: {layer}"),
    (r"^\s*model\s+(?P<name>[\w.-]+[.-][\w.-]*)", "a model's name is of letters, digits and `_`", "write model {plain}"),
    (r"^\s*(?P<n>\d+)\s*:\s*(?P<layer>\S+)", "a label is a name, or quoted", 'write "{n}": {layer}'),
)  # fmt: skip


def form(line: str) -> Form | None:
    """The first habit of another language that a line shows.

    >>> form("[conv3-64] x 2").hint
    'write […]*2'
    >>> form("conv3-64 -> pool") is None
    True
    """
    bare = re.sub(r"#.*$", "", line)
    for pattern, message, hint in _FORMS:
        match = re.search(pattern, bare)
        if match is not None:
            words = _words(match.groupdict())
            return Form(*match.span(), message.format(**words), hint.format(**words))
    return None


def _words(groups: Mapping[str, str | None]) -> dict[str, str]:
    words = {name: (value or "").strip() for name, value in groups.items()}
    upper = words.get("b") or words.get("n", "")
    words["last"] = str(int(upper) - 1) if upper.isdecimal() else f"{upper}-1"
    words["lower"] = words.get("word", "").lower()
    words["commas"] = ", ".join(words.get("args", "").split())
    words["open"], words["close"] = "{", "}"
    words["plain"] = re.sub(r"\W", "_", words.get("name", ""))
    return words
