"""The record of what became of torchvision's and timm's networks, and a sample of them once more."""

from __future__ import annotations

import pytest
from sampling import sampled

from benchmarks.import_all import one, records
from tests.import_oracle import torch  # noqa: F401

RECORDS = records()
IMPORTED = [
    name for name, record in RECORDS.items() if record.outcome == "imported" and int(record.layers) < 300
]
KEPT = IMPORTED[:: max(len(IMPORTED) // 40, 1)]


def test_the_record_is_whole() -> None:
    assert list(RECORDS) == sorted(RECORDS)
    for record in RECORDS.values():
        assert record.outcome in ("imported", "refused"), record
        assert record.commit
        assert bool(record.lines) == (record.outcome == "imported"), record
        assert bool(record.why) == (record.outcome == "refused"), record
        assert not record.apart or float(record.apart) <= 1e-5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sampled(KEPT, 20))
def test_a_network_is_still_imported(name: str) -> None:
    from torchvision_oracle import torchvision_models

    torchvision_models()
    if name.startswith("timm"):
        pytest.importorskip("timm", reason="timm is not installed")
    found = one((name, 0.5, "test"))
    assert found.outcome == "imported", found.why
