"""`mode: images`: an image-level CNN on real images and pictures of synthetic rows, to be compared with the candidates.

It is the slower alternative to heads on vectors: its record is shown, its network is thrown away, nothing of it is ever
promoted. The network is in `image_network.py`, how pictures reach it in `picture_flow.py`.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.retraining.artifacts import (
    EmbeddingRecord,
    ImageLevelRecord,
    ImageRef,
    PlanRecord,
    ResamplingRecord,
    SnapshotRecord,
)
from include.retraining.balancing.hygiene import require_parents_from_train
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.plan import Plan, read_plan
from include.retraining.dataset.images import image_refs
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.extractors.devices import prepare_devices
from include.retraining.embedding.features import TrainFeatures, image_of, read_train_features
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.metrics import classification_metrics
from include.retraining.reconstruction.decoder import Decoder, decoder_for
from include.retraining.reconstruction.image_network import fit_image_network, predict
from include.retraining.reconstruction.nearest import nearest_real
from include.retraining.reconstruction.picture_flow import PictureFlow, PictureRows
from include.retraining.reconstruction.resized import fitting_side, read_resized
from include.retraining.run import Run
from include.retraining.training.rows import class_ids

logger = logging.getLogger(__name__)

MOST_BYTES = 2 * 2**30
"""Of pictures to train on, all kept in memory: 3 KiB each at a side of 32, 12 KiB at 64. Real ones are twice there for
a moment, while pictures of synthetic rows are added."""

_BLOCK_ROWS = 2048  # synthetic vectors that exist at once


@dataclass(frozen=True, eq=False)
class _Planned:
    """What the plan says to train on.

    Attributes:
        refs: The train images, by id.
        features: Their vectors, and those of their views, which show their image.
        class_ids: Of the rows of the vectors, shape `(n_rows,)`.
        pairs: Positions count those rows.
    """

    refs: list[ImageRef]
    features: TrainFeatures
    class_ids: np.ndarray
    pairs: Pairs

    def rows(self, pictures: np.ndarray, shown_by_synthetic: np.ndarray) -> PictureRows:
        """Returns the rows that the plan leaves in, then the synthetic ones, with the pictures that they show."""
        kept = self.pairs.kept(len(self.class_ids))
        shown = np.concatenate([self.features.image[kept], shown_by_synthetic]).astype(np.int32)
        labels = np.concatenate([self.class_ids[kept], self.pairs.labels(self.class_ids)])
        return PictureRows(pictures, shown, labels)


def train_on_images(
    run: Run, snapshot: SnapshotRecord, embeddings: EmbeddingRecord, resampling: ResamplingRecord
) -> ImageLevelRecord:
    """Trains the image-level CNN and scores it; for comparison alone, it is never promoted.

    The images were split before anything was resampled: only train images, and pictures of rows between them, are
    flowed through `ImageDataGenerator`. The best epoch is chosen on the validation split; the test split decides
    nothing.

    Side effects:
        Publishes the decoder, where pictures are decoded and there is none yet; nothing else.

    Raises:
        ConfigurationError: If the pictures take too much memory, or the strategy has no plan in this run.
        ArtifactIntegrityError: If a row of the plan is no train image, or the plan's counts are not reached.
        TrainingDivergedError: If a loss or a probability is not finite.
    """
    images, seed = run.config.training.images, run.config.training.seed
    planned_as = _plan_of(run, resampling)
    rows = read_snapshot(run.store, snapshot.uri)
    prepare_devices()
    train = _rows_to_train_on(run, rows, snapshot, embeddings, planned_as)
    validation = _pictures_of(run, rows_of(rows, "validation"), train.side)
    flow = PictureFlow(train, images.augmentation, batch_size=images.batch_size, seed=seed)
    fit = fit_image_network(flow, validation, images, n_classes=len(run.config.labels), seed=seed)
    test = rows_of(rows, "test")
    scored = [validation, _pictures_of(run, test, train.side)] if len(test) else [validation]
    metrics = [classification_metrics(it.class_ids, predict(fit.network, it), run.config.labels) for it in scored]
    logger.info("image level source=%s images=%d macro_recall=%s", images.source, len(train), metrics[0].macro_recall)
    return ImageLevelRecord(
        strategy=planned_as.strategy,
        source=images.source,
        n_train_images=len(train),
        n_parameters=int(fit.network.count_params()),
        best_epoch=fit.best_epoch,
        loss=fit.loss,
        validation_macro_recall=fit.validation_macro_recall,
        validation=metrics[0],
        test=metrics[1] if len(test) else None,
    )


def _plan_of(run: Run, resampling: ResamplingRecord) -> PlanRecord:
    strategy = run.config.training.images.strategy
    if strategy not in resampling.plans:
        raise ConfigurationError(
            f"classifier {run.classifier}, key training.images.strategy",
            f"this run has no plan of {strategy!r}; it has those of {', '.join(resampling.plans) or 'no strategy'}",
            "Name a strategy that resamples, and start a new run, which plans anew",
        )
    return resampling.plans[strategy]


def _rows_to_train_on(
    run: Run,
    rows: pd.DataFrame,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
    planned_as: PlanRecord,
) -> PictureRows:
    plan = read_plan(run.store, planned_as.uri)
    _require_train_images(plan, rows)
    planned = _planned(run, rows_of(rows, "train"), embeddings, plan)
    if run.config.training.images.source == "nearest_real":
        shown = _with_nearest_real(run, planned)
    else:
        shown = _with_decoded(run, planned, decoder_for(run, snapshot, embeddings)[0])
    _require_counts(shown, planned_as, run.config.labels)
    return shown


def _planned(run: Run, train: pd.DataFrame, embeddings: EmbeddingRecord, plan: Plan) -> _Planned:
    features = read_train_features(run.store, embeddings, list(train["image_id"]))
    return _Planned(
        refs=image_refs(run.store, run.classifier, train),
        features=features,
        class_ids=class_ids(train, run.config.labels)[features.image],
        pairs=plan.over(features.row_ids),
    )


def _with_decoded(run: Run, planned: _Planned, decoder: Decoder) -> PictureRows:
    """Shows every synthetic row as the decoder sees its vector, a block of vectors at a time."""
    n_images, n_synthetic = len(planned.refs), len(planned.pairs)
    _require_memory(run, n_images + n_synthetic, decoder.side)
    pictures = np.empty((n_images + n_synthetic, decoder.side, decoder.side, 3), np.uint8)
    pictures[:n_images] = read_resized(run.store, planned.refs, decoder.side)
    for block in _blocks(np.arange(n_synthetic)):
        pictures[n_images + block] = decoder.decode(planned.pairs.interpolate(planned.features.X, block))
    return planned.rows(pictures, n_images + np.arange(n_synthetic))


def _with_nearest_real(run: Run, planned: _Planned) -> PictureRows:
    """Shows every synthetic row as the nearest image of its class, by standard scores.

    Of its class: the nearest of all may be of another one, and would be trained on under two labels.
    """
    side = fitting_side(run.store, planned.refs)
    _require_memory(run, len(planned.refs), side)
    X = fit_scaler(planned.features.X).transform(planned.features.X)
    nearest = np.empty(len(planned.pairs), np.int32)
    of_synthetic = planned.pairs.labels(planned.class_ids)
    for class_id in np.unique(of_synthetic):
        real = np.flatnonzero(planned.class_ids == class_id)
        for block in _blocks(np.flatnonzero(of_synthetic == class_id)):
            nearest[block] = real[nearest_real(planned.pairs.interpolate(X, block), X[real])]
    return planned.rows(read_resized(run.store, planned.refs, side), planned.features.image[nearest])


def _blocks(positions: np.ndarray) -> list[np.ndarray]:
    return [positions[start : start + _BLOCK_ROWS] for start in range(0, len(positions), _BLOCK_ROWS)]


def _pictures_of(run: Run, rows: pd.DataFrame, side: int) -> PictureRows:
    """Returns the images of a split, each once."""
    pictures = read_resized(run.store, image_refs(run.store, run.classifier, rows), side)
    return PictureRows(pictures, np.arange(len(rows), dtype=np.int32), class_ids(rows, run.config.labels))


def _require_train_images(plan: Plan, rows: pd.DataFrame) -> None:
    """Refuses a plan with rows that are no train images. It is checked in every run, not only in tests."""
    label_of = rows.set_index("image_id")["label"]
    labels = label_of.reindex([image_of(row_id) for row_id in plan.row_ids]).to_numpy()
    require_parents_from_train(plan, rows, labels)


def _require_counts(shown: PictureRows, planned_as: PlanRecord, labels: tuple[str, ...]) -> None:
    counted = Counter(labels[class_id] for class_id in shown.class_ids.tolist())
    found = {label: counted[label] for label in labels}
    asked = {label: planned_as.counts_after.get(label, 0) for label in labels}
    if found != asked:
        raise ArtifactIntegrityError(planned_as.uri, f"images by label {asked}", f"{found}")


def _require_memory(run: Run, n_pictures: int, side: int) -> None:
    n_bytes = n_pictures * side * side * 3
    if n_bytes > MOST_BYTES:
        images = run.config.training.images
        raise ConfigurationError(
            f"classifier {run.classifier}, key training.images",
            f"{n_pictures:,} pictures of {side} × {side} pixels take {n_bytes / 2**30:.1f} GiB of memory, "
            f"more than {MOST_BYTES / 2**30:.0f}",
            f"Lower training.strategies.{images.strategy}.sampling_strategy to {{up_to: 0.5}} or less, write source: "
            "nearest_real, which adds no picture, or keep fewer images with dataset.rolling_days",
        )
    logger.info("pictures to train on=%d side=%d bytes=%d", n_pictures, side, n_bytes)
