"""Labels where a counter would give another name than the keys need: docs/language.md, Module names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import replace

from cnnc.compiler.walk.again import AGAIN
from cnnc.importer.structure.terms import (
    NONE,
    Call,
    Chain,
    Fit,
    Item,
    Join,
    Layer,
    Leaf,
    Loop,
    Ref,
    Repeat,
    Scope,
    Word,
    items_in,
    label_of,
    leaves,
    mapped,
)


def named(chain: Chain, *, is_model: bool = False) -> Chain:
    """The chain of a level with the labels that give every layer the name it must have."""
    return _Level(chain, is_model).named(chain)


def has_sides(chain: Chain) -> bool:
    """Whether branches stand on a level, those of the levels inside it left out."""
    return any(isinstance(item, Join) for item in on_level(chain))


def on_level(chain: Iterable[Item]) -> Iterable[Item]:
    """Every item of a level of names."""
    for item in chain:
        yield item
        if isinstance(item, Join):
            for branch in item.branches:
                yield from on_level(branch)
        elif isinstance(item, Layer):
            for _, pipe in item.pipes:
                yield from on_level(pipe)


class _Level:
    def __init__(self, chain: Chain, is_model: bool) -> None:
        self.numbered = not is_model and not has_sides(chain)
        self.counters: dict[str, int] = {}
        self.required = {
            name
            for item in on_level(chain)
            if isinstance(item, Layer | Scope)
            for name in item.names
            if name is not None
        }

    def named(self, chain: Chain) -> Chain:
        out: list[Item] = []
        for item in chain:
            out += self._item(item)
        return tuple(out)

    def _item(self, item: Item) -> list[Item]:
        match item:
            case Join():
                return [replace(item, branches=tuple(self.named(b) for b in item.branches))]
            case Scope():
                return [self._scope(replace(item, body=_Level(item.body, False).named(item.body)))]
            case Layer():
                if item.pipes:
                    item = replace(item, pipes=tuple((key, self.named(pipe)) for key, pipe in item.pipes))
                return self._layer(item)
        return [item]

    def _next(self, kind: str) -> str:
        return str(self.counters.get("", 0)) if self.numbered else f"{kind}{self.counters.get(kind, 0) + 1}"

    def _count(self, kind: str) -> None:
        kind = "" if self.numbered else kind
        self.counters[kind] = self.counters.get(kind, 0) + 1

    def _scope(self, scope: Scope) -> Scope:
        if scope.label:
            return scope
        if not any(isinstance(i, Layer | Fit) and any(i.names) for i in items_in(scope.body)):
            return replace(scope, label=(scope.name,))
        if self.numbered and scope.name == self._next(""):
            self._count("")
            return scope
        return replace(scope, label=(scope.name,))

    def _layer(self, layer: Layer) -> list[Item]:
        if layer.kind == AGAIN:  # it is called after its module
            return [layer]
        brought = [leaf.value for leaf in (layer.norm, layer.act) if leaf is not None]
        kinds = [layer.kind, *(word.kind for word in brought if isinstance(word, Word) and word != NONE)]
        parts = [layer.names[0] if layer.names else None]
        if layer.norm is not None and layer.norm.value != NONE:
            parts.append(layer.names[1] if len(layer.names) > 1 else None)
        if layer.act is not None and layer.act.value != NONE:
            parts.append(layer.names[2] if len(layer.names) > 2 else None)
        if layer.label:
            given = "".join(part if isinstance(part, str) else str(part.value) for part in layer.label)
            wanted = [given, *(f"{given}_{kind}" for kind in kinds[1:])]
            if all(part in (None, name) for part, name in zip(parts, wanted, strict=True)):
                return [layer]
            return self._apart(layer, parts)
        if self._counts(kinds, parts):
            return [layer]
        own = parts[0] or next(
            (p.removesuffix(f"_{k}") for p, k in zip(parts[1:], kinds[1:], strict=True) if p), None
        )
        if own is None:
            return [replace(layer, label=(self._free(),))]
        wanted = [own, *(f"{own}_{kind}" for kind in kinds[1:])]
        if all(part in (None, name) for part, name in zip(parts, wanted, strict=True)):
            return [replace(layer, label=(own,))]
        return self._apart(layer, parts)

    def _free(self) -> str:
        number = 1
        while f"y{number}" in self.required:
            number += 1
        self.required.add(f"y{number}")
        return f"y{number}"

    def _counts(self, kinds: list[str], parts: list[str | None]) -> bool:
        """Whether counters give the names; they count on if so."""
        before = dict(self.counters)
        for kind, part in zip(kinds, parts, strict=True):
            name = self._next(kind)
            if part not in (None, name) or (part is None and name in self.required):
                self.counters = before
                return False
            self._count(kind)
        return True

    def _apart(self, layer: Layer, parts: list[str | None]) -> list[Item]:
        """The layer and what it brings as items of their own."""
        out: list[Item] = []
        no_act = None if layer.act is None else Leaf(NONE, welcome=layer.act.welcome)
        bare = replace(
            layer, norm=None if layer.norm is None else Leaf(NONE), act=no_act, label=(), names=(parts[0],)
        )
        if layer.norm is not None and layer.norm.value != NONE and bare.act is not None:
            bare = replace(bare, act=Leaf(NONE, welcome=True))
        out += self._layer(bare)
        brought = [leaf for leaf in (layer.norm, layer.act) if leaf is not None and leaf.value != NONE]
        for leaf, part in zip(brought, parts[1:], strict=True):
            assert isinstance(leaf.value, Word)
            args = tuple(
                (key, Leaf(int(text) if text.isdecimal() else text)) for key, text in leaf.value.args
            )
            out += self._layer(Layer(leaf.value.kind, args=args, names=(part,)))
        last = out[-1]
        if layer.label and isinstance(last, Layer) and not last.label:
            out[-1] = replace(last, label=layer.label)
        return out


def uncounted(chain: Chain, fixed: Set[str], *, is_model: bool = False) -> Chain:
    """The chain of a level without the labels that a counter gives as well: `sep1: sep -> sep2: sep`.

    Labels that something refers to stay, and those in `fixed`.
    """
    if not is_model and not has_sides(chain):
        return chain
    used = {label_of(item.name) for item in items_in(chain) if isinstance(item, Ref)} | fixed
    used |= {leaf.value for leaf in leaves(chain) if isinstance(leaf.value, str)}
    used = {name.partition(".")[0].strip('"') for name in used}
    calls: dict[str, list[Call]] = {}
    for item in on_level(chain):
        if isinstance(item, Call):
            calls.setdefault(item.block, []).append(item)
    counted = {
        block
        for block, found in calls.items()
        if [label_of(call.label) for call in found] == [f"{block}{i}" for i in range(1, len(found) + 1)]
        and not used & {label_of(call.label) for call in found}
    }
    if not counted or any(isinstance(item, Repeat | Loop) for item in on_level(chain)):
        return chain
    return _without_labels(chain, counted)


def _without_labels(chain: Chain, blocks: set[str]) -> Chain:
    """The items of a level, calls of these blocks without their labels."""
    out: list[Item] = []
    for item in chain:
        match item:
            case Call() if item.block in blocks:
                item = replace(item, label=())
            case Join():
                item = replace(item, branches=tuple(_without_labels(b, blocks) for b in item.branches))
            case Layer() if item.pipes:
                item = replace(item, pipes=tuple((key, _without_labels(c, blocks)) for key, c in item.pipes))
        out.append(item)
    return tuple(out)


def split_labels(chain: Chain) -> Chain:
    """The chain with the numbers in its labels apart, so that labels alike but for a number are alike."""

    def change(item: Item) -> tuple[Item, ...]:
        label = item.name if isinstance(item, Ref) else getattr(item, "label", ())
        if not label or not isinstance(item, Layer | Join | Scope | Call | Ref):
            return (item,)
        text = label_of(label)
        parts: list[str | Leaf] = [
            Leaf(int(part)) if part.isdecimal() and str(int(part)) == part else part
            for part in re.split(r"(\d+)", text)
            if part
        ]
        made = tuple(parts)
        return (replace(item, name=made) if isinstance(item, Ref) else replace(item, label=made),)

    return mapped(chain, change)
