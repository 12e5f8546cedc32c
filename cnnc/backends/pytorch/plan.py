"""From scopes to classes: one class for all the instances of a block that differ in numbers only.

Every scope becomes an instance: constructor expressions for its children and
steps for its forward. Instances whose skeletons are equal share one class. A
number in it is written as its source (`4 * w`) where that source gives the right
number in every instance; as itself where it is the same in all; and else it is
a constructor parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cnnc.backends.pytorch.classes import (
    ClassDef,
    ClassParam,
    IdentityNew,
    Instance,
    InstanceNew,
    LayerNew,
    New,
    Plan,
    SequenceNew,
    ShortcutNew,
    ShortcutText,
    Text,
    walk,
)
from cnnc.backends.pytorch.context import CHANNELS, Sources
from cnnc.backends.pytorch.helpers import helper_names
from cnnc.backends.pytorch.layer import Function, Layer, Module, Val, emit
from cnnc.backends.pytorch.names import class_name, literal, variable
from cnnc.backends.pytorch.sym import Const, Param, Sym, params_of, value
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.ops.extern import Extern


class _Unlike(Exception):
    """The shortcuts of a class's instances cannot be written as one."""


def plan(graph: Graph) -> Plan:
    """The classes of a graph. Raises CnncError (E801) where PyTorch cannot express it."""
    return Planner(graph).run()


