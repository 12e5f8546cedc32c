"""The records of `cnnc plan` and `cnnc solve` by their published schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cnnc
from cnnc.dsl.source import Source
from cnnc.solving.solution import setting_of, solved
from cnnc.solving.sweep import swept

jsonschema = pytest.importorskip("jsonschema")
SCHEMAS = Path(__file__).parent.parent / "docs" / "schema"
SPEC = "input 3x16x16\nparam w = 4 within 2..8\nconv3-w(norm=bn) -> gap -> fc-2\n"


def valid(name: str, record: Any) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(record)))


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
