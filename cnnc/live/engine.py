"""A text to all that an editor shows of it: what is wrong, and the network with its figures.

`analyse` is one look at a text. `Document` is a text that is being edited: the newest text, and the last
that was understood, which stays while the newest is broken.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import cached_property

from cnnc.compiler.allow import accepted, idle
from cnnc.compiler.build import build, check_library, is_library
from cnnc.compiler.cost import Costs
from cnnc.compiler.expect import Claim, check_claims
from cnnc.compiler.graph import Graph
from cnnc.compiler.queries import Figures
from cnnc.compiler.receptive_field import Fields, ReceptiveField, misalignments
from cnnc.compiler.walk.values import InputSizes, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.parse import parse
from cnnc.dsl.record import record
from cnnc.dsl.source import Source
from cnnc.given import stem_of
from cnnc.live.lines import Line, lines_of
from cnnc.live.names import Names, names_of
from cnnc.net import Net


@record
class Setting:
    """How a text is read: the values of its params and the sizes of its inputs that replace the written ones."""

    params: Mapping[str, Value] = field(default_factory=dict)
    sizes: InputSizes = field(default_factory=dict)
    allow_outside: bool = False


class Analysis:
    """What one text comes to. `tree` is None where it does not parse, `net` where it is not understood."""

    def __init__(
        self, source: Source, tree: s.Spec | None, net: Net | None, findings: Sequence[Diagnostic],
        claims: Sequence[Claim] = (), fields: Sequence[ReceptiveField | None] = (),
    ) -> None:  # fmt: skip
        self.source = source
        self.tree = tree
        self.net = net
        self.findings = tuple(findings)
        self.claims = tuple(claims)
        self.fields = fields
        """By node; empty where there is no network."""

    @property
    def is_good(self) -> bool:
        """Whether the text is a network, or a library of blocks, whose claims may fail."""
        return self.tree is not None and (self.net is not None or is_library(self.tree)) and not self.is_wrong

    @property
    def is_wrong(self) -> bool:
        """Whether something stands in the way of understanding it; a claim that fails does not."""
        return any(d.severity == "error" and not d.code.startswith("E6") for d in self.findings)

    @property
    def graph(self) -> Graph | None:
        return None if self.net is None else self.net.graph

    @property
    def costs(self) -> Costs | None:
        """By node, and their total."""
        return None if self.net is None else self.net.costs

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The figures of each line on which layers are, from the top."""
        return () if self.net is None else lines_of(self.net.graph)

    @cached_property
    def names(self) -> Names:
        """Every name that the text declares, and where it is used; none where it does not parse."""
        return Names((), ()) if self.tree is None else names_of(self.tree)


PATIENCE = 400
"""Steps that the search for the smallest input may walk while somebody types: some 30 ms."""


def analyse(source: Source, setting: Setting | None = None) -> Analysis:
    """One look at a text. Never raises CnncError: what is wrong is among the findings.

    >>> found = analyse(Source("net.cnn", "input 3x8x8\\nconv3-4 -> pool"))
    >>> found.is_good, [(line.number, line.shapes) for line in found.lines]
    (True, [(2, ('4x4x4',))])
    >>> [d.code for d in analyse(Source("net.cnn", "input 3x8x8\\nconf3-4")).findings]
    ['E201']
    """
    tree: s.Spec | None = None
    with _without_pauses():
        try:
            tree = parse(source)
            if is_library(tree):
                check_library(tree)
                return Analysis(source, tree, None, ())
            return _network(source, tree, setting or Setting())
        except CnncError as error:
            return Analysis(source, tree, None, error.diagnostics)
        except RecursionError:
            return Analysis(
                source, tree, None, [Diagnostic("E901", "the spec is nested too deeply", None)]
            )  # fmt: skip


def _network(source: Source, tree: s.Spec, setting: Setting) -> Analysis:
    """The analysis of a text that declares a network. Raises CnncError where it is none."""
    graph = build(
        tree, stem=stem_of(source.name), sizes=setting.sizes, params=setting.params, patience=PATIENCE
    )
    net = Net(graph)
    fields = Fields(graph)
    known = Figures(graph, fields)
    claims, problems = check_claims(graph, known)
    net.costs = known.costs
    failures = [*problems, *(claim.failure() for claim in claims if not claim.holds)]
    uncentred, taken = accepted(tree, misalignments(graph, fields))
    unneeded = idle(tree, graph, (*graph.accepted, *taken))
    found = [*net.warnings, *uncentred, *unneeded, *failures]
    found.sort(key=lambda d: d.span.start if d.span else -1)
    return Analysis(source, tree, net, found, claims, fields)


@contextmanager
def _without_pauses() -> Iterator[None]:
    """Without the garbage collector, which takes a third of the time and finds nothing while a graph grows."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Document:
    """A text that is being edited."""

    def __init__(self, name: str, setting: Setting | None = None) -> None:
        self.name = name
        self.setting = setting or Setting()
        self.newest: Analysis | None = None
        """Of the text that was put in last."""
        self.good: Analysis | None = None
        """The last that was understood; it may be the newest."""
        self.parsed: Analysis | None = None
        """The last whose form was right; it may be the newest."""

    def put(self, text: str, setting: Setting | None = None) -> Analysis:
        """Look at a new text. What it says of lines is right for this text only; `good` stays where it is broken."""
        self.setting = setting or self.setting
        source = Source(self.name, text.removeprefix("\ufeff"), self.setting.allow_outside)
        found = analyse(source, self.setting)
        self.newest = found
        if found.tree is not None:
            self.parsed = found
        if found.is_good:
            self.good = found
        return found

    def lines(self) -> tuple[Line, ...]:
        """The figures to show beside the newest text.

        While it is broken these are the last that were right, on those lines that are as they were then.
        """
        if self.newest is None or self.good is None:
            return ()
        if self.good is self.newest:
            return self.good.lines
        return _moved(self.good.lines, self.good.source.text, self.newest.source.text)


def _moved(lines: Sequence[Line], before: str, after: str) -> tuple[Line, ...]:
    """The figures of lines that stand unchanged in another text, at their new numbers.

    Equal lines at the head and at the end are those that are kept; what lies between was edited.

    >>> old = analyse(Source("a", "input 3x8x8\\nconv3-4\\npool")).lines
    >>> [(line.number, line.shapes) for line in _moved(old, "input 3x8x8\\nconv3-4\\npool", "input 3x8x8\\n?\\n?\\npool")]
    [(4, ('4x4x4',))]
    """
    a, b = before.split("\n"), after.split("\n")
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    shift = len(b) - len(a)
    kept = []
    for line in lines:
        if line.number <= head:
            kept.append(line)
        elif line.number > len(a) - tail:
            kept.append(line.at(line.number + shift))
    return tuple(kept)
