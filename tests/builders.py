"""Values for tests, explicit and without files: every builder gives a consistent value that a test can vary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from include.retraining.artifacts import (
    CandidateRecord,
    ClassificationMetrics,
    ContactSheet,
    CrossValidation,
    EmbeddingPlan,
    ImageLevelRecord,
    IntakeRecord,
    LabelDoubt,
    LabelDoubtsRecord,
    Lineage,
    PlanRecord,
    ReconstructionRecord,
    ResamplingRecord,
    SelectionRecord,
    SnapshotRecord,
    TunedExtractor,
    Weights,
    Window,
)
from include.retraining.config import ClassifierConfig, EmbeddingConfig
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.metrics import classification_metrics
from include.retraining.run import Run
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256

CLASSIFIER = "flowers"
LABELS = ("daisy", "poppy", "orchid")
WINDOW = Window(start=datetime(2026, 1, 2, 2, tzinfo=UTC), end=datetime(2026, 1, 3, 2, tzinfo=UTC))
RUN_ID = "scheduled__2026-01-03T02:00:00+00:00"
STARTED_AT = datetime(2026, 1, 3, 2, 0, 5, tzinfo=UTC)


def make_config(name: str = CLASSIFIER, labels: Sequence[str] = LABELS, **sections: Any) -> ClassifierConfig:
    """A small recipe with one floor gate; sections override."""
    document = {
        "name": name,
        "description": "Three kinds of flowers.",
        "labels": list(labels),
        "schedule": {"start_date": "2026-01-01"},
        "training": {"heads": {"linear": {"weight_decay": 1.0}}},
        "gates": [{"gate": "floor", "metric": "macro_recall", "minimum": 0.5}],
    }
    return ClassifierConfig.model_validate({**document, **sections})


def make_run(
    store: ObjectStore | None = None,
    config: ClassifierConfig | None = None,
    window: Window = WINDOW,
    run_id: str = RUN_ID,
    started_at: datetime = STARTED_AT,
) -> Run:
    """A run over an empty bucket, unless told otherwise."""
    return Run(
        config=make_config() if config is None else config,
        store=InMemoryStore() if store is None else store,
        window=window,
        run_id=run_id,
        started_at=started_at,
    )


def make_confusion(recall: Mapping[str, float], rows_per_class: int = 100) -> tuple[tuple[int, ...], ...]:
    """A confusion matrix with these recalls; all mistakes of a class go to the next class."""
    n_classes = len(recall)
    matrix = [[0] * n_classes for _ in range(n_classes)]
    for index, share in enumerate(recall.values()):
        right = round(share * rows_per_class)
        matrix[index][index] = right
        matrix[index][(index + 1) % n_classes] += rows_per_class - right
    return tuple(tuple(row) for row in matrix)


def make_metrics(
    recall: Mapping[str, float] | None = None,
    *,
    confusion: tuple[tuple[int, ...], ...] | None = None,
    labels: Sequence[str] = LABELS,
    ece: float | None = 0.04,
    **fields: Any,
) -> ClassificationMetrics:
    """Metrics that agree with each other, computed from recalls or a confusion matrix; fields override."""
    if recall is not None:
        labels = tuple(recall)
    if confusion is None:
        confusion = make_confusion(recall if recall is not None else dict.fromkeys(labels, 0.8))
    y_true = np.repeat(np.arange(len(labels)), [sum(row) for row in confusion])
    y_pred = np.concatenate([np.repeat(np.arange(len(labels)), row) for row in confusion])
    metrics = classification_metrics(y_true, np.eye(len(labels))[y_pred], tuple(labels))
    return dataclasses.replace(metrics, ece=ece, **fields)


def make_candidate(
    strategy: str = "smote",
    head: str = "linear",
    *,
    validation: ClassificationMetrics | None = None,
    n_epochs: int = 4,
    **fields: Any,
) -> CandidateRecord:
    """A candidate whose macro recall rises and whose loss falls until its last epoch."""
    validation = make_metrics() if validation is None else validation
    reached = validation.macro_recall or 0.0
    candidate = CandidateRecord(
        name=f"{strategy} · {head}",
        strategy=strategy,
        kind=strategy,
        head=head,
        settings={"weight_decay": 1.0, "dropout": 0.0, "learning_rate": 1e-3},
        uri=f"s3://memory/candidates/{CLASSIFIER}/{strategy}-{head}/",
        n_train_rows=1200 if strategy == "smote" else 500,
        n_parameters=1795 if head == "linear" else 66_307,
        best_epoch=n_epochs,
        loss=tuple(round(1.2 * 0.7**epoch, 4) for epoch in range(1, n_epochs + 1)),
        validation_macro_recall=tuple(round(reached * (1 - 0.4**epoch), 4) for epoch in range(1, n_epochs + 1)),
        validation=validation,
        cross_validation=make_cross_validation(reached),
        temperature=1.25,
        thresholds=None,
        trials=(),
    )
    return dataclasses.replace(candidate, **fields)


def make_cross_validation(mean: float = 0.8, spread: float = 0.02) -> CrossValidation:
    """Five folds whose scores lie around a mean, with the standard error that follows from them."""
    scores = tuple(mean + spread * step for step in (-1.0, -0.5, 0.0, 0.5, 1.0))
    return CrossValidation(scores, mean, standard_error=float(np.std(scores, ddof=1) / np.sqrt(len(scores))))


def make_selection(candidates: Sequence[CandidateRecord] = (), **fields: Any) -> SelectionRecord:
    """A contest that the best mean has won; by default SMOTE's, over training without any remedy."""
    if not candidates:
        weaker = make_metrics(dict.fromkeys(LABELS, 0.7))
        candidates = (make_candidate("smote"), make_candidate("none", validation=weaker))
    ranked = sorted(candidates, key=lambda candidate: -candidate.cross_validation.mean)
    best = ranked[0]
    selection = SelectionRecord(
        challenger=best.name,
        best=best.name,
        rule="one_standard_error",
        bound=best.cross_validation.mean - best.cross_validation.standard_error,
        because=f"{best.name} has the highest mean, and no simpler candidate is within one standard error of it.",
        candidates=tuple(ranked),
    )
    return dataclasses.replace(selection, **fields)


