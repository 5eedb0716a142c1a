"""What intake, the dataset and the look at its labels leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from include.retraining.artifacts.windows import Split


@dataclass(frozen=True)
class IntakeRecord:
    """What became of a window's delivery; `accepted + skipped + quarantined = delivered`.

    Attributes:
        delivered: Rows that the manifests name, and objects that no manifest names.
        accepted: Rows that went into a batch.
        skipped: Exact duplicates of accepted images under the same label.
        skipped_by: Skipped rows by reason.
        quarantined: Quarantined rows by reason; a row with several reasons counts under its first.
        warnings: One sentence a warning.
        unchanged: Days whose batch was the current one already: the same delivery was taken in before.
        batch_uris: Accepted batches, by day.
        data_docs_uris: Data Docs of the validation of each day, by day.
        baseline_registered: Whether the run made its first day the one from which later batches are compared.
    """

    delivered: int
    accepted: int
    skipped: int
    skipped_by: Mapping[str, int]
    quarantined: Mapping[str, int]
    warnings: tuple[str, ...]
    unchanged: tuple[date, ...]
    batch_uris: Mapping[date, str]
    data_docs_uris: Mapping[date, str]
    baseline_registered: bool


@dataclass(frozen=True)
class BaselineRegistration:
    """A day from which on a classifier's batches are compared with each other, and not with older ones.

    Attributes:
        since: The day.
        batch_uri: The day's batch.
        run_id: The run that was asked for it.
        registered_at: When that run started.
    """

    since: date
    batch_uri: str
    run_id: str
    registered_at: datetime


@dataclass(frozen=True)
class BatchPointer:
    """The current revision of a day's batch.

    Attributes:
        digest: Names the revision.
        revision: 1 for the first delivery; one more at each change.
    """

    digest: str
    revision: int


@dataclass(frozen=True)
class SnapshotRecord:
    """A frozen dataset.

    Attributes:
        uri: Its prefix.
        digest: Content digest.
        window_end: Batches up to here are in it.
        counts: Images by split and label; every split and label is present, with 0 where empty.
        batch_uris: The revision of each day's batch that it was made from.
        conflicts: Later images that were left out since an earlier batch has them under another label.
        near_duplicate_clusters: Sets of two or more images whose perceptual hashes are near; each lies in one split.
    """

    uri: str
    digest: str
    window_end: datetime
    counts: Mapping[Split, Mapping[str, int]]
    batch_uris: Mapping[date, str]
    conflicts: int
    near_duplicate_clusters: int


@dataclass(frozen=True)
class LabelDoubt:
    """An image whose label its vector contradicts.

    Attributes:
        image_id: Its id.
        key: Object key.
        split: Where it lies.
        given: Its label.
        suggested: The label that is more probable.
        given_probability: Probability of the given label, by a model that has not seen the image, in [0, 1].
        suggested_probability: Probability of the suggested label.
        thumbnail: `data:` URI of a small picture; empty where there is none.
    """

    image_id: str
    key: str
    split: Split
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float
    thumbnail: str = ""

    @property
    def margin(self) -> float:
        """How much more probable the suggested label is, in (0, 1]."""
        return self.suggested_probability - self.given_probability


@dataclass(frozen=True)
class LabelDoubtsRecord:
    """Rows whose label their vectors contradict. For people to look at: nothing was removed for it.

    Attributes:
        uri: CSV of the doubted rows, the most doubtful first.
        sheet_uri: HTML page that shows the first of them.
        n_rows: Rows looked at.
        n_doubted: Rows doubted.
        doubted: Doubted rows by given label; zeros included.
        suggested: Doubted rows by given (outer) and suggested (inner) label.
        not_judged: Rows by label of the labels that have too few rows to be judged.
        worst: The most doubtful rows, a dozen at most, with pictures.
    """

    uri: str
    sheet_uri: str
    n_rows: int
    n_doubted: int
    doubted: Mapping[str, int]
    suggested: Mapping[str, Mapping[str, int]]
    not_judged: Mapping[str, int]
    worst: tuple[LabelDoubt, ...]