class Planner:
    """Plans one graph; `run` is called once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sources = Sources(graph)
        self._consumers = graph.consumers()
        self._outputs = set(graph.outputs.values())
        self._given: dict[int, tuple[int, ...]] = {}
        self._modules: dict[int, tuple[str, ...]] = {}
        self._sequences: dict[int, bool] = {}
        self._made: dict[int, Instance] = {}
        self._taken = _foreign_names(graph) | {model_name(graph)}
        self._helpers: set[str] = set()
        self._imports: set[str] = set()

    def run(self) -> Plan:
        from cnnc.backends.pytorch.trace import trace_scope

        self._trace = trace_scope
        heights = self._heights()
        for scope in heights:  # the inner ones first
            self._modules[id(scope)] = self._used_modules(scope)
            self.sources.inputs[id(scope)] = self._external_inputs(scope)
            self._given[id(scope)] = self._external_outputs(scope)
        classes: list[ClassDef] = []
        for height in range(max(heights.values()) + 1):
            scopes = [s for s, h in heights.items() if h == height and self.needs_class(s)]
            for instances in self._grouped(sorted(scopes, key=lambda s: next(s.nodes(), 0))):
                classes += self._classes(instances)
        return Plan(tuple(classes), tuple(sorted(self._helpers)), tuple(sorted(self._imports)))

    def _heights(self) -> dict[Scope, int]:
        """How many levels of scopes each scope has within it."""
        heights: dict[Scope, int] = {}
        for scope in reversed(tuple(self.graph.scopes())):
            inner = [heights[c] for c in scope.children if isinstance(c, Scope)]
            heights[scope] = 1 + max(inner, default=-1)
        return heights

    # --- what a scope takes and gives ------------------------------------------------------

    def modules(self, scope: Scope) -> tuple[str, ...]:
        """The shared modules used in a scope, in its own scopes too: forward is handed them.

        The model owns them, so for the model there are none.
        """
        return self._modules[id(scope)]

    def _used_modules(self, scope: Scope) -> tuple[str, ...]:
        if scope is self.graph.root:
            return ()
        found: dict[str, None] = {}
        for child in scope.children:
            if isinstance(child, Scope):
                found |= dict.fromkeys([child.module] if child.kind == "shared" else [])
                found |= dict.fromkeys(self._modules[id(child)])
        return tuple(found)

    def takes(self, scope: Scope) -> tuple[int, ...]:
        """The nodes outside a scope that it reads, what flows in first."""
        return self.sources.inputs[id(scope)]

    def gives(self, scope: Scope) -> tuple[int, ...]:
        """The nodes in a scope that are read outside it, what flows out first."""
        return self._given[id(scope)]

    def _external_inputs(self, scope: Scope) -> tuple[int, ...]:
        if scope is self.graph.root:
            return tuple(self.graph.inputs.values())
        inside = set(scope.nodes())
        seen = dict.fromkeys(s for n in sorted(inside) for s in self.graph.nodes[n].inputs if s not in inside)
        return _first(seen, scope.source)

    def _external_outputs(self, scope: Scope) -> tuple[int, ...]:
        if scope is self.graph.root:
            return tuple(self.graph.outputs.values())
        inside = set(scope.nodes())
        used = dict.fromkeys(
            n for n in sorted(inside)
            if n in self._outputs or any(c not in inside for c in self._consumers[n])
        )  # fmt: skip
        return _first(used, scope.result)

    def is_sequence(self, scope: Scope) -> bool:
        """Whether a scope is a plain chain: each child takes what the one before it gives, and nothing else."""
        known = self._sequences.get(id(scope))
        if known is None:
            known = self._sequences[id(scope)] = self._chain(scope)
        return known

    def _chain(self, scope: Scope) -> bool:
        if scope is self.graph.root or scope.has_sides or self.modules(scope):
            return False
        flow = scope.source
        for child in scope.children:
            if isinstance(child, int):
                if self.graph.nodes[child].inputs != (flow,) or not self._has_module(child):
                    return False
                flow = child
            elif not is_empty(child):
                if self.takes(child) != (flow,) or len(self.gives(child)) != 1:
                    return False
                flow = self.gives(child)[0]
        return flow == scope.source or self.gives(scope) == (flow,)

    def _has_module(self, node: int) -> bool:
        code = self.emit(self.graph.nodes[node], self.graph.root)
        return isinstance(code, Module) or code.module is not None

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
        found: dict[str, Sym] = {}
        for name, origin in node.origins.items():
            sym = self.sources.of_origin(origin, context)
            if sym is not None:
                found[name] = sym
        home = self.sources.scope_of.get(node.index)
        if home is not None and home.fitted is not None and node.role == "own":
            found["width"] = self.sources.channels(home.fitted.like, context)
            found["stride"] = self.sources.stride_of_path(home.fitted.path, context)
        channels = tuple(self.sources.channels(i, context) for i in node.inputs)
        code = emit(Layer(node, self.graph.ins(node), channels, found))
        self._helpers.update(code.helpers)
        self._imports.update(code.imports)
        return code

    def instance(self, scope: Scope) -> Instance:
        if self.is_sequence(scope):
            return Instance(scope, list(self.sequence(scope, scope).items), sequential=True)
        return self._trace(self, scope)

    def sequence(self, scope: Scope, context: Scope) -> SequenceNew:
        """The children of a plain chain, as the class of `context` constructs them."""
        items: list[tuple[str, New]] = []
        for child in scope.children[1 if self.flattens_before(scope) else 0 :]:
            if isinstance(child, Scope):
                items.append((child.local, self.new(child, context)))
            else:
                items.append((self.graph.nodes[child].local, self.new_layer(child, context)))
        return SequenceNew(tuple(items))

    def new_layer(self, node: int, context: Scope) -> LayerNew:
        """The constructor expression for a layer that is a module."""
        code = self.emit(self.graph.nodes[node], context)
        module = code if isinstance(code, Module) else code.module
        assert module is not None
        self._helpers.update(module.helpers)
        return LayerNew(module)

    def new(self, scope: Scope, context: Scope) -> New:
        """The constructor expression for a scope, as the class of `context` writes it."""
        if scope.kind == "shortcut":
            fitted = scope.fitted
            assert fitted is not None and scope.source is not None
            return ShortcutNew(
                self.sequence(scope, context) if scope.children else None,
                self.sources.stride_of_path(fitted.path, context),
                self.sources.channels(scope.source, context),
                self.sources.channels(fitted.like, context),
            )
        if is_empty(scope):
            return IdentityNew()
        if self.needs_class(scope):
            instance = self._made[id(scope)]
            assert instance.cls is not None
            return InstanceNew(
                instance.cls, tuple(self._handed(instance, p, context) for p in instance.cls.params)
            )
        return self.sequence(scope, context)

    def _handed(self, instance: Instance, param: ClassParam, context: Scope) -> Val:
        """What an instance hands to one parameter of its class, with its source in `context`."""
        scope = instance.scope
        if param.sym is None:
            return Val(instance.slots[param.slot].value)
        number = self.sources.param_values(scope).get(param.sym)
        home = self.sources.around(scope, param.sym.level)
        if param.sym.level == 0 and param.sym.name not in scope.args:
            position = int(param.sym.name.removeprefix(CHANNELS) or 1) - 1
            return Val(number, self.sources.channels(self.takes(scope)[position], context))
        return Val(number, self.sources.parameter(param.sym.name, home, number, context))

    # --- classes -----------------------------------------------------------------------------

    def _grouped(self, scopes: Iterable[Scope]) -> list[list[Instance]]:
        """Instances that can share a class, together."""
        groups: dict[tuple[object, ...], list[Instance]] = {}
        for scope in scopes:
            instance = self._made[id(scope)] = self.instance(scope)
            skeleton: list[str] = []
            for name, new in instance.children:
                skeleton.append(f"{name}=")
                instance.slots += walk(new, skeleton)
            for step, values in zip(instance.steps, instance.values, strict=True):
                skeleton.append(f"{step}{sorted(values)}")
                instance.slots += [values[key] for key in sorted(values)]
            key = (_origin(scope), tuple(skeleton), instance.returns, instance.sequential, instance.modules)
            groups.setdefault(key, []).append(instance)
        return list(groups.values())

    def _classes(self, instances: list[Instance]) -> list[ClassDef]:
        """The class of a group, or several where its shortcuts cannot be written as one."""
        try:
            return [self._settled(instances)]
        except _Unlike:
            apart: dict[str, list[Instance]] = {}
            for instance in instances:
                apart.setdefault(_shortcut_detail(instance), []).append(instance)
            return [self._settled(group) for group in apart.values()]

    def _settled(self, instances: list[Instance]) -> ClassDef:
        """A class with every number in it decided."""
        known = [self.sources.param_values(i.scope) for i in instances]
        shortcuts = {
            name: self._shortcut(name, instances, known)
            for name, new in instances[0].children if isinstance(new, ShortcutNew)
        }  # fmt: skip
        texts: list[Text] = []
        extras: list[ClassParam] = []
        for slot, vals in enumerate(zip(*(i.slots for i in instances), strict=True)):
            text = _common_text(vals, known)
            if text is None:
                text = f"value{len(extras) + 1}"
                extras.append(ClassParam(text, None, type(vals[0].value).__name__, slot=slot))
            texts.append(text)
        used = [p for t in texts if not isinstance(t, str) for p in params_of(t)]
        for shortcut in shortcuts.values():
            used += [p for t in shortcut.texts if not isinstance(t, str) for p in params_of(t)]
            if shortcut.depends:
                for sym in (shortcut.new.stride, shortcut.new.source, shortcut.new.target):
                    used += params_of(sym)
        scope = instances[0].scope
        cls = ClassDef(self._class_name(scope), instances, [], texts, shortcuts)
        # Python wants those without a default first.
        cls.params = sorted(_ordered(scope, used) + extras, key=lambda p: p.default is not None)
        for instance in instances:
            instance.cls = cls
        return cls

    def _shortcut(
        self, name: str, instances: Sequence[Instance], known: Sequence[Mapping[Param, int]]
    ) -> ShortcutText:
        news = [dict(i.children)[name] for i in instances]
        shortcuts = [new for new in news if isinstance(new, ShortcutNew)]
        projected = [(n, k) for n, k in zip(shortcuts, known, strict=True) if n.projection is not None]
        if not projected:
            return ShortcutText(shortcuts[0], (), depends=False)
        skeletons: list[list[str]] = []
        slots = []
        for new, _ in projected:
            skeletons.append([])
            assert new.projection is not None
            slots.append(list(walk(new.projection, skeletons[-1])))
        if any(s != skeletons[0] for s in skeletons):
            raise _Unlike
        params = [k for _, k in projected]
        texts = [_common_text(vals, params) for vals in zip(*slots, strict=True)]
        if len(projected) < len(shortcuts):
            for new, values in zip(shortcuts, known, strict=True):
                same = value(new.stride, values) == 1 and value(new.source, values) == value(
                    new.target, values
                )
                if same != (new.projection is None) or (new.stride, new.source, new.target) != (
                    shortcuts[0].stride, shortcuts[0].source, shortcuts[0].target,
                ):  # fmt: skip
                    raise _Unlike
        known_texts = tuple(t for t in texts if t is not None)
        if len(known_texts) < len(texts):
            raise _Unlike
        return ShortcutText(projected[0][0], known_texts, depends=len(projected) < len(shortcuts))

    def _class_name(self, scope: Scope) -> str:
        if scope is self.graph.root:
            return model_name(self.graph)
        base = class_name(scope.block.name if scope.block is not None else scope.local)
        name = _free(base, self._taken)
        self._taken.add(name)
        return name


def model_name(graph: Graph) -> str:
    """The name of the model's class; a block of the same name has to take another."""
    return _free(class_name(graph.name), _foreign_names(graph))


