"""What the models of printed JSON share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """An object with the keys that are named, and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LooseRecord(Record):
    """One with tuples or numbers that JSON writes otherwise than Python: arrays, and 1 for 1.0."""

    model_config = ConfigDict(extra="forbid", strict=False)
