"""From a syntax tree to the graph: the order of the passes, in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnc.compiler.allow import accepted
from cnnc.compiler.graph import Block, Fitted, Graph, Node, Scope
from cnnc.compiler.symbolic import Sourced
from cnnc.compiler.walk.again import settle_reuses
from cnnc.compiler.walk.declare import declare
from cnnc.compiler.walk.default_activations import Consumers, settle_defaults
from cnnc.compiler.walk.draft import Draft
from cnnc.compiler.walk.draft import Scope as DraftScope
from cnnc.compiler.walk.elaborate import Walk, Walked
from cnnc.compiler.walk.fit import settle_fits
from cnnc.compiler.walk.layers import MAX_LAYERS
from cnnc.compiler.walk.library import library_of
from cnnc.compiler.walk.naming import assign_names
from cnnc.compiler.walk.references import Reference, References
from cnnc.compiler.walk.smallest import with_smallest_input
from cnnc.compiler.walk.values import FileScope, InputSizes, LabelScope, Value, in_graph, render_trace
from cnnc.compiler.walk.warn import warnings
from cnnc.dsl import syntax as s
from cnnc.dsl.deep import deep
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.record import record

if TYPE_CHECKING:
    from cnnc.compiler.heads import Heads


@deep
def build(
    spec: s.Spec,
    *,
    stem: str = "net",
    sizes: InputSizes | None = None,
    params: Mapping[str, Value] | None = None,
    max_layers: int = MAX_LAYERS,
    heads: Heads | None = None,
    patience: int | None = None,
) -> Graph:
    """The graph of a spec.

    `stem` names the model where the spec does not; `sizes` replace the declared
    input shapes by input name (None: the only input), a capital letter being a free size; `params` replace the values
    of the file's params; a model of more than `max_layers` layers is refused; `heads` replace widths by label (None:
    that of the last weighted layer before the only output); `patience` is how many steps may be walked in
    looking for the smallest input that works, which a mistake then does not name. Raises CnncError with every mistake
    that was found.
    """
    asked = Asked(stem, sizes or {}, params or {}, max_layers, patience)
    graph = _built(spec, asked, {})
    if not heads:
        return graph
    from cnnc.compiler.heads import head_widths

    return replace(_built(spec, asked, head_widths(graph, heads)), heads=dict(heads))


@record
class Asked:
    """What is asked of a spec; see `build`."""

    stem: str
    sizes: InputSizes
    params: Mapping[str, Value]
    max_layers: int
    patience: int | None


class _OutOfPatience(Exception):
    """The search for the smallest input takes longer than was asked for."""


def _built(spec: s.Spec, asked: Asked, widths: Mapping[int, int]) -> Graph:
    """The graph with other widths, by the numbers of their drafts."""
    walk, walked = _walk(spec, asked, widths)
    try:
        return _finished(spec, asked, walk.file, walked)
    finally:
        walk.take_apart()


def _finished(spec: s.Spec, asked: Asked, file: FileScope, walked: Walked) -> Graph:
    """The graph that a walk without mistakes comes to."""
    settle_fits(walked.drafts)
    consumers = Consumers(walked.drafts, walked.outputs.values())
    settle_defaults(consumers)
    walked.problems += settle_reuses(walked.drafts)
    assign_names(walked.root, walked.inputs)
    walked.problems += warnings(walked, file, consumers)
    spare = [scope for scope in walked.root.scopes() if scope.is_spare]
    problems = [*walked.problems, *_unreached(walked, spare)]
    _raise_errors(problems)
    name = next((st.name for st in spec.statements if isinstance(st, s.Model)), asked.stem)
    graph = _freeze(name, spec, file, walked, problems)
    if spare:
        from cnnc.compiler.prune import pruned

        graph = replace(pruned(graph, graph.outputs), claims=graph.claims)
    left, taken = accepted(spec, graph.warnings)
    return replace(graph, warnings=left, accepted=taken, sizes=dict(asked.sizes), max_layers=asked.max_layers)


def is_library(spec: s.Spec) -> bool:
    """Whether a file has declarations for others to use, and no layers of its own."""
    flows = any(isinstance(st, s.Flow) or (isinstance(st, s.Model) and st.call) for st in spec.statements)
    return not flows and any(isinstance(st, s.Block | s.Shared | s.Extern) for st in spec.statements)


def check_library(spec: s.Spec) -> int:
    """The number of things a library file declares. Raises CnncError with what is wrong with them."""
    library = library_of(spec.source)
    file = declare(spec, {}, library)
    count = len(file.blocks) + len(file.shareds) + len(file.externs) - len(file.brought)
    library.forget(file)
    return count


def _walk(spec: s.Spec, asked: Asked, widths: Mapping[int, int]) -> tuple[Walk, Walked]:
    """The walk, for free input sizes at the first reference at which it finds no mistake."""
    steps = 0
    """Those of the search, and not its layers: what follows a mistake places none."""

    def begun(sizes: InputSizes, reference: Reference) -> Walk:
        library = library_of(spec.source)
        file = declare(spec, asked.params, library)
        return Walk(spec, file, library, sizes, reference, asked.max_layers, widths)

    def mistakes(shapes: InputSizes) -> Sequence[Diagnostic]:
        """What is wrong with inputs of these shapes."""
        nonlocal steps
        if asked.patience is not None and steps > asked.patience:
            raise _OutOfPatience
        walk = begun(shapes, {})
        try:
            _raise_errors(walk.run().problems)
        except CnncError as error:
            return error.diagnostics
        finally:
            steps += walk.brackets.turns
            walk.take_apart()
        return ()

    first: list[Diagnostic] = []
    search = References()
    for reference in search:
        walk = begun(asked.sizes, reference)
        try:
            walked = walk.run()
            _raise_errors(walked.problems)
            walked.ledger.is_open = False
            return walk, walked
        except CnncError as error:
            first = first or list(error.diagnostics)
            if not walk.free and len(walk.drafts) <= _SEARCHED:
                with suppress(_OutOfPatience):
                    first = with_smallest_input(first, walk.input_shapes(), mistakes)
            search.learn(reference, walk.free, walk.ledger, len(walk.drafts))
            walk.take_apart()
    raise CnncError(first)


_SEARCHED = 2_000
"""The layers of a model up to which the smallest input that works is looked for."""


def _raise_errors(problems: Sequence[Diagnostic]) -> None:
    errors = [p for p in problems if p.severity == "error"]
    if errors:
        raise CnncError(sorted(errors, key=lambda d: d.span.start if d.span else -1))


def _unreached(walked: Walked, networks: Sequence[DraftScope]) -> list[Diagnostic]:
    """E501 for the last layer of every chain that reaches no output, those within `networks` that are used from
    their files left out."""
    kept = [d for d in walked.drafts if not d.dropped]
    taken = {x.settled().number for d in kept for x in d.inputs}
    taken |= {draft.settled().number for draft in walked.outputs.values()}
    inside = {scope for network in networks for scope in network.scopes()}
    spare = {child.number for scope in inside for child in scope.children if isinstance(child, Draft)}
    problems = []
    for draft in kept:
        if draft.number in taken or draft.number in spare:
            continue
        what = f"the input `{draft.name}`" if draft.role == "input" else "what flows out here"
        hint = "name it in `output`, join it to the rest, or remove it"
        trace = render_trace(draft.trace, draft.span)
        problems.append(Diagnostic("E501", f"{what} reaches no output", draft.span, trace, hint))
    return problems


def _freeze(
    name: str, spec: s.Spec, file: FileScope, walked: Walked, problems: Sequence[Diagnostic]
) -> Graph:
    index = _places(walked.drafts)
    nodes: list[Node] = []
    for draft in walked.drafts:
        if draft.dropped:
            continue
        assert draft.op is not None
        draft.name = draft.name or draft.label or "input"
        nodes.append(
            Node(
                index=len(nodes),
                name=draft.name,
                module=draft.owner.name,
                op=draft.op,
                inputs=tuple([index[x.number] for x in draft.inputs]),
                out=draft.shape,
                span=draft.span,
                trace=draft.trace,
                role=draft.role,
                label=draft.label,
                args=draft.args,
                written=draft.written,
                given=draft.given,
                named={key: index[x.number] for key, x in draft.named.items()},
                again=None if draft.reused is None else draft.owner.name,
                applied=draft.applied,
            )
        )
    labels: dict[str, int] = {}
    root = _freeze_scope(walked.root, index, labels, {})
    for node in nodes:
        labels.setdefault(node.name, node.index)
    _collect_labels(walked.labels, "", index, labels)
    outputs = {key: index[draft.number] for key, draft in walked.outputs.items()}
    inputs_by_name = {key: index[draft.number] for key, draft in walked.inputs.items()}
    found = tuple(p for p in problems if p.severity != "error")
    return Graph(
        name=name,
        nodes=tuple(nodes),
        inputs=inputs_by_name,
        outputs=outputs,
        root=root,
        labels=labels,
        source=spec.source,
        params={name: Sourced(value, file.sources[name]) for name, value in file.params.items()},
        bounds=file.bounds,
        claims=tuple(st for st in spec.statements if isinstance(st, s.Expect)),
        changed=dict(file.changed),
        warnings=found,
        free=walked.free,
        ledger=walked.ledger,
        placed=tuple(index),
    )


def _places(drafts: Sequence[Draft]) -> list[int]:
    """The index of the node that each draft becomes, by its number; that of a dropped one is its input's."""
    index: list[int] = []
    count = 0
    for draft in drafts:
        if draft.dropped:
            index.append(index[draft.inputs[0].number])
        else:
            index.append(count)
            count += 1
    return index


