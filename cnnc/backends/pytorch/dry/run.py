"""A step of training, or a forward pass, run without values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from cnnc.backends.pytorch.dry import tensor as tensors
from cnnc.backends.pytorch.dry.autograd import Node, backward, grad_mode
from cnnc.backends.pytorch.dry.checkpointing import autocast
from cnnc.backends.pytorch.dry.ledger import STATE, Entry, Kind, Ledger, Storage
from cnnc.backends.pytorch.dry.modules import Module
from cnnc.backends.pytorch.dry.namespace import executed
from cnnc.backends.pytorch.dry.tensor import DType, Tensor, new
from cnnc.dsl.record import record

Optimiser = Literal["sgd", "sgd-momentum", "adam", "adamw"]
STATES: Mapping[str, int] = {"sgd": 0, "sgd-momentum": 1, "adam": 2, "adamw": 2}
"""How many tensors of its size an optimiser keeps for each parameter."""
DTYPES: Mapping[str, DType] = {
    "float32": tensors.float32,
    "bfloat16": tensors.bfloat16,
    "float16": tensors.float16,
}


@record
class Run:
    """What is run: `shapes` of the inputs without the batch; `optimiser` None for a forward pass alone."""

    shapes: tuple[tuple[int, ...], ...]
    batch: int
    optimiser: Optimiser | None
    dtype: str = "float32"
    amp: str | None = None
    device: Literal["cpu", "cuda"] = "cuda"
    block: int = 512
    watched: bool = False


class Program:
    """A written file, compiled once and run as often as wanted."""

    def __init__(self, source: str, model: str, others: Callable[[], Mapping[str, Any]] = dict) -> None:
        self.source, self.model, self.others = source, model, others
        self.code = compile(source, "<cnnc dry>", "exec")

    def run(self, run: Run) -> Ledger:
        """The ledger of one run."""
        ledger = Ledger(run.block)
        STATE.ledger, STATE.device, STATE.watched = ledger, run.device, run.watched
        STATE.sequence, STATE.grad, STATE.amp, STATE.cast, STATE.pack = 0, True, None, None, None
        model = executed(self.code, self.others())[self.model]()
        _step(model, run, ledger)
        return ledger


def _step(model: Module, run: Run, ledger: Ledger) -> None:
    dtype = DTYPES[run.dtype]
    _prepare(model, dtype)
    parameters = list(model.parameters())
    states = _states(parameters, run)
    ledger.where = ""
    inputs = [new((run.batch, *shape), dtype) for shape in run.shapes]
    for x in inputs:
        x.storage.entry.kind = "inputs"
    amp = DTYPES[run.amp] if run.amp else None
    ledger.begin("forward")
    if run.optimiser is None:
        model.eval()
        with grad_mode(False), autocast(amp):
            outputs = model(*inputs)
        ledger.end = len(ledger.curve)
        return
    model.train()
    with autocast(amp):
        outputs = model(*inputs)
    outputs = [t for t in (outputs if isinstance(outputs, tuple) else (outputs,)) if t.requires_grad]
    ledger.kept = sum(entry.size for entry in _kept(outputs))
    ledger.begin("backward")
    gradients = [tensors.like(t) for t in outputs]
    backward(outputs, gradients)
    del gradients, outputs
    ledger.begin("step")
    ledger.where = "the optimiser"
    _update(parameters, run)
    ledger.end = len(ledger.curve)
    del states


def _kept(outputs: Sequence[Tensor]) -> list[Entry]:
    """What the graph of the outputs holds for the backward pass, each storage once; parameters are not among it."""
    found: dict[int, Entry] = {}
    seen: set[int] = set()
    todo = [t.grad_fn for t in outputs]
    while todo:
        node = todo.pop()
        if id(node) in seen or not isinstance(node, Node):
            continue
        seen.add(id(node))
        todo += [edge[0] for edge in node.edges if edge is not None]
        for saved in node.saved:
            for storage in [saved] if isinstance(saved, Storage) else saved.inputs():
                if storage.entry.kind not in ("params", "buffers"):
                    found[id(storage)] = storage.entry
    return list(found.values())


def _prepare(model: Module, dtype: DType) -> None:
    """Paths, kinds, and the dtype of the run."""
    for path, module in model.named_modules():
        module.__dict__["_path"] = path
        if hasattr(module, "placed"):
            module.placed(path)
        own: Mapping[str, Tensor | None] = module._own
        kinds: tuple[tuple[Kind, Mapping[str, Tensor | None]], ...] = (
            ("params", own),
            ("buffers", module._buffers),
        )
        for kind, found in kinds:
            for tensor in found.values():
                if tensor is None:
                    continue
                if tensor.dtype is tensors.float32 and dtype is not tensors.float32:
                    tensor.data = new(tensor.shape, dtype)
                entry = tensor.storage.entry
                entry.kind, entry.where = kind, path


def _states(parameters: Sequence[Tensor], run: Run) -> list[Storage]:
    """What the optimiser keeps from one step to the next."""
    if run.optimiser is None:
        return []
    found = [new(p.shape, p.dtype).storage for p in parameters for _ in range(STATES[run.optimiser])]
    if run.device == "cpu" and run.optimiser in ("adam", "adamw"):
        found += [new((), tensors.float32).storage for _ in parameters]  # the count of steps, on CPUs always
    for storage in found:
        storage.entry.kind = "optimiser"
    return found


def _update(parameters: Sequence[Tensor], run: Run) -> None:
    """What the optimiser makes on the way: Adam the root of its second moments, of all parameters at once on GPUs."""
    if run.optimiser not in ("adam", "adamw"):
        return
    if run.device == "cuda":
        roots = [tensors.like(p) for p in parameters if p.grad is not None]
        del roots
        return
    for p in parameters:
        if p.grad is not None:
            root = tensors.like(p)
            quotient = tensors.like(p)
            del root, quotient
