"""What a closed block does, in a few lines: its layers one after another, its branches with their sign.

    conv1-64                     conv1-144
    | conv1-96 -> conv3-128      dwconv3
    | maxpool3 -> conv1-32       conv1-24
                                 + id

What is too long for a line goes on in the next one, at an arrow or a sign. A block that no such text can say, since
its branches cross, is said by its call alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from cnnc.backends.diagram.words import MAX_TEXT, MERGE_WORDS, layer_text
from cnnc.backends.outline import is_small
from cnnc.compiler.graph import Graph, Node, Scope

OUTSIDE = -1
"""Where all that flows into a scope comes from, in place of a node."""
SIGNS = {**MERGE_WORDS, "concat": "|"}
MOST_LINES = 7


@dataclass(frozen=True, slots=True)
class Branches:
    """Chains side by side, and the sign of what joins them."""

    sign: str
    chains: tuple[Chain, ...]

    def text(self) -> str:
        sign = ", " if self.sign == "," else f" {self.sign} "
        return f"[{sign.join(map(chain_text, self.chains))}]"

    def lines(self) -> Iterator[str]:
        """The text, on a line for each branch, or more, where it is too long for one."""
        if len(self.text()) <= MAX_TEXT:
            yield self.text()
            return
        for place, chain in enumerate(self.chains):
            *lines, last = _wrapped(f"{self.sign} " if place else "[", chain)
            yield from lines
            yield f"{last}]" if place == len(self.chains) - 1 else last


Chain = tuple[str | Branches, ...]


class _CrossingError(Exception):
    """The branches cross: no brackets can say what flows where."""


def term_lines(graph: Graph, scope: Scope) -> tuple[str, ...]:
    """The lines for a closed scope; nothing where they are more than MOST_LINES, too long, or cannot say it.

    Biases, norms and activations are left out, as in the papers' tables, unless a branch has nothing else.
    """
    if scope.result is None or scope.result not in scope.nodes():
        return ()
    terms = _Terms(graph, scope)
    try:
        lines = tuple(_lines(terms.chain(scope.result, OUTSIDE)))
    except _CrossingError:
        return ()
    fits = len(lines) <= MOST_LINES and all(len(line) <= MAX_TEXT for line in lines)
    return lines if fits and terms.says_all() else ()


def chain_text(chain: Chain) -> str:
    """`conv1-96 -> conv3-128`; `id` for what has no layers."""
    return " -> ".join(_counted(chain)) or "id"


def _counted(chain: Chain) -> Iterator[str]:
    """Each term of a chain, equal ones once with their count."""
    for term, times in _runs(chain):
        text = term if isinstance(term, str) else term.text()
        yield text if times == 1 else f"{text} x {times}"


def _runs(chain: Chain) -> Iterator[tuple[str | Branches, int]]:
    for term, run in groupby(chain):
        yield term, len(list(run))


def _stacked(chain: Chain) -> Iterator[tuple[str, ...]]:
    """For each term of a chain, equal ones counted, its lines."""
    for text, (term, times) in zip(_counted(chain), _runs(chain), strict=True):
        yield (text,) if isinstance(term, str) or times > 1 else tuple(term.lines())


def _wrapped(sign: str, chain: Chain) -> Iterator[str]:
    """A branch behind its sign, from arrow to arrow on as many lines as it takes.

    >>> list(_wrapped("+ ", ("dwconv3/2", "conv1-16")))
    ['+ dwconv3/2 -> conv1-16']
    >>> list(_wrapped("| ", ("conv1-96", "conv1x7-128", "conv7x1-128", "conv1-256")))
    ['| conv1-96 -> conv1x7-128 -> conv7x1-128', '-> conv1-256']
    """
    (first, *more), *terms = tuple(_stacked(chain)) or (("id",),)
    line = sign + first
    for part in more:
        yield line
        line = part
    for first, *more in terms:
        longer = f"{line} -> {first}"
        if len(longer) > MAX_TEXT:
            yield line
            longer = f"-> {first}"
        line = longer
        for part in more:
            yield line
            line = part
    yield line


def _lines(chain: Chain) -> Iterator[str]:
    """A term a line; where the chain is one bracket alone, a branch a line behind its sign.

    The long branch of a residual block comes first, a layer a line.
    """
    if len(chain) != 1 or isinstance(chain[0], str):
        for lines in _stacked(chain):
            yield from lines
        return
    sign, chains = chain[0].sign, chain[0].chains
    if sign in (MERGE_WORDS["add"], MERGE_WORDS["mul"]):
        first, *others = sorted(chains, key=len, reverse=True)
        if all(len(other) <= 1 for other in others):
            for lines in _stacked(first) if first else (("id",),):
                yield from lines
            yield from (f"{sign} {chain_text(other)}" for other in others)
            return
    for place, one in enumerate(chains):
        yield from _wrapped(f"{sign} " if place else "", one)


class _Terms:
    """The chains of one scope, from its result back to what flows in."""

    def __init__(self, graph: Graph, scope: Scope) -> None:
        self.graph = graph
        self.source = scope.source
        self.inside = frozenset(scope.nodes())
        self.said: set[int] = set()
        self.gates: dict[int, int] = {OUTSIDE: OUTSIDE}
        """For each node the last one that all that flows into it has passed: its immediate dominator."""
        for n in sorted(self.inside):
            self.gates[n] = self._gate(self._from(n))

    def _from(self, n: int) -> tuple[int, ...]:
        return self.graph.values_into(self.graph.nodes[n])

    def _gate(self, sources: Sequence[int]) -> int:
        """The nearest node on every way to these; indices grow along the flow."""
        found = {i if i in self.inside else OUTSIDE for i in sources} or {OUTSIDE}
        while len(found) > 1:
            last = max(found)
            found = (found - {last}) | {self.gates[last]}
        return found.pop()

    def says_all(self) -> bool:
        """Whether every layer of the scope is in the text."""
        return self.said == self.inside

    def chain(self, n: int, gate: int) -> Chain:
        """What is between a node, which is left out, and the output of node `n`.

        Raises _CrossingError where a layer would be said twice: so each is looked at once.
        """
        terms: list[str | Branches] = []  # from the end back
        small: list[str] = []
        while n != gate:
            if n not in self.inside:
                if n != self.source:
                    terms.append(self.graph.nodes[n].label or self.graph.nodes[n].name)
                break
            node = self.graph.nodes[n]
            if n in self.said:
                raise _CrossingError
            self.said.add(n)
            if node.op.family != "merge" and node.role != "flatten":
                (small if is_small(node) else terms).append(layer_text(node, frozenset({"bias"})))
            sources = self._from(n)
            if not sources:
                break
            if len(sources) > 1:
                terms += self._joined(node, sources)
            n = sources[0] if len(sources) == 1 else self.gates[n]
        return tuple(reversed(terms or small))

    def _joined(self, node: Node, sources: Sequence[int]) -> Iterator[Branches]:
        """The bracket of what flows into a node of several inputs; nothing where all are the same tensor."""
        if node.op.family == "merge" and node.op.kind not in SIGNS:
            raise _CrossingError
        chains = tuple(self.chain(i, self.gates[node.index]) for i in sources)
        if node.op.family == "merge":
            yield Branches(SIGNS[node.op.kind], chains)
        elif any(chains):
            yield Branches(",", chains)