def _foreign_names(graph: Graph) -> set[str]:
    """The names in a file that come from elsewhere: helpers and externs."""
    externs = {n.op.target.rpartition(":")[2] for n in graph.nodes if isinstance(n.op, Extern)}
    return set(helper_names()) | externs


def _free(base: str, taken: set[str]) -> str:
    """`base`, or with the first number from 2 that is not taken."""
    name, number = base, 2
    while name in taken:
        name, number = f"{base}{number}", number + 1
    return name


def is_empty(scope: Scope) -> bool:
    """Whether a scope places no layer."""
    return next(scope.nodes(), None) is None


def _first(nodes: Iterable[int], head: int | None) -> tuple[int, ...]:
    """The nodes with `head` before the others, if it is among them."""
    ordered = list(nodes)
    if head in ordered:
        ordered.remove(head)
        ordered.insert(0, head)
    return tuple(ordered)


def _origin(scope: Scope) -> tuple[str, int, int]:
    """What in the text a scope comes from: its block, or its own bracket."""
    span = scope.block.span if scope.block is not None else scope.span
    return (span.source.name, span.start, span.end)


def _shortcut_detail(instance: Instance) -> str:
    """What tells instances apart whose shortcuts differ: which are projections, with which numbers."""
    detail: list[str] = []
    for name, new in instance.children:
        if isinstance(new, ShortcutNew):
            slots = [] if new.projection is None else [v.value for v in walk(new.projection, detail)]
            detail.append(f"{name}: {new.projection is not None} {slots}")
    return " ".join(detail)


