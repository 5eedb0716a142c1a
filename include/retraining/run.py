"""What every step is handed: the recipe, the store, the window, and where this run keeps its records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from include.retraining.artifacts import Window
from include.retraining.config import ClassifierConfig
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, key_of
from include.retraining.storage.records import read_record, write_record

Record = TypeVar("Record")

INTAKE = "intake.json"
SNAPSHOT = "snapshot.json"
EXTRACTOR_CHOICE = "extractor_choice.json"
EXTRACTOR = "extractor.json"
EMBEDDING_PLAN = "embedding_plan.json"
EMBEDDING = "embedding.json"
LABEL_DOUBTS = "label_doubts.json"
RESAMPLING = "resampling.json"
RECONSTRUCTION = "reconstruction.json"
IMAGE_LEVEL = "image_level.json"
SELECTION = "selection.json"
VERSION = "version.json"
EVALUATION = "evaluation.json"
DECISION = "decision.json"
APPROVAL = "approval.json"
PROMOTION = "promotion.json"
REPORT = "report.html"
METRICS = "metrics.json"


@dataclass(frozen=True)
class Run:
    """One retraining of one classifier.

    Attributes:
        config: The recipe.
        store: The bucket.
        window: The data that the run may see ends with it.
        run_id: Airflow's name of the run, or the command line's.
        started_at: When the run started; the same for all its tasks and their retries.
        started_by: Who started it: a user, the schedule, a backfill.
    """

    config: ClassifierConfig
    store: ObjectStore
    window: Window
    run_id: str
    started_at: datetime
    started_by: str = ""

    @property
    def classifier(self) -> str:
        """Name of the classifier."""
        return self.config.name

    @property
    def prefix(self) -> str:
        """Prefix of the run's own records."""
        return layout.run(self.classifier, run_key(self.run_id))

    def forget(self) -> None:
        """Removes what an earlier attempt of this run recorded, so that a report never mixes two attempts."""
        for found in list(self.store.list(self.prefix)):
            self.store.delete(found.key)

    def record(self, name: str, value: object) -> str:
        """Keeps a value among the run's records; returns its URI."""
        return write_record(self.store, f"{self.prefix}{name}", value)

    def recall(self, name: str, kind: type[Record]) -> Record:
        """Returns a value that an earlier step of the run recorded; `KeyError` if none did."""
        return read_record(self.store, f"{self.prefix}{name}", kind)

    def load(self, uri: str, kind: type[Record]) -> Record:
        """Returns the record at a URI, as an earlier task handed it on."""
        return read_record(self.store, key_of(self.store, uri), kind)

    def recall_if_any(self, name: str, kind: type[Record]) -> Record | None:
        """Returns a recorded value, or None where the run did not come so far."""
        try:
            return self.recall(name, kind)
        except KeyError:
            return None


def run_key(run_id: str) -> str:
    """Returns a run id as a part of an object key: letters, digits, `.`, `_` and `-` stay, all else becomes `-`.

    Example:
        >>> run_key("manual__2026-01-05T02:00:00+00:00")
        'manual__2026-01-05T02-00-00-00-00'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run_id)
