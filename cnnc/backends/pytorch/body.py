"""One class as text: its constructor and its forward, as logical lines that are not laid out yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from cnnc.backends.pytorch.classes import (
    LEFT_OUT,
    ClassDef,
    DictNew,
    HandedNew,
    InstanceNew,
    LayerNew,
    LoopNew,
    LoopSlot,
    LoopText,
    New,
    SequenceNew,
    ShortcutNew,
    SlotText,
    Text,
    is_positional,
    names_in,
)
from cnnc.backends.pytorch.forward import Loop, Step, end_of_maps, forward_lines, with_running_sums
from cnnc.backends.pytorch.layer import Raw, Val
from cnnc.backends.pytorch.loops import numbered
from cnnc.backends.pytorch.names import MODULE_ATTRIBUTES, attribute, is_plain, quote, variable
from cnnc.backends.pytorch.rolled import rolled
from cnnc.backends.pytorch.sym import mentions
from cnnc.backends.pytorch.sym import text as sym_text
from cnnc.compiler.symbolic import TURN
from cnnc.dsl.record import record

Line = tuple[int, str]
"""A logical line: how far it is indented within its method, and its text."""


@record
class _LoopText:
    """What forward's part of a loop has for the values of its turns: those written one by one, then any other."""

    turns: tuple[tuple[Text, ...], ...]
    count: Text | None


@dataclass(frozen=True, slots=True)
class Slices:
    """That forward takes `images` at a time, as long as it works on `maps`, the nodes that have maps."""

    images: int
    maps: frozenset[int]


