from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime

import pytest

from include.retraining import registry
from include.retraining.artifacts import Provenance
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, StorageUnavailableError
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import (
    MANIFEST,
    Manifest,
    manifest_of,
    problems_of,
    publish,
    read_manifest,
    sha256,
)
from include.retraining.storage.records import from_json, to_json
from tests.builders import CLASSIFIER, make_candidate, make_lineage
from tests.promotions import PROVENANCE, crown, publish_made_version
from tests.stores import DyingStore, holding


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
        registry.publish_version(store, CLASSIFIER, made.name, {registry.MODEL: b"other"}, PROVENANCE)
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
    assert problem.startswith(f"s3://memory/{layout.version(CLASSIFIER, made.name)}{MANIFEST}: ")
    assert f"expected content {made.digest} as s3://memory/models/flowers/champion.json says" in problem


FILES = {registry.MODEL: b"weights", registry.LINEAGE: to_json(make_lineage()), registry.CANDIDATE: b"{}"}
NAME = registry.version_name(make_lineage(), manifest_of(FILES).files)
PREFIX = layout.version(CLASSIFIER, NAME)
LATER = dataclasses.replace(PROVENANCE, run_id="manual__2", by="ada")


def test_the_run_that_made_a_version_is_kept_beside_it_and_is_no_part_of_its_name(store: InMemoryStore):
    manifest = registry.publish_version(store, CLASSIFIER, NAME, FILES, PROVENANCE)

    assert manifest.files.keys() == {*FILES, registry.PROVENANCE}
    assert registry.version_name(make_lineage(), manifest.files) == NAME
    assert from_json(Provenance, store.get(f"{PREFIX}{registry.PROVENANCE}"), "") == PROVENANCE


def test_another_run_with_the_same_files_writes_nothing_and_finds_the_first_one_s(store: InMemoryStore):
    first = registry.publish_version(store, CLASSIFIER, NAME, FILES, PROVENANCE)
    again = DyingStore(0, store.objects)

    assert registry.publish_version(again, CLASSIFIER, NAME, FILES, LATER) == first
    assert publish_made_version(store).name in registry.version_names(store, CLASSIFIER)


@pytest.mark.parametrize("writes", range(5))
def test_what_one_run_was_killed_over_another_completes_with_the_first_one_s_provenance(writes: int):
    dying = DyingStore(writes)
    with pytest.raises(StorageUnavailableError):
        registry.publish_version(dying, CLASSIFIER, NAME, FILES, PROVENANCE)
    left = holding(dying.objects)
    assert registry.version_names(left, CLASSIFIER) == []
    assert registry.unfinished_versions(left, CLASSIFIER) == ([NAME] if writes else [])

    registry.publish_version(left, CLASSIFIER, NAME, FILES, LATER)

    kept = from_json(Provenance, left.get(f"{PREFIX}{registry.PROVENANCE}"), "")
    assert kept == (PROVENANCE if writes else LATER)
    assert registry.version_problems(left, CLASSIFIER, NAME) == []
    assert registry.unfinished_versions(left, CLASSIFIER) == []


