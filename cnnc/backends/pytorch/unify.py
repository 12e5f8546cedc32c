"""Instances become one class: every number in them gets the text that is right in each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from cnnc.backends.pytorch.classes import (
    LEFT_OUT,
    ClassDef,
    ClassParam,
    HandedNew,
    Instance,
    LoopSlot,
    LoopText,
    ShortcutNew,
    ShortcutText,
    Slot,
    SlotText,
    Text,
    walk,
)
from cnnc.backends.pytorch.context import CHANNELS, Sources
from cnnc.backends.pytorch.layer import REQUIRED, Val
from cnnc.backends.pytorch.loops import Known, gives, loop_text
from cnnc.backends.pytorch.names import literal, variable
from cnnc.backends.pytorch.sym import integral
from cnnc.compiler.graph import Scope
from cnnc.compiler.symbolic import (
    TURN,
    Const,
    Param,
    Sym,
    binary,
    difference,
    kind_of,
    params_of,
    parts,
    shared_out,
    substituted,
    value,
)


class Unlike(Exception):
    """The shortcuts or loops of these instances cannot be written as those of one class."""


def settle(instances: list[Instance], sources: Sources, beside: Sequence[Instance] = ()) -> ClassDef:
    """The class of instances with one skeleton; its name is left to the caller. Raises Unlike.

    Those `beside` them are of the same block, with another skeleton.
    """
    return _Settling(instances, sources, beside).run()


class _Settling:
    def __init__(self, instances: list[Instance], sources: Sources, beside: Sequence[Instance]) -> None:
        self.instances = instances
        self.sources = sources
        self.known = [sources.param_values(i.scope) for i in instances]
        """The numbers of each instance's parameters."""
        others = [sources.param_values(i.scope) for i in beside]
        self.real: dict[Param, Sym] = {
            replace(p, kind="int"): p for known in (*self.known, *others) for p, x in known.items()
            if p.kind == "float" and isinstance(x, Fraction)
        }  # fmt: skip
        """The parameters that are not whole everywhere, by what they are where they are whole."""
        self.extras: list[ClassParam] = []
        self.counts: list[tuple[Sym, list[int]]] = []
        """How many turns the loops have, where that has one source in all instances, and in each of these."""
        for slots in zip(*(i.slots for i in instances), strict=True):
            counts = [slot.count for slot in slots if isinstance(slot, LoopSlot)]
            sym = self._shared([count.sym for count in counts]) if counts else None
            if sym is not None:
                self.counts.append((sym, [count.value for count in counts]))

    def run(self) -> ClassDef:
        shortcuts = {
            name: self._shortcut(name)
            for name, new in self.instances[0].children if isinstance(new, ShortcutNew)
        }  # fmt: skip
        texts = [self._slot(slots) for slots in zip(*(i.slots for i in self.instances), strict=True)]
        used = [p for text in texts for p in _params(text)]
        for shortcut in shortcuts.values():
            used += [p for text in shortcut.texts for p in _params(text)]
            if shortcut.depends:
                for sym in (shortcut.new.stride, shortcut.new.source, shortcut.new.target):
                    used += params_of(sym)
        cls = ClassDef("", self.instances, [], texts, shortcuts)
        names = [p.name for p in self.extras]
        own = ordered(self.instances[0].scope, used, self._exact(texts, shortcuts.values()), names)
        # Python wants those without a default first.
        cls.params = sorted([*own, *self.extras, *self._pipelines()], key=lambda p: p.default is not None)
        return cls

    def _exact(self, texts: Sequence[SlotText], shortcuts: Iterable[ShortcutText]) -> set[Param]:
        """The parameters of which something else than a float is made."""
        found: set[Param] = set()
        for text, slot in zip(texts, self.instances[0].slots, strict=True):
            vals = (
                [slot] if isinstance(slot, Val) else [slot.count, *(v for turn in slot.turns for v in turn)]
            )
            if not all(isinstance(val.value, float) for val in vals):
                found.update(_params(text))
        for shortcut in shortcuts:
            syms = (shortcut.new.stride, shortcut.new.source, shortcut.new.target)
            found.update(p for text in (*shortcut.texts, *syms) for p in _params(text))
        return found

    def _pipelines(self) -> list[ClassParam]:
        """The modules that the constructor is handed."""
        names = [new.name for _, new in self.instances[0].children if isinstance(new, HandedNew)]
        return [ClassParam(variable(name), None, "nn.Module", pipeline=name) for name in names]

    def _slot(self, slots: Sequence[Slot]) -> SlotText:
        vals = [slot for slot in slots if isinstance(slot, Val)]
        if vals:
            return self._common(vals)
        loops = [slot for slot in slots if isinstance(slot, LoopSlot)]
        text = loop_text(loops, self.known, self._common, self._known_text, self._depends)
        if text is None:
            raise Unlike
        return text

    def _common(self, vals: Sequence[Val]) -> Text:
        """The text for a value of every instance; a parameter for it where it has no source."""
        text = self._known_text(vals)
        if text is None:
            text = self._by_count(vals)
        return self._extra(vals) if text is None else text

    def _by_count(self, vals: Sequence[Val]) -> Text | None:
        """The source of a value to which each turn of a loop adds the same term; None where no loop does."""
        syms = [val.sym for val in vals if val.sym is not None]
        for count, turns in self.counts if len(syms) == len(vals) else ():
            least, most = turns.index(min(turns)), turns.index(max(turns))
            step = shared_out(difference(syms[most], syms[least]), turns[most] - turns[least])
            if step is None:
                continue
            first = difference(syms[least], binary("*", Const(turns[least]), step))
            if _length(first) > _length(syms[least]):
                continue  # what a turn adds is no part of it: through two counts there is a line always
            sums = [binary("+", first, binary("*", Const(n), step)) for n in turns]
            text = binary("+", first, binary("*", count, step))
            if all(
                difference(sym, total) == Const(0) and gives(text, params, v.value)
                for sym, total, v, params in zip(syms, sums, vals, self.known, strict=True)
            ):
                return text
        return None

    def _extra(self, vals: Sequence[Val]) -> str:
        """A parameter that only calls know, named after the argument it is handed to."""
        self._fix(vals)
        given = tuple(v.value for v in vals)
        base = vals[0].name or "value"
        known = next((p.name for p in self.extras if p.given == given and p.name.startswith(base)), None)
        if known is not None:
            return known
        block = self.instances[0].scope.block
        taken = {variable(name) for name in block.params} if block is not None else set()
        taken |= {p.name for p in self.extras} | {CHANNELS}
        name, number = base, 2
        while name in taken:
            name, number = f"{base}{number}", number + 1
        default = vals[0].default
        usual = default is not REQUIRED and all(v.default == default for v in vals)
        text = literal(default) if usual else None
        self.extras.append(ClassParam(name, None, _annotation(vals), text, given))
        return name

    def _known_text(self, vals: Sequence[Val]) -> Text | None:
        text = self._common_text(vals, self.known)
        if isinstance(text, str):
            self._fix(vals)
        return text

    def _fix(self, vals: Sequence[Val]) -> None:
        """These values, one of each instance, are written as plain numbers."""
        for val, instance in zip(vals, self.instances, strict=True):
            self.sources.fix(val.sym, instance.scope)

    def _depends(self, instance: int, sym: Sym | None) -> bool:
        """Whether a source in one of the instances can change with a param of the file."""
        scope = self.instances[instance].scope
        params = params_of(sym) if sym is not None else ()
        return any(self.sources.dependence_of(param, scope) for param in params)

    def _shortcut(self, name: str) -> ShortcutText:
        news = [dict(i.children)[name] for i in self.instances]
        shortcuts = [new for new in news if isinstance(new, ShortcutNew)]
        projected = [(n, k) for n, k in zip(shortcuts, self.known, strict=True) if n.projection is not None]
        if not projected:
            return ShortcutText(shortcuts[0], (), depends=False)
        skeletons: list[list[str]] = []
        slots = []
        for new, _ in projected:
            skeletons.append([])
            assert new.projection is not None
            slots.append([slot for slot in walk(new.projection, skeletons[-1]) if isinstance(slot, Val)])
        if any(s != skeletons[0] for s in skeletons):
            raise Unlike
        params = [k for _, k in projected]
        scopes = [
            i.scope for i, new in zip(self.instances, shortcuts, strict=True) if new.projection is not None
        ]
        texts = []
        for vals in zip(*slots, strict=True):
            texts.append(self._common_text(vals, params))
            for val, scope in zip(vals, scopes, strict=True) if isinstance(texts[-1], str) else ():
                self.sources.fix(val.sym, scope)
        if len(projected) < len(shortcuts):
            for new, values in zip(shortcuts, self.known, strict=True):
                same = value(new.stride, values) == 1 and value(new.source, values) == value(
                    new.target, values
                )
                if same != (new.projection is None) or (new.stride, new.source, new.target) != (
                    shortcuts[0].stride, shortcuts[0].source, shortcuts[0].target,
                ):  # fmt: skip
                    raise Unlike
        known_texts = tuple(t for t in texts if t is not None)
        if len(known_texts) < len(texts):
            raise Unlike
        return ShortcutText(projected[0][0], known_texts, depends=len(projected) < len(shortcuts))

    def _common_text(self, vals: Sequence[Val], known: Sequence[Known]) -> Text | None:
        """The source that all instances share if it gives the right number in each, else their common literal."""
        if all(v.is_default for v in vals):
            return LEFT_OUT
        first = vals[0]
        sym = self._shared([v.sym for v in vals])
        if sym is not None and not isinstance(sym, Const):
            sym = integral(sym) if type(first.value) is int else sym
            if all(gives(sym, params, v.value) for v, params in zip(vals, known, strict=True)):
                return sym
        if all(v.value == first.value and type(v.value) is type(first.value) for v in vals):
            return literal(first.value)
        return None

    def _shared(self, syms: Sequence[Sym | None]) -> Sym | None:
        """The source that all instances share, if they do; a parameter in it is whole only if it is everywhere."""
        known = [substituted(sym, self.real) if self.real else sym for sym in syms if sym is not None]
        return known[0] if len(known) == len(syms) and all(sym == known[0] for sym in known) else None