def make_reconstruction(prefix: str = "", **fields: Any) -> ReconstructionRecord:
    """Pictures of the synthetic rows of two classes, as they would lie under a prefix."""
    uri = f"s3://memory/{prefix or f'runs/{CLASSIFIER}/run/reconstruction/'}"
    record = ReconstructionRecord(
        strategy="smote",
        decoder_uri=f"s3://memory/decoders/{CLASSIFIER}/dec0/",
        decoder_error=0.071,
        mean_image_error=0.153,
        sheets=tuple(ContactSheet(label, f"{uri}{label}.png", 8) for label in LABELS[1:]),
        projection_uri=f"{uri}projection.png",
        explained_variance=0.31,
    )
    return dataclasses.replace(record, **fields)


def make_image_level(**fields: Any) -> ImageLevelRecord:
    """An image-level CNN that is a little worse than the heads."""
    metrics = make_metrics(dict.fromkeys(LABELS, 0.6))
    record = ImageLevelRecord(
        strategy="smote",
        source="decoded",
        n_train_images=1200,
        n_parameters=98_765,
        best_epoch=2,
        loss=(1.1, 0.9, 0.8),
        validation_macro_recall=(0.4, 0.6, 0.55),
        validation=metrics,
        test=metrics,
    )
    return dataclasses.replace(record, **fields)


def make_intake(**fields: Any) -> IntakeRecord:
    """A delivery of 520 images with a little trouble in it."""
    intake = IntakeRecord(
        delivered=520,
        accepted=500,
        skipped=8,
        skipped_by={"duplicate": 3, "duplicate_of_earlier_batch": 5},
        quarantined={"truncated_or_corrupt": 9, "unknown_label": 3},
        warnings=("2026-01-02: no image of 'orchid' was delivered",),
        unchanged=(),
        batch_uris={date(2026, 1, 2): f"s3://memory/batches/{CLASSIFIER}/2026-01-02/ab12/"},
        data_docs_uris={date(2026, 1, 2): f"s3://memory/batches/{CLASSIFIER}/2026-01-02/ab12/data_docs/index.html"},
        baseline_registered=False,
    )
    return dataclasses.replace(intake, **fields)


