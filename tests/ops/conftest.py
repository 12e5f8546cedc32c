"""How many arguments are drawn for each op: OPS_EXAMPLES over all its ranks, thousands with `-m slow`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("OPS_EXAMPLES", "60"))
settings.register_profile(
    "ops",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=max(EXAMPLES // 3, 1),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Thousands of draws are for whoever asks."""
    if "slow" in str(config.getoption("-m")):
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="thousands of draws: -m slow"))
