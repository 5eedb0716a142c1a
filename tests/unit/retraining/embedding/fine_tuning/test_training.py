from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest

from include.retraining.artifacts import ExtractorRecord, SnapshotRecord, TunedExtractor, Window
from include.retraining.config import ClassifierConfig
from include.retraining.embedding.fine_tuning import training
from include.retraining.embedding.fine_tuning.choice import choose_extractor
from include.retraining.embedding.fine_tuning.training import fine_tune
from include.retraining.embedding.fine_tuning.versions import tuned_extractors
from include.retraining.embedding.fingerprint import fingerprint_components
from include.retraining.embedding.networks.backbones import load_weights
from include.retraining.errors import (
    ArtifactIntegrityError,
    ConfigurationError,
    InsufficientDataError,
    StorageUnavailableError,
    TrainingDivergedError,
)
from include.retraining.run import Run
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import problems_of, sha256
from tests.builders import CLASSIFIER, LABELS, WINDOW, make_config, make_run
from tests.datasets import pictured, publish_snapshot, split_rows
from tests.stores import DyingStore, RememberingStore, holding
from tests.unit.retraining.embedding.fine_tuning.networks import small_backbone

EPOCHS = 3
COUNTS = {
    "train": {"daisy": 10, "poppy": 6, "orchid": 4},
    "validation": dict.fromkeys(LABELS, 2),
    "test": dict.fromkeys(LABELS, 2),
}
WRITES = 3 * EPOCHS + 2 * (EPOCHS - 2) + 4 + 4
"""An old manifest out of the way, the file and the manifest of each checkpoint; those deleted on the way; the result,
its description written first and once more; the last two checkpoints deleted."""


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is a small one, so that a whole fine-tuning takes a moment."""
    monkeypatch.setattr(training, "build_backbone", lambda name, image_size: small_backbone(image_size))
    monkeypatch.setattr(training, "load_weights", lambda *_: None)


def recipe(**changes: Any) -> ClassifierConfig:
    fine_tune = {
        "occasion": {"when": "every_runs", "runs": 99},
        "trained_from": "block_1",
        "epochs": EPOCHS,
        "batch_size": 8,
        "learning_rate": 0.01,
        **changes,
    }
    return make_config(fine_tune=fine_tune, embedding={"image_size": 32, "layers": ["block_1"]})


def dataset(
    config: ClassifierConfig, counts: Mapping[str, Mapping[str, int]] = COUNTS, store: InMemoryStore | None = None
) -> tuple[Run, SnapshotRecord]:
    """A run over a store with pictures and a snapshot of them."""
    run = make_run(store, config)
    return run, publish_snapshot(run, pictured(run.store, split_rows(counts)))


def tuned(run: Run, snapshot: SnapshotRecord) -> ExtractorRecord:
    return fine_tune(run, choose_extractor(run), snapshot)


def published(run: Run) -> TunedExtractor:
    [found] = tuned_extractors(run.store, run.classifier)
    return found


def weights_of(run: Run) -> bytes:
    return run.store.get(key_of(run.store, published(run).weights.source))


def published_prefix(run: Run) -> str:
    return key_of(run.store, published(run).weights.source).removesuffix("backbone.weights.h5")


def checkpoints_of(run: Run) -> list[str]:
    return [found.key for found in run.store.list(f"extractors/{CLASSIFIER}/") if "/checkpoints/" in found.key]


def repeated(run: Run, store: InMemoryStore) -> Run:
    """The same run over another store."""
    return make_run(store, run.config)


def test_it_learns_and_says_what_it_learned_from():
    run, snapshot = dataset(recipe(epochs=12))

    record = tuned(run, snapshot)

    found = published(run)
    assert found.loss[-1] < 0.7 * found.loss[0]
    assert len(found.loss) == len(found.seconds) == 12
    assert (found.run_id, found.window_end, found.snapshot_digest) == (run.run_id, WINDOW.end, snapshot.digest)
    assert (found.architecture, found.image_size) == ("efficientnet_lite0", 32)
    assert found.because.startswith("no network of this classifier was fine-tuned yet")
    assert record.weights == found.weights
    assert record.components == fingerprint_components(run.config.embedding, found.weights)
    assert record.fine_tune_because == found.because


def test_the_published_weights_are_the_trained_ones():
    run, snapshot = dataset(recipe())
    before = small_backbone(32)

    record = tuned(run, snapshot)

    after = small_backbone(32)
    load_weights(run.store, after, "small", record.weights)
    changed = {old.path for old, new in zip(before.weights, after.weights, strict=True) if not np.array_equal(old, new)}
    assert changed == {variable.path for variable in before.weights if variable.path.startswith("block_1")}


def test_equal_inputs_give_equal_bits_and_another_seed_others():
    runs = [dataset(recipe(seed=seed)) for seed in (0, 0, 1)]

    for run, snapshot in runs:
        tuned(run, snapshot)

    first, again, other = (sha256(weights_of(run)) for run, _ in runs)
    assert first == again != other
    assert published(runs[0][0]).loss == published(runs[1][0]).loss


def test_no_image_outside_of_the_train_split_is_read():
    run, snapshot = dataset(recipe())
    for one in split_rows(COUNTS):
        if one["split"] != "train":
            run.store.delete(one["key"])

    tuned(run, snapshot)

    assert published(run)


def test_a_row_of_another_split_among_those_to_train_on_is_refused(monkeypatch: pytest.MonkeyPatch):
    run, snapshot = dataset(recipe())
    monkeypatch.setattr(training, "rows_of", lambda rows, split: rows)

    with pytest.raises(ArtifactIntegrityError, match="expected train rows alone to fine-tune on, got 12 others"):
        tuned(run, snapshot)


def test_what_was_tuned_from_the_same_inputs_is_found_by_the_run_itself_and_by_others(monkeypatch: pytest.MonkeyPatch):
    run, snapshot = dataset(recipe())
    first = tuned(run, snapshot)
    later = make_run(run.store, run.config, Window(WINDOW.start, WINDOW.end + timedelta(days=1)), "later")
    monkeypatch.setattr(training, "build_backbone", None)  # whoever trains again fails

    assert tuned(run, snapshot) == first
    assert fine_tune(later, choose_extractor(run), snapshot).weights == first.weights
    assert choose_extractor(later).weights == first.weights


def test_a_changed_training_is_another_one():
    changes = [{"epochs": 2}, {"learning_rate": 0.02}, {"crop_share": 0.2}, {"trained_from": "all"}, {"seed": 5}]
    run, snapshot = dataset(recipe(epochs=1))
    tuned(run, snapshot)

    for number, changed in enumerate(changes, start=2):
        tuned(make_run(run.store, recipe(**{"epochs": 1, **changed})), snapshot)

        assert len(tuned_extractors(run.store, CLASSIFIER)) == number, f"{changed} found what was trained before"


def test_when_it_is_due_changes_no_weights():
    run, snapshot = dataset(recipe())
    tuned(run, snapshot)

    tuned(make_run(run.store, recipe(occasion={"when": "recall_fell"})), snapshot)

    assert published(run)


def test_the_log_tells_how_far_it_is(caplog: pytest.LogCaptureFixture):
    run, snapshot = dataset(recipe())

    with caplog.at_level(logging.INFO):
        tuned(run, snapshot)

    lines = [message for message in caplog.messages if "fine-tuning epoch=" in message]
    assert [line.split()[1] for line in lines] == ["epoch=1/3", "epoch=2/3", "epoch=3/3"]
    assert all("images_a_second=" in line and "seconds_left=" in line for line in lines)
    assert lines[-1].endswith("seconds_left=0")


def test_a_loss_that_is_not_finite_stops_it_and_publishes_nothing():
    run, snapshot = dataset(recipe(learning_rate=0.999, warm_up_epochs=0.0, weight_decay=1e30))

    with pytest.raises(TrainingDivergedError, match=r"Lower fine_tune\.learning_rate in the classifier's YAML"):
        tuned(run, snapshot)

    assert tuned_extractors(run.store, CLASSIFIER) == []
    assert checkpoints_of(run) == []


def test_one_class_alone_is_not_enough():
    run, snapshot = dataset(recipe(), {**COUNTS, "train": {"daisy": 20}})

    with pytest.raises(InsufficientDataError, match=r"Fine-tuning needs .* 'poppy' has 0, 'orchid' has 0"):
        tuned(run, snapshot)


def test_a_layer_that_does_not_exist_is_an_error_of_the_recipe():
    run, snapshot = dataset(recipe(trained_from="block_7"))

    with pytest.raises(ConfigurationError, match=r"fine_tune\.trained_from"):
        tuned(run, snapshot)


def test_a_recipe_without_the_section_is_a_mistake_of_the_caller():
    run, snapshot = dataset(make_config())

    with pytest.raises(ValueError, match="Expected a recipe with the section fine_tune"):
        tuned(run, snapshot)


def test_two_checkpoints_at_most_lie_there_and_none_in_the_end():
    store = RememberingStore()
    run, snapshot = dataset(recipe(), store=store)

    tuned(run, snapshot)

    found = [{key.split("/")[-2] for key in state if key.endswith("/state.npz")} for state in store.states]
    assert max(len(epochs) for epochs in found) == 3  # an older one goes when the new one is whole
    assert {"0002", "0003"} in found
    assert checkpoints_of(run) == []


def test_killed_before_any_write_and_repeated_it_comes_to_the_same_weights():
    run, snapshot = dataset(recipe())
    remembering = RememberingStore(run.store.objects)
    whole = repeated(run, remembering)
    tuned(whole, snapshot)

    assert len(remembering.states) == WRITES
    for number, state in enumerate(remembering.states):
        again = repeated(run, holding(state))
        tuned(again, snapshot)

        assert weights_of(again) == weights_of(whole), f"killed before write {number}"
        assert published(again).loss == published(whole).loss
        assert problems_of(again.store, published_prefix(again)) == []
        assert checkpoints_of(again) == []


def test_images_that_are_read_anew_in_every_epoch_give_the_same_weights(monkeypatch: pytest.MonkeyPatch):
    run, snapshot = dataset(recipe())
    reading_anew = repeated(run, holding(run.store.objects))
    tuned(run, snapshot)
    monkeypatch.setattr(training, "TrainImages", partial(training.TrainImages, most_bytes=0))

    tuned(reading_anew, snapshot)

    assert weights_of(reading_anew) == weights_of(run)


def test_it_goes_on_from_the_last_whole_checkpoint_and_not_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    run, snapshot = dataset(recipe())
    dying = DyingStore(6, run.store.objects)  # three writes a checkpoint
    with pytest.raises(StorageUnavailableError):
        tuned(repeated(run, dying), snapshot)
    again = repeated(run, holding(dying.objects))
    [newest] = [key for key in again.store.objects if key.endswith("checkpoints/0002/state.npz")]
    epochs: list[int] = []
    plan_epoch = training.plan_epoch
    monkeypatch.setattr(
        training, "plan_epoch", lambda seed, epoch, n: (epochs.append(epoch), plan_epoch(seed, epoch, n))[1]
    )

    again.store.objects[newest] = b"damaged"
    with caplog.at_level(logging.WARNING):
        tuned(again, snapshot)

    assert epochs == [2, 3]
    assert "the checkpoint of epoch 2 is passed over" in caplog.text
    tuned(run, snapshot)
    assert weights_of(again) == weights_of(run)
