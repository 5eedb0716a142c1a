from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta

import pytest

from include.retraining import journal
from include.retraining.artifacts import Window
from include.retraining.config import ExpectationsConfig
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.intake.acceptance import accept_batches
from include.retraining.intake.drift.baselines import read_baselines, register_baseline
from include.retraining.intake.drift.drift import Baseline
from include.retraining.intake.drift.statistics import BatchStatistics, statistics_of
from include.retraining.storage.memory import InMemoryStore
from tests.builders import CLASSIFIER, LABELS, make_config, make_run
from tests.unit.retraining.intake.deliveries import keep_verdicts_of, verdict_rows

URI = "s3://memory/batches/flowers/2026-01-03/ab12/"


def day(number: int) -> date:
    return date(2026, 1, number)


def run_over(store, number: int, *, config=None, run_id: str = ""):
    """The run over one day of January."""
    start = datetime(2026, 1, number, 2, tzinfo=UTC)
    window = Window(start=start, end=start + timedelta(days=1))
    return make_run(store, config, window=window, run_id=run_id or f"scheduled__{number}")


def accept(store, number: int, n_rows: int) -> None:
    """Accepts a batch of so many rows: a day is known by its number of rows in what follows."""
    rows = [{"date": day(number), "image": f"{number}-{it}.png"} for it in range(n_rows)]
    run = run_over(store, number)
    accept_batches(run, keep_verdicts_of(run, *rows), register_baseline=False)


def statistics(n_rows: int) -> BatchStatistics:
    return statistics_of(verdict_rows(*[{}] * n_rows), LABELS)


@pytest.fixture
def store() -> InMemoryStore:
    """Holds a batch of one row for the first of January, of two for the second, and so on to the fifth."""
    store = InMemoryStore()
    for number in range(1, 6):
        accept(store, number, number)
    return store


def recipe(labels: int, images: int):
    rules = {"label_distribution": {"last_batches": labels}, "image_statistics": {"last_batches": images}}
    return make_config(expectations=rules)


def test_a_day_is_compared_with_the_batches_before_it(store):
    baseline = read_baselines(run_over(store, 6), None).before(day(4))

    assert baseline == Baseline(statistics(6), statistics(6), days=(day(1), day(2), day(3)))


def test_labels_and_images_each_have_their_own_number_of_batches(store):
    baseline = read_baselines(run_over(store, 6, config=recipe(labels=1, images=2)), None).before(day(6))

    assert baseline == Baseline(labels=statistics(5), images=statistics(9), days=(day(4), day(5)))


def test_the_first_batch_is_compared_with_nothing(store):
    assert read_baselines(run_over(store, 1), None).before(day(1)) == Baseline()


def test_a_registered_day_is_compared_with_nothing_and_later_ones_with_it_and_those_after_it(store):
    register_baseline(run_over(store, 3), day(3), URI)

    baselines = read_baselines(run_over(store, 6), None)

    assert baselines.before(day(3)) == Baseline(is_registering=True)
    assert baselines.before(day(4)) == Baseline(statistics(3), statistics(3), days=(day(3),))
    assert baselines.before(day(6)).days == (day(3), day(4), day(5))


def test_a_day_that_this_run_registers_counts_before_it_is_stored(store):
    baselines = read_baselines(run_over(store, 4), day(4)).followed_by(day(4), statistics(7))

    assert baselines.before(day(4)) == Baseline(is_registering=True)
    assert baselines.before(day(5)) == Baseline(statistics(7), statistics(7), days=(day(4),))
    assert list(store.list("baselines/")) == []


def test_an_older_window_is_not_affected_by_a_later_registration_or_batch(store):
    before = read_baselines(run_over(store, 3), None).before(day(3))

    register_baseline(run_over(store, 4), day(4), URI)
    accept(store, 6, 6)

    assert read_baselines(run_over(store, 3), None).before(day(3)) == before
    assert before.days == (day(1), day(2))


def test_a_registration_between_two_others_counts_until_the_next(store):
    for number in (2, 5, 3):
        register_baseline(run_over(store, number), day(number), URI)

    baselines = read_baselines(run_over(store, 6), None)

    assert [baselines.before(day(number)).days[:1] for number in (2, 3, 4, 5, 6)] == [
        (),
        (),
        (day(3),),
        (),
        (day(5),),
    ]


def test_a_day_judged_in_this_run_stands_for_what_is_stored_of_it(store):
    baselines = read_baselines(run_over(store, 5), None)

    followed = baselines.followed_by(day(5), statistics(50))

    assert followed.before(day(6)).labels == statistics(1 + 2 + 3 + 4 + 50)
    assert baselines.before(day(6)).labels == statistics(1 + 2 + 3 + 4 + 5), "the first value has not changed"


