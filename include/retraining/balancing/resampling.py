"""From a frozen dataset to a published resampling plan."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from include.retraining.artifacts import EmbeddingRecord, ResamplingRecord
from include.retraining.balancing.plan import Plan, publish_plan
from include.retraining.balancing.smote import Resampling, plan_smote
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import image_of, read_train_features
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import Run

logger = logging.getLogger(__name__)


def resample(run: Run, snapshot_uri: str, embeddings: EmbeddingRecord) -> ResamplingRecord:
    """Plans SMOTE over the standard scores of the train vectors, and publishes the plan.

    Augmented views of train images, where the recipe asks for them, are rows like others: they may be parents.

    Neighbours are searched among standard scores, so that no feature outweighs the others by its unit.

    Side effects:
        Publishes `plan.parquet` (schema `PLAN`) under the digest of its content; a repeat writes nothing.

    Raises:
        ArtifactIntegrityError: If a parent is no train image, or a class did not reach its target.
    """
    snapshot = read_snapshot(run.store, snapshot_uri)
    train = rows_of(snapshot, "train")
    features = read_train_features(run.store, embeddings, list(train["image_id"]))
    labels = train["label"].to_numpy()[features.image]
    balancing = run.config.balancing
    resampling = plan_smote(
        fit_scaler(features.X).transform(features.X),
        labels,
        features.row_ids,
        k_neighbors=balancing.k_neighbors,
        seed=balancing.seed,
    )
    before = pd.Series(labels).value_counts()
    after = before.add(resampling.plan.rows["label"].value_counts(), fill_value=0).astype(int)
    _check(resampling.plan, train, after)
    for warning in resampling.warnings:
        logger.warning("%s", warning)
    return _publish(run, resampling, before, after)


def _publish(run: Run, resampling: Resampling, before: pd.Series, after: pd.Series) -> ResamplingRecord:
    uri, digest = publish_plan(run.store, run.classifier, resampling.plan)
    labels = run.config.labels
    return ResamplingRecord(
        uri=uri,
        digest=digest,
        counts_before={label: int(before.get(label, 0)) for label in labels},
        counts_after={label: int(after.get(label, 0)) for label in labels},
        neighbours=resampling.neighbours,
        warnings=resampling.warnings,
    )


def _check(plan: Plan, train: pd.DataFrame, after: pd.Series) -> None:
    """Refuses a plan that leaks or does not balance. It is checked in every run, not only in tests."""
    label_of = train.set_index("image_id")["label"]
    for parent in ("base", "neighbour"):
        found = plan.rows[parent].map(image_of).map(label_of)
        strangers = int(np.count_nonzero(found.to_numpy() != plan.rows["label"].to_numpy()))
        if strangers:
            raise ArtifactIntegrityError(
                "resampling plan", f"each {parent} a train image of the row's class", f"{strangers} that are not"
            )
    if after.nunique() != 1:
        raise ArtifactIntegrityError("resampling plan", "classes of one size", f"{after.to_dict()}")
