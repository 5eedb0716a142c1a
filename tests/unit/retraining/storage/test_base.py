from __future__ import annotations

import pytest

from include.retraining.storage.base import key_of, uri_of
from include.retraining.storage.memory import InMemoryStore


def test_a_key_survives_the_way_through_its_uri():
    store = InMemoryStore("lake")
    assert uri_of(store, "models/flowers/champion.json") == "s3://lake/models/flowers/champion.json"
    assert key_of(store, uri_of(store, "a/ b#?.png")) == "a/ b#?.png"


@pytest.mark.parametrize("uri", ["s3://lake2/a", "s3://other/lake/a", "lake/a", "https://lake/a", "s3://lake"])
def test_a_uri_that_names_another_place_is_refused(uri: str):
    with pytest.raises(ValueError, match="Expected a URI that starts with s3://lake/; got "):
        key_of(InMemoryStore("lake"), uri)
