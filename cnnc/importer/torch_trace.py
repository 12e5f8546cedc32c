"""A live module to a trace, by `torch.export`. Runs the module's code, and imports torch."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnc.dsl.diagnostics import fail
from cnnc.importer.stack import line_of
from cnnc.importer.torch_build import TheirError
from cnnc.importer.traced import Held, Ref, Shape, Step, Traced, Where, pruned

if TYPE_CHECKING:
    import torch

BATCH = 2
"""Images that are traced: a batch of 1 would look like any axis of size 1."""

MOST_VALUES = 1 << 16
_DROPS = {"DropPath": "drop_prob", "StochasticDepth": "p", "DropPath2d": "drop_prob"}
"""Classes that leave no operator in evaluation, and where they keep their probability."""
_CASTS = {"to", "_to_copy", "type_as", "half", "bfloat16"}


def trace_with_heads(module: torch.nn.Module, shapes: Sequence[Shape], name: str, origin: str = "") -> Traced:
    """The module in evaluation; or in training, where that uses tensors that evaluation does not: auxiliary heads."""
    plain = trace(module, shapes, name, origin)
    unused = plain.unused()
    if not unused:
        return plain
    training = trace(module, shapes, name, origin, training=True)
    return training if len(training.unused()) < len(unused) else plain


def trace(
    module: torch.nn.Module, shapes: Sequence[Shape], name: str, origin: str = "", *, training: bool = False
) -> Traced:
    """The module on images of these shapes without a batch, in evaluation or in training, which has auxiliary heads.

    Raises what the module's own code raises.
    """
    inputs = _zeros(module, shapes)
    with _mode(module, training=training):
        macs = _macs(module, inputs)
        traced = _read(_exported(module, inputs), module, name, origin, macs)
    return replace(traced, evaluation=not training)


def _zeros(module: torch.nn.Module, shapes: Sequence[Shape]) -> tuple[torch.Tensor, ...]:
    """A batch for each input, of the module's device and type."""
    import torch

    device = next((t.device for t in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    return tuple(torch.zeros((BATCH, *shape), device=device, dtype=_kind(module)) for shape in shapes)


def _kind(module: torch.nn.Module) -> torch.dtype:
    """The type of a module's numbers."""
    import torch

    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


@contextmanager
def _mode(module: torch.nn.Module, *, training: bool) -> Iterator[None]:
    """Put a module into training or evaluation, and every part of it back as it was.

    Attention runs by its usual operators meanwhile: its fast path is one operator, which torch counts as nothing.
    """
    import torch

    was = {child: child.training for child in module.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        module.train(training)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for child, before in was.items():
            child.training = before


def _exported(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
    """The program, every path that is dropped at random marked in it. Raises CnncError (E805) where there is none."""
    import torch

    try:
        with _marked(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(module, inputs, strict=False)
    except Exception as error:
        place = line_of("".join(traceback.format_tb(error.__traceback__)))
        told = str(error).strip().partition("\n")[0]
        hint = (
            "what runs must not depend on the values that flow"
            if "data-dependent" in str(error).lower()
            else None
        )
        where = f", at {place}" if place else ""
        raise fail("E805", f"torch.export cannot follow the module{where}: {told}"[:400], hint=hint) from None


def limits(
    module: torch.nn.Module, sizes: Sequence[tuple[int | str, ...]], shapes: Sequence[Shape]
) -> dict[str, int]:
    """The least that each size that is a letter may be, by an export that leaves it open. `shapes` are an example.

    Raises CnncError (E805) where the export fixes or bounds one.
    """
    import torch
    from torch.export import Dim

    inputs = _zeros(module, shapes)
    free = tuple({i + 1: Dim.DYNAMIC for i, n in enumerate(size) if isinstance(n, str)} for size in sizes)
    try:
        with _mode(module, training=False), _marked(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, inputs, dynamic_shapes=free, strict=False)
    except Exception as error:
        told = [line.strip(" -") for line in str(error).splitlines() if "specializ" in line] or [str(error)]
        raise _fixed(told[-1].strip().partition("\n")[0]) from None
    least: dict[str, int] = {}
    values = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"][-len(sizes) :]
    for size, value in zip(sizes, values, strict=True):
        for letter, n in zip(size, value.shape[1:], strict=True):
            if isinstance(letter, str):
                bounds = program.range_constraints.get(getattr(getattr(n, "node", None), "expr", None))
                if bounds is None or bounds.upper < 1 << 30:
                    raise _fixed(
                        f"{letter} is {n}" if bounds is None else f"{letter} is at most {bounds.upper}"
                    )
                least[letter] = max(least.get(letter, 0), int(bounds.lower))
    return least


def _fixed(why: str) -> Exception:
    return fail(
        "E805",
        f"the sizes cannot be free, says torch.export: {why}"[:300],
        hint="give numbers: --input 3x224x224",
    )


@contextmanager
def _marked(module: torch.nn.Module) -> Iterator[None]:
    """Let modules that drop whole paths, and helpers of cnnc's own, leave an operator of their own."""
    from cnnc.importer import torch_helpers

    marker = _marker()
    changed = []
    known: dict[type, bool] = {}
    for child in module.modules():
        leaf = torch_helpers.leaf(child, known)
        if leaf is not None:
            child.forward = torch_helpers.marked(child, leaf)
            changed.append(child)
    for child in module.modules():
        key = _DROPS.get(type(child).__name__)
        p = getattr(child, key, None) if key is not None else None
        if p is not None and getattr(child, "mode", "row") == "row":
            child.forward = lambda x, p=float(p): marker(x, p)
            changed.append(child)
    try:
        yield
    finally:
        for child in changed:
            del child.forward


def _marker() -> Any:
    """`cnnc::droppath`, which passes its input on."""
    import torch

    if not hasattr(torch.ops.cnnc, "droppath"):
        made = torch.library.custom_op(
            "cnnc::droppath", lambda x, p: x.clone(), mutates_args=(), schema="(Tensor x, float p) -> Tensor"
        )
        made.register_fake(lambda x, p: torch.empty_like(x))
    return torch.ops.cnnc.droppath


def counted_macs(module: torch.nn.Module, shape: Shape) -> int | None:
    """Multiply-adds of one image, of a shape with the batch, by a module on meta."""
    import torch

    return _macs(module, (torch.zeros(shape, device="meta"),))


def _macs(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> int | None:
    """Multiply-adds of one image as torch's counter has them; buffers are as before. Raises TheirError."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    before = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    # The counter's hooks fail on a view of a parameter, which has no function of its gradient here.
    learnt = [p for p in module.parameters() if p.requires_grad]
    for p in learnt:
        p.requires_grad_(False)
    try:
        with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module(*inputs)
    except Exception as error:
        raise TheirError("the module failed on an input of zeros", error) from None
    finally:
        with torch.no_grad():
            for buffer, values in before:
                buffer.copy_(values)
        for p in learnt:
            p.requires_grad_(True)
    return int(counter.get_total_flops()) // 2 // BATCH


def _read(program: Any, module: torch.nn.Module, name: str, origin: str, macs: int | None) -> Traced:
    from cnnc.importer import torch_helpers

    state = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    tied = _tied(module)
    held, inputs = _held(program)
    held = {name: replace(one, key=tied.get(one.key, one.key)) for name, one in held.items()}
    kind = _kind(module)
    steps = tuple(_step(node, kind) for node in program.graph.nodes if node.op == "call_function")
    traced = Traced(
        name=name, inputs=inputs, held=held, steps=steps, outputs=_outputs(program), batch=BATCH, state=state,
        learnt=frozenset(key for key, _ in module.named_parameters(remove_duplicate=False)),
        classes={path: type(child).__name__ for path, child in module.named_modules() if path}, tied=tied, macs=macs, origin=origin,
        live=module,
    )  # fmt: skip
    return torch_helpers.joined(traced, module)


def _tied(module: torch.nn.Module) -> dict[str, str]:
    """Keys of the state dict that are the same tensor as an earlier one."""
    first: dict[int, str] = {}
    tied = {}
    for key, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) in first:
            tied[key] = first[id(tensor)]
        first.setdefault(id(tensor), key)
    return tied


def _held(program: Any) -> tuple[dict[str, Held], dict[str, Shape]]:
    """The tensors that the program holds, and its inputs, by the names of their nodes."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    held: dict[str, Held] = {}
    inputs: dict[str, Shape] = {}
    for spec in program.graph_signature.input_specs:
        node = nodes.get(getattr(spec.arg, "name", ""))
        kind = spec.kind.name
        if node is None or not hasattr(node.meta.get("val"), "shape"):
            continue
        shape = tuple(map(int, node.meta["val"].shape))
        if kind == "USER_INPUT":
            inputs[node.name] = shape
            continue
        role = {"PARAMETER": "parameter", "BUFFER": "buffer"}.get(kind, "constant")
        kept = role == "parameter" or (role == "buffer" and bool(spec.persistent))
        values = None if role == "parameter" else _values(program, spec.target)
        held[node.name] = Held(node.name, role, spec.target, shape, kept, values)  # type: ignore[arg-type]
    return held, inputs


def _values(program: Any, target: str) -> tuple[float, ...] | None:
    return _listed(program.constants.get(target, program.state_dict.get(target)))


def _listed(found: torch.Tensor | None) -> tuple[float, ...] | None:
    """The numbers of a tensor in order, where they are few and known."""
    if found is None or found.device.type == "meta" or found.numel() > MOST_VALUES:
        return None
    return tuple(float(x) for x in found.reshape(-1).tolist())


def with_values(traced: Traced, build: Callable[[], torch.nn.Module]) -> Traced:
    """The trace with the numbers of buffers that the state dict lacks, which a module built on meta does not have."""
    used = {name for step in pruned(traced) for name in step.refs()}
    lacking = {
        name: held
        for name, held in traced.held.items()
        if name in used and held.role == "buffer" and not held.kept and held.values is None
    }
    if not lacking:
        return traced
    buffers = dict(build().named_buffers(remove_duplicate=False))
    found = {name: replace(held, values=_listed(buffers.get(held.key))) for name, held in lacking.items()}
    return replace(traced, held={**traced.held, **found})


def _outputs(program: Any) -> dict[str, Ref]:
    """The outputs by the names that the module gives them: keys of a dict, fields of a named tuple, a number.

    What is None is none. Raises CnncError (E805) for a number or a text, and where there is no tensor.
    """
    import torch.utils._pytree as pytree

    outputs = [spec.arg for spec in program.graph_signature.output_specs if spec.kind.name == "USER_OUTPUT"]
    plain = [repr(arg.value) for arg in outputs if getattr(arg, "value", None) is not None]
    if plain:
        raise fail("E805", f"the module gives {plain[0]}, which is no tensor")
    names = [None if hasattr(arg, "value") else arg.name for arg in outputs]
    if not any(names):
        raise fail("E805", "the module gives no tensor")
    if len(names) == 1 and names[0] is not None:
        return {"output": Ref(names[0])}
    tree = pytree.tree_unflatten(names, program.call_spec.out_spec)
    paths, _ = pytree.tree_flatten_with_path(tree)
    found: dict[str, Ref] = {}
    for path, name in paths:
        if name is None:
            continue
        steps = [str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", "")))) for k in path]
        label = "_".join(steps)
        found[label if label.isidentifier() else f"output{label}"] = Ref(name)
    return found


def _step(node: Any, kind: torch.dtype) -> Step:
    target = node.target
    if not hasattr(target, "_schema"):  # operator.getitem, or arithmetic on sizes
        names = (
            ("x", "index") if target.__name__ == "getitem" else tuple(f"a{i}" for i in range(len(node.args)))
        )
        args = {name: _argument(value) for name, value in zip(names, node.args, strict=True)}
        return Step(node.name, target.__name__, args, _shapes(node), _where(node))
    schema = target._schema.arguments
    args = {a.name: _argument(value) for a, value in zip(schema, node.args, strict=False)}
    args |= {key: _argument(value) for key, value in node.kwargs.items()}
    namespace, _, op = target._schema.name.partition("::")
    in_place = op.endswith("_") and not op.endswith("__")
    op = op.rstrip("_") if in_place else op
    op = op if namespace == "aten" else f"{namespace}_{op}"
    return Step(
        node.name,
        "half" if op in _CASTS and _rounds(node, kind) else op,
        args,
        _shapes(node),
        _where(node),
        in_place,
    )


def _rounds(node: Any, kind: torch.dtype) -> bool:
    """Whether a cast is to a half type, of values that have more digits, in a module that is not of that type."""
    before, after = node.args[0].meta["val"].dtype, node.meta["val"].dtype
    is_half = [found.is_floating_point and found.itemsize <= 2 for found in (before, after)]
    return is_half == [False, True] and after is not kind


def _argument(value: Any) -> Any:
    if hasattr(value, "op") and hasattr(value, "target"):
        return Ref(value.name)
    if isinstance(value, list | tuple):
        return [_argument(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _shapes(node: Any) -> tuple[Shape | None, ...]:
    value = node.meta.get("val")
    values = value if isinstance(value, list | tuple) else (value,)
    return tuple(tuple(map(int, v.shape)) if hasattr(v, "shape") else None for v in values)


_CALL = re.compile(r"@(\d+)$")


def _where(node: Any) -> Where:
    stack: Mapping[str, tuple[str, str]] = node.meta.get("nn_module_stack") or {}
    if not stack:
        return Where(line=line_of(node.meta.get("stack_trace") or ""))
    key, (path, kind) = list(stack.items())[-1]
    call = _CALL.search(key)
    kind = kind if isinstance(kind, str) else kind.__name__
    return Where(
        path,
        kind.rpartition(".")[2],
        int(call[1]) if call else 0,
        line_of(node.meta.get("stack_trace") or ""),
    )
