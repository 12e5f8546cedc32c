"""Which `default` statements make a file shorter: for each kind and argument the value that saves most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import replace

from cnnc.compiler.ops import op_words
from cnnc.importer.structure.blocks import Program
from cnnc.importer.structure.spell import Defaults, Speller, size, without_keys
from cnnc.importer.structure.terms import (
    NONE,
    Chain,
    Fit,
    Formula,
    Layer,
    Leaf,
    Value,
    Word,
    items_in,
    leaves,
)


def chosen(program: Program) -> Defaults:
    """The defaults for the chains as they are."""
    items = [item for chain in _chains(program) for item in items_in(chain)]
    layers = [item for item in items if isinstance(item, Layer)]
    words = Counter(
        leaf.value
        for chain in _chains(program)
        for leaf in leaves(chain)
        if isinstance(leaf.value, Word) and leaf.value != NONE
    )
    fits = [item for item in items if isinstance(item, Fit) and item.bias is not None]
    biases = {fit.bias for fit in fits if fit.bias is not None}
    out: dict[tuple[str, str], Value] = {}
    _of_words(words, layers, out)
    for fit in fits:
        if fit.bias is not None and (fit.bias == "yes") != (fit.norm is None or fit.norm.value == NONE):
            out["conv", "bias"] = (
                fit.bias
            )  # only a default gives a `shortcut` another than goes with its norm
    for kind in sorted({_kin(layer.kind) for layer in layers}):
        mine = [layer for layer in layers if _kin(layer.kind) == kind]
        _best(mine, kind, "norm", out)
        _best(mine, kind, "act", out)
        _best(mine, kind, "bias", out, biases if kind == "conv" else set())
        keys = {key for layer in mine for key, _ in layer.args} - set(without_keys(op_words().get(kind)))
        for key in sorted(keys):
            if all(layer.kind in op_words() and key in op_words()[layer.kind].model_fields for layer in mine):
                _best(mine, kind, key, out)
    return out


def _chains(program: Program) -> Iterator[Chain]:
    yield program.root
    yield from program.shared.values()
    yield from (block.body for block in program.blocks)


def _kin(kind: str) -> str:
    return op_words()[kind].kin or kind if kind in op_words() else kind


def _of_words(words: Counter[Word], layers: list[Layer], out: dict[tuple[str, str], Value]) -> None:
    """Arguments of norms and activations, such as `bn(eps=0.001)`."""
    counts: Counter[tuple[str, str, str]] = Counter()
    kinds: Counter[str] = Counter()
    for word, times in words.items():
        kinds[word.kind] += times
        for key, text in word.args:
            counts[word.kind, key, text] += times
    for layer in layers:
        if layer.kind in kinds:
            kinds[layer.kind] += 1
            for key, leaf in layer.args:
                if leaf.value != leaf.default:
                    counts[layer.kind, key, str(leaf.value)] += 1
    for (kind, key, text), times in counts.items():
        if times > 1 and times == kinds[kind]:
            out[kind, key] = text


def _best(
    layers: list[Layer],
    kind: str,
    key: str,
    out: dict[tuple[str, str], Value],
    fixed: Set[Value] = frozenset(),
) -> None:
    """Choose a default, which must be the only one of the values `fixed` by what takes it: a `shortcut`'s bias."""
    values = Counter(
        leaf.value
        for layer in layers
        if (leaf := _leaf(layer, key)) is not None and not isinstance(leaf.value, Formula)
    )
    if (kind, key) in out or not values or any(_leaf(layer, key) is None for layer in layers):
        return
    best, least = None, _cost(layers, out)
    for value, _ in values.most_common(4):
        if value == "_" or fixed - {value}:
            continue
        cost = _cost(layers, {**out, (kind, key): value}) + (4 if any(k == kind for k, _ in out) else 6)
        cost += size(Speller({}).value(value)) - 1
        if cost < least:
            best, least = value, cost
    if best is not None:
        out[kind, key] = best


def _leaf(layer: Layer, key: str) -> Leaf | None:
    if key in ("norm", "act", "bias"):
        return getattr(layer, key)  # type: ignore[no-any-return]
    return next((leaf for name, leaf in layer.args if name == key), None)


def _cost(layers: list[Layer], defaults: Defaults) -> int:
    speller = Speller(defaults)
    return sum(size(speller.layer(_bare(layer))) for layer in layers)


def _bare(layer: Layer) -> Layer:
    return replace(layer, pipes=()) if layer.pipes else layer