def make_snapshot(train: Mapping[str, int] | None = None, **fields: Any) -> SnapshotRecord:
    """A frozen dataset with these train images a class; validation has a fifth of them, test has 100 a class."""
    train = {"daisy": 400, "poppy": 90, "orchid": 10} if train is None else train
    snapshot = SnapshotRecord(
        uri=f"s3://memory/snapshots/{CLASSIFIER}/5a5a/",
        digest="5a5a" * 16,
        window_end=WINDOW.end,
        counts={
            "train": dict(train),
            "validation": {label: count // 5 for label, count in train.items()},
            "test": dict.fromkeys(train, 100),
        },
        batch_uris={date(2026, 1, 2): f"s3://memory/batches/{CLASSIFIER}/2026-01-02/ab12/"},
        conflicts=0,
        near_duplicate_clusters=4,
    )
    return dataclasses.replace(snapshot, **fields)


def make_embedding(**fields: Any) -> EmbeddingPlan:
    """A run that had to embed half of its images."""
    embedding = EmbeddingPlan(
        fingerprint="e4e4" * 4,
        n_images=900,
        n_vectors=900,
        n_stored=450,
        n_missing=450,
        n_damaged=0,
        why_missing=("image_size is 96, the nearest stored fingerprint 1a1a1a1a1a1a1a1a has 64.",),
        components={"architecture": "efficientnet_lite0", "image_size": "96"},
    )
    return dataclasses.replace(embedding, **fields)


def make_tuned_extractor(digest: str = "d1", body: bytes = b"weights", **fields: Any) -> TunedExtractor:
    """A network that the run of `RUN_ID` fine-tuned for a recipe that says nothing of its extractor."""
    tuned = TunedExtractor(
        weights=Weights(f"s3://memory/extractors/{CLASSIFIER}/{digest}/backbone.weights.h5", sha256(body)),
        classifier=CLASSIFIER,
        architecture="efficientnet_lite0",
        image_size=96,
        window_end=WINDOW.end,
        snapshot_digest="5a5a" * 4,
        started_from=weights_of(EmbeddingConfig()),
        because="no network of this classifier was fine-tuned yet on data up to here",
        run_id=RUN_ID,
        loss=(1.2, 0.7),
        seconds=(60.0, 58.0),
    )
    return dataclasses.replace(tuned, **fields)


def make_label_doubt(number: int = 1, **fields: Any) -> LabelDoubt:
    """An image that was called a daisy and looks like a poppy; without picture unless told otherwise."""
    doubt = LabelDoubt(
        image_id=f"{number:064x}",
        key=f"incoming/{CLASSIFIER}/2026-01-02/images/{number:06d}.png",
        split="train",
        given="daisy",
        suggested="poppy",
        given_probability=0.02,
        suggested_probability=0.95,
    )
    return dataclasses.replace(doubt, **fields)


def make_label_doubts(worst: Sequence[LabelDoubt] | None = None, **fields: Any) -> LabelDoubtsRecord:
    """Two doubted daisies among 900 images."""
    worst = (make_label_doubt(1), make_label_doubt(2)) if worst is None else tuple(worst)
    record = LabelDoubtsRecord(
        uri=f"s3://memory/runs/{CLASSIFIER}/label_doubts.csv",
        sheet_uri=f"s3://memory/runs/{CLASSIFIER}/label_doubts.html",
        n_rows=900,
        n_doubted=len(worst),
        doubted={label: sum(doubt.given == label for doubt in worst) for label in LABELS},
        suggested={"daisy": {"poppy": len(worst)}} if worst else {},
        not_judged={},
        worst=worst,
    )
    return dataclasses.replace(record, **fields)


def make_plan(before: Mapping[str, int] | None = None, strategy: str = "smote", **fields: Any) -> PlanRecord:
    """A plan that brings every class to the size of the largest, with k at most 5."""
    before = {"daisy": 400, "poppy": 90, "orchid": 10} if before is None else before
    neighbours = {label: min(5, max(count - 1, 0)) for label, count in before.items()}
    largest = max(before.values())
    record = PlanRecord(
        strategy=strategy,
        uri=f"s3://memory/resampling/{CLASSIFIER}/7c7c/",
        digest="7c7c" * 16,
        counts_before=dict(before),
        counts_asked=dict.fromkeys(before, largest),
        counts_after=dict.fromkeys(before, largest),
        neighbours=neighbours,
        noise_share={label: None if count == largest else 0.125 for label, count in before.items()},
        warnings=tuple(
            f"{label} has {before[label]} train images: k is {k} instead of 5."
            for label, k in neighbours.items()
            if k < 5
        ),
    )
    return dataclasses.replace(record, **fields)


def make_resampling(before: Mapping[str, int] | None = None, *others: PlanRecord, **fields: Any) -> ResamplingRecord:
    """The plan of SMOTE, then those of other strategies; fields override SMOTE's."""
    plans = (make_plan(before, **fields), *others)
    return ResamplingRecord({plan.strategy: plan for plan in plans})


def make_lineage(**fields: Any) -> Lineage:
    """Where a version comes from."""
    lineage = Lineage(
        classifier=CLASSIFIER,
        window_end=WINDOW.end,
        snapshot_digest="5a5a" * 16,
        resampling_digest="7c7c" * 16,
        extractor_fingerprint="e4e4" * 16,
        candidate="smote · linear",
        code_digest="c0de" * 16,
        config_digest="c0f1" * 16,
        versions={"keras": "3.15.1", "numpy": "2.4.6"},
    )
    return dataclasses.replace(lineage, **fields)
