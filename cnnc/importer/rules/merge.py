"""Sums, products and concatenations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cnnc.importer.arrange import LETTERS, laid, paired, relaid
from cnnc.importer.layout import Atom, Axes, Axis, Value, flat, size_of
from cnnc.importer.refusal import Refusal
from cnnc.importer.rules.pointwise import pointwise
from cnnc.importer.traced import Held, Step
from cnnc.importer.translate import Translation, rule


@rule("add", "sub", "rsub", "mul", "div", "true_divide", "multiply", "subtract")
def arithmetic(work: Translation, step: Step) -> Any:
    left, right = (work.get(step.args[key]) for key in ("self", "other"))
    left, right = (_number(v) for v in (left, right))
    op = {"multiply": "mul", "true_divide": "div", "subtract": "sub"}.get(step.op, step.op)
    if op == "rsub":
        left, right, op = right, left, "sub"
    if step.args.get("rounding_mode") is not None:
        raise Refusal("a division that rounds")
    scale = step.args.get("alpha", 1)
    if isinstance(left, int | float) and isinstance(right, int | float):
        raise Refusal("arithmetic on numbers of the code")
    if isinstance(right, float) and right.is_integer():
        right = int(right)
    if isinstance(right, int | float):
        return _with_number(work, left, op, right * scale)
    if isinstance(left, int | float):
        return _number_first(work, left, op, right, scale)
    if op == "add" and scale == 1 and (biased := _biased(work, left, right)) is not None:
        return biased
    a, b = work.value(left), work.value(right)
    if scale != 1:
        b = _times(work, b, scale)
    if op == "sub":
        b = _times(work, b, -1)
    if op == "div":
        b = replace(b, node=work.layer("pow", (b.node,), args={"": -1}))
    return joined(work, "add" if op in ("add", "sub") else "multiply", a, b)


def _biased(work: Translation, left: Any, right: Any) -> Value | None:
    """`bias`, where a learnt tensor of that name has one value for each position of each map."""
    if not isinstance(left, Value) or not isinstance(right, Held) or right.role != "parameter":
        return None
    named = (
        right.key.rpartition(".")[2] == "bias"
        and right.name not in work.emitted
        and right.key not in work.used
    )
    if not named or left.shape[1:] != right.shape or len(right.shape) < 2 or left.lang != left.axes[1:]:
        return None
    return replace(left, node=work.layer("bias", (left.node,), weights={"bias": right}))


def _number(value: Any) -> Any:
    """A constant of the code that is a single number, as that number."""
    if isinstance(value, Held) and value.role == "constant" and value.values and len(value.values) == 1:
        return value.values[0]
    return value


def _times(work: Translation, value: Value, c: float) -> Value:
    return replace(value, node=work.layer("times", (value.node,), args={"": c}))


def _with_number(work: Translation, value: Any, op: str, c: float) -> Value:
    kind, number = {
        "add": ("plus", c), "sub": ("plus", -c), "mul": ("times", c), "div": ("times", 1 / c if c else 0),
    }[op]  # fmt: skip
    if op == "div" and c == 0:
        raise Refusal("a division by 0")
    if (kind, number) in (("plus", 0), ("times", 1)):
        return work.value(value)
    return pointwise(work, value, kind, {"": number})


def _number_first(work: Translation, c: float, op: str, value: Any, scale: float) -> Value:
    if op == "sub":
        minus = pointwise(work, value, "times", {"": -scale})
        return minus if c == 0 else replace(minus, node=work.layer("plus", (minus.node,), args={"": c}))
    if op == "div":
        inverse = pointwise(work, value, "pow", {"": -1})
        return inverse if c == 1 else _times(work, inverse, c)
    return _with_number(work, value, op, c)


def joined(work: Translation, kind: str, a: Value, b: Value) -> Value:
    """`[a + b]` or `[a & b]`, axes that only one of them has repeated."""
    a, b = _unrepeated(a, b)
    a, b, pairs = paired(a, b)
    batch = a.batch or b.batch
    if _solid(b) > _solid(a):
        first_node, second_node, lang = _aligned(work, kind, b, a, {x: y for y, x in pairs.items()})
        order: tuple[int, ...] = (second_node, first_node)
        main, other, to_main = b, a, {x: y for y, x in pairs.items()}
    else:
        first_node, second_node, lang = _aligned(work, kind, a, b, pairs)
        order = (first_node, second_node)
        main, other, to_main = a, b, pairs
    node = work.layer(kind, order)
    axes = tuple(
        x or tuple(to_main.get(atom, atom) for atom in y) for x, y in zip(main.axes, other.axes, strict=True)
    )
    return Value(node, lang, axes, batch)


def _solid(value: Value) -> int:
    return size_of(atom for atom in flat(value.lang))


def _unrepeated(a: Value, b: Value) -> tuple[Value, Value]:
    """Repeated axes left out: the merge repeats them itself, or the result is repeated later on."""
    rank = max(len(a.axes), len(b.axes))
    left, right = (list(((),) * (rank - len(v.axes)) + v.axes) for v in (a, b))
    for i in range(rank):
        for mine, other in ((left, right), (right, left)):
            if mine[i] and other[i] and all(atom.stretched for atom in mine[i]):
                mine[i] = ()
    return replace(a, axes=tuple(left)), replace(b, axes=tuple(right))


def _aligned(
    work: Translation, kind: str, main: Value, other: Value, pairs: dict[Atom, Atom]
) -> tuple[int, int, Axes]:
    """The lines of two operands laid alike, and the axes of the result. `pairs` are factors of `other` to those of `main`."""
    theirs = {mine: atom for atom, mine in pairs.items()}
    extra = [a for a in flat(other.lang) if a not in pairs]
    partly = [
        axis for axis in main.lang if any(a in theirs for a in axis) and not all(a in theirs for a in axis)
    ]
    if extra or partly:
        return _apart(work, kind, main, other, theirs)
    want = tuple(tuple(theirs[a] for a in axis if a in theirs) for axis in main.lang)
    if kind == "add":
        want = _repeated(main.lang, want)
    return main.node, laid(work, other, want), main.lang


def _repeated(lang: Axes, want: Axes) -> Axes:
    """A sum repeats nothing itself: its operand is stretched before."""
    return tuple(
        theirs or tuple(Atom(atom.size, True) for atom in mine)
        for mine, theirs in zip(lang, want, strict=True)
    )


def _apart(
    work: Translation, kind: str, main: Value, other: Value, theirs: dict[Atom, Atom]
) -> tuple[int, int, Axes]:
    """Both operands with torch's own axes, where neither has all those of the result."""
    wants: list[list[Axis]] = [[], []]
    lang: list[Axis] = []
    for mine, yours in zip(main.axes, other.axes, strict=True):
        if (main.batch in mine if mine else False) or (other.batch in yours if yours else False):
            if len(mine) > 1 or len(yours) > 1:
                raise Refusal("its batch is folded with positions or channels, which the language cannot say")
            continue
        wants[0].append(mine)
        wants[1].append(yours)
        lang.append(mine or yours)
    kept = [i for i, axis in enumerate(lang) if axis] or [0]
    while len(kept) < min(len(lang), 1):
        kept.append(len(kept))
    first_want, second_want = (tuple(want[i] for i in kept) for want in wants)
    shape = tuple(lang[i] for i in kept)
    if kind == "add":
        first_want, second_want = _repeated(shape, first_want), _repeated(shape, second_want)
    return laid(work, main, first_want), laid(work, other, second_want), shape


