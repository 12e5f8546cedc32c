"""What the language's layers are, told by the layers themselves: for `cnnc ops` and docs/layers.md.

Everything comes from the op classes: arguments and defaults from their fields,
what an argument takes from what it says when it refuses, the rules from their
docstrings, the figures of an example from compiling it.
`python -m cnnc.reference` prints docs/layers.md.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_args

from cnnc.compiler.build import build
from cnnc.compiler.cost import costs
from cnnc.compiler.ops import Op, OpError, Place, Sizes, all_ops, op_words, show
from cnnc.compiler.ops.base import Family
from cnnc.compiler.walk.arguments import argument_names
from cnnc.compiler.walk.library import STD
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.parse import parse
from cnnc.dsl.read import read_source
from cnnc.dsl.source import Source

WORDS: Mapping[str, str] = {
    "id": "Passes its input on: a branch without layers, or a tap (`c3: id`). It is no module.",
    "shortcut": "Alone in a branch of `+`: the identity, or the projection that makes its input fit its siblings; "
    "with kind=same no branch where shapes differ.",
    "again": "`again(label)`: what the label has, once more on what flows in and with the same weights; `again(c, dilation=2)` "
    "with another stride, dilation or pad, `norm=bn` with a norm of its own, `transpose=yes` the weights the other way.",
    "weight": "`weight(label)`, at the head of a chain: the weight of a layer as a tensor, channels first.",
    "crop": "Without a size, last in a branch: cuts the centre out, as large as its siblings.",
    "stretch": "Without a size, last in a branch: repeats the axes of size 1, up to its siblings' size.",
    "pad": "Without its sides, last in a branch: adds a border of zeros, up to its siblings' size.",
    "resize": "Without a factor or size, last in a branch: interpolates to its siblings' size.",
}
"""Words that the language itself gives a meaning; they have no class."""

_INPUTS = ("64x56x56", "64x1x1", "64", "64x56")
"""The maps on which an example is compiled: the first that it takes."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a layer. `default` is as the user would write it; None where there is none to write."""

    name: str
    takes: str
    default: str | None
    required: bool

    def __str__(self) -> str:
        if self.default is not None:
            return f"{self.name}={self.default}"
        return self.name if self.required else f"{self.name}=…"


@dataclass(frozen=True, slots=True)
class Sample:
    """An example compiled: what flows in and out, and what it costs with all that it brings."""

    inflow: str
    outflow: str
    params: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One kind of layer, for a reader."""

    kind: str
    family: str
    aliases: tuple[str, ...]
    form: str
    arguments: tuple[Argument, ...]
    brings: str | None
    works_on: str
    summary: str
    details: tuple[str, ...]
    example: str
    sample: Sample | None

    @property
    def signature(self) -> str:
        """`conv(kernel, width, stride=1, …)`."""
        inner = ", ".join(map(str, self.arguments))
        return f"{self.kind}({inner})" if inner else self.kind


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the library that ships, for a reader; `text` is the comment above it."""

    name: str
    signature: str
    text: str


@lru_cache(maxsize=1)
def layers() -> tuple[Layer, ...]:
    """Every layer that a word names, family by family."""
    kinds = [op for op in all_ops() if not op.internal]
    return tuple(_record(op) for family in get_args(Family) for op in kinds if op.family == family)


def layer(name: str) -> Layer:
    """The layer of a word or one of its aliases, in any case, with or without dashes.

    Raises CnncError (E201) where there is none.

    >>> layer("Soft-Max").kind
    'softmax'
    """
    op = op_words().get(name.lower()) or op_words().get(name.lower().replace("-", ""))
    if op is None:
        known = [*op_words(), *WORDS, *(block.name for block in blocks())]
        hint = did_you_mean(name, known) or "`cnnc ops` lists them"
        raise fail("E201", f"no layer is called `{name}`", hint=hint)
    return _record(op)


@lru_cache(maxsize=1)
def blocks() -> tuple[Block, ...]:
    """The blocks of std that are written about, file by file; the others only help these."""
    return tuple(block for path in sorted(STD.glob("*.cnn")) for block in _blocks(read_source(path)))


