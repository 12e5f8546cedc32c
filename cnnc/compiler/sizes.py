"""Free sizes: integers that also know where they come from.

A `Size` is the number that a size has at the reference input, and the exact
expression of the free input sizes that gives it: sums of products of symbols
and of floors, in a canonical form. It is an `int`, so the size rules of the
layers apply to it unchanged; what they assume on the way (that a kernel fits,
that two branches are equal) is written into a ledger as a condition. What a
comparison says at the reference may not hold at another size: the outcome of
each is noted, so that what was found holds for every size that fits the conditions.

>>> ledger = Ledger()
>>> h = symbol("H", 224, ledger)
>>> (h + 2 - 3) // 2 + 1, int((h + 2 - 3) // 2 + 1)
((H + 1)//2, 112)
>>> ((h // 2) + 1) // 2 * 2
2*((H + 2)//4)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from math import gcd, lcm
from typing import NoReturn

from cnnc.dsl.record import record


@record
class Floor:
    """floor(numerator / divisor)."""

    numerator: Poly
    divisor: int


Atom = str | Floor
Poly = tuple[tuple[tuple[Atom, ...], int], ...]
"""Monomials with their coefficients, sorted; a monomial is its factors, sorted; () is the constant."""


def _poly(terms: Mapping[tuple[Atom, ...], int]) -> Poly:
    kept = [(monomial, c) for monomial, c in terms.items() if c]
    return tuple(sorted(kept, key=lambda term: (-len(term[0]), repr(term[0]))))


def _constant(n: int) -> Poly:
    return (((), n),) if n else ()


def _is_constant(poly: Poly) -> bool:
    return not any(monomial for monomial, _ in poly)


def add(a: Poly, b: Poly, times: int = 1) -> Poly:
    """`a + times * b`."""
    terms = dict(a)
    for monomial, c in b:
        terms[monomial] = terms.get(monomial, 0) + times * c
    return _poly(terms)


def _multiply(a: Poly, b: Poly) -> Poly:
    terms: dict[tuple[Atom, ...], int] = {}
    for left, c in a:
        for right, d in b:
            monomial = tuple(sorted(left + right, key=repr))
            terms[monomial] = terms.get(monomial, 0) + c * d
    return _poly(terms)


def _floor(a: Poly, divisor: int) -> Poly:
    """floor(a / divisor) in canonical form: whole multiples outside, nested floors merged."""
    # floor((q*divisor + r + x)/divisor) = q + floor((r + x)/divisor)
    outside = {monomial: c // divisor for monomial, c in a}
    inside = {monomial: c % divisor for monomial, c in a if monomial and c % divisor}
    if not inside:
        return _poly(outside)
    common = gcd(divisor, *inside.values())
    inside = {monomial: c // common for monomial, c in inside.items()}
    constant = dict(a).get((), 0) % divisor // common
    divisor //= common  # still more than 1: what is inside is less
    match tuple(inside.items()):
        case (((Floor() as inner,), 1),):
            numerator = add(inner.numerator, _constant(constant * inner.divisor))
            return add(_poly(outside), _floor(numerator, divisor * inner.divisor))
    inside[()] = constant
    return add(_poly(outside), _poly({(Floor(_poly(inside), divisor),): 1}))


def at(poly: Poly, sizes: Mapping[str, int]) -> int:
    """The value for given sizes of the symbols."""
    total = 0
    for monomial, c in poly:
        for atom in monomial:
            c *= sizes[atom] if isinstance(atom, str) else at(atom.numerator, sizes) // atom.divisor
        total += c
    return total


def symbols(poly: Poly) -> frozenset[str]:
    """The symbols in an expression."""
    found: set[str] = set()
    for monomial, _ in poly:
        for atom in monomial:
            found |= {atom} if isinstance(atom, str) else symbols(atom.numerator)
    return frozenset(found)


def period(poly: Poly) -> int:
    """A number of steps of its symbols after which the expression's remainders recur."""
    steps = 1
    for monomial, _ in poly:
        for atom in monomial:
            if isinstance(atom, Floor):
                steps = lcm(steps, atom.divisor * period(atom.numerator))
    return steps


