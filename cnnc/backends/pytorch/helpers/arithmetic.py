"""Arithmetic on the numbers that a model's constructor is given; `divisible` is copied from the language's own."""


def whole(size: float) -> int:
    """`size` as an integer. Raises ValueError where it is none."""
    nearest = round(size)
    if abs(size - nearest) > 1e-6:
        raise ValueError(f"{size} is no whole number")
    return nearest
