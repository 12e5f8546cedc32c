"""The analysis held against the built module: names, shapes, parameters, state, MACs; a forward and a backward.

Counts are taken on the meta device, which allocates nothing; the forward and
backward run on a real one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnc.backends.pytorch.layer import emission_of
from cnnc.backends.pytorch.runtime import module
from cnnc.backends.pytorch.weights import wanted_tensors
from cnnc.compiler.cost import costs
from cnnc.compiler.graph import Graph
from cnnc.compiler.sizes import at, is_free, number
from cnnc.dsl.diagnostics import fail

if TYPE_CHECKING:
    import torch
    from torch.utils.flop_counter import FlopCounterMode


STEPS = ("tensors", "shapes", "MACs", "forward", "backward", "sizes")
"""What is compared, in this order; the last where sizes are free."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One comparison: what, whether it is exact, and both sides in words."""

    what: str
    holds: bool
    detail: str


def verify(graph: Graph, *, device: str = "cpu", batch: int = 2) -> Iterator[Verdict]:
    """Each comparison as it is done. Needs torch.

    Raises CnncError (E801) where the graph cannot be written, (E802) without torch.
    """
    try:
        import torch
    except ImportError:
        hint = "pip install torch"
        raise fail("E802", "building a module needs torch, which is not installed", hint=hint) from None
    torch.manual_seed(0)
    with torch.device("meta"):
        built = module(graph)
    yield _tensors(graph, built)
    yield from _shapes_and_macs(graph, built)
    yield from _run(graph, device, batch)
    if graph.free:
        yield _sizes(graph, device)


def _tensors(graph: Graph, built: torch.nn.Module) -> Verdict:
    """Every parameter and buffer by name and shape."""
    wanted, unknown = wanted_tensors(graph)
    found = {
        name: tuple(tensor.shape)
        for name, tensor in built.state_dict().items()
        if not any(name.startswith(f"{prefix}.") for prefix in unknown)
    }
    wrong = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if wrong:
        name = wrong[0]
        return Verdict(
            "tensors", False, f"{name}: {wanted.get(name)} in the analysis, {found.get(name)} built"
        )
    total = costs(graph).total
    return Verdict(
        "tensors",
        True,
        f"{len(found):,} by name and shape: {total.params:,} parameters, {total.state:,} state",
    )