def text(poly: Poly) -> str:
    """The expression in the language's arithmetic."""
    if not poly:
        return "0"
    out = ""
    for monomial, c in poly:
        # A minus sign binds tighter than //: -(H//2) is not -H//2. Between terms it does not.
        alone = len(monomial) == 1 and (c == 1 or (c == -1 and bool(out)))
        factors = [_atom(atom, alone=alone) for atom in monomial]
        if abs(c) != 1 or not factors:
            factors.insert(0, str(abs(c)))
        sign = "-" if c < 0 else "+"
        out += f" {sign} {'*'.join(factors)}" if out else ("-" if c < 0 else "") + "*".join(factors)
    return out


def _atom(atom: Atom, *, alone: bool) -> str:
    if isinstance(atom, str):
        return atom
    inner = text(atom.numerator)
    inner = f"({inner})" if " " in inner or "*" in inner or "/" in inner else inner
    return f"{inner}//{atom.divisor}" if alone else f"({inner}//{atom.divisor})"


@record
class Condition:
    """What was assumed: `poly` is at least 0, or (with `equal`) exactly 0; `why` tells the layer."""

    poly: Poly
    equal: bool
    why: str


@record(frozen=False)
class Ledger:
    """The conditions assumed while it is open, and the layer that is being placed.

    `otherwise` is what would have turned a comparison the other way: other sizes to try where
    the reference is refused.
    """

    conditions: dict[tuple[Poly, bool], Condition] = field(default_factory=dict)
    otherwise: dict[tuple[Poly, bool], Condition] = field(default_factory=dict)
    place: str = ""
    is_open: bool = True
    refused: set[str] = field(default_factory=set)
    """The places where something was wrong."""

    def note(self, poly: Poly, *, equal: bool) -> None:
        if self.is_open:
            self.conditions.setdefault((poly, equal), Condition(poly, equal, self.place))

    def miss(self, poly: Poly, *, equal: bool) -> None:
        """Note a condition that does not hold at the reference."""
        if self.is_open:
            self.otherwise[poly, equal] = Condition(poly, equal, self.place)

    def assumes_equal(self, difference: Poly) -> bool:
        """Whether it was assumed that a difference is 0."""
        return (difference, True) in self.conditions or (add((), difference, -1), True) in self.conditions


