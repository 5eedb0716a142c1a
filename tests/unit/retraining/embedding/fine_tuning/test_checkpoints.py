from __future__ import annotations

import logging

import numpy as np
import pytest

from include.retraining.config import FineTuneConfig
from include.retraining.embedding.fine_tuning.checkpoints import (
    TrainingState,
    forget_checkpoints,
    from_npz,
    keep_checkpoint,
    last_checkpoint,
    restore,
    state_of,
)
from include.retraining.embedding.fine_tuning.network import build_trained_network
from include.retraining.errors import StorageUnavailableError
from include.retraining.storage.memory import InMemoryStore
from tests.builders import CLASSIFIER
from tests.stores import DyingStore, holding
from tests.unit.retraining.embedding.fine_tuning.networks import small_backbone

PREFIX = f"extractors/{CLASSIFIER}/d1/checkpoints/"


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


def state(epoch: int) -> TrainingState:
    arrays = tuple(np.full((2, number + 1), epoch + number, np.float32) for number in range(12))
    return TrainingState(
        epoch=epoch,
        network=arrays,
        optimizer=(np.array(epoch * 10), *arrays),
        loss=tuple(1.0 / (number + 1) for number in range(epoch)),
        seconds=tuple(60.5 for _ in range(epoch)),
    )


def keep(store: InMemoryStore, *epochs: int) -> None:
    for epoch in epochs:
        keep_checkpoint(store, CLASSIFIER, "d1", state(epoch))


def last_epoch(store: InMemoryStore) -> int | None:
    found = last_checkpoint(store, CLASSIFIER, "d1")
    return None if found is None else found.epoch


def same(one: TrainingState, other: TrainingState) -> bool:
    arrays = zip((*one.network, *one.optimizer), (*other.network, *other.optimizer), strict=True)
    return (one.epoch, one.loss, one.seconds) == (other.epoch, other.loss, other.seconds) and all(
        left.dtype == right.dtype and np.array_equal(left, right) for left, right in arrays
    )


def test_a_state_survives_the_way_through_the_store_bit_for_bit_and_in_order(store):
    keep(store, 1)

    found = last_checkpoint(store, CLASSIFIER, "d1")

    assert found is not None
    assert same(found, state(1))


def test_pickled_objects_are_refused():
    sink = state(1).to_npz()
    assert same(from_npz(sink), state(1))

    evil = TrainingState(1, (np.array([{}], dtype=object),), (), (1.0,), (1.0,)).to_npz()

    with pytest.raises(ValueError, match="allow_pickle=False"):
        from_npz(evil)


def test_the_newest_is_found_and_only_the_last_two_stay(store):
    keep(store, 1, 2, 3)

    assert last_epoch(store) == 3
    assert store.list_folders(PREFIX) == ("0002", "0003")


def test_without_any_there_is_none_and_another_training_s_are_not_found(store):
    keep_checkpoint(store, CLASSIFIER, "d2", state(1))

    assert last_epoch(store) is None


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_one_is_passed_over_and_said_so(store, caplog: pytest.LogCaptureFixture, damage):
    keep(store, 1, 2)
    key = f"{PREFIX}0002/state.npz"
    store.objects[key] = b"half of it"
    if damage == "missing":
        del store.objects[key]

    with caplog.at_level(logging.WARNING):
        assert last_epoch(store) == 1

    assert "the checkpoint of epoch 2 is passed over" in caplog.text


def test_a_damaged_one_is_replaced_when_its_epoch_is_reached_again(store):
    keep(store, 1, 2)
    store.objects[f"{PREFIX}0002/state.npz"] = b"half of it"

    keep(store, 2)

    assert last_epoch(store) == 2


@pytest.mark.parametrize("writes", range(8))
def test_a_writer_that_is_killed_at_any_write_leaves_a_whole_one_behind(writes):
    before = InMemoryStore()
    keep(before, 1, 2)
    dying = DyingStore(writes, before.objects)
    try:
        keep(dying, 3)
        was_killed = False
    except StorageUnavailableError:
        was_killed = True
    store = holding(dying.objects)

    assert was_killed == (writes < 5)  # a manifest is deleted, two files written, two deleted
    assert last_epoch(store) == (2 if writes < 3 else 3)
    keep(store, 3)
    assert last_epoch(store) == 3
    assert store.list_folders(PREFIX) == ("0002", "0003")


def test_forgetting_leaves_nothing_and_touches_nothing_else(store):
    store.put(f"extractors/{CLASSIFIER}/d1/manifest.json", b"{}")
    keep(store, 1, 2)

    forget_checkpoints(store, CLASSIFIER, "d1")
    forget_checkpoints(store, CLASSIFIER, "d1")

    assert list(store.objects) == [f"extractors/{CLASSIFIER}/d1/manifest.json"]


def test_a_restored_network_goes_on_as_the_one_that_was_never_stopped():
    config = FineTuneConfig.model_validate({"occasion": {"when": "every_runs"}, "warm_up_epochs": 0.0})
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 6, 16, 16, 3)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2])

    def network():
        return build_trained_network(small_backbone(), config, trained_from="block_1", n_classes=3, batches_per_epoch=4)

    first, second = network(), network()
    first.train_on_batch(pixels[0], labels)
    restore(second, from_npz(state_of(first, (1.0,), (1.0,)).to_npz()))
    for batch in pixels[1:]:
        first.train_on_batch(batch, labels)
        second.train_on_batch(batch, labels)

    assert same(state_of(first, (1.0,), (1.0,)), state_of(second, (1.0,), (1.0,)))


def test_a_state_keeps_its_numbers_while_the_network_is_trained_on():
    config = FineTuneConfig.model_validate({"occasion": {"when": "every_runs"}, "warm_up_epochs": 0.0})
    network = build_trained_network(small_backbone(), config, trained_from="all", n_classes=3, batches_per_epoch=4)
    kept = state_of(network, (), ())
    before = kept.to_npz()

    network.train_on_batch(np.ones((6, 16, 16, 3), np.float32), np.array([0, 1, 2, 0, 1, 2]))

    assert kept.to_npz() == before
    assert state_of(network, (), ()).to_npz() != before
