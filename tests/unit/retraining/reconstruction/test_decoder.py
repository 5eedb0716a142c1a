from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, StorageUnavailableError
from include.retraining.reconstruction import decoder as decoding
from include.retraining.reconstruction.decoder import decoder_for, sampled
from include.retraining.storage.base import key_of
from include.retraining.storage.publishing import problems_of
from tests.builders import CLASSIFIER, LABELS, make_run
from tests.datasets import split_rows
from tests.stores import DyingStore, holding
from tests.unit.retraining.reconstruction.lamps import COUNTS, dataset, lamp, recipe

WRITES = 3
"""The network, its fit, their manifest."""


@pytest.fixture
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "EPOCHS", 1)


def published(run):
    return {key: body for key, body in run.store.objects.items() if key.startswith(f"decoders/{CLASSIFIER}/")}


def test_it_shows_what_the_vectors_say_better_than_the_mean_image(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding, "BATCH", 8)
    monkeypatch.setattr(decoding, "EPOCHS", 12)
    counts = {"train": dict.fromkeys(LABELS, 60), "validation": dict.fromkeys(LABELS, 10)}
    run, snapshot, embedding = dataset(counts=counts)

    decoder, fit = decoder_for(run, snapshot, embedding)

    dark_left = np.array([[0.1, 0.6, 0.5, 0.5]], dtype=np.float32)
    picture = decoder.decode(dark_left)[0]
    assert np.abs(picture / 255 - lamp(dark_left[0], 32) / 255).mean() < 0.1
    assert fit.error < 0.6 * fit.mean_image_error
    assert len(fit.loss) == 12
    assert fit.loss[-1] < 0.5 * fit.loss[0]
    assert (fit.side, fit.n_images) == (32, 180)


@pytest.mark.usefixtures("short_training")
def test_pictures_are_bytes_of_the_decoders_side_however_many_are_asked_for():
    run, snapshot, embedding = dataset()
    decoder, _ = decoder_for(run, snapshot, embedding)
    X = np.random.default_rng(0).random((300, 4), dtype=np.float32)

    pictures = decoder.decode(X)

    assert (pictures.shape, pictures.dtype, decoder.side) == ((300, 32, 32, 3), np.uint8, 32)
    assert np.abs(pictures[280:].astype(int) - decoder.decode(X[280:])).max() <= 1
    assert decoder.decode(X[:0]).shape == (0, 32, 32, 3)


@pytest.mark.usefixtures("short_training")
def test_what_was_trained_from_the_same_inputs_is_found(monkeypatch: pytest.MonkeyPatch):
    run, snapshot, embedding = dataset()
    first, fit = decoder_for(run, snapshot, embedding)
    monkeypatch.setattr(decoding, "_train", lambda *_: pytest.fail("it is trained again"))

    again, same_fit = decoder_for(make_run(run.store, run.config, run_id="another"), snapshot, embedding)

    assert (again.uri, same_fit) == (first.uri, fit)
    assert problems_of(run.store, key_of(run.store, again.uri)) == []


@pytest.mark.usefixtures("short_training")
def test_equal_inputs_give_equal_bytes_and_another_seed_another_decoder():
    runs = [dataset(recipe(seed=seed)) for seed in (0, 0, 1)]

    for run, snapshot, embedding in runs:
        decoder_for(run, snapshot, embedding)

    first, again, other = (published(run) for run, _, _ in runs)
    assert first == again
    assert not set(first) & set(other)
    assert not {first[key] for key in first if key.endswith(".keras")} & set(other.values())


@pytest.mark.usefixtures("short_training")
def test_killed_at_any_write_and_repeated_it_is_the_same(monkeypatch: pytest.MonkeyPatch):
    run, snapshot, embedding = dataset()
    before = dict(run.store.objects)
    trained = decoding._train(run, snapshot, embedding)
    monkeypatch.setattr(decoding, "_train", lambda *_: trained)
    decoder_for(run, snapshot, embedding)

    for writes in range(WRITES):
        dying = DyingStore(writes, before)
        with pytest.raises(StorageUnavailableError):
            decoder_for(make_run(dying, run.config), snapshot, embedding)
        repeated = make_run(holding(dying.objects), run.config)
        decoder_for(repeated, snapshot, embedding)
        assert published(repeated) == published(run)


@pytest.mark.usefixtures("short_training")
def test_no_test_image_is_read():
    run, snapshot, embedding = dataset()  # which has no vectors of test images
    for row in split_rows(COUNTS):
        if row["split"] == "test":
            run.store.delete(row["key"])

    decoder_for(run, snapshot, embedding)

    assert published(run)


def test_a_row_of_another_split_is_refused(monkeypatch: pytest.MonkeyPatch):
    run, snapshot, embedding = dataset()
    monkeypatch.setattr(decoding, "rows_of", lambda everything, split: everything)

    with pytest.raises(ArtifactIntegrityError, match="train rows alone for the decoder"):
        decoder_for(run, snapshot, embedding)


def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    run, snapshot, embedding = dataset()
    monkeypatch.setattr(decoding, "_fit_epoch", lambda *_: float("nan"))

    with pytest.raises(ConfigurationError, match=r"balancing.reconstruct: .* at epoch 1 .* Set it to false"):
        decoder_for(run, snapshot, embedding)

    assert not published(run)


def test_a_sample_takes_small_classes_whole_and_as_many_of_each_larger_one_as_fit():
    labels = np.repeat(["rare", "common", "large", "larger"], [3, 10, 500, 900])

    positions = sampled(labels, 113, 0)

    assert Counter(labels[positions].tolist()) == {"rare": 3, "common": 10, "large": 50, "larger": 50}
    assert positions.tolist() == sorted(set(positions.tolist()))
    assert positions.tolist() == sampled(labels, 113, 0).tolist() != sampled(labels, 113, 1).tolist()


def test_a_sample_of_fewer_rows_than_it_may_have_is_all_of_them():
    assert sampled(np.array(["b", "a", "b"]), 20, 0).tolist() == [0, 1, 2]


def test_a_sample_has_every_class_even_where_there_are_more_than_fit():
    assert len(sampled(np.arange(5).repeat(2), 3, 0)) == 5