class Body:
    """The methods of one class, or of what it is under one condition.

    `constructor` has a chunk of lines for each child, what is kept for forward and
    the call of the base class before them; `forward` the lines after its signature;
    `maps` those of the method that forward calls for a few images at a time, if any.
    """

    def __init__(
        self,
        cls: ClassDef,
        inputs: Sequence[str],
        returned: str | None,
        shapes: Mapping[int, str] | None = None,
        slices: Slices | None = None,
        *,
        is_whole: bool = True,
    ) -> None:
        """`inputs` are the names of forward's parameters; `returned` is the named tuple it returns, if any;
        `shapes` those of nodes, where forward is to tell them; `slices` where it takes a few images at a time;
        `is_whole` that it is no class under one of several conditions."""
        self.cls = cls
        self.params = cls.params
        self.names = cls.names
        self.layers: list[str] = []
        """The arguments of the base class's constructor, for a plain chain."""
        self.loops: dict[str, _LoopText] = {}
        """The texts of forward's loops, by the first child that each constructs."""
        self.calls: set[str] = set()
        """What the lines call besides modules: functions of Python's and helpers, as they are written."""
        texts = iter(cls.texts)
        steps = cls.first.steps
        self.taken = {*inputs, *(variable(label) for step in steps for label in step.labels if label)}
        """Variables of forward."""
        self.numbers = 0
        self.constructor = list(self._constructor(texts))
        self.forward: list[Line] = []
        self.maps: list[Line] = []
        self.maps_name = "maps"
        if not cls.first.sequential:
            modules = [variable(name) for name in cls.first.modules]
            steps = list(self._steps(texts))
            told = {
                value: shapes[node] for value, node in cls.first.nodes.items() if shapes and node in shapes
            }
            if slices is not None:
                steps = self._sliced(steps, inputs, slices, told)
            ways = [steps]
            if slices is None and is_whole and any(cls.first.turns.values()):
                ways.append(with_running_sums(steps))
            forwards = [
                forward_lines(way, inputs, cls.first.returns, returned, modules, told) for way in ways
            ]
            self.forward = [_indented(line) for line in forwards[0]]
            if len(ways) > 1:
                self._roll(forwards)

    def _roll(self, ways: Sequence[Sequence[str]]) -> None:
        """Write long repeats as loops, by that way of writing forward with which it saves most, if by any."""
        lines = tuple(" " * indent + line for chunk in self.constructor for indent, line in chunk)
        found = [(rolled(lines, tuple(way), self.cls.first.turns), way) for way in ways]
        loops = [parts for parts, way in found if len(parts[1]) < len(way)]
        if loops:
            constructor, forward = min(loops, key=lambda parts: len(parts[0]) + len(parts[1]))
            self.constructor = [[_indented(line) for line in constructor]]
            self.forward = [_indented(line) for line in forward]

    def _sliced(
        self, steps: list[Step], inputs: Sequence[str], slices: Slices, told: Mapping[int, str]
    ) -> list[Step]:
        """The steps with those on maps in a method of their own, which is called for a few images at a time."""
        first = self.cls.first
        end = end_of_maps(steps, first.returns, lambda value: first.nodes.get(value) in slices.maps)
        if end is None:
            return steps
        count, value = end
        self.maps = [(0, line) for line in forward_lines(steps[:count], inputs, [value], comments=told)]
        taken = {name for name, _ in first.children}
        while self.maps_name in taken:
            self.maps_name += "_"
        self.calls.add("by_slices")
        call = f"by_slices(self.{self.maps_name}, {{0}}, {slices.images})"
        return [Step(None, call, (0,), (value,), True, (None,)), *steps[count:]]

    # --- the constructor ---------------------------------------------------------------------

    def _constructor(self, texts: Iterator[SlotText]) -> Iterator[list[Line]]:
        children = self.cls.first.children
        if self.cls.first.sequential and is_positional(children):
            self.layers = self._positional(children, texts)
            yield [(0, f"super().__init__({', '.join(self.layers)})")]
            return
        exact = [(0, f"{name} = Fraction(str({name}))") for name in self.cls.exact]
        yield [(0, "super().__init__()"), *exact]
        for name, kept in self._kept.items():
            yield [(0, f"{kept} = {name}")]
        for name, new in children:
            yield self._child(name, new, texts)

    def _child(self, name: str, new: New, texts: Iterator[SlotText]) -> list[Line]:
        if isinstance(new, ShortcutNew):
            return self._shortcut(name)
        if isinstance(new, LoopNew):
            return self._loop_lines(new, next(texts))
        text = self._new(new, texts)
        if isinstance(new, LayerNew) and new.module.kept is not None:
            return [_registered(name, text, new.module.kept)]
        return [self._assigned(name, text)]

    def _assigned(self, name: str, expression: str) -> Line:
        if is_plain(name):
            return (0, f"self.{name} = {expression}")
        return (0, f"self.add_module({quote(name)}, {expression})")

    def _shortcut(self, name: str) -> list[Line]:
        """Nothing for an identity; a projection; or one or the other by the numbers."""
        shortcut = self.cls.shortcuts[name]
        if shortcut.new.projection is None:
            return []
        projection = self._new(shortcut.new.projection, iter(shortcut.texts))
        if not shortcut.depends:
            return [self._assigned(name, projection)]
        stride = sym_text(shortcut.new.stride, self.names)
        same = f"{sym_text(shortcut.new.source, self.names)} == {sym_text(shortcut.new.target, self.names)}"
        condition = same if stride == "1" else f"{stride} == 1 and {same}"
        return [
            (0, f"if {condition}:"),
            (4, self._assigned(name, "nn.Identity()")[1]),
            (0, "else:"),
            (4, self._assigned(name, projection)[1]),
        ]

    def _new(self, new: New, texts: Iterator[SlotText]) -> str:
        if isinstance(new, LayerNew):
            args = [text for a in new.module.args if (text := self._argument(a, texts)) != LEFT_OUT]
            options = [(k, self._argument(a, texts)) for k, a in new.module.kwargs.items()]
            args += [f"{k}={text}" for k, text in options if text != LEFT_OUT]
            text = _initialised(f"{new.module.cls}({', '.join(args)})", new.module.init)
            return new.module.around.replace("{}", text)
        if isinstance(new, SequenceNew):
            if new.is_positional:
                return f"nn.Sequential({', '.join(self._positional(new.items, texts))})"
            pairs = self._pairs(new.items, texts)
            self.calls.add("OrderedDict")
            return f"nn.Sequential(OrderedDict([{', '.join(pairs)}]))"
        if isinstance(new, DictNew):
            pairs = [f"{quote(name)}: {self._new(item, texts)}" for name, item in new.items]
            return f"nn.ModuleDict({{{', '.join(pairs)}}})"
        if isinstance(new, InstanceNew):
            return self._call(new, texts)
        if isinstance(new, HandedNew):
            return next(param.name for param in self.params if param.pipeline == new.name)
        return "nn.Identity()"

    def _call(self, new: InstanceNew, texts: Iterator[SlotText]) -> str:
        args: list[str] = []
        by_name = False
        for param, arg in zip(new.cls.params, new.args, strict=True):
            text = self._next(texts) if isinstance(arg, Val) else self._new(arg, texts)
            if text == param.default:
                by_name = True
            else:
                args.append(f"{param.name}={text}" if by_name or param.given else text)
                by_name = by_name or bool(param.given)
        return f"{new.cls.name}({', '.join(args)})"

    def _argument(self, argument: object, texts: Iterator[SlotText]) -> str:
        return argument.text if isinstance(argument, Raw) else self._next(texts)

    def _next(self, texts: Iterator[SlotText]) -> str:
        text = next(texts)
        assert not isinstance(text, LoopText)
        return self._text(text)

    def _text(self, text: Text) -> str:
        return text if isinstance(text, str) else sym_text(text, {**self.names, TURN: self.turn})

    # --- chains and loops ----------------------------------------------------------------------

    def _positional(self, items: Sequence[tuple[str, New]], texts: Iterator[SlotText]) -> list[str]:
        """The arguments of `nn.Sequential(…)`: runs of equal ones and loops as comprehensions."""
        written: list[str] = []
        loops: dict[int, list[str]] = {}
        for _, new in items:
            if isinstance(new, LoopNew):
                text = next(texts)
                assert isinstance(text, LoopText)
                made = self._made(new, text)
                written += [child for turn in made[: len(text.head)] for child in turn]
                if text.count is not None:
                    loops.setdefault(len(written), []).append(self._comprehension(text, made[-1]))
            else:
                written.append(self._new(new, texts))
        return _with_runs(written, loops)

    def _comprehension(self, text: LoopText, made: Sequence[str], *, is_keyed: bool = False) -> str:
        turn = self.turn if is_keyed or any(mentions(t, TURN) for t in text.body) else "_"
        turns = f"for {turn} in range({self._count(text)})"
        if len(made) == 1:
            return f"*[{made[0]} {turns}]"
        return f"*[layer {turns} for layer in ({', '.join(made)})]"

    def _pairs(self, items: Sequence[tuple[str, New]], texts: Iterator[SlotText]) -> list[str]:
        """The arguments of `OrderedDict([…])`."""
        pairs: list[str] = []
        for name, new in items:
            if not isinstance(new, LoopNew):
                pairs.append(f"({quote(name)}, {self._new(new, texts)})")
                continue
            text = next(texts)
            assert isinstance(text, LoopText)
            made = self._made(new, text)
            for turn, children in zip(new.turns, made[: len(text.head)], strict=False):
                pairs += [
                    f"({quote(name)}, {child})" for (name, _), child in zip(turn, children, strict=True)
                ]
            if text.count is not None:
                keyed = [
                    f"({key}, {child})" for key, child in zip(self._keys(new, text), made[-1], strict=True)
                ]
                pairs.append(self._comprehension(text, keyed, is_keyed=True))
        return pairs

    def _loop_lines(self, loop: LoopNew, text: SlotText) -> list[Line]:
        """A loop as statements of a constructor."""
        assert isinstance(text, LoopText)
        made = self._made(loop, text)
        lines: list[Line] = []
        for turn, children in zip(loop.turns, made[: len(text.head)], strict=False):
            lines += [self._assigned(name, child) for (name, _), child in zip(turn, children, strict=True)]
        if text.count is not None:
            lines.append((0, f"for {self.turn} in range({self._count(text)}):"))
            keyed = zip(self._keys(loop, text), made[-1], strict=True)
            lines += [(4, f"self.add_module({key}, {child})") for key, child in keyed]
        return lines

    def _made(self, loop: LoopNew, text: LoopText) -> list[list[str]]:
        """The children of the turns that are written one by one, and then those of any other if there are more."""
        made: list[list[str]] = []
        rests: list[tuple[Text, ...]] = []
        for texts in [*text.head, *([] if text.count is None else [text.body])]:
            inner = iter(texts)
            made.append([self._new(new, inner) for _, new in loop.turns[0]])
            rests.append(tuple(inner))
        if loop.values:
            self.loops[loop.turns[0][0][0]] = _LoopText(tuple(rests), text.count)
        return made

    def _keys(self, loop: LoopNew, text: LoopText) -> list[str]:
        """The names of a loop's children, as expressions of the turn."""
        children = zip(loop.turns[0], loop.strides, strict=True)
        return [self._key(name, len(text.head), stride) for (name, _), stride in children]

    def _count(self, text: LoopText) -> str:
        assert text.count is not None
        return self._text(text.count)

    def _key(self, name: str, done: int, stride: int = 1) -> str:
        """The name of a child that is called `name` in the first turn, in a loop, as an expression of the turn."""
        before, number, after = numbered(name)
        start = number + done * stride
        turn = self.turn if stride == 1 else f"{stride} * {self.turn}"
        turn += f" + {start}" if start else ""
        return f"f{quote(before)[:-1]}{{{turn}}}{quote(after)[1:]}" if before or after else f"str({turn})"

    @cached_property
    def turn(self) -> str:
        """The variable that counts the turns of a loop: none of the class's parameters, and none of forward's."""
        names = {param.name for param in self.params} | self.taken
        return next(name for name in ("i", "j", "index", "turn", "turn_") if name not in names)

    # --- forward -------------------------------------------------------------------------------

    def _steps(self, texts: Iterator[SlotText]) -> Iterator[Step]:
        """The steps of forward with their numbers filled in; a shortcut that is never a projection is none."""
        first = self.cls.first
        for step, values in zip(first.steps, first.values, strict=True):
            template = step.template
            if step.loop is not None:
                yield from self._loop_steps(step, step.loop)
                continue
            for key in sorted(values):
                template = _filled(template, key, self._kept_text(next(texts)))
            shortcut = self.cls.shortcuts.get(step.target or "")
            if shortcut is not None and shortcut.new.projection is None:
                yield replace(step, target=None, template="{0}")
            else:
                yield replace(step, template=template)

    def _loop_steps(self, step: Step, loop: Loop) -> Iterator[Step]:
        """The turns of a loop that are written one by one, and the loop."""
        texts = self.loops[loop.name]
        strides = dict(loop.strides)
        ins = list(step.ins)
        before = len(ins) - sum(map(len, loop.firsts))
        heads = texts.turns if texts.count is None else texts.turns[:-1]
        for t, turn in enumerate(heads):
            made = dict(enumerate(ins[:before]))
            for inner, template in zip(loop.body, self._templates(loop, turn), strict=True):
                made |= {value: self._fresh() for value in inner.outs}
                target = inner.target and _later(inner.target, t * strides[inner.target])
                ins_, outs = (tuple(made[value] for value in values) for values in (inner.ins, inner.outs))
                yield replace(inner, target=target, template=template, ins=ins_, outs=outs)
            ins[: loop.carried] = [made[end] for end in loop.ends]
            firsts = [(*f, made[g]) for f, g in zip(loop.firsts, loop.gathered, strict=True)]
            ins[before:] = [value for values in firsts for value in values]
            loop = replace(loop, firsts=tuple(firsts))
        if texts.count is None:
            for value, out in zip(ins, step.outs[: loop.carried], strict=False):
                yield Step(None, "{0}", (value,), (out,), False, (None,))
            for listed, out in zip(loop.firsts, step.outs[loop.carried :], strict=True):
                yield Step(None, "[{all}]", listed, (out,), False, (None,))
            return
        body: list[Step] = []
        for inner, template in zip(loop.body, self._templates(loop, texts.turns[-1]), strict=True):
            name = inner.target
            key = "" if name is None else self._key(name, len(heads), strides[name])
            body.append(replace(inner, template=template, key=key))
        head = f"for {self.turn} in range({self._kept_text(texts.count)}):"
        yield replace(step, template=head, ins=tuple(ins), loop=replace(loop, body=tuple(body)))

    def _templates(self, loop: Loop, texts: Sequence[Text]) -> Iterator[str]:
        """The templates of the steps of a turn with their numbers filled in."""
        rest = iter(texts)
        for step, keys in zip(loop.body, loop.keys, strict=True):
            template = step.template
            for key in keys:
                template = _filled(template, key, self._kept_text(next(rest)))
            yield template

    def _fresh(self) -> int:
        """A number that no value of forward has."""
        self.numbers -= 1
        return self.numbers

    @cached_property
    def _kept(self) -> dict[str, str]:
        """The constructor's parameters that forward reads, and the attributes they are kept in."""
        first = self.cls.first
        count = sum(map(len, first.values))
        texts = [t for t in self.cls.texts[len(self.cls.texts) - count :] if not isinstance(t, LoopText)]
        for slot, loop in zip(first.slots, self.cls.texts, strict=True):
            if isinstance(slot, LoopSlot) and slot.forward is not None and isinstance(loop, LoopText):
                texts += [t for turn in (*loop.head, loop.body) for t in turn[len(turn) - slot.forward :]]
                texts += [] if loop.count is None else [loop.count]
        taken = MODULE_ATTRIBUTES.union(names_in(first.children))
        kept: dict[str, str] = {}
        for param in self.params:
            if any(text == param.name or mentions(text, param.sym) for text in texts):
                name = param.name
                while name in taken:
                    name += "_"
                kept[param.name] = f"self.{name}"
        return kept

    def _kept_text(self, text: SlotText) -> str:
        """A text of forward: what the constructor was given is read from the attributes it is kept in."""
        assert not isinstance(text, LoopText)
        if isinstance(text, str):
            return self._kept.get(text, text)
        names = {sym: self._kept.get(name, name) for sym, name in self.names.items()}
        return sym_text(text, {**names, TURN: self.turn})


