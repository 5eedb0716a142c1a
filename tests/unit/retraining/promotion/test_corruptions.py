from __future__ import annotations

import pytest

from include.retraining.storage.memory import InMemoryStore
from tests.corruptions import CORRUPTIONS, Corruption, try_corruption


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda it: it.name)
def test_a_damage_is_detected_named_refused_and_survived(corruption: Corruption):
    trial = try_corruption(InMemoryStore(), corruption)

    assert trial.caught, trial


def test_without_a_damage_nothing_is_detected_and_nothing_refused():
    harmless = Corruption("nothing", "challenger", lambda registry: registry.key(registry.challenger, "model.keras"))

    trial = try_corruption(InMemoryStore(), harmless)

    assert (trial.detected, trial.named, trial.refused, trial.recovered) == (False, False, False, True)
