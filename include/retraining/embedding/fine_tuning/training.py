"""Fine-tuning: the backbone is trained on the train split, an epoch after the other, each with a checkpoint.

Equal inputs give equal weights on one kind of machine, whether or not the training was interrupted in between: all
randomness follows from seed, epoch and position (`changes.py`), all else is in the checkpoint (`checkpoints.py`).
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from include.retraining.artifacts import ExtractorRecord, SnapshotRecord, TunedExtractor, Weights
from include.retraining.config import FineTuneConfig
from include.retraining.dataset.images import image_refs
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.extractors.devices import prepare_devices
from include.retraining.embedding.fine_tuning.changes import change_images, plan_epoch
from include.retraining.embedding.fine_tuning.checkpoints import (
    forget_checkpoints,
    keep_checkpoint,
    last_checkpoint,
    restore,
    state_of,
)
from include.retraining.embedding.fine_tuning.choice import tuned_extractor_with
from include.retraining.embedding.fine_tuning.network import build_trained_network
from include.retraining.embedding.fine_tuning.train_images import TrainImages
from include.retraining.embedding.fine_tuning.versions import publish_tuned, read_tuned, weights_uri
from include.retraining.embedding.networks.architectures import ARCHITECTURES, check_image_size
from include.retraining.embedding.networks.backbones import build_backbone, load_weights, save_weights
from include.retraining.errors import ArtifactIntegrityError, InsufficientDataError, TrainingDivergedError
from include.retraining.lineage import code_digest, library_versions
from include.retraining.run import Run
from include.retraining.storage.publishing import sha256

logger = logging.getLogger(__name__)

MINIMUM_CLASSES = 2


@dataclass(frozen=True)
class _Training:
    """What is trained, on what: all that an epoch needs.

    Attributes:
        network: Compiled.
        images: Of the train split.
        class_ids: Theirs, in the same order, shape `(n_images,)`, int64.
        config: How it is trained.
    """

    network: keras.Model
    images: TrainImages
    class_ids: np.ndarray
    config: FineTuneConfig


def fine_tune(run: Run, choice: ExtractorRecord, snapshot: SnapshotRecord) -> ExtractorRecord:
    """Trains the network on the train split, or finds the one that was trained from the same inputs before.

    Args:
        run: Whose recipe has `fine_tune`.
        choice: What `choose_extractor` returned: its weights are those to start from.
        snapshot: The frozen dataset.

    Side effects:
        Publishes a checkpoint after each epoch, and goes on from the last whole one; in the end publishes the network
        and deletes the checkpoints.

    Raises:
        TrainingDivergedError: If the loss or a weight is not finite.
        InsufficientDataError: If fewer than two classes have train images.
        ConfigurationError: If the network has no layer `trained_from`, or its images are too small for it.
        ArtifactIntegrityError: If an image or the weights to start from are not those that their digests name.
    """
    digest = _inputs_digest(run, choice, snapshot)
    tuned = read_tuned(run.store, run.classifier, digest)
    if tuned is None:
        tuned = _train(run, choice, snapshot, digest)
    else:
        logger.info("fine-tuning from the same inputs was done before: weights=%s", tuned.weights.source)
    forget_checkpoints(run.store, run.classifier, digest)
    return tuned_extractor_with(run.config.embedding, tuned, because=choice.fine_tune_because)


def _train(run: Run, choice: ExtractorRecord, snapshot: SnapshotRecord, digest: str) -> TunedExtractor:
    embedding, config = run.config.embedding, _config_of(run)
    check_image_size(embedding)
    rows = _train_rows(run, snapshot)
    prepare_devices()
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    images = TrainImages(
        run.store,
        image_refs(run.store, run.classifier, rows),
        image_size=embedding.image_size,
        batch_size=config.batch_size,
    )
    backbone = build_backbone(embedding.extractor, embedding.image_size)
    load_weights(run.store, backbone, embedding.extractor, choice.weights)
    network = build_trained_network(
        backbone,
        config,
        trained_from=config.trained_from or ARCHITECTURES[embedding.extractor].trained_from,
        n_classes=len(run.config.labels),
        batches_per_epoch=images.batches_per_epoch,
    )
    class_ids = pd.Index(run.config.labels).get_indexer(rows["label"]).astype(np.int64)
    loss, seconds = _train_epochs(run, _Training(network, images, class_ids, config), digest)
    weights = save_weights(backbone)
    tuned = TunedExtractor(
        weights=Weights(weights_uri(run.store, run.classifier, digest), sha256(weights)),
        classifier=run.classifier,
        architecture=embedding.extractor,
        image_size=embedding.image_size,
        window_end=run.window.end,
        snapshot_digest=snapshot.digest,
        started_from=choice.weights,
        because=choice.fine_tune_because,
        run_id=run.run_id,
        loss=loss,
        seconds=seconds,
    )
    return publish_tuned(run.store, digest, tuned, weights)


def _train_rows(run: Run, snapshot: SnapshotRecord) -> pd.DataFrame:
    """Returns the train split's rows; that they are train rows is checked in every run, not only in tests."""
    rows = rows_of(read_snapshot(run.store, snapshot.uri), "train")
    strangers = int((rows["split"] != "train").sum())
    if strangers:
        raise ArtifactIntegrityError(snapshot.uri, "train rows alone to fine-tune on", f"{strangers} others")
    counts = {label: int((rows["label"] == label).sum()) for label in run.config.labels}
    if sum(count > 0 for count in counts.values()) < MINIMUM_CLASSES:
        short = {label: count for label, count in counts.items() if not count}
        raise InsufficientDataError("Fine-tuning", short, 1)
    return rows


