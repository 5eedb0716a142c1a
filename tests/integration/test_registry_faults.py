from __future__ import annotations

from collections.abc import Iterator

import pytest

from embedded.stack import EmbeddedStack
from include.retraining.storage import layout
from include.retraining.storage.s3 import S3Store
from tests.corruptions import CLASSIFIER, CORRUPTIONS, Corruption, try_corruption
from tests.integration.s3_stores import s3_store

# The whole table runs in memory, in the unit tests; on a server those where it could behave differently.
ON_A_SERVER = [it for it in CORRUPTIONS if "deleted" in it.name or "removed" in it.name or "naming" in it.name]


@pytest.fixture
def store(seaweed_stack: EmbeddedStack) -> Iterator[S3Store]:
    with s3_store(seaweed_stack) as opened:
        yield opened
        for found in list(opened.list(layout.models(CLASSIFIER))):
            opened.delete(found.key)


@pytest.mark.parametrize("corruption", ON_A_SERVER, ids=lambda it: it.name)
def test_a_damage_is_detected_named_refused_and_survived(store: S3Store, corruption: Corruption):
    trial = try_corruption(store, corruption)

    assert trial.caught, trial
