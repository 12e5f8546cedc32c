"""Where a receptive field goes by the remainder of a free size: TensorFlow's padding, crops to a sibling.

Sizes, strides and everything counted are exact expressions. Where windows start is a
number only for a given size; it recurs with the period of the paddings' expressions, so
one look at each remainder says all.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm

from cnnc.compiler.graph import Graph
from cnnc.compiler.ops.base import Local, Shares
from cnnc.compiler.receptive_field import receptive_fields
from cnnc.compiler.sizes import Poly, Size, period, poly_of, symbols
from cnnc.dsl.record import record

MAX_MODULUS = 256


@record
class Residues:
    """How the field of one output stands by `symbol % modulus`, one entry for each remainder.

    `starts` holds the first coordinate that position 0 sees, by axis of the input; `aligned`
    whether all branches are centred on each other on the axes of that size. Both are empty where there are more than
    256 remainders to tell.
    """

    output: str
    symbol: str
    modulus: int
    starts: tuple[tuple[int | None, ...], ...]
    aligned: tuple[bool, ...]

    def __str__(self) -> str:
        head = f"The RF of {self.output} depends on {self.symbol} % {self.modulus}"
        if not self.starts:
            return f"{head}."
        axis = next(
            (i for i, found in enumerate(zip(*self.starts, strict=True)) if len(set(found)) > 1), None
        )
        told = []
        if axis is not None:
            starts = [start[axis] for start in self.starts]
            if len(set(starts)) <= 8:
                for start in sorted(set(starts), key=lambda n: (n is None, n)):
                    told.append(f"starts at {start} for {_listed(starts, start)}")
            else:
                numbers = [n for n in starts if n is not None]
                told.append(f"starts at {min(numbers)} to {max(numbers)}")
        if not any(self.aligned):
            told.append("aligned for none")
        elif not all(self.aligned):
            told.append(f"aligned for {_listed(self.aligned, True)}")
        return f"{head}: {', '.join(told)}."


def _listed(values: tuple[object, ...] | list[int | None], wanted: object) -> str:
    """The remainders that have a value, the first eight of many."""
    found = [str(i) for i, value in enumerate(values) if value == wanted]
    return ", ".join([*found[:8], "…"] if len(found) > 8 else found)


def residues(graph: Graph) -> tuple[Residues, ...]:
    """For each output and free size, how the output's field goes by the size's remainder.

    Left out are those that do not change with it. The other free sizes stand at their reference.
    """
    if not graph.free:
        return ()
    moving = tuple(_starts(graph))
    references = {name: int(size) for name, size in graph.free.items()}
    found = []
    for name in graph.free:
        modulus = lcm(1, *(period(poly) for poly in moving if name in symbols(poly)))
        if modulus == 1:
            continue
        if modulus > MAX_MODULUS:
            found += [Residues(output, name, modulus, (), ()) for output in graph.outputs]
            continue
        first = -(-references[name] // modulus) * modulus
        fields = [receptive_fields(graph, sizes={**references, name: first + r}) for r in range(modulus)]
        for output, index in graph.outputs.items():
            by_rest = [some[index] for some in fields]
            told = [field for field in by_rest if field is not None and field.undefined is None]
            if len(told) < modulus:
                continue
            starts = tuple(field.start for field in told)
            wrt = graph.nodes[told[0].wrt].out[1:]
            axes = [i for i, size in enumerate(wrt) if name in symbols(poly_of(size))]
            aligned = tuple(all(field.aligned_axes[i] for i in axes) for field in told)
            rows = tuple(zip(starts, aligned, strict=True))
            least = next(
                m for m in range(1, modulus + 1) if modulus % m == 0 and rows == rows[:m] * (modulus // m)
            )
            if least > 1:
                found.append(Residues(output, name, least, starts[:least], aligned[:least]))
    return tuple(found)


def _starts(graph: Graph) -> Iterator[Poly]:
    """The expressions by which windows start."""
    for node in graph.nodes:
        for window in node.op.windows(*graph.ins(node)) if node.inputs else ():
            if isinstance(window, Local):
                for axis in window.axes:
                    if not isinstance(axis, Shares) and isinstance(axis.before, Size):
                        yield axis.before.poly
