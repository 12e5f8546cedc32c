"""Blocks: levels that differ in numbers only become calls of one block, where that is shorter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import field, replace
from itertools import pairwise

from cnnc.dsl.record import record
from cnnc.importer.structure.copies import Common, Namer, common, skeleton
from cnnc.importer.structure.folding import Folder
from cnnc.importer.structure.naming import has_sides, uncounted
from cnnc.importer.structure.nests import differing, filled, filling, lifted, nests, with_hole
from cnnc.importer.structure.spell import Speller, size
from cnnc.importer.structure.terms import (
    Break,
    Call,
    Chain,
    Formula,
    Hole,
    Item,
    Join,
    Leaf,
    Scope,
    Value,
    items_in,
    label_of,
    mapped,
    rebuilt,
)

NEAR = 8
"""Levels after one among which its like is looked for."""


@record
class Block:
    """A declaration; a default is None where there is none."""

    name: str
    params: tuple[str, ...]
    defaults: tuple[Value | None, ...]
    body: Chain
    hole: str = ""
    """The parameter that is a chain."""


@record(frozen=False, eq=False)
class Program:
    """All chains of a spec under way: the model's own, the shared modules', and the blocks'."""

    root: Chain
    shared: dict[str, Chain]
    blocks: list[Block] = field(default_factory=list)


def with_blocks(
    program: Program,
    folder: Folder,
    namer: Namer,
    classes: Mapping[str, str],
    *,
    fixed: Set[str] | None,
    blocks: bool = True,
) -> Program:
    """Every level resolved, the innermost first: into a call of a block, or into what stands in its place.

    Where names are kept, labels that counters give as well are left out, but for those in `fixed`.
    """
    maker = _Maker(program, folder, namer, classes, blocks, fixed)
    while maker.round():
        pass
    return maker.program