def detail(instance: Instance) -> str:
    """What tells apart instances of one skeleton that are unlike: their projections, and the lengths of loops."""
    parts: list[str] = []
    for name, new in instance.children:
        if isinstance(new, ShortcutNew):
            slots = () if new.projection is None else walk(new.projection, parts)
            numbers = [v.value for v in slots if isinstance(v, Val)]
            parts.append(f"{name}: {new.projection is not None} {numbers}")
    lengths = [len(slot.turns) for slot in instance.slots if isinstance(slot, LoopSlot)]
    return f"{' '.join(parts)} {lengths}"


def _length(sym: Sym) -> int:
    """How many numbers and operators an expression has."""
    return 1 + sum(map(_length, parts(sym)))


def _params(text: SlotText) -> Iterable[Param]:
    """The parameters that a text speaks of."""
    if isinstance(text, LoopText):
        return [p for t in text.all for p in _params(t) if p != TURN]
    return () if isinstance(text, str) else params_of(text)


def _annotation(vals: Sequence[Val]) -> str:
    """The type of a parameter that is handed these values."""
    return " | ".join(dict.fromkeys(_type(v.value) for v in vals))


def _type(given: object) -> str:
    if isinstance(given, tuple):
        return f"tuple[{', '.join(map(_type, given))}]"
    return type(given).__name__


