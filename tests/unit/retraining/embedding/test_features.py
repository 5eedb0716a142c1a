from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from include.retraining.artifacts import EmbeddingRecord, ExtractorRecord, Weights
from include.retraining.embedding.features import image_of, read_features, read_train_features
from include.retraining.embedding.projection import fit_projection, publish_projection
from include.retraining.embedding.store.vectors import write_part
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256

IMAGES = "a0"
VIEWS = ("b1", "b2")
IDS = [sha256(name.encode()) for name in "abcdefgh"]


def vectors_of(image_ids: Sequence[str], view: int = 0) -> np.ndarray:
    """A vector an image and view that tells whose it is."""
    rows = [IDS.index(image_id) for image_id in image_ids]
    return np.array([[row, row * row, view * 100 + row, 0.5] for row in rows], np.float32)


def embeddings_of(*views: str, projection_uri: str = "") -> EmbeddingRecord:
    extractor = ExtractorRecord(
        fingerprint=IMAGES, components={}, weights=Weights("none", "seed 0"), origin="A random start."
    )
    return EmbeddingRecord(extractor, view_fingerprints=views, projection_uri=projection_uri, digest="d1")


@pytest.fixture
def store() -> InMemoryStore:
    """Vectors of all images, and views of the first six, each in parts that are cut and ordered differently."""
    store = InMemoryStore()
    write_part(store, IMAGES, IDS[:5], vectors_of(IDS[:5]))
    write_part(store, IMAGES, IDS[5:], vectors_of(IDS[5:]))
    write_part(store, VIEWS[0], IDS[2:6], vectors_of(IDS[2:6], 1))
    write_part(store, VIEWS[0], IDS[:2], vectors_of(IDS[:2], 1))
    write_part(store, VIEWS[1], IDS[:6][::-1], vectors_of(IDS[:6][::-1], 2))
    return store


def test_features_are_the_stored_vectors_in_the_order_asked_for(store: InMemoryStore):
    asked = [IDS[6], IDS[0], IDS[4]]
    found = read_features(store, embeddings_of(*VIEWS), asked)
    assert np.array_equal(found, vectors_of(asked))
    assert found.dtype == np.float32


def test_without_views_train_features_are_those_of_the_images(store: InMemoryStore):
    asked = [IDS[3], IDS[1]]
    train = read_train_features(store, embeddings_of(), asked)
    assert np.array_equal(train.X, vectors_of(asked))
    assert train.row_ids.tolist() == asked
    assert train.image.tolist() == [0, 1]


def test_views_follow_the_images_view_by_view_each_in_the_order_asked_for(store: InMemoryStore):
    asked = [IDS[5], IDS[0], IDS[2]]

    train = read_train_features(store, embeddings_of(*VIEWS), asked)

    assert np.array_equal(train.X, np.concatenate([vectors_of(asked, view) for view in range(3)]))
    assert train.row_ids.tolist() == [*asked, *(f"{image_id}#{view}" for view in (1, 2) for image_id in asked)]
    assert train.image.tolist() == [0, 1, 2] * 3


def test_every_row_names_its_own_image_and_no_two_rows_have_one_id(store: InMemoryStore):
    asked = [IDS[4], IDS[2], IDS[0], IDS[1]]
    train = read_train_features(store, embeddings_of(*VIEWS), asked)
    assert [image_of(row_id) for row_id in train.row_ids] == [asked[position] for position in train.image]
    assert len(set(train.row_ids)) == len(train.X) == len(train.image) == 12


def test_the_order_of_views_is_the_record_s(store: InMemoryStore):
    train = read_train_features(store, embeddings_of(*VIEWS[::-1]), IDS[:2])
    assert np.array_equal(train.X[2:4], vectors_of(IDS[:2], 2))
    assert np.array_equal(train.X[4:], vectors_of(IDS[:2], 1))


def test_images_and_views_are_projected_alike(store: InMemoryStore):
    projection = fit_projection(vectors_of(IDS[:6]), 2)
    embeddings = embeddings_of(*VIEWS, projection_uri=publish_projection(store, IMAGES, projection))

    train = read_train_features(store, embeddings, IDS[:6])

    assert np.array_equal(read_features(store, embeddings, IDS[6:]), projection.transform(vectors_of(IDS[6:])))
    for view in range(3):
        assert np.array_equal(train.X[view * 6 : view * 6 + 6], projection.transform(vectors_of(IDS[:6], view)))


def test_a_train_image_without_one_of_its_views_is_refused(store: InMemoryStore):
    with pytest.raises(ArtifactIntegrityError):
        read_train_features(store, embeddings_of(*VIEWS), IDS[5:7])


def test_an_image_of_another_extractor_is_refused(store: InMemoryStore):
    stranger = sha256(b"stranger")
    write_part(store, VIEWS[0], [stranger], vectors_of(IDS[:1]))
    with pytest.raises(ArtifactIntegrityError):
        read_features(store, embeddings_of(*VIEWS), [IDS[0], stranger])


def test_a_projection_that_is_gone_is_never_left_out_silently(store: InMemoryStore):
    gone = f"s3://{store.bucket}/embeddings/{IMAGES}/projections/00/"
    with pytest.raises(ArtifactIntegrityError):
        read_features(store, embeddings_of(projection_uri=gone), IDS[:2])


@pytest.mark.parametrize("row_id", ["ab12", "ab12#1", "ab12#16"])
def test_a_row_belongs_to_the_image_before_the_mark(row_id: str):
    assert image_of(row_id) == "ab12"
