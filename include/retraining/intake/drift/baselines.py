"""The accepted batches that a later one is compared with, and how a day is made the first of them.

How far a batch is from them is measured in `drift.py`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from include.retraining import journal
from include.retraining.artifacts import BaselineRegistration
from include.retraining.config import ExpectationsConfig
from include.retraining.intake.batches import TABLE, current_batches
from include.retraining.intake.drift.drift import Baseline
from include.retraining.intake.drift.statistics import COLUMNS, BatchStatistics, statistics_of
from include.retraining.run import Run
from include.retraining.schemas import BATCH
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import read_published
from include.retraining.storage.records import read_record, to_json
from include.retraining.storage.tables import from_parquet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Baselines:
    """The batches that a run may compare with: the accepted ones in the store, and the days judged so far.

    Attributes:
        stored: Prefix of the current revision of each day's batch.
        judged: Statistics of the days judged in this run; they stand for what is stored of these days.
        registrations: Days that begin a new baseline, in order.
        n_labels: Batches that labels are compared with, at most; 0 where nobody looks at them.
        n_images: The same for images.
        read: Returns the statistics of a stored batch; asked for those that are needed alone.
    """

    stored: Mapping[date, str]
    judged: Mapping[date, BatchStatistics]
    registrations: tuple[date, ...]
    n_labels: int
    n_images: int
    read: Callable[[str], BatchStatistics]

    def before(self, day: date) -> Baseline:
        """Returns what a day's batch is compared with: the last batches before it, from the newest registration on.

        Later batches and later registrations have no say, so that a run for an old window decides as it did then.
        """
        since = max((start for start in self.registrations if start <= day), default=date.min)
        days = [it for it in sorted({*self.stored, *self.judged}) if since <= it < day]
        of_labels, of_images = _last(days, self.n_labels), _last(days, self.n_images)
        return Baseline(
            labels=self._sum(of_labels),
            images=self._sum(of_images),
            days=tuple(of_labels if len(of_labels) > len(of_images) else of_images),
            is_registering=since == day,
        )

    def followed_by(self, day: date, statistics: BatchStatistics) -> Baselines:
        """Returns these baselines with a day judged in this run.

        A day without accepted rows gets no batch: what is stored of it stays.
        """
        return replace(self, judged={**self.judged, day: statistics}) if statistics.n_rows else self

    def _sum(self, days: list[date]) -> BatchStatistics | None:
        if not days:
            return None
        found = (self.judged[day] if day in self.judged else self.read(self.stored[day]) for day in days)
        return sum(found, start=BatchStatistics())


def read_baselines(run: Run, since: date | None) -> Baselines:
    """Returns the batches that the days of a run's window may be compared with.

    Args:
        run: The run; batches after its window are not seen.
        since: A day that begins a new baseline although that is not stored yet, or None.
    """
    registrations = {*_registered_days(run.store, run.classifier), *([] if since is None else [since])}
    n_labels, n_images = _sizes(run.config.expectations)
    return Baselines(
        stored=current_batches(run.store, run.classifier, run.window),
        judged={},
        registrations=tuple(sorted(registrations)),
        n_labels=n_labels,
        n_images=n_images,
        read=functools.cache(lambda prefix: _read_statistics(run.store, prefix, run.config.labels)),
    )


def register_baseline(run: Run, day: date, batch_uri: str) -> BaselineRegistration:
    """Makes a day the first of those that later batches are compared with, and journals it.

    Args:
        run: The run that was asked for it.
        day: The day.
        batch_uri: Its batch.

    Side effects:
        Writes the registration once, then the journal's entry. A day that is registered already stays as it is: a
        repeat changes nothing, and another run that wants the same day is told who was first.

    Returns:
        The registration that holds: this run's, or the one that was there.
    """
    key = layout.baseline(run.classifier, day)
    wanted = BaselineRegistration(since=day, batch_uri=batch_uri, run_id=run.run_id, registered_at=run.started_at)
    kept = wanted
    if not run.store.replace(key, to_json(wanted), etag=None):
        kept = read_record(run.store, key, BaselineRegistration)
    if kept.run_id != run.run_id:
        logger.warning("baseline kept=%s registered_by=%s", uri_of(run.store, key), kept.run_id)
    # Also where it was there already: whoever wrote it may have been killed before the journal knew.
    journal.append(run.store, run.classifier, kept)
    return kept


def _last(days: list[date], n_days: int) -> list[date]:
    return days[len(days) - n_days :] if n_days < len(days) else days


def _sizes(expectations: ExpectationsConfig) -> tuple[int, int]:
    labels, images = expectations.label_distribution, expectations.image_statistics
    return (
        labels.last_batches if labels.severity != "off" else 0,
        images.last_batches if images.severity != "off" else 0,
    )


def _read_statistics(store: ObjectStore, prefix: str, labels: tuple[str, ...]) -> BatchStatistics:
    uri = uri_of(store, f"{prefix}{TABLE}")
    return statistics_of(from_parquet(read_published(store, prefix, TABLE), BATCH, uri, columns=COLUMNS), labels)


def _registered_days(store: ObjectStore, classifier: str) -> Iterator[date]:
    prefix = layout.baselines(classifier)
    for found in store.list(prefix):
        try:
            yield date.fromisoformat(found.key.removeprefix(prefix).removesuffix(".json"))
        except ValueError:
            logger.warning("ignored object=%s expected=YYYY-MM-DD.json", uri_of(store, found.key))
