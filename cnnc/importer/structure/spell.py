"""Terms to text: items of a chain, as short as the file's defaults allow."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cnnc.compiler.expand import PLAIN_NAME, label_text
from cnnc.compiler.ops import Op, op_words
from cnnc.compiler.walk.fit import FITTED
from cnnc.dsl.tokens import RESERVED
from cnnc.importer.structure.terms import (
    NONE,
    Break,
    Call,
    Chain,
    Fit,
    Formula,
    Hole,
    Item,
    Join,
    Label,
    Layer,
    Leaf,
    Loop,
    Outer,
    Ref,
    Repeat,
    Scope,
    Tap,
    Value,
    Word,
    label_of,
)

Defaults = Mapping[tuple[str, str], Value]
"""What the file says of a kind's argument; of `conv` it holds for its kin too."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?|->|\.\.|[^\s\w]")


_WIDE = 84
"""Characters from which on a chain is laid out in lines."""


def size(text: str) -> int:
    """The number of words, numbers and signs in a text."""
    return len(_TOKEN.findall(text))


class Speller:
    """Spells terms under a file's defaults."""

    def __init__(
        self, defaults: Defaults, taken: frozenset[str] = frozenset(), *, in_lines: bool = False
    ) -> None:
        self.defaults = defaults
        self.taken = taken
        """Labels, which a bare layer word must not be taken for."""
        self.in_lines = in_lines
        """Whether long chains are laid out in lines."""

    # --- chains ---------------------------------------------------------------------------

    def chain(self, chain: Chain) -> str:
        """A chain in one text; lines of their own begin behind a line break."""
        out = ""
        fresh = True
        for item in chain:
            if isinstance(item, Break):
                out += "\n"
                fresh = True
                continue
            out += ("" if fresh or not out else " -> ") + self.item(item)
            fresh = False
        return out.strip("\n") or "id"

    def lines(self, chain: Chain) -> str:
        """A chain in lines of their own where it is long: what has a label begins one."""
        if not self.in_lines or len(text := self.chain(chain)) <= _WIDE:
            return self.chain(chain)
        out: list[list[str]] = [[]]
        is_head = False
        for item in chain:
            if isinstance(item, Break):
                out.append([])
                continue
            text = self.item(item)
            has_label = isinstance(item, Scope | Call) and bool(item.label)
            is_long = sum(map(len, out[-1])) + 4 * len(out[-1]) + len(text) > _WIDE
            if out[-1] and (has_label or is_long) and not isinstance(item, Tap) and not is_head:
                out.append([])
            out[-1].append(text)
            is_head = len(out[-1]) == 1 and isinstance(item, Ref | Outer)
        return "\n".join(" -> ".join(line) for line in out if line)

    def item(self, item: Item) -> str:
        match item:
            case Layer():
                return self._label(item.label) + self.layer(item)
            case Fit():
                return self._fit(item)
            case Join():
                along = "" if item.axis == "C" else f"(axis={item.axis})"
                if item.targets:
                    turns = f"{item.op} {self._branch(item.branches[0])} {self.turns(item)}"
                    return f"{self._label(item.label)}[{turns}]{along}"
                branches = [self._branch(b) for b in item.branches]
                return f"{self._label(item.label)}[{f' {item.op} '.join(branches)}]{along}"
            case Scope():
                label = self._label(item.label) or ("_: " if item.bound else "")
                text = self.lines(item.body)
                return f"{label}[\n{text}\n]" if "\n" in text else f"{label}[{text}]"
            case Call():
                return self._call(item)
            case Repeat():
                count = item.count.value
                times = count.text if isinstance(count, Formula) else str(count)
                plain = _NAME.fullmatch(times) or times.isdecimal()
                return f"[{self.chain(item.body)}]*{times if plain else '{' + times + '}'}"
            case Loop():
                return self._loop(item)
            case Ref():
                return self._reference(item.name)
            case Outer():
                return self.value(item.name.value)
            case Hole():
                return item.name
            case Tap():
                return f"{self.label((item.name,))}: id"
            case Break():
                return "\n"

    def _branch(self, branch: Chain) -> str:
        text = self.chain(branch)
        return f"[{text}]" if "\n" in text.strip() and any(isinstance(i, Break) for i in branch) else text

    def _label(self, label: Label) -> str:
        return f"{self.label(label)}: " if label else ""

    def _reference(self, label: Label) -> str:
        """A tensor's label where it is used."""
        if all(isinstance(part, str) or not isinstance(part.value, Formula) for part in label):
            return label_text(label_of(label))
        text = self.label(label)
        return f'"{text}"' if label[0] in op_words() else text

    def label(self, label: Label) -> str:
        if all(isinstance(part, str) or not isinstance(part.value, Formula) for part in label):
            text = "".join(p if isinstance(p, str) else str(p.value) for p in label)
            return (
                text if PLAIN_NAME.fullmatch(text) and text.partition(".")[0] not in RESERVED else f'"{text}"'
            )
        text = "".join(
            part if isinstance(part, str) else "{" + part.value.text + "}"
            if isinstance(part.value, Formula) else str(part.value)
            for part in label
        )  # fmt: skip
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\{[^}]*\}|[A-Za-z0-9_]|\.(?=[A-Za-z0-9_{]))*", text)
        return text if plain else f'"{text}"'

    def _loop(self, loop: Loop) -> str:
        return f"[{self.chain(loop.body)} {self.turns(loop)}]"

    def turns(self, loop: Loop | Join) -> str:
        """The variables of a comprehension and their values."""
        rows = [[self.value(leaf.value) for leaf in row] for row in loop.rows]
        if len(loop.targets) == 1:
            values = _run([row[0] for row in rows])
        else:
            values = ", ".join(f"({', '.join(row)})" for row in rows)
        return f"for {', '.join(loop.targets)} in {values}"

    def _call(self, call: Call) -> str:
        args = [*zip(call.args, call.defaults or (None,) * len(call.args), strict=True)]
        while args and args[-1][0].value == args[-1][1]:
            args.pop()
        given = [self.value(leaf.value) for leaf, _ in args]
        needed = sum(usual is None for _, usual in args)
        given[needed:needed] = [f"[{self.chain(pipe)}]" for pipe in call.pipes]
        return self._label(call.label) + (f"{call.block}({', '.join(given)})" if given else call.block)

    def _fit(self, fit: Fit) -> str:
        kind = fit.kind.value
        if kind == "id":
            return "id"
        args = []
        if kind == "pad":
            args.append("kind=pad")
        norm = fit.norm.value if fit.norm is not None else NONE
        if kind == "projection" and norm != self.defaults.get(("conv", "norm"), NONE):
            args.append(f"norm={self.value(norm)}")
        return self._label(fit.label) + "shortcut" + (f"({', '.join(args)})" if args else "")

    # --- layers ---------------------------------------------------------------------------

    def layer(self, layer: Layer) -> str:
        kind = word = layer.kind
        args = [self.value(leaf.value) for leaf in layer.rest]
        op = op_words().get(kind)
        if layer.size and any(leaf.value != leaf.default for leaf in layer.size):
            dash = "-" if op is not None and op.word.size == op.word.width else ""
            word += dash + "x".join(self._piece(leaf, dash) for leaf in layer.size)
        if layer.width is not None and not self._omitted(kind, "width", layer.width):
            word += "-" + self._piece(layer.width, "-")
        if any(leaf.value != leaf.default for leaf in layer.stride):
            before = "/" if len(layer.stride) == 1 else ""
            word += "/" + "x".join(self._piece(leaf, before) for leaf in layer.stride)
        given = [(key, leaf) for key, leaf in layer.args if not self._omitted(kind, key, leaf)]
        for name in without_keys(op):
            if not given or given[0][0] != name:
                break
            args.append(self.value(given[0][1].value))
            given = given[1:]
        args += [f"{key}={self.value(leaf.value)}" for key, leaf in given]
        if not args and not given and kind in FITTED and layer.args:
            args.append(self.value(layer.args[0][1].value))  # alone it would take its siblings' size
        args += [f"{key}=[{self.chain(pipe)}]" for key, pipe in layer.pipes]
        args += self._brought(layer)
        bare = word.lower() in self.taken or word in self.taken
        return f"{word}({', '.join(args)})" if args or bare else word

    def _brought(self, layer: Layer) -> list[str]:
        kind = layer.kind
        args: list[str] = []
        norm = layer.norm.value if layer.norm is not None else NONE
        usual_norm = self.default(kind, "norm")
        usual_norm = NONE if usual_norm is None else usual_norm
        if layer.bias is not None:
            usual: Value | None = self.default(kind, "bias")
            if usual is None:
                usual = "yes" if norm == NONE else None if isinstance(norm, Formula) else "no"
            if layer.bias.value != usual:
                args.append(f"bias={self.value(layer.bias.value)}")
        if layer.norm is not None and norm != usual_norm:
            args.append(f"norm={self.value(norm)}")
        if layer.act is not None:
            args += self._act(kind, layer.act)
        return args

    def _act(self, kind: str, act: Leaf) -> list[str]:
        usual = self.default(kind, "act")
        if usual is None:
            brings = op_words()[kind].brings
            usual = NONE if brings is None or brings.act is None else Word(brings.act)
        if usual == NONE:
            left_out = act.value == NONE
        else:
            left_out = (act.value == NONE and act.welcome is True) or (
                act.value == usual and act.welcome is False
            )
        return [] if left_out else [f"act={self.value(act.value)}"]

    def default(self, kind: str, key: str) -> Value | None:
        found = self.defaults.get((kind, key))
        if found is None and kind in op_words():
            kin = op_words()[kind].kin
            found = self.defaults.get((kin, key)) if kin is not None else None
        return found

    def _omitted(self, kind: str, key: str, leaf: Leaf) -> bool:
        usual = self.default(kind, key)
        usual = leaf.default if usual is None else usual
        return leaf.value == usual or (
            key == "pad" and leaf.welcome is None and usual in ("same", "valid", 0)
        )

    def _piece(self, leaf: Leaf, before: str) -> str:
        value = leaf.value
        if not isinstance(value, Formula):
            return str(value)
        return value.text if before and _NAME.fullmatch(value.text) else "{" + value.text + "}"

    def value(self, value: Value) -> str:
        match value:
            case Formula():
                return value.text
            case Word():
                args = [
                    f"{key}={text}"
                    for key, text in value.args
                    if self.defaults.get((value.kind, key)) != text
                ]
                return f"{value.kind}({', '.join(args)})" if args else value.kind
        return str(value)


def without_keys(op: type[Op] | None) -> list[str]:
    """The arguments that stand without their keys, if those before them are given: the first, and what has to be given."""
    if op is None or op.positional is not None or op.rest is not None:
        return []
    names = [*op.operands, *op.pipelines, *op.model_fields, *op.tensors]
    fields = op.model_fields
    count = next(
        (i for i, n in enumerate(names) if n not in fields or not fields[n].is_required()), len(names)
    )
    return names[: max(count, 1)]


def _run(values: list[str]) -> str:
    """Values behind `in`, as a range where they count up by one."""
    numbers = [int(v) if v.isdecimal() else None for v in values]
    first = numbers[0]
    if first is not None and len(values) > 1 and numbers == [*range(first, first + len(values))]:
        return f"{first}..{first + len(values) - 1}"
    return ", ".join(values)