def test_runs_that_make_the_same_version_at_once_make_one_with_one_provenance(store: InMemoryStore):
    makers = [dataclasses.replace(PROVENANCE, run_id=f"manual__{number}") for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        manifests = list(pool.map(lambda it: registry.publish_version(store, CLASSIFIER, NAME, FILES, it), makers))

    assert len({manifest.digest for manifest in manifests}) == 1
    assert from_json(Provenance, store.get(f"{PREFIX}{registry.PROVENANCE}"), "") in makers
    assert registry.version_problems(store, CLASSIFIER, NAME) == []


def test_a_published_file_is_never_overwritten(store: InMemoryStore):
    store.put(f"{PREFIX}{registry.MODEL}", b"planted")

    with pytest.raises(ArtifactIntegrityError, match=registry.MODEL):
        registry.publish_version(store, CLASSIFIER, NAME, FILES, PROVENANCE)

    assert store.get(f"{PREFIX}{registry.MODEL}") == b"planted"
    assert registry.version_names(store, CLASSIFIER) == []


def test_a_provenance_that_is_none_is_named(store: InMemoryStore):
    store.put(f"{PREFIX}{registry.PROVENANCE}", b"planted")

    with pytest.raises(ArtifactIntegrityError, match=registry.PROVENANCE):
        registry.publish_version(store, CLASSIFIER, NAME, FILES, PROVENANCE)


def test_a_version_from_before_provenance_was_kept_is_read_and_a_repeat_leaves_it_as_it_is(store: InMemoryStore):
    old = {name: value for name, value in asdict(make_lineage()).items() if name not in ("environment_digest", "seeds")}
    files = {
        registry.MODEL: b"weights",
        registry.LINEAGE: json.dumps(old | {"window_end": old["window_end"].isoformat()}).encode(),
        registry.CANDIDATE: to_json(make_candidate()),
    }
    name = registry.version_name(make_lineage(), manifest_of(files).files)
    publish(store, layout.version(CLASSIFIER, name), files)
    before = dict(store.objects)

    version = registry.read_version(store, CLASSIFIER, name)
    registry.publish_version(store, CLASSIFIER, name, files, PROVENANCE)

    assert version.provenance is None
    assert (version.lineage.environment_digest, version.lineage.seeds) == ("", {})
    assert registry.version_problems(store, CLASSIFIER, name) == []
    assert store.objects == before


def test_a_version_tells_who_made_it_first(store: InMemoryStore):
    made = publish_made_version(store)

    assert registry.read_version(store, CLASSIFIER, made.name).provenance == PROVENANCE


@pytest.mark.parametrize("replaced", [registry.MODEL, registry.LINEAGE, "one more"])
def test_files_and_a_manifest_that_fits_them_do_not_fit_the_version_s_name(store: InMemoryStore, replaced: str):
    made = publish_made_version(store)
    prefix = layout.version(CLASSIFIER, made.name)
    store.put(f"{prefix}{replaced}", b"planted")
    forged = Manifest({**read_manifest(store, prefix).files, replaced: sha256(b"planted")})
    store.put(f"{prefix}{MANIFEST}", forged.to_json())
    assert problems_of(store, prefix) == []

    (problem,) = registry.version_problems(store, CLASSIFIER, made.name)

    assert problem.startswith(f"s3://memory/{prefix}{MANIFEST}: expected the content that the version is named after")


@pytest.mark.parametrize("name", ["20260103T0200-0123456789ab", "20991231T2359-ffffffffffff"])
def test_a_version_s_name_is_a_name(name: str):
    registry.require_version_name(name)
    assert registry.is_version_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../other",
        "20260103T0200-0123456789ab/",
        "20260103T0200-0123456789ab\n",
        "20260103T0200-0123456789AB",
        "20260103T0200-0123456789abc",
        "٢٠٢٦٠١٠٣T0200-0123456789ab",
        "latest",
        "x/20260103T0200-0123456789ab",
    ],
)
def test_what_is_no_version_s_name_is_refused_and_said_what_one_looks_like(name: str):
    assert not registry.is_version_name(name)
    with pytest.raises(ConfigurationError, match="such as 20260103T0200-0123456789ab"):
        registry.require_version_name(name)


def test_every_name_that_a_version_is_given_is_a_version_s_name():
    assert registry.is_version_name(NAME)


def point(store: InMemoryStore, **fields: object) -> None:
    key = layout.champion(CLASSIFIER)
    store.put(key, json.dumps(json.loads(store.get(key)) | fields).encode())


def test_a_champion_that_names_no_version_s_name_is_not_followed_anywhere(store: InMemoryStore):
    crown(store, publish_made_version(store))
    point(store, version="../../../other")

    with pytest.raises(ArtifactIntegrityError, match="expected the name of a version"):
        registry.champion(store, CLASSIFIER)
    (problem,) = registry.champion_problems(store, CLASSIFIER)
    assert problem.startswith("s3://memory/models/flowers/champion.json: expected the name of a version, got '../../..")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"version": "20300101T0000-000000000000"},
            "champion.json: names 20300101T0000-000000000000, and there is no s3",
        ),
        (
            {"uri": "s3://elsewhere/version/"},
            "champion.json: expected the URI s3://memory/models/flowers/versions/2026",
        ),
        ({"digest": "0" * 64}, f"{MANIFEST}: expected content {'0' * 64} as s3://memory/models/flowers/champion.json"),
    ],
)
def test_a_champion_that_says_something_wrong_is_a_problem(
    store: InMemoryStore, fields: dict[str, object], sentence: str
):
    crown(store, publish_made_version(store))
    point(store, **fields)

    (problem,) = registry.champion_problems(store, CLASSIFIER)

    assert sentence in problem


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"null", b"\xff"])
def test_a_champion_that_cannot_be_read_is_a_problem_and_no_error(store: InMemoryStore, body: bytes):
    store.put(layout.champion(CLASSIFIER), body)

    (problem,) = registry.champion_problems(store, CLASSIFIER)

    assert problem.startswith("s3://memory/models/flowers/champion.json: expected a ChampionPointer record")


def test_folders_without_a_manifest_are_unfinished_and_the_others_are_versions(store: InMemoryStore):
    made = publish_made_version(store)
    store.put(f"{layout.version(CLASSIFIER, '20260104T0200-0123456789ab')}{registry.MODEL}", b"half")
    store.put(f"{layout.version(CLASSIFIER, '20260101T0200-0123456789ab')}deep/{MANIFEST}", b"{}")
    store.put(f"{layout.versions(CLASSIFIER)}note.txt", b"not a folder")

    assert registry.version_names(store, CLASSIFIER) == [made.name]
    assert registry.unfinished_versions(store, CLASSIFIER) == [
        "20260101T0200-0123456789ab",
        "20260104T0200-0123456789ab",
    ]