# --- concatenation --------------------------------------------------------------------------


@rule("cat", "concat", "concatenate")
def concat(work: Translation, step: Step) -> Value:
    values = [work.value(v) for v in step.args["tensors"]]
    values = [v for v in values if 0 not in v.shape]
    return concatenated(work, values, step.args.get("dim", 0) % len(values[0].axes))


@rule("stack")
def stack(work: Translation, step: Step) -> Value:
    values = [work.value(v) for v in step.args["tensors"]]
    dim = step.args.get("dim", 0) % (len(values[0].axes) + 1)
    values = [replace(v, axes=(*v.axes[:dim], (), *v.axes[dim:])) for v in values]
    return concatenated(work, values, dim)


def concatenated(work: Translation, values: list[Value], dim: int) -> Value:
    """`[a | b]` along an axis."""
    if len(values) == 1:
        return values[0]
    if any(v.batch is not None and v.batch in v.axes[dim] for v in values):
        raise Refusal("it joins along the batch")
    values = [_without_repeats(work, v, dim) for v in values]
    main = max(values, key=_solid)
    main = _cut_alike(main, values, dim)
    want, place = _joining_axes(main, dim)
    nodes = []
    for v in values:
        cut, main_again, pairs = paired(v, main, but=dim)
        if main_again.lang != main.lang:
            raise Refusal("two tensors whose axes are made of different factors meet")
        own = dict(pairs)
        target = tuple(
            cut.axes[dim] if i == place else tuple(own[a] for a in axis) for i, axis in enumerate(want)
        )
        nodes.append(laid(work, cut, target))
    total = sum(size_of(v.axes[dim]) for v in values)
    joined_axis = (Atom(total),)
    args = {} if place == 0 else {"axis": LETTERS[len(want)][place]}
    node = _nested(work, tuple(nodes), args)
    lang = tuple(joined_axis if i == place else axis for i, axis in enumerate(want))
    axes = tuple(joined_axis if i == dim else axis for i, axis in enumerate(main.axes))
    batch = next((v.batch for v in values if v.batch is not None), None)
    if batch is not None and batch not in flat(axes):
        axes = ((batch,), *axes[1:])
    return Value(node, lang, axes, batch)