def _train_epochs(run: Run, training: _Training, digest: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Trains to the last epoch, from the last checkpoint; returns loss and seconds by epoch."""
    loss: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    state = last_checkpoint(run.store, run.classifier, digest)
    if state is not None:
        restore(training.network, state)
        loss, seconds = state.loss, state.seconds
        logger.info("fine-tuning resumes after epoch=%d/%d", state.epoch, training.config.epochs)
    for epoch in range(len(loss) + 1, training.config.epochs + 1):
        started = time.monotonic()
        loss = (*loss, _train_epoch(training, epoch))
        seconds = (*seconds, time.monotonic() - started)
        keep_checkpoint(run.store, run.classifier, digest, state_of(training.network, loss, seconds))
        _log_epoch(training, loss, seconds)
    return loss, seconds


def _train_epoch(training: _Training, epoch: int) -> float:
    """Trains for one epoch, from 1; returns the mean loss."""
    losses = []
    for pixels, class_ids in _prepared(training, epoch):
        losses.append(float(training.network.train_on_batch(pixels, class_ids, return_dict=True)["loss"]))
        if not math.isfinite(losses[-1]):
            break
    # The loss is older than the weights: it misses what the last step did.
    weights_are_finite = all(np.isfinite(weights).all() for weights in training.network.get_weights())
    if not (weights_are_finite and math.isfinite(losses[-1])):
        raise TrainingDivergedError("fine-tuning", epoch, training.config.seed, "fine_tune.learning_rate")
    return float(np.mean(losses))


def _prepared(training: _Training, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields an epoch's batches, changed, with their class ids; the next one is made while the network has the last."""
    plan = plan_epoch(training.config.seed, epoch, len(training.class_ids))
    batches = training.images.batches(plan.order)

    def next_batch() -> tuple[np.ndarray, np.ndarray] | None:
        batch = next(batches, None)
        if batch is None:
            return None
        positions, images = batch
        return change_images(images, plan.draws[positions], training.config), training.class_ids[positions]

    try:
        with ThreadPoolExecutor(1, "fine-tuning-input") as pool:
            coming = pool.submit(next_batch)
            while (batch := coming.result()) is not None:
                coming = pool.submit(next_batch)
                yield batch
    finally:
        batches.close()  # what reads ahead for it ends now, not whenever the generator is collected


def _log_epoch(training: _Training, loss: tuple[float, ...], seconds: tuple[float, ...]) -> None:
    epoch, epochs = len(loss), training.config.epochs
    logger.info(
        "fine-tuning epoch=%d/%d loss=%.4f seconds=%.1f images_a_second=%.0f seconds_left=%.0f",
        epoch,
        epochs,
        loss[-1],
        seconds[-1],
        training.images.images_per_epoch / max(seconds[-1], 1e-9),
        (epochs - epoch) * sum(seconds) / epoch,
    )


def _config_of(run: Run) -> FineTuneConfig:
    if run.config.fine_tune is None:
        raise ValueError("Expected a recipe with the section fine_tune; choose_extractor asks for none without it.")
    return run.config.fine_tune


def _inputs_digest(run: Run, choice: ExtractorRecord, snapshot: SnapshotRecord) -> str:
    """Returns a digest of everything that decides the weights."""
    embedding = run.config.embedding
    inputs = {
        "snapshot": snapshot.digest,
        "labels": run.config.labels,
        "architecture": embedding.extractor,
        "image_size": embedding.image_size,
        "started_from": choice.weights.sha256,
        # When it is due changes no weight.
        "fine_tune": _config_of(run).model_dump(mode="json", exclude={"occasion"}),
        "code": code_digest(),
        "versions": library_versions(),
    }
    return sha256(json.dumps(inputs, sort_keys=True).encode())[:16]