def _shapes_and_macs(graph: Graph, built: torch.nn.Module) -> Iterator[Verdict]:
    """The output of every module that is a layer, and the multiply-adds of one image."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils import flop_counter

    seen: dict[str, list[tuple[int, ...]]] = {}

    def watch(name: str) -> Any:
        def hook(_: object, __: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                seen.setdefault(name, []).append(tuple(output.shape[1:]))

        return hook

    for name, child in built.named_modules():
        if name:
            child.register_forward_hook(watch(name))
    built.eval().requires_grad_(False)  # the counter's hooks take no views of parameters that need gradients
    inputs = [torch.empty(1, *map(int, graph.nodes[i].out), device="meta") for i in graph.inputs.values()]
    # The counter finds the products of attention where they are not fused.
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.no_grad(),
        flop_counter.FlopCounterMode(display=False) as counter,
    ):
        output = built(*inputs)
    outputs = list(output) if isinstance(output, tuple) else [output]
    wanted: dict[str, list[tuple[int, ...]]] = {}
    for node in graph.layers:  # a shared module's at every use that calls it
        if not node.applied:
            wanted.setdefault(node.module, []).append(tuple(map(int, node.out)))
    compared = [name for name in seen if name in wanted]
    wrong = [name for name in compared if Counter(seen[name]) != Counter(wanted[name])]
    ends = [tuple(map(int, graph.nodes[i].out)) for i in graph.outputs.values()]
    found = [tuple(o.shape[1:]) for o in outputs]
    if found != ends:
        yield Verdict("shapes", False, f"outputs: {ends} in the analysis, {found} built")
    elif wrong:
        name = wrong[0]
        yield Verdict(
            "shapes", False, f"{name}: {_list(wanted[name])} in the analysis, {_list(seen[name])} built"
        )
    else:
        uses = sum(len(seen[name]) for name in compared)
        yield Verdict(
            "shapes", True, f"{_some(uses, 'output')} of modules, {_some(len(ends), 'output')} of the model"
        )
    yield _macs(graph, built, counter)


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _list(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def _macs(graph: Graph, built: torch.nn.Module, counter: FlopCounterMode) -> Verdict:
    """Multiply-adds in all, and layer by layer where a layer is a module.

    Left out is what PyTorch's counter has no number for, as its emitter says (a recurrent layer), and the sum says what
    that comes to. Any other layer that is counted differently fails.
    """
    per_node = costs(graph).nodes
    wanted: Counter[str] = Counter()
    uncounted: dict[str, str] = {}
    for node in graph.nodes:
        wanted[node.name if node.applied else node.module] += per_node[node.index].macs
        emission = emission_of(type(node.op))
        if emission is not None and not emission.counted(node.op):
            uncounted[node.module] = node.op.kind
    flops = counter.get_flop_counts()
    modules = {name for name, _ in built.named_modules() if name}
    for name in modules & wanted.keys() - uncounted.keys():
        found = sum(flops.get(f"{type(built).__name__}.{name}", {}).values()) // 2
        if int(wanted[name]) != found:
            return Verdict("MACs", False, f"{name}: {int(wanted[name]):,} in the analysis, {found:,} counted")
    left_out = sum(sum(flops.get(f"{type(built).__name__}.{name}", {}).values()) // 2 for name in uncounted)
    counted = sum(flops.get("Global", {}).values()) // 2 - left_out
    total = sum(macs for name, macs in wanted.items() if name not in uncounted)
    everything = sum(wanted.values())
    told = f"{int(everything):,}" + (f" ({everything})" if is_free(everything) else "")
    rest = ""
    if uncounted:
        some = ", ".join(f"`{name}` ({kind})" for name, kind in list(uncounted.items())[:3])
        more = f" and {len(uncounted) - 3} more" if len(uncounted) > 3 else ""
        rest = (
            f"; NOT compared: {int(everything - total):,} of {some}{more}, which torch's counter cannot see"
        )
    return Verdict(
        "MACs", int(total) == counted, f"{told} in the analysis, {counted:,} counted by torch{rest}"
    )


def _run(graph: Graph, device: str, batch: int) -> Iterator[Verdict]:
    """A forward and a backward in training mode on a real device."""
    import torch

    try:
        built = module(graph).to(device).train()
        shapes = (tuple(map(int, graph.nodes[i].out)) for i in graph.inputs.values())
        inputs = [torch.randn(batch, *shape, device=device) for shape in shapes]
        output = built(*inputs)
    except (RuntimeError, ValueError, AssertionError) as error:  # no such device, one value to a batch norm
        yield Verdict("forward", False, f"torch refuses: {_first_line(error)}")
        return
    outputs = list(output) if isinstance(output, tuple) else [output]
    finite = all(bool(torch.isfinite(o).all()) for o in outputs)
    shown = ", ".join("x".join(map(str, o.shape)) for o in outputs)
    yield Verdict(
        "forward", finite, f"{shown} on {device}" + ("" if finite else ", with values that are not finite")
    )
    if not any(o.requires_grad for o in outputs):
        yield Verdict("backward", True, "no parameters: nothing to differentiate")
        return
    loss = torch.stack([o.float().square().mean() for o in outputs]).sum()
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        yield Verdict("backward", False, f"torch refuses: {_first_line(error)}")
        return
    without = [name for name, p in built.named_parameters() if p.grad is None and p.requires_grad]
    count = sum(p.requires_grad for p in built.parameters())
    detail = (
        f"{without[0]} has no gradient" if without else f"gradients for {_some(count, 'parameter tensor')}"
    )
    yield Verdict("backward", not without, detail)


_TRIED = 3
"""Of the odd sizes, how many are run."""
_SEARCHED = range(1, 600)


def _sizes(graph: Graph, device: str) -> Verdict:
    """The module run on the smallest odd sizes that the analysis calls legal, where no odd one is on the smallest others."""
    import torch

    found = [sizes for start in (1, 2) for sizes in _legal(graph, start)][:_TRIED]
    built = module(graph).to(device).eval()
    told = []
    for sizes in found:
        shapes = [_numbers(graph, i, sizes) for i in graph.inputs.values()]
        told.append(" ".join(f"{name}={n}" for name, n in sizes.items()))
        try:
            with torch.no_grad():
                output = built(*(torch.randn(2, *shape, device=device) for shape in shapes))
        except (RuntimeError, ValueError, AssertionError) as error:
            return Verdict("sizes", False, f"{told[-1]}: torch refuses: {_first_line(error)}")
        outputs = list(output) if isinstance(output, tuple) else [output]
        ends = [_numbers(graph, i, sizes) for i in graph.outputs.values()]
        if [tuple(o.shape[1:]) for o in outputs] != ends:
            return Verdict(
                "sizes",
                False,
                f"{told[-1]}: {ends} in the analysis, {_list([tuple(o.shape[1:]) for o in outputs])} built",
            )
    if not told:
        return Verdict("sizes", False, f"no legal size below {_SEARCHED.stop} was found to run")
    return Verdict("sizes", True, f"also on {'; '.join(told)}")


def _legal(graph: Graph, start: int) -> Iterator[dict[str, int]]:
    """Free sizes that break no condition, from small to large, odd ones for `start` 1; they differ where they may."""
    conditions = list(graph.ledger.conditions.values())
    for n in _SEARCHED[start - 1 :: 2]:
        for step in (2, 0):
            sizes = {name: n + i * step for i, name in enumerate(graph.free)}
            values = ((at(c.poly, sizes), c.equal) for c in conditions)
            if all(value == 0 if equal else value >= 0 for value, equal in values):
                yield sizes
                break


def _numbers(graph: Graph, index: int, sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(number(n, sizes) for n in graph.nodes[index].out)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