class _Maker:
    def __init__(
        self,
        program: Program,
        folder: Folder,
        namer: Namer,
        classes: Mapping[str, str],
        blocks: bool,
        fixed: Set[str] | None,
    ) -> None:
        self.program = program
        self.folder = folder
        self.speller: Speller = folder.speller
        self.namer = namer
        self.classes = classes
        self.blocks = blocks
        self.fixed = fixed
        self.around: dict[str, Scope] = {}
        """The levels under way, by their names."""

    def round(self) -> bool:
        """Resolve the levels that have none unresolved inside; whether there were any."""
        if self.blocks:
            self._each(self._nested)
        scopes = [scope for chain in self._chains() for scope in _innermost(chain)]
        if not scopes:
            self.program.root = self.uncounted(self.program.root, is_model=True)
            self._each(self.folder.fold)
            return False
        self.around = {
            item.name_in_model: item
            for chain in self._chains()
            for item in items_in(chain)
            if isinstance(item, Scope) and not item.settled
        }
        made = dict(zip((scope.name_in_model for scope in scopes), self._resolved(scopes), strict=True))

        def change(item: Item) -> tuple[Item, ...]:
            found = made.get(item.name_in_model) if isinstance(item, Scope) and not item.settled else None
            return (item,) if found is None else found

        self._each(lambda chain: mapped(chain, change))
        return True

    def uncounted(self, chain: Chain, *, is_model: bool = False) -> Chain:
        return chain if self.fixed is None else uncounted(chain, self.fixed, is_model=is_model)

    def _chains(self) -> Sequence[Chain]:
        return [self.program.root, *self.program.shared.values()]

    def _each(self, change: Callable[[Chain], Chain]) -> None:
        self.program.root = change(self.program.root)
        self.program.shared = {name: change(chain) for name, chain in self.program.shared.items()}

    def _resolved(self, scopes: Sequence[Scope]) -> list[tuple[Item, ...]]:
        """What stands in the place of each level."""
        bodies = [self._folded(scope.body) for scope in scopes]
        groups: dict[object, list[int]] = {}
        for i, body in enumerate(bodies):
            groups.setdefault(skeleton(body), []).append(i)
        out = [_in_place(scope, body) for scope, body in zip(scopes, bodies, strict=True)]
        alone: list[int] = []
        for members in groups.values():
            block = None
            if self.blocks and len(members) > 1:
                block = self._block([scopes[i] for i in members], [bodies[i] for i in members])
            if block is None:
                alone += members[:1]
            for i, call in zip(members, block or (), strict=False):
                out[i] = (call,)
        while self.blocks and len(alone) > 1:
            first = alone.pop(0)
            members, calls = self._but_for_one_chain(first, alone[:NEAR], scopes, bodies)
            alone = [i for i in alone if i not in members]
            for i, call in zip(members, calls, strict=True):
                out[i] = (call,)
        return out

    def _but_for_one_chain(
        self, first: int, others: Sequence[int], scopes: Sequence[Scope], bodies: Sequence[Chain]
    ) -> tuple[list[int], list[Call]]:
        """The levels that are alike but for a chain in one place, with the first of them, and calls of one block that is
        handed it; none where that is not shorter."""
        hole = self._hole()
        for other in others:
            found = differing(bodies[first], bodies[other], hole, self.folder.kind)
            if found is None:
                continue
            pattern = found[0]
            matches = {i: filling(pattern, bodies[i]) for i in (first, *others)}
            members = [i for i, match in matches.items() if match is not None]
            holed = [match[0] for match in matches.values() if match is not None]
            chains = [lifted(match[1], 1) for match in matches.values() if match is not None]
            handed = [chain for chain in chains if chain is not None]
            labels = {label_of(getattr(item, "label", ())) for chain in handed for item in items_in(chain)}
            if len(handed) != len(members) or labels & ((self.fixed or set()) - {""}):
                continue
            calls = self._block([scopes[i] for i in members], [bodies[i] for i in members], holed, handed)
            if calls is not None:
                return members, calls
        return [], []

    def _hole(self) -> Hole:
        return Hole(next(name for name in ("inner", "below", "within") if name not in self.namer.taken))

    def _block(
        self,
        scopes: Sequence[Scope],
        bodies: Sequence[Chain],
        holed: Sequence[Chain] = (),
        handed: Sequence[Chain] = (),
    ) -> list[Call] | None:
        """Calls of one block for levels with these bodies; of bodies with a hole, for which each is handed a chain."""
        flows = [scope.flow[0] if scope.flow else None for scope in scopes]
        found = common(holed or bodies, flows, self.namer, is_block=True)
        if found is None or len(found.params) > 12:
            return None
        name = self.namer.block(self._name(scopes))
        block, order = _declared(name, found)
        block = replace(block, hole=self._hole().name) if holed else block
        ups = [found.outer.get(found.params[i], (1,) * len(scopes)) for i in order]
        calls = []
        for number, (scope, row) in enumerate(zip(scopes, found.rows, strict=True)):
            args = tuple(Leaf(row[i], outer=up[number] - 1) for i, up in zip(order, ups, strict=True))
            pipes = (handed[number],) if handed else ()
            calls.append(Call(name, args, scope.label, block.defaults, scope.bound, pipes))
        inline, called = 0, self._declaration(block)
        for scope, body, number in self._written(scopes, bodies):
            inline += size(self.speller.chain(_in_place(scope, body))) + 1
            called += size(self.speller.item(calls[number])) + 1
        if called >= inline:
            return None
        self.namer.blocks[name] = block.params
        self.program.blocks.append(block)
        return calls

    def _written(
        self, scopes: Sequence[Scope], bodies: Sequence[Chain]
    ) -> Iterator[tuple[Scope, Chain, int]]:
        """The levels that have to be written, with their bodies and numbers: none that is a turn of one repeat with the
        level before it, or is at the same place in a level alike."""
        seen: dict[tuple[object, str], list[str]] = {}
        for number, (scope, body) in enumerate(zip(scopes, bodies, strict=True)):
            code = tuple(map(self.folder.code, body))
            around, _, here = scope.name_in_model.rpartition(".")
            length = len(scope.body) if around.startswith("~") else 1
            before = str(int(here) - length) if here.isdecimal() else ""
            is_next = around in seen.get((code, before), ())
            others = seen.setdefault((code, here), [])
            if scope.label or not (is_next or any(self._are_alike(around, other) for other in others)):
                yield scope, body, number
            others.append(around)

    def _are_alike(self, one: str, other: str) -> bool:
        """Whether two levels are the same but for their numbers."""
        a, b = self.around.get(one), self.around.get(other)
        return one == other or (
            a is not None and b is not None and self.folder.kind(a) == self.folder.kind(b)
        )

    def _nested(self, chain: Chain) -> Chain:
        """The chain with levels inside levels alike as calls of one block, which is handed what stands inside."""
        for line in nests(chain):
            call = self._nest(line) if len(line) > 1 else None
            if call is not None:
                first, made = call

                def change(item: Item) -> tuple[Item, ...]:
                    is_first = isinstance(item, Scope) and item.name_in_model == first.name_in_model  # noqa: B023
                    return (made,) if is_first else (item,)  # noqa: B023

                chain = mapped(chain, change)
        return chain

    def _nest(self, line: Sequence[Scope]) -> tuple[Scope, Call] | None:
        """Of levels inside each other those that are alike but for what they hold: the first of them, and the call in
        its place, which is handed all that stands inside."""
        hole = self._hole()
        bodies = [self._folded(with_hole(outer.body, inner, hole)) for outer, inner in pairwise(line)]
        content = tuple[Item, ...](line[-1:])
        innermost = self._folded(line[-1].body)
        last = next((found for body in reversed(bodies) if (found := filling(body, innermost))), None)
        if last is not None and last[1]:
            bodies, content = [*bodies, last[0]], last[1]
        calls = self._handed(line, bodies, hole)
        made = self._inside_each_other(line, bodies, content, calls) if calls else None
        written: Chain = content
        for scope, body in reversed([*zip(line, bodies, strict=False)][min(calls, default=0) :]):
            written = _in_place(scope, filled(body, written))
        blocks = {block.name: block for block, _ in calls.values()}
        cost = sum(map(self._declaration, blocks.values()))
        if made is None or cost + size(self.speller.item(made)) >= size(self.speller.chain(written)):
            for name in blocks:
                del self.namer.blocks[name]
            return None
        self.program.blocks += blocks.values()
        return line[min(calls)], made

    def _handed(
        self, line: Sequence[Scope], bodies: Sequence[Chain], hole: Hole
    ) -> dict[int, tuple[Block, list[Leaf]]]:
        """For each level that is like another of a line: the block of both, and the arguments."""
        groups: dict[object, list[int]] = {}
        for i, body in enumerate(bodies):
            groups.setdefault(skeleton(body), []).append(i)
        calls: dict[int, tuple[Block, list[Leaf]]] = {}
        for members in groups.values():
            scopes = [line[i] for i in members]
            flows = [scope.flow[0] if scope.flow else None for scope in scopes]
            found = None
            if len(members) > 1:
                found = common([bodies[i] for i in members], flows, self.namer, is_block=True)
            if found is None or len(found.params) > 12:
                continue
            block, order = _declared(self.namer.block(self._name(scopes)), found)
            block = replace(block, hole=hole.name)
            self.namer.blocks[block.name] = block.params
            ups = [found.outer.get(found.params[i], (0,) * len(members)) for i in order]
            for number, (i, row) in enumerate(zip(members, found.rows, strict=True)):
                calls[i] = block, [Leaf(row[j], outer=up[number]) for j, up in zip(order, ups, strict=True)]
        return calls

    def _inside_each_other(
        self,
        line: Sequence[Scope],
        bodies: Sequence[Chain],
        content: Chain,
        calls: Mapping[int, tuple[Block, list[Leaf]]],
    ) -> Call | None:
        """The call for the first level of a line that is one, with those inside it; None where a chain that is handed
        on needs a tensor of a level that is no longer around it."""

        def gone(place: int) -> int:
            """How many levels right around one are calls, so that it is written outside them."""
            return next(n for n in range(place + 1) if place - n - 1 not in calls)

        inside = lifted(content, gone(len(bodies)))
        for i in reversed(range(min(calls), len(bodies))):
            if inside is None:
                return None
            if i not in calls:
                inside = lifted((replace(line[i], body=filled(bodies[i], inside)),), gone(i))
                continue
            block, args = calls[i]
            if any(0 < leaf.outer <= gone(i) for leaf in args):
                return None
            args = [replace(leaf, outer=max(0, leaf.outer - gone(i) - 1)) for leaf in args]
            around = bodies[i - 1] if i > min(calls) else ()
            label = () if self._is_counted(block.name, line[i], around) else line[i].label
            inside = (Call(block.name, tuple(args), label, block.defaults, line[i].bound, (inside,)),)
        made = inside[0] if inside else None
        assert made is None or isinstance(made, Call)
        return made

    def _is_counted(self, name: str, scope: Scope, around: Chain) -> bool:
        """Whether a level inside another has the name that a counter gives it."""
        others = any(isinstance(item, Call) and item.block == name for item in items_in(around))
        counted = self.fixed is not None and label_of(scope.label) not in self.fixed
        return counted and has_sides(around) and not others and label_of(scope.label) == f"{name}1"

    def _folded(self, body: Chain) -> Chain:
        return self.folder.fold(self.uncounted(body))

    def _declaration(self, block: Block) -> int:
        return size(declaration(block, self.speller))

    def _name(self, scopes: Sequence[Scope]) -> str:
        """A name after the classes of the modules, or after what the levels are called."""
        classes = [self.classes.get(s.name_in_model) for s in scopes]
        given = Counter(name for name in classes if name is not None and name not in _CONTAINERS)
        if given:
            return _snake(given.most_common(1)[0][0])
        stems = Counter(stem for s in scopes if (stem := _stem(s.name_in_model)))
        has_name = classes.count(None) == len(scopes) or 2 * stems.total() >= len(scopes)
        stem = stems.most_common(1)[0][0] if stems and has_name else _kind(scopes[0].body)
        stem = "stage" if stem in _LISTS else stem
        return stem if stem not in self.namer.taken else f"{stem}_block"


