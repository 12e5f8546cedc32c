"""What free sizes must be for every layer to fit: the conditions of a ledger, in words."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, lcm

from cnnc.compiler.sizes import Condition, Floor, Ledger, Poly, add, at, period, symbols, text
from cnnc.dsl.record import record

MAX_SCAN = 1 << 14


@record
class Limits:
    """What one free size must be.

    At least `smallest` and at most `largest` (None: no bound), with one of `remainders` of
    `modulus` (empty: any), and none of `gaps`, which lie between.
    """

    symbol: str
    smallest: int | None
    imposed_by: str
    modulus: int
    remainders: tuple[int, ...]
    largest: int | None = None
    gaps: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.smallest is None:
            return f"no {self.symbol} up to {MAX_SCAN:,} is legal"
        if self.smallest == self.largest:
            out = f"{self.symbol} == {self.smallest}"
        elif self.largest is not None:
            out = f"{self.smallest} <= {self.symbol} <= {self.largest}"
        else:
            out = f"{self.symbol} >= {self.smallest}"
        if self.imposed_by:
            out += f" (for {self.imposed_by})"
        if self.remainders:
            allowed = " or ".join(map(str, self.remainders))
            out += f" with {self.symbol} % {self.modulus} == {allowed}"
        if self.gaps:
            shown = ", ".join(map(str, self.gaps[:8])) + (", …" if len(self.gaps) > 8 else "")
            out += f", but not {shown}"
        return out


def limits(ledger: Ledger, name: str) -> Limits:
    """What the values of one symbol must be for every condition on it alone to hold.

    Conditions on several symbols at once are left to the input that is tried.
    `smallest` is None where no value up to 16,384 is legal.

    >>> from cnnc.compiler.sizes import symbol
    >>> ledger = Ledger()
    >>> w = symbol("W", 24, ledger)
    >>> w // 3 * 3 >= 5, w <= 30, w % 4 == 0
    (True, True, True)
    >>> print(limits(ledger, "W"))
    8 <= W <= 28 with W % 4 == 0
    """
    own = [c for c in ledger.conditions.values() if symbols(c.poly) == {name}]

    def holds(c: Condition, n: int) -> bool:
        value = at(c.poly, {name: n})
        return value == 0 if c.equal else value >= 0

    def legal(n: int) -> bool:
        return all(holds(c, n) for c in own)

    smallest = next((n for n in range(1, MAX_SCAN + 1) if legal(n)), None)
    if smallest is None:
        return Limits(name, None, "", 1, ())
    broken = [c for c in own if smallest > 1 and not holds(c, smallest - 1)]

    # What is not linear is left to the input that is tried.
    linear = [(c, _line(c.poly)) for c in own if _is_linear(c.poly)]
    steady = [c for c, line in linear if not line.slope]
    sloped = [(c, line) for c, line in linear if line.slope]
    # Behind the horizon each keeps its sign.
    horizon = max([smallest, *(line.crossed(MAX_SCAN) for _, line in sloped)])
    bounded = any(c.equal or line.slope < 0 for c, line in sloped)
    largest = next(n for n in range(horizon, 0, -1) if legal(n)) if bounded else None

    modulus = lcm(*(period(c.poly) for c in steady))
    remainders: tuple[int, ...] = ()
    if modulus <= MAX_MODULUS and largest != smallest:
        fitting = [n for n in range(modulus) if all(holds(c, n) for c in steady)]
        remainders = tuple(fitting) if len(fitting) < modulus else ()
    modulus = modulus if remainders else 1
    gaps = tuple(
        n
        for n in range(smallest, (largest or horizon) + 1)
        if not legal(n) and (not remainders or n % modulus in remainders)
    )
    why = broken[0].why if broken else ""
    return Limits(name, smallest, why, modulus, remainders, largest, gaps)


def together(ledger: Ledger) -> tuple[str, ...]:
    """The conditions that bind several free sizes to one another: `H == 2*K`, `H*W >= 2`."""
    found = [c for c in ledger.conditions.values() if len(symbols(c.poly)) > 1]
    return tuple(dict.fromkeys(map(_relation, found)))


def _relation(condition: Condition) -> str:
    """A condition with nothing negative on either side."""
    left = tuple(term for term in condition.poly if term[1] > 0)
    right = add(left, condition.poly, -1)
    if condition.equal and len(right) > len(left):
        left, right = right, left
    return f"{text(left)} {'==' if condition.equal else '>='} {text(right)}"


MAX_MODULUS = 4096


@record
class _Line:
    """An expression of one size n lies between slope*n + low and slope*n + high."""

    slope: Fraction
    low: Fraction
    high: Fraction

    def times(self, factor: Fraction) -> _Line:
        low, high = sorted((self.low * factor, self.high * factor))
        return _Line(self.slope * factor, low, high)

    def crossed(self, most: int) -> int:
        """A size behind which the expression has the sign of its slope, at most `most`."""
        edge = -self.low if self.slope > 0 else self.high
        return min(most, max(0, ceil(edge / abs(self.slope)) + 1))


def _is_linear(poly: Poly) -> bool:
    """Whether no sizes are multiplied with each other."""
    return all(
        len(monomial) <= 1 and all(isinstance(a, str) or _is_linear(a.numerator) for a in monomial)
        for monomial, _ in poly
    )


def _line(poly: Poly) -> _Line:
    """The line that an expression of one size follows; it holds no products of sizes."""
    slope, low, high = Fraction(0), Fraction(0), Fraction(0)
    for monomial, c in poly:
        if not monomial:
            part = _Line(Fraction(0), Fraction(1), Fraction(1))
        else:
            (atom,) = monomial
            part = _Line(Fraction(1), Fraction(0), Fraction(0)) if isinstance(atom, str) else _quotient(atom)
        part = part.times(Fraction(c))
        slope, low, high = slope + part.slope, low + part.low, high + part.high
    return _Line(slope, low, high)


def _quotient(floor: Floor) -> _Line:
    """The line that a floor follows: of what is divided, and up to the largest remainder below it."""
    exact = _line(floor.numerator).times(Fraction(1, floor.divisor))
    return _Line(exact.slope, exact.low - Fraction(floor.divisor - 1, floor.divisor), exact.high)