def _nested(work: Translation, nodes: tuple[int, ...], args: dict[str, Any]) -> int:
    """The join; where one of the first of these is there already, of that and the rest.

    So a dense block, whose every step joins all that came before, is a chain of `[id | …]`.
    """
    along = args.get("axis", "C")
    whole = nodes
    for count in range(len(nodes) - 1, 1, -1):
        there = work.moved.get((nodes[:count], along))
        if there is not None:
            nodes = (there, *nodes[count:])
            break
    made = work.layer("concat", nodes, args=args)
    work.moved.setdefault((whole, along), made)
    return made


def _cut_alike(main: Value, values: list[Value], dim: int) -> Value:
    for v in values:
        if v is not main:
            _, main, _ = paired(v, main, but=dim)
    return main


def _without_repeats(work: Translation, value: Value, dim: int) -> Value:
    """A value whose repeated axes are really there, as a concatenation needs."""
    if not any(atom.stretched for atom in flat(value.axes)):
        return value
    axes = [tuple(a for a in axis if a is not value.batch) for axis in value.axes]
    want = axes[1:] if value.batch is not None else axes
    return relaid(work, value, tuple(want))


def _joining_axes(main: Value, dim: int) -> tuple[Axes, int]:
    """The axes in which operands are laid to be joined, and which of them is the one that grows."""
    grows = main.axes[dim]
    if grows and grows in main.lang:
        return main.lang, main.lang.index(grows)
    rest = [tuple(a for a in axis if a is not main.batch) for i, axis in enumerate(main.axes) if i != dim]
    kept = [axis for axis in rest if axis]
    if len(kept) > 3:
        kept = [*kept[:2], flat(kept[2:])]
    head = main.lang[0] if main.lang[0] in kept else None
    if head is not None:
        kept.remove(head)
        return (head, grows, *kept), 1
    return (grows, *kept), 0


@rule("addcmul")
def addcmul(work: Translation, step: Step) -> Value:
    a, b, c = (work.value(step.args[key]) for key in ("self", "tensor1", "tensor2"))
    product = joined(work, "multiply", b, c)
    if step.args.get("value", 1) != 1:
        product = _times(work, product, step.args["value"])
    return joined(work, "add", a, product)