def _innermost(chain: Chain) -> list[Scope]:
    """The unresolved levels with none in them, in the order in which `mapped` meets them."""
    found: list[Scope] = []

    def look(item: Item) -> tuple[Item, ...]:
        if isinstance(item, Scope) and not item.settled:
            inner = [i for i in items_in(item.body) if isinstance(i, Scope) and not i.settled]
            if not inner:
                found.append(item)
        return (item,)

    mapped(chain, look)
    return found


def _in_place(scope: Scope, body: Chain) -> tuple[Item, ...]:
    """A level that is no call: a bracket, or nothing but its items where it need not be a level."""
    body = rebuilt(body, lambda leaf: replace(leaf, outer=leaf.outer - 1) if leaf.outer else leaf)
    if scope.bound or scope.label or any(isinstance(item, Break) for item in body):
        return (replace(scope, body=body, settled=True),)
    return body


def _declared(name: str, found: Common) -> tuple[Block, list[int]]:
    """The block, parameters with a usual value last, and the order of its parameters in the rows."""
    usual: list[Value | None] = []
    saved: list[int] = []
    for param, column in zip(found.params, zip(*found.rows, strict=True), strict=False):
        value, times = Counter(column).most_common(1)[0]
        worth = times >= 2 and 2 * times > 2 + 0 and times * 2 >= len(column)
        usual.append(value if worth and not isinstance(value, Formula) and param not in found.outer else None)
        saved.append(times if usual[-1] is not None else 0)
    order = sorted(range(len(found.params)), key=lambda i: saved[i])
    return (
        Block(name, tuple(found.params[i] for i in order), tuple(usual[i] for i in order), found.term),
        order,
    )


def declaration(block: Block, speller: Speller) -> str:
    given = [
        p if d is None else f"{p}={speller.value(d)}"
        for p, d in zip(block.params, block.defaults, strict=True)
    ]
    if block.hole:
        given.insert(sum(d is None for d in block.defaults), block.hole)
    params = ", ".join(given)
    body = speller.lines(block.body)
    if "\n" in body:
        body = f"[\n{body}\n]"
    return f"block {block.name}{f'({params})' if params else ''} = {body}"


_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "Module")
"""Classes of modules that say nothing of what these do."""
_LISTS = ("blocks", "layers")
"""What levels are called that hold others in a row."""


def _stem(name: str) -> str | None:
    """What a level is called, without its number: `denselayer` of `features.denseblock1.denselayer3`."""
    stem = re.sub(r"_*\d+[a-z]?$", "", name.rpartition(".")[2]).lower()
    return stem if stem.isidentifier() and len(stem) > 1 else None


def _kind(body: Chain) -> str:
    """A word for what a level does, where its name is a number."""
    names = {"+": "residual", "|": "concat_unit", "&": "gate", "@": "product"}
    found = [names[item.op] for item in body if isinstance(item, Join)]
    return found[0] if found else "unit"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
