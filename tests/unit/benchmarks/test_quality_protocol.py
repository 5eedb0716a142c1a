from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality_protocol import (
    FOLDS,
    TRAIN_COUNTS,
    VALIDATION_PER_CLASS,
    Fold,
    freeze_fold,
    image_ids,
    labels_of,
    make_folds,
    pixels_of,
    put_images,
)
from demo.fashion_mnist import FashionMnist
from include.retraining.artifacts import SnapshotRecord
from include.retraining.config import load_classifier
from include.retraining.dataset.images import image_refs, read_images
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.storage.memory import InMemoryStore


@pytest.fixture(scope="module")
def data() -> FashionMnist:
    """As many images as the data set has, one pixel of each random: enough to be told apart by position."""
    rng = np.random.default_rng(0)
    train, test = np.zeros((60_000, 28, 28), np.uint8), np.zeros((10_000, 28, 28), np.uint8)
    train[:, 0, 0], test[:, 0, 0] = rng.integers(0, 256, 60_000), rng.integers(0, 256, 10_000)
    labels = np.arange(10, dtype=np.uint8)
    return FashionMnist(train, np.repeat(labels, 6000), test, np.repeat(labels, 1000))


def test_every_train_image_is_scored_in_exactly_one_fold_and_each_fold_is_balanced(data):
    folds = make_folds(data)

    scored = np.concatenate([fold.test for fold in folds])
    assert len(folds) == FOLDS
    assert np.array_equal(np.sort(scored), np.arange(60_000))
    for fold in folds:
        assert np.bincount(labels_of(data, fold, "test")).tolist() == [1200] * 10


def test_a_fold_trains_on_the_long_tail_and_on_no_image_that_it_scores(data):
    for fold in make_folds(data):
        assert np.bincount(labels_of(data, fold, "train")).tolist() == list(TRAIN_COUNTS)
        assert not set(fold.train) & set(fold.test)


def test_what_is_chosen_is_chosen_on_images_that_no_fold_trains_on_or_scores(data):
    folds = make_folds(data)

    used = {image_id for fold in folds for split in ("train", "test") for image_id in image_ids(data, fold, split)}
    assert len(used) == 60_000
    for fold in folds:
        assert np.bincount(labels_of(data, fold, "validation")).tolist() == [VALIDATION_PER_CLASS] * 10
        assert not used & set(image_ids(data, fold, "validation"))


def test_equal_data_give_equal_folds(data):
    for one, other in zip(make_folds(data), make_folds(data), strict=True):
        assert np.array_equal(one.train, other.train)
        assert np.array_equal(one.validation, other.validation)


def test_a_frozen_fold_has_the_splits_the_labels_and_the_pixels_of_the_data(data):
    store, config = InMemoryStore(), load_classifier("fashion_mnist")
    whole = make_folds(data)[2]
    fold = Fold(whole.number, whole.train[::900], whole.validation[::200], whole.test[::600])

    run, record_uri = freeze_fold(store, config, data, fold, put_images(store, data, [fold]))

    rows = read_snapshot(store, run.load(record_uri, SnapshotRecord).uri)
    of_split = rows_of(rows, "validation")
    images = read_images(store, image_refs(store, config.name, of_split))
    got = {image_id: image[:, :, 0].reshape(-1) for image_id, image in zip(of_split["image_id"], images, strict=True)}
    expected = pixels_of(data, fold, "validation")
    for image_id, pixels in zip(image_ids(data, fold, "validation"), expected, strict=True):
        assert np.allclose(got[image_id] / 255, pixels)
    assert rows["split"].value_counts().to_dict() == {"test": 20, "train": 10, "validation": 10}
    assert of_split["label"].value_counts().to_dict() == dict.fromkeys(config.labels, 1)
