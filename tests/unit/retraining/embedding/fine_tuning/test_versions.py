from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from include.retraining.embedding.fine_tuning.versions import publish_tuned, read_tuned, tuned_extractors
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import problems_of
from tests.builders import CLASSIFIER, WINDOW, make_tuned_extractor
from tests.stores import DyingStore, holding

BODY = b"weights"
PREFIX = f"extractors/{CLASSIFIER}/d1/"


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


def test_what_is_published_is_read_back(store: InMemoryStore):
    tuned = make_tuned_extractor("d1", BODY)

    assert publish_tuned(store, "d1", tuned, BODY) == tuned

    assert read_tuned(store, CLASSIFIER, "d1") == tuned
    assert store.objects[f"{PREFIX}backbone.weights.h5"] == BODY
    assert problems_of(store, PREFIX) == []


def test_all_are_listed_oldest_data_first_and_equally_old_ones_by_their_digests(store: InMemoryStore):
    newer = make_tuned_extractor("a", BODY, window_end=WINDOW.end + timedelta(days=1))
    equal_1, equal_2 = make_tuned_extractor("b", BODY), make_tuned_extractor("c", BODY)
    for digest, tuned in (("a", newer), ("c", equal_2), ("b", equal_1)):
        publish_tuned(store, digest, tuned, BODY)

    assert tuned_extractors(store, CLASSIFIER) == [equal_1, equal_2, newer]
    assert tuned_extractors(store, "another") == []


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_network_whose_writer_was_killed_does_not_exist_and_a_repeat_publishes_it(writes: int):
    tuned = make_tuned_extractor("d1", BODY)
    dying = DyingStore(writes)
    with pytest.raises(StorageUnavailableError):
        publish_tuned(dying, "d1", tuned, BODY)
    store = holding(dying.objects)

    assert read_tuned(store, CLASSIFIER, "d1") is None
    assert tuned_extractors(store, CLASSIFIER) == []

    publish_tuned(store, "d1", tuned, BODY)
    assert read_tuned(store, CLASSIFIER, "d1") == tuned


def test_two_attempts_that_took_other_times_publish_the_same_files(store: InMemoryStore):
    first = make_tuned_extractor("d1", BODY, seconds=(60.0,))

    publish_tuned(store, "d1", first, BODY)
    second = publish_tuned(store, "d1", dataclasses.replace(first, seconds=(61.0,)), BODY)

    assert second == read_tuned(store, CLASSIFIER, "d1") == first
    assert problems_of(store, PREFIX) == []


def test_an_attempt_that_was_killed_before_its_weights_were_there_leaves_no_wrong_description():
    dying = DyingStore(1)
    with pytest.raises(StorageUnavailableError):
        publish_tuned(dying, "d1", make_tuned_extractor("d1", b"of a GPU"), b"of a GPU")
    store = holding(dying.objects)

    tuned = publish_tuned(store, "d1", make_tuned_extractor("d1", b"of a CPU"), b"of a CPU")

    assert tuned == make_tuned_extractor("d1", b"of a CPU")
    assert problems_of(store, PREFIX) == []


def test_other_weights_never_replace_published_ones(store: InMemoryStore):
    publish_tuned(store, "d1", make_tuned_extractor("d1", BODY), BODY)

    with pytest.raises(ArtifactIntegrityError):
        publish_tuned(store, "d1", make_tuned_extractor("d1", b"others"), b"others")

    assert store.objects[f"{PREFIX}backbone.weights.h5"] == BODY


def test_weights_that_are_not_the_described_ones_are_refused(store: InMemoryStore):
    with pytest.raises(ValueError, match="Expected weights of sha256"):
        publish_tuned(store, "d1", make_tuned_extractor("d1", BODY), b"others")

    assert store.objects == {}


def test_a_description_that_was_changed_is_an_error_that_names_it(store: InMemoryStore):
    publish_tuned(store, "d1", make_tuned_extractor("d1", BODY), BODY)
    store.put(f"{PREFIX}extractor.json", b"{}")

    with pytest.raises(ArtifactIntegrityError, match=r"extractors/flowers/d1/extractor\.json"):
        tuned_extractors(store, CLASSIFIER)
