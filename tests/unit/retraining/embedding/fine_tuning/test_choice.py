from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from include.retraining import journal
from include.retraining.artifacts import ExtractorRecord, TunedExtractor, Window
from include.retraining.config import ClassifierConfig, EmbeddingConfig
from include.retraining.embedding.fine_tuning.choice import CHANGED, NEVER, RECIPE, choose_extractor
from include.retraining.embedding.fine_tuning.versions import publish_tuned
from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.storage.memory import InMemoryStore
from tests.builders import CLASSIFIER, WINDOW, make_config, make_run, make_tuned_extractor
from tests.promotions import make_decision

DAY = timedelta(days=1)
EVERY_TWO = {"occasion": {"when": "every_runs", "runs": 2}}
NEVER_AGAIN = {"occasion": {"when": "every_runs", "runs": 99}}
FELL = {"occasion": {"when": "recall_fell", "by": 0.05}}


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


def recipe(fine_tune: dict[str, Any] | None = None, **embedding: Any) -> ClassifierConfig:
    return make_config(fine_tune=fine_tune, embedding=embedding)


def window(day: int) -> Window:
    return Window(start=WINDOW.start + day * DAY, end=WINDOW.end + day * DAY)


def run_id(day: int) -> str:
    return f"run of day {day}"


def chosen(store: InMemoryStore, config: ClassifierConfig, day: int) -> ExtractorRecord:
    return choose_extractor(make_run(store, config, window(day), run_id(day)))


def tune(store: InMemoryStore, day: int, **fields: Any) -> TunedExtractor:
    """Publishes what the run of a day tuned."""
    body = f"weights of day {day}".encode()
    fields = {"window_end": window(day).end, "run_id": run_id(day), **fields}
    return publish_tuned(store, f"d{day}", make_tuned_extractor(f"d{day}", body, **fields), body)


def decide(store: InMemoryStore, day: int, recall: float = 0.9, **fields: Any) -> None:
    """Journals the decision of the run of a day."""
    fields = {"window_end": window(day).end, "run_id": run_id(day), "recall": {"daisy": recall}, **fields}
    journal.append(store, CLASSIFIER, make_decision(**fields))


def test_a_recipe_that_does_not_fine_tune_takes_its_own_weights_whatever_was_tuned_before(store):
    tune(store, 0)

    record = chosen(store, recipe(), 1)

    assert record.weights == weights_of(EmbeddingConfig())
    assert (record.origin, record.fine_tune_because) == (RECIPE, "")


def test_the_first_run_fine_tunes_from_the_recipe_s_weights(store):
    record = chosen(store, recipe(EVERY_TWO), 0)

    assert record.weights == weights_of(EmbeddingConfig())
    assert record.fine_tune_because == NEVER


def test_until_it_is_due_again_runs_work_with_the_last_tuned_network(store):
    tune(store, 0)
    last = tune(store, 1)
    decide(store, 1)

    record = chosen(store, recipe(EVERY_TWO), 2)

    assert record.weights == last.weights
    assert record.fine_tune_because == ""
    assert record.origin.startswith(
        "fine-tuned by run run of day 1 on data up to 2026-01-04T02:00:00+00:00: no network"
    )


def test_the_fingerprint_is_that_of_the_chosen_weights(store):
    last = tune(store, 0)

    record = chosen(store, recipe(NEVER_AGAIN), 1)

    assert record.components == fingerprint_components(EmbeddingConfig(), last.weights)
    assert record.fingerprint == fingerprint(record.components)
    assert record.fingerprint != chosen(store, recipe(), 1).fingerprint


def test_it_is_due_after_as_many_runs_as_the_recipe_says_and_starts_from_the_recipe_s_weights_again(store):
    tune(store, 0)
    decide(store, 0)
    assert chosen(store, recipe(EVERY_TWO), 1).fine_tune_because == ""
    decide(store, 1)

    record = chosen(store, recipe(EVERY_TWO), 2)

    assert record.fine_tune_because == (
        "2 runs have decided on a challenger since the last fine-tuning; it is due every 2"
    )
    assert record.weights == weights_of(EmbeddingConfig())


def test_decisions_on_older_data_than_the_last_fine_tuning_do_not_count(store):
    decide(store, 0)
    decide(store, 1)
    tune(store, 2)

    assert chosen(store, recipe(EVERY_TWO), 3).fine_tune_because == ""


def test_a_run_s_own_decision_and_younger_ones_do_not_count(store):
    tune(store, 0)
    decide(store, 0)
    for day in (1, 2, 3):
        decide(store, day)

    assert chosen(store, recipe(EVERY_TWO), 1).fine_tune_because == ""


def test_a_backfill_does_not_see_a_network_that_was_tuned_on_younger_data(store):
    old = tune(store, 0)
    tune(store, 5)

    assert chosen(store, recipe(NEVER_AGAIN), 3).weights == old.weights
    assert chosen(store, recipe(NEVER_AGAIN), -1).fine_tune_because == NEVER


def test_another_run_on_equally_old_data_sees_it(store):
    tuned = tune(store, 0, run_id="an earlier run on the same window")

    assert chosen(store, recipe(NEVER_AGAIN), 0).weights == tuned.weights


@pytest.mark.parametrize("fine_tune", [EVERY_TWO, FELL])
def test_a_run_that_is_repeated_after_it_tuned_and_decided_gets_the_same_answer(store, fine_tune):
    tune(store, 0)
    decide(store, 0, 0.9)
    decide(store, 1, 0.8)
    first = chosen(store, recipe(fine_tune), 2)

    tune(store, 2)
    decide(store, 2, 0.95)

    assert first.fine_tune_because
    assert chosen(store, recipe(fine_tune), 2) == first


def test_recall_that_fell_in_the_last_run_is_a_reason(store):
    decide(store, 0, 0.99)  # before the last fine-tuning
    tune(store, 1)
    decide(store, 1, 0.90)
    decide(store, 2, 0.86)
    assert chosen(store, recipe(FELL), 3).fine_tune_because == ""
    decide(store, 3, 0.84)

    assert "of 'daisy' from 0.9000 to 0.8400" in chosen(store, recipe(FELL), 4).fine_tune_because


def test_decisions_count_in_the_order_of_their_data_and_not_of_the_journal(store):
    tune(store, 0)
    decide(store, 0, 0.9)
    decide(store, 2, 0.9)
    decide(store, 1, 0.5)  # a backfill

    assert chosen(store, recipe(FELL), 3).fine_tune_because == ""


@pytest.mark.parametrize(
    "embedding",
    [{"image_size": 64}, {"weights": "none"}, {"weights": "/weights.h5", "weights_sha256": "a" * 64}],
    ids=["image size", "no weights", "other weights"],
)
def test_a_changed_recipe_starts_anew_and_the_old_one_finds_its_network_again(store, embedding):
    tuned = tune(store, 0)

    assert chosen(store, recipe(NEVER_AGAIN, **embedding), 1).fine_tune_because == CHANGED
    assert chosen(store, recipe(NEVER_AGAIN), 1).weights == tuned.weights


def test_layers_and_pooling_are_no_reason_to_tune_again(store):
    tuned = tune(store, 0)

    record = chosen(store, recipe(NEVER_AGAIN, layers=["head"], pooling="max"), 1)

    assert (record.weights, record.fine_tune_because) == (tuned.weights, "")
