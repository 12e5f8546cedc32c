"""Counting as other tools do, so that a paper's number can be found again: docs/differences.md says why they differ.

Each tool's rules are those of the version named in `TOOLS`, on the plain module that `cnnc compile` writes, for
one image in evaluation. They were found by running the tools on one layer at a time, and the tests run them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from cnnc.compiler.cost import Cost, costs
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.sizes import number
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record


@record
class Layer:
    """What a rule may look at: a layer, its inputs' and output's numbers of values, and its own figures."""

    node: Node
    inside: tuple[int, ...]
    out: tuple[int, ...]
    macs: int
    params: int
    bias_adds: int

    @property
    def values_in(self) -> int:
        return prod(self.inside)

    @property
    def values(self) -> int:
        return prod(self.out)

    @property
    def positions(self) -> int:
        """Positions of the output map; 1 for a vector."""
        return prod(self.out[1:])

    @property
    def weights(self) -> int:
        """Parameters but for the bias."""
        has_bias = self.bias_adds > 0
        return self.params - (self.out[0] if has_bias else 0)


Rule = Callable[[Layer], int]


def _own(layer: Layer) -> int:
    return layer.macs


def _with_bias(layer: Layer) -> int:
    return layer.macs + layer.bias_adds


def _nothing(layer: Layer) -> int:
    return 0


def _each(times: int) -> Rule:
    """So many for each value of the output."""
    return lambda layer: times * layer.values


def _each_in(times: int) -> Rule:
    """So many for each value that flows in."""
    return lambda layer: times * layer.values_in


def _params(layer: Layer) -> int:
    return layer.params


def _params_at_positions(layer: Layer) -> int:
    return layer.params * layer.positions


def _weights_at_positions(layer: Layer) -> int:
    return layer.weights * layer.positions


def _adaptive(layer: Layer) -> int:
    """thop: a window and a division for each output; the window is the ratio of the sizes, rounded down."""
    outs = layer.out[1:] or (1,) * len(layer.inside[1:])
    window = prod(i // o for i, o in zip(layer.inside[1:], outs, strict=True))
    return (window + 1) * layer.values


def _softmax(layer: Layer) -> int:
    """thop: an exponential, an addition and a division for each of the channels, less one addition."""
    channels = layer.out[0]
    return (3 * channels - 1) * (layer.values // channels)


def _by_mode(nearest: int, linear: int) -> Rule:
    return lambda layer: (
        (nearest if getattr(layer.node.op, "mode", "nearest") == "nearest" else linear) * layer.values
    )


_CONVOLUTIONS = ("conv", "dwconv", "sepconv")
_POOLS = ("maxpool", "avgpool", "gap", "gmp", "adaptiveavgpool", "adaptivemaxpool")
_QUIET = (
    "selu", "mish", "sigmoid", "tanh", "hardsigmoid", "hardswish", "softplus", "dropout", "spatialdropout", "flatten",
    "pad", "pixelshuffle", "add", "concat", "mul", "shuffle", "maxout", "crop", "chunk", "squeeze", "reshape", "droppath",
    "shortcut_pad", "logsoftmax", "spacetodepth", "relu", "relu6", "leaky", "prelu", "elu", "gelu", "silu", "softmax",
)  # fmt: skip
"""Layers without weights of which most tools see nothing."""


def _rules(**groups: tuple[tuple[str, ...], Rule]) -> dict[str, Rule]:
    rules: dict[str, Rule] = dict.fromkeys(_QUIET, _nothing)
    rules |= dict.fromkeys(
        (*_POOLS, "lrn", "upsample", "bn", "gn", "ln", "instancenorm", "bias", "scale"), _nothing
    )
    for kinds, rule in groups.values():
        rules |= dict.fromkeys(kinds, rule)
    return rules


_TORCHINFO = _rules(
    a=((*_CONVOLUTIONS, "tconv"), _params_at_positions),
    b=(
        ("fc", "linear", "bn", "gn", "ln", "instancenorm", "bias", "scale", "prelu", "local", "subsample"),
        _params,
    ),
)
_THOP = _rules(
    a=((*_CONVOLUTIONS, "fc"), _own),
    b=(("tconv",), _weights_at_positions),
    c=(("bn",), _each(4)),
    d=(("instancenorm",), _each(2)),
    e=(("prelu",), _each(1)),
    f=(("softmax",), _softmax),
    g=(("avgpool",), _each(1)),
    h=(("gap", "adaptiveavgpool"), _adaptive),
    i=(("upsample",), _by_mode(1, 11)),
    j=(("linear", "local"), _nothing),
)
_PTFLOPS = _rules(
    a=((*_CONVOLUTIONS, "fc", "tconv"), _with_bias),
    b=(("bn", "gn", "relu", "prelu", "elu", "gelu"), _each(2)),
    c=(("instancenorm", "relu6", "leaky", "silu", "softmax"), _each(1)),
    d=(_POOLS, _each_in(2)),
    e=(("upsample",), _each(2)),
    f=(("lrn",), _each(5)),
    g=(("linear",), _nothing),
    h=(("local",), _own),
)
_PTFLOPS_ATEN = _rules(
    a=((*_CONVOLUTIONS, "fc", "tconv"), _with_bias),
    b=(("linear", "local"), _own),
)
_FVCORE = _rules(
    a=((*_CONVOLUTIONS, "fc", "tconv", "linear", "local"), _own),
    b=(("bn",), _each(2)),
    c=(("gn", "ln"), _each(5)),
    d=(("instancenorm",), _each(4)),
    e=(("gap", "adaptiveavgpool"), _each_in(1)),
    f=(("upsample",), _by_mode(1, 4)),
)


@record
class Tool:
    """A tool: the version its rules are of, what it calls its count, and the rules by kind of layer (None: it counts
    parameters only). With `state_too`, running statistics are among its parameters."""

    version: str
    calls_it: str
    rules: Mapping[str, Rule] | None
    state_too: bool = False


TOOLS: Mapping[str, Tool] = {
    "fvcore": Tool("0.1.5", "flops", _FVCORE),
    "ptflops": Tool("0.7.5, its aten backend", "MACs", _PTFLOPS_ATEN),
    "ptflops-pytorch": Tool("0.7.5, its pytorch backend", "MACs", _PTFLOPS),
    "thop": Tool("0.1.1", "MACs", _THOP),
    "torchinfo": Tool("1.8.0", "mult-adds", _TORCHINFO),
    "keras": Tool("3.15", "", None, state_too=True),
}


@record
class Counted:
    """What a tool prints for a network. `operations` is None where it counts none; `beside` is what each kind of layer
    adds to the MACs (or takes from them), `unknown` the kinds whose count by this tool is not known and left out."""

    tool: str
    params: int
    operations: int | None
    macs: int
    beside: Mapping[str, int]
    unknown: tuple[str, ...]


def count_as(graph: Graph, name: str) -> Counted:
    """The totals of a tool for the module that `cnnc compile` writes. Raises CnncError (E407) for free sizes."""
    if graph.free:
        hint = "give the size: --input 3x224x224"
        raise fail("E407", f"{name} runs the network, and its input size is free", hint=hint)
    tool = TOOLS[name]
    figures = costs(graph)
    total = figures.total
    params = total.params + (total.state - _counters(graph) if tool.state_too else 0)
    if tool.rules is None:
        return Counted(name, params, None, total.macs, {}, ())
    operations, beside, unknown = 0, dict[str, int](), dict[str, None]()
    for node, cost in zip(graph.nodes, figures.nodes, strict=True):
        if node.role == "input":
            continue
        rule = tool.rules.get(node.op.kind)
        if rule is None:
            unknown[node.op.kind] = None
            continue
        found = rule(_layer(graph, node, cost))
        operations += found
        if found != cost.macs:
            beside[node.op.kind] = beside.get(node.op.kind, 0) + found - cost.macs
    return Counted(name, params, operations, total.macs, beside, tuple(unknown))


def _layer(graph: Graph, node: Node, cost: Cost) -> Layer:
    ins = graph.ins(node)
    params = sum(
        prod(map(int, shape)) for shape in node.op.params(*ins).values()
    )  # at each use of a shared module
    return Layer(
        node=node,
        inside=tuple(map(number, ins[0] if ins else ())),
        out=tuple(map(number, node.out)),
        macs=int(cost.macs),
        params=params,
        bias_adds=int(cost.flops - 2 * cost.macs),
    )


def _counters(graph: Graph) -> int:
    """The counters of batches that PyTorch's norms have, and Keras's have not."""
    from cnnc.compiler.ops.base import COUNTER

    return sum(key.endswith(COUNTER) for _, key, _ in graph.tensors())