def _common_text(vals: Sequence[Val], known: Sequence[Mapping[Param, int]]) -> Text | None:
    """The source that all instances share if it gives the right number in each, else their common literal."""
    first = vals[0]
    if first.sym is not None and not isinstance(first.sym, Const):
        sourced = all(
            v.sym == first.sym and value(first.sym, params) == v.value
            for v, params in zip(vals, known, strict=True)
        )
        if sourced:
            return first.sym
    if all(v.value == first.value and type(v.value) is type(first.value) for v in vals):
        return literal(first.value)
    return None


def _ordered(scope: Scope, used: Iterable[Param]) -> list[ClassParam]:
    """Constructor parameters: channels first, then what is handed through, then the block's own in its order."""
    block = {p.name: p for p in scope.block.params} if scope.block is not None else {}
    order = list(block)

    def rank(param: Param) -> tuple[int, int]:
        if param.level == 0 and param.name not in block:
            return (0, int(param.name.removeprefix(CHANNELS) or 1))
        if param.level > 0:
            return (1, 0)
        return (2, order.index(param.name))

    out: list[ClassParam] = []
    for param in sorted(dict.fromkeys(used), key=rank):
        name = variable(param.name)
        while any(p.name == name for p in out):
            name += "_"
        default = (
            getattr(block[param.name].default, "value", None)
            if param.level == 0 and param.name in block
            else None
        )
        out.append(ClassParam(name, param, "int", default if isinstance(default, int) else None))
    return out