def _blocks(source: Source) -> Iterator[Block]:
    spec = parse(source)
    comments = {c.span.line: c.text.lstrip("# ") for c in spec.comments if c.own_line}
    for statement in spec.statements:
        if isinstance(statement, s.Block):
            first = statement.span.line
            while first - 1 in comments:
                first -= 1
            text = " ".join(comments[line] for line in range(first, statement.span.line))
            head = source.text[statement.name_span.start : statement.body.span.start]
            if text:
                yield Block(statement.name, " ".join(head.split()).rstrip("= "), text)


def _record(op: type[Op]) -> Layer:
    summary, *details = _paragraphs(op)
    return Layer(
        kind=op.kind, family=op.family, aliases=op.aliases, form=_form(op), arguments=_arguments(op),
        brings=_brings(op), works_on=_works_on(op), summary=summary, details=tuple(details), example=op.example,
        sample=_sample(op),
    )  # fmt: skip


def _paragraphs(op: type[Op]) -> list[str]:
    """The docstring's paragraphs, each in one line."""
    text = inspect.cleandoc(op.__doc__ or "")
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]


def _form(op: type[Op]) -> str:
    """How the layer word is built, `conv<kernel>-<width>[/<stride>]`: what must stand in it bare, the rest in [ ].

    >>> _form(op_words()["conv"]), _form(op_words()["maxpool"]), _form(op_words()["fc"])
    ('conv<kernel>-<width>[/<stride>]', 'maxpool[<kernel>][/<stride>]', 'fc-<width>')
    """
    word = op.word
    slots = [("-" if word.size == word.width else "", word.size), ("-", word.width), ("/", word.stride)]
    form, seen = op.kind, set()
    for mark, name in slots:
        if name is None or name in seen:
            continue
        seen.add(name)
        piece = f"{mark}<{name}>"
        form += piece if op.model_fields[name].is_required() else f"[{piece}]"
    return form


def _arguments(op: type[Op]) -> tuple[Argument, ...]:
    return tuple(_argument(op, name) for name in argument_names(op))


def _argument(op: type[Op], name: str) -> Argument:
    if name in op.operands:
        return Argument(name, "a pipeline in [ ] on what flows in, or a label", None, False)
    if name in op.pipelines:
        return Argument(name, "a pipeline in [ ], on the same input", None, True)
    if name in op.tensors:
        # No field says whether a label can be left out; the example has those that cannot.
        return Argument(name, "a label", None, f"{name}=" in op.example)
    if name in op.model_fields:
        field = op.model_fields[name]
        default = None if field.is_required() or field.default is None else _as_written(field.default)
        return Argument(name, _takes(op, name), default, field.is_required())
    assert op.brings is not None
    if name == "norm":
        return Argument(name, "a normalisation and its arguments, or none", "none", False)
    return Argument(name, "an activation and its arguments, or none", op.brings.act or "none", False)


def _as_written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else show(value)


_NO_WORD = "no_such_word"


def _takes(op: type[Op], name: str) -> str:
    """What an argument takes, in the words in which it refuses what it does not take.

    >>> _takes(op_words()["conv"], "width"), _takes(op_words()["conv"], "bias")
    ('an integer, at least 1', 'yes or no')
    """
    for labelled in (False, True):
        refused = _refused(op, {name: _NO_WORD}, labelled=labelled)
        found = re.search(rf"{_NO_WORD}; expected (.+?)(?: \(=.+\))?$", refused.message) if refused else None
        if found is not None:
            is_number = found[1] in ("an integer", "a number")
            return found[1] + (_bounds(op, name, labelled=labelled) if is_number else "")
    raise LookupError(f"`{name}` of `{op.kind}` does not say what it expects where it refuses a word")


def _bounds(op: type[Op], name: str, *, labelled: bool) -> str:
    """What is further said of a number: its least value, and whether there may be one for each axis."""
    low = _refused(op, {name: -1}, labelled=labelled)
    bound = re.search(r" must (?:be |lie )?(.+)$", low.message) if low else None
    by_axis = _refused(op, {name: Sizes((3, 1))}, labelled=labelled) is None
    return (f", {bound[1]}" if bound else "") + (", or one by axis (3x1)" if by_axis else "")


def _refused(op: type[Op], values: Mapping[str, Any], *, labelled: bool) -> OpError | None:
    """What a layer says against arguments; None where it takes them.

    Those that it needs besides are 1; its labels, where it is to have them, are of a pool.
    """
    plain = {name: 1 for name, field in op.model_fields.items() if field.is_required()}
    shape = (64, 56, 56)
    pool = op_words()["maxpool"].model_validate({"kernel": 1}, context=Place((shape,)))
    makers = dict.fromkeys(op.tensors, pool) if labelled else {}
    try:
        op.model_validate({**plain, **values}, context=Place((shape,), tuple(makers), makers))
    except OpError as error:
        return error
    return None