class Size(int):
    """An integer with its expression. Arithmetic keeps the expression; equality may note a condition."""

    poly: Poly
    ledger: Ledger

    @staticmethod
    def make(value: int, poly: Poly, ledger: Ledger) -> int:
        """The size, or a plain integer where the expression is constant."""
        if _is_constant(poly):
            return value
        size = Size(value)
        size.poly, size.ledger = poly, ledger
        return size

    def _with(self, value: int, poly: Poly) -> int:
        return Size.make(value, poly, self.ledger)

    def __add__(self, other: int) -> int:
        return self._with(int(self) + int(other), add(self.poly, poly_of(other)))

    __radd__ = __add__

    def __sub__(self, other: int) -> int:
        return self._with(int(self) - int(other), add(self.poly, poly_of(other), -1))

    def __rsub__(self, other: int) -> int:
        return self._with(int(other) - int(self), add(poly_of(other), self.poly, -1))

    def __neg__(self) -> int:
        return self._with(-int(self), add((), self.poly, -1))

    def __mul__(self, other: int) -> int:
        return self._with(int(self) * int(other), _multiply(self.poly, poly_of(other)))

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> int:
        if isinstance(other, Size):
            self._refuse()
        return self._with(int(self) // other, _floor(self.poly, other))

    def __mod__(self, other: int) -> int:
        return self - self // other * other

    def _refuse(self, *_: object) -> NoReturn:
        """What has no exact expression is a mistake of whoever asks, not a number that forgets where it is from."""
        raise TypeError(f"no expression gives this for the free size {self}")

    __truediv__ = __rtruediv__ = __rfloordiv__ = __rmod__ = _refuse
    __pow__ = __rpow__ = __divmod__ = __rdivmod__ = __abs__ = __round__ = _refuse

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, int):
            return NotImplemented
        difference = add(self.poly, poly_of(other), -1)
        if not difference:
            return True
        if not self.ledger.is_open:  # equal for every size that fits, not where the reference happens to be
            return self.ledger.assumes_equal(difference)
        if int(self) != int(other):
            self.ledger.miss(difference, equal=True)
            return False
        self.ledger.note(difference, equal=True)
        return True

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __bool__(self) -> bool:
        return self != 0

    def __lt__(self, other: int) -> bool:
        return not self._reaches(other)

    def __ge__(self, other: int) -> bool:
        return self._reaches(other)

    def __gt__(self, other: int) -> bool:
        return self._reaches(other + 1)

    def __le__(self, other: int) -> bool:
        return not self._reaches(other + 1)

    def _reaches(self, least: int) -> bool:
        """Whether it is at least so much; what the reference says is noted for all sizes."""
        above = add(self.poly, poly_of(least), -1)
        below = add(add((), above, -1), _constant(-1))
        holds = int(self) >= int(least)
        if _is_constant(above):  # the same for every size
            return holds
        self.ledger.note(above if holds else below, equal=False)
        self.ledger.miss(below if holds else above, equal=False)
        return holds

    def __hash__(self) -> int:
        return int.__hash__(self)

    def __repr__(self) -> str:
        return text(self.poly)

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __str__(self) -> str:
        """The expression as one size among others: in brackets unless it is a symbol."""
        plain = repr(self)
        return plain if plain.isidentifier() else f"({plain})"

    def __reduce__(self) -> tuple[object, ...]:
        return (int, (int(self),))


def poly_of(n: int) -> Poly:
    """The expression of a size; a plain integer's is itself. Raises TypeError for what is no integer."""
    if isinstance(n, Size):
        return n.poly
    if not isinstance(n, int):
        raise TypeError(f"{n!r} is no size")
    return _constant(int(n))


def same(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes are equal, for every size or by conditions that are noted; nothing is noted where they are not."""
    if len(a) != len(b):
        return False
    apart = [(n, m) for n, m in zip(a, b, strict=True) if poly_of(n) != poly_of(m)]
    if not apart:
        return True
    if any(not is_free(n) and not is_free(m) for n, m in apart):
        return False
    unequal = [(n, m) for n, m in apart if int(n) != int(m)]
    return all(n == m for n, m in unequal or apart)


def ratio(n: int, m: int) -> int | None:
    """n/m where that is one whole number for every size; else None.

    >>> ledger = Ledger()
    >>> h = symbol("H", 224, ledger)
    >>> ratio(2 * h, h), ratio(h, 7), ratio(14, 7)
    (2, None, 2)
    """
    if not is_free(n) and not is_free(m):
        return n // m if n % m == 0 else None
    times = int(n) // int(m)
    return times if times and not add(poly_of(n), poly_of(m), -times) else None


def symbol(name: str, reference: int, ledger: Ledger) -> int:
    """A free size that is `reference` for now."""
    return Size.make(reference, (((name,), 1),), ledger)


def exact_quotient(n: int, by: int) -> int | None:
    """n / by where that is whole for every value of the free sizes; else None.

    >>> ledger = Ledger()
    >>> h = symbol("H", 224, ledger)
    >>> exact_quotient(6 * h, 3), exact_quotient(h, 2), exact_quotient(12, 5)
    (2*H, None, None)
    """
    if isinstance(n, Size):
        return n // by if not any(c % by for _, c in n.poly) else None
    return None if n % by else n // by


def is_free(n: object) -> bool:
    """Whether a size depends on the input."""
    return isinstance(n, Size)


def number(n: int, sizes: Mapping[str, int] | None = None) -> int:
    """A size as a plain number: with these free sizes, or (None) at the reference."""
    return at(n.poly, sizes) if sizes is not None and isinstance(n, Size) else int(n)
