"""The records of `cnnc plan`, `cnnc solve`, `cnnc split` and `cnnc bench` by their published schemas."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

import cnnc
from cnnc.backends.planning.calibrate import Calibration
from cnnc.contracts import CONTRACTS, schema
from cnnc.dsl.source import Source
from cnnc.planning import Plan
from cnnc.solving.solution import setting_of, solved
from cnnc.solving.sweep import swept

jsonschema = pytest.importorskip("jsonschema")
SPEC = "input 3x16x16\nparam w = 4 within 2..8\nconv3-w(norm=bn) -> gap -> fc-2\n"


def valid(name: str, record: Any) -> None:
    text = json.dumps(record)
    CONTRACTS[name].model_validate_json(text)
    jsonschema.Draft202012Validator(schema(name)).validate(json.loads(text))


@pytest.mark.parametrize(
    "options", [{}, {"train": "adamw", "amp": True, "fits": "1GiB"}, {"card": "h100", "fused": True}]
)
def test_plans(options: dict[str, Any]) -> None:
    valid("plan", cnnc.parse(SPEC).plan(batch=4, **options).to_dict())


def test_solutions_and_sweeps() -> None:
    asked = setting_of(Source("net.cnn", SPEC), "net", ())
    valid("solve", solved(asked, ["params <= 200"]).to_dict())
    valid("solve", solved(asked, ["params <= 1"]).to_dict())
    valid("solve", swept(asked, ["params <= 100"]).to_dict())


def test_calibrated_plans() -> None:
    plan = cnnc.parse(SPEC).plan(batch=4, card="h100", dtype="bfloat16")
    found = Calibration(
        networks=("a", "b", "c"),
        device="cpu",
        efficiency={"conv": 0.5, "gap": 1.0},
        error=0.1,
        worst=0.2,
    )
    valid("plan", Plan(plan.memory, plan.roofline, found).to_dict())


def test_splits() -> None:
    valid("split", {"format": 1, **asdict(cnnc.parse(SPEC).split(2))})


def test_measurements() -> None:
    pytest.importorskip("torch")
    from click.testing import CliRunner

    from cnnc.cli.commands import cnnc as command

    run = CliRunner().invoke(command, ["bench", "zoo:lenet5", "--seconds", "0", "--batch", "1", "--json"])
    valid("bench", json.loads(run.stdout))


def test_keys_beyond_a_record_are_refused() -> None:
    record = cnnc.parse(SPEC).plan().to_dict()
    for wrong in ({**record, "memory": 1}, {**record, "batch": 0}, {**record, "peak": 5}):
        with pytest.raises(ValueError):
            CONTRACTS["plan"].model_validate_json(json.dumps(wrong))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema("plan")).validate(wrong)
