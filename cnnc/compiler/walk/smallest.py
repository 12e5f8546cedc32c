"""The smallest input that works, for the error that says that a map has become too small."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from cnnc.compiler.ops import by_x
from cnnc.compiler.ops.geometry import TOO_SMALL
from cnnc.compiler.walk.misfit import ALIKE
from cnnc.dsl.diagnostics import Diagnostic

Sizes = Mapping[str | None, tuple[int, ...]]
Attempt = Callable[[Sizes], Sequence[Diagnostic]]
"""The mistakes found with inputs of these shapes, by input name."""

MAX_SIZE = 1 << 14
STEPS = (2, 4, 8, 16, 32, 64)
"""What sizes are made multiples of, where branches are to be alike."""
MAX_STEPS = 64
"""How far above the smallest size at which every kernel fits one is looked for that works altogether."""


def with_smallest_input(found: Sequence[Diagnostic], inputs: Sizes, attempt: Attempt) -> list[Diagnostic]:
    """The mistakes, those of a map that is too small told the smallest input that works, where there is one;
    those of branches of unlike sizes, the nearest inputs with which they are alike.

    Sizes that are equal in an input stay equal. A larger map never makes a kernel too large,
    so the size at which all kernels fit is found by halving.
    """
    out = list(found)
    places = [i for i, diagnostic in enumerate(out) if _too_small(diagnostic)]
    if places:
        best = _search(inputs, attempt)
        if best is not None:
            several = len(best) > 1
            shapes = ", ".join(
                f"{by_x(shape)} for `{name or 'input'}`" if several else by_x(shape)
                for name, shape in best.items()
            )
            hint = f"the smallest input that works is {shapes}; or pad it, or pool less before it"
            out = [replace(d, hint=hint) if i in places else d for i, d in enumerate(out)]
    elif out and all(_unlike(diagnostic) for diagnostic in out):
        near = [by_x(shape) for shape in _nearest(inputs, attempt)]
        if near:
            told = f"; an input of {' or '.join(near)} works as it is"
            out = [replace(d, hint=f"{d.hint}{told}") for d in out]
    return out


def _unlike(diagnostic: Diagnostic) -> bool:
    return diagnostic.code == "E405" and (diagnostic.hint or "").startswith(ALIKE)


def _nearest(inputs: Sizes, attempt: Attempt) -> list[tuple[int, ...]]:
    """The nearest shapes below and above of the only input whose sizes are multiples of a power of two and work.

    What is halved on the way down and doubled on the way up needs such multiples.
    """
    if len(inputs) != 1:
        return []
    (name, shape), *_ = inputs.items()
    near = []
    for up in (False, True):
        multiples = ([(n // step + (up and n % step > 0)) * step for n in shape[1:]] for step in STEPS)
        found = (sizes for sizes in multiples if min(sizes) and sizes != list(shape[1:]))
        works = ((shape[0], *sizes) for sizes in found if not attempt({name: (shape[0], *sizes)}))
        near += list(islice(works, 1))
    return near


def _too_small(diagnostic: Diagnostic) -> bool:
    return diagnostic.code == "E403" and diagnostic.hint == TOO_SMALL


Variable = tuple[str | None, int]
"""An input, and a size that one or more of its axes have."""


def _search(inputs: Sizes, attempt: Attempt) -> Sizes | None:
    variables = {(name, n): n for name, shape in inputs.items() for n in shape[1:]}

    def fits(values: Mapping[Variable, int]) -> bool:
        return not any(map(_too_small, attempt(_shapes(inputs, values))))

    large = dict(variables)
    while not fits(large):
        large = {variable: 2 * n for variable, n in large.items()}
        if max(large.values()) > MAX_SIZE:
            return None
    if attempt(_shapes(inputs, large)):
        return None  # there is more wrong than sizes

    def fits_alone(variable: Variable, n: int) -> bool:
        return fits({**large, variable: n})

    smallest = dict(variables)
    for variable, given in variables.items():
        if not fits_alone(variable, given):
            smallest[variable] = _halved(given, large[variable], partial(fits_alone, variable))
    for values in _upwards(smallest, variables):
        shapes = _shapes(inputs, values)
        if not attempt(shapes):
            return shapes
    return None


def _halved(short: int, enough: int, fits: Callable[[int], bool]) -> int:
    """The smallest number that fits; `short` does not and `enough` does."""
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if fits(middle) else (middle, enough)
    return enough


def _upwards(
    smallest: Mapping[Variable, int], given: Mapping[Variable, int]
) -> Iterator[dict[Variable, int]]:
    """The sizes from the smallest on: those that had to grow, all by the same step."""
    for step in range(MAX_STEPS):
        yield {v: n + step if n > given[v] else n for v, n in smallest.items()}


def _shapes(inputs: Sizes, values: Mapping[Variable, int]) -> dict[str | None, tuple[int, ...]]:
    return {name: (shape[0], *(values[name, n] for n in shape[1:])) for name, shape in inputs.items()}
