"""Views, and what joins, pads, picks and moves values."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from cnnc.backends.pytorch.dry.autograd import Node, done, done_all, fresh, passed, reshaped, start
from cnnc.backends.pytorch.dry.register import function
from cnnc.backends.pytorch.dry.tensor import Tensor, contiguous_strides, like, new, promoted


def _sizes(args: Sequence[Any]) -> tuple[int, ...]:
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], tuple | list) else tuple(args)


def _resolved(shape: Sequence[int], total: int) -> tuple[int, ...]:
    known = prod(n for n in shape if n != -1)
    return tuple(total // known if n == -1 else n for n in shape)


def view_strides(x: Tensor, shape: Sequence[int]) -> tuple[int, ...] | None:
    """The strides under which `x` can be seen in another shape; None where it must be copied."""
    if x.is_contiguous_now:
        return contiguous_strides(shape)
    out = [0] * len(shape)
    position = len(shape) - 1
    base: int | None = None
    run = 1
    for i in range(len(x.shape) - 1, -1, -1):
        base = x.strides[i] if run == 1 else base
        run *= x.shape[i]
        if i and (x.shape[i - 1] == 1 or x.strides[i - 1] == run * (base or 0)):
            continue
        covered = 1
        while position >= 0 and (covered < run or shape[position] == 1):
            out[position] = covered * (base or 0)
            covered *= shape[position]
            position -= 1
        if covered != run:
            return None
        run = 1
    return tuple(out) if position < 0 else None


@function("reshape", method=True)
def reshape(x: Tensor, *shape: Any) -> Tensor:
    wanted = _resolved(_sizes(shape), prod(x.shape))
    strides = view_strides(x, wanted)
    if strides is None:
        return _copied(x, wanted)
    return done(start((x,), reshaped), x.viewed(wanted, strides))


def _copied(x: Tensor, shape: Sequence[int]) -> Tensor:
    return done(start((x,), reshaped), new(shape, x.dtype))


function("view", torch=False, method=True)(reshape)
function("view_as", "reshape_as", "expand_as_", torch=False, method=True)(
    lambda x, y: reshape(x, tuple(y.shape))
)


@function("flatten", method=True)
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    rank = len(x.shape)
    first, last = start_dim % rank, end_dim % rank
    if first == last:
        return x
    return reshape(x, (*x.shape[:first], prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


@function("unflatten", method=True)
def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    dim %= len(x.shape)
    return reshape(x, (*x.shape[:dim], *_resolved(sizes, x.shape[dim]), *x.shape[dim + 1 :]))


@function("permute", method=True)
def permute(x: Tensor, *dims: Any) -> Tensor:
    order = [d % len(x.shape) for d in _sizes(dims)]
    back = tuple(order.index(i) for i in range(len(order)))

    def backward(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
        g = gradients[0]
        return [g.viewed([g.shape[i] for i in back], tuple(g.strides[i] for i in back))]

    node = start((x,), backward)
    return done(node, x.viewed([x.shape[i] for i in order], tuple(x.strides[i] for i in order)))


@function("transpose", "swapaxes", method=True)
def transpose(x: Tensor, a: int, b: int) -> Tensor:
    order = list(range(len(x.shape)))
    order[a], order[b] = order[b], order[a]
    return permute(x, order)


@function("t", method=True)
def t(x: Tensor) -> Tensor:
    return permute(x, tuple(reversed(range(len(x.shape)))))


Tensor.T = property(t)  # type: ignore[attr-defined]
Tensor.mT = property(lambda x: transpose(x, -1, -2))  # type: ignore[attr-defined]


@function("movedim", "moveaxis", method=True)
def movedim(x: Tensor, source: Any, target: Any) -> Tensor:
    rank = len(x.shape)
    sources = [s % rank for s in (source if isinstance(source, tuple | list) else (source,))]
    targets = [d % rank for d in (target if isinstance(target, tuple | list) else (target,))]
    order = [i for i in range(rank) if i not in sources]
    for at, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(at, axis)
    return permute(x, order)


@function("unsqueeze", method=True)
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    dim %= len(x.shape) + 1
    shape = (*x.shape[:dim], 1, *x.shape[dim:])
    strides = (*x.strides[:dim], x.strides[dim] * x.shape[dim] if dim < len(x.shape) else 1, *x.strides[dim:])
    return done(start((x,), reshaped), x.viewed(shape, strides))


@function("squeeze", method=True)
def squeeze(x: Tensor, dim: Any = None) -> Tensor:
    rank = len(x.shape)
    dims = (
        range(rank) if dim is None else [d % rank for d in (dim if isinstance(dim, tuple | list) else (dim,))]
    )
    kept = [i for i in range(rank) if not (i in dims and x.shape[i] == 1)]
    shape, strides = [x.shape[i] for i in kept], tuple(x.strides[i] for i in kept)
    return done(start((x,), reshaped), x.viewed(shape, strides))


@function("expand", torch=False, method=True)
def expand(x: Tensor, *shape: Any) -> Tensor:
    wanted = _sizes(shape)
    more = len(wanted) - len(x.shape)
    old = (1,) * more + tuple(x.shape)
    strides = (0,) * more + x.strides
    sizes = tuple(o if w == -1 else w for w, o in zip(wanted, old, strict=True))
    seen = tuple(s if n == o else 0 for s, n, o in zip(strides, sizes, old, strict=True))
    return done(start((x,), fresh), x.viewed(sizes, seen))


function("expand_as", torch=False, method=True)(lambda x, y: expand(x, tuple(y.shape)))
function("broadcast_to", method=True)(lambda x, shape: expand(x, tuple(shape)))


@function("narrow", method=True)
def narrow(x: Tensor, dim: int, begin: int, length: int) -> Tensor:
    dim %= len(x.shape)
    shape = (*x.shape[:dim], length, *x.shape[dim + 1 :])
    return done(start((x,), fresh), x.viewed(shape, x.strides))


@function("split", method=True)
def split(x: Tensor, size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    n = x.shape[dim]
    sizes = list(size) if isinstance(size, tuple | list) else [min(size, n - i) for i in range(0, n, size)]

    def backward(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
        shapes = [[*x_shape[: dim % rank], s, *x_shape[dim % rank + 1 :]] for s in sizes]
        zeros = [g if g is not None else new(shape, kind) for g, shape in zip(gradients, shapes, strict=True)]
        return [new(x_shape, kind)] if zeros else [None]

    x_shape, kind, rank = x.shape, x.dtype, len(x.shape)
    node = start((x,), backward)
    axis = dim % rank
    outs = [x.viewed((*x_shape[:axis], s, *x_shape[axis + 1 :]), x.strides) for s in sizes]
    return tuple(done_all(node, outs))


@function("chunk", method=True)
def chunk(x: Tensor, n: int, dim: int = 0) -> tuple[Tensor, ...]:
    return split(x, -(-x.shape[dim] // n), dim)


@function("unbind", method=True)
def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    return tuple(squeeze(part, dim) for part in split(x, 1, dim))


@function("select", method=True)
def select(x: Tensor, dim: int, index: int) -> Tensor:
    dim %= len(x.shape)
    kept = [i for i in range(len(x.shape)) if i != dim]
    node = start((x,), fresh)
    return done(node, x.viewed([x.shape[i] for i in kept], tuple(x.strides[i] for i in kept)))


@function("__getitem__", torch=False, method=True)
def getitem(x: Tensor, key: Any) -> Tensor:
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(k, Tensor) for k in keys):
        return _gathered(x, keys)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        given = sum(k is not None for k in keys) - 1
        keys[at : at + 1] = [slice(None)] * (len(x.shape) - given)
    axis = 0
    for k in keys:
        if k is None:
            x, axis = unsqueeze(x, axis), axis + 1
        elif isinstance(k, int):
            x = select(x, axis, k)
        else:
            begin, stop, step = k.indices(x.shape[axis])
            length = len(range(begin, stop, step))
            if length != x.shape[axis]:
                strides = tuple(s * step if i == axis else s for i, s in enumerate(x.strides))
                shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
                x = done(start((x,), fresh), x.viewed(shape, strides))
            axis += 1
    return x


def _gathered(x: Tensor, keys: Sequence[Any]) -> Tensor:
    indices = [k for k in keys if isinstance(k, Tensor)]
    shape: list[int] = []
    for axis, k in enumerate(keys):
        if isinstance(k, Tensor):
            shape += [] if k is not indices[0] else list(k.shape)
        else:
            shape.append(x.shape[axis])
    return done(start((x,), fresh, indices), new([*shape, *x.shape[len(keys) :]], x.dtype))


@function("unfold", torch=False, method=True)
def unfold(x: Tensor, dim: int, size: int, step: int) -> Tensor:
    dim %= len(x.shape)
    windows = (x.shape[dim] - size) // step + 1
    shape = (*x.shape[:dim], windows, *x.shape[dim + 1 :], size)
    strides = (*x.strides[:dim], x.strides[dim] * step, *x.strides[dim + 1 :], x.strides[dim])
    return done(start((x,), fresh), x.viewed(shape, strides))


# --- joins and copies -------------------------------------------------------------------


@function("cat", "concat", "concatenate")
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    axis = dim % len(tensors[0].shape)

    def backward(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
        g = gradients[0]
        return [
            g.viewed(s, g.strides) if need else None
            for (s, _), need in zip(node.shapes, node.needs, strict=True)
        ]

    first = tensors[0].shape
    node = start(tuple(tensors), backward)
    shape = (*first[:axis], sum(t.shape[axis] for t in tensors), *first[axis + 1 :])
    return done(node, new(shape, promoted(tensors)))


@function("stack")
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    return cat([unsqueeze(t, dim) for t in tensors], dim)


def _pad(x: Tensor, sides: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor:
    shape = list(x.shape)
    for i in range(len(sides) // 2):
        shape[-1 - i] += sides[2 * i] + sides[2 * i + 1]
    node = start((x,), fresh, (x,) if mode in ("reflect", "replicate") else ())
    return done(node, new(shape, x.dtype))


function("pad", torch=False, functional=True)(_pad)


@function("roll", method=True)
def roll(x: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    return done(start((x,), fresh), like(x))


function("flip", method=True)(lambda x, *dims: done(start((x,), fresh), like(x)))


@function("repeat", torch=False, method=True)
def repeat(x: Tensor, *times: Any) -> Tensor:
    sizes = _sizes(times)
    shape = (1,) * (len(sizes) - len(x.shape)) + tuple(x.shape)
    return done(start((x,), fresh), new([n * m for n, m in zip(shape, sizes, strict=True)], x.dtype))


@function("repeat_interleave", method=True)
def repeat_interleave(x: Tensor, times: int, dim: int) -> Tensor:
    shape = list(x.shape)
    shape[dim] *= times
    return done(start((x,), fresh), new(shape, x.dtype))


@function("index_select", method=True)
def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    shape = list(x.shape)
    shape[dim] = index.shape[0]
    return done(start((x,), fresh, (index,)), new(shape, x.dtype))


@function("gather", method=True)
def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    return done(start((x,), fresh, (index,)), new(index.shape, x.dtype))


@function("scatter", "scatter_add", "index_copy", "index_add", method=True)
def scatter(x: Tensor, dim: int, index: Tensor, source: Any, **kwargs: Any) -> Tensor:
    ins = (x, source) if isinstance(source, Tensor) else (x,)
    return done(start(ins, _scatter_back, (index,)), like(x))


def _scatter_back(node: Node, gradients: Sequence[Any]) -> Sequence[Any]:
    g = gradients[0]
    return [g if node.needs[0] else None, *(new(*s) for s in node.shapes[1:])]


@function("triu", "tril", method=True)
def triangle(x: Tensor, diagonal: int = 0) -> Tensor:
    return done(start((x,), fresh), like(x))


@function("channel_shuffle", functional=True)
def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    y = transpose(unflatten(x, 1, (groups, -1)), 1, 2)
    return reshape(clone_contiguous(y), tuple(x.shape))


def clone_contiguous(x: Tensor) -> Tensor:
    return done(start((x,), passed), new(x.shape, x.dtype))


def _shuffle(x: Tensor, factor: int, down: bool) -> Tensor:
    n, c, h, w = x.shape
    r = factor
    shape = (n, c * r * r, h // r, w // r) if down else (n, c // (r * r), h * r, w * r)
    return done(start((x,), fresh), new(shape, x.dtype))


function("pixel_shuffle", functional=True)(lambda x, r: _shuffle(x, r, False))
function("pixel_unshuffle", functional=True)(lambda x, r: _shuffle(x, r, True))
