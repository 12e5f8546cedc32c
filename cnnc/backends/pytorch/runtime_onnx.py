"""A network as an ONNX file: torch's exporter on the emitted module, then the spec's names on what it made.

The exporter keeps the keys of the state dict as the names of weights, and notes for each node the modules that were being
called. From that a node gets the name of its layer; helpers beside it are called `LAYER/OPERATOR`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from cnnc.backends.pytorch import runtime
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.limits import Limits
from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.dsl.version import VERSION

BATCH = "batch"
MOST_BYTES = 2**31 - 1
"""Of one file of protobuf."""
_SCOPES = "pkg.torch.onnx.name_scopes"


def to_onnx(graph: Graph, state: Mapping[str, Any] | None = None) -> bytes:
    """The model in evaluation mode, with the weights of `state` or fresh ones that are the same every time.

    Inputs and outputs have the spec's names; the batch and the free sizes are symbolic. Checked by ONNX's own checker.
    Raises CnncError: E802 where torch, onnx or onnxscript is missing, E801 where the exporter cannot write the
    graph, or the file would have 2 GiB.
    """
    torch = _installed()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = runtime.module(graph, state=state).eval()
    program = _exported(graph, model)
    _tidy(program.model, graph)
    return _checked(program.model, graph)


def _installed() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        import torch
    except ImportError as error:
        hint = "pip install torch onnx onnxruntime onnxscript"
        message = f"ONNX needs torch, onnx and onnxscript: {error.name} is not installed"
        raise fail("E802", message, hint=hint) from None
    return torch


# --- the export ---------------------------------------------------------------------------


def examples(graph: Graph, batch: int = 2, sizes: Mapping[str, int] | None = None) -> list[Any]:
    """Random inputs, with free sizes as the graph was worked out for, or as given."""
    import torch

    from cnnc.compiler.sizes import number

    shapes = [graph.nodes[i].out for i in graph.inputs.values()]
    return [torch.randn(batch, *(number(n, sizes) for n in shape)) for shape in shapes]


def _exported(graph: Graph, model: Any) -> Any:
    import torch

    args = tuple(examples(graph))
    try:
        with _quiet():
            return torch.onnx.export(
                model, args, dynamo=True, optimize=False, verbose=False, dynamic_shapes=_dynamic(graph),
                input_names=list(graph.inputs), output_names=list(graph.outputs),
            )  # fmt: skip
    except Exception as error:  # the exporter's own, of many kinds
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        lines = [line for line in str(cause).splitlines() if line.strip()]
        first = lines[0][:200] if lines else type(cause).__name__
        raise fail("E801", f"torch's exporter cannot write `{graph.name}` as ONNX: {first}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says to its own developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _dynamic(graph: Graph) -> tuple[dict[int, Any], ...]:
    """For each input, the axes that are symbolic: the batch, and the free sizes by their letters."""
    from torch.export import Dim

    batch = Dim(BATCH)
    known = {limit.symbol: _dimension(limit) for limit in graph.limits}
    found: list[dict[int, Any]] = []
    for node in (graph.nodes[i] for i in graph.inputs.values()):
        axes = {0: batch}
        for axis, n in enumerate(node.out, 1):
            if repr(n) in known:
                axes[axis] = known[repr(n)]
        found.append(axes)
    return tuple(found)


def _dimension(limit: Limits) -> Any:
    """A free size for the exporter, which requires multiples to be declared."""
    from torch.export import Dim

    if not limit.remainders or limit.modulus == 1:
        return Dim(limit.symbol, min=max(limit.smallest or 1, 2))
    rest = 0 if 0 in limit.remainders else limit.remainders[0]
    whole = limit.modulus * Dim(f"_{limit.symbol}", min=1)
    return whole + rest if rest else whole


# --- names --------------------------------------------------------------------------------


def _tidy(model: Any, graph: Graph) -> None:
    """Constants worked out, biases of zeros left out, names of the spec, no word of the machine it was made on."""
    from onnxscript import optimizer

    weights = {key for _, key, _ in graph.tensors()}

    def keeps_weights(node: Any) -> bool | None:
        """False for what would turn a weight into another tensor, of no name; only its shape is looked at."""
        takes = any(x is not None and x.name in weights for x in node.inputs)
        return False if takes and node.op_type != "Shape" else None

    with _quiet():
        optimizer.fold_constants(model, onnx_shape_inference=True, should_fold=keeps_weights)
        _drop_zero_biases(model, weights)
        optimizer.remove_unused_nodes(model)
    names = _Names(graph, model)
    names.give()
    free = {limit.symbol: limit for limit in graph.limits}
    for value, index in zip(model.graph.inputs, graph.inputs.values(), strict=True):
        for axis, n in enumerate(graph.nodes[index].out, 1):
            if repr(n) in free:
                value.shape[axis] = repr(n)
    _anonymous(model)
    model.graph.name = graph.name
    model.producer_name, model.producer_version = "cnnc", VERSION


def _drop_zero_biases(model: Any, weights: Collection[str]) -> None:
    """The exporter writes a bias of zeros where a convolution has none."""
    for node in model.graph:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.inputs) == 3:
            bias = node.inputs[2]
            constant = None if bias is None or bias.name in weights else bias.const_value
            if constant is not None and not constant.numpy().any():
                node.replace_input_with(2, None)


def _anonymous(model: Any) -> None:
    for part in (model, model.graph, *model.graph, *model.graph.inputs, *model.graph.initializers.values()):
        part.metadata_props.clear()
        part.doc_string = None
    for node in model.graph:
        for value in node.outputs:
            value.metadata_props.clear()
            value.doc_string = None


class _Names:
    """Which layer each node of the ONNX graph is of."""

    _KINDS: ClassVar[Mapping[str, str]] = {
        "Add": "add",
        "Concat": "concat",
        "Mul": "multiply",
        "MatMul": "matmul",
    }
    """Joins, which are expressions in forward and no modules, by what the exporter writes for them."""

    def __init__(self, graph: Graph, model: Any) -> None:
        self.graph = graph
        self.nodes = list(model.graph)
        values = (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values())
        self.fixed = {id(value) for value in model.graph.outputs}
        self.taken = {value.name for value in values}
        self.called: dict[str, list[Node]] = defaultdict(list)
        for node in graph.layers:
            if not node.applied:
                self.called[node.module].append(node)

    def give(self) -> None:
        """Name every node and the values between."""
        names = self._of_layers() | self._of_joins()
        counts: dict[str, int] = defaultdict(int)
        for i, node in enumerate(self.nodes):
            name = names.get(i) or self._beside(node)
            counts[name] += 1
            node.name = name if counts[name] == 1 else f"{name}_{counts[name]}"
        for node in self.nodes:
            for k, value in enumerate(node.outputs):
                if id(value) not in self.fixed:
                    value.name = self._free(node.name if k == 0 else f"{node.name}:{k}")

    def _free(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _of_layers(self) -> dict[int, str]:
        """The node that gives what a layer gives, by its place: the last that the layer's module made at a use."""
        made: dict[str, dict[str, int]] = defaultdict(dict)
        for i, node in enumerate(self.nodes):
            path, operation = _scope(node)
            if path in self.called:
                made[path][operation] = i  # the last of an operation
        found: dict[int, str] = {}
        for path, operations in made.items():
            uses, places = self.called[path], list(operations.values())
            each, rest = divmod(len(places), len(uses))
            if rest == 0:
                found |= {places[(k + 1) * each - 1]: use.name for k, use in enumerate(uses)}
        return found

    def _of_joins(self) -> dict[int, str]:
        """The nodes of sums, products and concatenations, where there are as many as the spec has."""
        found: dict[int, str] = {}
        for kind, spec in self._KINDS.items():
            made: dict[str, list[int]] = defaultdict(list)
            for i, node in enumerate(self.nodes):
                path, _ = _scope(node)
                if node.op_type == kind and path not in self.called:
                    made[path].append(i)
            for path, places in made.items():
                joins = [n for n in self.graph.layers if n.op.kind == spec and _parent(n.module) == path]
                steps = [1 if kind == "Concat" else len(n.inputs) - 1 for n in joins]
                if sum(steps) == len(places):
                    ends = [sum(steps[: k + 1]) - 1 for k in range(len(steps))]
                    found |= {places[end]: join.name for end, join in zip(ends, joins, strict=True)}
        return found

    def _beside(self, node: Any) -> str:
        path, _ = _scope(node)
        return f"{path or self.graph.name}/{node.op_type}"


