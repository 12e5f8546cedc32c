"""The spec that a person would have written for a graph; the compiler is the judge of every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cnnc.compiler.build import build
from cnnc.compiler.expand import expand, label_text
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import op_words
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.format import FormatterError, format_source
from cnnc.dsl.parse import parse
from cnnc.dsl.record import record
from cnnc.dsl.source import Source
from cnnc.dsl.tokens import RESERVED, STATEMENTS
from cnnc.importer.structure.blocks import Program, declaration, with_blocks
from cnnc.importer.structure.chains import Chains
from cnnc.importer.structure.copies import Namer
from cnnc.importer.structure.defaults import chosen
from cnnc.importer.structure.fits import fitted, projections
from cnnc.importer.structure.folding import Folder
from cnnc.importer.structure.judge import Names, same
from cnnc.importer.structure.levels import atoms_of, levels, nested_concats, shared_levels, units_of
from cnnc.importer.structure.naming import named, split_labels
from cnnc.importer.structure.pieces import marked
from cnnc.importer.structure.reuses import can_be_written, reused
from cnnc.importer.structure.spell import Defaults, Speller
from cnnc.importer.structure.terms import Ref, Tap, items_in, label_of, leaves
from cnnc.importer.structure.welcome import welcomes
from cnnc.importer.structure.words import Words


def shorten(graph: Graph, *, names: Names = "keys", classes: Mapping[str, str] | None = None) -> str:
    """The spec that a person would have written for a graph, formatted; its graph is the same (`same`).

    One thing may be written otherwise: a concat that joins what another joins, and more, becomes a concat of that
    one (`[[a | b] | c]`), of the same values.

    With `names="keys"` the state dict has the same keys, so that the same weights load; with "none" only the
    inputs and outputs keep their names. `classes` are the classes of modules by their paths, from which blocks
    get their names.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> flat = "input 3x8x8\\nconv1: conv3-8(act=none)\\nconv2: conv3-8(act=none)\\nconv3: conv3-8(act=none)"
    >>> print(shorten(build(parse(Source("net.cnn", flat)))), end="")
    model net
    input 3x8x8
    <BLANKLINE>
    [conv3-8(act=none)]*2 -> conv3-8
    """
    return Shortening(graph, names, classes or {}).text()


@record
class Steps:
    """What may be done to a chain; each step can be left out."""

    fits: bool = True
    lines: bool = True
    loops: bool = True
    blocks: bool = True
    defaults: bool = True


_ALL = Steps()
ATTEMPTS = (
    _ALL,
    replace(_ALL, lines=False),
    replace(_ALL, fits=False),
    replace(_ALL, fits=False, lines=False, loops=False),
    replace(_ALL, fits=False, lines=False, loops=False, defaults=False),
    Steps(fits=False, lines=False, loops=False, blocks=False, defaults=False),
)
"""From the shortest text on; the first whose graph is the one given is taken, and the flat core where none is."""


class Shortening:
    """One graph on its way to a short text."""

    def __init__(self, graph: Graph, names: Names, classes: Mapping[str, str]) -> None:
        self.graph = graph
        self.names = names
        self.keep = names != "none"
        self.classes = classes
        self.nested = bool(nested_concats(graph))
        """Whether concats that go on where others end are written as concats of those."""
        self.problems: list[str] = []
        """Why texts were not taken, for tests."""

    def text(self) -> str:
        if not can_be_written(self.graph):
            return format_source(Source("shortened.cnn", expand(self.graph)))
        flat = self.flat()
        has_fits = projections(flat.root)
        for steps in ATTEMPTS:
            if not has_fits and steps == replace(_ALL, fits=False):
                continue
            text = self.spelled(*self.shortened(flat, steps), in_lines=steps.lines)
            formatted = self.judged(text)
            if formatted is not None:
                return formatted
        return expand(self.graph)

    def judged(self, text: str) -> str | None:
        """The text formatted; None where its graph differs from the one given, or it has none, which `problems` says."""
        source = Source("shortened.cnn", text)
        try:
            made = build(parse(source), stem=self.graph.name, max_layers=self.graph.max_layers)
            problem = same(self.graph, made, names=self.names, nested=self.nested)
            formatted = format_source(source)
        except (CnncError, FormatterError) as error:
            problem = str(error)
        if problem is None:
            return formatted
        self.problems.append(problem)
        return None

    # --- the steps ------------------------------------------------------------------------

    def flat(self) -> Program:
        """The graph as chains and branches, every layer in its word."""
        graph, keep = self.graph, self.keep
        found = units_of(graph, keep=keep)
        again = reused(graph, [*atoms_of(graph, found)])
        labelled = {unit.own.name for unit in again.alone if unit.norm is not None}
        if labelled and keep:
            found = units_of(graph, keep=keep, labelled=labelled)
            again = reused(graph, [*atoms_of(graph, found)])
        chains = Chains(graph, Words(graph, welcomes(graph, found)), keep=keep)
        root = chains.chain(levels(graph, again.atoms, again.inside, again.beside, keep=keep))
        shared = {use.module: chains.chain(level) for use, level in shared_levels(graph, found, keep=keep)}
        self.externs = [*chains.core.externs.values()]
        if keep:
            root = named(root, is_model=True)
            shared = {name: named(chain) for name, chain in shared.items()}
        return Program(split_labels(root), {name: split_labels(chain) for name, chain in shared.items()})

    def shortened(self, flat: Program, steps: Steps) -> tuple[Program, Defaults]:
        program = Program(flat.root, dict(flat.shared))
        if steps.fits:
            program.root = fitted(flat.root)
            program.shared = {name: fitted(chain) for name, chain in flat.shared.items()}
        defaults = chosen(program) if steps.defaults else {}
        namer = Namer(self.taken(program))
        folder = Folder(Speller(defaults, self.labels(program)), namer, loops=steps.loops)
        fixed = frozenset(self.graph.outputs) | _on_paths(program) if self.keep else None
        if steps.blocks and not self.keep:
            marked(program, folder)
        program = with_blocks(program, folder, namer, self.classes, fixed=fixed, blocks=steps.blocks)
        while steps.blocks and not self.keep and marked(program, folder):
            before = len(program.blocks)
            program = with_blocks(program, folder, namer, self.classes, fixed=fixed)
            if len(program.blocks) == before:
                break
        return program, chosen(program) if steps.defaults else {}

    def labels(self, program: Program) -> frozenset[str]:
        """The labels of a program, for which a bare layer word could be taken."""
        found = {*self.graph.inputs, *self.graph.outputs}
        for chain in (program.root, *program.shared.values()):
            for item in items_in(chain):
                if isinstance(item, Tap):
                    found.add(item.name)
                elif label := getattr(item, "label", ()):
                    found.add("".join(p if isinstance(p, str) else str(p.value) for p in label))
        return frozenset(found)

    def taken(self, program: Program) -> frozenset[str]:
        """Names that mean something already."""
        return frozenset({
            *op_words(), *self.labels(program), *program.shared, *RESERVED, *STATEMENTS, *"CHWD", "id", "shortcut",
            "crop", "stretch", "none", "min", "max", "sum", "len", "round", "ceil", "floor", "divisible", "yes", "no",
            *(line.split()[1].partition("(")[0] for line in self.externs),
        })  # fmt: skip

    # --- text -----------------------------------------------------------------------------

    def spelled(self, program: Program, defaults: Defaults, *, in_lines: bool) -> str:
        speller = Speller(defaults, self.labels(program), in_lines=in_lines)
        graph = self.graph
        lines = [f"model {graph.name}"] if graph.name.isidentifier() and graph.name.isascii() else []
        for name, index in graph.inputs.items():
            size = "x".join(map(str, graph.nodes[index].out))
            lines.append(f"input {size}" if name == "input" else f"input {name}: {size}")
        lines += _default_lines(defaults, speller)
        lines += self.externs
        lines += ["", *(declaration(block, speller) for block in program.blocks)]
        for name, chain in program.shared.items():
            text = speller.lines(chain)
            lines.append(f"shared {name} = [\n{text}\n]" if "\n" in text else f"shared {name} = {text}")
        lines += ["", speller.lines(program.root)]
        if list(graph.outputs) != ["output"]:
            lines.append("output " + ", ".join(map(label_text, graph.outputs)))
        return "\n".join(lines) + "\n"


def _on_paths(program: Program) -> frozenset[str]:
    """The labels inside levels by which their values are known from outside."""
    chains = (program.root, *program.shared.values())
    names = {label_of(i.name) for chain in chains for i in items_in(chain) if isinstance(i, Ref)}
    names |= {leaf.value for chain in chains for leaf in leaves(chain) if isinstance(leaf.value, str)}
    return frozenset(step for name in names for step in name.split(".")[1:])


def _default_lines(defaults: Defaults, speller: Speller) -> Iterator[str]:
    by_kind: dict[str, list[str]] = {}
    for (kind, key), value in defaults.items():
        by_kind.setdefault(kind, []).append(f"{key}={speller.value(value)}")
    for kind, args in by_kind.items():
        yield f"default {kind}({', '.join(args)})"