def _freeze_scope(
    scope: DraftScope, index: Sequence[int], labels: dict[str, int], blocks: dict[int, Block]
) -> Scope:
    """A scope of the graph. `blocks` are those met so far, by the identity of their syntax; the labels are added."""

    def at(draft: Draft | None) -> int | None:
        return None if draft is None or draft.poison else index[draft.number]

    children: list[int | Scope] = []
    for child in scope.children:
        if isinstance(child, DraftScope):
            children.append(_freeze_scope(child, index, labels, blocks))
        elif not child.dropped:
            children.append(index[child.number])
    result = at(scope.result)
    if result is not None and scope.name:
        labels[scope.name] = result
    block = None if scope.block is None else blocks.get(id(scope.block))
    if scope.block is not None and block is None:
        block = blocks[id(scope.block)] = _frozen_block(scope.block)
    fitted = None
    if scope.fitted is not None and scope.fitted.merge is not None:
        like, merge = at(scope.fitted.like), at(scope.fitted.merge)
        assert like is not None and merge is not None
        fitted = Fitted(like, scope.fitted.stride, scope.fitted.branch, merge)
    return Scope(
        number=scope.number,
        name=scope.name,
        kind=scope.kind,
        label=scope.label,
        children=tuple(children),
        has_sides=scope.has_sides,
        source=at(scope.source),
        result=result,
        module=scope.owner.name,
        block=block,
        args={name: _frozen(given) for name, given in scope.args.items()},
        given=scope.given,
        decisions=tuple(scope.decisions),
        span=scope.span,
        trace=scope.trace,
        fitted=fitted,
    )


def _frozen(given: Sourced[Value]) -> Sourced[Value]:
    value = in_graph(given.value)
    return given if value is given.value else Sourced(value, given.source)


def _frozen_block(block: s.Block) -> Block:
    return Block(block.name, {p.name: _written(p.default, block) for p in block.params}, block.span)


def _written(default: s.Expr | s.Bracket | None, block: s.Block) -> object:
    """A default that is a number or a word as it is written."""
    if isinstance(default, s.Number):
        return default.value
    if not isinstance(default, s.Name) or default.id in [p.name for p in block.params]:
        return None
    return default.id


def _collect_labels(scope: LabelScope, prefix: str, index: Sequence[int], labels: dict[str, int]) -> None:
    """Labels by path. A label wins over a module of the same name: its tensor has the activation in."""
    for text, entry in scope.entries.items():
        path = f"{prefix}{text}"
        if not entry.tensor.poison:
            labels[path] = index[entry.tensor.number]
        if entry.inner is not None:
            _collect_labels(entry.inner, f"{path}.", index, labels)