def ordered(
    scope: Scope, used: Iterable[Param], exact: Collection[Param], taken: Collection[str] = ()
) -> list[ClassParam]:
    """Constructor parameters: channels first, then what is handed through, then the block's own in its order.

    Of those that are `exact` something else than a float is made; names that are `taken` get an underscore.
    """
    block = scope.block.params if scope.block is not None else {}
    order = list(block)

    def rank(param: Param) -> tuple[int, int]:
        if param.owner == 0 and param.name not in block:
            position = param.name.removeprefix(CHANNELS) or "1"
            return (0, int(position)) if position.isdecimal() else (3, 0)
        if param.owner > 0:
            return (1, 0)
        return (2, order.index(param.name))

    out: list[ClassParam] = []
    for param in sorted(dict.fromkeys(used), key=rank):
        name = variable(param.name)
        while name in taken or any(p.name == name for p in out):
            name += "_"
        default = _default(scope, param) if param.owner == 0 else None
        real = param.kind == "float" and default is not None
        text = None if default is None else literal(float(default) if real else default)
        rounded = param.kind == "float" and param not in exact
        out.append(ClassParam(name, param, param.kind, text, is_rounded=rounded))
    return out


def _default(scope: Scope, param: Param) -> Any:
    """The default of a parameter of a scope's block, if that is a number or word as it is written."""
    known = scope.block.params.get(param.name) if scope.block is not None else None
    return (
        known if kind_of(known) == param.kind or (param.kind == "float" and kind_of(known) == "int") else None
    )
