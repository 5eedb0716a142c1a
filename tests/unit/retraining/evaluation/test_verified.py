from __future__ import annotations

import pytest

from include.retraining import registry
from include.retraining.artifacts import VersionRecord
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.evaluation.verified import verify
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.publishing import MANIFEST, manifest_of
from tests.builders import make_run
from tests.promotions import publish_made_version


@pytest.fixture
def run() -> Run:
    return make_run()


@pytest.fixture
def made(run: Run) -> VersionRecord:
    return publish_made_version(run.store, classifier=run.classifier)


def test_a_version_is_taken_by_the_digest_that_is_expected_or_by_its_manifest_s_word(run: Run, made: VersionRecord):
    for digest in (made.digest, None):
        version = verify(run, made.name, expected_digest=digest)

        assert version.manifest.digest == made.digest
        assert version.read(registry.MODEL) == b"weights"
        assert version.uri(registry.MODEL) == f"{made.uri}{registry.MODEL}"


def test_a_version_of_other_content_is_refused(run: Run, made: VersionRecord):
    with pytest.raises(ArtifactIntegrityError, match=f"expected content 00, got content {made.digest}"):
        verify(run, made.name, expected_digest="00")


def test_a_version_that_was_never_published_is_refused(run: Run):
    with pytest.raises(ArtifactIntegrityError, match="expected a published artifact, got nothing"):
        verify(run, "20260101T0000-000000000000")


def test_files_are_compared_with_the_manifest_that_was_there_when_the_version_was_verified(
    run: Run, made: VersionRecord
):
    version = verify(run, made.name, expected_digest=made.digest)
    prefix = layout.version(run.classifier, made.name)
    run.store.put(f"{prefix}{registry.MODEL}", b"forged")
    run.store.put(f"{prefix}{MANIFEST}", manifest_of({registry.MODEL: b"forged"}).to_json())

    with pytest.raises(ArtifactIntegrityError, match=r"model\.keras: expected sha256"):
        version.read(registry.MODEL)


def test_a_file_that_the_manifest_does_not_list_is_refused(run: Run, made: VersionRecord):
    run.store.put(f"{layout.version(run.classifier, made.name)}other.bin", b"")

    with pytest.raises(ArtifactIntegrityError, match=r"other\.bin: expected a file that the manifest lists"):
        verify(run, made.name).read("other.bin")


def test_versions_are_one_model_where_what_decides_their_predictions_is_the_same(run: Run, made: VersionRecord):
    other = publish_made_version(run.store, classifier=run.classifier, model=b"other weights")

    digests = verify(run, made.name).model_digests

    assert digests[0] is not None
    assert digests != verify(run, other.name).model_digests
    assert digests[1] is None  # it decides without thresholds


def test_what_is_found_out_about_a_version_lies_under_its_content(run: Run, made: VersionRecord):
    expected = layout.evaluation(run.classifier, f"{made.name}-{made.digest[:12]}", "t1")

    assert verify(run, made.name).evaluation("t1") == expected
