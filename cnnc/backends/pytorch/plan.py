"""From scopes to classes: one class for all the instances of a block that differ in numbers only.

Every scope becomes an instance: constructor expressions for its children and
steps for its forward. Instances whose skeletons are equal share one class. A
number in it is written as its source (`4 * w`) where that source gives the right
number in every instance; as itself where it is the same in all; and else it is
a constructor parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from cnnc.backends.pytorch.checks import check_uses, fix_choices
from cnnc.backends.pytorch.class_names import ClassNames
from cnnc.backends.pytorch.classes import (
    ClassDef,
    ClassParam,
    HandedNew,
    IdentityNew,
    Instance,
    InstanceNew,
    LayerNew,
    LoopNew,
    New,
    Plan,
    SequenceNew,
    ShortcutNew,
    called_in,
    walk,
    walk_items,
)
from cnnc.backends.pytorch.context import Sources, is_empty, origin
from cnnc.backends.pytorch.helpers import helper_names
from cnnc.backends.pytorch.imports import MATH
from cnnc.backends.pytorch.in_place import overwriting
from cnnc.backends.pytorch.kept import kept_params
from cnnc.backends.pytorch.layer import Function, Layer, Module, Raw, Reads, Val, applied, emit
from cnnc.backends.pytorch.loops import Placed, fold, stem, turns_between, with_empty_loops
from cnnc.backends.pytorch.names import check_child, literal
from cnnc.backends.pytorch.repeats import with_loops
from cnnc.backends.pytorch.scope_ends import ScopeEnds
from cnnc.backends.pytorch.sym import is_quotient
from cnnc.backends.pytorch.tensors import broadcast, scopes_without_batch
from cnnc.backends.pytorch.trace import trace_scope
from cnnc.backends.pytorch.unify import Unlike, detail, settle
from cnnc.backends.pytorch.uses import padded_by_use, sized_by_use
from cnnc.backends.pytorch.variants import merged
from cnnc.compiler.dependence import Dependence
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.symbolic import Const, Items, Param, Sym, is_number
from cnnc.compiler.walk.values import Turn


def plan(graph: Graph) -> Plan:
    """The classes of a graph. Raises CnncError (E801) where PyTorch cannot express it.

    The model's constructor takes those of the file's params on which no decision depends that made the
    structure, and nothing that is written as a plain number.
    """
    dependence = Dependence(graph)
    kept = kept_params(graph, dependence)
    while True:
        planner = Planner(graph, kept, dependence)
        found = planner.run()
        if not planner.sources.fixed.intersection(kept):
            return found
        kept = [name for name in kept if name not in planner.sources.fixed]


class Planner:
    """Plans one graph; `run` is called once."""

    def __init__(self, graph: Graph, kept: Sequence[str], dependence: Dependence) -> None:
        self.graph = graph
        self.kept = kept
        self.sources = Sources(graph, kept, dependence)
        self._sequences: dict[int, bool] = {}
        self._codes: dict[tuple[int, int], Module | Function] = {}
        self._are_modules: dict[object, bool] = {}
        self.made: dict[int, Instance] = {}
        self._names = ClassNames(graph)
        self._padded = padded_by_use(graph)
        self.varying = sized_by_use(graph)
        self._overwriting = overwriting(graph, self._within)
        self.broadcast = broadcast(graph, self.sources)
        self.ends = ScopeEnds(graph, self.sources, scopes_without_batch(graph, self.broadcast, self.sources))
        self._helpers: set[str] = set()
        self._imports: set[str] = set()

    def run(self) -> Plan:
        heights = self._heights()
        for scope in heights:  # the inner ones first
            self.ends.settle(scope)
        classes: list[ClassDef] = []
        for height in range(max(heights.values()) + 1):
            scopes = [s for s, h in heights.items() if h == height and self.needs_class(s)]
            for groups in self._grouped(sorted(scopes, key=lambda s: next(s.nodes(), 0))):
                classes += self._classes(groups)
        fix_choices(self)
        check_uses(self)
        model = classes[-1]
        model.params = [
            replace(param, default=self._default(name))
            for name in self.kept
            for param in model.params
            if param.sym is not None and param.sym.name == name
        ]
        model.exact = tuple(param.name for param in model.params if param.annotation == "float")
        called = [name for cls in classes for name in called_in(cls)]
        helpers = self._helpers.union(name for name in called if name in helper_names())
        imports = self._imports.union(MATH for name in called if name.startswith("math."))
        return Plan(tuple(classes), tuple(sorted(helpers)), tuple(sorted(imports)))

    def _default(self, name: str) -> str:
        """The value that a param of the file has in this graph, as Python."""
        given = self.graph.params[name]
        assert isinstance(given.source, Param)
        value = given.value
        return literal(float(value) if given.source.kind == "float" and is_number(value) else value)

    def _heights(self) -> dict[Scope, int]:
        """How many levels of classes stand between each scope and the innermost that it constructs."""
        heights: dict[Scope, int] = {}
        for scope in reversed(tuple(self.graph.scopes())):
            heights[scope] = 1 + max((heights[inner] for inner in self._constructed(scope)), default=-1)
        return heights

    def _constructed(self, scope: Scope) -> Iterator[Scope]:
        """The scopes that stand in a scope's constructor: not what it is handed, but what it hands on."""
        own = set(map(id, self.handed(scope).values()))
        todo = [c for c in scope.children if isinstance(c, Scope) and id(c) not in own]
        while todo:
            inner = todo.pop()
            yield inner
            todo += self.handed(inner).values()

    def handed(self, scope: Scope) -> Mapping[str, Scope]:
        """The children of a block that its constructor is handed, by its pipeline parameters."""
        return self.sources.handed[id(scope)]

    def is_sequence(self, scope: Scope) -> bool:
        """Whether a scope is a plain chain: each child takes what the one before it gives, and nothing else."""
        known = self._sequences.get(id(scope))
        if known is None:
            known = self._sequences[id(scope)] = self._chain(scope)
        return known

    def _chain(self, scope: Scope) -> bool:
        if scope is self.graph.root or scope.has_sides or self.ends.modules(scope):
            return False
        flow = scope.source
        for child in scope.children:
            if isinstance(child, int):
                node = self.graph.nodes[child]
                if node.inputs != (flow,) or node.again is not None or not self._has_module(child):
                    return False
                flow = child
            elif not is_empty(child):
                if (
                    child.kind == "again"
                    or self.ends.takes(child) != (flow,)
                    or len(self.ends.gives(child)) != 1
                ):
                    return False
                flow = self.ends.gives(child)[0]
        return flow == scope.source or self.ends.gives(scope) == (flow,)

    def _has_module(self, node: int) -> bool:
        """Whether a layer is written as a module: the same for all that one word of the text places on such inputs."""
        n = self.graph.nodes[node]
        alike = (n.span, n.op, self.graph.ins(n), node in self.varying)
        known = self._are_modules.get(alike)
        if known is None:
            code = self.emit(n, self.graph.root)
            known = self._are_modules[alike] = isinstance(code, Module) or code.module is not None
        return known

    def needs_class(self, scope: Scope) -> bool:
        """Whether a scope becomes a class: the model, blocks, and brackets that are no plain chain."""
        if scope is self.graph.root:
            return True
        if scope.kind in ("shortcut", "path") or is_empty(scope) or scope.module != scope.name:
            return False
        return scope.kind == "block" or not self.is_sequence(scope)

    def flattens_before(self, scope: Scope) -> bool:
        """Whether the flattening that begins a chain is written in the forward around it, not in the chain.

        So the numbers of an `nn.Sequential` stay those of its layers.
        """
        first = scope.children[0]
        if not isinstance(first, int) or self.graph.nodes[first].role != "flatten":
            return False
        outer = self.sources.parent[id(scope)]
        return outer is not None and not self.is_sequence(outer) and self.is_sequence(scope)

    # --- instances -------------------------------------------------------------------------

    def emit(self, node: Node, context: Scope) -> Module | Function:
        """A node's code with the sources of its numbers as the class of `context` knows them."""
        key = (node.index, id(context))
        code = self._codes.get(key)
        if code is None:
            code = self._codes[key] = self.emitted(node, context, self._reads(node))
        return code

    def emitted(self, node: Node, context: Scope, reads: Reads | None) -> Module | Function:
        """The code that `emit` keeps; what the emitter reads is noted in `reads`."""
        found: dict[str, Sym] = {}
        for name, given in node.args.items():
            sources = {name: given.source}
            if isinstance(given.source, Items):
                sources |= {f"{name}.{i}": item for i, item in enumerate(given.source.items)}
            for key, source in sources.items():
                sym = self.sources.of(source, context)
                if sym is not None:
                    found[key] = sym
        channels = tuple(self.sources.channels(i, context) for i in node.inputs)
        node = self.as_used(node)
        layer = Layer(node, self.graph.ins(node), channels, found, reads, node.index in self.varying)
        code = emit(layer) if not node.applied else applied(layer, self.ends.reach(node.module, context))
        if node.index in self._overwriting:
            assert isinstance(code, Module)
            code = replace(code, kwargs={**code.kwargs, "inplace": Raw("True")})
        self._helpers.update(code.helpers)
        self._imports.update(code.imports)
        return code

    def _reads(self, node: Node) -> Reads | None:
        """What notes how the emitter reads a node, where anything about it depends on a param of the file."""
        dependence = self.sources.dependence
        sizes = [*(dependence.channels[i] for i in node.inputs), *(dependence.space[i] for i in node.inputs)]
        if not self.kept or not (any(sizes) or dependence.of_layer(node)):
            return None
        return Reads(node, dependence, self.sources.fixed)

    def _within(self, inner: Node, node: Node) -> bool:
        """Whether a node lies in the scope of another."""
        return self.sources.node_in(self.sources.scope_of[node.index], inner.index)

    def as_used(self, node: Node) -> Node:
        """A node as all uses of its module together need it written."""
        return replace(node, op=self._padded[node.index]) if node.index in self._padded else node

    def instance(self, scope: Scope) -> Instance:
        if self.is_sequence(scope):
            return Instance(scope=scope, children=list(self.sequence(scope, scope).items), sequential=True)
        return trace_scope(self, scope)

    def sequence(self, scope: Scope, context: Scope) -> SequenceNew:
        """The children of a plain chain, as the class of `context` constructs them."""
        placed: list[Placed] = []
        for child in scope.children[1 if self.flattens_before(scope) else 0 :]:
            inner = child if isinstance(child, Scope) else self.graph.nodes[child]
            check_child(inner.local, inner.span, "nn.Sequential")
            new = (
                self.new(inner, context) if isinstance(inner, Scope) else self.new_layer(inner.index, context)
            )
            placed.append(Placed(inner.local, new, turns_between(inner.trace, scope.trace)))
        return SequenceNew(tuple(fold(placed, lambda turn: self._count(turn, context))))

    def _count(self, turn: Turn, context: Scope) -> Val:
        """How many turns a repeat has, with its source in `context`."""
        return Val(turn.total, self.sources.of(turn.count, context))

    def new_layer(self, node: int, context: Scope) -> LayerNew:
        """The constructor expression for a layer that is a module."""
        code = self.emit(self.graph.nodes[node], context)
        module = code if isinstance(code, Module) else code.module
        assert module is not None
        self._helpers.update(module.helpers)
        return LayerNew(module)

    def new(self, scope: Scope, context: Scope) -> New:
        """The constructor expression for a scope, as the class of `context` writes it."""
        for name, child in self.handed(context).items():
            if child is scope:
                return HandedNew(name)
        if scope.kind == "shortcut":
            fitted = scope.fitted
            assert fitted is not None and scope.source is not None
            return ShortcutNew(
                self.sequence(scope, context) if scope.children else None,
                self.sources.of(fitted.stride, context) or Const(1),
                self.sources.channels(scope.source, context),
                self.sources.channels(fitted.like, context),
            )
        if is_empty(scope):
            return IdentityNew()
        if self.needs_class(scope):
            instance = self.made[id(scope)]
            assert instance.cls is not None
            return InstanceNew(
                instance.cls, tuple(self._argument(instance, p, context) for p in instance.cls.params)
            )
        return self.sequence(scope, context)

    def _argument(self, instance: Instance, param: ClassParam, context: Scope) -> Val | New:
        """What an instance hands to one parameter of its class, with its source in `context`."""
        scope = instance.scope
        if param.pipeline is not None:
            return self.new(self.handed(scope)[param.pipeline], context)
        if param.sym is None:
            return Val(param.given[instance.position], name=stem(param.name))
        number = self.sources.param_values(scope).get(param.sym)
        if param.is_rounded and is_number(number):
            number = float(number)
        elif param.sym.kind == "float" and isinstance(number, int):
            number = Fraction(number)  # 1.0 is whole here, and need not be for another value
        home = self.sources.around(scope, param.sym.owner)
        node = self.sources.channels_of(scope, param.sym)
        if node is not None:
            return Val(number, self.sources.channels(node, context))
        found = self.sources.handed_on(param.sym, home, context)
        if found is None or is_quotient(found):  # the block could be handed a number that is not whole
            self.sources.fixed |= self.sources.dependence_of(param.sym, scope)
        return Val(number, found)

    # --- classes -----------------------------------------------------------------------------

    def _grouped(self, scopes: Iterable[Scope]) -> list[list[list[Instance]]]:
        """For each block or bracket of the text, its instances; those that can share a class together."""
        origins: dict[object, list[list[Instance]]] = {}
        groups: dict[tuple[object, ...], list[Instance]] = {}
        for scope in scopes:
            instance = self.made[id(scope)] = self.instance(scope)
            key = (origin(scope), *self._skeleton(instance))
            if key not in groups:
                groups[key] = []
                origins.setdefault(origin(scope), []).append(groups[key])
            groups[key].append(instance)
        return list(origins.values())

    def _skeleton(self, instance: Instance) -> tuple[object, ...]:
        """What instances of a class have in common; the values that may differ become the instance's slots."""
        skeleton: list[str] = []
        instance.slots = []
        if instance.sequential:
            instance.slots += walk_items(instance.children, skeleton)
        for name, new in () if instance.sequential else instance.children:
            skeleton.append(f"{name}=")
            instance.slots += walk(new, skeleton)
        for step, values in zip(instance.steps, instance.values, strict=True):
            skeleton.append(f"{step}{sorted(values)}")
            instance.slots += [values[key] for key in sorted(values)]
        return (tuple(skeleton), instance.returns, instance.sequential, instance.modules)

    def _classes(self, groups: list[list[Instance]]) -> list[ClassDef]:
        """The class of a block's instances: one, or several where nothing in the text tells them apart."""
        if len(groups) > 1:
            groups = self._with_loops(self._with_empty_loops(groups))
        if len(groups) > 1:
            cls = merged(self._of_one_kind(groups), self.sources)
            if cls is not None:
                return [self._named(cls)]
        return [self._named(cls) for instances in groups for cls in self._settled(instances)]

    def _with_empty_loops(self, groups: list[list[Instance]]) -> list[list[Instance]]:
        """The groups; chains that lack loops of others only because they have no turns in them are of their group."""
        first, *rest = sorted(
            groups,
            key=lambda group: sum(isinstance(new, LoopNew) for _, new in group[0].children),
            reverse=True,
        )
        if not all(group[0].sequential for group in groups):
            return groups
        out = [first]
        for group in rest:
            chains = [
                with_empty_loops(i.children, first[0].children, self.sources.param_values(i.scope))
                for i in group
            ]
            found = [chain for chain in chains if chain is not None]
            if len(found) < len(chains):
                out.append(group)
                continue
            for instance, children in zip(group, found, strict=True):
                instance.children = children
                self._skeleton(instance)
                first.append(instance)
        return out

    def _with_loops(self, groups: list[list[Instance]]) -> list[list[Instance]]:
        """The groups; those that differ only in how often something is repeated are one, with a loop for it."""
        if len(groups) < 2:
            return groups
        folded = with_loops(groups, lambda turn, instance: self._count(turn, instance.scope))
        if folded == groups:
            return groups
        alike: dict[tuple[object, ...], list[int]] = {}
        for i, group in enumerate(folded):
            skeletons = {self._skeleton(instance) for instance in group}
            alike.setdefault(skeletons.pop() if len(skeletons) == 1 else (i,), []).append(i)
        out: list[list[Instance]] = []
        for members in alike.values():
            joint = [instance for i in members for instance in folded[i]]
            if len(members) > 1 and self._is_one(joint):
                out.append(joint)
            else:
                out += [groups[i] for i in members]
        return out

    def _is_one(self, instances: list[Instance]) -> bool:
        """Whether instances of one skeleton can be one class."""
        fixed = set(self.sources.fixed)
        try:
            settle(instances, self.sources)
        except Unlike:
            self.sources.fixed.intersection_update(fixed)
            return False
        return True

    def _of_one_kind(self, groups: list[list[Instance]]) -> list[list[Instance]]:
        """The groups; where not all are chains, those that are with a forward too, so that one class can be all."""
        kinds = {group[0].sequential for group in groups}
        if len(kinds) == 1 or any(self.flattens_before(group[0].scope) for group in groups):
            return groups
        out: list[list[Instance]] = []
        for group in groups:
            alike: dict[tuple[object, ...], list[Instance]] = {}
            for old in group:  # chains that are alike need not be so once they have a forward
                instance = trace_scope(self, old.scope) if old.sequential else old
                alike.setdefault(self._skeleton(instance), []).append(instance)
            out += alike.values()
        return out

    def _settled(self, instances: list[Instance]) -> list[ClassDef]:
        """The class of a group, or several where its shortcuts or loops cannot be written as one."""
        try:
            return [settle(instances, self.sources)]
        except Unlike:
            apart: dict[str, list[Instance]] = {}
            for instance in instances:
                apart.setdefault(detail(instance), []).append(instance)
            return [settle(group, self.sources) for group in apart.values()]

    def _named(self, cls: ClassDef) -> ClassDef:
        cls.name = self._names.of(cls.first.scope)
        for position, instance in enumerate(cls.instances):
            instance.cls, instance.position = cls, position
            self.made[id(instance.scope)] = instance
        return cls