def _scope(node: Any) -> tuple[str, str]:
    """The module whose forward made a node, and the operation in it."""
    try:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    except (ValueError, SyntaxError):
        return "", node.name
    path = scopes[-2] if len(scopes) > 1 else ""
    return ("" if path.startswith("_empty") else path), (scopes[-1] if scopes else node.name)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


# --- what is checked ------------------------------------------------------------------------


def _checked(model: Any, graph: Graph) -> bytes:
    import onnx
    import onnx_ir

    proto = onnx_ir.serde.serialize_model(model)
    if proto.ByteSize() > MOST_BYTES:
        raise fail("E801", f"`{graph.name}` has {proto.ByteSize():,} bytes as ONNX, and a file holds 2 GiB")
    data: bytes = proto.SerializeToString(deterministic=True)
    try:
        onnx.checker.check_model(data, full_check=True)
    except Exception as error:
        raise CnncError(
            fail(
                "E801", f"ONNX's checker refuses `{graph.name}`: {str(error).splitlines()[0][:200]}"
            ).diagnostics
        ) from None
    return data


def difference(
    graph: Graph,
    data: bytes,
    state: Mapping[str, Any] | None = None,
    sizes: Sequence[Mapping[str, int]] = ({},),
) -> float | None:
    """How far onnxruntime's outputs are from the module's, in shares of the largest value; at batches of 1 and 3.

    None where onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = runtime.module(graph, state=state).eval()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        worst = 0.0
        for given in sizes:
            for batch in (1, 3):
                inputs = examples(graph, batch, given or None)
                with torch.no_grad():
                    output = model(*inputs)
                wanted = output if isinstance(output, tuple) else (output,)
                feed = {name: x.numpy() for name, x in zip(graph.inputs, inputs, strict=True)}
                for mine, theirs in zip(wanted, session.run(None, feed), strict=True):
                    scale = max(float(mine.abs().max()), 1e-30)
                    worst = max(worst, float((mine - torch.from_numpy(theirs)).abs().max()) / scale)
    return worst
