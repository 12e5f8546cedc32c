"""What a processor can do at best: its rates, read from a card's file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record

_NUMBERS = ("bandwidth", "last_level_cache")


@record
class Card:
    """A processor. `bandwidth` is in bytes a second, `peak` in FLOP a second by dtype, the cache in bytes.

    `rates` says where these come from: `datasheet` or `measured`.
    """

    name: str
    rates: str
    source: str
    bandwidth: float
    last_level_cache: int
    peak: Mapping[str, float]

    def peak_in(self, dtype: str) -> float:
        """The peak in a dtype. Raises CnncError (E804) where the file has none."""
        if dtype not in self.peak:
            raise fail(
                "E804", f"the card `{self.name}` has no peak in {dtype}",
                hint=f"--dtype {' or '.join(self.peak)}, or a file with `[peak]` and `{dtype} = …`",
            )  # fmt: skip
        return self.peak[dtype]


def shipped_cards() -> tuple[str, ...]:
    """The names of the cards that ship with cnnc."""
    found = (path.name for path in (files("cnnc") / "cards").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def load_card(name: str) -> Card:
    """A card by its name, or from a TOML file. Raises CnncError (E804) where it cannot be used."""
    if name in shipped_cards():
        text = (files("cnnc") / "cards" / f"{name}.toml").read_text(encoding="utf8")
    elif not name.endswith(".toml"):
        raise fail("E804", f"there is no card `{name}`", hint=f"{', '.join(shipped_cards())}, or a FILE.toml")
    else:
        try:
            text = Path(name).read_text(encoding="utf8")
        except (OSError, UnicodeDecodeError) as error:
            raise fail(
                "E701", f"`{name}` cannot be read: {getattr(error, 'strerror', 'it is not text')}"
            ) from None
    try:
        return _card(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        what = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else str(error)
        hint = "name, rates, source, bandwidth, last_level_cache, and a table [peak] by dtype"
        raise fail("E804", f"`{name}` is no card: {what}", hint=hint) from None


def _card(data: Mapping[str, Any]) -> Card:
    numbers = {name: data[name] for name in _NUMBERS} | dict(data["peak"])
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ValueError(f"`{name}` (={value!r}) must be a number above 0")
    if data["rates"] not in ("datasheet", "measured"):
        raise ValueError(f"`rates` (={data['rates']!r}) must be datasheet or measured")
    peak = {str(dtype): float(value) for dtype, value in data["peak"].items()}
    return Card(
        name=str(data["name"]), rates=data["rates"], source=str(data["source"]), peak=peak,
        bandwidth=float(data["bandwidth"]), last_level_cache=int(data["last_level_cache"]),
    )  # fmt: skip
