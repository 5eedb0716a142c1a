from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.retraining import registry
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST, manifest_of
from include.retraining.storage.records import to_json
from tests.builders import CLASSIFIER, crown, make_candidate, make_lineage, publish_made_version


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


def test_a_version_is_named_by_the_end_of_its_data_and_the_content_of_its_files():
    files = manifest_of({"model.keras": b"weights"}).files
    name = registry.version_name(make_lineage(), files)
    assert name == f"20260103T0200-{manifest_of({'model.keras': b'weights'}).digest[:12]}"
    assert name != registry.version_name(make_lineage(), manifest_of({"model.keras": b"other"}).files)


def test_a_published_version_is_read_back_whole(store: InMemoryStore):
    made = publish_made_version(store)
    version = registry.read_version(store, CLASSIFIER, made.name)
    assert (version.name, version.uri, version.manifest.digest) == (made.name, made.uri, made.digest)
    assert version.lineage == make_lineage()
    assert version.candidate == make_candidate()


def test_the_same_files_published_again_write_nothing(store: InMemoryStore):
    publish_made_version(store)
    before = dict(store.objects)
    publish_made_version(store)
    assert store.objects == before


def test_other_files_under_a_version_s_name_are_refused(store: InMemoryStore):
    made = publish_made_version(store)
    with pytest.raises(ArtifactIntegrityError):
        registry.publish_version(store, CLASSIFIER, made.name, {registry.MODEL: b"other"})
    assert store.get(f"{layout.version(CLASSIFIER, made.name)}{registry.MODEL}") == b"weights"


def test_versions_are_listed_by_the_end_of_their_data(store: InMemoryStore):
    ends = [datetime(2026, month, 1, tzinfo=UTC) for month in (3, 1, 2)]
    names = [publish_made_version(store, lineage=make_lineage(window_end=end)).name for end in ends]
    assert registry.version_names(store, CLASSIFIER) == [names[1], names[2], names[0]]
    assert registry.version_names(store, "another") == []


def test_a_version_that_was_interrupted_before_its_manifest_is_no_version(store: InMemoryStore):
    made = publish_made_version(store)
    store.delete(f"{layout.version(CLASSIFIER, made.name)}{MANIFEST}")
    assert registry.version_names(store, CLASSIFIER) == []
    with pytest.raises(ArtifactIntegrityError, match="expected a published artifact, got nothing"):
        registry.read_version(store, CLASSIFIER, made.name)


def test_a_version_whose_description_was_changed_is_not_read(store: InMemoryStore):
    made = publish_made_version(store)
    forged = to_json(make_lineage(candidate="none · linear"))
    store.put(f"{layout.version(CLASSIFIER, made.name)}{registry.LINEAGE}", forged)
    with pytest.raises(ArtifactIntegrityError, match="lineage.json: expected sha256"):
        registry.read_version(store, CLASSIFIER, made.name)


def test_without_a_promotion_there_is_no_champion_and_its_check_says_so(store: InMemoryStore):
    assert registry.champion(store, CLASSIFIER) == (None, None)
    assert registry.champion_problems(store, CLASSIFIER) == [
        "s3://memory/models/flowers/champion.json: nothing was promoted yet."
    ]


def test_a_whole_champion_has_no_problem(store: InMemoryStore):
    pointer = crown(store, publish_made_version(store))
    read, etag = registry.champion(store, CLASSIFIER)
    assert read == pointer
    assert etag is not None
    assert registry.champion_problems(store, CLASSIFIER) == []


@pytest.mark.parametrize("name", [registry.MODEL, registry.LINEAGE, registry.CANDIDATE, MANIFEST])
def test_a_champion_that_lost_a_file_is_not_whole(store: InMemoryStore, name: str):
    made = publish_made_version(store)
    crown(store, made)
    store.delete(f"{layout.version(CLASSIFIER, made.name)}{name}")
    assert len(registry.champion_problems(store, CLASSIFIER)) == 1


def test_a_champion_with_a_flipped_bit_is_not_whole(store: InMemoryStore):
    made = publish_made_version(store)
    crown(store, made)
    store.put(f"{layout.version(CLASSIFIER, made.name)}{registry.MODEL}", b"weightt")
    (problem,) = registry.champion_problems(store, CLASSIFIER)
    assert "model.keras: expected sha256" in problem


def test_a_champion_that_was_replaced_as_a_whole_is_told_by_the_pointer_s_digest(store: InMemoryStore):
    made = publish_made_version(store)
    crown(store, made)
    files = {registry.MODEL: b"planted"}
    store.put(f"{layout.version(CLASSIFIER, made.name)}{registry.MODEL}", b"planted")
    store.put(f"{layout.version(CLASSIFIER, made.name)}{MANIFEST}", manifest_of(files).to_json())
    (problem,) = registry.champion_problems(store, CLASSIFIER)
    assert f"expected content {made.digest} as the pointer says" in problem
