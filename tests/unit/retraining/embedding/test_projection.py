from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from include.retraining.embedding.projection import (
    PROJECTION,
    Projection,
    fit_projection,
    publish_projection,
    read_projection,
)
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.storage import layout
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore

FINGERPRINT = "f00d"


def vectors(n_samples: int = 120, n_features: int = 9, seed: int = 0) -> np.ndarray:
    """Vectors that lie along a few directions, far from the origin, as a network's are."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(n_features, n_features)) * np.linspace(5, 0.1, n_features)[:, None]
    return (rng.normal(size=(n_samples, n_features)) @ directions + 40).astype(np.float32)


def publish(store: InMemoryStore, projection: Projection) -> str:
    return publish_projection(store, FINGERPRINT, projection)


@pytest.mark.parametrize(("n_samples", "n_features"), [(120, 9), (7, 40)], ids=["more rows", "more features"])
def test_components_are_the_eigenvectors_of_the_covariance_in_order_of_the_variance(n_samples: int, n_features: int):
    X = vectors(n_samples, n_features)

    projection = fit_projection(X, 4)

    values, directions = np.linalg.eigh(np.cov(X.astype(np.float64), rowvar=False))
    expected = directions.T[::-1][:4]
    alignment = np.abs(np.sum(expected * projection.components, axis=1))
    np.testing.assert_allclose(alignment, 1, atol=1e-5)
    np.testing.assert_allclose(projection.explained, values[::-1][:4] / values.sum(), rtol=1e-5)
    np.testing.assert_allclose(projection.components @ projection.components.T, np.eye(4), atol=1e-5)


def test_the_largest_number_of_a_component_decides_its_sign_so_that_it_never_flips():
    components = fit_projection(vectors(), 5).components
    largest = components[np.arange(5), np.abs(components).argmax(axis=1)]
    assert (largest > 0).all()


def test_as_many_components_as_features_keep_all_distances():
    X = vectors()
    Z = fit_projection(X, 9).transform(X)
    np.testing.assert_allclose(np.linalg.norm(Z[0] - Z, axis=1), np.linalg.norm(X[0] - X, axis=1), rtol=1e-4)


def test_other_rows_are_projected_by_what_was_fitted_and_not_by_themselves():
    X_train, X_test = vectors(), vectors(seed=1) + 3
    projection = fit_projection(X_train, 3)
    expected = (X_test - X_train.mean(axis=0)) @ projection.components.T
    np.testing.assert_allclose(projection.transform(X_test), expected, atol=1e-3)
    np.testing.assert_allclose(projection.transform(X_test[:1]), projection.transform(X_test)[:1], atol=1e-4)


def test_components_are_float32_like_the_vectors_whatever_comes_in():
    projection = fit_projection(vectors(), 3)
    assert (projection.mean.dtype, projection.components.dtype) == (np.float32, np.float32)
    for kind in (np.float16, np.float32, np.float64):
        assert projection.transform(vectors().astype(kind)).dtype == np.float32


def test_float32_rows_far_from_the_origin_lose_no_precision_in_the_fit():
    X = (vectors() / 100 + 3000).astype(np.float32)
    expected = fit_projection((X.astype(np.float64) - 3000).astype(np.float32), 3)
    np.testing.assert_allclose(fit_projection(X, 3).explained, expected.explained, rtol=1e-9)


@pytest.mark.parametrize("n_samples", [900, 200], ids=["more rows", "more features"])
def test_the_same_rows_give_the_same_bytes_with_any_number_of_threads(n_samples: int):
    X = vectors(n_samples, 300)
    store = InMemoryStore()

    uris = set()
    for threads in (1, 2, 2):
        with threadpool_limits(threads):
            uris.add(publish(store, fit_projection(X.copy(), 5)))

    assert len(uris) == 1
    assert publish(store, fit_projection(X + np.float32(1), 5)) not in uris


@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_components"),
    [(120, 9, 10), (4, 9, 5), (0, 9, 1)],
    ids=["too few features", "too few rows", "no rows"],
)
def test_more_components_than_rows_or_features_are_refused_with_the_numbers(n_samples, n_features, n_components):
    with pytest.raises(ConfigurationError) as caught:
        fit_projection(vectors()[:n_samples, :n_features], n_components)
    assert str(caught.value) == (
        f"embedding.pca: {n_components} components were asked of {n_samples} train vectors of {n_features} numbers. "
        f"Set it to at most {min(n_samples, n_features)}, or leave it out"
    )


@pytest.mark.parametrize("X", [np.full((5, 3), 7, np.float32), vectors(1)], ids=["equal rows", "one row"])
def test_rows_that_do_not_differ_have_no_components(X: np.ndarray):
    with pytest.raises(ConfigurationError, match=f"the {len(X)} train vectors do not differ"):
        fit_projection(X, 1)


def test_a_projection_comes_back_equal_and_a_repeat_writes_nothing():
    store = InMemoryStore()
    projection = fit_projection(vectors(), 3)

    uri = publish(store, projection)
    before = dict(store.objects)
    back = read_projection(store, uri)

    assert np.array_equal(back.mean, projection.mean)
    assert np.array_equal(back.components, projection.components)
    assert np.array_equal(back.explained, projection.explained)
    assert np.array_equal(back.transform(vectors(seed=1)), projection.transform(vectors(seed=1)))
    assert publish(store, back) == uri
    assert store.objects == before


def test_a_projection_lies_under_its_extractor_and_the_hour_is_not_in_it():
    store = InMemoryStore()
    key = key_of(store, publish(store, fit_projection(vectors(), 3)))
    assert key.startswith(layout.embeddings(FINGERPRINT))
    with zipfile.ZipFile(io.BytesIO(store.get(f"{key}{PROJECTION}"))) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_projection_with_a_flipped_bit_is_refused():
    store = InMemoryStore()
    uri = publish(store, fit_projection(vectors(), 3))
    key = f"{key_of(store, uri)}{PROJECTION}"
    body = bytearray(store.get(key))
    body[len(body) // 2] ^= 1
    store.put(key, bytes(body))
    with pytest.raises(ArtifactIntegrityError, match=PROJECTION):
        read_projection(store, uri)


def test_where_no_projection_was_published_none_is_read():
    store = InMemoryStore()
    with pytest.raises(ArtifactIntegrityError, match="a published artifact"):
        read_projection(store, f"s3://{store.bucket}/{layout.projection(FINGERPRINT, '0' * 16)}")
