"""Principal components of vectors, fitted on train rows alone."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from include.retraining.errors import ConfigurationError
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, key_of, uri_of
from include.retraining.storage.publishing import publish, read_published, sha256

PROJECTION = "projection.npz"


@dataclass(frozen=True)
class Projection:
    """Maps vectors to their first principal components.

    Attributes:
        mean: Shape `(n_features,)`, float32.
        components: Shape `(n_components, n_features)`, float32, orthonormal rows.
        explained: Share of the train vectors' variance that each component explains, shape `(n_components,)`,
            float64.
    """

    mean: np.ndarray
    components: np.ndarray
    explained: np.ndarray

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Returns the components, shape `(n_samples, n_components)`, float32; `X` is `(n_samples, n_features)`."""
        projected: np.ndarray = (X - self.mean) @ self.components.T
        return projected.astype(np.float32, copy=False)


def fit_projection(X_train: np.ndarray, n_components: int) -> Projection:
    """Fits principal components on train rows; the same rows give the same bytes on one kind of processor.

    Memory: a float64 copy of the rows, and twice that while they are decomposed where there are fewer rows than
    features.

    Args:
        X_train: Shape `(n_samples, n_features)`, finite.
        n_components: How many to keep.

    Raises:
        ConfigurationError: If there are fewer rows or features than components, or the rows do not differ.
    """
    n_samples, n_features = X_train.shape
    most = min(n_samples, n_features)
    if n_components > most:
        raise ConfigurationError(
            "embedding.pca",
            f"{n_components} components were asked of {n_samples} train vectors of {n_features} numbers",
            f"Set it to at most {most}, or leave it out",
        )
    if not np.ptp(X_train, axis=0).any():
        raise ConfigurationError(
            "embedding.pca",
            f"the {n_samples} train vectors do not differ, so they have no principal components",
            "Leave it out, and look at what the extractor makes of the images",
        )
    solver = "covariance_eigh" if n_samples >= n_features else "full"
    centred = X_train.astype(np.float64)
    mean = centred.mean(axis=0)
    centred -= mean  # else the solver squares the distance from the origin too, and loses digits
    # Several threads sum in another order, which changes last bits.
    with threadpool_limits(1):
        fitted = PCA(n_components, svd_solver=solver).fit(centred)
    return Projection(
        mean=mean.astype(np.float32),
        components=fitted.components_.astype(np.float32),
        explained=fitted.explained_variance_ratio_.astype(np.float64),
    )


def publish_projection(store: ObjectStore, fingerprint: str, projection: Projection) -> str:
    """Publishes a projection under the digest of its content; returns its URI.

    Args:
        store: Where to.
        fingerprint: Of the extractor whose vectors it was fitted on.
        projection: The projection.
    """
    body = _to_npz(projection)
    prefix = layout.projection(fingerprint, sha256(body)[:16])
    publish(store, prefix, {PROJECTION: body})
    return uri_of(store, prefix)


def read_projection(store: ObjectStore, uri: str) -> Projection:
    """Returns a published projection, verified against its manifest.

    Raises:
        ArtifactIntegrityError: If its bytes are missing or are not those that were published.
    """
    return _from_npz(read_published(store, key_of(store, uri), PROJECTION))


def _to_npz(projection: Projection) -> bytes:
    """Returns the projection as a NumPy archive; equal projections give equal bytes."""
    sink = io.BytesIO()
    np.savez(sink, mean=projection.mean, components=projection.components, explained=projection.explained)
    return sink.getvalue()


def _from_npz(body: bytes) -> Projection:
    """Returns the projection that `_to_npz` wrote; pickled objects are refused."""
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        return Projection(mean=arrays["mean"], components=arrays["components"], explained=arrays["explained"])
