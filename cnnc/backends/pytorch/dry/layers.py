"""`torch.nn`: the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnc.backends.pytorch.dry.modules import NN, Module, known
from cnnc.backends.pytorch.dry.products import tuple_of
from cnnc.backends.pytorch.dry.register import FUNCTIONAL
from cnnc.backends.pytorch.dry.tensor import Parameter, Tensor, float32, new


def _parameter(*shape: int) -> Parameter:
    return Parameter(new(shape, float32))


# --- weighted layers --------------------------------------------------------------------


class _Conv(Module):
    rank = 2
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = tuple_of(kernel_size, self.rank), tuple_of(stride, self.rank)
        self.dilation = tuple_of(dilation, self.rank)
        self.padding = padding if isinstance(padding, str) else tuple_of(padding, self.rank)
        self.padding_mode = padding_mode
        self.output_padding = tuple_of(kwargs.get("output_padding", 0), self.rank)
        pair = (
            (in_channels, out_channels // groups)
            if self.transposed
            else (out_channels, in_channels // groups)
        )
        self.weight = _parameter(*pair, *self.kernel_size)
        self.bias = _parameter(out_channels) if bias else None

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        run = FUNCTIONAL[f"conv{self.rank}d"]
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            sides = [n for p in reversed(tuple_of(padding, self.rank)) for n in (p, p)]
            x, padding = FUNCTIONAL["pad"](x, sides, self.padding_mode), 0
        y: Tensor = run(x, weight, bias, self.stride, padding, self.dilation, self.groups)
        return y

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)


class _ConvTranspose(_Conv):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            output_padding=output_padding,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        y: Tensor = FUNCTIONAL[f"conv_transpose{self.rank}d"](
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )
        return y


@known()
class Linear(Module):
    def __init__(self, in_features: int, out_features: int, bias: bool = True, **kwargs: Any) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = _parameter(out_features, in_features)
        self.bias = _parameter(out_features) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        y: Tensor = FUNCTIONAL["linear"](input, self.weight, self.bias)
        return y


@known()
class Bilinear(Module):
    def __init__(self, a: int, b: int, out: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = _parameter(out, a, b)
        self.bias = _parameter(out) if bias else None

    def forward(self, x: Tensor, y: Tensor) -> Any:
        return FUNCTIONAL["bilinear"](x, y, self.weight, self.bias)


@known()
class Embedding(Module):
    def __init__(self, count: int, width: int, **kwargs: Any) -> None:
        super().__init__()
        self.weight = _parameter(count, width)

    def forward(self, index: Tensor) -> Any:
        return FUNCTIONAL["embedding"](index, self.weight)


# --- norms ------------------------------------------------------------------------------


class _BatchNorm(Module):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.running_mean: Tensor | None = None
        self.running_var: Tensor | None = None
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = _parameter(num_features) if affine else None
        self.bias = _parameter(num_features) if affine else None
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, new((num_features,), float32) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", _count() if track_running_stats else None)

    def forward(self, input: Tensor) -> Any:
        training = self.training or self.running_mean is None
        return FUNCTIONAL["batch_norm"](
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training,
            self.momentum,
            self.eps,
        )


def _count() -> Tensor:
    from cnnc.backends.pytorch.dry.tensor import int64

    return new((), int64)


class _InstanceNorm(_BatchNorm):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL["instance_norm"](input, None, None, self.weight, self.bias)


@known()
class GroupNorm(Module):
    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, **kwargs: Any
    ) -> None:
        super().__init__()
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = _parameter(num_channels) if affine else None
        self.bias = _parameter(num_channels) if affine and kwargs.get("bias", True) else None

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL["group_norm"](input, self.num_groups, self.weight, self.bias, self.eps)


@known()
class LayerNorm(Module):
    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True
    ) -> None:
        super().__init__()
        self.normalized_shape = tuple_of(normalized_shape, 1)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = _parameter(*self.normalized_shape) if elementwise_affine else None
        self.bias = _parameter(*self.normalized_shape) if elementwise_affine and bias else None

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL["layer_norm"](input, self.normalized_shape, self.weight, self.bias, self.eps)


@known()
class RMSNorm(Module):
    def __init__(self, normalized_shape: Any, eps: Any = None, elementwise_affine: bool = True) -> None:
        super().__init__()
        self.normalized_shape, self.eps = tuple_of(normalized_shape, 1), eps
        self.weight = _parameter(*self.normalized_shape) if elementwise_affine else None

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL["rms_norm"](input, self.normalized_shape, self.weight, self.eps)


@known()
class LocalResponseNorm(Module):
    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.numbers = (size, alpha, beta, k)

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL["local_response_norm"](input, *self.numbers)


# --- pools, dropout, padding ------------------------------------------------------------


class _Pool(Module):
    """A pool whose arguments are those of its function."""

    function = ""
    names: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        given = dict(zip(self.names, args, strict=False)) | kwargs
        self.given = given
        self.count_include_pad = given.get("count_include_pad", True)
        self.kernel_size = given.get("kernel_size")
        stride = given.get("stride")
        self.stride = self.kernel_size if stride is None else stride
        self.padding, self.ceil_mode = given.get("padding", 0), given.get("ceil_mode", False)
        self.dilation = given.get("dilation", 1)

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL[self.function](input, **self.given)


_POOLS = {
    "MaxPool": ("max_pool", "kernel_size stride padding dilation return_indices ceil_mode"),
    "AvgPool": ("avg_pool", "kernel_size stride padding ceil_mode count_include_pad divisor_override"),
    "AdaptiveAvgPool": ("adaptive_avg_pool", "output_size"),
    "AdaptiveMaxPool": ("adaptive_max_pool", "output_size return_indices"),
    "FractionalMaxPool": ("fractional_max_pool", "kernel_size output_size output_ratio"),
    "LPPool": ("lp_pool", "norm_type kernel_size stride ceil_mode"),
}


class _Dropout(Module):
    function = "dropout"

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL[self.function](input, self.p, self.training, self.inplace)


class _Pad(Module):
    mode = "constant"
    rank = 2

    def __init__(self, padding: Any, value: Any = 0) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.rank) if isinstance(padding, int) else padding

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL["pad"](input, self.padding, self.mode)


for _rank in (1, 2, 3):
    known(f"Conv{_rank}d")(type(f"Conv{_rank}d", (_Conv,), {"rank": _rank}))
    known(f"ConvTranspose{_rank}d")(type(f"ConvTranspose{_rank}d", (_ConvTranspose,), {"rank": _rank}))
    known(f"BatchNorm{_rank}d")(type(f"BatchNorm{_rank}d", (_BatchNorm,), {}))
    known(f"InstanceNorm{_rank}d")(type(f"InstanceNorm{_rank}d", (_InstanceNorm,), {}))
    known(f"Dropout{_rank}d")(type(f"Dropout{_rank}d", (_Dropout,), {"function": f"dropout{_rank}d"}))
    for _name, (_function, _names) in _POOLS.items():
        _body = {"function": f"{_function}{_rank}d", "names": tuple(_names.split())}
        known(f"{_name}{_rank}d")(type(f"{_name}{_rank}d", (_Pool,), _body))
    for _name, _mode in {
        "Zero": "constant", "Constant": "constant", "Reflection": "reflect", "Replication": "replicate",
        "Circular": "circular",
    }.items():  # fmt: skip
        known(f"{_name}Pad{_rank}d")(type(f"{_name}Pad{_rank}d", (_Pad,), {"mode": _mode, "rank": _rank}))
known("Dropout")(_Dropout)


# --- activations and the rest -----------------------------------------------------------


def _activation(name: str, function: str) -> None:
    def __init__(self: Any, *args: Any, inplace: bool = False, **kwargs: Any) -> None:
        Module.__init__(self)
        self.inplace = inplace

    def forward(self: Any, input: Tensor) -> Any:
        return FUNCTIONAL[function](input, inplace=self.inplace)

    NN[name] = type(name, (Module,), {"__init__": __init__, "forward": forward})


for _name, _function in {
    "ReLU": "relu", "ReLU6": "relu6", "SELU": "selu", "SiLU": "silu", "Mish": "mish", "Sigmoid": "sigmoid",
    "Tanh": "tanh", "Hardsigmoid": "hardsigmoid", "Hardswish": "hardswish", "LeakyReLU": "leaky_relu",
    "ELU": "elu", "CELU": "celu", "GELU": "gelu", "Softplus": "softplus", "Hardtanh": "hardtanh",
    "Softsign": "softsign", "LogSigmoid": "logsigmoid",
}.items():  # fmt: skip
    _activation(_name, _function)


@known()
class PReLU(Module):
    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.weight = _parameter(num_parameters)

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL["prelu"](input, self.weight)


@known("Softmax", "LogSoftmax", "Softmin")
class Softmax(Module):
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL["softmax"](input, self.dim)


@known()
class Flatten(Module):
    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        return input.flatten(self.start_dim, self.end_dim)


@known()
class Unflatten(Module):
    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.sizes = dim, unflattened_size

    def forward(self, input: Any) -> Any:
        return input.unflatten(self.dim, self.sizes)


@known()
class Upsample(Module):
    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__()
        self.size, self.scale_factor, self.mode = size, scale_factor, mode

    def forward(self, input: Tensor) -> Any:
        return FUNCTIONAL["interpolate"](input, self.size, self.scale_factor, self.mode)


def _shuffling(name: str, function: str) -> None:
    def __init__(self: Any, factor: int) -> None:
        Module.__init__(self)
        self.factor = factor

    def forward(self: Any, input: Tensor) -> Any:
        return FUNCTIONAL[function](input, self.factor)

    NN[name] = type(name, (Module,), {"__init__": __init__, "forward": forward})


_shuffling("PixelShuffle", "pixel_shuffle")
_shuffling("PixelUnshuffle", "pixel_unshuffle")
_shuffling("ChannelShuffle", "channel_shuffle")
