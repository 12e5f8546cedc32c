"""Arithmetic on the numbers that a model's constructor is given."""


def whole(size: float) -> int:
    """`size` as an integer. Raises ValueError where it is none."""
    nearest = round(size)
    if abs(size - nearest) > 1e-6:
        raise ValueError(f"{size} is no whole number")
    return nearest


def divisible(size: float, by: int) -> int:
    """The multiple of `by` nearest to `size`.

    At least `by`, and not under 90 % of `size`.
    """
    nearest = max(by, int(size + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * size else nearest