def _later(name: str, further: int) -> str:
    """A name with its number so much higher."""
    before, number, after = numbered(name)
    return f"{before}{number + further}{after}" if further else name


def _indented(line: str) -> Line:
    """A line apart from the spaces that it begins with."""
    bare = line.lstrip(" ")
    return len(line) - len(bare), bare


def _filled(template: str, key: str, text: str) -> str:
    """A template with a value in; formatters set a slice's colon apart from all but plain words."""
    hole = f"{{{key}}}"
    if not text.removeprefix("-").isalnum():
        template = template.replace(f"{hole}:", f"{hole} : ").replace(f":{hole}", f" : {hole}")
        template = template.replace(" : ]", " :]")
        if " " in text:
            template = template.replace(f"-{hole}", f"-({hole})")
    return template.replace(hole, text)


def _with_runs(written: Sequence[str], loops: Mapping[int, list[str]]) -> list[str]:
    """Expressions with more than two equal ones in a row as a comprehension, and `loops` before those at their keys."""
    out: list[str] = []
    i = 0
    while i < len(written):
        out += loops.get(i, [])
        run = 1
        while i + run < len(written) and written[i + run] == written[i] and i + run not in loops:
            run += 1
        out += [f"*[{written[i]} for _ in range({run})]"] if run > 2 else [written[i]] * run
        i += run
    return out + loops.get(len(written), [])


def _registered(name: str, expression: str, kept: str) -> Line:
    """A tensor of the module's own; one whose label has dots belongs to the dictionary of its first steps."""
    path, _, local = name.rpartition(".")
    owner = attribute(path) if path else "self"
    if kept == "parameter" and is_plain(local):
        return (0, f"{owner}.{local} = {expression}")
    return (0, f"{owner}.register_{kept}({quote(local)}, {expression})")


def _initialised(text: str, rules: Mapping[str, str]) -> str:
    """A constructor expression with the tensors in it started by rules of their own."""
    if not rules:
        return text
    if all(name.isidentifier() for name in rules):
        return f"initialised({text}, {', '.join(f'{name}={rule}' for name, rule in rules.items())})"
    return f"initialised({text}, **{{{', '.join(f'{quote(name)}: {rule}' for name, rule in rules.items())}}})"
