"""The JSON of `cnnc plan`, `cnnc solve`, `cnnc split` and `cnnc bench`, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, RootModel

from cnnc.contracts_base import LooseRecord, Record

Amount = Annotated[int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0, description="bytes")]
Seconds = Annotated[float, Field(ge=0, description="seconds")]
DType = Literal["float32", "bfloat16", "float16"]
Values = Annotated[dict[str, float], Field(description="numbers by name")]


class PeakRecord(Record):
    """The most bytes held at once, when and in which layer, and of what they are."""

    bytes: Bytes
    phase: Literal["forward", "backward", "step"]
    layer: str
    parts: dict[str, Bytes]


class HeldRecord(Record):
    """What one layer holds at the peak."""

    layer: str
    kind: str
    bytes: Bytes


class CurveRecord(Record):
    """Bytes held after each allocation and free, and where in them each phase begins."""

    bytes: list[Bytes]
    phases: dict[str, Amount]


class FitsRecord(Record):
    """The biggest batch that keeps within a limit less its reserve, its bytes, and those that PyTorch takes of the device
    for it, null where one image (batch 0) does not fit."""

    limit: Bytes
    reserve: Annotated[float, Field(ge=0, lt=1, strict=False)]
    batch: Amount
    bytes: Bytes
    reserved: Bytes | None


class CardRecord(LooseRecord):
    """A processor: bytes a second, FLOP a second by dtype, and whether these are a datasheet's or measured."""

    name: str
    rates: Literal["datasheet", "measured"]
    source: str
    bandwidth: float
    last_level_cache: int
    peak: Values


class FloorRecord(LooseRecord):
    """One layer, or a convolution with what it takes in. Of `bytes`, `skipped` lie where no window touches the input.

    `serial` is the time with all bytes, those of a sum's other operand after the products.
    """

    name: str
    kinds: list[str]
    bytes: Bytes
    skipped: Bytes
    macs: Amount
    seconds: Seconds
    serial: Seconds
    bound: Literal["memory", "compute", "view"]


class RooflineRecord(LooseRecord):
    """The floor of one forward pass on a card; `peak_share` is of the matrix peak."""

    card: CardRecord
    batch: Amount
    dtype: DType
    fused: bool
    bytes: Bytes
    macs: Amount
    seconds: Seconds
    images_per_second: float
    serial_seconds: Seconds
    serial_images_per_second: float
    peak_share: float
    layers: list[FloorRecord]


class CalibrationRecord(LooseRecord):
    """Floor over time by kind of layer; `error` and `worst` are of networks each predicted by the others."""

    networks: list[str]
    device: str
    efficiency: Values
    error: float
    worst: float
    seconds: Seconds


class PlanRecord(Record):
    """`cnnc plan SPEC --json`: memory over time, and with a card the floor in time of each layer."""

    format: Literal[1]
    model: str
    batch: Annotated[int, Field(ge=1)]
    train: Literal["sgd", "sgd-momentum", "adam", "adamw"] | None
    dtype: DType
    amp: bool
    checkpointed: bool
    device: Literal["cuda", "cpu"]
    peak: PeakRecord
    kept: Annotated[
        int, Field(ge=0, description="bytes saved for the backward pass, inputs in, parameters out")
    ]
    largest: list[HeldRecord]
    curve: CurveRecord
    unknown: list[str]
    fits: FitsRecord | None = None
    roofline: RooflineRecord | None = None
    calibration: CalibrationRecord | None = None


class SearchRecord(LooseRecord):
    """`cnnc solve SPEC --json`: the best point of a range, or what stands in the way."""

    format: Literal[1]
    model: str
    objective: str
    found: bool
    params: Values | None
    figures: Values
    where: Annotated[dict[str, float | None], Field(description="each condition and its value at the point")]
    binding: list[str]
    space: Amount
    tried: Amount
    monotone: bool


class PointRecord(LooseRecord):
    """One point of a table; `problem` says why it cannot be built."""

    params: Values
    figures: Values
    meets: bool
    on_front: bool
    problem: str | None


class SweepRecord(LooseRecord):
    """`cnnc solve SPEC --sweep … --json`: the figures at each point of a range."""

    format: Literal[1]
    model: str
    front: tuple[str, str]
    points: list[PointRecord]


class SolveRecord(RootModel[SearchRecord | SweepRecord]):
    """`cnnc solve SPEC --json`: the best point of a range, or with `--sweep` a table of points."""


class CrossingRecord(Record):
    """A tensor that a stage hands on: the layer that made it, and its bytes for one image in float32."""

    layer: str
    bytes: Bytes


class StageRecord(Record):
    """Consecutive parts of a model; `macs` of one image."""

    parts: list[str]
    macs: Amount
    params: Amount
    crossing: list[CrossingRecord]


class SplitRecord(LooseRecord):
    """`cnnc split SPEC --json`: a model in stages; `balance` is the slowest stage's multiply-adds over the mean."""

    format: Literal[1]
    model: str
    stages: list[StageRecord]
    balance: float
    crossing_bytes: Bytes


class TimingRecord(LooseRecord):
    """Seconds of one run over the repeats, and what follows from the median; `memory` in bytes."""

    what: str
    repeats: int
    median: Seconds
    low: Seconds
    high: Seconds
    images_per_second: float
    peak_share: float
    memory: Bytes | None
    roofline_share: float | None
    ratio: tuple[float, float, float] | None


class BenchRecord(LooseRecord):
    """`cnnc bench SPEC --json`: what was run and where, and its times; `peak` in FLOP/s, `bandwidth` in bytes/s."""

    format: Literal[1]
    model: str
    device: str
    batch: int
    dtype: DType
    compile: bool
    channels_last: bool
    inference: bool
    seconds: Seconds
    graph: bool
    versus: str | None
    device_name: str
    threads: int | None
    peak: float
    bandwidth: float
    timings: list[TimingRecord]
