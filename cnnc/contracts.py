"""The JSON that cnnc prints, as pydantic models: `cnnc schema NAME` publishes their JSON Schemas.

Nothing that prints JSON imports this module, for pydantic's models take time to import; tests
hold what is printed against it, over the zoo. Keys that say nothing are left out, and have the
default null here. A key is added freely; one that goes or changes its meaning raises `format`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from cnnc.compiler.cost import FIGURES
from cnnc.contracts_base import LooseRecord, Record
from cnnc.contracts_planning import BenchRecord, PlanRecord, SolveRecord, SplitRecord

Count = Annotated[int | str, Field(description="a number; over free input sizes, its expression")]
Shape = Annotated[list[Count], Field(description="channels first, without the batch")]
Shapes = Annotated[dict[str, Shape], Field(description="shapes by name")]
Arguments = Annotated[dict[str, Any], Field(description="the layer's arguments in positional order")]
Names = list[str]


def _figure_record(name: str, kind: Any, base: type[Record] = Record) -> Any:
    """A record with a key for each figure of `Cost`."""
    fields: dict[str, Any] = {key: (kind, Field(description=figure.title)) for key, figure in FIGURES.items()}
    return create_model(name, __base__=base, **fields)


def _list_of(kind: Any) -> Any:
    return list[kind]


class Gateless(Record):
    """A receptive field without the branches that see the whole input."""

    size: list[int]
    start: list[int]


class FieldRecord(Record):
    """A receptive field by axis of the input; a number is null where there is none, and `reason` says why."""

    size: list[int] | None
    stride: list[int | float | None] | None
    start: list[int | None] | None
    aligned: bool
    whole_input: bool
    phases: list[list[int]] | None = None
    without_gate: Gateless | None = None
    reason: str | None = None


class LayerHead(Record):
    """One layer."""

    name: str
    op: str
    args: Arguments
    inputs: Names
    out: Shape
    rf: FieldRecord | None


class LimitsRecord(Record):
    """What a free size must be."""

    size: str
    smallest: int
    largest: int | None
    gaps: list[int]
    imposed_by: str | None
    modulus: int
    remainders: list[int]


class ResiduesRecord(Record):
    """Where an output's field starts, by the remainder of a free size."""

    output: str
    size: str
    modulus: int
    starts: list[list[int | None]]
    aligned: list[bool]


class SummaryHead(Record):
    """`cnnc summary SPEC --json`: a network layer by layer."""

    format: Literal[1]
    model: str
    inputs: Shapes
    outputs: Shapes
    depth: int
    conventions: str
    unknown: dict[str, Names] | None = None
    limits: list[LimitsRecord] | None = None
    residues: list[ResiduesRecord] | None = None


Totals = _figure_record("Totals", Count)
LayerRecord = _figure_record("Layer", Count, LayerHead)
Summary: Any = create_model(
    "Summary", __base__=SummaryHead, layers=(_list_of(LayerRecord), ...), totals=(Totals, ...)
)
Summary.__doc__ = SummaryHead.__doc__


class Claim(Record):
    """One `expect` line."""

    text: str
    holds: bool
    margin: str | None
    line: int


class Finding(Record):
    """One error, warning or note; lines and columns count from 1, the end is the character after the last."""

    code: str
    severity: Literal["error", "warning", "note"]
    message: str
    details: Names
    trace: Names
    hint: str | None
    file: str | None
    line: int | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None


class SpecVerdict(Record):
    """What one spec came to; `settings` is what replaced its own, as on the command line."""

    spec: str
    settings: str | None = None
    ok: bool
    library: int | None = None
    model: str | None = None
    params: Count | None = None
    macs: Count | None = None
    outputs: Shapes | None = None
    unknown: dict[str, Names] | None = None
    claims: list[Claim]
    findings: list[Finding]


class CheckTotals(Record):
    specs: int
    claims: int
    held: int
    errors: int
    warnings: int


class Check(Record):
    """`cnnc check SPEC… --format json`: the verdict on each spec."""

    format: Literal[1]
    ok: bool
    specs: list[SpecVerdict]
    totals: CheckTotals


class Side(Record):
    """A layer that only one network has."""

    name: str
    op: str
    args: Arguments
    out: Shape


class Change(Record):
    """A layer that is not the same in both; pairs are [in a, in b]."""

    name: str
    op: tuple[str, str] | None = None
    out: tuple[Shape, Shape] | None = None
    inputs: tuple[Names, Names] | None = None
    module: tuple[str, str] | None = None
    args: dict[str, tuple[Any, Any]] | None = None


Triples = _figure_record("Differences", tuple[Count, Count, Count])


class Diff(LooseRecord):
    """`cnnc diff A B --json`: what sets two networks apart; each total is [in a, in b, b - a]."""

    format: Literal[1]
    a: str
    b: str
    equal: bool
    removed: list[Side]
    added: list[Side]
    changed: list[Change]
    outputs: tuple[dict[str, str], dict[str, str]] | None
    depth: tuple[int, int]
    totals: Triples  # type: ignore[valid-type]


class LockEntry(BaseModel):
    """A network as a lock records it: its ends, its counts, and its tensors by shape.

    `state_dict` has a key for each tensor in version 1, and in version 2 one for each module:
    `"8x3x3x3 weight"`, or `"8 bias running_mean, scalar num_batches_tracked"`.
    """

    model_config = ConfigDict(extra="forbid")

    params: Count
    macs: Count
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    rf: dict[str, str] = {}
    state_dict: dict[str, str]


class Lock(BaseModel):
    """`cnnc.lock`, a TOML file: a version, and an entry for each network by the path of its spec.

    After the path are the settings with which it was locked: `nets/a.cnn --head 10`.
    """

    model_config = ConfigDict(extra="allow")

    version: Literal[1, 2]
    __pydantic_extra__: dict[str, LockEntry]


class ZooEntry(Record):
    """A network that ships with cnnc."""

    name: str
    title: str
    authors: str
    year: int
    place: str | None
    idea: str
    params: Count
    macs: Count
    depth: int
    inputs: Shapes
    outputs: Shapes
    spec: str | None = None


class ShapePair(Record):
    spec: list[int]
    file: list[int]


class Weights(Record):
    """`cnnc weights SPEC FILE --json`: a file of weights held against a network; shapes by name."""

    fitting: int
    missing: dict[str, list[int]]
    extra: dict[str, list[int]]
    shapes: dict[str, ShapePair]
    left_out: dict[str, str | None]
    """With --head or --input: the tensors that the network so changed does not take, with its own shapes."""


CONTRACTS: Mapping[str, type[BaseModel]] = {
    "summary": Summary, "check": Check, "diff": Diff, "lock": Lock, "zoo": ZooEntry, "weights": Weights,
    "plan": PlanRecord, "solve": SolveRecord, "split": SplitRecord, "bench": BenchRecord,
}  # fmt: skip
"""By the name that `cnnc schema` takes."""


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a contract. Raises KeyError for one that there is not."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **CONTRACTS[name].model_json_schema(mode="validation"),
    }
