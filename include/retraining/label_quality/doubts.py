"""From a frozen dataset to the list of its doubtful labels. It removes nothing, and no later stage reads it."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from include.retraining.artifacts import EmbeddingRecord, LabelDoubt, LabelDoubtsRecord
from include.retraining.dataset.kinship import kin
from include.retraining.dataset.snapshot import read_snapshot
from include.retraining.embedding.features import read_features
from include.retraining.label_quality.confident_learning import find_doubts
from include.retraining.label_quality.doubt_list import to_csv
from include.retraining.label_quality.doubt_sheet import MOST_SHOWN, doubt_sheet
from include.retraining.label_quality.out_of_sample import (
    assign_folds,
    judged_classes,
    predict_out_of_sample,
)
from include.retraining.label_quality.thumbnails import thumbnails
from include.retraining.run import Run
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import content_type_of

logger = logging.getLogger(__name__)

LIST = "label_doubts.csv"
SHEET = "label_doubts.html"
MOST_IN_RECORD = 12


def doubt_labels(run: Run, snapshot_uri: str, embeddings: EmbeddingRecord) -> LabelDoubtsRecord:
    """Lists the images whose label their vectors contradict.

    Train and validation rows are predicted by cross-validation, test rows by a model of all train and validation rows.

    Side effects:
        Writes `label_doubts.csv` and `label_doubts.html` among the run's records. A repeat writes the same again,
        on the same kind of processor; on another the last digits may differ.

    Raises:
        ArtifactIntegrityError: If a vector is not stored.
    """
    rows = read_snapshot(run.store, snapshot_uri).sort_values("image_id").reset_index(drop=True)
    labels = run.config.labels
    y = pd.Categorical(rows["label"], categories=labels).codes.astype(np.int64)
    kinship = kin(rows, near_duplicate_bits=run.config.dataset.near_duplicate_bits)
    folds = assign_folds(kinship, (rows["split"] == "test").to_numpy())
    judged = judged_classes(y, folds, n_classes=len(labels))
    is_judged = judged[y]
    doubts = _doubts(run, embeddings, rows[is_judged].reset_index(drop=True), y[is_judged], folds[is_judged])
    not_judged = {label: int((y == k).sum()) for k, label in enumerate(labels) if not judged[k]}
    logger.info("label doubts rows=%d doubted=%d not_judged=%s", is_judged.sum(), len(doubts), sorted(not_judged))
    return _publish(run, doubts, n_rows=int(is_judged.sum()), not_judged=not_judged)


def _doubts(
    run: Run, embeddings: EmbeddingRecord, rows: pd.DataFrame, y: np.ndarray, folds: np.ndarray
) -> list[LabelDoubt]:
    """Returns the doubted rows, the most doubtful first; those that pages show have a picture."""
    if rows.empty:
        return []
    labels = run.config.labels
    X = read_features(run.store, embeddings, list(rows["image_id"]))
    probabilities = predict_out_of_sample(X, y, folds, n_classes=len(labels))
    found = find_doubts(y, probabilities)
    doubted = rows.iloc[found.rows]
    doubts = [
        LabelDoubt(
            image_id=row.image_id,
            key=row.key,
            split=row.split,
            given=row.label,
            suggested=labels[suggested],
            given_probability=float(probabilities[number, y[number]]),
            suggested_probability=float(probabilities[number, suggested]),
        )
        for number, suggested, row in zip(found.rows, found.suggested, doubted.itertuples(index=False), strict=True)
    ]
    first = doubted[:MOST_SHOWN]
    pictures = thumbnails(run.store, list(first["key"]), list(first["bytes_sha256"]))
    shown = [dataclasses.replace(doubt, thumbnail=it) for doubt, it in zip(doubts, pictures, strict=False)]
    return [*shown, *doubts[len(shown) :]]


def _publish(run: Run, doubts: Sequence[LabelDoubt], *, n_rows: int, not_judged: dict[str, int]) -> LabelDoubtsRecord:
    page = doubt_sheet(run.classifier, doubts, n_rows=n_rows, n_doubted=len(doubts), csv_name=LIST)
    for name, body in ((LIST, to_csv(doubts)), (SHEET, page)):
        run.store.put(f"{run.prefix}{name}", body, content_type=content_type_of(name))
    labels = run.config.labels
    pairs = Counter((doubt.given, doubt.suggested) for doubt in doubts)
    return LabelDoubtsRecord(
        uri=uri_of(run.store, f"{run.prefix}{LIST}"),
        sheet_uri=uri_of(run.store, f"{run.prefix}{SHEET}"),
        n_rows=n_rows,
        n_doubted=len(doubts),
        doubted={label: sum(pairs[label, other] for other in labels) for label in labels},
        suggested={
            label: {other: pairs[label, other] for other in labels if pairs[label, other]}
            for label in labels
            if any(pairs[label, other] for other in labels)
        },
        not_judged=not_judged,
        worst=tuple(doubts[:MOST_IN_RECORD]),
    )
