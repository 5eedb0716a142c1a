"""Values and states of evaluation and promotion for tests."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from include.retraining import registry
from include.retraining.artifacts import (
    Bound,
    CandidateRecord,
    ChampionPointer,
    ChanceTest,
    ClassificationMetrics,
    Difference,
    EvaluationRecord,
    GateResult,
    Incumbent,
    Lineage,
    Move,
    PromotionDecision,
    Provenance,
    ReliabilityBin,
    ScoredVersion,
    ServingCost,
    VersionRecord,
)
from include.retraining.config import CONFIDENCES
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.pointers import move_pointer
from include.retraining.storage.publishing import manifest_of
from include.retraining.storage.records import to_json
from tests.builders import CLASSIFIER, RUN_ID, STARTED_AT, WINDOW, make_candidate, make_lineage, make_metrics

CHALLENGER = "20260103T0200-aaaaaaaaaaaa"
CHAMPION = "20260102T0200-bbbbbbbbbbbb"
PROVENANCE = Provenance(run_id=RUN_ID, started_at=STARTED_AT, by="schedule")


def make_scored_version(metrics: ClassificationMetrics | None = None, **fields: Any) -> ScoredVersion:
    """The challenger on the test rows, without slices and without a prior of deployment."""
    scored = ScoredVersion(
        version=CHALLENGER,
        digest="d1" * 32,
        window_end=WINDOW.end,
        metrics=make_metrics() if metrics is None else metrics,
        deployment=None,
        reliability=(ReliabilityBin(0.0, 0.5, 0, None, None), ReliabilityBin(0.5, 1.0, 300, 0.84, 0.8)),
        slices=(),
    )
    return dataclasses.replace(scored, **fields)


def make_difference(
    metric: str = "macro_recall", estimate: float | None = 0.0, standard_error: float = 0.01, **fields: Any
) -> Difference:
    """Challenger less champion, with bounds two standard errors away whatever the confidence."""
    lower, upper = (None, None) if estimate is None else (estimate - 2 * standard_error, estimate + 2 * standard_error)
    difference = Difference(
        metric=metric,
        slice="",
        prior="test",
        estimate=estimate,
        standard_error=None if estimate is None else standard_error,
        bounds=tuple(Bound(confidence, lower, upper) for confidence in CONFIDENCES),
    )
    return dataclasses.replace(difference, **fields)


def make_evaluation(
    challenger: ClassificationMetrics | None = None,
    champion: ClassificationMetrics | None = None,
    **fields: Any,
) -> EvaluationRecord:
    """An evaluation; without `champion` there is none in production."""
    challenger = make_metrics() if challenger is None else challenger
    incumbent = Incumbent(CHAMPION, "c4" * 32, WINDOW.start, problem="")
    evaluation = EvaluationRecord(
        window_end=WINDOW.end,
        test_digest="7e57" * 16,
        challenger=make_scored_version(challenger),
        incumbent=None if champion is None else incumbent,
        champion=None
        if champion is None
        else make_scored_version(champion, version=CHAMPION, digest=incumbent.digest, window_end=WINDOW.start),
        is_same_model=False,
        differences=() if champion is None else tuple(_differences(challenger, champion)),
        chance=ChanceTest("macro_recall", challenger.macro_recall, 0.33, 0.37, 0.001, 1000),
        cost=ServingCost(size_bytes=15_000_000, median_milliseconds=12.0, slow_milliseconds=20.0, calls=50),
        candidates={
            "smote · linear": challenger,
            "none · linear": make_metrics(dict.fromkeys(challenger.recall, 0.65)),
        },
    )
    return dataclasses.replace(evaluation, **fields)


def _differences(challenger: ClassificationMetrics, champion: ClassificationMetrics) -> list[Difference]:
    overall = ("macro_recall", "macro_f1", "geometric_mean", "minimum_recall", "accuracy", "ece")
    pairs = {name: (getattr(challenger, name), getattr(champion, name)) for name in overall}
    pairs |= {f"recall:{label}": (recall, champion.recall[label]) for label, recall in challenger.recall.items()}
    return [
        make_difference(metric, None if new is None or old is None else new - old)
        for metric, (new, old) in pairs.items()
    ]


def make_decision(*reasons: str, **fields: Any) -> PromotionDecision:
    """A decision: approved, unless there is a reason against it."""
    gates = (
        GateResult("test_rows", True, "Every class has at least 50 test images; the fewest are 100."),
        GateResult("floor macro_recall", not reasons, "macro_recall is 0.8000; at least 0.5000 was asked."),
    )
    decision = PromotionDecision(
        classifier=CLASSIFIER,
        challenger=CHALLENGER,
        champion=None,
        champion_etag=None,
        approved=not reasons,
        reasons=reasons,
        gates=gates,
        resulting=None if reasons else CHALLENGER,
        run_id=RUN_ID,
        decided_at=STARTED_AT,
        window_end=WINDOW.end,
        metrics={
            "macro_recall": 0.8,
            "macro_f1": 0.79,
            "geometric_mean": 0.78,
            "geometric_mean_macro": 0.85,
            "minimum_recall": 0.7,
            "accuracy": 0.82,
            "ece": 0.04,
        },
    )
    return dataclasses.replace(decision, **fields)


def make_move(resulting: str = CHALLENGER, incumbent: str | None = None, **fields: Any) -> Move:
    """A move of the champion pointer."""
    move = Move(incumbent=incumbent, resulting=resulting, run_id=RUN_ID, moved_at=STARTED_AT, window_end=WINDOW.end)
    return dataclasses.replace(move, **fields)


def publish_made_version(
    store: ObjectStore,
    *,
    classifier: str = CLASSIFIER,
    lineage: Lineage | None = None,
    candidate: CandidateRecord | None = None,
    model: bytes = b"weights",
) -> VersionRecord:
    """Publishes a version whose model is no real one; its description is."""
    lineage = make_lineage() if lineage is None else lineage
    files = {
        registry.MODEL: model,
        registry.LINEAGE: to_json(lineage),
        registry.CANDIDATE: to_json(make_candidate() if candidate is None else candidate),
    }
    name = registry.version_name(lineage, manifest_of(files).files)
    manifest = registry.publish_version(store, classifier, name, files, PROVENANCE)
    uri = uri_of(store, layout.version(classifier, name))
    return VersionRecord(name=name, uri=uri, digest=manifest.digest, largest_difference=3e-7)


def crown(
    store: ObjectStore, version: VersionRecord, *, classifier: str = CLASSIFIER, window_end: datetime = WINDOW.end
) -> ChampionPointer:
    """Points `champion.json` at a version, whatever it pointed at."""
    incumbent, etag = registry.champion(store, classifier)
    pointer = ChampionPointer(
        version=version.name,
        uri=version.uri,
        digest=version.digest,
        window_end=window_end,
        previous=incumbent.version if incumbent else None,
        run_id=RUN_ID,
        generation=incumbent.generation + 1 if incumbent else 1,
    )
    move_pointer(store, layout.champion(classifier), pointer, etag=etag)
    return pointer