def _brings(op: type[Op]) -> str | None:
    """What the word puts after the layer, in a sentence."""
    if op.brings is None:
        return None
    parts = []
    if op.brings.norm:
        parts.append("the norm that `norm=` names")
    act = f", {op.brings.act} unless it says otherwise" if op.brings.act else ""
    parts.append(f"the activation that `act=` names{act}")
    return " and ".join(parts) + (f"; `default {op.kin}(…)` holds for it too" if op.kin else "")


def _works_on(op: type[Op]) -> str:
    if op.flattens:
        return "a vector; a map is flattened first"
    axes = [rank for rank in op.ranks if rank]
    maps = (
        f"a map of {axes[0]} to {axes[-1]} axes"
        if len(axes) > 1
        else f"a map of {axes[0]} {'axis' if axes == [1] else 'axes'}"
        if axes
        else ""
    )
    return " or ".join(filter(None, ["a vector" if 0 in op.ranks else "", maps]))


def _sample(op: type[Op]) -> Sample | None:
    """The example on the first map that it takes; None where it takes none by itself (it needs a label)."""
    for size in _INPUTS:
        try:
            graph = build(parse(Source("example", f"input {size}\n{op.example}")))
        except CnncError:
            continue
        cost = costs(graph).total
        out = "x".join(map(str, graph.nodes[graph.outputs["output"]].out))
        return Sample(size, out, cost.params, cost.macs)
    return None


# --- docs/layers.md -------------------------------------------------------------------

_HEAD = """\
# The layers

Made from the layers themselves by `python -m cnnc.reference > docs/layers.md`; do not edit it.
`cnnc ops` prints the list, and `cnnc ops NAME` one of these entries.

A word is written `name[size][-width][/stride][(arguments)]`. Under each heading stand how the word is built,
where `<…>` is a piece that must be there and `[<…>]` one that may, then all arguments in the order in which
they may be given without their keys, then what the layer does. An argument shown with a value has it as its
default; one shown with `…` may be left out. Figures hold for the example with all that it brings.
"""


def to_markdown() -> str:
    """The text of docs/layers.md."""
    lines = [_HEAD]
    family = None
    for record in layers():
        if record.family != family:
            family = record.family
            lines += [f"## {family.capitalize()}", ""]
        lines += _section(record)
    lines += ["## Words of the language", "", "These have a meaning, but are no layers.", ""]
    lines += [f"- `{word}`: {text}" for word, text in WORDS.items()]
    lines += ["", "## The block library", "", "Brought by `use NAME from std`.", ""]
    for block in blocks():
        lines += [f"### {block.name}", "", f"`{block.signature}`", "", _plain(block.text), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(record: Layer) -> list[str]:
    also = f" Also: {', '.join(f'`{alias}`' for alias in record.aliases)}." if record.aliases else ""
    lines = [f"### {record.kind}", "", f"`{record.form}`.{also} On {record.works_on}.", ""]
    lines += ["```text", record.signature, "```", ""]
    for paragraph in (record.summary, *record.details):
        lines += [_plain(paragraph), ""]
    if record.brings:
        lines += [f"It brings {record.brings}.", ""]
    for argument in record.arguments:
        lines.append(f"- `{argument.name}`: {argument.takes}")
    lines += [""] if record.arguments else []
    return [*lines, f"Example: {sample(record)}", ""]


def sample(record: Layer) -> str:
    """The example in a sentence, with what it gives."""
    found = record.sample
    if found is None:
        return f"`{record.example}`"
    costs_much = f", {found.params:,} parameters, {found.macs:,} MACs" if found.params or found.macs else ""
    return f"`{record.example}` makes {found.outflow} of {found.inflow}{costs_much}."


def _plain(text: str) -> str:
    """A sentence in which Markdown reads no emphasis and no HTML; what stands in backticks is left alone."""
    parts = text.split("`")
    escaped = [re.sub(r"([*_<>|])", r"\\\1", part) if i % 2 == 0 else part for i, part in enumerate(parts)]
    return "`".join(escaped)


if __name__ == "__main__":
    print(to_markdown(), end="")