def test_a_day_without_accepted_rows_leaves_what_is_stored_of_it(store):
    baselines = read_baselines(run_over(store, 5), None).followed_by(day(5), BatchStatistics())

    assert baselines.before(day(6)).labels == statistics(15)


def test_a_window_of_days_sees_what_windows_of_a_day_see(store):
    one_by_one = [read_baselines(run_over(store, number), None).before(day(number)) for number in (4, 5)]
    store_before, whole = InMemoryStore(), []
    for number in range(1, 4):
        accept(store_before, number, number)

    baselines = read_baselines(run_over(store_before, 5), None)
    for number in (4, 5):
        whole.append(baselines.before(day(number)))
        baselines = baselines.followed_by(day(number), statistics(number))

    assert whole == one_by_one


def test_the_current_revision_of_a_batch_counts(store):
    accept(store, 1, 100)

    assert read_baselines(run_over(store, 2), None).before(day(2)).labels == statistics(100)


class CountingStore(InMemoryStore):
    """Remembers which tables were read."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__()
        self.objects = objects
        self.tables: list[str] = []

    def get(self, key):
        if key.endswith(".parquet"):
            self.tables.append(key)
        return super().get(key)


def test_only_the_batches_that_are_needed_are_read_and_each_once(store):
    counting = CountingStore(store.objects)
    baselines = read_baselines(run_over(counting, 6, config=recipe(labels=1, images=2)), None)
    assert counting.tables == []

    for number in (5, 6, 6):
        baselines.before(day(number))
        baselines = baselines.followed_by(day(9), statistics(1))

    assert [key.split("/")[2] for key in counting.tables] == ["2026-01-04", "2026-01-03", "2026-01-05"]


def test_nothing_is_read_where_nobody_looks_at_drift(store):
    off = {"label_distribution": {"severity": "off"}, "image_statistics": {"severity": "off"}}
    counting = CountingStore(store.objects)

    baseline = read_baselines(run_over(counting, 6, config=make_config(expectations=off)), None).before(day(6))

    assert ExpectationsConfig.model_validate(off).label_distribution.severity == "off"
    assert baseline == Baseline()
    assert counting.tables == []


def test_a_broken_batch_is_an_error_that_names_it(store):
    key = next(key for key in store.objects if key.startswith("batches/flowers/2026-01-02/") and "parquet" in key)
    store.put(key, b"broken")

    with pytest.raises(ArtifactIntegrityError, match=key):
        read_baselines(run_over(store, 3), None).before(day(3))


def test_an_object_that_is_no_registration_is_ignored(store, caplog):
    store.put("baselines/flowers/notes.txt", b"hello")

    assert read_baselines(run_over(store, 2), None).registrations == ()
    assert "s3://memory/baselines/flowers/notes.txt" in caplog.text


def test_registering_is_written_down_and_journalled():
    store = InMemoryStore()
    run = run_over(store, 3)

    registration = register_baseline(run, day(3), URI)

    assert (registration.since, registration.batch_uri) == (day(3), URI)
    assert (registration.run_id, registration.registered_at) == (run.run_id, run.started_at)
    assert list(store.objects) == [
        "baselines/flowers/2026-01-03.json",
        "models/flowers/history/00000001.json",
        "models/flowers/journal_head.json",
    ]
    assert [entry.baseline for entry in journal.entries(store, CLASSIFIER)] == [registration]


def test_registering_again_changes_nothing():
    store = InMemoryStore()
    first = register_baseline(run_over(store, 3), day(3), URI)
    before = dict(store.objects)

    assert register_baseline(run_over(store, 3), day(3), URI) == first

    assert store.objects == before


def test_another_run_keeps_the_first_registration_and_says_so(caplog):
    store = InMemoryStore()
    first = register_baseline(run_over(store, 3), day(3), URI)
    before = dict(store.objects)

    with caplog.at_level(logging.WARNING):
        kept = register_baseline(run_over(store, 3, run_id="manual__2"), day(3), "s3://memory/another/")

    assert kept == first
    assert store.objects == before
    assert "registered_by=scheduled__3" in caplog.text


def test_a_kill_between_registration_and_journal_is_repaired_by_the_repeat():
    class DyingStore(InMemoryStore):
        """Dies at its second conditional write."""

        def replace(self, key, body, **options):
            if self.objects and "history" in key and not dead:
                dead.append(key)
                raise StorageUnavailableError(f"replace {key}", "killed")
            return super().replace(key, body, **options)

    dead: list[str] = []
    store = DyingStore()
    with pytest.raises(StorageUnavailableError):
        register_baseline(run_over(store, 3), day(3), URI)
    assert journal.entries(store, CLASSIFIER) == []

    registration = register_baseline(run_over(store, 3), day(3), URI)

    assert [entry.baseline for entry in journal.entries(store, CLASSIFIER)] == [registration]
